package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
)

func TestWhen(t *testing.T) {
	run := func(name string, f func(t *testing.T, w *world)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) }) })
	}

	run("CP2 five seconds after the last change", func(t *testing.T, w *world) {
		w.draw(1, 5)
		sleep(3 * time.Second)
		w.draw(1, 5)
		sleep(4900 * time.Millisecond)
		if n := w.events(); n != 0 {
			t.Fatalf("got %d events before the pause was over, want 0", n)
		}
		sleep(200 * time.Millisecond)
		if n, said := w.events(), w.said(); n != 1 || said.Seq != 2 || said.Problem != "" {
			t.Fatalf("got %d events and %+v, want 1 and seq 2", n, said)
		}
		w.checkRoom(2)
		sleep(time.Hour)
		if n := w.events(); n != 1 {
			t.Fatalf("got %d events without a change, want 1", n)
		}
	})

	run("CP2 while people draw, at growing intervals", func(t *testing.T, w *world) {
		start := time.Now()
		for range 30 * 60 / 2 {
			w.draw(1, 1)
			sleep(2 * time.Second)
		}
		synctest.Wait()
		if first := w.room.writes[0].Sub(start).Round(time.Second); first != 30*time.Second {
			t.Errorf("first after %v, want 30 s", first)
		}
		want := []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute, 5 * time.Minute, 5 * time.Minute}
		if got := intervals(w.room.writes); !slices.Equal(got[:7], want) {
			t.Errorf("got intervals %v, want %v", got, want)
		}
	})

	run("CP2 at once when the last person leaves", func(t *testing.T, w *world) {
		w.draw(1, 5)
		w.people = 0
		w.tell()
		if n := w.events(); n != 1 {
			t.Fatalf("got %d events, want 1", n)
		}
		for range 5 { // coming and going is not free
			w.people = 1
			w.draw(1, 5)
			w.people = 0
			w.tell()
		}
		if n := w.events(); n != 1 {
			t.Fatalf("got %d events within the gap, want 1", n)
		}
		sleep(11 * time.Second)
		if n := w.events(); n != 2 {
			t.Fatalf("got %d events, want 2", n)
		}
		w.checkRoom(6)
	})

	run("CP2 on request and on shutdown", func(t *testing.T, w *world) {
		w.draw(3, 5)
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.events(); n != 1 {
			t.Fatalf("got %d events, want 1", n)
		}
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.Save(t.Context(), testBoard); err != nil {
			t.Fatal(err)
		}
		if n := w.events(); n != 1 {
			t.Fatalf("got %d events after flushing nothing, want 1", n)
		}
		w.failing(failOn("write", checkpoint.Unreachable, 0))
		w.draw(1, 5)
		if err := w.Flush(t.Context()); err == nil {
			t.Fatal("a flush that saved nothing answers nil")
		}
	})

	run("CP2 a flush covers what came while a save was under way", func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.failing(func(endpoint string) error {
			if endpoint == "write" {
				<-release
			}
			return nil
		})
		w.draw(1, 5)
		sleep(6 * time.Second) // the write hangs now
		w.draw(1, 5)
		done := make(chan error, 1)
		go func() { done <- w.Flush(context.Background()) }()
		synctest.Wait()
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		w.checkRoom(2)
	})

	run("CP2 a stopped checkpointer says so", func(t *testing.T, w *world) {
		c := checkpoint.New(checkpoint.Config{Home: testHome, Room: w.room, Store: w.memory, Log: w.memory, Merger: w.engine})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		if err := c.Flush(t.Context()); err == nil {
			t.Fatal("got nil")
		}
	})

	run("CP2 what was not saved before a restart is saved after it", func(t *testing.T, w *world) {
		w.failing(failOn("write", checkpoint.Unreachable, 0))
		w.draw(2, 5)
		sleep(time.Minute)
		w.failing(nil)
		w.start() // a second run over the same store; the first has a retry pending, both may write
		sleep(10 * time.Minute)
		if n := w.events(); n == 0 {
			t.Fatal("nothing was written")
		}
		w.checkRoom(2)
	})

	run("SN4 after 300 changes documents are merged for joiners, without writing to the room and at most every 10 s", func(t *testing.T, w *world) {
		w.draw(1, 1)
		sleep(6 * time.Second)
		before, events := w.memory.snapshots, w.events()
		w.draw(301, 1)
		if w.memory.snapshots != before {
			t.Fatalf("merged again at once: %d snapshots", w.memory.snapshots)
		}
		for range 12 {
			sleep(time.Second)
			w.draw(1, 1)
		}
		if got := w.memory.snapshot.Seq; w.memory.snapshots != before+1 || got < 302 {
			t.Fatalf("got %d snapshots up to %d, want %d up to 302 or more", w.memory.snapshots, got, before+1)
		}
		if n := w.events(); n != events {
			t.Fatalf("got %d events, want %d", n, events)
		}
	})

	run("SN4 the room's troubles do not keep joiners waiting", func(t *testing.T, w *world) {
		w.failing(failOn("write", checkpoint.RateLimited, time.Hour))
		w.draw(1, 1)
		sleep(20 * time.Second)
		w.draw(301, 1)
		if got := w.memory.snapshot.Seq; got != 302 {
			t.Fatalf("got a snapshot up to %d, want 302", got)
		}
	})

	run("CP6 an overwritten event is written again, a foreign one is not touched", func(t *testing.T, w *world) {
		w.draw(2, 5)
		sleep(6 * time.Second)
		w.Overwritten(testRoom, "m.room.topic", "")
		w.Overwritten("!other:example.org", testType, string(testBoard))
		w.Overwritten(testRoom, testType, "bbbbbbbbbbbbbbbbbbbbbbbbbb")
		sleep(time.Hour)
		if n := w.events(); n != 1 {
			t.Fatalf("got %d events, want 1", n)
		}
		w.room.mu.Lock()
		w.room.state = []byte(`{}`)
		w.room.mu.Unlock()
		w.Overwritten(testRoom, testType, string(testBoard))
		sleep(time.Minute)
		if n := w.events(); n != 2 {
			t.Fatalf("got %d events, want 2", n)
		}
		w.checkRoom(2)
		for range 3600 { // a fight is not fought at the room's cost
			w.Overwritten(testRoom, testType, string(testBoard))
			sleep(time.Second)
		}
		if n := w.events(); n > 2+10+110 {
			t.Fatalf("got %d events in an hour of overwriting", n)
		}
	})

	run("CP6 a board's content goes to no other room, whatever that room claims", func(t *testing.T, w *world) {
		w.draw(2, 5)
		sleep(6 * time.Second)
		w.people = 0
		w.tell()
		w.start() // a fresh one, which knows no board
		w.Overwritten("!other:example.org", testType, string(testBoard))
		sleep(time.Hour)
		if w.room.tries != 1 {
			t.Fatalf("got %d attempts to write, want the first only", w.room.tries)
		}
		w.people = 1
		w.draw(1, 5)
		sleep(6 * time.Second)
		w.checkRoom(3)
	})

	run("CP2 a board that is opened again hears how far its copy is", func(t *testing.T, w *world) {
		w.draw(2, 5)
		w.people = 0
		w.tell()
		w.mu.Lock()
		w.saved = nil
		w.mu.Unlock()
		w.people = 1
		w.tell()
		if said := w.said(); said.Seq != 2 || said.At.IsZero() {
			t.Fatalf("got %+v, want seq 2", said)
		}
	})
}

