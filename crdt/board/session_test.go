package board_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

func TestSession(t *testing.T) {
	inBubble(t, "BD12 a new session gets the log from the oldest snapshot on, a resumed one from what it has", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(50)
		a.settle()
		r.log.Snapshot(testBoard, a.doc, 30)
		log := a.w.Meta.Log
		for _, c := range []struct {
			name   string
			log    string
			have   uint64
			resume bool
			from   uint64
		}{
			{"first time", "", 0, false, 30},
			{"has something newer than the snapshot", log, 40, true, 40},
			{"has everything", log, 50, true, 50},
			{"a little behind the snapshot", log, 3, true, 3},
			{"another log", "other", 40, false, 30},
			{"more than there is", log, 51, false, 30},
		} {
			b := r.join(bob, func(j *board.Join) { j.Log, j.Have = c.log, c.have })
			want(t, c.name+": resume", b.w.Resume, c.resume)
			want(t, c.name+": seq", b.w.Meta.Seq, 50)
			want(t, c.name+": docs.seq", b.w.Meta.Docs[0].Seq, 30)
			want(t, c.name+": cursor", b.have, c.from)
			b.read()
			want(t, c.name+": entries", len(b.entries), int(50-c.from))
			b.s.Leave()
		}
	})
	inBubble(t, "BD12 a client far behind the snapshot fetches it", func(t *testing.T, r *rig) {
		a := r.join(ada)
		for range 45 {
			a.draw(100)
			a.settle()
		}
		r.log.Snapshot(testBoard, a.doc, 4400)
		b := r.join(bob, func(j *board.Join) { j.Log, j.Have = a.w.Meta.Log, 10 })
		want(t, "resume", b.w.Resume, false)
		b.read()
		want(t, "entries", len(b.entries), 100)
	})
	inBubble(t, "BD13 a session that does not read costs the others nothing and misses nothing", func(t *testing.T, r *rig) {
		a, slow := r.join(ada), r.join(bob)
		for range 47 {
			a.draw(100)
			a.settle()
		}
		want(t, "reads of the log so far", r.log.Reads(), 0)
		slow.read() // beyond the tail in memory: from the log
		want(t, "entries", len(slow.entries), 4700)
		if r.log.Reads() == 0 {
			t.Fatal("the tail was never left")
		}
		r.check(a, slow)
	})
	inBubble(t, "BD14 a change of lanes: nothing of the log while held, then from what the client has", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		a.draw(10)
		b.settle()
		b.s.Hold(true)
		b.events = nil
		a.draw(10)
		r.hub.Saved(testBoard, board.Saved{Seq: 5})
		a.s.Live(0, []byte("p"))
		b.settle()
		want(t, "entries while held", len(b.entries), 10)
		want(t, "events while held", len(b.events), 0)
		want(t, "live while held", len(b.live), 1)
		b.have = 7 // three were lost with the old lane
		if err := b.s.Seek(7); err != nil {
			t.Fatal(err)
		}
		b.settle()
		want(t, "have", b.have, 20)
		p := events[board.PeopleEvent](b)
		if len(p) != 1 || !p[0].Full || len(p[0].Joined) != 2 {
			t.Fatalf("people %+v", p)
		}
		want(t, "saved", events[board.SavedEvent](b)[0].Seq, 5)
		if err := b.s.Seek(21); !errors.Is(err, board.ErrSeek) {
			t.Fatalf("got %v", err)
		}
		r.check(a, b)
	})
	inBubble(t, "BD14 a move while the log is being read for the old position wins", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		for range 47 {
			a.draw(100)
			a.settle()
		}
		moved := false
		r.log.OnRead = func() {
			if !moved {
				moved = true
				if err := b.s.Seek(4000); err != nil {
					t.Error(err)
				}
			}
		}
		b.have = 4000
		b.read()
		want(t, "moved", moved, true)
		want(t, "entries", len(b.entries), 700)
	})
	inBubble(t, "BD14 a reset that may have been lost with a lane comes again", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.submit(a.a.Make("x"), a.a.Foreign("x"))
		a.settle()
		if err := a.s.Seek(a.have); err != nil {
			t.Fatal(err)
		}
		a.settle()
		wantCodes(t, a, "grammar", "grammar")
		e := events[board.ResetEvent](a)
		want(t, "the same actor", e[0].Actor, e[1].Actor)
	})
	inBubble(t, "BD15 the actor asked for is given when it is the person's own, and its other session ends", func(t *testing.T, r *rig) {
		a := r.join(ada)
		again := r.join(ada, func(j *board.Join) { j.Actor = a.w.Actor })
		want(t, "actor", again.w.Actor, a.w.Actor)
		a.settle()
		bye := events[board.ByeEvent](a)
		if len(bye) != 1 || bye[0].Close != 4409 || bye[0].Retry >= 0 {
			t.Fatalf("bye %+v", bye)
		}
		if err := a.s.Submit(context.Background(), a.doc, 0, a.a.Make("x")); !errors.Is(err, board.ErrClosed) {
			t.Fatalf("submit on a replaced session: %v", err)
		}
		b := r.join(bob, func(j *board.Join) { j.Actor = a.w.Actor })
		if b.w.Actor == a.w.Actor {
			t.Fatal("somebody else's actor was given")
		}
		other := r.join(ada)
		if other.w.Actor == a.w.Actor {
			t.Fatal("a second tab got the same actor")
		}
		want(t, "not the server's", other.w.Actor[0] != 0, true)
	})
	inBubble(t, "BD16 after Leave Next answers ErrClosed", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.s.Leave()
		a.s.Leave()
		<-a.s.Done()
		var b board.Batch
		if _, err := a.s.Next(context.Background(), &b); !errors.Is(err, board.ErrClosed) {
			t.Fatalf("got %v", err)
		}
	})
	inBubble(t, "BD16 a join that is given up leaves no session behind", func(t *testing.T, r *rig) {
		a := r.join(ada)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for range 50 {
			if s, _, err := r.hub.Join(ctx, board.Join{Board: testBoard, Room: testRoom, Kind: "whiteboard", Person: bob}); err == nil {
				s.Leave() // the answer was quicker
			}
		}
		a.settle()
		r.mu.Lock()
		defer r.mu.Unlock()
		want(t, "people", r.changed[len(r.changed)-1].People, 1)
	})
}

