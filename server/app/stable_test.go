package app

import (
	"testing"
	"time"

	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/widgets"
)

// TestStableWidgets: each widget has a stable event that follows it, and whose widget opens although its address says no room.
func TestStableWidgets(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	w := newWorld(t, func(o *DevOptions) { o.StableWidgets = true })
	teacher, room, widget := w.user(0), w.ready.RoomID, w.ready.Widgets[0]
	stands := func(what string, ok func(map[string]any) bool) {
		t.Helper()
		var got map[string]any
		for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			got = nil
			if err := teacher.State(t.Context(), room, commands.StableType, widget.ID, &got); err == nil && ok(got) {
				return
			}
		}
		t.Fatalf("CM16 %s: %v", what, got)
	}
	stands("as the widget", func(m map[string]any) bool {
		return m["name"] == widget.Title && m["url"] == w.ready.Lectern+"/widgets/whiteboard" && m["type"] == nil
	})
	status, a, err := w.signIn(t.Context(), teacher, "", widget.ID)
	if err != nil || status != 200 {
		t.Errorf("AU3 a sign-in without a room: %d %v %v", status, a, err)
	}
	var content map[string]any
	if err := teacher.State(t.Context(), room, widgets.EventType, widget.ID, &content); err != nil {
		t.Fatal(err)
	}
	content["name"] = "Renamed"
	for _, next := range []struct {
		what    string
		content any
		ok      func(map[string]any) bool
	}{
		{"renamed", content, func(m map[string]any) bool { return m["name"] == "Renamed" }},
		{"removed", map[string]any{}, func(m map[string]any) bool { return len(m) == 0 }},
	} {
		if _, err := teacher.SendState(t.Context(), room, widgets.EventType, widget.ID, next.content); err != nil {
			t.Fatal(err)
		}
		stands(next.what, next.ok)
	}
}
