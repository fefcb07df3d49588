package checkpoint_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		doc := func() map[string]any { return w.content()["docs"].([]any)[0].(map[string]any) }

		w.draw(5, 50)
		sleep(6 * time.Second)
		if d := doc(); d["base"] != nil || d["data"] == nil || len(w.room.files) != 0 {
			t.Fatalf("CP3 a small board stands in the event: got base %v, %d files", d["base"], len(w.room.files))
		}
		w.checkRoom(5)

		w.draw(150, 200)
		sleep(time.Minute)
		first := doc()
		if first["base"] == nil || first["data"] != nil || len(w.room.files) != 1 {
			t.Fatalf("CP3 a large board is a file: got data %T, %d files", first["data"], len(w.room.files))
		}
		w.checkRoom(155)

		w.draw(10, 200)
		sleep(time.Minute)
		if d := doc(); d["data"] == nil || fmt.Sprint(d["base"]) != fmt.Sprint(first["base"]) || len(w.room.files) != 1 {
			t.Fatalf("CP3 what comes after is a tail: got %d files", len(w.room.files))
		}
		w.checkRoom(165)

		w.draw(150, 200)
		sleep(time.Minute)
		if d := doc(); d["data"] != nil || fmt.Sprint(d["base"]) == fmt.Sprint(first["base"]) {
			t.Fatal("CP3 a tail over 32 KiB makes a new base")
		}
		w.checkRoom(315)

		w.draw(5, 200)
		w.people = 0
		w.tell()
		sleep(time.Minute)
		if d := doc(); d["data"] != nil || len(w.room.files) != 3 {
			t.Fatalf("CP3 when the last leaves a tail becomes a new base: got data %T, %d files", d["data"], len(w.room.files))
		}
		w.checkRoom(320)
	})
}

// TestBudget is a lesson of 45 minutes on a board that ends near 200 KB, five people drawing in bursts with every pause long enough to save.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		start := time.Now()
		for time.Since(start) < 45*time.Minute {
			w.draw(4, 100)
			sleep(6500 * time.Millisecond)
		}
		w.people = 0
		w.tell()
		sleep(time.Minute)
		events, bytes := w.room.count()
		size := len(w.memory.snapshot.Document)
		t.Logf("%d changes, document %d bytes: %d events, %d bytes in %d files and events", len(w.memory.entries), size, events, bytes, len(w.room.files)+events)
		if events > 100 || bytes > 10_000_000 {
			t.Errorf("CP3 got %d events and %d bytes, want at most 100 and 10 MB", events, bytes)
		}
		if size < 200_000 {
			t.Errorf("got a document of %d bytes, the test means 200 KB", size)
		}
		w.checkRoom(len(w.memory.entries))
	})
}
