package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// crash kills the server in the middle of editing, of squashing, of saving and of starting, and looks for what somebody had seen.
func crash(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("crash", flag.ExitOnError)
	rounds := fs.Int("rounds", 20, "kill -9 so many times, at most 1000")
	people := fs.Int("people", 10, "who draw, at most 50")
	hz := fs.Int("hz", 10, "changes per second and person")
	lane := fs.String("lane", "both", "ws, dc, or both in turn")
	dir := fs.String("dir", "", "where the database is made (default: folder for temporary files)")
	large := fs.Int("recovery", 0, "instead: how long a board of so many changes takes to open after a kill, at most 1000000")
	_ = fs.Parse(args) // exits
	if *rounds > 1000 || *people > 50 || *hz < 1 || *people < 1 || *large > 1_000_000 {
		return fmt.Errorf("too many rounds, people or changes")
	}
	work, err := workdir(*dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	kind, q, err := disk(work)
	if err != nil {
		return err
	}
	if *large > 0 {
		return recovery(ctx, filepath.Join(work, "data"), *large)
	}
	fmt.Printf("%d rounds, %d people at %d Hz over %s, %s, fsync p50 %.2f ms\n", *rounds, *people, *hz, *lane, kind, q.P50)
	c := &crashing{data: filepath.Join(work, "data"), people: *people, hz: *hz, want: map[int]map[string]bool{}}
	var sum crashCount
	hits := map[string]int{}
	var opened []time.Duration
	for r := range *rounds {
		over := *lane
		if over == "both" {
			over = []string{"ws", "dc"}[r%2]
		}
		n, err := c.round(ctx, filepath.Join(work, fmt.Sprint("notes-", r)), r, over)
		if err != nil {
			return fmt.Errorf("round %d: %w", r, err)
		}
		fmt.Printf("round %3d %s: killed after %4d ms in %-8s; acknowledged %5d, seen by others %6d (distinct %5d), on their way %3d; epoch %2d; open again after %4d ms; missing %d\n",
			r, over, n.after.Milliseconds(), n.hit, n.acked, n.seen, n.distinct, n.unacked, n.epoch, n.opened.Milliseconds(), n.missing)
		hits[n.hit]++
		hits["start"] += n.starts
		hits["opening"] += n.openings
		opened = append(opened, n.opened)
		sum.acked, sum.seen, sum.distinct, sum.unacked, sum.missing = sum.acked+n.acked, sum.seen+n.seen, sum.distinct+n.distinct, sum.unacked+n.unacked, sum.missing+n.missing
	}
	o := quantiles(opened)
	fmt.Printf("kills: %d while drawing, %d in a squash, %d in a save (merge, snapshot, record), %d in the start, %d while the board opened\n", hits["drawing"], hits["squash"], hits["save"], hits["start"], hits["opening"])
	fmt.Printf("total: acknowledged %d, seen by others %d (distinct changes %d), on their way at the kill %d, missing after restart %d; who was there and a newcomer held the same document after each round; open again p50 %.0f, max %.0f ms\n",
		sum.acked, sum.seen, sum.distinct, sum.unacked, sum.missing, o.P50, o.Max)
	if sum.missing > 0 {
		return fmt.Errorf("%d changes that somebody had seen are gone", sum.missing)
	}
	return nil
}

// crashing is a run of crash.
type crashing struct {
	data       string
	people, hz int
	want       map[int]map[string]bool // by board: what was acknowledged or seen in any round
	ready      time.Duration           // how long the last start took until the board was open
}

type crashCount struct {
	acked, seen, distinct, missing, unacked int
	starts, openings                        int // killed before the server was ready, or before the board was open
	after, opened                           time.Duration
	hit                                     string // "drawing", "squash" or "save": what was under way at the kill
	epoch                                   uint32
}

// perBoard is how many rounds a board lasts: a page holds 5,000 elements, and every round reads all of it back.
const perBoard = 5

func (c *crashing) round(ctx context.Context, file string, round int, lane string) (n crashCount, err error) {
	phase := []string{"drawing", "squash", "save", "start", "squash", "save"}[round%6]
	board := round / perBoard
	if phase == "start" {
		for range 5 {
			if err := c.killStarting(ctx, board, &n); err != nil {
				return n, err
			}
		}
	}
	p, err := start(ctx, "serve", "-full", "-data", c.data)
	if err != nil {
		return n, err
	}
	killed := sync.OnceValue(p.kill)
	defer func() { _ = killed() }()
	list, err := openNotes(file)
	if err != nil {
		return n, err
	}
	there, err := watch(ctx, p, board)
	if err != nil {
		return n, err
	}
	defer there.c.Kill()
	writers, err := c.gather(ctx, p, list, board, lane)
	for _, w := range writers {
		defer w.pen.c.Kill()
	}
	if err != nil {
		return n, err
	}
	drawing, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for _, w := range writers {
		wg.Go(func() {
			for drawing.Err() == nil {
				if err := w.pen.draw(drawing, 100+rand.IntN(300), func([]byte) {}); err != nil {
					failed.CompareAndSwap(nil, &err) // counts only if it was before the kill
					return
				}
				_ = wait(drawing, rand.N(2*time.Second/time.Duration(c.hz)))
			}
		})
	}
	begun := time.Now()
	if n.hit, err = c.killIn(ctx, p, phase, board, &failed, killed); err != nil {
		return n, err
	}
	n.after = time.Since(begun)
	stop()
	wg.Wait()
	for _, w := range writers {
		w.pen.c.Kill()
		_, _, u := w.pen.c.State()
		n.unacked += u
		if s := w.pen.c.Stats(); s.Resets > 0 {
			return n, fmt.Errorf("%d changes were refused", s.Resets)
		}
	}
	there.c.Kill()
	if err := list.close(); err != nil {
		return n, err
	}
	if c.want[board] == nil {
		c.want[board] = map[string]bool{}
	}
	if err := readNotes(file, &n, c.want[board]); err != nil {
		return n, err
	}
	if n.acked == 0 {
		return n, errors.New("nothing was acknowledged before the kill: the round shows nothing")
	}
	return n, c.look(ctx, there, board, &n)
}

// writer is somebody who draws and notes what it is sent.
type writer struct {
	pen *pen
	me  self
}

func (c *crashing) gather(ctx context.Context, p *process, list *notes, board int, lane string) (out []*writer, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	api := client.NewAPI()
	for i := range c.people {
		w := &writer{pen: &pen{p: p, token: loadToken(fmt.Sprintf("p%d", i), board)}}
		conn, err := client.Join(ctx, p.URL, w.pen.token, client.Options{
			API: api,
			Entries: func(_ uint64, entries []wire.Entry, _ int) {
				for _, e := range entries {
					if w.pen.sees(e); len(e.Bytes) > 0 {
						list.note(w.me.is(e.Actor), client.Hash(e.Bytes))
					}
				}
			},
			Frame: func(f wire.Frame, _ int) {
				if k, ok := f.(wire.Known); ok {
					for _, h := range k.Hashes {
						list.note(true, [32]byte(h))
					}
				}
			},
		})
		if err != nil {
			return out, err
		}
		w.me.set(conn.Welcome().Actor)
		w.pen.c = conn // also where take fails: the caller ends it
		out = append(out, w)
		if err := w.pen.take(conn); err != nil {
			return out, err
		}
		if lane == "dc" {
			if _, err := conn.OpenChannel(ctx); err != nil {
				return out, err
			}
			conn.Move(wire.LaneChannel)
		}
	}
	return out, nil
}

// killIn kills the server at a random moment: while people draw, or while a squash or a save that was asked for has not been answered.
func (c *crashing) killIn(ctx context.Context, p *process, phase string, board int, failed *atomic.Pointer[error], kill func() error) (hit string, err error) {
	if err := wait(ctx, 500*time.Millisecond+rand.N(1300*time.Millisecond)); err != nil {
		return "", err
	}
	if err := failed.Load(); err != nil {
		return "", *err
	}
	if phase != "squash" && phase != "save" {
		return "drawing", kill()
	}
	for {
		answered, began := make(chan error, 1), time.Now()
		go func() { answered <- p.get(ctx, fmt.Sprintf("/%s?board=%d", phase, board), nil) }() // ends with the server at the latest
		select {
		case err := <-answered: // too quick this time
			if err != nil {
				return "", fmt.Errorf("%s: %w", phase, err)
			}
			if time.Since(began) > 2*time.Second {
				return "", fmt.Errorf("%s: took %v", phase, time.Since(began))
			}
			if err := wait(ctx, rand.N(200*time.Millisecond)); err != nil {
				return "", err
			}
		case <-time.After(rand.N(300 * time.Millisecond)):
			err := kill()
			if aerr := <-answered; aerr == nil {
				return "drawing", err // answered just before
			}
			return phase, err
		}
	}
}

// killStarting kills a server that starts, or opens a board, at a random moment.
func (c *crashing) killStarting(ctx context.Context, board int, n *crashCount) error {
	most := max(c.ready, 20*time.Millisecond) * 5 / 4
	short, cancel := context.WithTimeout(ctx, rand.N(most)) // its end kills the child
	defer cancel()
	p, err := start(short, "serve", "-full", "-data", c.data)
	if err != nil {
		n.starts++
		return ctx.Err()
	}
	r, err := client.Join(short, p.URL, loadToken("reader", board), client.Options{})
	if err != nil {
		n.openings++
	} else {
		r.Kill()
	}
	_ = p.kill() // may have gone by itself
	return ctx.Err()
}
