package store_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
	"github.com/educationpub/lectern/server/store"
)

// TestOrder proves on the real store that fsync of the write-ahead log returns before the author's echo and before the broadcast, and before
// every other promise. The same check must fail when SQLite is told not to sync, otherwise it would prove nothing.
func TestOrder(t *testing.T) {
	switch os.Getenv(childRole) {
	case "order":
		orderChild(t)
		return
	case "paths":
		pathsChild(t)
		return
	}
	t.Parallel()
	const seen = 2 * orderChanges
	t.Run("LG7 fsync returns before ack and broadcast", func(t *testing.T) {
		_, journal := child(t, "order", "TestOrder")
		if got, err := inOrder(journal); err != nil || got[""] != seen {
			t.Fatalf("the journal has %v sightings, want %d; %v", got, seen, err)
		}
	})
	t.Run("LG7 and before every other answer that something is kept", func(t *testing.T) {
		_, journal := child(t, "paths", "TestOrder")
		got, err := inOrder(journal)
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range []string{"append", "create", "epoch", "actor", "snapshot", "record", "session", "spend"} {
			if got[op] == 0 {
				t.Errorf("no %s was seen", op)
			}
		}
		t.Logf("seen: %v", got)
	})
	t.Run("LG7 the same check fails with synchronous=OFF", func(t *testing.T) {
		for _, role := range []string{"order", "paths"} {
			_, journal := child(t, role, "TestOrder", "NO_SYNC=1")
			if _, err := inOrder(journal); err == nil {
				t.Fatal("the check cannot fail")
			} else {
				t.Logf("as it must: %v", err)
			}
		}
	})
	t.Run("LG8 after a failing fsync nobody sees the batch, and storing comes back", func(t *testing.T) {
		_, journal := child(t, "order", "TestOrder", "FAIL_SYNC=12")
		got, err := inOrder(journal)
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, r := range journal {
			fmt.Fprintf(&all, "%c %s\n", r.op, r.path)
		}
		if s := all.String(); !strings.Contains(s, "\ne ") || !strings.Contains(s, "bye storage") || !strings.Contains(s, "again ok") {
			t.Fatalf("journal:\n%s", s)
		}
		if got[""] == 0 || got[""] >= seen {
			t.Fatalf("%v sightings", got)
		}
	})
}

// inOrder walks a journal: when something was seen, what had been written since it was submitted is synced. It counts sightings by kind.
func inOrder(journal []record) (seen map[string]int, err error) {
	seen = map[string]int{}
	dirty, wrote := false, false
	for i, r := range journal {
		wal := strings.HasSuffix(r.path, "-wal")
		switch {
		case r.op == 'w' && wal:
			dirty, wrote = true, true
		case r.op == 's' && wal:
			dirty = false
		case r.op == '!' && strings.HasPrefix(r.path, "submit"):
			wrote = false
		case r.op == '!' && strings.HasPrefix(r.path, "seen"):
			_, kind, _ := strings.Cut(r.path, " ")
			seen[kind]++
			if !wrote || dirty {
				return seen, fmt.Errorf("record %d: %q with wrote=%v, not synced=%v", i+1, r.path, wrote, dirty)
			}
		}
	}
	return seen, nil
}

// pathsChild asks for everything that a store keeps, one after the other.
func pathsChild(t *testing.T) {
	dir, _, note := diskOf(t)
	s := newStore(t, diskOptions(dir))
	v := newLiver(s, 5)
	v.told = func(verb string, d deed) {
		if verb == "try" {
			note("submit")
		} else {
			note("seen %s", d.Op)
		}
	}
	for range 150 {
		if err := v.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	m, err := s.Open(t.Context(), lifeBoard(0))
	if err != nil {
		t.Fatal(err)
	}
	e := boardtest.NewEntry(m.Seq+1, doc, v.a, v.a.Make("squash"), ada)
	e.Kind, e.Epoch, e.Document = board.KindEpoch, m.Docs[0].Epoch+1, []byte("document")
	c := make(chan error, 1)
	note("submit")
	s.Append(m.ID, []board.Entry{e}, func(err error) { c <- err })
	if err := <-c; err != nil {
		t.Fatal(err)
	}
	note("seen epoch")
}

const orderChanges = 40

// orderChild draws one change after the other over the real store, and notes when author and onlooker see it.
func orderChild(t *testing.T) {
	dir, c, note := diskOf(t)
	o := diskOptions(dir)
	hub := new(board.Hub)
	o.OnFault = func(*store.Fault) { go hub.Recheck("") } // ends at once: a post to a mailbox
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	*hub = *newHub(s)
	defer hub.Drain(context.Background())
	author, w := join(t, hub, "@ada:x", board.ActorID{})
	onlooker, _ := join(t, hub, "@bob:x", board.ActorID{})
	if n := os.Getenv("FAIL_SYNC"); n != "" {
		c.arm(12, 0, 0, 0)
	}
	a := boardtest.NewAuthor(w.Actor)
	for i := range orderChanges {
		raw := a.Make(fmt.Sprint("e", i))
		note("submit %d", i)
		if err := author.Submit(t.Context(), w.Meta.Docs[0].ID, 0, raw); err != nil {
			t.Fatal(err)
		}
		if bye := await(t, author, 1); bye != "" {
			note("bye %s", bye)
			await(t, onlooker, 1)
			eventually(t, "storing works again", func() bool { return s.Fault() == nil })
			again, w2 := join(t, hub, "@ada:x", w.Actor)
			if w2.Actor != w.Actor || w2.Meta.Seq < uint64(i) {
				t.Fatalf("welcome %+v", w2)
			}
			note("submit again")
			if err := again.Submit(t.Context(), w.Meta.Docs[0].ID, 0, raw); err != nil {
				t.Fatal(err)
			}
			if await(t, again, i+1) == "" {
				note("again ok")
			}
			return
		}
		note("seen")
		if bye := await(t, onlooker, 1); bye != "" {
			t.Fatalf("onlooker: bye %s", bye)
		}
		note("seen")
	}
}

func newHub(s *store.Store) *board.Hub {
	return board.NewHub(board.Config{
		Log:       s,
		Storage:   s.Fault,
		Authority: func(string, board.Person) (board.Role, string) { return board.RoleParticipant, "" },
		Encode:    func(dst []byte, e board.Entry) []byte { return append(dst, e.Bytes...) },
	})
}

func join(t testing.TB, h *board.Hub, p board.Person, a board.ActorID) (*board.Session, board.Welcome) {
	t.Helper()
	s, w, err := h.Join(t.Context(), board.Join{Board: "aaaaaaaaaaaaaaaaaaaaaaaaaa", Room: "!r:x", Kind: "whiteboard", Person: p, Actor: a})
	if err != nil {
		t.Fatal(err)
	}
	return s, w
}

// await reads until n entries came, or answers the code of the bye.
func await(t testing.TB, s *board.Session, n int) string {
	t.Helper()
	var b board.Batch
	for {
		more, err := s.Next(t.Context(), &b)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range b.Events {
			if bye, ok := e.(board.ByeEvent); ok {
				return bye.Code
			}
			if r, ok := e.(board.ResetEvent); ok {
				t.Fatalf("reset: %s %s", r.Code, r.Message)
			}
		}
		if n -= len(b.Entries); n <= 0 {
			return ""
		}
		if !more {
			select {
			case <-s.Wake():
			case <-time.After(10 * time.Second):
				t.Fatal("nothing came for 10 s")
			}
		}
	}
}
