package devstack

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newTestStack(t *testing.T, o UpOptions) *Stack {
	t.Helper()
	o.Progress = testWriter{t}
	s, err := Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func TestStack(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	first := newTestStack(t, UpOptions{Dir: dir, LecternURL: "http://localhost:1111"})
	teacher := first.Client("teacher")

	state := func(eventType, key string) map[string]any {
		t.Helper()
		var content map[string]any
		if err := teacher.State(ctx, first.RoomID, eventType, key, &content); err != nil {
			t.Fatal(err)
		}
		return content
	}
	widgetState := func() map[string]any { t.Helper(); return state("im.vector.modular.widgets", first.Widgets[0].ID) }

	t.Run("DV5 the room is encrypted, state included, and the companion may write state", func(t *testing.T) {
		encryption := state("m.room.encryption", "")
		if encryption["algorithm"] != "m.megolm.v1.aes-sha2" || encryption["io.element.msc4362.encrypt_state_events"] != true {
			t.Errorf("encryption: got %v", encryption)
		}
		levels := state("m.room.power_levels", "")
		users := levels["users"].(map[string]any)
		if users["@lectern:localhost"] != 50.0 || users["@teacher:localhost"] != 100.0 || levels["state_default"] != 50.0 {
			t.Errorf("power levels: got %v", levels)
		}
		if _, listed := levels["events"].(map[string]any)["m.room.encrypted"]; listed {
			t.Error("m.room.encrypted is listed in events: students could not send messages, or anybody could write state")
		}
	})
	t.Run("DV5 people are in the room, the companion is invited", func(t *testing.T) {
		want := map[string]string{"@teacher:localhost": "join", "@student1:localhost": "join", "@student2:localhost": "join", "@lectern:localhost": "invite"}
		for user, membership := range want {
			if got, err := teacher.Membership(ctx, first.RoomID, user); err != nil || got != membership {
				t.Errorf("%s: got %q, %v, want %q", user, got, err, membership)
			}
		}
	})
	t.Run("DV6 the whiteboard widget has what Element needs and no identity in its URL", func(t *testing.T) {
		w := widgetState()
		if w["type"] != "m.custom" || w["name"] != "Whiteboard" {
			t.Errorf("got %v", w)
		}
		data := w["data"].(map[string]any)
		if id, _ := data["board"].(string); len(id) != 26 || id != strings.ToLower(id) || data["kind"] != "whiteboard" {
			t.Errorf("data: got %v", data)
		}
		address := w["url"].(string)
		if !strings.HasPrefix(address, "http://localhost:1111/widgets/whiteboard?") {
			t.Errorf("url: got %s", address)
		}
		for _, variable := range []string{"user_id", "display_name", "avatar", "device_id"} {
			if strings.Contains(address, variable) {
				t.Errorf("url %s carries %s", address, variable)
			}
		}
		if got := state("io.element.widgets.layout", ""); !strings.Contains(toJSON(t, got), `"container":"top"`) {
			t.Errorf("layout: got %v", got)
		}
	})
	t.Run("DV4 the companion's account works", func(t *testing.T) {
		login, err := first.Homeserver.Login(ctx, "lectern", first.Companion.Password, "")
		if err != nil || login.UserID != first.Companion.UserID {
			t.Errorf("got %+v, %v", login, err)
		}
	})

	// A student who was removed stays removed.
	if err := teacher.Kick(ctx, first.RoomID, first.Users[2].UserID, ""); err != nil {
		t.Fatal(err)
	}
	before := stateIDs(t, teacher, first.RoomID)
	first.Stop()

	t.Run("DV4 a second start finds everything and makes nothing twice", func(t *testing.T) {
		second := newTestStack(t, UpOptions{Dir: dir, LecternURL: "http://localhost:1111"})
		if diff := cmp.Diff(first.Ready("l", "c").Users, second.Ready("l", "c").Users); diff != "" {
			t.Errorf("users differ (-first +second):\n%s", diff)
		}
		if second.RoomID != first.RoomID || second.Companion != first.Companion || second.Homeserver.URL() != first.Homeserver.URL() {
			t.Errorf("got %s %s, want %s %s", second.RoomID, second.Homeserver.URL(), first.RoomID, first.Homeserver.URL())
		}
		teacher = second.Client("teacher")
		if diff := cmp.Diff(before, stateIDs(t, teacher, second.RoomID)); diff != "" {
			t.Errorf("the room changed (-before +after):\n%s", diff)
		}
		second.Stop()
	})
	t.Run("DV6 a new URL of Lectern moves the widget and keeps its board", func(t *testing.T) {
		third := newTestStack(t, UpOptions{Dir: dir, LecternURL: "http://localhost:2222"})
		teacher = third.Client("teacher")
		w := widgetState()
		if address := w["url"].(string); !strings.HasPrefix(address, "http://localhost:2222/widgets/whiteboard?") {
			t.Errorf("url: got %s", address)
		}
		if got := w["data"].(map[string]any)["board"]; got != first.Widgets[0].Board {
			t.Errorf("board: got %v, want %s", got, first.Widgets[0].Board)
		}

		path := filepath.Join(t.TempDir(), "ready.json")
		if err := WriteReady(path, third.Ready("http://localhost:2222", "http://127.0.0.1:3333/")); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var ready map[string]any
		if err := json.Unmarshal(data, &ready); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"lectern", "classroom", "homeserver", "server_name", "room_id", "users", "widgets"} {
			if ready[key] == nil || ready[key] == "" {
				t.Errorf("DV7 the ready file lacks %s", key)
			}
		}
		user := ready["users"].([]any)[0].(map[string]any)
		for _, key := range []string{"user_id", "password", "access_token", "device_id"} {
			if user[key] == nil || user[key] == "" {
				t.Errorf("DV7 the ready file's user lacks %s", key)
			}
		}
		for _, name := range []string{path, filepath.Join(dir, "stack.json")} {
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("DV7 %s: got %v, %v, want mode 0600", name, info.Mode(), err)
			}
		}
	})
}

