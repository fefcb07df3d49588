package board_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
)

// Each durable step fails once, having happened or not. Afterwards the board opens again, every invariant holds, and the client goes on.
func TestFaults(t *testing.T) {
	for _, step := range []boardtest.Step{boardtest.Open, boardtest.Create, boardtest.Append, boardtest.ReadDoc, boardtest.Actors, boardtest.Issue} {
		for _, applied := range []bool{false, true} {
			inBubble(t, fmt.Sprintf("BD20 %s fails, applied %v", step, applied), func(t *testing.T, r *rig) {
				var clients []*client
				var sent [][]byte
				// A short life: join, draw, be refused, close, open again, draw. The step fails at its first, second, … turn.
				for n := range 4 {
					r.log.Fail(step, n, applied)
					for range 2 {
						c, err := r.tryJoin(ada)
						if err != nil {
							if got := board.Code(err); got != "board_failed" {
								t.Fatalf("join: %v has code %s", err, got)
							}
							continue
						}
						clients = append(clients, c)
						sent = append(sent, c.draw(3)...)
						c.settle()
						c.submit(c.a.Foreign("s1-1"))
						c.settle()
						for _, e := range events[board.ByeEvent](c) {
							if e.Close != 4410 || e.Retry < 0 {
								t.Fatalf("bye %+v", e)
							}
						}
						c.s.Leave()
						time.Sleep(6 * time.Minute) // the board closes
					}
				}
				r.log.Fail(step, 1<<30, false) // if its turn has not come
				r.check(clients...)
				c := r.join(ada)
				more := c.draw(1)
				c.settle()
				want(t, "goes on", c.saw(more[0]), true)
				log := r.check(append(clients, c)...)
				if len(log) == 0 || len(log) > len(sent)+1 {
					t.Fatalf("%d entries of %d changes", len(log), len(sent)+1)
				}
			})
		}
	}
	inBubble(t, "BD20 a failed append: bye board_failed, nothing of it was sent, the same changes are taken afterwards", func(t *testing.T, r *rig) {
		for _, applied := range []bool{false, true} {
			a, b := r.join(ada), r.join(bob)
			before := len(r.log.Entries(testBoard))
			a.read()
			b.read()
			seen := len(a.entries)
			r.log.Fail(boardtest.Append, 0, applied)
			list := a.draw(5)
			a.settle()
			b.settle()
			want(t, "sent", len(a.entries), seen)
			for _, c := range []*client{a, b} {
				if bye := events[board.ByeEvent](c); len(bye) != 1 || bye[0].Close != 4410 || bye[0].Code != "board_failed" || bye[0].Retry <= 0 {
					t.Fatalf("bye %+v", bye)
				}
			}
			again := r.join(ada, func(j *board.Join) { j.Actor, j.Log, j.Have = a.w.Actor, a.w.Meta.Log, a.have })
			want(t, "actor", again.w.Actor, a.w.Actor)
			again.submit(list...)
			again.settle()
			for _, c := range list {
				want(t, "committed", again.saw(c), true)
			}
			wantCodes(t, again)
			want(t, "entries", len(r.check(a, b, again)), before+5)
			again.s.Leave()
			time.Sleep(6 * time.Minute)
		}
	})
}

