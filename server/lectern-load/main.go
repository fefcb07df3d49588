// Command lectern-load measures a board server from outside, in a process of its own, and tries to make it lose something.
//
// Each mode starts the servers that it measures as child processes: `serve` (real hub, store and transport behind made-up logins) and the
// yardsticks `relay` and `relay -durable FILE`. All listen on loopback only, hold themselves to limits, end with the mode, and die with it.
// Clients follow docs/protocol.md and nothing else. Results are a table on standard output and, with -json FILE, the same as JSON.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// mode is one thing the tool can do.
type mode struct {
	name, what string
	run        func(context.Context, *bench, []string) error
}

// alone is a mode that keeps no report.
func alone(f func(context.Context, []string) error) func(context.Context, *bench, []string) error {
	return func(ctx context.Context, _ *bench, args []string) error { return f(ctx, args) }
}

// modes is filled in main: the short form looks into it.
func modes() []mode {
	return []mode{
		{"load", "people draw: latency, CPU per delivery and memory, beside the relays", load},
		{"live", "cursors: latency and share that arrives, with and without loss of packets", live},
		{"join", "late joiners of a large board: bytes, time to scene and document, CPU, memory", join},
		{"storm", "hundreds join at once", storm},
		{"slow", "one who stops reading and one who reads slowly, beside others who draw", slow},
		{"crash", "kill -9 while people draw, in squashes, saves and starts: what was acknowledged or seen must be there", crash},
		{"soak", "steady drawing for a long time: slopes of memory, goroutines, files, CPU and latency", soak},
		{"short", "a short form of all of these", short},
		{"serve", "the server that is measured", alone(serve)},
		{"relay", "the yardsticks: send to everybody, with -durable FILE after fdatasync", alone(relay)},
		{"merge-worker", "the merge worker of serve", alone(mergeWorker)},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// command runs a mode and answers the exit code.
func command(ctx context.Context, args []string) int {
	all := modes()
	at := -1
	if len(args) > 0 {
		at = slices.IndexFunc(all, func(m mode) bool { return m.name == args[0] })
	}
	if at < 0 {
		fmt.Fprintln(os.Stderr, "usage: lectern-load MODE [flags]; lectern-load MODE -h lists them")
		for _, m := range all {
			fmt.Fprintf(os.Stderr, "  %-13s %s\n", m.name, m.what)
		}
		return 2
	}
	b := &bench{out: os.Stdout}
	err := b.close(all[at].run(ctx, b, args[1:]))
	if err != nil {
		fmt.Fprintln(os.Stderr, "lectern-load:", err)
		return 1
	}
	return 0
}
