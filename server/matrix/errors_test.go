package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/checkpoint"
)

// bare is a companion that talks to a fake homeserver and knows one plain room; no crypto, no sync.
func bare(t *testing.T, h http.HandlerFunc) *Companion {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(Config{Homeserver: s.URL, UserID: "@lectern:example.org", DataDir: t.TempDir(), WidgetBases: []string{testBase}})
	if err != nil {
		t.Fatal(err)
	}
	if c.client, err = mautrix.NewClient(s.URL, id.UserID(c.UserID()), "secret-token"); err != nil {
		t.Fatal(err)
	}
	c.client.StateStore = nil
	c.client.IgnoreRateLimit = true
	c.view.sticky = map[string]bool{}
	c.view.rooms["!r:example.org"] = newRoom()
	c.view.rooms["!r:example.org"].members[c.UserID()] = member{joined: true}
	return c
}

func TestRequestErrors(t *testing.T) {
	t.Run("MX21 failed requests are classified by status", func(t *testing.T) {
		for _, tt := range []struct {
			status int
			body   string
			kind   string
			after  time.Duration
		}{
			{413, `{"errcode":"M_BAD_JSON","error":"event is too long"}`, "TooLarge", 0},
			{413, `{"errcode":"M_TOO_LARGE","error":"event too large"}`, "TooLarge", 0},
			{413, `nginx`, "TooLarge", 0},
			{429, `{"errcode":"M_LIMIT_EXCEEDED","error":"slow","retry_after_ms":1500}`, "RateLimited", 1500 * time.Millisecond},
			{429, `{}`, "RateLimited", time.Second},
			{429, `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":-5}`, "RateLimited", time.Second},
			{403, `{"errcode":"M_FORBIDDEN","error":"sender @lectern:example.org in !r:example.org: 0 < 50"}`, "Forbidden", 0},
			{401, `{"errcode":"M_UNKNOWN_TOKEN","error":"gone"}`, "Revoked", 0},
			{500, `oops`, "Failing", 0},
			{502, `{"errcode":"M_UNKNOWN"}`, "Failing", 0},
		} {
			c := bare(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			})
			_, err := c.WriteState(t.Context(), "!r:example.org", boardType, testBoard, json.RawMessage(`{"n":1}`))
			wantKind(t, err, tt.kind)
			var re *checkpoint.RoomError
			if errors.As(err, &re) && re.RetryAfter != tt.after {
				t.Errorf("%d %s: retry after %s, want %s", tt.status, tt.body, re.RetryAfter, tt.after)
			}
			for _, secret := range []string{"secret-token", "http://", `"n"`, "@lectern", "!r"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error holds %q: %v", secret, err)
				}
			}
		}
	})
	t.Run("MX21 a homeserver that is away, or too slow", func(t *testing.T) {
		c := bare(t, func(http.ResponseWriter, *http.Request) {})
		c.client.HomeserverURL.Host = "127.0.0.1:1"
		_, err := c.ReadState(t.Context(), "!r:example.org", boardType, testBoard)
		wantKind(t, err, "Unreachable")
		if _, err = c.Confirm(t.Context(), "!r:example.org", "@ada:example.org"); err == nil {
			t.Error("Confirm answers without a homeserver")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.Upload(ctx, []byte("x"))
		wantKind(t, err, "Unreachable")
	})
	t.Run("MX5 a homeserver that answers another event than asked is not believed", func(t *testing.T) {
		c := bare(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"type":"` + boardType + `","state_key":"other","sender":"@lectern:example.org","event_id":"$e","content":{"n":1}}`))
		})
		if _, err := c.ReadState(t.Context(), "!r:example.org", boardType, testBoard); !errors.Is(err, checkpoint.ErrUntrusted) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("MX22 a companion that is not in the room writes nothing", func(t *testing.T) {
		var asked atomic.Int64
		c := bare(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
		_, err := c.WriteState(t.Context(), "!elsewhere:example.org", boardType, testBoard, json.RawMessage(`{}`))
		wantKind(t, err, "Forbidden")
		if asked.Load() != 0 {
			t.Error("the homeserver was asked")
		}
	})
}

func TestSyncSurvivesBadEvents(t *testing.T) {
	t.Run("MX23 malformed events change nothing and stop nothing", func(t *testing.T) {
		c := bare(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"next_batch":"s1","rooms":{"join":{"!r:example.org":{"state":{"events":[
				7, null, {"type":5}, {"type":"m.room.member","state_key":"@a:x","content":7}, {"type":"m.room.member","state_key":"@b:x","content":{"membership":["join"]}},
				{"type":"m.room.member","state_key":"@c:x","content":{"membership":"join","displayname":{"a":1}}},
				{"type":"m.room.create","state_key":"","sender":"@c:x","content":{"room_version":"12","additional_creators":"x"}},
				{"type":"m.room.power_levels","state_key":"","content":{"users":{"@c:x":"abc"}}},
				{"type":"m.widget","state_key":"w","content":{"url":["x"],"data":5}},
				{"type":"m.room.redaction","redacts":{"a":1},"content":{"redacts":[1]}},
				{"type":"m.room.encrypted","state_key":"` + boardType + `:x","content":"x"}
			]}}}}}`))
		})
		resp, err := c.syncOnce(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		c.handle(t.Context(), resp)
		for user, joined := range map[string]bool{"@a:x": false, "@b:x": false, "@c:x": true} {
			if s, ok := c.Standing("!r:example.org", user); !ok || s.Joined != joined || s.Complete || s.Power != 0 {
				t.Errorf("%s: %+v, %v", user, s, ok)
			}
		}
		if _, ok := c.Widget("!r:example.org", "w"); ok {
			t.Error("a malformed widget counts")
		}
	})
	t.Run("MX10 levels that do not parse take everybody's power", func(t *testing.T) {
		for content, ok := range map[string]bool{
			`{"users":{"@a:x":50},"users_default":-1}`: true, `{"users":{"@a:x":"50"},"kick":"30"}`: true, `{}`: true,
			`{"users":{"@a:x":50.5}}`: false, `{"users":[]}`: false, `{"events_default":null}`: false, `{"users":{"@a:x":1e300}}`: false, `[]`: false, `{"state_default":"ten"}`: false, `{"users":{"@a:x":null}}`: false,
		} {
			if p, err := parseLevels([]byte(content)); (err == nil) != ok {
				t.Errorf("%s: %+v, %v", content, p, err)
			}
		}
		p, _ := parseLevels([]byte(`{"users":{"@a:x":"50"},"users_default":-1,"events":{"t":7},"kick":30}`))
		if got := power(&creation{}, p, "@a:x"); got != 50 {
			t.Errorf("power: %d", got)
		}
		if got := power(&creation{}, p, "@b:x"); got != -1 || p.Kick != 30 || p.Events["t"] != 7 || p.StateDefault != 50 {
			t.Errorf("%d %+v", got, p)
		}
	})
}

