package matrix

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

func TestCallMemberships(t *testing.T) {
	now := time.Now()
	content := func(change string) string {
		c := map[string]any{
			"application": "m.call", "call_id": "", "device_id": "PHONE", "expires": 14400000, "created_ts": now.UnixMilli(),
			"foci_preferred": []any{map[string]any{"type": "livekit", "livekit_service_url": "https://l.example/livekit/jwt"}},
		}
		if change != "" {
			if err := json.Unmarshal([]byte(change), &c); err != nil {
				t.Fatal(err)
			}
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct {
		name, key, sender, content string
		ok                         bool
	}{
		{"as Element Call writes it", "_@ada:example.org_PHONE_m.call", "@ada:example.org", content(""), true},
		{"in a room where keys are their owner's", "@ada:example.org_PHONE_m.call", "@ada:example.org", content(""), true},
		{"with fields nobody knows", "_@ada:example.org_PHONE", "@ada:example.org", content(`{"later":[1]}`), true},
		{"written about somebody else", "_@ada:example.org_PHONE_m.call", "@mallory:example.org", content(""), false},
		{"of a name that begins like another", "_@ada:example.organisation_PHONE", "@ada:example.org", content(""), false},
		{"left", "_@ada:example.org_PHONE_m.call", "@ada:example.org", `{}`, false},
		{"no object", "_@ada:example.org_PHONE_m.call", "@ada:example.org", `[]`, false},
		{"another application", "_@ada:example.org_PHONE", "@ada:example.org", content(`{"application":"m.game"}`), false},
		{"no device", "_@ada:example.org_PHONE", "@ada:example.org", content(`{"device_id":""}`), false},
		{"a device that is a number", "_@ada:example.org_PHONE", "@ada:example.org", content(`{"device_id":7}`), false},
	} {
		t.Run("FO11 "+c.name, func(t *testing.T) {
			r := newRoom()
			r.applyCall(&stateEvent{ID: "$e", Type: "x", Key: &c.key, Sender: c.sender, Content: json.RawMessage(c.content), At: now.UnixMilli()})
			if m, ok := r.calls[c.key]; ok != c.ok || ok && (m.Person != c.sender || m.Device != "PHONE" || m.Focus != "https://l.example/livekit/jwt") {
				t.Errorf("got %+v, %v", m, ok)
			}
		})
	}
	t.Run("FO11 it lasts as long as it says, a day at most, and not from the future", func(t *testing.T) {
		key := "_@ada:example.org_PHONE"
		for change, want := range map[string]time.Duration{
			`{"expires":60000}`: time.Minute,
			`{"expires":0}`:     defaultExpiry,
			`{"expires":1e12}`:  longestExpiry,
			fmt.Sprintf(`{"created_ts":%d,"expires":60000}`, now.Add(time.Hour).UnixMilli()): time.Minute,
		} {
			m, ok := parseCall(&stateEvent{Key: &key, Sender: "@ada:example.org", Content: json.RawMessage(content(change))})
			if left := m.Expires.Sub(now); !ok || left < want-time.Second || left > want+time.Minute {
				t.Errorf("%s: %v, lasts %v, want %v", change, ok, left, want)
			}
		}
	})
	t.Run("FO11 at most 500", func(t *testing.T) {
		r := newRoom()
		for i := range maxCalls + 10 {
			key := fmt.Sprintf("_@ada:example.org_%d", i)
			r.applyCall(&stateEvent{Key: &key, Sender: "@ada:example.org", Content: json.RawMessage(content(""))})
		}
		if len(r.calls) != maxCalls {
			t.Errorf("got %d", len(r.calls))
		}
	})
}
