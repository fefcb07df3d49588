package matrix

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/identity"
)

func TestMembershipFollowsTheRoom(t *testing.T) {
	cfg := newAccount(t)
	tc := startCompanion(t, cfg)
	ctx := t.Context()
	teacher, ada, ben := newUser(t, "teacher"), newUser(t, "ada"), newUser(t, "ben")
	room := newTestRoom(t, tc, teacher, true, ada.UserID, ben.UserID)
	for _, u := range []*devstack.Client{ada, ben} {
		if err := u.Join(ctx, room); err != nil {
			t.Fatal(err)
		}
		await(t, "join seen", 2*time.Second, func() bool { return tc.joined(room, u.UserID) })
	}

	t.Run("MX10 power levels and their defaults", func(t *testing.T) {
		s, _ := tc.Standing(room, teacher.UserID)
		if s.Power != 100 || !s.Complete || s.Levels.StateDefault != 50 || s.Levels.Kick != 50 || s.Levels.EventsDefault != 0 {
			t.Errorf("teacher: %+v", s)
		}
		if s, _ = tc.Standing(room, ada.UserID); s.Power != 0 || !s.Joined {
			t.Errorf("ada: %+v", s)
		}
		if s, ok := tc.Standing(room, "@nobody:localhost"); !ok || s.Joined {
			t.Errorf("a stranger: %+v, %v", s, ok)
		}
		if _, ok := tc.Standing("!elsewhere:localhost", ada.UserID); ok {
			t.Error("a foreign room has standings")
		}
	})

	t.Run("MX11 promotion, demotion, kick, ban and leave within 2 s", func(t *testing.T) {
		power := func(u string, want int) func() bool {
			return func() bool { s, _ := tc.Standing(room, u); return s.Power == want }
		}
		if err := teacher.SetPower(ctx, room, ada.UserID, 50); err != nil {
			t.Fatal(err)
		}
		t.Logf("promotion: %s", await(t, "promotion", 2*time.Second, power(ada.UserID, 50)))
		if err := teacher.SetPower(ctx, room, ada.UserID, 0); err != nil {
			t.Fatal(err)
		}
		t.Logf("demotion: %s", await(t, "demotion", 2*time.Second, power(ada.UserID, 0)))
		out := func() bool { return !tc.joined(room, ada.UserID) }
		if err := teacher.Kick(ctx, room, ada.UserID, ""); err != nil {
			t.Fatal(err)
		}
		t.Logf("kick: %s", await(t, "kick", 2*time.Second, out))
		if joined, err := tc.Confirm(ctx, room, ada.UserID); joined || err != nil {
			t.Errorf("Confirm after the kick: %v, %v", joined, err)
		}
		if err := teacher.Ban(ctx, room, ada.UserID, ""); err != nil {
			t.Fatal(err)
		}
		if err := ben.Leave(ctx, room); err != nil {
			t.Fatal(err)
		}
		t.Logf("leave: %s", await(t, "leave", 2*time.Second, func() bool { return !tc.joined(room, ben.UserID) && out() }))
		if joined, err := tc.Confirm(ctx, room, teacher.UserID); !joined || err != nil {
			t.Errorf("Confirm of a member: %v, %v", joined, err)
		}
		if !tc.saw(&tc.rooms, room) || tc.Age() > 12*time.Second {
			t.Errorf("OnRoom was not called, or age %s", tc.Age())
		}
	})

	t.Run("MX12 widgets of ours and nobody else's", func(t *testing.T) {
		widget := func(url, board string) map[string]any {
			return map[string]any{"type": "m.custom", "url": url, "name": "Board", "data": map[string]any{"board": board}}
		}
		put := func(typ, id string, content any) {
			if _, err := teacher.SendState(ctx, room, typ, id, content); err != nil {
				t.Fatal(err)
			}
		}
		put("im.vector.modular.widgets", "foreign", widget("https://evil.example/widgets/whiteboard", testBoard))
		put("im.vector.modular.widgets", "prefix", widget(testBase+".evil.example/widgets/whiteboard", testBoard))
		put("im.vector.modular.widgets", "badid", widget(testBase+"/widgets/whiteboard", "../../etc"))
		put("m.widget", "ours", widget(testBase+"/widgets/whiteboard?user=$matrix_user_id#x", testBoard))
		await(t, "widget seen", 2*time.Second, func() bool { _, ok := tc.Widget(room, "ours"); return ok })
		if w, _ := tc.Widget(room, "ours"); w.Kind != "whiteboard" || string(w.Board) != testBoard || w.Name != "Board" || w.ID != "ours" {
			t.Errorf("widget: %+v", w)
		}
		for _, id := range []string{"foreign", "prefix", "badid", "none"} {
			if w, ok := tc.Widget(room, id); ok {
				t.Errorf("widget %s: %+v", id, w)
			}
		}
		put("m.widget", "ours", map[string]any{})
		await(t, "widget removed", 2*time.Second, func() bool { _, ok := tc.Widget(room, "ours"); return !ok })
	})

	t.Run("MX13 the view is complete after a restart", func(t *testing.T) {
		if _, err := teacher.SendState(ctx, room, "m.widget", "late", map[string]any{"url": testBase + "/widgets/whiteboard", "data": map[string]any{"board": testBoard}}); err != nil {
			t.Fatal(err)
		}
		tc.stop(t)
		if err := teacher.Unban(ctx, room, ada.UserID); err != nil {
			t.Fatal(err)
		}
		if err := teacher.Invite(ctx, room, ada.UserID); err != nil {
			t.Fatal(err)
		}
		if err := ada.Join(ctx, room); err != nil {
			t.Fatal(err)
		}
		again := startCompanion(t, cfg)
		await(t, "the join, which the homeserver may bring a moment after its 200", 2*time.Second, func() bool { return again.joined(room, ada.UserID) })
		if _, ok := again.Widget(room, "late"); !ok || !again.joined(room, ada.UserID) || again.joined(room, ben.UserID) || !again.Encrypted(room) {
			s, _ := again.Standing(room, ada.UserID)
			t.Errorf("after restart: widget %v, ada %+v", ok, s)
		}
		if s, _ := again.Standing(room, teacher.UserID); !s.Complete || s.Power != 100 {
			t.Errorf("teacher after restart: %+v", s)
		}

		t.Run("MX14 a kicked companion knows nobody in the room", func(t *testing.T) {
			if err := teacher.Kick(ctx, room, again.UserID(), ""); err != nil {
				t.Fatal(err)
			}
			await(t, "room gone", 2*time.Second, func() bool { _, ok := again.Standing(room, teacher.UserID); return !ok })
			if joined, err := again.Confirm(ctx, room, teacher.UserID); joined || err != nil {
				t.Errorf("Confirm: %v, %v", joined, err)
			}
			if !again.Encrypted(room) {
				t.Error("the room is forgotten to be encrypted")
			}
		})
	})
}

