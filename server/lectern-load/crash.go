package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// CrashResult is all rounds together.
type CrashResult struct {
	Rounds   int            `json:"rounds"`
	Acked    int            `json:"acknowledged"`
	Seen     int            `json:"seen_by_others"`
	Distinct int            `json:"distinct_changes"`
	Unacked  int            `json:"on_their_way_at_the_kill"`
	Missing  int            `json:"missing"`
	Kills    map[string]int `json:"kills"` // by what was under way
	Opened   Quantiles      `json:"open_again_ms"`
}

// crash kills the server in the middle of editing, of squashing, of saving and of starting, and looks for what somebody had seen.
func crash(ctx context.Context, b *bench, args []string) error {
	fs := b.flags("crash")
	rounds := fs.Int("rounds", 20, "kill -9 so many times, at most 1000")
	people := fs.Int("people", 10, "who draw, at most 50")
	hz := fs.Int("hz", 10, "changes per second and person")
	lanes := fs.String("lanes", "ws,dc", "ws and dc, in turn")
	large := fs.Int("recovery", 0, "instead: how long a board of so many changes takes to open after a kill, at most 1000000")
	if err := b.start(fs, args); err != nil {
		return err
	}
	if *rounds < 1 || *rounds > 1000 || *people > 50 || *hz < 1 || *people < 1 || *large > 1_000_000 {
		return errors.New("-rounds, -people, -hz or -recovery is out of its range")
	}
	if *large > 0 {
		return recovery(ctx, b, *large)
	}
	data, err := b.folder()
	if err != nil {
		return err
	}
	c := &crashing{data: data, people: *people, hz: *hz, want: map[int]map[string]bool{}}
	sum := CrashResult{Rounds: *rounds, Kills: map[string]int{}}
	var opened []time.Duration
	t := b.table("round", "lane", "killed in", "  after ms", "acknowledged", "seen by others", "distinct", "on their way", "epoch", "open again ms", "missing")
	for r := range *rounds {
		over := strings.Split(*lanes, ",")
		lane := over[r%len(over)]
		n, err := c.round(ctx, filepath.Join(b.work, fmt.Sprint("notes-", r)), r, lane)
		if err != nil {
			return fmt.Errorf("round %d: %w", r, err)
		}
		t.row(r, lane, n.hit, n.after.Milliseconds(), n.acked, n.seen, n.distinct, n.unacked, n.epoch, n.opened.Milliseconds(), n.missing)
		sum.Kills[n.hit]++
		sum.Kills["start"] += n.starts
		sum.Kills["opening"] += n.openings
		opened = append(opened, n.opened)
		sum.Acked, sum.Seen, sum.Distinct, sum.Unacked, sum.Missing = sum.Acked+n.acked, sum.Seen+n.seen, sum.Distinct+n.distinct, sum.Unacked+n.unacked, sum.Missing+n.missing
	}
	sum.Opened = quantiles(opened)
	b.add("crash", sum)
	k := sum.Kills
	fmt.Fprintf(b.out, "kills: %d while drawing, %d in a squash, %d in a save (merge, snapshot, record), %d in the start, %d while the board opened\n", k["drawing"], k["squash"], k["save"], k["start"], k["opening"])
	fmt.Fprintf(b.out, "acknowledged %d, seen by others %d (distinct changes %d), on their way at the kill %d, missing after restart %d; after every round who was there and a newcomer held the same document; open again p50 %.0f, max %.0f ms\n",
		sum.Acked, sum.Seen, sum.Distinct, sum.Unacked, sum.Missing, sum.Opened.P50, sum.Opened.Max)
	if sum.Missing > 0 {
		return fmt.Errorf("%d changes that somebody had seen are gone", sum.Missing)
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
