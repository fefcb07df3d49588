package matrix

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/checkpoint"
)

func wantUntrusted(t *testing.T, tc *testCompanion, room, why string) {
	t.Helper()
	s, err := tc.ReadState(t.Context(), room, boardType, testBoard)
	if !errors.Is(err, checkpoint.ErrUntrusted) || !strings.Contains(err.Error(), why) {
		t.Errorf("ReadState: got %s, %v, want ErrUntrusted because %q", s.Content, err, why)
	}
}

func wantKind(t *testing.T, err error, kind string) {
	t.Helper()
	kinds := map[string]checkpoint.ErrorKind{
		"Unreachable": checkpoint.Unreachable, "RateLimited": checkpoint.RateLimited, "Forbidden": checkpoint.Forbidden, "TooLarge": checkpoint.TooLarge, "Revoked": checkpoint.Revoked,
		"Failing": checkpoint.Failing,
	}
	var re *checkpoint.RoomError
	if !errors.As(err, &re) || re.Kind != kinds[kind] {
		t.Errorf("got %v (%T), want a RoomError of kind %s", err, err, kind)
	}
}

func TestEncryptedStateChecks(t *testing.T) {
	tc := startCompanion(t, newAccount(t))
	ctx := t.Context()
	teacher := newUser(t, "teacher")
	room := newTestRoom(t, tc, teacher, true)
	member := newDevice(t, teacher)
	packed := boardType + ":" + testBoard
	fresh := func() { t.Helper(); write(t, tc, room, 1); wantState(t, tc, room, 1) }
	fresh()
	// as sends an event of the companion's own account past WriteState, as a careless program or a homeserver would.
	as := func(key string, content any) {
		t.Helper()
		if _, err := tc.client.SendStateEvent(ctx, id.RoomID(room), encrypted, key, content); err != nil {
			t.Fatal(err)
		}
	}
	encrypt := func(typ string, key *string) *event.EncryptedEventContent {
		t.Helper()
		e, err := tc.machine.EncryptMegolmEventWithStateKey(ctx, id.RoomID(room), event.Type{Type: typ, Class: event.StateEventType}, key, json.RawMessage(`{"n":666}`))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}

	t.Run("MX7 a clear event of the same key never shadows the encrypted one", func(t *testing.T) {
		if _, err := teacher.SendState(ctx, room, boardType, testBoard, map[string]any{"n": 666}); err != nil {
			t.Fatal(err)
		}
		if _, err := tc.client.SendStateEvent(ctx, id.RoomID(room), event.Type{Type: boardType, Class: event.StateEventType}, testBoard, map[string]any{"n": 667}); err != nil {
			t.Fatal(err)
		}
		wantState(t, tc, room, 1)
	})
	t.Run("MX8 a packed key that differs from the encrypted one is refused", func(t *testing.T) {
		other := strings.Repeat("b", 26)
		as(packed, encrypt(boardType, &other))
		wantUntrusted(t, tc, room, "outer state key")
		key := testBoard
		as(packed, encrypt("com.educationpub.notes.content", &key))
		wantUntrusted(t, tc, room, "outer state key")
	})
	t.Run("MX8 a message sent as state is refused", func(t *testing.T) {
		as(packed, encrypt(boardType, nil))
		wantUntrusted(t, tc, room, "message")
	})
	t.Run("MX9 an event of somebody else is refused before it is decrypted, and reported", func(t *testing.T) {
		fresh()
		var ours event.EncryptedEventContent
		if err := teacher.State(ctx, room, "m.room.encrypted", packed, &ours); err != nil {
			t.Fatal(err)
		}
		key := testBoard
		// In this order: Dendrite answers a state event equal to the current one with that one.
		for _, content := range []any{member.encrypt(room, boardType, &key, map[string]any{"n": 666}), &ours} {
			if _, err := teacher.SendState(ctx, room, "m.room.encrypted", packed, content); err != nil {
				t.Fatal(err)
			}
			wantUntrusted(t, tc, room, "somebody else")
		}
		await(t, "OnOverwritten", 2*time.Second, func() bool { return tc.saw(&tc.lost, room+" "+boardType+" "+testBoard) })
		fresh()
	})
	t.Run("MX9 ciphertext replayed in another event of ours is refused", func(t *testing.T) {
		write(t, tc, room, 1)
		wantState(t, tc, room, 1)
		var ours event.EncryptedEventContent
		if err := teacher.State(ctx, room, "m.room.encrypted", packed, &ours); err != nil {
			t.Fatal(err)
		}
		write(t, tc, room, 2)
		as(packed, &ours)
		wantUntrusted(t, tc, room, "duplicate")
	})
	t.Run("MX8 an event without Megolm is refused", func(t *testing.T) {
		as(packed, map[string]any{"algorithm": "m.none", "n": 1})
		wantUntrusted(t, tc, room, "Megolm")
	})
	t.Run("MX5 a redacted event is refused and reported", func(t *testing.T) {
		tc.mu.Lock()
		tc.lost = nil
		tc.mu.Unlock()
		ev := write(t, tc, room, 3)
		await(t, "own event seen", 2*time.Second, func() bool {
			tc.view.mu.RLock()
			defer tc.view.mu.RUnlock()
			return tc.view.rooms[room].contents[stateID{boardType, testBoard}].event == ev
		})
		if err := teacher.Do(ctx, "PUT", "/_matrix/client/v3/rooms/"+room+"/redact/"+ev+"/txn1", map[string]any{}, nil); err != nil {
			t.Fatal(err)
		}
		await(t, "OnOverwritten", 2*time.Second, func() bool { return tc.saw(&tc.lost, room+" "+boardType+" "+testBoard) })
		wantUntrusted(t, tc, room, "")
		fresh()
	})
}

