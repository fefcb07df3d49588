package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/server/store"
)

const (
	id     = board.ID("aaaaaaaaaaaaaaaaaaaaaaaaaa")
	doc    = board.DocID("01page")
	ada    = board.Person("@ada:example.org")
	canary = "canary-3f9c1e"
)

var meta = board.Meta{ID: id, Room: "!r:example.org", Kind: "whiteboard", Log: "log1", Docs: []board.DocInfo{{ID: doc}}}

func someEntries(n int) (list []board.Entry) {
	a := boardtest.NewAuthor(board.ActorID{1})
	for i := range n {
		list = append(list, boardtest.NewEntry(uint64(i+1), doc, a, a.Make(fmt.Sprint(canary, i)), ada))
	}
	return list
}

func create(t testing.TB, s *store.Store, entries []board.Entry) {
	t.Helper()
	if err := s.Create(t.Context(), meta, entries, nil); err != nil {
		t.Fatal(err)
	}
}

func tamper(t *testing.T, path, query string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?_foreign_keys=off")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r, err := db.Exec(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := r.RowsAffected(); n == 0 {
		t.Fatalf("%s changed nothing", query)
	}
}

func TestTampered(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for name, query := range map[string]string{
			"a byte of the content": `UPDATE entries SET bytes = substr(bytes, 1, 70) || x'00ff00' || substr(bytes, 74) WHERE seq = 3`,
			"a short content":       `UPDATE entries SET bytes = substr(bytes, 1, 20) WHERE seq = 3`,
			"no content":            `UPDATE entries SET bytes = x'' WHERE seq = 3`,
			"another's content":     `UPDATE entries SET bytes = (SELECT bytes FROM entries WHERE seq = 4) WHERE seq = 3`,
			"the person":            `UPDATE entries SET person = '@eve:example.org' WHERE seq = 3`,
			"the actor":             `UPDATE entries SET actor = x'02000000000000000000000000000000' WHERE seq = 3`,
			"the document":          `UPDATE entries SET doc = 'other' WHERE seq = 3`,
			"the epoch":             `UPDATE entries SET epoch = 1 WHERE seq = 3`,
			"the kind":              `UPDATE entries SET kind = 2 WHERE seq = 3`,
			"the time":              `UPDATE entries SET ts = ts + 1 WHERE seq = 3`,
			"the hash":              `UPDATE entries SET hash = zeroblob(32) WHERE seq = 3`,
			"a short hash":          `UPDATE entries SET hash = x'00' WHERE seq = 3`,
			"the key's number":      `UPDATE entries SET key_id = 7 WHERE seq = 3`,
			"the order":             `UPDATE entries SET seq = 30 WHERE seq = 3`,
			"the entry":             `DELETE FROM entries WHERE seq = 3`,
		} {
			t.Run(fmt.Sprintf("LG9 %s is changed on disk, plain %v: the entry is named and nothing of it is served", name, plain), func(t *testing.T) {
				o := options(t)
				o.PlainAtRest = plain
				s := newStore(t, o)
				create(t, s, someEntries(5))
				s.Close()
				tamper(t, o.Path, query)
				s = newStore(t, o)
				got, err := s.Read(t.Context(), id, 0, 100, 1<<20)
				if !errors.Is(err, board.ErrDamaged) || got != nil || !strings.Contains(err.Error(), "entry 3") {
					t.Fatalf("got %d entries, %v", len(got), err)
				}
				if name == "the document" || name == "the epoch" {
					return // it is an entry of that document now, and found wrong when that one is read
				}
				if got, err = s.ReadDoc(t.Context(), id, doc, 0, 0, 100, 1<<20); !errors.Is(err, board.ErrDamaged) || got != nil || !strings.Contains(err.Error(), "entry 3") {
					t.Fatalf("by document: got %d entries, %v", len(got), err)
				}
			})
		}
	}
	t.Run("LG9 a board's key from another board does not open", func(t *testing.T) {
		o := options(t)
		s := newStore(t, o)
		create(t, s, someEntries(1))
		m := meta
		m.ID = "b"
		if err := s.Create(t.Context(), m, nil, nil); err != nil {
			t.Fatal(err)
		}
		s.Close()
		tamper(t, o.Path, `UPDATE board_keys SET wrapped = (SELECT wrapped FROM board_keys WHERE board = 'b') WHERE board <> 'b'`)
		if _, err := newStore(t, o).Open(t.Context(), id); !errors.Is(err, board.ErrDamaged) {
			t.Fatalf("got %v", err)
		}
	})
}

