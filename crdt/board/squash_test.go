package board_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
)

// squash asks for one and waits for it.
func (r *rig) squash(doc board.DocID) {
	r.t.Helper()
	if err := r.hub.Squash(context.Background(), testBoard, doc); err != nil {
		r.t.Fatal(err)
	}
}

// epochs are the numbers of the epochs that a document has begun.
func (r *rig) epochs(doc board.DocID) (n uint32) {
	for _, e := range r.log.Entries(testBoard) {
		if e.Kind == board.KindEpoch && e.Doc == doc {
			n = e.Epoch
		}
	}
	return n
}

func kinds(log []board.Entry) (s string) {
	for _, e := range log {
		s += fmt.Sprint(e.Kind)
	}
	return s
}

func TestSquash(t *testing.T) {
	inBubble(t, "EP1 EP3 a squash begins an epoch that shows what the page showed, and people go on in it", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		a.draw(20)
		a.submit(a.a.Move("s1-3", 7), a.a.Hide("s1-4"))
		a.settle()
		before, err := r.hub.Scene(context.Background(), testBoard, a.doc, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.squash(a.doc)
		a.settle()
		b.settle()
		log := r.check(a, b)
		want(t, "kinds", kinds(log[20:]), "112")
		squash := log[22]
		want(t, "epoch", squash.Epoch, 1)
		want(t, "person", squash.Person, "@lectern:example.org")
		want(t, "actor", squash.Actor[0], 0)
		after, err := r.hub.Scene(context.Background(), testBoard, a.doc, nil)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "tombstones go", len(after.Elements), len(before.Elements)-1)
		want(t, "epoch of the scene", after.Epoch, 1)
		want(t, "one head", len(after.Heads), 1)
		c := r.join(bob)
		want(t, "welcome: epoch", c.w.Meta.Docs[0].Epoch, 1)
		want(t, "welcome: the squash is what is fetched", c.w.Meta.Docs[0].Seq, 23)
		want(t, "observed", len(r.squashed()), 1)
		a.move()
		list := [][]byte{a.a.Move("s1-3", 9), a.a.Make("new")}
		a.submit(list...)
		a.settle()
		want(t, "taken", a.saw(list[1]), true)
		wantCodes(t, a)
		r.check(a, b)
	})
	inBubble(t, "EP10 only the present epoch is replayed at opening", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(2000)
		a.settle()
		r.squash(a.doc)
		a.s.Leave()
		time.Sleep(6 * time.Minute)
		reads := 0
		r.log.OnReadDoc(func() { reads++ })
		b := r.join(ada)
		want(t, "reads", reads, 3) // the page once more until nothing comes, and the rules
		want(t, "epoch", b.w.Meta.Docs[0].Epoch, 1)
		r.check(a, b)
	})
	inBubble(t, "EP3 what comes while a squash is made is carried into the new epoch, and its author goes on", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		a.draw(5)
		a.settle()
		gate := make(chan struct{})
		r.verifyBy(func(context.Context) error { <-gate; return nil })
		done := make(chan error, 1)
		go func() { done <- r.hub.Squash(context.Background(), testBoard, a.doc) }()
		synctest.Wait()
		b.a.See(r.log.Entries(testBoard)[0].Bytes)
		a.submit(a.a.Move("s1-1", 1), a.a.Move("s1-2", 1), a.a.Hide("s1-3"))
		a.settle()
		b.submit(b.a.Move("s1-1", 2), b.a.Make("bobs"))
		b.settle()
		close(gate)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		a.settle()
		log := r.check(a, b)
		want(t, "kinds", kinds(log), "1111111111233")
		want(t, "carries are in the names of who touched last", fmt.Sprint(log[11].Person, log[12].Person), fmt.Sprint(ada, bob))
		want(t, "epoch of the carries", log[12].Epoch, 1)
	})
	inBubble(t, "CH21 what came and went while a squash was made is not left standing in a scene from between", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(5)
		a.settle()
		gate := make(chan struct{})
		r.verifyBy(func(context.Context) error { <-gate; return nil })
		done := make(chan error, 1)
		go func() { done <- r.hub.Squash(context.Background(), testBoard, a.doc) }()
		synctest.Wait()
		a.submit(a.a.Make("flash"))
		a.settle()
		between := a.have
		a.submit(a.a.Hide("flash"))
		a.settle()
		close(gate)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		v, err := r.hub.Scene(context.Background(), testBoard, a.doc, &between)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "epoch", v.Epoch, 1)
		want(t, "full", v.Full, true)
		want(t, "elements", len(v.Elements), 5)
		now := v.Seq
		if v, err = r.hub.Scene(context.Background(), testBoard, a.doc, &now); err != nil {
			t.Fatal(err)
		}
		want(t, "full once it has begun", v.Full, false)
	})
	for _, applied := range []bool{false, true} {
		inBubble(t, fmt.Sprintf("EP3 the append of a squash fails, applied %v: all or nothing of it is there afterwards", applied), func(t *testing.T, r *rig) {
			a := r.join(ada)
			a.draw(5)
			a.settle()
			gate := make(chan struct{})
			r.verifyBy(func(context.Context) error { <-gate; return nil })
			done := make(chan error, 1)
			go func() { done <- r.hub.Squash(context.Background(), testBoard, a.doc) }()
			synctest.Wait()
			a.submit(a.a.Move("s1-1", 1))
			a.settle()
			r.log.Fail(boardtest.Append, 0, applied)
			close(gate)
			if err := <-done; err != nil { // asked again by the hub
				t.Fatal(err)
			}
			a.settle()
			bye := events[board.ByeEvent](a)
			if len(bye) != 1 || bye[0].Close != 4410 {
				t.Fatalf("bye %+v", bye)
			}
			log := r.check(a)
			if applied {
				want(t, "kinds", kinds(log), "111111232")
			} else {
				want(t, "kinds", kinds(log), "1111112")
			}
			for seq := range a.entries {
				if seq > 6 {
					t.Fatalf("was sent entry %d", seq)
				}
			}
			again := r.join(ada, func(j *board.Join) { j.Actor, j.Log, j.Have = a.w.Actor, a.w.Meta.Log, a.have })
			want(t, "resume", again.w.Resume, true)
			again.a = a.a
			again.settle()
			again.move()
			again.draw(1)
			again.settle()
			wantCodes(t, again)
			r.check(a, again)
		})
	}
	inBubble(t, "EP4 a squash that fails leaves the page as it was and waits five minutes", func(t *testing.T, r *rig) {
		r.verifyBy(func(context.Context) error { return errors.New("no") })
		a := r.join(ada)
		a.draw(1000)
		time.Sleep(30 * time.Second)
		want(t, "tried", len(r.squashed()), 1)
		if r.squashed()[0] == nil {
			t.Fatal("no error")
		}
		a.draw(1)
		time.Sleep(4 * time.Minute)
		want(t, "still", len(r.squashed()), 1)
		r.verifyBy(nil)
		time.Sleep(time.Minute)
		want(t, "again", len(r.squashed()), 2)
		want(t, "epoch", r.epochs(a.doc), 1)
		a.settle()
		r.check(a)
	})
	inBubble(t, "EP4 a verification that hangs ends after a minute; drain does not wait for it", func(t *testing.T, r *rig) {
		r.verifyBy(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		a := r.join(ada)
		a.draw(1000)
		time.Sleep(12 * time.Second)
		a.draw(1) // nobody notices
		a.settle()
		want(t, "entries", len(r.check(a)), 1001)
		time.Sleep(time.Minute)
		want(t, "given up", len(r.squashed()), 1)
		go func() { _ = r.hub.Squash(context.Background(), testBoard, a.doc) }()
		time.Sleep(time.Second)
		start := time.Now()
		r.stop()
		want(t, "drained at once", time.Since(start) < time.Second, true)
	})
	inBubble(t, "EP2 the actors of squashes and carries follow from log, document, epoch and person", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(1)
		a.settle()
		r.squash(a.doc)
		a.submit(a.a.Make("late"))
		a.settle()
		log := r.check(a)
		want(t, "kinds", kinds(log), "1243")
		for i, text := range map[int]string{1: "lectern squash\x00%s\x00%s\x001\x00", 3: "lectern carry\x00%s\x00%s\x001\x00@ada:example.org\x00"} {
			sum := sha256.Sum256(fmt.Appendf(nil, text, a.w.Meta.Log, a.doc))
			var actor board.ActorID
			copy(actor[1:], sum[:])
			want(t, fmt.Sprint("entry ", i), log[i].Actor, actor)
		}
		b := r.join(ada, func(j *board.Join) { j.Actor = log[3].Actor })
		want(t, "nobody gets one", b.w.Actor[0] != 0, true)
		b.a = boardtest.NewAuthor(log[3].Actor)
		b.draw(1)
		b.settle()
		wantCodes(t, b, "wrong_actor")
	})
	inBubble(t, "BD25 EP3 drain while an epoch begins: it has begun, wholly", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(3)
		a.settle()
		gate := make(chan struct{})
		r.verifyBy(func(context.Context) error { <-gate; return nil })
		go func() { _ = r.hub.Squash(context.Background(), testBoard, a.doc) }()
		synctest.Wait()
		a.submit(a.a.Move("s1-1", 4))
		a.settle()
		resume := r.log.Pause()
		close(gate)
		synctest.Wait()
		go r.stop()
		synctest.Wait()
		resume()
		time.Sleep(time.Second)
		log := r.log.Entries(testBoard)
		want(t, "kinds", kinds(log), "111123")
		if _, err := boardtest.Epochs(log); err != nil {
			t.Fatal(err)
		}
	})
	inBubble(t, "EP4 it is squashed when it pays and nobody has changed it for 10 s", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(999)
		time.Sleep(time.Hour)
		want(t, "999 changes", r.epochs(a.doc), 0)
		a.draw(1)
		time.Sleep(9 * time.Second)
		a.draw(1)
		time.Sleep(9 * time.Second)
		want(t, "while somebody draws", r.epochs(a.doc), 0)
		time.Sleep(2 * time.Second)
		want(t, "quiet", r.epochs(a.doc), 1)
		a.read()
		a.move()
		a.draw(999)
		time.Sleep(time.Hour)
		want(t, "the count begins anew", r.epochs(a.doc), 1)
	})
	inBubble(t, "EP4 it is squashed while people draw when it pays fivefold, and a minute later at the earliest", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(1)
		scribble := func(d time.Duration, n int) {
			for range int(d / (2 * time.Second)) {
				for range n {
					a.submit(a.a.Move("s1-1", 1))
				}
				time.Sleep(2 * time.Second)
			}
		}
		scribble(18*time.Second, 500)
		want(t, "4,501 changes", r.epochs(a.doc), 0)
		scribble(2*time.Second, 500)
		want(t, "5,001", r.epochs(a.doc), 1)
		a.read()
		a.move()
		scribble(50*time.Second, 220)
		want(t, "no second one yet", r.epochs(a.doc), 1)
		scribble(20*time.Second, 1)
		want(t, "a minute later", r.epochs(a.doc), 2)
		wantCodes(t, a)
		r.check(a)
	})
	inBubble(t, "EP4 when the last person has left, 200 changes are enough", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		a.draw(200)
		a.s.Leave()
		time.Sleep(time.Minute)
		want(t, "somebody is here", r.epochs(a.doc), 0)
		b.s.Leave()
		time.Sleep(time.Second)
		want(t, "nobody", r.epochs(a.doc), 1)
		c := r.join(ada)
		c.move()
		c.draw(199)
		c.settle()
		c.s.Leave()
		time.Sleep(time.Hour)
		want(t, "199", r.epochs(a.doc), 1)
	})
	inBubble(t, "EP4 many operations that a squash would drop pay too", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(1)
		a.settle()
		for range 4 {
			for range 199 {
				a.submit(a.a.Scribble("s1-1", 26))
			}
			a.settle()
		}
		time.Sleep(time.Minute)
		want(t, "796 changes of 26 operations", r.epochs(a.doc), 1)
	})
	inBubble(t, "EP4 one squash at a time per board, two at a time per server", func(t *testing.T, r *rig) {
		running, most := 0, 0
		r.verify = func(ctx context.Context) error {
			r.mu.Lock()
			running++
			most = max(most, running)
			r.mu.Unlock()
			time.Sleep(30 * time.Second)
			r.mu.Lock()
			running--
			r.mu.Unlock()
			return nil
		}
		var docs []board.DocID
		for i := range 5 {
			c := r.join(ada, func(j *board.Join) { j.Board = board.ID(fmt.Sprint("board", i)) })
			c.draw(1000)
			docs = append(docs, c.doc)
		}
		time.Sleep(5 * time.Minute)
		want(t, "at a time", most, 2)
		want(t, "all of them", len(r.squashed()), 5)
		_ = docs
	})
}
