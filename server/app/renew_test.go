package app

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestSignedOut ends the login of Lectern's account behind its back.
func TestSignedOut(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	t.Parallel() // it mostly waits
	w := newWorld(t)
	p := w.addBoard("a board", w.ready.RoomID)
	w.drawIn(p, 5)
	password := filepath.Join(w.data(), "companion-password")
	secret, err := os.ReadFile(password)
	if err != nil {
		t.Fatal(err)
	}
	logout := func() {
		t.Helper()
		c, err := w.hs.Client(t.Context(), "lectern", string(secret), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Do(t.Context(), http.MethodPost, "/_matrix/client/v3/logout/all", map[string]any{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	// renewed waits until there is a new device: the old companion.db lies aside, written just now.
	renewed := func(t *testing.T, since time.Time) {
		t.Helper()
		until(t, "a new login", 90*time.Second, func() bool {
			i, err := os.Stat(filepath.Join(w.data(), "companion.db.signed-out"))
			return err == nil && i.ModTime().After(since.Add(-time.Minute))
		})
	}
	t.Run("RS6 serve signs in again by itself, reads what the old device wrote and writes on", func(t *testing.T) {
		options, frames := watchSaved()
		d := w.enter(p, options)
		if err := os.WriteFile(password, []byte("wrong"), 0o600); err != nil {
			t.Fatal(err)
		}
		since := time.Now()
		logout()
		d.stroke() // who is on the board goes on, and hears why the room is behind
		if err := d.settled(t.Context()); err != nil {
			t.Fatal(err)
		}
		for limit, told := time.After(30*time.Second), false; !told; {
			select {
			case f := <-frames:
				told = f.Problem == "signed_out"
			case <-limit:
				t.Fatal("nobody is told that the account is signed out")
			}
		}
		if err := os.WriteFile(password, secret, 0o600); err != nil {
			t.Fatal(err)
		}
		renewed(t, since)
		p.want = scene{}
		w.drawIn(p, 5)
		if n := len(p.want.Elements); n < 6 {
			t.Errorf("got %d elements", n)
		}
	})
	w.stop()
	t.Run("RS6 the same at the start, and the room holds what the new device can read", func(t *testing.T) {
		stop := w.homeserverAlone()
		logout()
		stop()
		forget(t, w)
		w.start()
		w.found(p)
	})
}
