package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// crash kills the server in the middle of editing and looks for what somebody had seen.
func crash(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("crash", flag.ExitOnError)
	rounds := fs.Int("rounds", 20, "kill -9 so many times, at most 1000")
	people := fs.Int("people", 10, "who draw, at most 50")
	hz := fs.Int("hz", 10, "changes per second and person")
	lane := fs.String("lane", "ws", "ws or dc")
	dir := fs.String("dir", "", "where the database is made (default: folder for temporary files)")
	_ = fs.Parse(args) // exits
	if *rounds > 1000 || *people > 50 || *hz < 1 || *people < 1 {
		return fmt.Errorf("too many rounds or people")
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
	fmt.Printf("%d rounds, %d people at %d Hz over %s, %s, fsync p50 %.2f ms\n", *rounds, *people, *hz, *lane, kind, q.P50)
	var acked, seen, missing, unacked int
	for r := range *rounds {
		// A page holds 5,000 elements: a new board every five rounds, so that the old ones are read back several times.
		n, err := crashRound(ctx, work, r, r/5, *people, *hz, *lane)
		if err != nil {
			return fmt.Errorf("round %d: %w", r, err)
		}
		acked, seen, missing, unacked = acked+n.acked, seen+n.seen, missing+n.missing, unacked+n.unacked
		fmt.Printf("round %2d: killed after %4d ms; acknowledged %5d, seen by others %6d (distinct changes %5d), on their way %3d; missing %d\n", r, n.after.Milliseconds(), n.acked, n.seen, n.distinct, n.unacked, n.missing)
	}
	fmt.Printf("total: acknowledged %d, seen by others %d, on their way at the kill %d, missing after restart %d\n", acked, seen, unacked, missing)
	if missing > 0 {
		return fmt.Errorf("%d changes that somebody had seen are gone", missing)
	}
	return nil
}

type crashCount struct {
	acked, seen, distinct, missing, unacked int
	after                                   time.Duration
}

func crashRound(ctx context.Context, work string, round, board, people, hz int, lane string) (n crashCount, err error) {
	data := filepath.Join(work, "data")
	p, err := start(ctx, "serve", "-data", data)
	if err != nil {
		return n, err
	}
	killed := sync.OnceValue(p.kill)
	defer func() { _ = killed() }()
	file := filepath.Join(work, fmt.Sprintf("seen-%d", round))
	notes, err := openNotes(file)
	if err != nil {
		return n, err
	}
	join, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	api := client.NewAPI()
	var clients []*client.Client
	var authors []*client.Author
	for i := range people {
		me := &self{}
		c, err := client.Join(join, p.URL, loadToken(fmt.Sprintf("p%d", i), board), client.Options{API: api, Entries: func(_ uint64, list []wire.Entry, _ int) {
			for _, e := range list {
				notes.note(me.is(e.Actor), client.Hash(e.Bytes))
			}
		}})
		if err != nil {
			return n, err
		}
		defer c.Kill()
		me.set(c.Welcome().Actor)
		if lane == "dc" {
			if _, err := c.OpenChannel(join); err != nil {
				return n, err
			}
			c.Move(wire.LaneChannel)
		}
		a, err := client.NewAuthor(c.Welcome().Actor)
		if err != nil {
			return n, err
		}
		clients, authors = append(clients, c), append(authors, a)
	}
	drawing, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for drawing.Err() == nil {
				c.Change(c.Welcome().Docs[0].Doc, 0, authors[i].Stroke(100+rand.IntN(300)))
				_ = wait(drawing, rand.N(2*time.Second/time.Duration(hz)))
			}
		})
	}
	begun := time.Now()
	if err := wait(ctx, 700*time.Millisecond+rand.N(1300*time.Millisecond)); err != nil {
		return n, err
	}
	n.after = time.Since(begun)
	if err := killed(); err != nil {
		return n, err
	}
	stop()
	wg.Wait()
	for _, c := range clients {
		c.Kill()
		_, _, u := c.State()
		n.unacked += u
		if s := c.Stats(); s.Resets > 0 {
			return n, fmt.Errorf("%d changes were refused", s.Resets)
		}
	}
	if err := notes.close(); err != nil {
		return n, err
	}
	want, err := readNotes(file, &n)
	if err != nil {
		return n, err
	}
	n.distinct = len(want)
	if n.acked == 0 {
		return n, fmt.Errorf("nothing was acknowledged before the kill: the round shows nothing")
	}
	have, err := everything(ctx, data, board)
	if err != nil {
		return n, err
	}
	for h := range want {
		if !have[h] {
			n.missing++
		}
	}
	return n, nil
}

// everything starts the server again and reads the whole log as a newcomer.
func everything(ctx context.Context, data string, board int) (map[string]bool, error) {
	p, err := start(ctx, "serve", "-data", data)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.kill() }()
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	have := map[string]bool{} // written under the client's lock; read after it has everything and is gone
	c, err := client.Join(ctx, p.URL, loadToken("reader", board), client.Options{Entries: func(_ uint64, list []wire.Entry, _ int) {
		for _, e := range list {
			h := client.Hash(e.Bytes)
			have[string(h[:])] = true
		}
	}})
	if err != nil {
		return nil, err
	}
	defer c.Kill()
	for last := c.Welcome().Seq; ; {
		if seq, _, _ := c.State(); seq >= last {
			c.Kill()
			return have, nil
		}
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// self is a client's actor, which is not known before its first entries may come.
type self struct {
	mu    sync.Mutex
	actor string
}

func (s *self) set(a []byte) { s.mu.Lock(); s.actor = string(a); s.mu.Unlock() }

func (s *self) is(a []byte) bool { s.mu.Lock(); defer s.mu.Unlock(); return s.actor == string(a) }

// notes is the file of what was acknowledged ("a") and seen ("s"): each line is on disk within one fsync.
type notes struct {
	f    *os.File
	ch   chan string
	done chan error
}

func openNotes(path string) (*notes, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	n := &notes{f: f, ch: make(chan string, 4096), done: make(chan error, 1)}
	go func() { // ends with close
		for line := range n.ch {
			b := []byte(line)
			for more := true; more; {
				select {
				case l, ok := <-n.ch:
					b, more = append(b, l...), ok
				default:
					more = false
				}
			}
			if _, err := f.Write(b); err != nil {
				n.done <- err
				return
			}
			if err := f.Sync(); err != nil {
				n.done <- err
				return
			}
		}
		n.done <- f.Close()
	}()
	return n, nil
}

func (n *notes) note(own bool, hash [32]byte) {
	kind := "s "
	if own {
		kind = "a "
	}
	n.ch <- kind + hex.EncodeToString(hash[:]) + "\n"
}

func (n *notes) close() error {
	close(n.ch)
	return <-n.done
}

func readNotes(path string, n *crashCount) (map[string]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	want := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		kind, text, _ := strings.Cut(s.Text(), " ")
		h, err := hex.DecodeString(text)
		if err != nil {
			return nil, err
		}
		want[string(h)] = true
		if kind == "a" {
			n.acked++
		} else {
			n.seen++
		}
	}
	return want, nil
}
