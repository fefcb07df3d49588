package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
)

func TestMoveBoard(t *testing.T) {
	o := options(t)
	s := newStore(t, o)
	want := epochs(time.Now())
	create(t, s, want)
	if err := s.PutCheckpoint(t.Context(), id, checkpoint.Record{Seq: 5, EventID: "$in-the-old-room", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	old, err := s.BoundRoom(t.Context(), id)
	if err != nil || old == "" {
		t.Fatalf("bound to %q, %v", old, err)
	}
	const next, other = "!next:x", board.ID("bbbbbbbbbbbbbbbbbbbbbbbbbb")
	move := func(id board.ID, from, to string) error { return s.MoveBoard(t.Context(), id, from, to, "whiteboard") }
	if err := move(id, "!third:x", next); !errors.Is(err, board.ErrElsewhere) {
		t.Errorf("UP1 from a room it is not in: %v", err)
	}
	for range 2 { // a second time nothing happens
		if err := move(id, old, next); err != nil {
			t.Fatal(err)
		}
	}
	if err := move(other, old, next); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Open(t.Context(), id); err != nil || m.Room != next || m.Seq != uint64(len(want)) {
		t.Errorf("UP3 got %+v, %v", m, err)
	}
	if r, err := s.Checkpoint(t.Context(), id); err != nil || r.Seq != 0 || r.EventID != "" {
		t.Errorf("UP3 what stands in the old room is not forgotten: %+v, %v", r, err)
	}
	if l, err := s.InRoom(t.Context(), next); err != nil || len(l) != 2 || l[0].ID != id && l[1].ID != id {
		t.Errorf("in the new room: %+v, %v", l, err)
	}
	if l, err := s.InRoom(t.Context(), old); err != nil || len(l) != 0 {
		t.Errorf("in the old room: %+v, %v", l, err)
	}
	if _, err := s.Open(t.Context(), other); !errors.Is(err, board.ErrUnknown) {
		t.Errorf("a board that is only bound: %v", err)
	}
}
