package checkpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
)

// database is the one board of a memory, as Behind sees it.
type database struct {
	*memory
	aside int
}

func (s *database) Stored(context.Context) ([]board.Changed, error) {
	return []board.Changed{{ID: testBoard, Room: testRoom, Kind: testKind, Seq: uint64(len(s.entries))}}, nil
}

func (s *database) SetAside(context.Context, board.ID) error { s.aside++; return nil }

func TestBehind(t *testing.T) {
	const event = "$newest"
	other := func(t *testing.T, w *world) { rewrite(t, w, func(m map[string]any) { m["log"] = "another" }) }
	// Each is a board that was saved up to 5, of which the room holds another event than the one that was recorded.
	for name, c := range map[string]struct {
		change func(t *testing.T, w *world)
		stands string
		aside  int
	}{
		"RS3 the event that was recorded":     {stands: "$event1"},
		"RS3 somebody else's event, or none":  {stands: ""},
		"RS3 the stop came before the record": {stands: event},
		"RS3 a later seq of the same log":     {stands: event, aside: 1, change: func(_ *testing.T, w *world) { w.memory.entries = w.memory.entries[:3] }},
		"RS3 a later log that is not ours":    {stands: event, aside: 1, change: other},
		"RS3 another log, and we never saved": {stands: event, change: func(t *testing.T, w *world) { other(t, w); w.memory.record = checkpoint.Record{} }},
		"RS3 an older event of another log": {stands: event, change: func(t *testing.T, w *world) {
			other(t, w)
			w.memory.record.At = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		}},
		"RS3 an event that must not be used": {stands: event, change: func(_ *testing.T, w *world) { w.failing(func(string) error { return checkpoint.ErrUntrusted }) }},
		"RS3 a homeserver that is waited for": {stands: event, aside: 1, change: func(_ *testing.T, w *world) {
			w.memory.entries = w.memory.entries[:3]
			tries := 0
			w.failing(func(string) error {
				if tries++; tries < 5 {
					return &checkpoint.RoomError{Kind: checkpoint.Unreachable, Err: errors.New("no answer")}
				}
				return nil
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.draw(5, 5)
				sleep(6 * time.Second)
				if c.change != nil {
					c.change(t, w)
				}
				s := &database{memory: w.memory}
				n, err := w.Behind(t.Context(), s, func(room, typ, key string) string {
					if room != testRoom || typ != testType || key != string(testBoard) {
						t.Errorf("asked for %s %s %s", room, typ, key)
					}
					return c.stands
				})
				if err != nil || n != c.aside || s.aside != c.aside {
					t.Errorf("got %d set aside, %v, want %d", n, err, c.aside)
				}
			})
		})
	}
}

func TestErasedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.draw(5, 5)
		sleep(6 * time.Second)
		if err := w.EmptyEvent(t.Context(), testRoom, testKind, testBoard); err != nil {
			t.Fatal(err)
		}
		w.memory.record = checkpoint.Record{}
		if r, err := w.Restore(t.Context(), testRoom, testKind, testBoard); r != nil || err != nil {
			t.Errorf("RS4 an emptied event is no board: got %+v, %v", r, err)
		}
		rewrite(t, w, func(m map[string]any) { m["board"] = "bbbbbbbbbbbbbbbbbbbbbbbbbb" })
		if _, err := w.Restore(t.Context(), testRoom, testKind, testBoard); !errors.Is(err, board.ErrDamaged) {
			t.Errorf("RS4 that of another board is not: got %v", err)
		}
	})
}

func rewrite(t *testing.T, w *world, f func(map[string]any)) {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(w.room.state, &m); err != nil {
		t.Fatal(err)
	}
	f(m)
	var err error
	if w.room.state, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
}
