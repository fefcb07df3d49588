package board_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
)

func TestCommit(t *testing.T) {
	inBubble(t, "BD1 nobody sees a change before it is on disk, then everybody does, the author too", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		resume := r.log.Pause()
		one := a.draw(1)[0]
		time.Sleep(time.Hour)
		a.read()
		b.read()
		if len(a.entries)+len(b.entries) != 0 {
			t.Fatal("broadcast before the append was answered")
		}
		resume()
		a.settle()
		b.settle()
		want(t, "author saw it", a.saw(one), true)
		want(t, "the other saw it", b.saw(one), true)
		log := r.check(a, b)
		want(t, "actor", actorOf(log[0]), a.w.Actor)
		want(t, "person", log[0].Person, ada)
	})
	inBubble(t, "BD2 what arrives during an append goes into the next one together", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		resume := r.log.Pause()
		a.draw(1)
		synctest.Wait()
		a.draw(20)
		b.draw(20)
		synctest.Wait()
		resume()
		a.settle()
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.commits) != 2 || r.commits[0] != 1 || r.commits[1] != 40 {
			t.Fatalf("commits %v, want [1 40]", r.commits)
		}
	})
	inBubble(t, "BD2 a full mailbox slows the sender down", func(t *testing.T, r *rig) {
		a := r.join(ada)
		resume := r.log.Pause()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		n := 0
		for ; n < 10_000; n++ {
			if err := a.s.Submit(ctx, a.doc, 0, a.a.Make(fmt.Sprint("e", n))); err != nil {
				break
			}
		}
		if n >= 1000 {
			t.Fatalf("%d changes were taken without limit", n)
		}
		resume()
		a.settle()
		want(t, "committed", len(r.check(a)), n)
	})
	inBubble(t, "BD3 the checkpointer hears of commits and of people", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(2)
		a.settle()
		a.s.Leave()
		synctest.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := len(r.changed); n < 3 {
			t.Fatalf("told %d times", n)
		}
		c := r.changed[len(r.changed)-1]
		want(t, "seq", c.Seq, 2)
		want(t, "people", c.People, 0)
		want(t, "people at first", r.changed[0].People, 1)
	})
	inBubble(t, "BD4 a change that is in already is ignored, from anybody on any lane", func(t *testing.T, r *rig) {
		a := r.join(ada)
		list := a.draw(3)
		a.submit(list...)
		a.settle()
		a.submit(list...)
		a.settle()
		want(t, "entries", len(r.check(a)), 3)
		want(t, "counted", r.drops("change_duplicate"), 6)
		wantCodes(t, a)
	})
	inBubble(t, "SN6 a scene after a seq holds what was changed since; one from before the page began or from elsewhere, everything", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(5)
		a.settle()
		for _, c := range []struct {
			after uint64
			full  bool
			n     int
		}{{3, false, 2}, {5, false, 0}, {0, false, 5}, {6, true, 5}} {
			v, err := r.hub.Scene(context.Background(), testBoard, a.doc, &c.after)
			if err != nil {
				t.Fatal(err)
			}
			want(t, fmt.Sprint("full after ", c.after), v.Full, c.full)
			want(t, fmt.Sprint("elements after ", c.after), len(v.Elements), c.n)
			want(t, "seq", v.Seq, 5)
		}
	})
	inBubble(t, "EP8 a duplicate of a committed change is answered by known; of one on its way, by its echo", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		resume := r.log.Pause()
		list := a.draw(3)
		synctest.Wait()
		a.submit(list...)
		resume()
		a.settle()
		want(t, "on its way", len(events[board.KnownEvent](a)), 1) // judged after the commit: both come
		a.events = nil
		a.submit(list[2], list[0])
		b.submit(list[1])
		a.settle()
		b.settle()
		k := events[board.KnownEvent](a)
		want(t, "merged", len(k), 1)
		want(t, "doc", k[0].Doc, a.doc)
		want(t, "hashes", len(k[0].Hashes), 2)
		want(t, "order", k[0].Hashes[0], boardtest.HashOf(list[2]))
		k = events[board.KnownEvent](b)
		want(t, "whoever sends it", k[0].Hashes[0], boardtest.HashOf(list[1]))
		want(t, "entries", len(r.check(a, b)), 3)
	})
	inBubble(t, "EP8 who sends more than 4,096 duplicates without reading must go", func(t *testing.T, r *rig) {
		a := r.join(ada)
		list := a.draw(1)
		a.settle()
		a.events = nil
		for range 4096 {
			a.submit(list...)
		}
		synctest.Wait()
		want(t, "hashes", len(r.check()), 1)
		a.submit(list...)
		synctest.Wait()
		a.read()
		bye := events[board.ByeEvent](a)
		if len(bye) != 1 || bye[0].Close != 4408 {
			t.Fatalf("bye %+v", bye)
		}
		want(t, "hashes", len(events[board.KnownEvent](a)[0].Hashes), 4096)
	})
	inBubble(t, "BD5 a scene holds committed changes only", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(1)
		a.settle()
		resume := r.log.Pause()
		a.draw(1)
		synctest.Wait()
		got := make(chan board.SceneView, 1)
		go func() {
			v, err := r.hub.Scene(context.Background(), testBoard, a.doc, nil)
			if err != nil {
				t.Error(err)
			}
			got <- v
		}()
		synctest.Wait()
		select {
		case v := <-got:
			t.Fatalf("a scene at %d while an append is on its way", v.Seq)
		default:
		}
		resume()
		v := <-got
		want(t, "seq", v.Seq, 2)
		want(t, "elements", len(v.Elements), 2)
		want(t, "heads", len(v.Heads), 1)
		if _, err := r.hub.Scene(context.Background(), testBoard, "no-such-page", nil); !errors.Is(err, board.ErrUnknownDoc) {
			t.Fatalf("got %v", err)
		}
		if _, err := r.hub.Scene(context.Background(), "no-such-board", a.doc, nil); !errors.Is(err, board.ErrUnknown) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestHeld(t *testing.T) {
	inBubble(t, "BD6 changes that overtook each other are held and committed in order", func(t *testing.T, r *rig) {
		a := r.join(ada)
		var list [][]byte
		for _, id := range []string{"a", "b", "c", "d"} {
			list = append(list, a.a.Make(id))
		}
		for _, i := range []int{3, 2, 1, 3, 0} {
			a.submit(list[i])
			synctest.Wait()
		}
		a.settle()
		log := r.check(a)
		want(t, "entries", len(log), 4)
		for i := range log {
			if !bytes.Equal(log[i].Bytes, list[i]) {
				t.Fatalf("entry %d is another", i+1)
			}
		}
		wantCodes(t, a)
	})
	inBubble(t, "BD6 a change on top of somebody else's waits for it", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		one := a.a.Make("x")
		b.a.On(a.a)
		two := b.a.Make("y")
		b.submit(two)
		b.settle()
		want(t, "entries", len(r.check(b)), 0)
		a.submit(one)
		b.settle()
		want(t, "entries", len(r.check(b)), 2)
	})
	inBubble(t, "BD7 after ten seconds a held change is refused as a gap", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.a.Make("lost")
		a.submit(a.a.Make("late"))
		time.Sleep(9 * time.Second)
		a.read()
		wantCodes(t, a)
		time.Sleep(1100 * time.Millisecond)
		a.read()
		wantCodes(t, a, "gap")
		want(t, "entries", len(r.check(a)), 0)
	})
	inBubble(t, "BD7 the 65th held change of a session is refused", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.a.Make("lost")
		a.draw(64)
		a.settle()
		wantCodes(t, a)
		a.draw(1)
		a.settle()
		wantCodes(t, a, "gap")
	})
	inBubble(t, "BD6 what a session submitted before it left is committed", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		resume := r.log.Pause()
		list := a.draw(5)
		a.s.Leave()
		synctest.Wait()
		resume()
		b.settle()
		for _, c := range list {
			want(t, "seen by the other", b.saw(c), true)
		}
	})
}

