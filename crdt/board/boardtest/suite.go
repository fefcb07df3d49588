package boardtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/educationpub/lectern/crdt/board"
)

// NewEntry is an entry of a change by an author.
func NewEntry(seq uint64, doc board.DocID, a *Author, chunk []byte, p board.Person) board.Entry {
	return board.Entry{Seq: seq, Doc: doc, Kind: board.KindChange, Hash: HashOf(chunk), Actor: a.Actor, Person: p, At: time.UnixMilli(1_700_000_000_000 + int64(seq)).UTC(), Bytes: chunk}
}

// TestLog runs the contract of board.Log. open answers an empty log; reopen answers the same one as after a restart.
func TestLog(t *testing.T, open func(t *testing.T) (log board.Log, reopen func() board.Log)) {
	const id, doc, ada = board.ID("aaaaaaaaaaaaaaaaaaaaaaaaaa"), board.DocID("01page"), board.Person("@ada:example.org")
	meta := board.Meta{ID: id, Room: "!r:example.org", Kind: "whiteboard", Log: "log1", Docs: []board.DocInfo{{ID: doc}}}
	ctx := t.Context()
	appendWait := func(l board.Log, id board.ID, e ...board.Entry) error {
		c := make(chan error, 1)
		l.Append(id, e, func(err error) { c <- err })
		return <-c
	}
	entries := func(n int) (list []board.Entry) {
		a := NewAuthor(board.ActorID{1})
		for i := range n {
			list = append(list, NewEntry(uint64(i+1), doc, a, a.Make(fmt.Sprint("e", i)), ada))
		}
		return list
	}
	check := func(t *testing.T, l board.Log, want []board.Entry) {
		t.Helper()
		got, err := l.Read(ctx, id, 0, 1000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("entries differ (-want +got):\n%s", d)
		}
	}
	t.Run("LG1 an unknown board is ErrUnknown", func(t *testing.T) {
		l, _ := open(t)
		if _, err := l.Open(ctx, id); !errors.Is(err, board.ErrUnknown) {
			t.Fatalf("got %v", err)
		}
		if err := appendWait(l, id, entries(1)...); !errors.Is(err, board.ErrUnknown) {
			t.Fatalf("append: got %v", err)
		}
	})
	t.Run("LG1 a board is created once, with everything", func(t *testing.T) {
		l, reopen := open(t)
		want := entries(3)
		if err := l.Create(ctx, meta, want, map[board.ActorID]board.Person{{1}: ada}); err != nil {
			t.Fatal(err)
		}
		if err := l.Create(ctx, meta, nil, nil); !errors.Is(err, board.ErrExists) {
			t.Fatalf("second create: got %v", err)
		}
		l = reopen()
		m, err := l.Open(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		w := meta
		w.Seq = 3
		if d := cmp.Diff(w, m); d != "" {
			t.Fatal(d)
		}
		check(t, l, want)
		if a, err := l.Actors(ctx, id); err != nil || len(a) != 1 || a[board.ActorID{1}] != ada {
			t.Fatalf("actors %v, %v", a, err)
		}
	})
	t.Run("LG2 appended entries are read back after a restart, dense and in order", func(t *testing.T) {
		l, reopen := open(t)
		all := entries(10)
		if err := l.Create(ctx, meta, nil, nil); err != nil {
			t.Fatal(err)
		}
		for _, part := range [][]board.Entry{all[:1], all[1:4], all[4:]} {
			if err := appendWait(l, id, part...); err != nil {
				t.Fatal(err)
			}
		}
		l = reopen()
		check(t, l, all)
		got, err := l.Read(ctx, id, 4, 3, 1<<20)
		if err != nil || len(got) != 3 || got[0].Seq != 5 {
			t.Fatalf("got %v, %v", got, err)
		}
		if got, err = l.Read(ctx, id, 0, 100, 1); err != nil || len(got) != 1 {
			t.Fatalf("one at least: got %d, %v", len(got), err)
		}
		if got, err = l.Read(ctx, id, 10, 100, 1<<20); err != nil || len(got) != 0 {
			t.Fatalf("at the end: got %d, %v", len(got), err)
		}
	})
	t.Run("LG2 a gap, a repeated number and a repeated change are refused and leave nothing", func(t *testing.T) {
		l, _ := open(t)
		all := entries(4)
		if err := l.Create(ctx, meta, all[:2], nil); err != nil {
			t.Fatal(err)
		}
		again := all[0]
		again.Seq = 4
		for name, bad := range map[string][]board.Entry{"gap": {all[3]}, "repeated number": {all[1]}, "repeated change": {all[2], again}} {
			if err := appendWait(l, id, bad...); err == nil {
				t.Fatalf("%s was taken", name)
			}
			check(t, l, all[:2])
		}
		if err := appendWait(l, id, all[2:]...); err != nil {
			t.Fatal(err)
		}
		check(t, l, all)
	})
	t.Run("LG2 an epoch of a document is read by itself, and begins with its document, in the transaction of its entry", func(t *testing.T) {
		l, reopen := open(t)
		if err := l.Create(ctx, meta, nil, nil); err != nil {
			t.Fatal(err)
		}
		const second = board.DocID("02page")
		var all []board.Entry
		add := func(doc board.DocID, epoch uint32, kind board.EntryKind, b []byte) board.Entry {
			e := board.Entry{Seq: uint64(len(all)) + 1, Doc: doc, Epoch: epoch, Kind: kind, Hash: HashOf(append(make([]byte, 8), fmt.Sprint(len(all))...)), Person: ada, At: time.UnixMilli(1_700_000_000_000).UTC(), Bytes: b}
			if kind == board.KindEpoch || kind == board.KindPage {
				e.Document = []byte("save of " + fmt.Sprint(e.Seq))
			}
			all = append(all, e)
			return e
		}
		docs := func(want ...board.DocInfo) {
			t.Helper()
			m, err := l.Open(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, m.Docs); d != "" || m.Seq != uint64(len(all)) {
				t.Fatalf("seq %d of %d, docs (-want +got):\n%s", m.Seq, len(all), d)
			}
		}
		// One append with everything: changes of two documents, a squash with its carry, a late change, another squash.
		batch := []board.Entry{
			add(doc, 0, board.KindChange, []byte("a")), add(second, 0, board.KindPage, nil), add(doc, 0, board.KindChange, []byte("b")),
			add(doc, 1, board.KindEpoch, []byte("squash")), add(doc, 1, board.KindCarry, []byte("carry")), add(second, 0, board.KindChange, []byte("c")),
		}
		if err := appendWait(l, id, batch...); err != nil {
			t.Fatal(err)
		}
		docs(board.DocInfo{ID: doc, Epoch: 1, Seq: 4}, board.DocInfo{ID: second, Seq: 5}) // nothing of it between 2 and 5
		if err := appendWait(l, id, add(doc, 0, board.KindLate, []byte("late")), add(doc, 1, board.KindChange, []byte("d")), add(doc, 2, board.KindEpoch, []byte("squash"))); err != nil {
			t.Fatal(err)
		}
		if err := appendWait(l, id, add(board.RulesDoc, 0, board.KindRules, []byte("{}"))); err != nil {
			t.Fatal(err)
		}
		l = reopen()
		docs(board.DocInfo{ID: doc, Epoch: 2, Seq: 10}, board.DocInfo{ID: second, Seq: 5})
		for i := range all {
			all[i].Document = nil
			if len(all[i].Bytes) == 0 {
				all[i].Bytes = nil
			}
		}
		read := func(doc board.DocID, epoch uint32, after uint64, limit, size int) []uint64 {
			t.Helper()
			got, err := l.ReadDoc(ctx, id, doc, epoch, after, limit, size)
			if err != nil {
				t.Fatal(err)
			}
			var seqs []uint64
			for _, e := range got {
				if len(e.Bytes) == 0 {
					e.Bytes = nil
				}
				if d := cmp.Diff(all[e.Seq-1], e); d != "" {
					t.Fatalf("entry %d (-want +got):\n%s", e.Seq, d)
				}
				seqs = append(seqs, e.Seq)
			}
			return seqs
		}
		for _, c := range []struct {
			got, want []uint64
		}{
			{read(doc, 0, 0, 100, 1<<20), []uint64{1, 3, 7}},
			{read(doc, 1, 0, 100, 1<<20), []uint64{4, 5, 8}},
			{read(doc, 2, 0, 100, 1<<20), []uint64{9}},
			{read(doc, 3, 0, 100, 1<<20), nil},
			{read(second, 0, 0, 100, 1<<20), []uint64{2, 6}},
			{read(board.RulesDoc, 0, 0, 100, 1<<20), []uint64{10}},
			{read(doc, 1, 4, 100, 1<<20), []uint64{5, 8}},
			{read(doc, 1, 0, 2, 1<<20), []uint64{4, 5}},
			{read(doc, 1, 0, 100, 1), []uint64{4}},
			{read(doc, 1, 8, 100, 1<<20), nil},
		} {
			if d := cmp.Diff(c.want, c.got); d != "" {
				t.Fatalf("(-want +got):\n%s", d)
			}
		}
		if _, err := l.ReadDoc(ctx, "unknown", doc, 0, 0, 1, 1); !errors.Is(err, board.ErrUnknown) {
			t.Fatalf("unknown board: got %v", err)
		}
		n := len(all)
		for name, e := range map[string]board.Entry{
			"a squash without document": {Doc: doc, Epoch: 3, Kind: board.KindEpoch}, "an epoch that is over": {Doc: doc, Epoch: 1, Kind: board.KindEpoch, Document: []byte("x")},
			"an epoch of an unknown document": {Doc: "03page", Epoch: 3, Kind: board.KindEpoch, Document: []byte("x")}, "a page that is there": {Doc: second, Kind: board.KindPage, Document: []byte("x")},
		} {
			e.Seq, e.Hash, e.At = uint64(n)+1, board.Hash{7}, all[0].At
			if err := appendWait(l, id, e); err == nil {
				t.Fatalf("%s was taken", name)
			}
			docs(board.DocInfo{ID: doc, Epoch: 2, Seq: 10}, board.DocInfo{ID: second, Seq: 5})
		}
	})
	t.Run("LG3 done runs once per append, in order, boards do not disturb each other", func(t *testing.T) {
		l, _ := open(t)
		const boards, each = 8, 25
		var mu sync.Mutex
		var wg sync.WaitGroup
		order := map[board.ID][]int{}
		for b := range boards {
			m := meta
			m.ID = board.ID(fmt.Sprintf("board%021d", b))
			if err := l.Create(ctx, m, nil, nil); err != nil {
				t.Fatal(err)
			}
			list := entries(each)
			wg.Add(each)
			for i := range list {
				l.Append(m.ID, list[i:i+1], func(err error) {
					defer wg.Done()
					mu.Lock()
					defer mu.Unlock()
					order[m.ID] = append(order[m.ID], i)
					if err != nil {
						t.Errorf("%s %d: %v", m.ID, i, err)
					}
				})
			}
			wg.Add(1)
			l.Append("unknown", list[:1], func(err error) {
				defer wg.Done()
				if !errors.Is(err, board.ErrUnknown) {
					t.Errorf("unknown board: got %v", err)
				}
			})
		}
		wg.Wait()
		for id, o := range order {
			if len(o) != each {
				t.Fatalf("%s: %d answers", id, len(o))
			}
			for i := range o {
				if o[i] != i {
					t.Fatalf("%s: order %v", id, o)
				}
			}
		}
	})
	t.Run("LG4 an actor belongs to one person for ever", func(t *testing.T) {
		l, reopen := open(t)
		if err := l.Create(ctx, meta, nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := l.IssueActor(ctx, id, board.ActorID{9}, ada); err != nil {
			t.Fatal(err)
		}
		if err := l.IssueActor(ctx, id, board.ActorID{9}, "@eve:example.org"); err == nil {
			t.Fatal("issued twice")
		}
		l = reopen()
		if a, err := l.Actors(context.Background(), id); err != nil || a[board.ActorID{9}] != ada {
			t.Fatalf("got %v, %v", a, err)
		}
	})
}
