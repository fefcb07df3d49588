package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
	"github.com/educationpub/lectern/server/store"
)

// epochs is a log of three epochs of a document, one day apart, with a late change for the first of them committed in the last.
func epochs(start time.Time) []board.Entry {
	a := boardtest.NewAuthor(board.ActorID{1})
	var out []board.Entry
	add := func(epoch uint32, kind board.EntryKind, at time.Time) {
		e := boardtest.NewEntry(uint64(len(out)+1), doc, a, a.Make(canary), ada)
		e.Epoch, e.Kind, e.At = epoch, kind, at.UTC().Truncate(time.Millisecond)
		if kind == board.KindEpoch {
			e.Document = []byte("document")
		}
		out = append(out, e)
	}
	for epoch := range uint32(3) {
		at := start.Add(time.Duration(epoch) * 24 * time.Hour)
		if epoch > 0 {
			add(epoch, board.KindEpoch, at)
		}
		for range 3 {
			add(epoch, board.KindChange, at)
		}
	}
	add(0, board.KindLate, start.Add(50*time.Hour))
	return out
}

func TestRetention(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := newStore(t, options(t))
	want := epochs(start)
	create(t, s, want)
	gone := func() (out []uint64) {
		t.Helper()
		got, err := s.Read(t.Context(), id, 0, 100, 1<<20)
		if err != nil || len(got) != len(want) {
			t.Fatalf("got %d entries, %v, want %d", len(got), err, len(want))
		}
		for i, e := range got {
			if e.Kind == store.KindGone {
				out = append(out, e.Seq)
				if len(e.Bytes) != 0 || e.Hash != want[i].Hash || e.Actor != want[i].Actor || e.Person != ada {
					t.Errorf("entry %d is left as %+v", e.Seq, e)
				}
			} else if !bytes.Equal(e.Bytes, want[i].Bytes) || e.Kind != want[i].Kind {
				t.Errorf("entry %d was changed", e.Seq)
			}
		}
		return out
	}
	expire := func(before time.Time, limit, wantN int) {
		t.Helper()
		if n, err := s.ExpireArchives(t.Context(), before, limit); err != nil || n != wantN {
			t.Fatalf("got %d, %v, want %d", n, err, wantN)
		}
	}
	t.Run("RS5 nothing goes before an epoch's end is old enough", func(t *testing.T) {
		expire(start.Add(24*time.Hour), 100, 0)
		if len(gone()) != 0 {
			t.Error("something is gone")
		}
	})
	t.Run("RS5 the first epoch goes, with what came late for it, in steps; the others stay", func(t *testing.T) {
		before := start.Add(25 * time.Hour)
		expire(before, 3, 3)
		expire(before, 3, 1)
		expire(before, 3, 0)
		if got := gone(); len(got) != 4 || got[0] != 1 || got[3] != uint64(len(want)) {
			t.Errorf("gone: %v", got)
		}
	})
	t.Run("RS5 the present epoch is never touched", func(t *testing.T) {
		expire(start.AddDate(10, 0, 0), 100, 4)
		if got := gone(); len(got) != 8 {
			t.Errorf("gone: %v", got)
		}
		list, err := s.ReadDoc(t.Context(), id, doc, 2, 0, 100, 1<<20)
		if err != nil || len(list) != 4 {
			t.Errorf("the present epoch has %d entries, %v", len(list), err)
		}
	})
}

func TestSetAside(t *testing.T) {
	s := newStore(t, options(t))
	create(t, s, someEntries(5))
	actor := board.ActorID{7}
	if err := s.IssueActor(t.Context(), id, actor, ada); err != nil {
		t.Fatal(err)
	}
	t.Run("RS3 a board that is set aside is unknown, bound, and may be created anew", func(t *testing.T) {
		if list, err := s.Stored(t.Context()); err != nil || len(list) != 1 || list[0].Seq != 5 {
			t.Fatalf("got %+v, %v", list, err)
		}
		if err := s.SetAside(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(t.Context(), id); !errors.Is(err, board.ErrUnknown) {
			t.Errorf("got %v", err)
		}
		if room, err := s.BindBoard(t.Context(), id, "!other:example.org", "whiteboard"); err != nil || room != meta.Room {
			t.Errorf("got %s, %v", room, err)
		}
		create(t, s, someEntries(8))
		if m, err := s.Open(t.Context(), id); err != nil || m.Seq != 8 {
			t.Errorf("got %+v, %v", m, err)
		}
		if actors, err := s.Actors(t.Context(), id); err != nil || actors[actor] != ada {
			t.Errorf("got %v, %v", actors, err)
		}
	})
}

func TestBackup(t *testing.T) {
	o := options(t)
	s := newStore(t, o)
	create(t, s, someEntries(20))
	to := filepath.Join(t.TempDir(), "copy.db")
	t.Run("RS2 a database in use is copied as of one moment, and the copy verified", func(t *testing.T) {
		if err := store.Backup(t.Context(), o.Path, to); err != nil {
			t.Fatal(err)
		}
		v, err := store.Verify(t.Context(), to, o.KeyFile, nil)
		if err != nil || v.Boards != 1 || v.Entries != 20 {
			t.Fatalf("got %+v, %v", v, err)
		}
		if i, err := os.Stat(to); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("got %v, %v", i.Mode(), err)
		}
		if list, err := filepath.Glob(to + "*"); err != nil || len(list) != 1 {
			t.Errorf("beside it lie %v, %v", list, err)
		}
		if b, err := os.ReadFile(to); err != nil || bytes.Contains(b, []byte(canary)) {
			t.Errorf("content is readable in it, %v", err)
		}
	})
	t.Run("RS2 nothing is written over", func(t *testing.T) {
		if err := store.Backup(t.Context(), o.Path, to); err == nil {
			t.Error("the copy was replaced")
		}
	})
	t.Run("RS2 what does not verify is named", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(other, make([]byte, 32), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Verify(t.Context(), to, other, nil); !errors.Is(err, store.ErrWrongKey) {
			t.Errorf("got %v", err)
		}
		tamper(t, to, `UPDATE entries SET ts = ts + 1 WHERE seq = 7`)
		if _, err := store.Verify(t.Context(), to, o.KeyFile, nil); !errors.Is(err, board.ErrDamaged) {
			t.Errorf("got %v", err)
		}
	})
}
