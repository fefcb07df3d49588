package board_test

import (
	"errors"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

func TestStorage(t *testing.T) {
	problem := func(c *client) string {
		p := c.w.Saved.Problem
		for _, e := range events[board.SavedEvent](c) {
			p = e.Problem
		}
		return p
	}
	byes := func(t testing.TB, c *client) {
		t.Helper()
		bye := events[board.ByeEvent](c)
		if len(bye) != 1 || bye[0].Close != 4410 || bye[0].Code != "storage" || bye[0].Retry < 0 {
			t.Fatalf("bye %+v", bye)
		}
	}
	again := func(r *rig, c *client) *client {
		r.t.Helper()
		n := r.join(ada, func(j *board.Join) { j.Actor, j.Log, j.Have = c.w.Actor, c.w.Meta.Log, c.have })
		want(r.t, "actor", n.w.Actor, c.w.Actor)
		want(r.t, "resume", n.w.Resume, true)
		return n
	}
	// failing draws, and the disk is full when that is appended.
	failing := func(r *rig, c *client, n int) [][]byte {
		r.t.Helper()
		resume := r.log.Pause()
		list := c.draw(n)
		c.settle()
		r.log.Fill(true)
		resume()
		c.settle()
		byes(r.t, c)
		return list
	}
	inBubble(t, "BD30 a full disk: nothing of the failed batch is sent, people come back, look and join, and are told", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		a.draw(3)
		a.settle()
		b.settle()
		lost := failing(r, a, 2)
		b.settle()
		byes(t, a)
		byes(t, b)
		want(t, "saw", b.saw(lost[0]), false)
		a2, n := again(r, a), r.join(bob)
		for _, c := range []*client{a2, n} {
			c.settle()
			want(t, "problem", problem(c), board.ErrStorage.Code())
			want(t, "role", c.w.Role, board.RoleParticipant)
		}
		want(t, "newcomer's actor", n.w.Actor, board.ActorID{})
		want(t, "newcomer's entries", len(n.entries), 3)
		r.check(a, b, a2, n)
	})
	inBubble(t, "BD31 changes that cannot be stored are neither refused nor forgotten: they are sent again when storing works", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(1)
		a.settle()
		kept := failing(r, a, 1)
		a2, n := again(r, a), r.join(bob)
		a2.a, a2.n = a.a, a.n
		a2.submit(kept...)
		kept = append(kept, a2.draw(3)...)
		time.Sleep(time.Hour)
		a2.read()
		wantCodes(t, a2)
		if r.drops("change_unstored") == 0 {
			t.Fatal("nothing was counted as dropped")
		}
		r.log.Fill(false)
		r.hub.Recheck("")
		a2.settle()
		n.settle()
		byes(t, a2)
		byes(t, n)
		a3, n2 := again(r, a2), r.join(bob)
		a3.submit(kept...)
		a3.settle()
		n2.settle()
		wantCodes(t, a3)
		want(t, "problem", problem(a3), "")
		for _, c := range kept {
			want(t, "acknowledged", a3.saw(c), true)
			want(t, "seen by the other", n2.saw(c), true)
		}
		want(t, "may write", n2.w.Actor != board.ActorID{}, true)
		want(t, "entries", len(r.check(a, a2, a3, n, n2)), 5)
	})
	inBubble(t, "BD31 who has nothing unsent stays, and is told both times", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		r.log.Fill(true)
		r.hub.Recheck("")
		b.settle()
		want(t, "problem", problem(b), board.ErrStorage.Code())
		dropped := a.draw(1)
		a.settle()
		r.log.Fill(false)
		r.hub.Recheck("")
		b.settle()
		want(t, "problem", problem(b), "")
		want(t, "byes", len(events[board.ByeEvent](b)), 0)
		b.draw(1)
		b.settle()
		want(t, "b's own", len(b.entries), 1)
		a.settle()
		byes(t, a)
		want(t, "a's entries", a.saw(dropped[0]), false)
	})
	inBubble(t, "BD31 a change held when storing ends is not refused either", func(t *testing.T, r *rig) {
		a := r.join(ada)
		first, second := a.a.Make("one"), a.a.Make("two")
		a.submit(second)
		a.settle()
		r.log.Fill(true)
		time.Sleep(time.Minute)
		r.log.Fill(false)
		a.settle()
		a.submit(first)
		a.settle()
		wantCodes(t, a)
		byes(t, a)
	})
	inBubble(t, "BD30 no page begins and nothing is squashed while nothing can be stored", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(1)
		a.settle()
		r.log.Fill(true)
		if _, err := r.hub.AddPage(t.Context(), testBoard, ada); !errors.Is(err, board.ErrStorage) {
			t.Fatalf("got %v", err)
		}
		squashed := make(chan error, 1)
		go func() { squashed <- r.hub.Squash(t.Context(), testBoard, a.doc) }()
		time.Sleep(time.Minute)
		a.read()
		want(t, "byes", len(events[board.ByeEvent](a)), 0)
		r.log.Fill(false)
		r.hub.Recheck("")
		if err := <-squashed; err != nil {
			t.Fatal(err)
		}
	})
	inBubble(t, "BD32 a board that is not stored yet cannot begin: the person is told and may come again", func(t *testing.T, r *rig) {
		r.log.Fill(true)
		_, err := r.tryJoin(ada)
		if !errors.Is(err, board.ErrStorage) {
			t.Fatalf("got %v", err)
		}
		r.log.Fill(false)
		r.join(ada).draw(1)
	})
}
