package app

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/devstack"
)

// TestRedactedCopy: a teacher, who may do that, redacts the board's event with a Matrix client. The room has the board again shortly after.
func TestRedactedCopy(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	t.Parallel() // it mostly waits
	w := newWorld(t)
	p := w.addBoard("a board", w.ready.RoomID)
	w.drawIn(p, 6)
	stands := func() (event devstack.Event) {
		t.Helper()
		list, err := w.user(0).AllState(t.Context(), w.ready.RoomID)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.StateKey != nil && strings.HasSuffix(*e.StateKey, p.widget.Board) {
				event = e
			}
		}
		return event
	}
	before := stands()
	path := "/_matrix/client/v3/rooms/" + url.PathEscape(w.ready.RoomID) + "/redact/" + url.PathEscape(before.ID) + "/1"
	if err := w.user(0).Do(t.Context(), http.MethodPut, path, map[string]any{}, nil); err != nil {
		t.Fatal(err)
	}
	t.Run("CP6 a redacted event is noticed and written again", func(t *testing.T) {
		took := until(t, "another event of the Lectern account", 90*time.Second, func() bool {
			e := stands()
			return e.ID != before.ID && e.Sender == w.ready.Companion
		})
		t.Logf("written again %s after the redaction", took.Round(time.Second/10))
		w.stop()
		forget(t, w)
		w.start()
		w.found(p)
	})
}