func TestLateSchedule(t *testing.T) {
	t.Run("MX17 a class that joins at once is one look", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var l lateKeys
			l.init()
			for range 30 {
				l.look("!a")
				time.Sleep(20 * time.Millisecond)
			}
			if rooms, next := l.take(); len(rooms) != 0 || next != lateDebounce-600*time.Millisecond {
				t.Errorf("too early: %v, next %s", rooms, next)
			}
			time.Sleep(lateDebounce)
			if rooms, _ := l.take(); len(rooms) != 1 {
				t.Errorf("due: %v", rooms)
			}
			for want := 2 * time.Second; want < 3*lateMaxBackoff; want *= 2 {
				l.again("!a")
				if _, next := l.take(); next != min(want, lateMaxBackoff) {
					t.Errorf("retry after %s, want %s", next, want)
				}
				time.Sleep(min(want, lateMaxBackoff))
				l.take()
			}
			l.again("!a")
			l.look("!a")
			if _, next := l.take(); next != lateDebounce {
				t.Errorf("a newcomer waits %s", next)
			}
			for i := range 10 {
				l.look(string(rune('b' + i)))
			}
			time.Sleep(lateDebounce)
			if rooms, next := l.take(); len(rooms) != lateRooms || next != 0 {
				t.Errorf("%v, %s", rooms, next)
			}
		})
	})
}
