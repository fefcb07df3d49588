package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/widgets"
)

// ask writes to the companion and answers its answer.
func (w *world) ask(c *devstack.Client, room, body string) string {
	w.t.Helper()
	ctx := w.t.Context()
	at := "/_matrix/client/v3/rooms/" + url.PathEscape(room)
	var sent struct {
		ID string `json:"event_id"`
	}
	if err := c.Do(ctx, http.MethodPut, fmt.Sprintf("%s/send/m.room.message/%d", at, time.Now().UnixNano()), map[string]any{"msgtype": "m.text", "body": body}, &sent); err != nil {
		w.t.Fatal(err)
	}
	answer := ""
	until(w.t, "answer to "+body, 30*time.Second, func() bool {
		var page struct {
			Chunk []struct {
				Sender  string `json:"sender"`
				Content struct {
					Body      string `json:"body"`
					RelatesTo struct {
						To struct {
							ID string `json:"event_id"`
						} `json:"m.in_reply_to"`
					} `json:"m.relates_to"`
				} `json:"content"`
			} `json:"chunk"`
		}
		if err := c.Do(ctx, http.MethodGet, at+"/messages?dir=b&limit=20", nil, &page); err != nil {
			w.t.Fatal(err)
		}
		for _, m := range page.Chunk {
			if m.Content.RelatesTo.To.ID == sent.ID && m.Sender == w.ready.Companion {
				answer = m.Content.Body
			}
		}
		return answer != ""
	})
	return answer
}

// TestFromInvitationToStroke is the way in of a teacher who has never heard of widgets: invite the companion, write one message, draw.
func TestFromInvitationToStroke(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	t.Parallel() // it mostly waits
	w := newWorld(t)
	ctx := t.Context()
	teacher := w.user(0)
	create := func(body map[string]any) string {
		t.Helper()
		body["preset"] = "private_chat"
		body["invite"] = []string{w.ready.Companion}
		room, err := teacher.CreateRoom(ctx, body)
		if err != nil {
			t.Fatal(err)
		}
		return room
	}
	start := time.Now()
	class := create(map[string]any{
		"name":                         "Class 9c",
		"power_level_content_override": map[string]any{"users": map[string]int{teacher.UserID: 100, w.ready.Companion: 50}},
		"initial_state":                []any{map[string]any{"type": "m.room.encryption", "state_key": "", "content": map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}}},
	})
	direct := create(map[string]any{"is_direct": true})
	if got := w.ask(teacher, direct, `hinzufügen Tafel "Bruchrechnung" in "Class 9c"`); !strings.Contains(got, "„Bruchrechnung“ ist jetzt in Class 9c") {
		t.Fatalf("answer: %q", got)
	}
	added := time.Since(start)
	if got := w.ask(teacher, direct, `add call in "Class 9c"`); !strings.HasPrefix(got, "Calls are not set up on this Lectern") {
		t.Errorf("CA1 no call where calls are not set up: %q", got)
	}
	p := &place{name: "Bruchrechnung", room: class}
	var all []struct {
		Type    string          `json:"type"`
		Key     string          `json:"state_key"`
		Content json.RawMessage `json:"content"`
	}
	if err := teacher.Do(ctx, http.MethodGet, "/_matrix/client/v3/rooms/"+url.PathEscape(class)+"/state", nil, &all); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Type == widgets.EventType {
			p.widget.ID = e.Key
			if !strings.Contains(string(e.Content), w.ready.Lectern+"/widgets/whiteboard?") {
				t.Errorf("CM7 widget: %s", e.Content)
			}
		}
	}
	options, frames := watchSaved()
	d := w.enter(p, options)
	d.stroke()
	if err := d.settled(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("from making the room: %s until the board is in it, %s until the first stroke is stored", added, time.Since(start))
	saved(t, frames, 1)

	t.Run("CM9 removed and put back, the board is as it was", func(t *testing.T) {
		d.Close()
		if got := w.ask(teacher, direct, "entfernen Bruchrechnung in Class 9c"); !strings.Contains(got, "bleibt erhalten") {
			t.Fatalf("answer: %q", got)
		}
		until(t, "nobody may open it", 20*time.Second, func() bool {
			status, _, err := w.signIn(ctx, teacher, class, p.widget.ID)
			return err == nil && status != http.StatusOK
		})
		if got := w.ask(teacher, direct, "restore in Class 9c"); !strings.Contains(got, `"Bruchrechnung" is back in Class 9c`) {
			t.Fatalf("answer: %q", got)
		}
		again := w.enter(p, client.Options{})
		if n := len(w.scene(again).Elements); n != 1 {
			t.Errorf("%d elements, want the one that was drawn", n)
		}
	})
}
