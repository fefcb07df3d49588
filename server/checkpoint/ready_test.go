package checkpoint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/educationpub/lectern/crdt"
	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/store"
)

const otherDoc = board.DocID("01jd0000000000000000000001")

// shelf is a real board of two pages with strokes on the first, and a Checkpointer that makes snapshots of it.
type shelf struct {
	t     testing.TB
	store *counting
	all   []board.Entry
	draw  *drawer
	log   bytes.Buffer
	*checkpoint.Checkpointer
}

// counting counts what is read of snapshots, and spoils it on demand.
type counting struct {
	*store.Store
	reads atomic.Int32
	spoil func(*checkpoint.Snapshot) error // may be nil; as a damaged row reads
}

func (c *counting) Snapshot(ctx context.Context, id board.ID, doc board.DocID) (checkpoint.Snapshot, error) {
	c.reads.Add(1)
	s, err := c.Store.Snapshot(ctx, id, doc)
	if err == nil && c.spoil != nil {
		err = c.spoil(&s)
	}
	return s, err
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	w := &shelf{t: t, store: &counting{Store: realStore(t)}, draw: newDrawer(t)}
	meta := board.Meta{ID: testBoard, Room: testRoom, Kind: testKind, Log: "log1", Docs: []board.DocInfo{{ID: testDoc}, {ID: otherDoc}}}
	if err := w.store.Create(t.Context(), meta, nil, nil); err != nil {
		t.Fatal(err)
	}
	w.Checkpointer = checkpoint.New(checkpoint.Config{
		Home: testHome, Room: newRoom(), Store: w.store, Log: w.store, Merger: realPool(t), Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	done, ctx := make(chan error, 1), t.Context()
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() { <-done })
	return w
}

func (w *shelf) commit(n int) {
	w.t.Helper()
	var entries []board.Entry
	for range n {
		entries = append(entries, entry(w.t, uint64(len(w.all)+len(entries)+1), w.draw.stroke(len(entries)%5, 10)))
	}
	committed := make(chan error, 1)
	w.store.Append(testBoard, entries, func(err error) { committed <- err })
	if err := <-committed; err != nil {
		w.t.Fatal(err)
	}
	w.all = append(w.all, entries...)
}

// merge stores snapshots up to the last entry.
func (w *shelf) merge() {
	w.t.Helper()
	w.Changed(board.Changed{ID: testBoard, Room: testRoom, Kind: testKind, Seq: uint64(len(w.all)), People: 1})
	if err := w.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *shelf) ready(doc board.DocID) checkpoint.Ready {
	w.t.Helper()
	r, err := w.Ready(w.t.Context(), testBoard, doc, true)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// check says whether r holds every entry up to its seq, in both forms.
func (w *shelf) check(r checkpoint.Ready) {
	w.t.Helper()
	d, err := crdt.Load(r.Document)
	if err != nil {
		w.t.Fatal(err)
	}
	changes, err := d.Changes()
	if err != nil || len(changes) != int(r.Seq)+1 {
		w.t.Fatalf("got %d changes up to %d, %v", len(changes), r.Seq, err)
	}
	plain, err := checkpoint.PlainScene(r.Scene)
	if err != nil {
		w.t.Fatal(err)
	}
	var s struct {
		Log     string
		Seq     uint64
		Heads   []string
		Columns struct{ ID []string }
	}
	if err := json.Unmarshal(plain, &s); err != nil {
		w.t.Fatal(err)
	}
	if s.Log != "log1" || s.Seq != r.Seq || len(s.Heads) != len(d.Heads()) || len(s.Columns.ID) != int(r.Seq) {
		w.t.Fatalf("got a scene of %s at %d with %d heads and %d elements, want log1 at %d with %d and %d", s.Log, s.Seq, len(s.Heads), len(s.Columns.ID), r.Seq, len(d.Heads()), r.Seq)
	}
}

func TestReady(t *testing.T) {
	t.Run("SN1 SN3 the newest snapshot in both forms; a page that nobody touches does not hold joiners back", func(t *testing.T) {
		w := newShelf(t)
		w.commit(20)
		if r := w.ready(testDoc); r.Seq != 0 || r.Upto != 0 || len(r.Document) != 0 {
			t.Fatalf("before the first merge: got %d bytes at %d (%d)", len(r.Document), r.Seq, r.Upto)
		}
		w.merge()
		w.commit(5)
		r := w.ready(testDoc)
		if r.Seq != 20 || r.Upto != 20 {
			t.Fatalf("got seq %d up to %d, want 20", r.Seq, r.Upto)
		}
		w.check(r)
		if r := w.ready(otherDoc); r.Seq != 0 || r.Upto != 25 || len(r.Document) != 0 {
			t.Fatalf("untouched page: got seq %d up to %d", r.Seq, r.Upto)
		}
		m, err := w.store.Open(t.Context(), testBoard)
		if err != nil || m.Docs[0].Seq != 20 || m.Docs[1].Seq != 25 {
			t.Fatalf("BD12 welcome names the same: got %+v, %v", m.Docs, err)
		}
		w.merge()
		if again := w.ready(testDoc); again.Seq != 25 || again.Tag() == r.Tag() {
			t.Fatalf("after another merge: got seq %d, tag %s", again.Seq, again.Tag())
		}
		if _, err := w.Ready(t.Context(), testBoard, "nope", true); !errors.Is(err, board.ErrUnknownDoc) {
			t.Fatalf("got %v", err)
		}
	})

	t.Run("SN2 twenty who ask at once cost one reading, later ones none", func(t *testing.T) {
		w := newShelf(t)
		w.commit(20)
		w.merge()
		w.store.reads.Store(0)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := w.Ready(t.Context(), testBoard, testDoc, true); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		w.ready(testDoc)
		if n := w.store.reads.Load(); n != 1 {
			t.Fatalf("got %d readings", n)
		}
	})

	damaged := func(*checkpoint.Snapshot) error { return board.ErrDamaged.Because("a byte") }
	t.Run("SN5 a damaged document is made anew from the log, once, and stored", func(t *testing.T) {
		w := newShelf(t)
		w.commit(20)
		w.merge()
		w.store.spoil = damaged
		r := w.ready(testDoc)
		w.store.spoil = nil
		w.check(r)
		if !strings.Contains(w.log.String(), "a snapshot is damaged") {
			t.Fatalf("no word in the log: %s", w.log.String())
		}
	})

	t.Run("SN5 a damaged or missing scene is made anew from the document", func(t *testing.T) {
		w := newShelf(t)
		w.commit(20)
		w.merge()
		w.store.spoil = func(s *checkpoint.Snapshot) error { s.Scene = nil; return nil }
		w.check(w.ready(testDoc))
	})

	t.Run("SN5 where the log does not help either, the answer is board_damaged", func(t *testing.T) {
		w := newShelf(t)
		w.commit(20)
		w.merge()
		w.store.spoil = damaged
		c := checkpoint.New(checkpoint.Config{Home: testHome, Room: newRoom(), Store: w.store, Log: brokenLog{w.store}, Merger: realPool(t)})
		if _, err := c.Ready(t.Context(), testBoard, testDoc, true); !errors.Is(err, board.ErrDamaged) {
			t.Fatalf("got %v", err)
		}
	})

	t.Run("SN1 an erased board is served no more", func(t *testing.T) {
		w := newShelf(t)
		w.commit(5)
		w.merge()
		w.ready(testDoc)
		if err := w.store.Erase(t.Context(), testBoard); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Ready(t.Context(), testBoard, testDoc, true); !errors.Is(err, board.ErrUnknown) {
			t.Fatalf("got %v", err)
		}
	})
}

type brokenLog struct{ board.Log }

func (brokenLog) ReadDoc(context.Context, board.ID, board.DocID, uint32, uint64, int, int) ([]board.Entry, error) {
	return nil, board.ErrDamaged.Because("entry 3")
}
