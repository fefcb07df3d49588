package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
	"github.com/educationpub/lectern/server/store"
)

const orderDir = "LECTERN_TEST_ORDER_DIR" // set in the child process only

// TestOrder proves on the real store that fsync of the write-ahead log returns before the author's echo and before the broadcast. The same
// check must fail when SQLite is told not to sync, otherwise it would prove nothing.
func TestOrder(t *testing.T) {
	if dir := os.Getenv(orderDir); dir != "" {
		orderChild(t, dir)
		return
	}
	shim := filepath.Join(t.TempDir(), "tracesync.so")
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-O1", "-o", shim, "testdata/tracesync.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("the C compiler is needed for this test: %v\n%s", err, out)
	}
	run := func(t *testing.T, env ...string) []string {
		t.Helper()
		dir := t.TempDir()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestOrder$", "-test.v")
		trace := filepath.Join(dir, "trace")
		cmd.Env = append(os.Environ(), append(env, "LD_PRELOAD="+shim, "TRACE_FILE="+trace, orderDir+"="+dir)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("child: %v\n%s", err, out)
		}
		f, err := os.Open(trace)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var lines []string
		for s := bufio.NewScanner(f); s.Scan(); {
			lines = append(lines, s.Text())
		}
		return lines
	}
	t.Run("LG7 fsync returns before ack and broadcast", func(t *testing.T) {
		seen, err := inOrder(run(t))
		if err != nil {
			t.Fatal(err)
		}
		if seen != 2*orderChanges {
			t.Fatalf("the trace has %d sightings, want %d", seen, 2*orderChanges)
		}
	})
	t.Run("LG7 the same check fails with synchronous=OFF", func(t *testing.T) {
		if _, err := inOrder(run(t, "NO_SYNC=1")); err == nil {
			t.Fatal("the check cannot fail")
		} else {
			t.Logf("as it must: %v", err)
		}
	})
	t.Run("LG8 after a failing fsync nobody sees the batch, and the board opens again", func(t *testing.T) {
		lines := run(t, "FAIL_SYNC=12")
		seen, err := inOrder(lines)
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Join(lines, "\n")
		if !strings.Contains(all, "eio\n") || !strings.Contains(all, "bye board_failed") || !strings.Contains(all, "again ok") {
			t.Fatalf("trace:\n%s", all)
		}
		if seen == 0 || seen >= 2*orderChanges {
			t.Fatalf("%d sightings", seen)
		}
	})
}

// inOrder walks a trace: at every sighting of a change, what had been written since it was submitted is synced.
func inOrder(lines []string) (seen int, err error) {
	dirty, wrote := false, false
	for i, l := range lines {
		switch {
		case l == "write":
			dirty, wrote = true, true
		case l == "sync":
			dirty = false
		case strings.HasPrefix(l, "submit"):
			wrote = false
		case strings.HasPrefix(l, "seen"):
			seen++
			if !wrote || dirty {
				return seen, fmt.Errorf("line %d: %q with wrote=%v, not synced=%v", i+1, l, wrote, dirty)
			}
		}
	}
	return seen, nil
}

const orderChanges = 40

// orderChild draws one change after the other over the real store, and notes when author and onlooker see it.
func orderChild(t *testing.T, dir string) {
	note := func(format string, args ...any) {
		f, err := os.OpenFile(os.Getenv("TRACE_FILE"), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(f, format+"\n", args...); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	o := store.Options{Path: filepath.Join(dir, "lectern.db"), KeyFile: filepath.Join(dir, "key"), UnsafeNoSync: os.Getenv("NO_SYNC") != ""}
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	hub := newHub(s)
	defer hub.Drain(context.Background())
	author, w := join(t, hub, "@ada:x", board.ActorID{})
	onlooker, _ := join(t, hub, "@bob:x", board.ActorID{})
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
		note("seen author %d", i)
		if bye := await(t, onlooker, 1); bye != "" {
			t.Fatalf("onlooker: bye %s", bye)
		}
		note("seen onlooker %d", i)
	}
}

func newHub(s board.Log) *board.Hub {
	return board.NewHub(board.Config{
		Log:       s,
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
