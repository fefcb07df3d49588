// Command lectern-load measures a board server from outside, in a process of its own, and tries to make it lose something.
//
//	lectern-load load  [-lanes ws,dc] [-shapes 1x10@10,1x50@5,20x10@5] [-time 8s] [-out report.json]
//	lectern-load crash [-rounds 20] [-people 10] [-lane ws]
//	lectern-load serve -data DIR          the server that is measured: real hub, store and transport; logins are made up. Loopback only
//	lectern-load relay                    the yardstick: takes a message, sends it to everybody. Loopback only
//
// load and crash start serve and relay themselves, as child processes. It follows docs/protocol.md and nothing else.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	modes := map[string]func(context.Context, []string) error{"load": load, "crash": crash, "serve": serve, "relay": relay}
	if len(os.Args) < 2 || modes[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: lectern-load load|crash|serve|relay [flags]; lectern-load <mode> -h lists them")
		os.Exit(2)
	}
	if err := modes[os.Args[1]](ctx, os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "lectern-load:", err)
		os.Exit(1)
	}
}
