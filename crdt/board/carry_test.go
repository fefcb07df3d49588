package board_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
)

func TestCarry(t *testing.T) {
	inBubble(t, "EP11 work from elsewhere takes the same way: durable when it returns, passed over when it is in", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(2)
		a.settle()
		away := boardtest.NewAuthor(board.ActorID{9})
		away.See(r.log.Entries(testBoard)[0].Bytes)
		list := []board.Imported{{Actor: away.Actor, Person: eve, Bytes: away.Move("s1-1", 3)}, {Actor: away.Actor, Person: eve, Bytes: away.Make("eves")}}
		r.squash(a.doc)
		r.forget(a)
		for range 2 {
			if err := r.hub.Carry(context.Background(), testBoard, a.doc, 0, list); err != nil {
				t.Fatal(err)
			}
			want(t, "kinds", kinds(r.check()), "1124343")
		}
		want(t, "x", r.x(a.doc, "s1-1"), 3)
		actors, err := r.log.Actors(context.Background(), testBoard)
		want(t, "the actor is recorded", actors[away.Actor], eve)
		want(t, "err", err, nil)
		r.log.Fail(boardtest.Append, 0, false)
		more := []board.Imported{{Actor: away.Actor, Person: eve, Bytes: away.Make("more")}}
		if err := r.hub.Carry(context.Background(), testBoard, a.doc, 0, more); err != nil {
			t.Fatal(err)
		}
		want(t, "after a failure", kinds(r.check()), "112434343")
	})
	inBubble(t, "EP11 what cannot be taken from elsewhere is named, the rest is taken", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(1)
		a.settle()
		r.squash(a.doc)
		away := boardtest.NewAuthor(board.ActorID{9})
		good := away.Make("good")
		err := r.hub.Carry(context.Background(), testBoard, a.doc, 0, []board.Imported{
			{Actor: away.Actor, Person: eve, Bytes: good},
			{Actor: away.Actor, Person: bob, Bytes: away.Make("whose")},
			{Actor: board.ActorID{8}, Person: eve, Bytes: good},
			{Actor: away.Actor, Person: eve, Bytes: []byte("garbage")},
			{Actor: away.Actor, Person: eve, Bytes: away.Foreign("good")},
		})
		if err == nil || strings.Count(err.Error(), "\n") != 3 {
			t.Fatalf("got %v", err)
		}
		want(t, "kinds", kinds(r.check(a)), "1243")
		if err := r.hub.Carry(context.Background(), testBoard, a.doc, 2, nil); err != nil {
			t.Fatal(err) // nothing to do
		}
		for epoch, wanted := range map[uint32]error{2: board.ErrUnknownEpoch} {
			if err := r.hub.Carry(context.Background(), testBoard, a.doc, epoch, []board.Imported{{Actor: away.Actor, Person: eve, Bytes: good}}); !errors.Is(err, wanted) {
				t.Fatalf("epoch %d: %v", epoch, err)
			}
		}
		if err := r.hub.Carry(context.Background(), testBoard, "nothing", 0, []board.Imported{{Actor: away.Actor, Person: eve, Bytes: good}}); !errors.Is(err, board.ErrUnknownDoc) {
			t.Fatal(err)
		}
	})
}

func TestAddPage(t *testing.T) {
	inBubble(t, "BD27 a page is added behind the others, durable when it is answered, and drawn on", func(t *testing.T, r *rig) {
		a := r.join(ada)
		a.draw(1)
		a.settle()
		doc, err := r.hub.AddPage(context.Background(), testBoard, ada)
		if err != nil {
			t.Fatal(err)
		}
		a.doc, a.a = doc, boardtest.NewAuthor(a.a.Actor)
		a.draw(2)
		a.settle()
		wantCodes(t, a)
		want(t, "kinds", kinds(r.check(a)), "1511")
		b := r.join(bob)
		want(t, "pages", len(b.w.Meta.Docs), 2)
		want(t, "second", b.w.Meta.Docs[1], board.DocInfo{ID: doc, Seq: 2})
		r.squash(doc)
		r.forget(a, b)
		b = r.join(bob)
		want(t, "second", b.w.Meta.Docs[1], board.DocInfo{ID: doc, Epoch: 1, Seq: 5})
		r.check(b)
	})
	inBubble(t, "BD27 viewers add no pages, and nobody more than 100", func(t *testing.T, r *rig) {
		r.join(ada)
		if _, err := r.hub.AddPage(context.Background(), testBoard, eve); !errors.Is(err, board.ErrReadOnly) {
			t.Fatalf("got %v", err)
		}
		for range 99 {
			if _, err := r.hub.AddPage(context.Background(), testBoard, ada); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.hub.AddPage(context.Background(), testBoard, ada); !errors.Is(err, board.ErrPagesFull) {
			t.Fatalf("got %v", err)
		}
	})
	inBubble(t, "BD27 a page whose append fails is there once", func(t *testing.T, r *rig) {
		for i, applied := range []bool{true, false} {
			a := r.join(ada)
			r.log.Fail(boardtest.Append, 0, applied)
			if _, err := r.hub.AddPage(context.Background(), testBoard, ada); err != nil {
				t.Fatal(err)
			}
			want(t, "pages", len(r.log.Entries(testBoard)), i+1)
			r.forget(a)
		}
	})
}
