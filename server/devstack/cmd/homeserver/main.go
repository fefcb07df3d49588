// Command homeserver builds the pinned Dendrite program if this machine lacks it and prints its path.
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
	path, err := devstack.Binary(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(path)
}
