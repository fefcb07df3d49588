package checkpoint_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt"
	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/worker"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/store"
)

func realPool(t testing.TB) *worker.Pool {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return worker.New(worker.Config{Command: []string{exe, "child-merge"}, Timeout: 30 * time.Second})
}

func realStore(t testing.TB) *store.Store {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(dir, "lectern.db"), KeyFile: filepath.Join(dir, "key")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// saveReal draws on a real store, saves with real merge workers into r, and answers the log.
func saveReal(t *testing.T, r *room, strokes, points, after int) []board.Entry {
	t.Helper()
	s, d := realStore(t), newDrawer(t)
	actors := make(map[board.ActorID]board.Person)
	for n := range 5 {
		actors[testActor(n)] = testPerson(testActor(n))
	}
	meta := board.Meta{ID: testBoard, Room: testRoom, Kind: testKind, Log: "log1", Docs: []board.DocInfo{{ID: testDoc}}}
	if err := s.Create(t.Context(), meta, nil, actors); err != nil {
		t.Fatal(err)
	}
	c := checkpoint.New(checkpoint.Config{Home: testHome, Room: r, Store: s, Log: s, Merger: realPool(t), Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	done := make(chan error, 1)
	go func() { done <- c.Run(t.Context()) }()
	t.Cleanup(func() { <-done })

	var all []board.Entry
	for _, n := range []int{strokes, after} {
		if n == 0 {
			continue
		}
		var entries []board.Entry
		for range n {
			entries = append(entries, entry(t, uint64(len(all)+len(entries)+1), d.stroke(len(entries)%5, points)))
		}
		committed := make(chan error, 1)
		s.Append(testBoard, entries, func(err error) { committed <- err })
		if err := <-committed; err != nil {
			t.Fatal(err)
		}
		all = append(all, entries...)
		c.Changed(board.Changed{ID: testBoard, Room: testRoom, Kind: testKind, Seq: uint64(len(all)), People: 1, At: time.Now()})
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	snap, err := s.Snapshot(t.Context(), testBoard, testDoc)
	if err != nil || snap.Seq != uint64(len(all)) {
		t.Fatalf("CP5 joiners start from a snapshot: got seq %d, %v", snap.Seq, err)
	}
	rec, err := s.Checkpoint(t.Context(), testBoard)
	if err != nil || rec.Seq != uint64(len(all)) || rec.EventID == "" {
		t.Fatalf("got record %+v, %v", rec, err)
	}
	return all
}

func restorer(t testing.TB, r *room) *checkpoint.Checkpointer {
	t.Helper()
	return checkpoint.New(checkpoint.Config{Home: testHome, Room: r, Store: &memory{}, Log: &memory{}, Merger: realPool(t)})
}

func TestRoundTrip(t *testing.T) {
	for _, size := range []struct {
		name                   string
		strokes, points, after int
	}{{"in the event", 8, 50, 0}, {"base", 300, 100, 0}, {"base and tail", 300, 100, 20}} {
		t.Run("CP7 from the store through the room into an empty store: "+size.name, func(t *testing.T) {
			r := newRoom()
			want := saveReal(t, r, size.strokes, size.points, size.after)
			fresh := realStore(t)
			c := checkpoint.New(checkpoint.Config{Home: testHome, Room: r, Store: fresh, Log: fresh, Merger: realPool(t)})
			got, err := c.Restore(t.Context(), testRoom, testKind, testBoard)
			if err != nil {
				t.Fatal(err)
			}
			compareEntries(t, got, want)
			if len(got.Docs) != 1 || got.Docs[0] != (board.DocInfo{ID: testDoc}) || len(got.Actors) != 5 || got.SavedAt.IsZero() {
				t.Fatalf("got %+v, %v", got.Docs, got.Actors)
			}
			meta := board.Meta{ID: testBoard, Room: testRoom, Kind: testKind, Log: "log2", Docs: got.Docs, Seq: uint64(len(got.Entries))}
			if err := fresh.Create(t.Context(), meta, got.Entries, got.Actors); err != nil {
				t.Fatal(err)
			}
			read, err := fresh.Read(t.Context(), testBoard, 0, 1000, 1<<30)
			if err != nil || len(read) != len(want) {
				t.Fatalf("got %d entries back, %v", len(read), err)
			}
		})
	}
}

func TestRestore(t *testing.T) {
	t.Run("CP7 a room without the event has a new board", func(t *testing.T) {
		got, err := restorer(t, newRoom()).Restore(t.Context(), testRoom, testKind, testBoard)
		if got != nil || err != nil {
			t.Fatalf("got %v, %v", got, err)
		}
	})

	small, large := newRoom(), newRoom()
	saveReal(t, small, 8, 50, 0)
	saveReal(t, large, 300, 100, 20)

	damaged := func(name string, r *room, damage func(r *room, m, doc map[string]any)) {
		t.Run("CP7 refused, not emptied: "+name, func(t *testing.T) {
			bad := newRoom()
			for k, v := range r.files {
				bad.files[k] = bytes.Clone(v)
			}
			m := manifestOf(t, r)
			damage(bad, m, m["docs"].([]any)[0].(map[string]any))
			if bad.state == nil {
				bad.state, _ = json.Marshal(m)
			}
			got, err := restorer(t, bad).Restore(t.Context(), testRoom, testKind, testBoard)
			if got != nil || !errors.Is(err, board.ErrDamaged) {
				t.Fatalf("got %v, %v, want nil and ErrDamaged", got, err)
			}
			t.Log(err)
		})
	}
	flip := func(s any) string {
		b := []byte(s.(string))
		b[len(b)/2] ^= 1
		return string(b)
	}
	base := func(r *room, doc map[string]any) *[]byte {
		url := doc["base"].(map[string]any)["url"].(string)
		b := r.files[url[len(url)-64:]]
		return &b
	}
	// redo puts another document into the manifest, with everything beside it made to fit.
	redo := func(t *testing.T, doc map[string]any, edit func(d *crdt.Document)) {
		t.Helper()
		raw, err := base64.StdEncoding.DecodeString(doc["data"].(string))
		if err != nil {
			t.Fatal(err)
		}
		d, err := crdt.Load(raw)
		if err != nil {
			t.Fatal(err)
		}
		edit(d)
		saved := d.Save()
		var heads []string
		for _, h := range d.Heads() {
			heads = append(heads, fmt.Sprintf("%x", h))
		}
		doc["data"], doc["sha256"], doc["heads"] = base64.StdEncoding.EncodeToString(saved), hexSum(saved), heads
	}

	damaged("nothing but an object", small, func(r *room, _, _ map[string]any) { r.state = []byte(`{}`) })
	damaged("no JSON", small, func(r *room, _, _ map[string]any) { r.state = []byte(`[1`) })
	damaged("another version", small, func(_ *room, m, _ map[string]any) { m["v"] = 2 })
	damaged("an unknown field", small, func(_ *room, m, _ map[string]any) { m["more"] = 1 })
	damaged("another board", small, func(_ *room, m, _ map[string]any) { m["board"] = "bbbbbbbbbbbbbbbbbbbbbbbbbb" })
	damaged("another kind", small, func(_ *room, m, _ map[string]any) { m["kind"] = "poll" })
	damaged("a home that did not write it", small, func(_ *room, m, _ map[string]any) { m["home"] = "@lectern:other.example" })
	damaged("an absurd term", small, func(_ *room, m, _ map[string]any) { m["term"] = 1 << 40 })
	damaged("a second term of nobody's", small, func(_ *room, m, _ map[string]any) { m["term"] = 2 })
	damaged("taken from itself", small, func(_ *room, m, _ map[string]any) {
		m["term"], m["taken"] = 2, map[string]any{"home": testHome, "log": "log0", "seq": 1, "docs": []any{map[string]any{"doc": testDoc, "epoch": 0, "seq": 1}}}
	})
	damaged("no documents", small, func(_ *room, m, _ map[string]any) { m["docs"] = []any{} })
	damaged("a document twice", small, func(_ *room, m, d map[string]any) { m["docs"] = []any{d, d} })
	damaged("a document with a foreign name", small, func(_ *room, _, d map[string]any) { d["doc"] = "../../etc" })
	damaged("a document behind the manifest", small, func(_ *room, _, d map[string]any) { d["seq"] = 1 })
	damaged("a bit of the document", small, func(_ *room, _, d map[string]any) {
		raw, _ := base64.StdEncoding.DecodeString(d["data"].(string))
		raw[len(raw)/2] ^= 1
		d["data"] = base64.StdEncoding.EncodeToString(raw)
	})
	damaged("a bit of the document, sum repaired", small, func(_ *room, _, d map[string]any) {
		raw, _ := base64.StdEncoding.DecodeString(d["data"].(string))
		raw[len(raw)/2] ^= 1
		d["data"], d["sha256"] = base64.StdEncoding.EncodeToString(raw), hexSum(raw)
	})
	damaged("the heads", small, func(_ *room, _, d map[string]any) {
		d["heads"] = []any{strings.Repeat("00", 32)}
	})
	damaged("the sum", small, func(_ *room, _, d map[string]any) { d["sha256"] = flip(d["sha256"]) })
	damaged("the base file", large, func(r *room, _, d map[string]any) { (*base(r, d))[500] ^= 1 })
	damaged("a bit of the tail", large, func(_ *room, _, d map[string]any) {
		raw, _ := base64.StdEncoding.DecodeString(d["data"].(string))
		raw[len(raw)/2] ^= 1
		d["data"] = base64.StdEncoding.EncodeToString(raw)
	})
	damaged("a tail cut short", large, func(_ *room, _, d map[string]any) {
		raw, _ := base64.StdEncoding.DecodeString(d["data"].(string))
		d["data"] = base64.StdEncoding.EncodeToString(raw[:len(raw)-3])
	})
	damaged("no tail", large, func(_ *room, _, d map[string]any) { delete(d, "data") })
	damaged("an actor without a person", small, func(_ *room, m, _ map[string]any) { m["authors"] = map[string]any{} })
	damaged("an actor of nobody", small, func(_ *room, m, _ map[string]any) {
		for k := range m["authors"].(map[string]any) {
			m["authors"].(map[string]any)[k] = "somebody"
		}
	})
	damaged("an actor that is none", small, func(_ *room, m, _ map[string]any) { m["authors"].(map[string]any)["zz"] = "@a:b" })
	damaged("a pointer to nothing", small, func(r *room, m, _ map[string]any) {
		r.state = []byte(`{"v":1,"board":"` + string(testBoard) + `","file":{"url":"mxc://example.org/x"}}`)
	})
	damaged("a pointer to another version", small, func(r *room, m, _ map[string]any) {
		m["v"] = 9
		b, _ := json.Marshal(m)
		r.files[hexSum(b)] = b
		r.state = []byte(`{"v":1,"board":"` + string(testBoard) + `","file":{"url":"mxc://example.org/` + hexSum(b) + `"}}`)
	})
	damaged("an event that must not be used", small, func(r *room, _, _ map[string]any) {
		r.fail = func(e string) error { return fmt.Errorf("%w: sender is @mallory:example.org", checkpoint.ErrUntrusted) }
	})
	damaged("a change outside the grammar", small, func(_ *room, _, doc map[string]any) {
		redo(t, doc, func(d *crdt.Document) {
			if _, err := d.Author(testActor(1), crdt.Edit{Path: []string{"elements"}, Value: map[string]any{}}); err != nil {
				t.Fatal(err)
			}
		})
	})
	damaged("a document that makes the engine abort", small, func(_ *room, _, doc map[string]any) {
		text, err := os.ReadFile("../../crdt/worker/testdata/abort.base64")
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		doc["data"], doc["sha256"] = strings.TrimSpace(string(text)), hexSum(raw)
	})

	t.Run("CP7 refused when another Lectern is its home, which is named", func(t *testing.T) {
		r := newRoom()
		m := manifestOf(t, small)
		m["home"], r.writer = "@lectern:other.example", "@lectern:other.example"
		r.state, _ = json.Marshal(m)
		_, err := restorer(t, r).Restore(t.Context(), testRoom, testKind, testBoard)
		if !errors.Is(err, board.ErrElsewhere) || !strings.Contains(err.Error(), "@lectern:other.example") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("CP7 refused when it goes back behind what was saved", func(t *testing.T) {
		known := &memory{record: checkpoint.Record{Seq: 9}}
		c := checkpoint.New(checkpoint.Config{Home: testHome, Room: small, Store: known, Log: known, Merger: realPool(t)})
		if _, err := c.Restore(t.Context(), testRoom, testKind, testBoard); !errors.Is(err, board.ErrDamaged) {
			t.Fatalf("got %v, want ErrDamaged", err)
		}
	})
	t.Run("CP7 what cannot be had now is no damage", func(t *testing.T) {
		for _, endpoint := range []string{"read", "download"} {
			r := newRoom()
			r.state, r.files = large.state, large.files
			r.fail = failOn(endpoint, checkpoint.Unreachable, 0)
			got, err := restorer(t, r).Restore(t.Context(), testRoom, testKind, testBoard)
			if got != nil || !errors.Is(err, board.ErrUnavailable) {
				t.Fatalf("%s: got %v, %v, want ErrUnavailable", endpoint, got, err)
			}
		}
		c := checkpoint.New(checkpoint.Config{Home: testHome, Room: small, Store: &memory{}, Log: &memory{}, Merger: worker.New(worker.Config{Command: []string{"/nonexistent"}})})
		if _, err := c.Restore(t.Context(), testRoom, testKind, testBoard); !errors.Is(err, board.ErrUnavailable) {
			t.Fatalf("no worker: got %v, want ErrUnavailable", err)
		}
	})
	t.Run("CP7 undamaged it restores, so the refusals above are for their reason", func(t *testing.T) {
		for _, r := range []*room{small, large} {
			if got, err := restorer(t, r).Restore(t.Context(), testRoom, testKind, testBoard); err != nil || len(got.Entries) == 0 {
				t.Fatalf("got %v", err)
			}
		}
	})
}
