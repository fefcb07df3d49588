package board_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
)

// instant is a log that answers at once and keeps nothing: what is measured is the actor.
type instant struct {
	*boardtest.Log
	queue chan func(error)
}

func (l *instant) Append(_ board.ID, _ []board.Entry, done func(error)) { l.queue <- done }

// BenchmarkFanOut is one change to n sessions without disk and network: parse, judge, encode once, wake, n times Next. Allocations are per change.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{2, 10, 50} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			l := &instant{boardtest.NewLog(), make(chan func(error), 1)}
			defer l.Close()
			go func() { // ends with the benchmark
				for done := range l.queue {
					done(nil)
				}
			}()
			defer close(l.queue)
			hub := board.NewHub(board.Config{
				Log: l, Authority: func(string, board.Person) (board.Role, string) { return board.RoleParticipant, "" },
				Encode: func(dst []byte, e board.Entry) []byte { return append(dst, e.Bytes...) },
			})
			defer hub.Drain(context.Background())
			var sessions []*board.Session
			var w board.Welcome
			for i := range n {
				s, w1, err := hub.Join(b.Context(), board.Join{Board: testBoard, Room: testRoom, Kind: "whiteboard", Person: ada})
				if err != nil {
					b.Fatal(err)
				}
				if sessions = append(sessions, s); i == 0 {
					w = w1
				}
			}
			a := boardtest.NewAuthor(w.Actor)
			chunks := [][]byte{a.Make("e")}
			for i := range b.N - 1 {
				chunks = append(chunks, a.Move("e", int64(i)))
			}
			var got sync.WaitGroup
			var readers sync.WaitGroup
			ctx, cancel := context.WithCancel(b.Context())
			for _, s := range sessions {
				readers.Go(func() {
					var batch board.Batch
					for {
						more, err := s.Next(ctx, &batch)
						if err != nil {
							b.Error(err)
							return
						}
						if n := len(batch.Entries); n > 0 { // Add(0) beside Wait is a misuse
							got.Add(-n)
						}
						if !more {
							select {
							case <-s.Wake():
							case <-ctx.Done():
								return
							}
						}
					}
				})
			}
			b.ReportAllocs()
			b.ResetTimer()
			const block = 200 // nobody falls off the tail: there is no log to read back from
			for i, c := range chunks {
				if i%block == 0 {
					got.Wait()
					got.Add(n * min(block, len(chunks)-i))
				}
				if err := sessions[0].Submit(ctx, w.Meta.Docs[0].ID, 0, c); err != nil {
					b.Fatal(err)
				}
			}
			got.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*len(chunks)), "ns/delivery")
			cancel()
			readers.Wait()
		})
	}
}

// BenchmarkLive is one live update on a board of 50, each of them reading.
func BenchmarkLive(b *testing.B) {
	l := boardtest.NewLog()
	defer l.Close()
	hub := board.NewHub(board.Config{
		Log: l, Authority: func(string, board.Person) (board.Role, string) { return board.RoleParticipant, "" },
		Encode: func(dst []byte, e board.Entry) []byte { return append(dst, e.Bytes...) },
	})
	defer hub.Drain(context.Background())
	var sessions []*board.Session
	for range 50 {
		s, _, err := hub.Join(b.Context(), board.Join{Board: testBoard, Room: testRoom, Kind: "whiteboard", Person: ada})
		if err != nil {
			b.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	payload := make([]byte, 200)
	batches := make([]board.Batch, len(sessions))
	b.ReportAllocs()
	for b.Loop() {
		sessions[0].Live(0, payload)
		for i, s := range sessions {
			if _, err := s.Next(b.Context(), &batches[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkHistory reads a page's past of 5,000 changes, as many as an epoch has: a list of versions, one version, and who made the element that is the last in the log.
func BenchmarkHistory(b *testing.B) {
	const n = 5000
	l := boardtest.NewLog()
	defer l.Close()
	hub := board.NewHub(board.Config{Log: l, Authority: func(string, board.Person) (board.Role, string) { return board.RoleModerator, "" }})
	defer hub.Drain(context.Background())
	a := boardtest.NewAuthor(board.ActorID{1})
	m := board.Meta{ID: testBoard, Room: testRoom, Kind: "whiteboard", Log: "l", Docs: []board.DocInfo{{ID: "page"}}}
	var entries []board.Entry
	for i := range n {
		var chunk []byte
		if i%10 == 0 {
			chunk = a.Make(fmt.Sprintf("e%d", i))
		} else {
			chunk = a.Move("e0", int64(i))
		}
		entries = append(entries, boardtest.NewEntry(uint64(i+1), "page", a, chunk, ada))
	}
	if err := l.Create(b.Context(), m, entries, map[board.ActorID]board.Person{a.Actor: ada}); err != nil {
		b.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"versions": func() error { _, err := hub.Versions(b.Context(), testRoom, ada, testBoard, "page"); return err },
		"version":  func() error { _, err := hub.Version(b.Context(), testRoom, ada, testBoard, "page", n); return err },
		"drew": func() error {
			_, _, err := hub.Drew(b.Context(), testBoard, "page", fmt.Sprintf("e%d", n-10))
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