// A power cut leaves any prefix of the write-ahead log, a bad disk anything: what is read is a prefix of what was written, or an error.
func TestTorn(t *testing.T) {
	o := options(t)
	s := newStore(t, o)
	all := someEntries(40)
	create(t, s, nil)
	for i := range all {
		c := make(chan error, 1)
		s.Append(id, all[i:i+1], func(err error) { c <- err })
		if err := <-c; err != nil {
			t.Fatal(err)
		}
	}
	db, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	wal, err := os.ReadFile(o.Path + "-wal")
	if err != nil || len(wal) < 100_000 {
		t.Fatalf("write-ahead log of %d bytes, %v", len(wal), err)
	}
	key, err := os.ReadFile(o.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	reopen := func(t *testing.T, db, wal []byte) ([]board.Entry, error) {
		t.Helper()
		o := options(t)
		for f, b := range map[string][]byte{o.Path: db, o.Path + "-wal": wal, o.KeyFile: key} {
			if err := errors.Join(os.MkdirAll(filepath.Dir(f), 0o700), os.WriteFile(f, b, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		s, err := store.Open(t.Context(), o)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return s.Read(t.Context(), id, 0, 1000, 1<<20)
	}
	prefix := func(t *testing.T, got []board.Entry) {
		t.Helper()
		if len(got) > len(all) || cmp.Diff(all[:len(got)], got) != "" && len(got) > 0 {
			t.Fatalf("%d entries that are no prefix", len(got))
		}
	}
	t.Run("LG10 a torn write-ahead log loses its tail only", func(t *testing.T) {
		before := -1
		for cut := 0; cut <= len(wal); cut += len(wal) / 40 {
			got, err := reopen(t, db, wal[:cut])
			if err != nil && !errors.Is(err, board.ErrUnknown) && cut > len(wal)/10 {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			prefix(t, got)
			if len(got) < before {
				t.Fatalf("cut at %d: %d entries, %d before", cut, len(got), before)
			}
			before = len(got)
		}
		if got, err := reopen(t, db, wal); err != nil || len(got) != len(all) {
			t.Fatalf("whole: %d, %v", len(got), err)
		}
	})
	t.Run("LG10 flipped bytes are never served", func(t *testing.T) {
		s.Close() // everything is in the main file now
		whole, err := os.ReadFile(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := reopen(t, whole, nil); err != nil || len(got) != len(all) {
			t.Fatalf("whole: %d, %v", len(got), err)
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		refused := 0
		for range 150 {
			bad := slices.Clone(whole)
			for range 1 + rnd.IntN(30) {
				bad[100+rnd.IntN(len(bad)-100)] ^= byte(1 + rnd.IntN(255))
			}
			got, err := reopen(t, bad, nil)
			if err != nil {
				refused++
			}
			prefix(t, got)
		}
		if refused == 0 {
			t.Fatal("no flip was noticed")
		}
		t.Logf("%d of 150 damaged files refused, the others read right", refused)
	})
}

func folder(t *testing.T, o store.Options) []byte {
	t.Helper()
	var all []byte
	files, err := filepath.Glob(o.Path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

func TestAtRest(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("LG5 content on disk is readable: %v", plain), func(t *testing.T) {
			o := options(t)
			o.PlainAtRest = plain
			s := newStore(t, o)
			create(t, s, someEntries(3))
			ctx := t.Context()
			if err := s.PutSnapshot(ctx, id, checkpoint.Snapshot{Doc: doc, Seq: 3, Document: []byte("document " + canary)}); err != nil {
				t.Fatal(err)
			}
			if err := s.PutCheckpoint(ctx, id, checkpoint.Record{Seq: 3, Base: json.RawMessage(`{"key":"` + canary + `"}`), Manifest: []byte(canary)}); err != nil {
				t.Fatal(err)
			}
			if got := bytes.Contains(folder(t, o), []byte(canary)); got != plain {
				t.Fatalf("found: %v", got)
			}
		})
	}
	t.Run("LG11 Erase destroys the key: its bytes are nowhere on disk", func(t *testing.T) {
		o := options(t)
		s := newStore(t, o)
		create(t, s, someEntries(50))
		db, err := sql.Open("sqlite3", "file:"+o.Path+"?mode=ro")
		if err != nil {
			t.Fatal(err)
		}
		var wrapped []byte
		if err := errors.Join(db.QueryRow(`SELECT wrapped FROM board_keys`).Scan(&wrapped), db.Close()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(folder(t, o), wrapped) {
			t.Fatal("the wrapped key was not found before")
		}
		if err := s.Erase(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(folder(t, o), wrapped) {
			t.Fatal("the wrapped key is still on disk")
		}
		if _, err := s.Open(t.Context(), id); !errors.Is(err, board.ErrUnknown) {
			t.Fatalf("got %v", err)
		}
		create(t, s, nil) // the id may be used again, under another key
	})
}

func TestSnapshots(t *testing.T) {
	o := options(t)
	s := newStore(t, o)
	create(t, s, someEntries(9))
	ctx := t.Context()
	t.Run("LG12 no snapshot is seq 0", func(t *testing.T) {
		got, err := s.Snapshot(ctx, id, doc)
		if err != nil || got.Seq != 0 || got.Document != nil {
			t.Fatalf("got %+v, %v", got, err)
		}
		if _, err := s.Snapshot(ctx, id, "nope"); !errors.Is(err, board.ErrUnknownDoc) {
			t.Fatalf("got %v", err)
		}
		if _, err := s.Snapshot(ctx, "nope", doc); !errors.Is(err, board.ErrUnknown) {
			t.Fatalf("got %v", err)
		}
		if err := s.PutSnapshot(ctx, id, checkpoint.Snapshot{Doc: "nope", Seq: 1}); !errors.Is(err, board.ErrUnknownDoc) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("LG12 the newest snapshot stays, and Open names it", func(t *testing.T) {
		want := checkpoint.Snapshot{Doc: doc, Seq: 7, Heads: []board.Hash{{1}, {2}}, Document: []byte("seven")}
		for _, v := range []checkpoint.Snapshot{{Doc: doc, Seq: 5, Document: []byte("five")}, want, {Doc: doc, Seq: 6, Document: []byte("six")}} {
			if err := s.PutSnapshot(ctx, id, v); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Snapshot(ctx, id, doc)
		if err != nil || cmp.Diff(want, got) != "" {
			t.Fatalf("%v\n%s", err, cmp.Diff(want, got))
		}
		m, err := s.Open(ctx, id)
		if err != nil || m.Docs[0].Seq != 7 {
			t.Fatalf("%+v, %v", m, err)
		}
	})
	t.Run("SN5 a scene that does not verify is none; the document beside it is good", func(t *testing.T) {
		want := checkpoint.Snapshot{Doc: doc, Seq: 7, Heads: []board.Hash{{1}, {2}}, Document: []byte("seven"), Scene: []byte("what seven shows")}
		if err := s.PutSnapshot(ctx, id, want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Snapshot(ctx, id, doc); err != nil || cmp.Diff(want, got) != "" {
			t.Fatalf("%v\n%s", err, cmp.Diff(want, got))
		}
		tamper(t, o.Path, `UPDATE snapshots SET scene = document`)
		want.Scene = nil
		if got, err := s.Snapshot(ctx, id, doc); err != nil || cmp.Diff(want, got) != "" {
			t.Fatalf("%v\n%s", err, cmp.Diff(want, got))
		}
	})
	t.Run("SN5 a snapshot that claims to be ahead of the log does not keep out a good one", func(t *testing.T) {
		tamper(t, o.Path, `UPDATE snapshots SET seq = 70`)
		want := checkpoint.Snapshot{Doc: doc, Seq: 7, Heads: []board.Hash{{1}, {2}}, Document: []byte("seven")}
		if err := s.PutSnapshot(ctx, id, want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Snapshot(ctx, id, doc); err != nil || cmp.Diff(want, got) != "" {
			t.Fatalf("%v\n%s", err, cmp.Diff(want, got))
		}
	})
	t.Run("SN3 the edition says which snapshot is the newest and from where its log goes on", func(t *testing.T) {
		m, err := s.Edition(ctx, id, doc)
		if want := (checkpoint.Edition{Log: meta.Log, Kind: meta.Kind, Seq: 7, Upto: 7}); err != nil || m != want {
			t.Fatalf("got %+v, %v", m, err)
		}
		if _, err := s.Edition(ctx, id, "nope"); !errors.Is(err, board.ErrUnknownDoc) {
			t.Fatalf("got %v", err)
		}
		if _, err := s.Edition(ctx, "nope", doc); !errors.Is(err, board.ErrUnknown) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("LG13 dirty until the record has the last seq", func(t *testing.T) {
		dirty := func() int {
			d, err := s.Dirty(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if len(d) == 1 && (d[0].ID != id || d[0].Seq != 9 || d[0].Room != meta.Room) {
				t.Fatalf("got %+v", d)
			}
			return len(d)
		}
		if r, err := s.Checkpoint(ctx, id); err != nil || r.Seq != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		want := checkpoint.Record{Seq: 8, At: time.UnixMilli(1_700_000_000_000).UTC(), EventID: "$e", Base: json.RawMessage(`{"url":"mxc://x/y"}`), BaseSeq: 4, Manifest: []byte{1, 2}}
		for i, n := range []int{1, 1, 0} {
			if got := dirty(); got != n {
				t.Fatalf("step %d: %d dirty, want %d", i, got, n)
			}
			if err := s.PutCheckpoint(ctx, id, want); err != nil {
				t.Fatal(err)
			}
			got, err := s.Checkpoint(ctx, id)
			if err != nil || cmp.Diff(want, got) != "" {
				t.Fatalf("%v\n%s", err, cmp.Diff(want, got))
			}
			want.Seq++
		}
	})
	t.Run("LG9 a snapshot or record changed on disk is refused", func(t *testing.T) {
		s.Close()
		tamper(t, o.Path, `UPDATE snapshots SET seq = 8`)
		tamper(t, o.Path, `UPDATE checkpoints SET event_id = '$other'`)
		s := newStore(t, o)
		if _, err := s.Snapshot(ctx, id, doc); !errors.Is(err, board.ErrDamaged) {
			t.Fatalf("got %v", err)
		}
		if _, err := s.Checkpoint(ctx, id); !errors.Is(err, board.ErrDamaged) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestSessions(t *testing.T) {
	whole := t
	o := options(t)
	s := newStore(t, o)
	ctx := t.Context()
	now := time.Now().UTC().Truncate(time.Millisecond)
	session := func(n byte, left time.Duration) identity.StoredSession {
		return identity.StoredSession{TokenHash: [32]byte{n}, Person: ada, Room: "!r", Widget: "w", Board: id, Kind: "whiteboard", Issued: now.Add(time.Duration(n)), Expires: now.Add(left)}
	}
	t.Run("LG14 sessions live until they expire or are deleted, restarts or not", func(t *testing.T) {
		for n, left := range map[byte]time.Duration{1: time.Hour, 2: time.Hour, 3: -time.Second} {
			if err := s.PutSession(ctx, session(n, left)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = newStore(whole, o)
		got, err := s.Session(ctx, [32]byte{1})
		if w := session(1, time.Hour); err != nil || got.Expires != w.Expires || got.Person != ada || got.Board != id || got.TokenHash != w.TokenHash {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, n := range []byte{3, 4} {
			if _, err := s.Session(ctx, [32]byte{n}); !errors.Is(err, identity.ErrNoSession) {
				t.Fatalf("session %d: %v", n, err)
			}
		}
		for name, list := range map[string]func() ([]identity.StoredSession, error){
			"person": func() ([]identity.StoredSession, error) { return s.Sessions(ctx, ada) },
			"room":   func() ([]identity.StoredSession, error) { return s.RoomSessions(ctx, "!r") },
		} {
			if l, err := list(); err != nil || len(l) != 2 {
				t.Fatalf("%s: %d, %v", name, len(l), err)
			}
		}
		if err := s.PutSession(ctx, session(1, 2*time.Hour)); err != nil { // slides
			t.Fatal(err)
		}
		if got, _ := s.Session(ctx, [32]byte{1}); got.Expires != now.Add(2*time.Hour) {
			t.Fatalf("expires %v", got.Expires)
		}
		if err := s.DeleteSession(ctx, [32]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Session(ctx, [32]byte{1}); !errors.Is(err, identity.ErrNoSession) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("LG14 an OpenID token is spent once", func(t *testing.T) {
		for i, want := range []bool{true, false, false} {
			if got, err := s.SpendOpenID(ctx, [32]byte{9}, now.Add(time.Hour)); err != nil || got != want {
				t.Fatalf("try %d: fresh %v, %v", i, got, err)
			}
		}
		if err := s.Sweep(ctx, now.Add(2*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.SpendOpenID(ctx, [32]byte{9}, now); err != nil || !got {
			t.Fatalf("after the sweep: %v, %v", got, err)
		}
	})
	t.Run("LG15 a board is bound to the first room, and a bound one is not yet a board", func(t *testing.T) {
		for _, room := range []string{"!r:example.org", "!other"} {
			if got, err := s.BindBoard(ctx, id, room, "whiteboard"); err != nil || got != "!r:example.org" {
				t.Fatalf("%s: %s, %v", room, got, err)
			}
		}
		if _, err := s.Open(ctx, id); !errors.Is(err, board.ErrUnknown) {
			t.Fatalf("got %v", err)
		}
		m := meta
		m.Room = "!other"
		if err := s.Create(ctx, m, nil, nil); !errors.Is(err, board.ErrElsewhere) {
			t.Fatalf("got %v", err)
		}
		create(t, s, nil)
	})
	t.Run("LG16 after Close everything answers ErrClosed", func(t *testing.T) {
		s.Close()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.PutSession(context.Background(), session(1, 1)); !errors.Is(err, store.ErrClosed) {
			t.Fatalf("got %v", err)
		}
	})
}
