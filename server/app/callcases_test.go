package app

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/focus"
	"github.com/educationpub/lectern/server/focus/focustest"
)

// TestCallRequests is the table of what the token service answers to what.
func TestCallRequests(t *testing.T) {
	w, sfu, _ := callWorld(t)
	ctx := t.Context()
	ada := w.user(1)
	openID := func() devstack.OpenID {
		id, err := ada.OpenID(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	today := func(change map[string]any) map[string]any {
		b := map[string]any{"room": w.ready.RoomID, "openid_token": openID(), "device_id": "PHONE"}
		maps.Copy(b, change)
		return b
	}
	member := func(change map[string]any) map[string]any {
		m := map[string]any{"id": "member", "claimed_user_id": ada.UserID, "claimed_device_id": "PHONE"}
		maps.Copy(m, change)
		return m
	}
	next := func(change map[string]any) map[string]any {
		b := map[string]any{"room_id": w.ready.RoomID, "slot_id": focus.Slot, "openid_token": openID(), "member": member(nil)}
		maps.Copy(b, change)
		return b
	}
	const sfuGet, getToken = "/livekit/jwt/sfu/get", "/livekit/jwt/get_token"
	type o = map[string]any
	token := func(server, access string) o {
		return o{"access_token": access, "token_type": "Bearer", "matrix_server_name": server, "expires_in": 3600}
	}
	for _, c := range []struct {
		name, path string
		body       any
		status     int
		errcode    string
	}{
		{"as Element Call asks", sfuGet, today(nil), 200, ""},
		{"with fields that are not known", sfuGet, today(o{"delay_id": "x", "delay_timeout": 8000, "later": o{}}), 200, ""},
		{"no room", sfuGet, today(o{"room": ""}), 400, "M_BAD_JSON"},
		{"a room that is a number", sfuGet, today(o{"room": 5}), 400, "M_BAD_JSON"},
		{"a room that is an alias", sfuGet, today(o{"room": "#class:localhost"}), 400, "M_BAD_JSON"},
		{"a room with a line break", sfuGet, today(o{"room": "!a\n:localhost"}), 400, "M_BAD_JSON"},
		{"a room of 300 characters", sfuGet, today(o{"room": "!" + strings.Repeat("a", 300) + ":localhost"}), 400, "M_BAD_JSON"},
		{"another room", sfuGet, today(o{"room": "!elsewhere:localhost"}), 403, "M_FORBIDDEN"},
		{"no device", sfuGet, today(o{"device_id": ""}), 400, "M_BAD_JSON"},
		{"a device that would read as a server", sfuGet, today(o{"device_id": "8448:PHONE"}), 400, "M_BAD_JSON"},
		{"a device of 300 characters", sfuGet, today(o{"device_id": strings.Repeat("D", 300)}), 400, "M_BAD_JSON"},
		{"no token", sfuGet, today(o{"openid_token": nil}), 400, "M_BAD_JSON"},
		{"a token that is a string", sfuGet, today(o{"openid_token": "x"}), 400, "M_BAD_JSON"},
		{"a token without a server", sfuGet, today(o{"openid_token": token("", "x")}), 400, "M_BAD_JSON"},
		{"an empty token", sfuGet, today(o{"openid_token": token(w.ready.ServerName, "")}), 400, "M_BAD_JSON"},
		{"a made-up token", sfuGet, today(o{"openid_token": token(w.ready.ServerName, "x")}), 401, "M_UNAUTHORIZED"},
		{"a server inside", sfuGet, today(o{"openid_token": token("127.0.0.1:22", "x")}), 401, "M_UNAUTHORIZED"},
		{"a server with a path", sfuGet, today(o{"openid_token": token("localhost/x", "x")}), 401, "M_UNAUTHORIZED"},
		{"a server of another scheme", sfuGet, today(o{"openid_token": token("file:///etc/passwd", "x")}), 401, "M_UNAUTHORIZED"},
		{"a server with credentials", sfuGet, today(o{"openid_token": token("a@localhost", "x")}), 401, "M_UNAUTHORIZED"},
		{"nothing", sfuGet, json.RawMessage(``), 400, "M_NOT_JSON"},
		{"half of it", sfuGet, json.RawMessage(`{"room":`), 400, "M_NOT_JSON"},
		{"a list", sfuGet, json.RawMessage(`[]`), 400, "M_BAD_JSON"},
		{"null", sfuGet, json.RawMessage(`null`), 400, "M_BAD_JSON"},
		{"17 KiB", sfuGet, today(o{"later": strings.Repeat("x", 17<<10)}), 413, "M_TOO_LARGE"},

		{"as MSC4195 has it", getToken, next(nil), 200, ""},
		{"with fields that are not known", getToken, next(o{"later": true}), 200, ""},
		{"no room", getToken, next(o{"room_id": ""}), 400, "M_BAD_JSON"},
		{"no slot", getToken, next(o{"slot_id": ""}), 400, "M_BAD_JSON"},
		{"another slot", getToken, next(o{"slot_id": "m.call#OTHER"}), 400, "M_BAD_JSON"},
		{"no member", getToken, next(o{"member": nil}), 400, "M_BAD_JSON"},
		{"a member without an id", getToken, next(o{"member": member(o{"id": ""})}), 400, "M_BAD_JSON"},
		{"a member without a device", getToken, next(o{"member": member(o{"claimed_device_id": ""})}), 400, "M_BAD_JSON"},
		{"a member without a person", getToken, next(o{"member": member(o{"claimed_user_id": ""})}), 400, "M_BAD_JSON"},
		{"in somebody else's name", getToken, next(o{"member": member(o{"claimed_user_id": w.user(0).UserID})}), 401, "M_UNAUTHORIZED"},
		{"in one's name, written otherwise", getToken, next(o{"member": member(o{"claimed_user_id": strings.ToUpper(ada.UserID[:2]) + ada.UserID[2:]})}), 401, "M_UNAUTHORIZED"},
		{"today's fields", getToken, today(nil), 400, "M_BAD_JSON"},
		{"a delegation, empty", "/livekit/jwt/delegate_delayed_leave", json.RawMessage(``), 404, "M_NOT_FOUND"},
	} {
		b, err := json.Marshal(c.body)
		if raw, ok := c.body.(json.RawMessage); ok {
			b, err = raw, nil
		}
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(w.ready.Lectern+c.path, "application/json", bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		var out map[string]any
		if err := json.Unmarshal(answer, &out); err != nil {
			t.Errorf("FO2 %s %s: %d %s", c.path, c.name, resp.StatusCode, answer)
			continue
		}
		if resp.StatusCode != c.status || c.errcode != "" && (out["errcode"] != c.errcode || out["error"] == "" || out["code"] == "") || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("FO2 %s %s: got %d %s, want %d %s", c.path, c.name, resp.StatusCode, answer, c.status, c.errcode)
		}
		if c.status != 200 {
			continue
		}
		claims, err := sfu.Credentials().Check(out["jwt"].(string), time.Now())
		if err != nil || claims.Video.Room != focus.Alias(w.ready.RoomID, focus.Slot) || !claims.Video.RoomJoin || claims.Video.RoomCreate || claims.Video.RoomAdmin || claims.Expires-time.Now().Unix() > 61 {
			t.Errorf("FO5 %s %s: %+v, %v", c.path, c.name, claims, err)
		}
	}
	for _, path := range []string{sfuGet, getToken} {
		resp, err := http.Get(w.ready.Lectern + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("FO2 GET %s: %d", path, resp.StatusCode)
		}
	}
	// A flood of one person is that person's alone.
	var refused map[string]any
	for range 40 {
		if status, out := w.callToken(ada, w.ready.RoomID, "PHONE"); status == 429 {
			refused = out
			break
		}
	}
	if refused["errcode"] != "M_LIMIT_EXCEEDED" || refused["retry_after_ms"] == nil {
		t.Errorf("FO3 a flood: %v", refused)
	}
	if status, out := w.callToken(w.user(2), w.ready.RoomID, "PHONE"); status != 200 {
		t.Errorf("FO3 somebody else meanwhile: %d %v", status, out)
	}
}

// TestCallServerSlow has a LiveKit whose API answers after seconds: a fault that a real one does not have on demand, so a proxy stands before it.
func TestCallServerSlow(t *testing.T) {
	var slow atomic.Bool
	var behind atomic.Pointer[httputil.ReverseProxy]
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if slow.Load() {
			select {
			case <-time.After(7 * time.Second): // longer than Lectern waits
			case <-r.Context().Done():
				return
			}
		}
		if p := behind.Load(); p != nil {
			p.ServeHTTP(rw, r)
			return
		}
		http.Error(rw, "not yet", http.StatusServiceUnavailable)
	}))
	t.Cleanup(proxy.Close)
	w, _, lk := callWorld(t, func(o *DevOptions) { o.Calls.LiveKitAPI = proxy.URL })
	to, err := url.Parse("http" + strings.TrimPrefix(lk.URL(), "ws"))
	if err != nil {
		t.Fatal(err)
	}
	behind.Store(httputil.NewSingleHostReverseProxy(to))
	ada := w.user(1)
	pollEvery(t, 200*time.Millisecond, "a token", 15*time.Second, func() bool { s, _ := w.callToken(ada, w.ready.RoomID, "PHONE"); return s == 200 })
	slow.Store(true)
	began := time.Now()
	status, out := w.callToken(ada, w.ready.RoomID, "PHONE")
	took := time.Since(began)
	if status != 503 || out["code"] != "call_server_down" || took > 30*time.Second {
		t.Errorf("FO12 got %d %v after %v", status, out, took)
	}
	t.Logf("a token is refused after %v", took.Round(time.Millisecond))
	began = time.Now()
	if status, out, err := w.signIn(t.Context(), ada, w.ready.RoomID, w.ready.Widgets[0].ID); err != nil || status != 200 {
		t.Errorf("FO12 a board meanwhile: %d %v %v", status, out, err)
	}
	t.Logf("a board is opened meanwhile in %v", time.Since(began).Round(time.Millisecond))
	slow.Store(false)
	pollEvery(t, 200*time.Millisecond, "tokens again", 30*time.Second, func() bool { s, _ := w.callToken(ada, w.ready.RoomID, "PHONE"); return s == 200 })
}

