package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	boards "github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/store"
	"github.com/educationpub/lectern/server/transport/client"
)

// RecoveryResult is how long a board takes to open after kill -9.
type RecoveryResult struct {
	Changes int       `json:"changes"`
	MB      float64   `json:"database_mb"`
	What    string    `json:"what"` // before or after a squash
	Up      Quantiles `json:"server_up_ms"`
	Open    Quantiles `json:"board_open_ms"` // from the start of the process
}

const recoveries = 5

// recovery measures how long a board of n changes takes to open after kill -9, before and after a squash.
func recovery(ctx context.Context, b *bench, n int) error {
	data, err := b.folder()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := pour(ctx, data, n); err != nil {
		return err
	}
	file, err := os.Stat(filepath.Join(data, "lectern.db"))
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "a board of %d changes, %.1f MB on disk, made in %.1f s; from the start of the process, of %d kills each:\n", n, float64(file.Size())/1e6, time.Since(begun).Seconds(), recoveries)
	t := b.table("               ", "server up ms 50/90/99/max", "board open ms 50/90/99/max")
	for _, what := range []string{"before a squash", "after a squash"} {
		if what == "after a squash" {
			if err := withKill(ctx, data, true, func(p *process) error { return p.get(ctx, "/squash?board=0", nil) }); err != nil {
				return err
			}
		}
		full := what == "after a squash" // otherwise a server that squashes nothing: such a board pays for one as soon as it is open
		var up, open []time.Duration
		for range recoveries {
			// Somebody draws, so that there is a write-ahead log to be read.
			if err := withKill(ctx, data, full, func(p *process) error { return scribble(ctx, p) }); err != nil {
				return err
			}
			begun := time.Now()
			err := withKill(ctx, data, full, func(p *process) error {
				up = append(up, time.Since(begun))
				c, err := client.Join(ctx, p.URL, loadToken("reader", 0), client.Options{})
				if err != nil {
					return err
				}
				open = append(open, time.Since(begun))
				c.Kill()
				return nil
			})
			if err != nil {
				return err
			}
		}
		r := RecoveryResult{Changes: n, MB: float64(file.Size()) / 1e6, What: what, Up: quantiles(up), Open: quantiles(open)}
		b.add("recovery", r)
		t.row(what, r.Up, r.Open)
	}
	return nil
}

// withKill runs f on a server and kills it.
func withKill(ctx context.Context, data string, full bool, f func(*process) error) error {
	p, err := start(ctx, "serve", fmt.Sprint("-full=", full), "-data", data)
	if err != nil {
		return err
	}
	defer func() { _ = p.kill() }()
	return f(p)
}

func scribble(ctx context.Context, p *process) error {
	n := &pen{p: p, token: loadToken("p", 0)}
	c, err := client.Join(ctx, p.URL, n.token, client.Options{})
	if err != nil {
		return err
	}
	defer c.Kill()
	if err := n.take(c); err != nil {
		return err
	}
	for range 20 {
		if err := n.draw(ctx, 200, func([]byte) {}); err != nil {
			return err
		}
	}
	return n.done(ctx)
}

// pour makes board 0 with one author's changes, straight into the store.
func pour(ctx context.Context, data string, n int) error {
	a, err := authenticate(ctx, loadToken("filler", 0))
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Options{Path: filepath.Join(data, "lectern.db"), KeyFile: filepath.Join(data, "key")})
	if err != nil {
		return err
	}
	defer s.Close()
	actor := boards.ActorID{1}
	m := boards.Meta{ID: a.Board, Room: a.Room, Kind: a.Kind, Log: "filled", Docs: []boards.DocInfo{{ID: "01hzx3v9k2m8q4w6y7r5t1n0bc"}}}
	if err := s.Create(ctx, m, nil, map[boards.ActorID]boards.Person{actor: a.Person}); err != nil {
		return err
	}
	author, err := client.NewAuthor(actor[:])
	if err != nil {
		return err
	}
	author.Strokes = 1000
	var list []boards.Entry
	for seq := uint64(1); seq <= uint64(n); seq++ {
		raw := author.Stroke(200)
		list = append(list, boards.Entry{Seq: seq, Doc: m.Docs[0].ID, Kind: boards.KindChange, Hash: client.Hash(raw), Actor: actor, Person: a.Person, At: time.Now(), Bytes: raw})
		if len(list) < 1000 && seq < uint64(n) {
			continue
		}
		done := make(chan error, 1)
		s.Append(m.ID, list, func(err error) { done <- err })
		if err := <-done; err != nil {
			return err
		}
		list = nil
	}
	return s.Close()
}