func TestRefused(t *testing.T) {
	bad := map[string]struct {
		code string
		do   func(r *rig, a, b *client)
	}{
		"BD8 an actor of somebody else":   {"wrong_actor", func(_ *rig, a, b *client) { a.submit(b.a.Make("x")) }},
		"BD8 an actor that nobody issued": {"wrong_actor", func(_ *rig, a, _ *client) { a.submit(boardtest.NewAuthor(board.ActorID{7}).Make("x")) }},
		"BD8 an unknown document":         {"unknown_doc", func(_ *rig, a, _ *client) { a.doc = "nope"; a.draw(1) }},
		"BD8 an unknown epoch": {"unknown_epoch", func(r *rig, a, _ *client) {
			if err := a.s.Submit(context.Background(), a.doc, 7, a.a.Make("x")); err != nil {
				r.t.Fatal(err)
			}
		}},
		"BD8 a property that no element has": {"grammar", func(_ *rig, a, _ *client) { a.submit(a.a.Make("x"), a.a.Foreign("x")) }},
		"BD8 damaged bytes": {"bad_change", func(_ *rig, a, _ *client) {
			c := a.a.Make("x")
			c[len(c)-1] ^= 1
			a.submit(c)
		}},
		"BD8 bytes that are no change": {"bad_change", func(_ *rig, a, _ *client) { a.submit([]byte("hello")) }},
		"BD8 too many bytes":           {"too_large", func(_ *rig, a, _ *client) { a.submit(make([]byte, 40_000)) }},
	}
	for name, c := range bad {
		inBubble(t, name+" is refused with "+c.code, func(t *testing.T, r *rig) {
			a, b := r.join(ada), r.join(bob)
			first := b.draw(1)[0]
			b.settle()
			c.do(r, a, b)
			a.settle()
			wantCodes(t, a, c.code)
			reset := events[board.ResetEvent](a)[0]
			if reset.Actor == (board.ActorID{}) || reset.Actor == a.w.Actor || reset.Message == "" {
				t.Fatalf("reset %+v", reset)
			}
			// BD9: with the new actor it goes on, and the others noticed nothing.
			a.doc, a.a = b.doc, boardtest.NewAuthor(reset.Actor)
			again := a.draw(1)[0]
			a.settle()
			b.settle()
			want(t, "the new actor's change", b.saw(again), true)
			want(t, "the other's change", a.saw(first), true)
			wantCodes(t, b)
			r.check(a, b)
		})
	}
	inBubble(t, "BD9 what follows a refused change is dropped and counted, with one reset", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.submit(a.a.Make("x"), a.a.Foreign("x"))
		a.draw(10)
		a.settle()
		a.draw(10)
		a.settle()
		wantCodes(t, a, "grammar")
		want(t, "dropped", r.drops("change_dead_actor"), 20)
		want(t, "entries", len(r.check(a)), 1)
	})
	inBubble(t, "BD9 a refused change of the person's earlier tab ends the session's own actor too", func(t *testing.T, r *rig) {
		old := r.join(ada)
		old.s.Leave()
		a := r.join(ada)
		one := old.a.Make("flushed")
		a.submit(one, old.a.Foreign("flushed"))
		a.draw(2)
		a.settle()
		wantCodes(t, a, "grammar")
		want(t, "the earlier tab's good change", a.saw(one), true)
		want(t, "entries", len(r.check(a)), 1)
		want(t, "dropped", r.drops("change_dead_actor"), 2)
	})
	inBubble(t, "BD9 the 21st refusal within a minute ends the session", func(t *testing.T, r *rig) {
		a := r.join(ada)
		for n := range 21 {
			a.submit(a.a.Make(fmt.Sprint("x", n)), a.a.Foreign(fmt.Sprint("x", n)))
			a.settle()
			if resets := events[board.ResetEvent](a); len(resets) == n+1 {
				a.a = boardtest.NewAuthor(resets[n].Actor)
			}
		}
		want(t, "resets", len(events[board.ResetEvent](a)), 20)
		if bye := events[board.ByeEvent](a); len(bye) != 1 || bye[0].Close != 4429 || bye[0].Code != "rate" || bye[0].Retry != time.Minute {
			t.Fatalf("bye %+v", bye)
		}
		r.check(a)
	})
	inBubble(t, "BD9 a refused actor is not given out again on this board", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.submit(a.a.Make("x"), a.a.Foreign("x"))
		a.settle()
		a.s.Leave()
		b := r.join(ada, func(j *board.Join) { j.Actor = a.w.Actor })
		if b.w.Actor == a.w.Actor {
			t.Fatal("the dead actor was leased")
		}
		b.submit(a.a.Make("y"))
		b.settle()
		wantCodes(t, b, "gap") // a session that did not see the reset is told
	})
	inBubble(t, "BD10 a viewer's change is refused without a new actor", func(t *testing.T, r *rig) {
		e := r.join(eve)
		want(t, "role", e.w.Role, board.RoleViewer)
		e.draw(3)
		e.settle()
		wantCodes(t, e, "read_only")
		want(t, "actor", events[board.ResetEvent](e)[0].Actor, board.ActorID{})
		want(t, "entries", len(r.check(e)), 0)
	})
	inBubble(t, "BD10 who became a participant may write with the actor of the welcome", func(t *testing.T, r *rig) {
		e := r.join(eve)
		r.set(eve, board.RoleParticipant)
		r.hub.Recheck(testRoom)
		e.draw(1)
		e.settle()
		want(t, "role", events[board.RoleEvent](e)[0].Role, board.RoleParticipant)
		want(t, "entries", len(r.check(e)), 1)
	})
	inBubble(t, "BD11 a kick drops what is queued and keeps what is committed", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		a.draw(1)
		b.settle()
		resume := r.log.Pause()
		b.draw(1) // on its way to the disk
		synctest.Wait()
		a.draw(5)
		b.draw(1)
		r.set(ada, board.RoleNone)
		r.hub.Recheck(testRoom)
		a.read()
		bye := events[board.ByeEvent](a)
		if len(bye) != 1 || bye[0].Close != 4403 || bye[0].Code != "removed" || bye[0].Retry >= 0 {
			t.Fatalf("bye %+v", bye)
		}
		resume()
		b.settle()
		a.read()
		want(t, "entries", len(r.check(a, b)), 3)
		want(t, "dropped", r.drops("change_removed"), 5)
		want(t, "entries after the kick", len(a.entries), 0)
		if _, err := r.tryJoin(ada); !errors.Is(err, board.ErrNotJoined) {
			t.Fatalf("join: got %v", err)
		}
	})
	inBubble(t, "BD11 a demotion refuses what is queued", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		resume := r.log.Pause()
		b.draw(1)
		synctest.Wait()
		a.draw(3)
		r.set(ada, board.RoleViewer) // no recheck yet: the role is asked when the change is dequeued
		resume()
		a.settle()
		wantCodes(t, a, "read_only")
		want(t, "role", events[board.RoleEvent](a)[0].Role, board.RoleViewer)
		want(t, "entries", len(r.check(a)), 1)
	})
	inBubble(t, "BD11 Disconnect ends a person's sessions only", func(t *testing.T, r *rig) {
		a, a2, b := r.join(ada), r.join(ada), r.join(bob)
		r.hub.Disconnect(ada, testRoom)
		for _, c := range []*client{a, a2, b} {
			c.settle()
		}
		want(t, "first", len(events[board.ByeEvent](a)), 1)
		want(t, "second", len(events[board.ByeEvent](a2)), 1)
		want(t, "other", len(events[board.ByeEvent](b)), 0)
	})
}
