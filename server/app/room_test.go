package app

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/transport/client"
)

const contentType = "com.educationpub.whiteboard.content"

// contentEvent answers the type of the state event that holds the demo board.
func contentEvent(t *testing.T, w *world) string {
	t.Helper()
	list, err := w.user(0).AllState(t.Context(), w.ready.RoomID)
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	for _, e := range list {
		if e.StateKey != nil && strings.Contains(*e.StateKey, w.ready.Widgets[0].Board) && e.Sender == w.ready.Companion {
			found = e.Type
		}
	}
	return found
}

// spoil starts the homeserver alone and lets the teacher, who may do anything, overwrite the board's event with one that cannot be right:
// the companion's own ciphertext under a flipped letter, or a manifest with another hash.
func spoil(t *testing.T, w *world, plain bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := devstack.Up(ctx, devstack.UpOptions{Dir: filepath.Join(w.dir, "stack"), LecternURL: w.ready.Lectern, Progress: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	teacher := s.Client("teacher")
	typ, key := "m.room.encrypted", contentType+":"+w.ready.Widgets[0].Board
	if plain {
		typ, key = contentType, w.ready.Widgets[0].Board
	}
	var content map[string]any
	if err := teacher.State(ctx, s.RoomID, typ, key, &content); err != nil {
		t.Fatal(err)
	}
	if plain {
		docs := content["docs"].([]any)
		docs[0].(map[string]any)["sha256"] = strings.Repeat("0", 64)
	} else {
		c := []byte(content["ciphertext"].(string))
		if c[len(c)/2] == 'A' {
			c[len(c)/2] = 'B'
		} else {
			c[len(c)/2] = 'A'
		}
		content["ciphertext"] = string(c)
	}
	if _, err := teacher.SendState(ctx, s.RoomID, typ, key, content); err != nil {
		t.Fatal(err)
	}
}

func asBye(err error) (*client.ErrBye, bool) { return errors.AsType[*client.ErrBye](err) }