func TestInvites(t *testing.T) {
	cfg := newAccount(t)
	friend, stranger := newUser(t, "friend"), newUser(t, "stranger")
	cfg.AllowInviters = []string{friend.UserID, "*.school.example"}
	tc := startCompanion(t, cfg)
	t.Run("MX15 the companion joins where it may and refuses the rest", func(t *testing.T) {
		room, err := stranger.CreateRoom(t.Context(), map[string]any{"invite": []string{tc.UserID()}})
		if err != nil {
			t.Fatal(err)
		}
		await(t, "invite refused", 5*time.Second, func() bool {
			m, err := stranger.Membership(t.Context(), room, tc.UserID())
			return err == nil && m == "leave"
		})
		newTestRoom(t, tc, friend, false)
	})
	t.Run("MX15 an invite that came while the companion was away is answered", func(t *testing.T) {
		tc.stop(t)
		room, err := friend.CreateRoom(t.Context(), map[string]any{"invite": []string{tc.UserID()}})
		if err != nil {
			t.Fatal(err)
		}
		again := startCompanion(t, cfg)
		await(t, "joined", 5*time.Second, func() bool { return again.joined(room, again.UserID()) })
	})
	t.Run("MX15 patterns", func(t *testing.T) {
		for user, want := range map[string]bool{
			friend.UserID: true, stranger.UserID: false, "@x:a.school.example": true, "@x:school.example": false,
			"@a:school.example:evil.example": false, "": false, "@x": false,
		} {
			if got := tc.mayInvite(user); got != want {
				t.Errorf("%q: got %v, want %v", user, got, want)
			}
		}
	})
}