func TestOpen(t *testing.T) {
	restored := func(n int) func() (*board.Restored, error) {
		return func() (*board.Restored, error) {
			a := boardtest.NewAuthor(board.ActorID{5})
			v := &board.Restored{Docs: []board.DocInfo{{ID: "page1"}}, Actors: map[board.ActorID]board.Person{{5}: bob}, SavedAt: time.Now()}
			for i := range n {
				v.Entries = append(v.Entries, boardtest.NewEntry(uint64(i+1), "page1", a, a.Make(fmt.Sprint("e", i)), bob))
			}
			return v, nil
		}
	}
	inBubble(t, "BD21 many who join at once open the board once", func(t *testing.T, r *rig) {
		done := make(chan error, 30)
		for range 30 {
			go func() { _, err := r.tryJoin(ada); done <- err }()
		}
		for range 30 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		want(t, "restores", r.asked, 1)
	})
	inBubble(t, "BD22 a board that the store does not know comes from its room", func(t *testing.T, r *rig) {
		r.restore = restored(7)
		a := r.join(ada)
		want(t, "seq", a.w.Meta.Seq, 7)
		want(t, "doc", a.doc, "page1")
		a.read()
		want(t, "entries", len(a.entries), 7)
		b := r.join(bob, func(j *board.Join) { j.Actor = board.ActorID{5} })
		want(t, "the restored actor is its person's", b.w.Actor, board.ActorID{5})
		want(t, "incarnation", len(a.w.Meta.Log), 26)
	})
	inBubble(t, "BD22 an error of restoring keeps the board closed: never an empty board", func(t *testing.T, r *rig) {
		r.restore = func() (*board.Restored, error) { return nil, board.ErrElsewhere.Because("home is another") }
		if _, err := r.tryJoin(ada); !errors.Is(err, board.ErrElsewhere) || board.Code(err) != "board_elsewhere" {
			t.Fatalf("got %v", err)
		}
		r.restore = func() (*board.Restored, error) { return nil, errors.New("homeserver down") }
		if _, err := r.tryJoin(ada); !errors.Is(err, board.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		r.restore = func() (*board.Restored, error) {
			v, _ := restored(7)()
			v.Entries[3].Bytes[30] ^= 1
			return v, nil
		}
		if _, err := r.tryJoin(ada); !errors.Is(err, board.ErrDamaged) {
			t.Fatalf("got %v", err)
		}
		if _, err := r.log.Open(context.Background(), testBoard); !errors.Is(err, board.ErrUnknown) {
			t.Fatalf("something was stored: %v", err)
		}
		r.restore = restored(7)
		want(t, "later", r.join(ada).w.Meta.Seq, 7)
	})
	inBubble(t, "BD23 a board belongs to one room and kind", func(t *testing.T, r *rig) {
		m := board.Meta{ID: testBoard, Room: "!other:example.org", Kind: "whiteboard", Log: "l", Docs: []board.DocInfo{{ID: "p"}}}
		if err := r.log.Create(context.Background(), m, nil, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := r.tryJoin(ada); !errors.Is(err, board.ErrElsewhere) {
			t.Fatalf("got %v", err)
		}
		r.join(ada, func(j *board.Join) { j.Board = "b" })
		if _, err := r.tryJoin(ada, func(j *board.Join) { j.Board, j.Kind = "b", "poll" }); !errors.Is(err, board.ErrElsewhere) {
			t.Fatalf("got %v", err)
		}
		if _, err := r.tryJoin(ada, func(j *board.Join) { j.Room = "!foreign:example.org" }); !errors.Is(err, board.ErrNotJoined) {
			t.Fatalf("got %v", err)
		}
	})
	inBubble(t, "BD24 a board that nobody uses closes, and opens again as it was", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(3)
		a.settle()
		a.s.Leave()
		time.Sleep(4 * time.Minute)
		want(t, "log before", r.log.Reads(), 0)
		b := r.join(bob)
		time.Sleep(time.Hour)
		want(t, "still open", r.log.Reads(), 0)
		b.s.Leave()
		time.Sleep(6 * time.Minute)
		c := r.join(ada, func(j *board.Join) { j.Log, j.Have, j.Actor = a.w.Meta.Log, 3, a.w.Actor })
		want(t, "resume", c.w.Resume, true)
		c.a, c.n = a.a, a.n
		c.draw(1)
		c.settle()
		want(t, "entries", len(r.check(a, c)), 4)
	})
	inBubble(t, "BD25 drain: bye 1001 to all, what is on its way arrives, nobody joins any more", func(t *testing.T, r *rig) {
		a := r.join(ada)
		resume := r.log.Pause()
		a.draw(1)
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- r.hub.Drain(context.Background()) }()
		synctest.Wait()
		a.read()
		bye := events[board.ByeEvent](a)
		if len(bye) != 1 || bye[0].Close != 1001 || bye[0].Retry <= 0 {
			t.Fatalf("bye %+v", bye)
		}
		select {
		case <-ended:
			t.Fatal("drained before the append was answered")
		default:
		}
		resume()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		want(t, "entries", len(r.check(a)), 1)
		if _, err := r.tryJoin(ada); !errors.Is(err, board.ErrDraining) {
			t.Fatalf("got %v", err)
		}
	})
	inBubble(t, "BD25 drain ends at its deadline although the log hangs", func(t *testing.T, r *rig) {
		a := r.join(ada)
		resume := r.log.Pause()
		defer resume()
		a.draw(1)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.hub.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
	})
}

