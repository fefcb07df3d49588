package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/educationpub/lectern/server/config"
	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/focus"
	"github.com/educationpub/lectern/server/focus/livekit"
)

// callWorld is a world with a real LiveKit.
func callWorld(t *testing.T, change ...func(*DevOptions)) (*world, *livekit.Client, *devstack.LiveKit) {
	t.Helper()
	l, err := listen(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := port(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	lk, err := devstack.StartLiveKit(t.Context(), devstack.LiveKitOptions{Dir: dir, Webhook: fmt.Sprintf("http://localhost:%d/livekit/sfu_webhook", at)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lk.Stop)
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(lk.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	sfu, err := livekit.NewClient(lk.URL(), livekit.Credentials{Key: lk.Key, Secret: []byte(lk.Secret)})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *DevOptions) {
		o.Port, o.Calls = at, config.Calls{LiveKitURL: lk.URL(), Key: lk.Key, SecretFile: secret}
		for _, f := range change {
			f(o)
		}
	})
	return w, sfu, lk
}

// token asks as Element Call does. It answers the status and the decoded answer.
func (w *world) callToken(c *devstack.Client, room, device string) (int, map[string]any) {
	w.t.Helper()
	id, err := c.OpenID(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return w.callPost("/livekit/jwt/sfu/get", map[string]any{"room": room, "openid_token": id, "device_id": device, "later": true})
}

func (w *world) callPost(path string, body any) (int, map[string]any) {
	w.t.Helper()
	return postJSON(w.t, w.ready.Lectern+path, body)
}

// postJSON answers the status and the decoded answer.
func postJSON(t testing.TB, address string, body any) (int, map[string]any) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(address, "application/json", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, out
}

// joinCall connects to LiveKit's signalling, which makes a participant; media are not needed for that. gone is closed when LiveKit ends the connection.
func joinCall(t testing.TB, address, jwt string) (gone chan struct{}, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c, _, err := websocket.Dial(ctx, address+"/rtc?"+url.Values{"access_token": {jwt}, "protocol": {"15"}, "auto_subscribe": {"1"}}.Encode(), nil)
	if err != nil {
		cancel()
		return nil, err
	}
	gone = make(chan struct{})
	go func() { // ends with the connection, joined by the cleanup
		defer close(gone)
		for {
			if _, _, err := c.Read(ctx); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-gone })
	return gone, nil
}

func TestCallAdmission(t *testing.T) {
	w, sfu, lk := callWorld(t)
	ctx := t.Context()
	teacher, ada, ben := w.user(0), w.user(1), w.user(2)
	room, alias := w.ready.RoomID, focus.Alias(w.ready.RoomID, focus.Slot)
	in := func(person string) bool {
		l, err := sfu.ListParticipants(ctx, alias)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range l {
			if strings.HasPrefix(p.Identity, person+":") {
				return true
			}
		}
		return false
	}

	t.Run("FO2 FO3 requests", func(t *testing.T) {
		id, err := ada.OpenID(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			path    string
			body    map[string]any
			status  int
			errcode string
		}{
			"no fields":        {"/livekit/jwt/sfu/get", map[string]any{}, 400, "M_BAD_JSON"},
			"a colon in it":    {"/livekit/jwt/sfu/get", map[string]any{"room": room, "openid_token": id, "device_id": "8448:X"}, 400, "M_BAD_JSON"},
			"an invented room": {"/livekit/jwt/sfu/get", map[string]any{"room": "!invented:localhost", "openid_token": id, "device_id": "PHONE"}, 403, "M_FORBIDDEN"},
			"a made-up token":  {"/livekit/jwt/sfu/get", map[string]any{"room": room, "device_id": "PHONE", "openid_token": map[string]any{"access_token": "x", "matrix_server_name": w.ready.ServerName}}, 401, "M_UNAUTHORIZED"},
			"a server inside":  {"/livekit/jwt/sfu/get", map[string]any{"room": room, "device_id": "PHONE", "openid_token": map[string]any{"access_token": "x", "matrix_server_name": "127.0.0.1:22"}}, 401, "M_UNAUTHORIZED"},
			"another slot":     {"/livekit/jwt/get_token", map[string]any{"room_id": room, "slot_id": "x", "openid_token": id, "member": map[string]string{"id": "m", "claimed_user_id": ada.UserID, "claimed_device_id": "PHONE"}}, 400, "M_BAD_JSON"},
		} {
			status, out := w.callPost(c.path, c.body)
			if status != c.status || out["errcode"] != c.errcode || out["error"] == "" {
				t.Errorf("%s: got %d %v, want %d %s", name, status, out, c.status, c.errcode)
			}
		}
		// The refused room has used the token up: it is for that request alone.
		if status, out := w.callPost("/livekit/jwt/sfu/get", map[string]any{"room": room, "openid_token": id, "device_id": "PHONE"}); status != 401 || out["code"] != "openid_replayed" {
			t.Errorf("a token that was used for another room: got %d %v", status, out)
		}
		fresh, err := ada.OpenID(ctx)
		if err != nil {
			t.Fatal(err)
		}
		hashed := map[string]any{"room_id": room, "slot_id": focus.Slot, "openid_token": fresh, "member": map[string]string{"id": "m", "claimed_user_id": teacher.UserID, "claimed_device_id": "PHONE"}}
		if status, out := w.callPost("/livekit/jwt/get_token", hashed); status != 401 || out["code"] != "openid_other" {
			t.Errorf("somebody else's claim: got %d %v", status, out)
		}
		hashed["member"] = map[string]string{"id": "m", "claimed_user_id": ada.UserID, "claimed_device_id": "PHONE"}
		status, out := w.callPost("/livekit/jwt/get_token", hashed)
		if status != 200 {
			t.Fatalf("get_token: %d %v", status, out)
		}
		c, err := sfu.Credentials().Check(out["jwt"].(string), time.Now())
		if err != nil || c.Subject != focus.HashedIdentity(ada.UserID, "PHONE", "m") || c.Video.Room != alias || c.Expires-time.Now().Unix() > 61 {
			t.Errorf("FO5 claims %+v, %v", c, err)
		}
	})

	status, out := w.callToken(ada, room, "PHONE")
	if status != 200 {
		t.Fatalf("FO3 a member gets no token: %d %v", status, out)
	}
	old := out["jwt"].(string)
	gone, err := joinCall(t, out["url"].(string), old)
	if err != nil {
		t.Fatal(err)
	}
	pollEvery(t, 5*time.Millisecond, "Ada to be in LiveKit's room", 15*time.Second, func() bool { return in(ada.UserID) })

	t.Run("FO7 a kick from the room ends the call access, the old token too", func(t *testing.T) {
		if err := teacher.Do(ctx, http.MethodPost, "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/kick", map[string]string{"user_id": ada.UserID}, nil); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		select {
		case <-gone:
			t.Logf("from the homeserver's answer to the end of the connection: %v", time.Since(began).Round(time.Millisecond))
		case <-time.After(15 * time.Second):
			t.Fatal("a kicked person stays in the call")
		}
		if status, out := w.callToken(ada, room, "PHONE"); status != 403 || out["code"] != "not_joined" {
			t.Errorf("a token for somebody who was kicked: %d %v", status, out)
		}
		again, err := joinCall(t, out["url"].(string), old)
		if err != nil {
			t.Logf("LiveKit refuses the old token: %v", err)
			return
		}
		began = time.Now()
		select {
		case <-again:
			t.Logf("with the old token again: out after %v", time.Since(began).Round(time.Millisecond))
		case <-time.After(30 * time.Second):
			t.Error("a kicked person is back with the old token")
		}
	})
	t.Run("FO10 a webhook that is not LiveKit's is refused", func(t *testing.T) {
		if status, out := w.callPost("/livekit/sfu_webhook", map[string]any{"event": "room_finished"}); status != 401 || out["code"] != "webhook_unsigned" {
			t.Errorf("got %d %v", status, out)
		}
	})
	if status, out := w.callToken(ben, room, "TABLET"); status != 200 {
		t.Errorf("Ben gets no token: %d %v", status, out)
	}

	t.Run("FO12 without LiveKit: no tokens, said so; boards go on", func(t *testing.T) {
		health := func() int {
			resp, err := http.Get(w.ready.Lectern + "/livekit/healthz")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			return resp.StatusCode
		}
		if got := health(); got != http.StatusOK {
			t.Errorf("health: %d", got)
		}
		lk.Stop()
		if status, out := w.callToken(ben, room, "TABLET"); status != 503 || out["code"] != "call_server_down" || out["retry_after_ms"] == nil {
			t.Errorf("token: %d %v", status, out)
		}
		if got := health(); got != http.StatusServiceUnavailable {
			t.Errorf("health: %d", got)
		}
		if status, out, err := w.signIn(ctx, ben, room, w.ready.Widgets[0].ID); err != nil || status != 200 {
			t.Errorf("sign-in to the board: %d %v %v", status, out, err)
		}
		if resp, err := http.Get(w.ready.Lectern + "/readyz"); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("ready: %v %v", resp, err)
		} else {
			_ = resp.Body.Close()
		}
	})
}