func TestPlainRoom(t *testing.T) {
	tc := startCompanion(t, newAccount(t))
	teacher := newUser(t, "teacher")
	room := newTestRoom(t, tc, teacher, false)
	ctx := t.Context()
	t.Run("MX4 state of a plain room is plain", func(t *testing.T) {
		write(t, tc, room, 1)
		wantState(t, tc, room, 1)
		var raw struct{ N int }
		if err := teacher.State(ctx, room, boardType, testBoard, &raw); err != nil || raw.N != 1 {
			t.Fatalf("in the room: %+v, %v", raw, err)
		}
	})
	t.Run("MX5 what somebody else wrote is refused and reported", func(t *testing.T) {
		if _, err := teacher.SendState(ctx, room, boardType, testBoard, map[string]any{"n": 666}); err != nil {
			t.Fatal(err)
		}
		wantUntrusted(t, tc, room, "somebody else")
		await(t, "OnOverwritten", 2*time.Second, func() bool { return tc.saw(&tc.lost, room+" "+boardType+" "+testBoard) })
		write(t, tc, room, 2)
		wantState(t, tc, room, 2)
	})
	t.Run("MX5 a copy of our content under somebody else's name is replaced by the same content", func(t *testing.T) {
		write(t, tc, room, 4)
		if _, err := teacher.SendState(ctx, room, boardType, testBoard, map[string]any{}); err != nil {
			t.Fatal(err)
		}
		if _, err := teacher.SendState(ctx, room, boardType, testBoard, map[string]any{"n": 4}); err != nil {
			t.Fatal(err)
		}
		write(t, tc, room, 4)
		wantState(t, tc, room, 4)
	})
	t.Run("MX7 a room that becomes encrypted does not lend its clear state", func(t *testing.T) {
		if _, err := teacher.SendState(ctx, room, "m.room.encryption", "", map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}); err != nil {
			t.Fatal(err)
		}
		await(t, "encryption seen", 2*time.Second, func() bool { return tc.Encrypted(room) })
		wantUntrusted(t, tc, room, "encrypted")
		write(t, tc, room, 3)
		wantState(t, tc, room, 3)
	})
	t.Run("MX6 content that fits no event is refused before it is sent", func(t *testing.T) {
		_, err := tc.WriteState(ctx, room, boardType, testBoard, []byte(`{"d":"`+strings.Repeat("x", MaxEncryptedContent)+`"}`))
		wantKind(t, err, "TooLarge")
		if _, err := tc.WriteState(ctx, room, boardType, testBoard, []byte(`{"d":"`+strings.Repeat("x", MaxEncryptedContent-8)+`"}`)); err != nil {
			t.Errorf("the largest allowed: %v", err)
		}
		if _, err := tc.WriteState(ctx, room, boardType, strings.Repeat("k", 255), []byte(`{}`)); err == nil {
			t.Error("a state key that is too long was sent")
		}
		if _, err := tc.WriteState(ctx, room, boardType, testBoard, []byte(`[]`)); err == nil {
			t.Error("content that is no object was sent")
		}
	})
}

func TestRoomVersion12(t *testing.T) {
	tc := startCompanion(t, newAccount(t))
	teacher, second := newUser(t, "teacher"), newUser(t, "second")
	room, err := teacher.CreateRoom(t.Context(), map[string]any{"room_version": "12", "invite": []string{tc.UserID()}, "creation_content": map[string]any{"additional_creators": []string{second.UserID}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("MX10 creators of version 12 stand above every level", func(t *testing.T) {
		await(t, "joined", 5*time.Second, func() bool { return tc.joined(room, tc.UserID()) })
		for _, u := range []string{teacher.UserID, second.UserID} {
			if s, _ := tc.Standing(room, u); s.Power != math.MaxInt || !s.Complete {
				t.Errorf("%s: %+v", u, s)
			}
		}
		if s, _ := tc.Standing(room, tc.UserID()); s.Power != 0 {
			t.Errorf("companion: %+v", s)
		}
	})
}

func TestRoomOf(t *testing.T) {
	const ada = "@ada:x"
	at := func(joined bool, types ...string) *room {
		r := &room{members: map[string]member{ada: {joined: joined}}, widgets: map[stateID]identity.Widget{}}
		for _, typ := range types {
			r.widgets[stateID{typ, "w"}] = identity.Widget{ID: "w"}
		}
		return r
	}
	for name, c := range map[string]struct {
		rooms map[string]*room
		want  string
	}{
		"the room that has it":            {map[string]*room{"!a": at(true, widgetTypes[0]), "!b": at(true)}, "!a"},
		"once under each name":            {map[string]*room{"!a": at(true, widgetTypes...)}, "!a"},
		"one that the person is not in":   {map[string]*room{"!a": at(false, widgetTypes[0]), "!b": {widgets: at(true, widgetTypes[0]).widgets}}, ""},
		"two rooms have it":               {map[string]*room{"!a": at(true, widgetTypes[0]), "!b": at(true, widgetTypes[0])}, ""},
		"two have it, the person is in 1": {map[string]*room{"!a": at(true, widgetTypes[0]), "!b": at(false, widgetTypes[0])}, "!a"},
		"nobody has it":                   {map[string]*room{"!a": at(true)}, ""},
	} {
		companion := &Companion{}
		companion.view.rooms = c.rooms
		if got, ok := companion.RoomOf(ada, "w"); got != c.want || ok != (c.want != "") {
			t.Errorf("AU3 %s: got %q, %v", name, got, ok)
		}
	}
}
