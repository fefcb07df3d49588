package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
)

// BenchmarkPaced is the load of the targets without sockets: people on boards who each draw at a pace, everybody reading. It reports the
// time from Submit until another session has the entry.
func BenchmarkPaced(b *testing.B) {
	for _, load := range []struct{ boards, people, hz int }{{1, 10, 10}, {1, 50, 5}, {20, 10, 5}} {
		b.Run(fmt.Sprintf("%dx%d@%dHz", load.boards, load.people, load.hz), func(b *testing.B) {
			s := newStore(b, options(b))
			hub := newHub(s)
			defer hub.Drain(context.Background())
			var mu sync.Mutex
			var took []time.Duration
			for b.Loop() {
				var wg sync.WaitGroup
				for range load.boards {
					id := board.ID(fmt.Sprintf("board%021d", boardNumber.Add(1)))
					var writers sync.WaitGroup
					times := sync.Map{} // chunk -> time of Submit
					ctx, cancel := context.WithCancel(b.Context())
					for i := range load.people {
						session, w, err := hub.Join(b.Context(), board.Join{Board: id, Room: "!r:x", Kind: "whiteboard", Person: board.Person(fmt.Sprintf("@p%d:x", i))})
						if err != nil {
							b.Fatal(err)
						}
						wg.Go(func() {
							t := readAll(ctx, session, &times)
							mu.Lock()
							took = append(took, t...)
							mu.Unlock()
							session.Leave()
						})
						writers.Go(func() {
							a := boardtest.NewAuthor(w.Actor)
							el := fmt.Sprintf("e%x", w.Actor[:4])
							pace := time.Second / time.Duration(load.hz)
							time.Sleep(pace * time.Duration(i) / time.Duration(load.people))
							tick := time.NewTicker(pace)
							defer tick.Stop()
							for n := range 4 * load.hz {
								raw := []byte(nil)
								if n == 0 {
									raw = a.Make(el)
								} else {
									raw = a.Move(el, int64(n))
								}
								times.Store(string(raw), time.Now())
								if err := session.Submit(ctx, w.Meta.Docs[0].ID, 0, raw); err != nil {
									b.Error(err)
									return
								}
								<-tick.C
							}
						})
					}
					wg.Go(func() {
						writers.Wait()
						time.Sleep(200 * time.Millisecond)
						cancel()
					})
				}
				wg.Wait()
			}
			slices.Sort(took)
			reportTimes(b, took)
			b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "deliveries/s")
			if want := b.N * load.boards * load.people * load.people * 4 * load.hz; len(took) != want {
				b.Fatalf("%d deliveries, want %d", len(took), want)
			}
		})
	}
}

func readAll(ctx context.Context, s *board.Session, times *sync.Map) (took []time.Duration) {
	var batch board.Batch
	for {
		more, err := s.Next(context.Background(), &batch)
		if err != nil {
			return took
		}
		for _, e := range batch.Entries {
			if t, ok := times.Load(string(e)); ok {
				took = append(took, time.Since(t.(time.Time)))
			}
		}
		if !more {
			select {
			case <-s.Wake():
			case <-ctx.Done():
				return took
			}
		}
	}
}