func failOn(endpoint string, kind checkpoint.ErrorKind, after time.Duration) func(string) error {
	return func(e string) error {
		if e != endpoint {
			return nil
		}
		return &checkpoint.RoomError{Kind: kind, RetryAfter: after, Err: fmt.Errorf("%s fails", e)}
	}
}

func TestFailures(t *testing.T) {
	run := func(name string, f func(t *testing.T, w *world)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) }) })
	}
	saved := func(t *testing.T, w *world) {
		t.Helper()
		if said := w.said(); said.Seq != uint64(len(w.memory.entries)) || said.Problem != "" {
			t.Fatalf("got %+v, want everything saved and no problem", said)
		}
		w.checkRoom(len(w.memory.entries))
	}

	run("CP4 an unreachable homeserver is asked again, less and less often", func(t *testing.T, w *world) {
		w.failing(failOn("write", checkpoint.Unreachable, 0))
		w.draw(2, 5)
		sleep(time.Hour)
		if said := w.said(); said.Seq != 0 || said.Problem == "" {
			t.Fatalf("got %+v, want a problem", said)
		}
		if w.room.tries < 12 || w.room.tries > 40 {
			t.Fatalf("got %d attempts in an hour", w.room.tries)
		}
		w.failing(nil)
		sleep(6 * time.Minute)
		saved(t, w)
	})

	run("CP4 when the homeserver is back what waited is saved at once", func(t *testing.T, w *world) {
		w.failing(failOn("write", checkpoint.Unreachable, 0))
		start := time.Now()
		for range 60 { // ten minutes of drawing, so much that documents are merged for joiners meanwhile
			w.draw(40, 1)
			sleep(10 * time.Second)
		}
		if w.room.tries > 15 || w.memory.snapshots < 2 {
			t.Fatalf("got %d attempts, %d merges", w.room.tries, w.memory.snapshots)
		}
		if said := w.said(); said.Seq != 0 || said.Problem != "unreachable" || said.Since.Sub(start) > 31*time.Second {
			t.Fatalf("got %+v, want since about the start", said)
		}
		w.failing(nil)
		sleep(time.Millisecond)
		before := w.room.tries
		w.Reachable()
		sleep(time.Second)
		saved(t, w)
		if w.room.tries != before+1 {
			t.Fatalf("got %d attempts, want one", w.room.tries-before)
		}
		w.failing(failOn("write", checkpoint.RateLimited, time.Hour))
		w.draw(1, 5)
		sleep(30 * time.Second)
		w.failing(nil)
		w.Reachable() // it has answered all the time, and its patience is asked for
		sleep(time.Minute)
		if said := w.said(); said.Problem != "busy" {
			t.Fatalf("got %+v", said)
		}
	})

	for kind, code := range map[checkpoint.ErrorKind]string{
		checkpoint.Unreachable: "unreachable", checkpoint.Failing: "failing", checkpoint.RateLimited: "busy",
		checkpoint.Forbidden: "power", checkpoint.TooLarge: "too_large", checkpoint.Revoked: "signed_out",
	} {
		run("CP4 "+code+": the log grows, the reason is told, one attempt at a time, then it is caught up", func(t *testing.T, w *world) {
			inFlight := 0
			w.failing(func(string) error {
				if inFlight++; inFlight > 1 {
					t.Error("two attempts at a time")
				}
				w.room.mu.Unlock() // a slow homeserver
				time.Sleep(20 * time.Second)
				w.room.mu.Lock()
				inFlight--
				return &checkpoint.RoomError{Kind: kind, RetryAfter: time.Second, Err: errors.New("no")}
			})
			for range 40 {
				w.draw(1, 5)
				sleep(9 * time.Second)
			}
			if said := w.said(); said.Seq != 0 || said.Problem != code || said.Since.IsZero() {
				t.Fatalf("got %+v, want %s", said, code)
			}
			w.failing(nil)
			sleep(6 * time.Minute)
			saved(t, w)
		})
	}

	run("CP4 the homeserver's retry-after is honoured", func(t *testing.T, w *world) {
		w.failing(failOn("write", checkpoint.RateLimited, 10*time.Minute))
		w.draw(2, 5)
		sleep(10*time.Minute + 4*time.Second)
		if w.room.tries != 1 {
			t.Fatalf("got %d attempts, want 1", w.room.tries)
		}
		w.failing(nil)
		sleep(10 * time.Second)
		saved(t, w)
	})

	run("CP4 a missing power level is named, and tried when the room changes", func(t *testing.T, w *world) {
		w.failing(failOn("write", checkpoint.Forbidden, 0))
		w.draw(2, 5)
		sleep(10 * time.Second)
		if said := w.said(); said.Problem != "power" {
			t.Fatalf("got %+v", said)
		}
		w.failing(nil)
		w.Recheck("!other:example.org")
		if n := w.events(); n != 0 {
			t.Fatalf("got %d events, want 0", n)
		}
		w.Recheck(testRoom)
		sleep(time.Second)
		saved(t, w)
	})

	run("CP4 a homeserver that takes less gets a pointer", func(t *testing.T, w *world) {
		w.failing(func(endpoint string) error {
			if endpoint == "write" && w.room.tries == 1 {
				return &checkpoint.RoomError{Kind: checkpoint.TooLarge, Err: errors.New("413")}
			}
			return nil
		})
		w.draw(5, 100)
		sleep(6 * time.Second)
		if len(w.room.state) > 1000 {
			t.Fatalf("got %d bytes of state, want a pointer", len(w.room.state))
		}
		saved(t, w)
	})

	run("CP4 a file that is too large is a problem that names it", func(t *testing.T, w *world) {
		w.failing(failOn("upload", checkpoint.TooLarge, 0))
		w.draw(200, 300)
		sleep(6 * time.Second)
		if said := w.said(); said.Seq != 0 || said.Problem != "too_large" {
			t.Fatalf("got %+v", said)
		}
	})

	run("CP4 a failed event does not cost its file again", func(t *testing.T, w *world) {
		w.failing(failOn("write", checkpoint.Unreachable, 0))
		w.draw(200, 300)
		sleep(time.Hour)
		if _, bytes := w.room.count(); bytes > 2*len(w.memory.snapshot.Document) {
			t.Fatalf("got %d bytes uploaded for a document of %d", bytes, len(w.memory.snapshot.Document))
		}
		w.failing(nil)
		sleep(6 * time.Minute)
		saved(t, w)
	})

	run("CP8 a change that does not merge ends the copy before it, loses nothing and is told", func(t *testing.T, w *world) {
		w.draw(10, 5)
		w.engine.set(func() { w.engine.poison = w.memory.entries[6].Hash })
		sleep(6 * time.Second)
		if said := w.said(); said.Seq != 6 || said.Problem == "" {
			t.Fatalf("got %+v, want seq 6 and a problem", said)
		}
		if w.memory.snapshot.Seq != 6 {
			t.Fatalf("got a snapshot up to %d, want 6", w.memory.snapshot.Seq)
		}
		w.checkRoom(6)
		w.draw(10, 5)
		sleep(time.Hour)
		if n := w.events(); n != 1 {
			t.Fatalf("got %d events, want 1: it does not try for ever", n)
		}
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.squash()
		sleep(time.Minute)
		if said := w.said(); said.Seq != 21 || said.Problem != "" {
			t.Fatalf("after a squash: got %+v, want seq 21 and no problem", said)
		}
	})

	run("CP5 what is too much for one merge is merged in smaller steps", func(t *testing.T, w *world) {
		w.engine.set(func() { w.engine.most = 30 })
		w.draw(100, 5)
		sleep(6 * time.Second)
		if w.memory.snapshots < 4 {
			t.Fatalf("got %d snapshots, want one per step", w.memory.snapshots)
		}
		saved(t, w)
		w.engine.set(func() { w.engine.most = -1 })
		w.draw(1, 5)
		sleep(time.Minute)
		if said := w.said(); said.Seq != 100 || said.Problem == "" {
			t.Fatalf("got %+v, want seq 100 and a problem", said)
		}
	})

	run("CP8 a snapshot that does not follow from the log is not stored", func(t *testing.T, w *world) {
		w.draw(3, 5)
		w.memory.mu.Lock()
		w.memory.entries[1].Bytes = w.memory.entries[0].Bytes // the log lost a change
		w.memory.mu.Unlock()
		sleep(time.Minute)
		if w.memory.snapshots != 0 || w.events() != 0 || w.said().Problem == "" {
			t.Fatalf("got %d snapshots, %d events, %+v", w.memory.snapshots, w.events(), w.said())
		}
	})
}

var _ board.Checkpoints = (*checkpoint.Checkpointer)(nil)
