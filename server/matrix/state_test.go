package matrix

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/checkpoint"
)

func TestEncryptedStateAcrossRestart(t *testing.T) {
	whole := t
	cfg := newAccount(t)
	tc := startCompanion(t, cfg)
	teacher := newUser(t, "teacher")
	room := newTestRoom(t, tc, teacher, true)
	if _, err := tc.ReadState(t.Context(), room, boardType, testBoard); !errors.Is(err, checkpoint.ErrNoState) {
		t.Fatalf("no state yet: got %v", err)
	}
	device := newDevice(t, teacher)

	t.Run("MX1 what is written is read back and read by a member", func(t *testing.T) {
		start := time.Now()
		write(t, tc, room, 1)
		t.Logf("first write with sharing and backup: %s", time.Since(start))
		wantState(t, tc, room, 1)
		device.awaits(room, `{"n":1}`)
		start = time.Now()
		write(t, tc, room, 2)
		t.Logf("second write: %s", time.Since(start))
		var raw map[string]any
		if err := teacher.State(t.Context(), room, "m.room.encrypted", boardType+":"+testBoard, &raw); err != nil || raw["algorithm"] != "m.megolm.v1.aes-sha2" {
			t.Fatalf("in the room: %v, %v", raw, err)
		}
	})

	t.Run("MX2 after a restart the device is the same and reads and writes on", func(t *testing.T) {
		device0 := tc.client.DeviceID
		tc.stop(t)
		start := time.Now()
		tc = startCompanion(whole, cfg)
		t.Logf("restart: %s", time.Since(start))
		if tc.client.DeviceID != device0 {
			t.Fatalf("device: got %s, want %s", tc.client.DeviceID, device0)
		}
		wantState(t, tc, room, 2)
		write(t, tc, room, 3)
		wantState(t, tc, room, 3)
		device.awaits(room, `{"n":3}`)
	})

	t.Run("MX3 secrets are not readable in companion.db", func(t *testing.T) {
		token := tc.client.AccessToken
		if f := contains(cfg.DataDir, token); f != "" {
			t.Errorf("the access token is in %s", f)
		}
		if f := contains(cfg.DataDir, `{"n":3}`); f != "" {
			t.Errorf("content is in %s", f)
		}
		for _, f := range []string{"companion.db", "companion.db-wal", "companion.key", "recovery-key.txt"} {
			info, err := os.Stat(filepath.Join(cfg.DataDir, f))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", f, info, err)
			}
		}
	})
}