// What members say never reaches the companion's disk as a key.
func TestForeignKeysAreDropped(t *testing.T) {
	cfg := newAccount(t)
	tc := startCompanion(t, cfg)
	teacher := newUser(t, "teacher")
	room := newTestRoom(t, tc, teacher, true, newUser(t, "student").UserID)
	member := newDevice(t, teacher)
	write(t, tc, room, 1)
	t.Run("MX16 room keys of members are on no disk of the companion", func(t *testing.T) {
		e := member.encrypt(room, "m.room.message", nil, map[string]any{"msgtype": "m.text", "body": "hello"})
		await(t, "key arrived and dropped", 5*time.Second, func() bool { return tc.keys.dropped.Load() == 1 })
		session := e.SessionID
		if _, err := tc.keys.GetGroupSession(t.Context(), id.RoomID(room), session); err != nil {
			t.Error(err)
		}
		if f := contains(cfg.DataDir, session.String()); f != "" {
			t.Errorf("the member's session id is in %s", f)
		}
		// A forwarded key that claims to be the companion's own.
		igs, err := member.store.GetGroupSession(t.Context(), id.RoomID(room), session)
		if err != nil || igs == nil {
			t.Fatalf("member's own session: %v", err)
		}
		key, err := igs.Internal.Export(0)
		if err != nil {
			t.Fatal(err)
		}
		own := tc.machine.OwnIdentity()
		devices, err := member.mach.FetchKeys(t.Context(), []id.UserID{tc.user}, true)
		if err != nil {
			t.Fatal(err)
		}
		err = member.mach.SendEncryptedToDevice(t.Context(), devices[tc.user][own.DeviceID], event.ToDeviceForwardedRoomKey, event.Content{Parsed: &event.ForwardedRoomKeyEventContent{
			RoomKeyEventContent: event.RoomKeyEventContent{Algorithm: id.AlgorithmMegolmV1, RoomID: id.RoomID(room), SessionID: session, SessionKey: string(key)},
			SenderKey:           own.IdentityKey, SenderClaimedKey: own.SigningKey, ForwardingKeyChain: []string{},
		}})
		if err != nil {
			t.Fatal(err)
		}
		await(t, "forged key dropped", 5*time.Second, func() bool { return tc.keys.dropped.Load() == 2 })
		tc.stop(t)
		if f := contains(cfg.DataDir, session.String()); f != "" {
			t.Errorf("the member's session id is in %s", f)
		}
		if contains(cfg.DataDir, own.IdentityKey.String()) == "" {
			t.Error("the scan finds nothing at all: not even the companion's own sessions")
		}
	})
}

