package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
)

// BenchmarkFsync is the floor under every commit on this file system: appending 8 KiB and fdatasync.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var took []time.Duration
	page := make([]byte, 8192)
	for b.Loop() {
		start := time.Now()
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	reportTimes(b, took)
}

func reportTimes(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	for _, q := range []int{50, 99} {
		b.ReportMetric(float64(took[len(took)*q/100].Microseconds()), fmt.Sprintf("µs-p%d", q))
	}
}

// BenchmarkCommit is the whole way of a change through hub and store: from Submit of the author to Next of a second session, with the given
// number of boards at work at the same time.
func BenchmarkCommit(b *testing.B) {
	for _, boards := range []int{1, 4, 20} {
		b.Run(fmt.Sprintf("boards=%d", boards), func(b *testing.B) {
			var commits, shared atomic.Int64
			o := options(b)
			o.Committed = func(n int, _ time.Duration) { commits.Add(1); shared.Add(int64(n)) }
			s := newStore(b, o)
			hub := newHub(s)
			defer hub.Drain(context.Background())
			each := max(1, 2000/boards)
			var mu sync.Mutex
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				var wg sync.WaitGroup
				for range boards {
					wg.Go(func() {
						t := oneBoard(b, hub, each)
						mu.Lock()
						took = append(took, t...)
						mu.Unlock()
					})
				}
				wg.Wait()
			}
			reportTimes(b, took)
			b.ReportMetric(float64(b.N*boards*each)/b.Elapsed().Seconds(), "changes/s")
			b.ReportMetric(float64(shared.Load())/float64(commits.Load()), "requests/commit")
		})
	}
}

var boardNumber atomic.Int64

func oneBoard(b *testing.B, hub *board.Hub, n int) (took []time.Duration) {
	j := board.Join{Board: board.ID(fmt.Sprintf("board%021d", boardNumber.Add(1))), Room: "!r:x", Kind: "whiteboard", Person: "@ada:x"}
	author, w, err := hub.Join(context.Background(), j)
	if err != nil {
		b.Error(err)
		return nil
	}
	defer author.Leave()
	j.Person = "@bob:x"
	other, _, err := hub.Join(context.Background(), j)
	if err != nil {
		b.Error(err)
		return nil
	}
	defer other.Leave()
	a := boardtest.NewAuthor(w.Actor)
	first := a.Make("e")
	for i := range n {
		raw := first
		if i > 0 {
			raw = a.Move("e", int64(i))
		}
		start := time.Now()
		if err := author.Submit(context.Background(), w.Meta.Docs[0].ID, 0, raw); err != nil {
			b.Error(err)
			return nil
		}
		if code := await(b, other, 1); code != "" {
			b.Error(code)
			return nil
		}
		took = append(took, time.Since(start))
		await(b, author, 1)
	}
	return took
}

// BenchmarkAppend is the store alone: entries per second when one request carries many.
func BenchmarkAppend(b *testing.B) {
	for _, group := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("entries=%d", group), func(b *testing.B) {
			s := newStore(b, options(b))
			create(b, s, nil)
			a := boardtest.NewAuthor(board.ActorID{1})
			seq := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				list := make([]board.Entry, group)
				for i := range list {
					seq++
					raw := a.Make(fmt.Sprint(seq))
					list[i] = boardtest.NewEntry(seq, doc, a, raw, ada)
				}
				c := make(chan error, 1)
				s.Append(id, list, func(err error) { c <- err })
				if err := <-c; err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(seq)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
