// Command lectern-join fills boards with what people have drawn (web/test/dev/corpus.mjs writes it) and measures what joining them costs the
// server. It works on its own database, or with `fill` on that of a Lectern that is stopped.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/educationpub/lectern/crdt/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch command := append(os.Args[1:], ""); command[0] {
	case "merge-worker":
		err = worker.Main(os.Stdin, os.Stdout)
	case "fill":
		err = fillCommand(ctx, os.Args[2:])
	case "serve":
		err = serveCommand(ctx, os.Args[2:])
	case "measure":
		err = measureCommand(ctx, os.Args[2:])
	default:
		err = fmt.Errorf("usage: lectern-join fill -db FILE -key FILE -room ROOM -board ID [-squash] page-1.changes …\n       lectern-join measure [-squash] page-1.changes …")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lectern-join:", err)
		os.Exit(1)
	}
}
