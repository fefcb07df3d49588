// Command scan looks for texts in all files below folders, wrapped or not, and exits 1 if it finds one.
//
//	scan CANARY[,CANARY…] FOLDER…
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/educationpub/lectern/server/devstack/scan"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: scan CANARY[,CANARY…] FOLDER…")
		os.Exit(2)
	}
	found := false
	for _, folder := range os.Args[2:] {
		result, err := scan.Tree(folder, strings.Split(os.Args[1], ",")...)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		for _, hit := range result.Hits {
			fmt.Println(hit)
			found = true
		}
		for _, line := range result.Incomplete {
			fmt.Println("incomplete:", line)
		}
		fmt.Printf("%s: %d files, %d bytes, %d bytes after unwrapping, %d hits\n", folder, result.Files, result.Bytes, result.Inner, len(result.Hits))
	}
	if found {
		os.Exit(1)
	}
}