// TestLife runs random people on one board with failing appends, kicks, overtaking changes, lane moves, squashes, people who stay behind in old epochs,
// and restarts, and looks at every invariant. A failing seed is printed.
func TestLife(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprintf("BD26 seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { life(t, newRig(t), rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func life(t *testing.T, r *rig, rnd *rand.Rand) {
	people := []board.Person{ada, bob, eve}
	r.set(eve, board.RoleParticipant)
	var all, live []*client
	acked := map[board.Hash]bool{}
	r.verify = func(context.Context) error {
		r.mu.Lock()
		wait, fails := rnd.IntN(2000), rnd.IntN(5) == 0
		r.mu.Unlock()
		time.Sleep(time.Duration(wait) * time.Millisecond)
		if fails {
			return errors.New("the engine is not well")
		}
		return nil
	}
	random := func(n int) int { // shared with the goroutines that verify
		r.mu.Lock()
		defer r.mu.Unlock()
		return rnd.IntN(n)
	}
	var squashes sync.WaitGroup
	for range 200 {
		for i := 0; i < len(live); { // who was told to go is gone
			if len(events[board.ByeEvent](live[i])) > 0 {
				live[i].s.Leave()
				live = append(live[:i], live[i+1:]...)
				continue
			}
			i++
		}
		p := people[random(len(people))]
		if len(live) == 0 || random(10) == 0 {
			if c, err := r.tryJoin(p); err == nil {
				all, live = append(all, c), append(live, c)
			}
			continue
		}
		c := live[random(len(live))]
		switch random(18) {
		case 14:
			squashes.Go(func() { _ = r.hub.Squash(context.Background(), testBoard, c.doc) })
		case 15:
			c.read()
			c.move()
		case 16:
			if random(4) == 0 {
				time.Sleep(11 * time.Minute) // archives are dropped
			}
		case 0:
			c.s.Leave()
			c.read()
			c.events = append(c.events, board.ByeEvent{})
		case 1:
			r.set(p, board.Role(random(3)))
			r.hub.Recheck(testRoom)
		case 2:
			r.set(p, board.RoleParticipant)
			r.hub.Recheck(testRoom)
		case 3:
			r.log.Fail(boardtest.Append, random(3), random(2) == 0)
		case 4:
			c.read()
			back := uint64(random(int(c.have) + 1))
			if err := c.s.Seek(back); err == nil {
				c.have = back
			}
		case 5:
			if len(events[board.ResetEvent](c)) == 0 {
				c.submit(c.a.Make(fmt.Sprint("f", c.s.ID(), c.n)), []byte("garbage"))
			}
		case 6:
			c.s.Live(uint8(random(5)), []byte("x"))
		case 7:
			time.Sleep(time.Duration(random(12)) * time.Second)
		default:
			var list [][]byte
			for range 1 + random(6) {
				ids := c.a.Elements()
				switch n := random(8); {
				case n > 3 || len(ids) == 0:
					c.n++
					list = append(list, c.a.Make(fmt.Sprintf("s%d-%d", c.s.ID(), c.n)))
				case n > 0:
					list = append(list, c.a.Move(ids[random(len(ids))], int64(random(9))))
				default:
					list = append(list, c.a.Hide(ids[random(len(ids))]))
				}
			}
			if i := random(len(list)); random(2) == 0 {
				list[0], list[i] = list[i], list[0]
			}
			c.submit(list...)
		}
		if random(3) == 0 {
			c.read()
			if resets := events[board.ResetEvent](c); len(resets) > 0 {
				c.a = boardtest.NewAuthor(resets[len(resets)-1].Actor)
			}
		}
	}
	squashes.Wait()
	time.Sleep(30 * time.Second)
	for _, c := range live {
		c.read()
	}
	for _, c := range all {
		for _, e := range c.entries {
			acked[boardtest.HashOf(e)] = true
		}
	}
	log := r.check(all...)
	inLog := map[board.Hash]bool{}
	for _, e := range log {
		inLog[e.Hash] = true
	}
	for h := range acked {
		if !inLog[h] {
			t.Fatalf("%x was sent but is not in the log", h[:4])
		}
	}
	for _, p := range people {
		r.set(p, board.RoleParticipant)
	}
	late, err := r.tryJoin(ada)
	if err != nil { // an injected failure may be left over for its first change, not for its joining
		t.Fatal(err)
	}
	late.read()
	want(t, "a late joiner has the log", late.have, uint64(len(log)))
	want(t, "and the epoch", late.epoch, r.epochs(late.doc))
}