func TestPresence(t *testing.T) {
	inBubble(t, "BD17 people: everybody at first, differences afterwards, joined per wake-up", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.read()
		p := events[board.PeopleEvent](a)
		if len(p) != 1 || !p[0].Full || len(p[0].Joined) != 1 || p[0].Joined[0].Name != "Ada" {
			t.Fatalf("people %+v", p)
		}
		a.events = nil
		b, c := r.join(bob), r.join(eve)
		c.s.Leave()
		a.read()
		p = events[board.PeopleEvent](a)
		if len(p) != 1 || p[0].Full || len(p[0].Joined) != 1 || p[0].Joined[0].Session != b.s.ID() {
			t.Fatalf("people %+v", p)
		}
		a.events = nil
		b.s.Leave()
		a.read()
		p = events[board.PeopleEvent](a)
		if len(p) != 1 || len(p[0].Left) != 1 || p[0].Left[0] != b.s.ID() {
			t.Fatalf("people %+v", p)
		}
	})
	inBubble(t, "BD17 a new role or name is told to all", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		a.read()
		b.read()
		a.events = nil
		r.set(bob, board.RoleModerator)
		r.mu.Lock()
		r.names[bob] = "Robert"
		r.mu.Unlock()
		r.hub.Recheck(testRoom)
		a.read()
		b.read()
		p := events[board.PeopleEvent](a)[0].Joined[0]
		if p.Session != b.s.ID() || p.Role != board.RoleModerator || p.Name != "Robert" {
			t.Fatalf("person %+v", p)
		}
		want(t, "own role", events[board.RoleEvent](b)[0].Role, board.RoleModerator)
		want(t, "not to others", len(events[board.RoleEvent](a)), 0)
	})
	inBubble(t, "BD18 live: the newest per sender and slot, never to oneself, overwritten ones counted", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		for i := range 100 {
			a.s.Live(0, fmt.Append(nil, i))
		}
		a.s.Live(1, []byte("stroke"))
		b.s.Live(0, []byte("b"))
		a.read()
		b.read()
		if len(b.live) != 2 || string(b.live[0].Payload) != "99" || string(b.live[1].Payload) != "stroke" || b.live[0].Session != a.s.ID() {
			t.Fatalf("live %+v", b.live)
		}
		if len(a.live) != 1 || string(a.live[0].Payload) != "b" {
			t.Fatalf("live %+v", a.live)
		}
		want(t, "dropped", r.drops("live_overwritten"), 99)
		late := r.join(bob)
		late.read()
		want(t, "a late joiner sees what is there", len(late.live), 3)
		a.s.Leave()
		synctest.Wait()
		later := r.join(bob)
		later.read()
		want(t, "a leaver's slots are gone", len(later.live), 1)
		a.s.Live(0, []byte("ghost"))
		later.read()
		want(t, "after leaving", len(later.live), 1)
	})
	inBubble(t, "BD18 live: limits, and no drawing for viewers", func(t *testing.T, r *rig) {
		a, e := r.join(ada), r.join(eve)
		a.s.Live(4, []byte("x"))
		a.s.Live(0, make([]byte, 8193))
		e.s.Live(1, []byte("x"))
		e.s.Live(0, []byte("cursor"))
		a.read()
		e.read()
		want(t, "sent", len(a.live), 1)
		want(t, "sent to the viewer", len(e.live), 0)
		want(t, "refused", r.drops("live_refused"), 3)
	})
	inBubble(t, "BD18 live: a call of Next hands out about 48 KiB, nothing is lost", func(t *testing.T, r *rig) {
		var list []*client
		for range 20 {
			c := r.join(ada)
			c.s.Live(1, make([]byte, 8000))
			list = append(list, c)
		}
		synctest.Wait()
		c := r.join(bob)
		synctest.Wait()
		var b board.Batch
		got, calls := 0, 0
		for {
			more, err := c.s.Next(context.Background(), &b)
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				break
			}
			if len(b.Live) > 6 {
				t.Fatalf("%d updates at once", len(b.Live))
			}
			got += len(b.Live)
			calls++
		}
		want(t, "updates", got, 20)
		_ = list
	})
	inBubble(t, "BD19 saved reaches everybody and the next who join", func(t *testing.T, r *rig) {
		a := r.join(ada)
		v := board.Saved{Seq: 3, At: time.Unix(5, 0), Problem: "room_forbidden"}
		r.hub.Saved(testBoard, v)
		a.read()
		want(t, "event", events[board.SavedEvent](a)[0].Saved, v)
		want(t, "welcome", r.join(bob).w.Saved, v)
		r.hub.Saved("unknown", v) // nothing happens
	})
}
