package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/educationpub/lectern/server/transport/client"
)

// TestBoardLivesInTheRoom draws in an encrypted room, deletes Lectern's database, and gets the board back from the encrypted state event; altered, it is refused.
func TestBoardLivesInTheRoom(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	for _, plain := range []bool{false, true} {
		name := "CP an encrypted room"
		if plain {
			name = "CP an unencrypted room"
		}
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *DevOptions) { o.Plain = plain })
			options, frames := watchSaved()
			teacher, pupil := w.mustOpen(w.user(0), options), w.mustOpen(w.user(1), client.Options{})
			for range 25 {
				teacher.stroke()
				pupil.stroke()
			}
			for _, d := range []*draw{teacher, pupil} {
				if err := d.settled(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			before := w.scene(teacher)
			if len(before.Elements) != 50 || before.Seq != 50 {
				t.Fatalf("got %d elements at seq %d, want 50 at 50", len(before.Elements), before.Seq)
			}
			saved(t, frames, before.Seq)
			if typ := contentEvent(t, w); typ != map[bool]string{false: "m.room.encrypted", true: "com.educationpub.whiteboard.content"}[plain] {
				t.Fatalf("the room's copy is a %s", typ)
			}
			teacher.Close()
			pupil.Close()
			w.stop()
			forget(t, w)

			w.start()
			options, frames = watchSaved()
			teacher = w.mustOpen(w.user(0), options)
			if got := teacher.Welcome().Saved; got.Seq != before.Seq || got.At == 0 {
				t.Errorf("a restored board says of its copy in the room: %+v, want seq %d", got, before.Seq)
			}
			after := w.scene(teacher)
			if after.Log == before.Log {
				t.Error("the restored log has the old incarnation's name")
			}
			if len(after.Elements) != 50 || !equal(after.Heads, before.Heads) {
				t.Fatalf("got %d elements and heads %v, want 50 and %v", len(after.Elements), after.Heads, before.Heads)
			}
			teacher.stroke() // and it goes on
			if err := teacher.settled(t.Context()); err != nil {
				t.Fatal(err)
			}
			saved(t, frames, w.scene(teacher).Seq)
			teacher.Close()
			w.stop()
			forget(t, w)

			t.Run("CP an altered copy is an alert, never an empty board", func(t *testing.T) {
				// Lectern is down, so nobody repairs it: the homeserver runs alone for a moment.
				spoil(t, w, plain)
				w.start()
				defer w.stop()
				_, err := w.open(t.Context(), w.user(0), client.Options{})
				if err == nil {
					t.Fatal("an altered board was opened")
				}
				if bye, ok := asBye(err); !ok || bye.Bye.Code != "board_damaged" {
					t.Errorf("got %v, want board_damaged", err)
				}
			})
		})
	}
}

// forget deletes what a lost machine loses, except the companion's own device.
func forget(t *testing.T, w *world) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(w.dir, "lectern", "lectern.db*"))
	if err != nil || len(list) == 0 {
		t.Fatalf("no database to delete: %v, %v", list, err)
	}
	for _, f := range list {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
