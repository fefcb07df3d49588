package matrix

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/devstack"
)

// sessionOfEvent is the Megolm session of a message.
func (s *speaker) sessionOfEvent(room, ev string) string {
	s.t.Helper()
	var e struct {
		Content struct {
			Session string `json:"session_id"`
		} `json:"content"`
	}
	// Dendrite may not know an event yet that it has just taken.
	await(s.t, "the message's session", soon, func() bool {
		return s.Do(s.t.Context(), http.MethodGet, "/_matrix/client/v3/rooms/"+room+"/event/"+ev, nil, &e) == nil && e.Content.Session != ""
	})
	return e.Content.Session
}

// has: the companion holds a session.
func (tc *testCompanion) has(t *testing.T, session string) bool {
	t.Helper()
	l, err := tc.strings(t.Context(), "SELECT session_id FROM crypto_megolm_inbound_session WHERE session_id=$1", session)
	if err != nil {
		t.Fatal(err)
	}
	return len(l) == 1
}

func TestEncryptedDirectMessage(t *testing.T) {
	cfg := newAccount(t)
	tc := startTalking(t, cfg)
	ctx := t.Context()
	teacher := newSpeaker(t, "teacher")
	class := teacher.makeClass(tc, "Class 7b", true, nil)
	direct := teacher.makeDirect(tc, true)
	t.Run("CM1 a board is added from an encrypted direct message, and the answer is readable there", func(t *testing.T) {
		start := time.Now()
		teacher.wants(direct, tc, `add whiteboard "Lesson 3"`, `"Lesson 3" is in Class 7b now`)
		t.Logf("from the command to its answer: %s", time.Since(start))
		if n := len(teacher.widgetsOf(class)); n != 1 {
			t.Errorf("%d widgets", n)
		}
		if n := len(teacher.widgetsOf(direct)); n != 0 {
			t.Errorf("%d widgets in the direct message", n)
		}
		for _, m := range teacher.notices(direct, tc.UserID()) {
			if m.Type != "m.room.encrypted" || !m.readable {
				t.Errorf("notice: %+v", m)
			}
		}
		tc.seen(t, class, 1)
		teacher.wants(direct, tc, "!lectern liste", "1. Lesson 3")
	})
	t.Run("CM3 of several rooms it asks which", func(t *testing.T) {
		other := teacher.makeClass(tc, "Class 8a", true, nil)
		got := teacher.ask(direct, tc, "hinzufügen Tafel Bruchrechnung")
		for _, want := range []string{"In welchem Raum?", `"Class 7b"`, `"Class 8a"`} {
			if !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		teacher.wants(direct, tc, `hinzufügen Tafel Bruchrechnung in class 8A`, "„Bruchrechnung“ ist jetzt in Class 8a")
		teacher.wants(direct, tc, `add whiteboard in `+other, "is in Class 8a now")
		same := teacher.makeClass(tc, "Class 8a", false, nil)
		got = teacher.ask(direct, tc, `add whiteboard in "Class 8a"`)
		if !strings.Contains(got, other) || !strings.Contains(got, same) {
			t.Errorf("two rooms of one name: %q", got)
		}
	})
	t.Run("CM1 a room with one other person is read although no invitation called it direct", func(t *testing.T) {
		other := newSpeaker(t, "alone")
		room := other.makeClass(tc, "Just us", true, nil)
		ev := other.send(room, text("add whiteboard"))
		other.wants(room, tc, "!lectern add whiteboard", `"Whiteboard" is in Just us now`)
		for _, m := range other.notices(room, tc.UserID()) {
			if m.to == ev {
				t.Errorf("answered without the prefix: %q", m.body)
			}
		}
	})
	t.Run("CM13 a device that comes later reads later answers", func(t *testing.T) {
		second, err := homeserver(t).Client(ctx, strings.TrimPrefix(strings.Split(teacher.UserID, ":")[0], "@"), teacher.Password, "")
		if err != nil {
			t.Fatal(err)
		}
		phone := &speaker{Client: second, t: t, device: newDevice(t, second)}
		await(t, "device seen", soon, func() bool {
			d, err := tc.keys.GetDevices(ctx, id.UserID(teacher.UserID))
			return err == nil && len(d) == 2
		})
		phone.wants(direct, tc, "list in #nowhere:localhost", "no room")
	})
	t.Run("CM1 the first message, written before the companion has joined", func(t *testing.T) {
		other := newSpeaker(t, "eager")
		room, err := other.CreateRoom(ctx, map[string]any{"preset": "trusted_private_chat", "is_direct": true, "invite": []string{tc.UserID()}, "initial_state": encryption})
		if err != nil {
			t.Fatal(err)
		}
		ev := other.send(room, text("hilfe"))
		if got := other.answer(room, tc.UserID(), ev); !strings.Contains(got, "Was ich verstehe") {
			t.Errorf("answer: %q", got)
		}
	})
	t.Run("CM1 a key that was given out before is asked for once", func(t *testing.T) {
		teacher.wants(direct, tc, "help", "What I understand") // whatever session its client uses now is there
		if _, err := tc.db.Exec(ctx, "DELETE FROM crypto_megolm_inbound_session WHERE room_id=$1 AND source_user=$2", direct, teacher.UserID); err != nil {
			t.Fatal(err)
		}
		teacher.wants(direct, tc, "list", "/discardsession")
		quiet := teacher.send(direct, text("list"))
		if err := teacher.device.mach.CryptoStore.RemoveOutboundGroupSession(ctx, id.RoomID(direct)); err != nil {
			t.Fatal(err)
		}
		teacher.silent(direct, tc, quiet)
	})
	t.Run("CM14 keys of members are never in the key backup", func(t *testing.T) {
		backedUp := tc.backupSessions(t)
		own, foreign := 0, 0
		sessions, err := tc.strings(ctx, "SELECT session_id FROM crypto_megolm_inbound_session WHERE source_user=$1", tc.UserID())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sessions {
			if backedUp[s] {
				own++
			}
		}
		where, args := tc.foreign()
		others, err := tc.strings(ctx, "SELECT session_id FROM crypto_megolm_inbound_session WHERE "+where, args...)
		if err != nil {
			t.Fatal(err)
		}
		// A new version of the backup gets everything that belongs into it.
		if err := tc.ensureVersion(ctx, tc.backup.Load()); err != nil {
			t.Fatal(err)
		}
		again := tc.backupSessions(t)
		for _, s := range others {
			if backedUp[s] || again[s] {
				foreign++
			}
		}
		if own == 0 || len(others) == 0 || foreign != 0 {
			t.Errorf("in the backup: %d of %d own, %d of %d of members", own, len(sessions), foreign, len(others))
		}
	})
	t.Run("CM14 the companion leaves: its keys of the room are gone", func(t *testing.T) {
		ev := teacher.send(direct, text("list in x"))
		teacher.answer(direct, tc.UserID(), ev)
		session := teacher.sessionOfEvent(direct, ev)
		if !tc.has(t, session) {
			t.Fatal("the session is not there to begin with")
		}
		if _, err := tc.client.LeaveRoom(ctx, id.RoomID(direct)); err != nil { // the other person is no mightier here
			t.Fatal(err)
		}
		await(t, "keys forgotten", soon, func() bool { return !tc.has(t, session) })
	})
}

// backupSessions are the ids in the newest version of the key backup.
func (tc *testCompanion) backupSessions(t *testing.T) map[string]bool {
	t.Helper()
	info, err := tc.client.GetKeyBackupLatestVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := tc.client.GetKeyBackup(t.Context(), info.Version)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, room := range raw.Rooms {
		for s := range room.Sessions {
			out[s.String()] = true
		}
	}
	return out
}

func TestThirdPersonInDirectMessage(t *testing.T) {
	cfg := newAccount(t)
	outer := t
	tc := startTalking(t, cfg)
	ctx := t.Context()
	teacher, third := newSpeaker(t, "teacher"), newSpeaker(t, "third")
	direct := teacher.makeDirect(tc, true)
	ev := teacher.send(direct, text("hilfe"))
	teacher.answer(direct, tc.UserID(), ev)
	before := teacher.sessionOfEvent(direct, ev)
	if !tc.has(t, before) || contains(cfg.DataDir, before) == "" {
		t.Fatal("the session is not there to begin with")
	}
	t.Run("CM14 an invitation ends the reading: kept keys are gone, new ones are dropped", func(t *testing.T) {
		if err := teacher.Invite(ctx, direct, third.UserID); err != nil {
			t.Fatal(err)
		}
		await(t, "keys forgotten", soon, func() bool { return !tc.has(t, before) })
		if err := third.Join(ctx, direct); err != nil {
			t.Fatal(err)
		}
		dropped := tc.keys.dropped.Load()
		secret := third.send(direct, text("!lectern help"))
		await(t, "key dropped", soon, func() bool { return tc.keys.dropped.Load() > dropped })
		tc.stop(t)
		for _, session := range []string{before, third.sessionOfEvent(direct, secret)} {
			if f := contains(cfg.DataDir, session); f != "" {
				t.Errorf("session in %s", f)
			}
		}
		for _, m := range third.notices(direct, tc.UserID()) {
			if m.to == secret {
				t.Errorf("answered: %q", m.body)
			}
		}
	})
	t.Run("CM14 what changed while it was stopped is forgotten at the start", func(t *testing.T) {
		tc = startTalking(outer, cfg)
		room := third.makeDirect(tc, true)
		ev := third.send(room, text("help"))
		third.answer(room, tc.UserID(), ev)
		session := third.sessionOfEvent(room, ev)
		tc.stop(t)
		if err := third.Invite(ctx, room, teacher.UserID); err != nil {
			t.Fatal(err)
		}
		if contains(cfg.DataDir, session) == "" {
			t.Error("the session is not there to begin with")
		}
		tc = startTalking(outer, cfg)
		// At once, if the first sync tells of the invitation, which on a busy machine it may not yet.
		await(t, "keys forgotten", soon, func() bool { return !tc.has(t, session) && contains(cfg.DataDir, session) == "" })
	})
}

func TestReadingWhereAllowed(t *testing.T) {
	cfg := newAccount(t)
	tc := startTalking(t, cfg)
	ctx := t.Context()
	teacher, student := newSpeaker(t, "teacher"), newSpeaker(t, "student")
	allow := func(by *devstack.Client, room string, content any) error {
		_, err := by.SendState(ctx, room, commands.AllowType, "", content)
		return err
	}
	fresh := func(s *speaker, room string) {
		t.Helper()
		if err := s.device.mach.CryptoStore.RemoveOutboundGroupSession(ctx, id.RoomID(room)); err != nil {
			t.Fatal(err)
		}
	}
	reads := func(room string, want bool) {
		t.Helper()
		await(t, fmt.Sprintf("reading %v", want), soon, func() bool {
			tc.view.mu.RLock()
			defer tc.view.mu.RUnlock()
			return tc.view.rooms[room].read == want
		})
	}
	room := teacher.makeClass(tc, "Class 7b", true, nil, student.UserID)
	if err := student.Join(ctx, room); err != nil {
		t.Fatal(err)
	}
	t.Run("MX16 an ordinary encrypted room is not read, commands in it neither", func(t *testing.T) {
		dropped := tc.keys.dropped.Load()
		ev := teacher.send(room, text("!lectern add whiteboard"))
		await(t, "key dropped", soon, func() bool { return tc.keys.dropped.Load() > dropped })
		if f := contains(cfg.DataDir, teacher.sessionOfEvent(room, ev)); f != "" {
			t.Errorf("session in %s", f)
		}
		// In clear it is not believed either: anybody could have written it.
		path := "/_matrix/client/v3/rooms/" + room + "/send/m.room.message/clear1"
		if err := teacher.Do(ctx, http.MethodPut, path, text("!lectern add whiteboard"), nil); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("CM1 a moderator allows it, anybody's commands are read, and only theirs who may are obeyed", func(t *testing.T) {
		if err := allow(teacher.Client, room, map[string]any{"commands": true}); err != nil {
			t.Fatal(err)
		}
		reads(room, true)
		fresh(teacher, room)
		teacher.wants(room, tc, `!lectern add whiteboard "Lesson 3"`, "is in Class 7b now")
		student.wants(room, tc, "!lectern hinzufügen Tafel", "brauchst du Berechtigungsstufe 50")
		if n := len(teacher.widgetsOf(room)); n != 1 {
			t.Errorf("%d widgets", n)
		}
	})
	t.Run("CM14 and takes it back", func(t *testing.T) {
		ev := student.send(room, text("!lectern help"))
		student.answer(room, tc.UserID(), ev)
		session := student.sessionOfEvent(room, ev)
		for _, content := range []any{map[string]any{"commands": "true"}, map[string]any{}, json.RawMessage(`{"commands":[true]}`)} {
			if err := allow(teacher.Client, room, map[string]any{"commands": true}); err != nil {
				t.Fatal(err)
			}
			reads(room, true)
			if err := allow(teacher.Client, room, content); err != nil {
				t.Fatal(err)
			}
			reads(room, false)
		}
		await(t, "keys forgotten", soon, func() bool { return !tc.has(t, session) })
		write(t, tc, room, 1)
		wantState(t, tc, room, 1) // its own keys are still there
	})
	t.Run("CM15 by a message of a moderator, and everybody is told", func(t *testing.T) {
		direct, asked := teacher.makeDirect(tc, true), student.makeDirect(tc, false)
		student.wants(asked, tc, "listen in Class 7b", "Only who moderates Class 7b", "you need power level 50; you have 0")
		teacher.wants(direct, tc, "mitlesen an in Class 7b", "Ab jetzt lese ich in Class 7b mit")
		reads(room, true)
		told := func() string { return student.notices(room, tc.UserID())[0].body }
		await(t, "told", soon, func() bool { return strings.Contains(told(), "lets me read this room") })
		fresh(student, room)
		student.wants(room, tc, "!lectern list", "1. Lesson 3")
		teacher.wants(direct, tc, "listen off in Class 7b", "no longer read Class 7b")
		reads(room, false)
		await(t, "told", soon, func() bool { return strings.Contains(told(), "not to read this room any more") })
		plain := teacher.makeClass(tc, "Plain", false, nil)
		teacher.wants(direct, tc, "listen in "+plain, "not encrypted")
	})
	t.Run("CM1 somebody who is no moderator cannot allow it", func(t *testing.T) {
		var levels map[string]any
		if err := teacher.State(ctx, room, "m.room.power_levels", "", &levels); err != nil {
			t.Fatal(err)
		}
		levels["events"] = map[string]any{commands.AllowType: 0}
		if _, err := teacher.SendState(ctx, room, "m.room.power_levels", "", levels); err != nil {
			t.Fatal(err)
		}
		if err := allow(student.Client, room, map[string]any{"commands": true}); err != nil {
			t.Fatal(err)
		}
		await(t, "seen", soon, func() bool {
			tc.view.mu.RLock()
			defer tc.view.mu.RUnlock()
			return tc.view.rooms[room].allowedBy == student.UserID
		})
		reads(room, false)
	})
}