func TestStackBadInput(t *testing.T) {
	t.Run("DV4 a damaged stack.json is named, not overwritten", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "stack.json")
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Up(t.Context(), UpOptions{Dir: dir, LecternURL: "http://localhost:1"})
		if err == nil {
			s.Stop()
		}
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want an error that names %s", err, path)
		}
		if data, _ := os.ReadFile(path); string(data) != "{" {
			t.Errorf("the file was changed to %q", data)
		}
	})
	t.Run("DV4 without Lectern's URL nothing starts", func(t *testing.T) {
		if s, err := Up(t.Context(), UpOptions{Dir: t.TempDir()}); err == nil {
			s.Stop()
			t.Error("got a stack, want an error")
		}
	})
}

func TestPair(t *testing.T) {
	ctx := t.Context()
	pair, err := StartPair(ctx, t.TempDir(), testWriter{t})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pair.Stop)
	teacher, err := pair.A.NewUser(ctx, "rivera", "Ms Rivera")
	if err != nil {
		t.Fatal(err)
	}
	guest, err := pair.B.NewUser(ctx, "cleo", "Cleo")
	if err != nil {
		t.Fatal(err)
	}
	room, err := teacher.CreateClassroom(ctx, Room{Name: "Exchange", Members: []string{guest.UserID}})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("DV8 a person of the other homeserver joins and is kicked", func(t *testing.T) {
		if err := guest.Join(ctx, room, pair.A.Name()); err != nil {
			t.Fatal(err)
		}
		if err := teacher.AwaitMembership(ctx, room, guest.UserID, "join"); err != nil {
			t.Fatal(err)
		}
		if err := teacher.Kick(ctx, room, guest.UserID, ""); err != nil {
			t.Fatal(err)
		}
		if err := guest.AwaitMembership(ctx, room, guest.UserID, "leave"); err != nil && !IsCode(err, "M_FORBIDDEN") {
			t.Error(err)
		}
	})
	t.Run("DV8 an OpenID token is verified at its own homeserver over TLS", func(t *testing.T) {
		token, err := guest.OpenID(ctx)
		if err != nil {
			t.Fatal(err)
		}
		verifier := &Client{BaseURL: "https://" + pair.B.FederationAddress(), HTTP: trustingClient(pair.B.RootCAs())}
		var who struct{ Sub string }
		if err := verifier.Do(ctx, "GET", "/_matrix/federation/v1/openid/userinfo?access_token="+token.AccessToken, nil, &who); err != nil {
			t.Fatal(err)
		}
		if who.Sub != guest.UserID {
			t.Errorf("got %q, want %q", who.Sub, guest.UserID)
		}
	})
}

func stateIDs(t *testing.T, c *Client, room string) []string {
	t.Helper()
	events, err := c.AllState(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range events {
		ids = append(ids, e.Type+" "+*e.StateKey+" "+e.ID)
	}
	slices.Sort(ids)
	return ids
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
