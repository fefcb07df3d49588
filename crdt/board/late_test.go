package board_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
)

// x is the winning x of an element in the present epoch, -1 for an element that is not there.
func (r *rig) x(doc board.DocID, id string) int64 {
	r.t.Helper()
	v, err := r.hub.Scene(context.Background(), testBoard, doc, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range v.Elements {
		if e.ID == id {
			n, _ := e.Get("x")
			x, _ := n.(int64)
			return x
		}
	}
	return -1
}

// forget lets the board close, so that no archive is in memory.
func (r *rig) forget(clients ...*client) {
	for _, c := range clients {
		c.s.Leave()
	}
	time.Sleep(6 * time.Minute)
}

// again is the same client, back with what it had.
func (c *client) again(p board.Person) *client {
	c.r.t.Helper()
	d := c.r.join(p, func(j *board.Join) { j.Actor, j.Log, j.Have = c.w.Actor, c.w.Meta.Log, c.have })
	d.a, d.epoch, d.n, d.entries = c.a, c.epoch, c.n, c.entries
	return d
}

func TestLate(t *testing.T) {
	for _, loaded := range []bool{true, false} {
		inBubble(t, fmt.Sprintf("EP5 EP6 a change for an epoch that is over is committed, and its effect is carried into the present one, archive in memory %v", loaded), func(t *testing.T, r *rig) {
			a, b := r.join(ada), r.join(bob)
			a.draw(3)
			a.settle()
			b.settle()
			b.a.See(r.log.Entries(testBoard)[0].Bytes, r.log.Entries(testBoard)[1].Bytes)
			r.squash(a.doc)
			a.settle()
			a.move()
			a.submit(a.a.Move("s1-1", 5))
			a.settle()
			if !loaded {
				r.forget(a, b)
				a, b = a.again(ada), b.again(bob)
				a.settle()
			}
			list := [][]byte{b.a.Move("s1-2", 8), b.a.Make("late"), b.a.Move("s1-1", 6)}
			b.submit(list...)
			b.settle()
			a.settle()
			for _, c := range list {
				want(t, "acknowledged", b.saw(c), true)
			}
			wantCodes(t, b)
			log := r.check(a, b)
			want(t, "kinds", kinds(log), "1112143"+"43"+"43")
			for _, e := range log[5:] {
				want(t, "person", e.Person, bob)
				want(t, "epoch", e.Epoch, uint32(e.Kind-3)^1)
			}
			want(t, "bob's element", r.x(a.doc, "s1-2"), 8)
			want(t, "the later one wins", r.x(a.doc, "s1-1"), 6)
			want(t, "counted", r.carried(), "3 3")
			a.submit(a.a.Move("s1-2", 1)) // concurrent with the carry, and goes on
			a.settle()
			wantCodes(t, a)
			r.check(a, b)
		})
	}
	inBubble(t, "EP5 no effect, no carry", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(1)
		a.submit(a.a.Move("s1-1", 5), a.a.Make("gone"))
		a.settle()
		hide := a.a.Hide("gone")
		a.submit(hide)
		a.settle()
		r.squash(a.doc)
		a.submit(a.a.Move("s1-1", 5), a.a.Move("gone", 3))
		a.settle()
		log := r.check(a)
		want(t, "kinds", kinds(log), "1111244")
		wantCodes(t, a)
	})
	inBubble(t, "EP5 through several epochs", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		a.draw(2)
		a.settle()
		b.settle()
		b.a.See(r.log.Entries(testBoard)[0].Bytes)
		for i := range 4 {
			r.squash(a.doc)
			a.settle()
			a.move()
			a.submit(a.a.Move("s1-2", int64(i)))
			a.settle()
		}
		for i, late := range []int64{11, 12} {
			b.submit(b.a.Move("s1-1", late))
			b.settle()
			wantCodes(t, b)
			want(t, "carried", r.x(a.doc, "s1-1"), late)
			if i == 0 {
				r.forget(a, b)
				b = b.again(bob)
			}
		}
		a = a.again(ada)
		a.settle()
		log := r.check(a, b)
		want(t, "kinds", kinds(log), "11"+strings.Repeat("21", 4)+strings.Repeat("43333", 2))
		want(t, "last", log[len(log)-1].Epoch, 4)
		b.settle()
		b.move()
		b.submit(b.a.Move("s1-1", 13))
		b.settle()
		want(t, "goes on", r.x(a.doc, "s1-1"), 13)
		r.check(a, b)
	})
	inBubble(t, "EP5 late changes are judged as ever: gap, grammar, role, foreign actor, dead actor", func(t *testing.T, r *rig) {
		a, b, e := r.join(ada), r.join(bob), r.join(eve)
		a.draw(1)
		a.settle()
		r.squash(a.doc)
		second := []([]byte){a.a.Make("p"), a.a.Make("q")}
		a.submit(second[1])
		a.settle()
		want(t, "held", a.saw(second[1]), false)
		a.submit(second[0])
		a.settle()
		want(t, "both", a.saw(second[0]) && a.saw(second[1]), true)
		e.submit(e.a.Make("viewers"))
		e.settle()
		wantCodes(t, e, "read_only")
		b.submit(boardtest.NewAuthor(a.w.Actor).Make("stolen"))
		b.settle()
		wantCodes(t, b, "wrong_actor")
		a.submit(a.a.Foreign("s1-1"), a.a.Move("s1-1", 1))
		a.settle()
		wantCodes(t, a, "grammar")
		want(t, "dropped", r.drops("change_dead_actor"), 1)
		want(t, "kinds", kinds(r.check(a, b, e)), "124343")
	})
	inBubble(t, "EP5 CH14 a late change that fitted its page is carried into one that has filled up since", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		a.draw(4999)
		a.settle()
		r.squash(a.doc)
		a.settle()
		a.move()
		a.draw(1)
		a.settle()
		b.submit(b.a.Make("the-5000th"))
		b.settle()
		wantCodes(t, b)
		b.submit(b.a.Make("too-many"))
		b.settle()
		wantCodes(t, b, "too_large")
		r.check(a, b)
		r.squash(a.doc)
		r.check(a, b)
	})
	inBubble(t, "EP7 late changes wait for their archive in order; others do not wait", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		a.draw(2)
		a.settle()
		r.squash(a.doc)
		a.settle()
		a.move()
		a.submit(a.a.Move("s1-1", 1))
		a.settle()
		r.forget(a, b)
		a, b = a.again(ada), b.again(bob)
		a.settle()
		gate := make(chan struct{})
		r.log.OnReadDoc(func() { <-gate })
		var list [][]byte
		for i := range 10 {
			list = append(list, b.a.Make(fmt.Sprint("late", i)))
		}
		b.submit(list[:5]...)
		b.settle()
		a.submit(a.a.Move("s1-2", 2))
		a.settle()
		want(t, "others", r.x(a.doc, "s1-2"), 2)
		want(t, "late ones", r.x(a.doc, "late0"), -1)
		b.submit(list[5:]...)
		b.settle()
		close(gate)
		b.settle()
		for _, c := range list {
			want(t, "taken", b.saw(c), true)
		}
		log := r.check(a, b)
		want(t, "kinds", kinds(log), "11211"+strings.Repeat("43", 10))
		reads := r.log.Reads()
		time.Sleep(9 * time.Minute)
		b.submit(b.a.Make("in-memory"))
		b.settle()
		want(t, "reads", r.log.Reads(), reads)
		loads := 0
		r.log.OnReadDoc(func() { loads++ })
		time.Sleep(11 * time.Minute)
		b.submit(b.a.Make("dropped"))
		b.settle()
		if loads == 0 {
			t.Fatal("the archive was kept for more than ten minutes")
		}
		r.check(a, b)
	})
	inBubble(t, "EP7 who sends many late changes while the archive is read is slowed down, and loses none", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(1)
		a.settle()
		r.squash(a.doc)
		r.forget(a)
		a = a.again(ada)
		gate := make(chan struct{})
		r.log.OnReadDoc(func() { <-gate })
		done := make(chan [][]byte)
		go func() { done <- a.draw(1000) }()
		time.Sleep(time.Minute)
		select {
		case <-done:
			t.Fatal("1,000 changes were taken in while nothing was judged")
		default:
		}
		r.log.OnReadDoc(nil)
		close(gate)
		list := <-done
		a.settle()
		for _, c := range list {
			want(t, "taken", a.saw(c), true)
		}
		r.check(a)
	})
	inBubble(t, "EP8 a late duplicate is answered by known", func(t *testing.T, r *rig) {
		a := r.join(ada)
		list := a.draw(3)
		a.settle()
		r.squash(a.doc)
		late := a.draw(2)
		a.settle()
		a.submit(append(list, late...)...)
		a.settle()
		k := events[board.KnownEvent](a)
		want(t, "events", len(k), 1)
		want(t, "epoch", k[0].Epoch, 0)
		want(t, "hashes", len(k[0].Hashes), 5)
		r.forget(a)
		a = a.again(ada)
		a.submit(list...)
		a.settle()
		want(t, "after loading", len(events[board.KnownEvent](a)[0].Hashes), 3)
		wantCodes(t, a)
		r.check(a)
	})
	inBubble(t, "EP9 an epoch from the future, one that is not there, and one too far back: unknown_epoch", func(t *testing.T, r *rig) {
		r.restore = func() (*board.Restored, error) {
			x := boardtest.NewAuthor(board.ActorID{5})
			e := boardtest.NewEntry(1, "page1", x, x.Make("e"), bob)
			return &board.Restored{Docs: []board.DocInfo{{ID: "page1"}}, Actors: map[board.ActorID]board.Person{{5}: bob}, SavedAt: time.Now(), Entries: []board.Entry{e}}, nil
		}
		a := r.join(ada)
		a.settle()
		r.squash(a.doc)
		for _, epoch := range []uint32{2, 1 << 31} {
			c := r.join(ada)
			c.epoch = epoch
			c.draw(1)
			c.settle()
			wantCodes(t, c, "unknown_epoch")
			c.s.Leave()
		}
		for range 17 {
			r.squash(a.doc)
		}
		a.draw(1)
		a.settle()
		wantCodes(t, a, "unknown_epoch")
		r.log.Erase(testBoard, a.doc, 10)
		r.forget(a)
		b := r.join(ada)
		b.epoch = 10
		b.draw(1)
		b.settle()
		wantCodes(t, b, "unknown_epoch")
		b = r.join(ada)
		b.epoch = 11
		b.a.See(squashOf(r, b.doc, 11))
		list := b.draw(1)
		b.settle()
		want(t, "the next one is there", b.saw(list[0]), true)
	})
	inBubble(t, "EP9 an archive that cannot be read now: come again", func(t *testing.T, r *rig) {
		a := r.join(ada)
		list := a.draw(1)
		a.settle()
		r.squash(a.doc)
		r.forget(a)
		a, b := a.again(ada), r.join(bob)
		r.log.Fail(boardtest.ReadDoc, 0, false)
		a.submit(list...) // as if its acknowledgement had been lost
		list = append(list, a.draw(1)...)
		a.settle()
		bye := events[board.ByeEvent](a)
		if len(bye) != 1 || bye[0].Close != 4410 || bye[0].Retry <= 0 {
			t.Fatalf("bye %+v", bye)
		}
		wantCodes(t, a)
		b.settle()
		want(t, "others stay", len(events[board.ByeEvent](b)), 0)
		a = a.again(ada)
		a.submit(list...)
		a.settle()
		want(t, "was in", len(events[board.KnownEvent](a)), 1)
		want(t, "taken", a.saw(list[1]), true)
		wantCodes(t, a)
		r.check(a, b)
	})
	inBubble(t, "EP5 late changes and drawing while a squash is made: all of it is in the new epoch", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		a.draw(3)
		a.settle()
		b.settle()
		b.a.See(r.log.Entries(testBoard)[0].Bytes)
		r.squash(a.doc)
		a.settle()
		a.move()
		gate := make(chan struct{})
		r.verifyBy(func(context.Context) error { <-gate; return nil })
		done := make(chan error, 1)
		go func() { done <- r.hub.Squash(context.Background(), testBoard, a.doc) }()
		synctest.Wait()
		a.submit(a.a.Move("s1-1", 1))
		b.submit(b.a.Move("s1-1", 2), b.a.Make("b"))
		a.submit(a.a.Move("s1-2", 3))
		a.settle()
		close(gate)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		b.submit(b.a.Make("c"))
		b.settle()
		a.settle()
		want(t, "epoch", r.epochs(a.doc), 2)
		want(t, "x", r.x(a.doc, "s1-2"), 3)
		want(t, "b", r.x(a.doc, "b") >= 0 && r.x(a.doc, "c") >= 0, true)
		wantCodes(t, a)
		wantCodes(t, b)
		r.check(a, b)
	})
	inBubble(t, "BD12 a join while an epoch begins names the epoch that its document will be fetched in", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(3)
		a.settle()
		resume := r.log.Pause()
		done := make(chan error, 1)
		go func() { done <- r.hub.Squash(context.Background(), testBoard, a.doc) }()
		synctest.Wait()
		joined := make(chan *client, 1)
		go func() {
			c, err := r.tryJoin(ada, func(j *board.Join) { j.Actor = a.w.Actor })
			if err != nil {
				t.Error(err)
			}
			joined <- c
		}()
		synctest.Wait()
		resume()
		c := <-joined
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want(t, "epoch", c.w.Meta.Docs[0].Epoch, 1)
		want(t, "seq", c.w.Meta.Docs[0].Seq, 4)
	})
}

func squashOf(r *rig, doc board.DocID, epoch uint32) []byte {
	for _, e := range r.log.Entries(testBoard) {
		if e.Doc == doc && e.Epoch == epoch && e.Kind == board.KindEpoch {
			return e.Bytes
		}
	}
	r.t.Fatal("no such epoch")
	return nil
}
