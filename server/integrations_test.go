package server

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/identity"
)

// whoever vouches for the tokens it has.
type whoever map[string]string

func (v whoever) Verify(_ context.Context, _, token string) (string, error) {
	if u, ok := v[token]; ok {
		return u, nil
	}
	return "", errors.New("unreachable")
}

// spentOnce forgets no token.
type spentOnce struct {
	identity.Store
	seen map[[32]byte]bool
}

func (s spentOnce) SpendOpenID(_ context.Context, h [32]byte, _ time.Time) (bool, error) {
	fresh := !s.seen[h]
	s.seen[h] = true
	return fresh, nil
}

func TestIntegrations(t *testing.T) {
	const ada = "@ada:school.example"
	var shown []string
	s := newTestServer(t, func(c *Config) {
		c.Identity = identity.New(identity.Config{Rooms: noRooms{}, Verifier: whoever{"good": ada, "other": ada}, Store: spentOnce{seen: map[[32]byte]bool{}}})
		c.Show = func(_ context.Context, person, room, widget string) (string, error) {
			shown = append(shown, person+" "+room+" "+widget)
			return "top", nil
		}
	})
	now := time.Now()
	s.passes.now = func() time.Time { return now }
	h := s.Routes()
	register := func(token string) (int, string) {
		w := get(t, h, "POST", "/integrations/api/register?v=1.1", `{"access_token":"`+token+`","token_type":"Bearer","matrix_server_name":"school.example","expires_in":3600,"more":1}`)
		_, pass, _ := strings.Cut(w.Body.String(), `"scalar_token":"`)
		pass, _, _ = strings.Cut(pass, `"`)
		return w.Code, pass
	}
	account := func(pass string) int {
		w := get(t, h, "GET", "/integrations/api/account?v=1.1&scalar_token="+url.QueryEscape(pass), "")
		if w.Code == 200 && strings.TrimSpace(w.Body.String()) != `{"user_id":"`+ada+`"}` {
			t.Errorf("account: %s", w.Body)
		}
		return w.Code
	}
	code, pass := register("good")
	t.Run("IM1 a pass for who proved who they are, each proof once", func(t *testing.T) {
		if code != 200 || account(pass) != 200 {
			t.Fatalf("got %d %q", code, pass)
		}
		if again, _ := register("good"); again != 401 {
			t.Errorf("the proof again: %d", again)
		}
		if bad, _ := register("unknown"); bad != 503 {
			t.Errorf("an unknown one: %d", bad)
		}
		for name, body := range map[string]string{"no JSON": "{", "empty": "{}", "no token": `{"matrix_server_name":"x"}`, "huge": `{"access_token":"` + strings.Repeat("a", 20<<10) + `"}`, "a list": "[]"} {
			if w := get(t, h, "POST", "/integrations/api/register", body); w.Code != 400 || !strings.Contains(w.Body.String(), `"message"`) {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
	})
	t.Run("IM1 nobody makes, changes or keeps a pass", func(t *testing.T) {
		raw, err := base64.RawURLEncoding.DecodeString(pass)
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			bad := append([]byte(nil), raw...)
			bad[i] ^= 1
			if got := account(base64.RawURLEncoding.EncodeToString(bad)); got != 401 {
				t.Errorf("byte %d changed: %d", i, got)
			}
		}
		for _, bad := range []string{"", "x", "%", strings.Repeat("a", 10_000), newPasses().give(ada)} {
			if got := account(bad); got != 401 {
				t.Errorf("%.20q: %d", bad, got)
			}
		}
		now = now.Add(passLife - time.Second)
		if got := account(pass); got != 200 {
			t.Errorf("just before its end: %d", got)
		}
		now = now.Add(time.Second)
		if got := account(pass); got != 401 {
			t.Errorf("after its end: %d", got)
		}
	})
	t.Run("IM1 only pages of configured clients may read the answers", func(t *testing.T) {
		for origin, want := range map[string]string{"https://app.example": "https://app.example", "https://evil.example": "", "": "", "null": ""} {
			for _, method := range []string{"OPTIONS", "GET"} {
				w := get(t, h, method, "/integrations/api/account", "", "Origin", origin)
				if got := w.Header().Get("Access-Control-Allow-Origin"); got != want || w.Header().Get("Vary") != "Origin" {
					t.Errorf("%s from %q: %q", method, origin, got)
				}
				if method == "OPTIONS" && w.Code != http.StatusNoContent {
					t.Errorf("preflight: %d", w.Code)
				}
			}
		}
	})
	t.Run("IM4 a widget is shown for the pass's person only, ten times a minute", func(t *testing.T) {
		_, pass := register("other")
		ask := func(body string) int { return get(t, h, "POST", "/integrations/api/show", body).Code }
		if got := ask(`{"scalar_token":"` + pass + `","room_id":"!r:x","widget_id":"w"}`); got != 200 || strings.Join(shown, ",") != ada+" !r:x w" {
			t.Errorf("got %d, %v", got, shown)
		}
		for name, c := range map[string]struct {
			body string
			want int
		}{"no pass": {`{"room_id":"!r:x","widget_id":"w"}`, 401}, "more": {`{"scalar_token":"` + pass + `","user_id":"@eve:x"}`, 400}, "huge": {`{"room_id":"` + strings.Repeat("a", 5000) + `"}`, 413}} {
			if got := ask(c.body); got != c.want {
				t.Errorf("%s: %d", name, got)
			}
		}
		last := 0
		for range 12 {
			last = ask(`{"scalar_token":"` + pass + `","room_id":"!r:x","widget_id":"w"}`)
		}
		if last != 429 || len(shown) != 10 {
			t.Errorf("the thirteenth: %d, shown %d", last, len(shown))
		}
	})
	t.Run("IM2 the page is framed by configured clients only, and repeats nothing of its address", func(t *testing.T) {
		w := get(t, h, "GET", "/integrations/?scalar_token=secret&room_id=%21r&room_name=Class", "")
		if csp := w.Header().Get("Content-Security-Policy"); w.Code != 200 || !strings.Contains(csp, "frame-ancestors https://app.example") {
			t.Errorf("%d %s", w.Code, csp)
		}
		if strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "Class") {
			t.Errorf("got %s", w.Body)
		}
	})
}
