// Command homeserver builds the pinned homeserver program if this machine lacks it and prints its path; with the argument "livekit" the call server's.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/educationpub/lectern/server/devstack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	binary := devstack.Binary
	if len(os.Args) > 1 && os.Args[1] == "livekit" {
		binary = devstack.LiveKitBinary
	}
	path, err := binary(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(path)
}