var callStale = flag.Bool("callstale", false, "run TestCallStaleMemberships, which waits for more than a minute")

// TestCallStaleMemberships: who is gone without a goodbye does not stand in the room for four hours. Dendrite has no delayed events, so Lectern does it.
func TestCallStaleMemberships(t *testing.T) {
	if !*callStale {
		t.Skip("waits for more than a minute: make call-load")
	}
	w, _, _ := callWorld(t)
	c := &callRoom{w, t, w.ready.RoomID}
	ada, ben, teacher := w.user(1), w.user(2), w.user(0)
	say := func(who *devstack.Client, device string) func() bool {
		key := "_" + who.UserID + "_" + device + "_m.call"
		member := map[string]any{"application": "m.call", "call_id": "", "scope": "m.room", "device_id": device, "expires": 14_400_000, "foci_preferred": []any{map[string]any{"type": "livekit", "livekit_service_url": w.ready.Lectern + "/livekit/jwt"}}}
		if _, err := who.SendState(t.Context(), c.room, focus.MembershipType, key, member); err != nil {
			t.Fatal(err)
		}
		return func() bool {
			var content map[string]any
			if err := teacher.State(t.Context(), c.room, focus.MembershipType, key, &content); err != nil {
				t.Fatal(err)
			}
			return len(content) == 0
		}
	}
	c.mustJoin(teacher, "DESK", focustest.Microphone) // the call goes on
	crashes := c.mustJoin(ada, "PHONE", focustest.Microphone)
	stays := c.mustJoin(ada, "TABLET", focustest.Microphone)
	crashed, here, never := say(ada, "PHONE"), say(ada, "TABLET"), say(ben, "LAPTOP")
	time.Sleep(6 * time.Second) // seen as connected
	crashes.Close()
	began := time.Now()
	after := map[string]time.Duration{}
	pollEvery(t, 200*time.Millisecond, "both to be emptied", 3*time.Minute, func() bool {
		for name, empty := range map[string]func() bool{"crashed": crashed, "never came": never} {
			if after[name] == 0 && empty() {
				after[name] = time.Since(began).Round(100 * time.Millisecond)
			}
		}
		return len(after) == 2
	})
	t.Logf("emptied: %v", after)
	if here() {
		t.Error("FO8 a device that is there was emptied")
	}
	stays.Leave()
}