func TestLateKey(t *testing.T) {
	tc := startCompanion(t, newAccount(t))
	ctx := t.Context()
	teacher, late := newUser(t, "teacher"), newUser(t, "late")
	room := newTestRoom(t, tc, teacher, true)
	newDevice(t, teacher)
	write(t, tc, room, 1)
	early, err := tc.client.FullStateEvent(ctx, id.RoomID(room), encrypted, boardType+":"+testBoard)
	if err != nil {
		t.Fatal(err)
	}
	ev := write(t, tc, room, 2)
	newcomer := newDevice(t, late)
	read := func(m *matrixUser) func() bool {
		return func() bool {
			got, e, err := m.read(room, testBoard)
			return err == nil && string(got) == `{"n":2}` && e.ID.String() == ev
		}
	}

	t.Run("MX17 a newcomer reads the unchanged event", func(t *testing.T) {
		if err := teacher.Invite(ctx, room, late.UserID); err != nil {
			t.Fatal(err)
		}
		if err := late.Join(ctx, room); err != nil {
			t.Fatal(err)
		}
		t.Logf("join to readable: %s", await(t, "late key", 5*time.Second, read(newcomer)))
		early.Content.Parsed = new(event.EncryptedEventContent)
		if err := json.Unmarshal(early.Content.VeryRaw, early.Content.Parsed); err != nil {
			t.Fatal(err)
		}
		if _, err := newcomer.mach.DecryptMegolmEvent(ctx, early); err == nil {
			t.Error("the newcomer reads an event older than the current one")
		}
	})
	t.Run("MX17 a new device of a member reads it too", func(t *testing.T) {
		second, err := homeserver(t).Client(ctx, strings.TrimPrefix(strings.Split(late.UserID, ":")[0], "@"), late.Password, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("new device to readable: %s", await(t, "late key", 5*time.Second, read(newDevice(t, second))))
	})
	t.Run("MX17 a device without one-time keys gets the key when it has some", func(t *testing.T) {
		other := newUser(t, "slow")
		slow := newDevice(t, other)
		// Claim all of its one-time keys.
		for range 60 {
			if _, err := tc.client.ClaimKeys(ctx, claimOne(slow)); err != nil {
				t.Fatal(err)
			}
		}
		if err := teacher.Invite(ctx, room, other.UserID); err != nil {
			t.Fatal(err)
		}
		if err := other.Join(ctx, room); err != nil {
			t.Fatal(err)
		}
		await(t, "seen", 2*time.Second, func() bool { return tc.joined(room, other.UserID) })
		// Its next sync uploads new ones; the companion tries again.
		t.Logf("join to readable: %s", await(t, "late key after retry", 15*time.Second, read(slow)))
	})
	t.Run("MX18 who leaves does not get the next key", func(t *testing.T) {
		before := sessionOf(t, tc, room)
		if err := teacher.Kick(ctx, room, late.UserID, ""); err != nil {
			t.Fatal(err)
		}
		await(t, "kick seen", 2*time.Second, func() bool { return !tc.joined(room, late.UserID) })
		write(t, tc, room, 9)
		if sessionOf(t, tc, room) == before {
			t.Error("the session goes on after a member left")
		}
	})
	t.Run("MX19 when the saved key is gone the event must be written again", func(t *testing.T) {
		if _, err := tc.db.Exec(ctx, "DELETE FROM lectern_state_key"); err != nil {
			t.Fatal(err)
		}
		tc.late.look(room)
		await(t, "OnNeedsRewrite", 5*time.Second, func() bool { return tc.saw(&tc.rewrite, room+" "+boardType+" "+testBoard) })
	})
}

func sessionOf(t *testing.T, tc *testCompanion, room string) id.SessionID {
	t.Helper()
	s, err := tc.keys.GetOutboundGroupSession(t.Context(), id.RoomID(room))
	if err != nil || s == nil {
		t.Fatalf("outbound session: %v", err)
	}
	return s.ID()
}

func TestLostDatabase(t *testing.T) {
	cfg := newAccount(t)
	tc := startCompanion(t, cfg)
	teacher := newUser(t, "teacher")
	room := newTestRoom(t, tc, teacher, true)
	member := newDevice(t, teacher)
	write(t, tc, room, 1)
	device := tc.client.DeviceID
	old := tc.backup.Load()
	// Whoever can write to the backup plants a session: the public key is all it takes.
	member.encrypt(room, "m.room.message", nil, map[string]any{"body": "x"})
	igs, err := member.store.GetAllGroupSessions(t.Context()).AsList()
	if err != nil {
		t.Fatal(err)
	}
	planted := 0
	evil := newKeyBackup(old.key)
	evil.mac, evil.version = []byte("a guess"), old.version
	for _, g := range igs {
		if g.SenderKey != tc.keys.identity {
			if err := tc.putSession(t.Context(), evil, g); err != nil {
				t.Fatal(err)
			}
			planted++
		}
	}
	if planted == 0 {
		t.Fatal("nothing planted")
	}
	tc.stop(t)
	if err := os.RemoveAll(cfg.DataDir + "/companion.db"); err != nil {
		t.Fatal(err)
	}

	t.Run("MX20 the recovery key brings back what was written", func(t *testing.T) {
		start := time.Now()
		again := startCompanion(t, cfg)
		t.Logf("login and restore: %s", time.Since(start))
		if again.client.DeviceID == device {
			t.Error("the device id was used again")
		}
		wantState(t, again, room, 1)
		if again.keys.dropped.Load() != 0 {
			t.Errorf("dropped %d", again.keys.dropped.Load())
		}
		for _, g := range igs {
			if g.SenderKey != tc.keys.identity {
				if s, err := again.keys.GetGroupSession(t.Context(), id.RoomID(room), g.ID()); s != nil || err != nil && !errors.Is(err, crypto.ErrGroupSessionWithheld) {
					t.Errorf("the planted session was imported (%v)", err)
				}
			}
		}
		write(t, again, room, 2)
		wantState(t, again, room, 2)
		member.awaits(room, `{"n":2}`)
		again.stop(t)
		third := startCompanion(t, cfg)
		wantState(t, third, room, 2)
	})

	t.Run("MX20 without the recovery key nothing is written that nobody could restore", func(t *testing.T) {
		lost := cfg
		lost.DataDir = t.TempDir()
		c := startCompanion(t, lost)
		await(t, "room seen", 2*time.Second, func() bool { return c.joined(room, teacher.UserID) })
		_, err := c.WriteState(t.Context(), room, boardType, testBoard, json.RawMessage(`{}`))
		wantKind(t, err, "Unreachable")
		wantUntrusted(t, c, room, "key")
	})
}
