package main

import (
	"context"
	"fmt"
	"strings"
)

// short is a few minutes of every mode: enough to see that they work and where the figures are about. For figures to keep, run the modes alone.
func short(ctx context.Context, b *bench, args []string) error {
	if err := b.start(b.flags("short"), args); err != nil {
		return err
	}
	for _, m := range []struct {
		run  func(context.Context, *bench, []string) error
		args string
	}{
		{load, "load -time 3s"},
		{live, "live -time 3s"},
		{join, "join -elements 1000 -updates 5"},
		{storm, "storm"},
		{slow, "slow -before 5s -beside 36s"},
		{crash, "crash -rounds 3"},
		{soak, "soak -time 20s -sample 1s -boards 4 -people 5 -stay 5s -away 1s"},
	} {
		fmt.Fprintf(b.out, "\n== %s\n", m.args)
		name, rest, _ := strings.Cut(m.args, " ")
		if err := m.run(ctx, b, strings.Fields(rest)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
