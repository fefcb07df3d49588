package matrix

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/educationpub/lectern/server/checkpoint"
)

func TestMedia(t *testing.T) {
	tc := startCompanion(t, newAccount(t))
	ctx := t.Context()
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	copyOf := bytes.Clone(data)
	file, err := tc.Upload(ctx, data)
	if err != nil {
		t.Fatal(err)
	}
	var f map[string]any
	if err := json.Unmarshal(file, &f); err != nil {
		t.Fatal(err)
	}
	change := func(edit func(m map[string]any)) json.RawMessage {
		var m map[string]any
		_ = json.Unmarshal(file, &m)
		edit(m)
		b, _ := json.Marshal(m)
		return b
	}

	t.Run("MX24 an attachment comes back as it went, encrypted on the way", func(t *testing.T) {
		got, err := tc.Download(ctx, file, 1<<20)
		if err != nil || !bytes.Equal(got, data) || !bytes.Equal(data, copyOf) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if f["v"] != "v2" || f["url"] == "" {
			t.Errorf("EncryptedFile: %v", f)
		}
		if where := contains(homeserver(t).Dir(), string(data[1000:1032])); where != "" {
			t.Errorf("clear bytes in %s", where)
		}
	})
	t.Run("MX24 what is not as stated is not to be used", func(t *testing.T) {
		for what, bad := range map[string]json.RawMessage{
			"hash": change(func(m map[string]any) {
				m["hashes"] = map[string]string{"sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}
			}),
			"short": change(func(m map[string]any) { m["hashes"] = map[string]string{"sha256": "AA"} }),
			"v1":    change(func(m map[string]any) { m["v"] = "v1" }),
			"url":   change(func(m map[string]any) { m["url"] = "https://evil.example/x" }),
			"empty": change(func(m map[string]any) { m["url"] = "" }),
			"key":   change(func(m map[string]any) { delete(m, "key") }),
			"json":  json.RawMessage(`[]`),
		} {
			if got, err := tc.Download(ctx, bad, 1<<20); !errors.Is(err, checkpoint.ErrUntrusted) {
				t.Errorf("%s: %d bytes, %v", what, len(got), err)
			}
		}
		if _, err := tc.Download(ctx, file, 1<<20-1); !errors.Is(err, checkpoint.ErrUntrusted) {
			t.Errorf("over the limit: %v", err)
		}
		gone := change(func(m map[string]any) { m["url"] = "mxc://localhost/nothinghere" })
		_, err := tc.Download(ctx, gone, 1<<20)
		wantKind(t, err, "Unreachable")
	})
	t.Run("MX24 an upload over the homeserver's limit is refused before it is sent", func(t *testing.T) {
		var uploads int
		c := bare(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				uploads++
			}
			_, _ = w.Write([]byte(`{"m.upload.size":100}`))
		})
		_, err := c.Upload(ctx, make([]byte, 101))
		wantKind(t, err, "TooLarge")
		if uploads != 0 {
			t.Error("it was sent")
		}
	})
}

func TestAcceptedCompanion(t *testing.T) {
	first := startCompanion(t, newAccount(t))
	cfg := newAccount(t)
	cfg.Accepts = []string{first.UserID()}
	second := startCompanion(t, cfg)
	third := startCompanion(t, newAccount(t))
	teacher := newUser(t, "teacher")
	room := newTestRoom(t, first, teacher, true, second.UserID(), third.UserID())
	for _, c := range []*testCompanion{second, third} {
		await(t, "joined", 5e9, func() bool { return c.joined(room, c.UserID()) && c.Encrypted(room) && first.joined(room, c.UserID()) })
	}
	write(t, first, room, 1)
	t.Run("MX25 a companion reads what a companion it accepts wrote, and no other", func(t *testing.T) {
		await(t, "readable", 5e9, func() bool {
			s, err := second.ReadState(t.Context(), room, boardType, testBoard)
			return err == nil && string(s.Content) == `{"n":1}` && s.Sender == first.UserID()
		})
		wantUntrusted(t, third, room, "somebody else")
	})
	t.Run("MX26 what an accepted companion writes is reported, to those who accept it", func(t *testing.T) {
		const typ = "com.educationpub.whiteboard.leftovers"
		key := testBoard + ".log1"
		if _, err := first.WriteState(t.Context(), room, typ, key, json.RawMessage(`{"n":2}`)); err != nil {
			t.Fatal(err)
		}
		for _, what := range []string{boardType + " " + testBoard, typ + " " + key} {
			await(t, "OnWritten", 5e9, func() bool { return second.saw(&second.written, room+" "+what) })
			await(t, "OnOverwritten", 5e9, func() bool { return third.saw(&third.lost, room+" "+what) })
		}
		if first.saw(&first.written, room+" "+typ+" "+key) || third.saw(&third.written, room+" "+typ+" "+key) {
			t.Error("reported to its author, or to somebody who does not accept it")
		}
		await(t, "readable", 5e9, func() bool {
			s, err := second.ReadState(t.Context(), room, typ, key)
			return err == nil && string(s.Content) == `{"n":2}`
		})
	})
}
