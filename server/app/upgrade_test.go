package app

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/widgets"
)

// TestRoomUpgrade replaces the demo room, which is encrypted, while people draw: the board is in the new room with everything on it (SPEC UP).
func TestRoomUpgrade(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	w := newWorld(t)
	ctx := t.Context()
	teacher, old, widget := w.user(0), w.ready.RoomID, w.ready.Widgets[0]

	// Who claims too much takes nothing: a room that says that it replaces this one, and a tombstone by somebody who may not write one.
	rogue := w.user(1)
	mine, err := rogue.CreateRoom(ctx, map[string]any{
		"preset": "private_chat", "invite": []string{w.ready.Companion}, "creation_content": map[string]any{"predecessor": map[string]any{"room_id": old, "event_id": "$x"}},
		"initial_state":                []any{map[string]any{"type": "m.room.encryption", "state_key": "", "content": map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}}},
		"power_level_content_override": map[string]any{"users": map[string]int{w.ready.Companion: 50, rogue.UserID: 100}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := rogue.AwaitMembership(ctx, mine, w.ready.Companion, "join"); err != nil {
		t.Fatal(err)
	}
	if _, err := rogue.SendState(ctx, old, "m.room.tombstone", "", map[string]any{"body": "moved", "replacement_room": mine}); !devstack.IsCode(err, "M_FORBIDDEN") {
		t.Fatalf("UP1 a student's tombstone: %v", err)
	}

	options, frames := watchSaved()
	ada, ben := w.mustOpen(w.user(1), options), w.mustOpen(w.user(2), client.Options{})
	for range 20 {
		ada.stroke()
		ben.stroke()
	}
	for _, d := range []*draw{ada, ben} {
		if err := d.settled(ctx); err != nil {
			t.Fatal(err)
		}
	}
	saved(t, frames, 40)
	for range 5 { // acknowledged, and perhaps not in the old room when it is replaced
		ada.stroke()
	}
	if err := ada.settled(ctx); err != nil {
		t.Fatal(err)
	}
	before := w.scene(ada)

	began := time.Now() // the invitations are in what is measured
	next := upgradeRoom(t, teacher, old, w.ready.Companion, w.ready.Users[1].UserID, w.ready.Users[2].UserID)
	for i := 1; i <= 2; i++ {
		if err := w.user(i).Join(ctx, next); err != nil {
			t.Fatal(err)
		}
	}
	for i, d := range []*draw{ada, ben} {
		select {
		case <-d.Done():
		case <-time.After(30 * time.Second):
			t.Fatal("UP4 somebody goes on in the old room")
		}
		if bye, ok := asBye(d.Err()); !ok || bye.Bye.Code != "room_upgraded" {
			t.Errorf("UP4 person %d: %v", i, d.Err())
		}
	}
	t.Logf("the upgrade was answered; %v later nobody is in the old room any more", time.Since(began).Round(time.Millisecond))

	status, body, err := w.signIn(ctx, w.user(1), old, widget.ID)
	if err != nil || status != http.StatusConflict || body["code"] != "room_upgraded" {
		t.Errorf("UP4 sign-in in the old room: %d %v %v", status, body["code"], err)
	}
	again := w.openWhenThere(t, w.user(1), next, widget.ID, options)
	t.Logf("after %v the board is open in the new room", time.Since(began).Round(time.Millisecond))
	after := w.scene(again)
	if after.Log != before.Log || after.Seq != before.Seq || strings.Join(after.Heads, " ") != strings.Join(before.Heads, " ") {
		t.Errorf("UP3 the board is not what it was: got %s %d %v, want %s %d %v", after.Log, after.Seq, after.Heads, before.Log, before.Seq, before.Heads)
	}
	if len(after.Elements) != 45 {
		t.Errorf("UP3 got %d strokes, want 45", len(after.Elements))
	}
	again.stroke()
	saved(t, frames, after.Seq+1)
	var stands map[string]any
	if err := teacher.State(ctx, next, "m.room.encrypted", contentType+":"+widget.Board, &stands); err != nil || stands["ciphertext"] == nil {
		t.Errorf("UP3 the board is not in the new room: %v %v", stands, err)
	}
	var layout map[string]any
	if err := teacher.State(ctx, next, widgets.LayoutType, "", &layout); err != nil || layout["widgets"] == nil {
		t.Errorf("UP2 the layout of the new room: %v %v", layout, err)
	}

	// A restart changes nothing, and what a moderator removes in the new room does not come back from the old one.
	w.stop()
	w.start()
	teacher = w.user(0)
	last := w.openWhenThere(t, w.user(2), next, widget.ID, client.Options{})
	if s := w.scene(last); len(s.Elements) != 46 {
		t.Errorf("UP3 after a restart: %d strokes, want 46", len(s.Elements))
	}
	if _, err := teacher.SendState(ctx, next, widgets.EventType, widget.ID, map[string]any{}); err != nil {
		t.Fatal(err)
	}
	if err := teacher.SetPower(ctx, next, w.ready.Users[2].UserID, 1); err != nil { // has Lectern look again
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // nothing is to happen, which nobody tells of; moving takes a tenth of that
	var content map[string]any
	if err := teacher.State(ctx, next, widgets.EventType, widget.ID, &content); err != nil || len(content) > 0 {
		t.Errorf("UP2 a removed widget has come back: %v %v", content, err)
	}
	if status, body, err := w.signIn(ctx, w.user(1), mine, widget.ID); err != nil || status == http.StatusOK {
		t.Errorf("UP1 the other room has got the board: %d %v %v", status, body, err)
	}
}

// openWhenThere opens a widget as soon as Lectern knows it.
func (w *world) openWhenThere(t *testing.T, c *devstack.Client, room, widget string, o client.Options) *draw {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	for {
		d, err := w.openIn(t.Context(), c, room, widget, o)
		if err == nil {
			t.Cleanup(d.Close)
			return d
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the board does not open: %v", err)
			t.Logf("not yet: %v", err)
		case <-time.After(2 * time.Second): // 30 sign-ins a minute
		}
	}
}

// TestRoomUpgradeAfterDisaster replaces the room while Lectern is down, and takes its database away: only the old room has the board.
func TestRoomUpgradeAfterDisaster(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	w := newWorld(t)
	ctx := t.Context()
	widget := w.ready.Widgets[0]
	options, frames := watchSaved()
	ada := w.mustOpen(w.user(1), options)
	for range 30 {
		ada.stroke()
	}
	if err := ada.settled(ctx); err != nil {
		t.Fatal(err)
	}
	saved(t, frames, 30)
	before := w.scene(ada)
	w.stop()

	s, err := devstack.Up(ctx, devstack.UpOptions{Dir: filepath.Join(w.dir, "stack"), LecternURL: w.ready.Lectern, Progress: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	next := upgradeRoom(t, s.Client("teacher"), w.ready.RoomID, w.ready.Companion, w.ready.Users[1].UserID)
	if err := s.Client("student1").Join(ctx, next); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	lost, err := filepath.Glob(filepath.Join(w.dir, "lectern", "lectern.db*"))
	if err != nil || len(lost) == 0 {
		t.Fatalf("no database found to lose: %v %v", lost, err)
	}
	for _, f := range lost {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	if w.ready.RoomID != next {
		t.Fatalf("the demo room: got %s, want %s", w.ready.RoomID, next)
	}
	again := w.openWhenThere(t, w.user(1), next, widget.ID, client.Options{})
	if after := w.scene(again); strings.Join(after.Heads, " ") != strings.Join(before.Heads, " ") || len(after.Elements) != 30 {
		t.Errorf("UP3 got %d strokes %v, want 30 %v", len(after.Elements), after.Heads, before.Heads)
	}
}

// upgradeRoom does what Element does: it replaces the room and invites everybody.
func upgradeRoom(t *testing.T, by *devstack.Client, room string, people ...string) (next string) {
	t.Helper()
	var up struct {
		Room string `json:"replacement_room"`
	}
	if err := by.Do(t.Context(), http.MethodPost, "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/upgrade", map[string]string{"new_version": "12"}, &up); err != nil {
		t.Fatal(err)
	}
	for _, u := range people {
		if m, err := by.Membership(t.Context(), up.Room, u); err == nil && (m == "join" || m == "invite") {
			continue
		}
		if err := by.Invite(t.Context(), up.Room, u); err != nil {
			t.Fatal(err)
		}
	}
	return up.Room
}
