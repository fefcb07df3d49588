package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/educationpub/lectern/server/focus"
	"github.com/educationpub/lectern/server/identity"
)

var dist = fstest.MapFS{
	".vite/manifest.json": {Data: []byte(`{
		"src/entry/whiteboard.tsx": {"file": "assets/wb-1.js", "css": ["assets/wb-1.css"], "imports": ["_s.js"], "dynamicImports": ["_b.js"]},
		"_b.js": {"file": "assets/b-4.js", "css": ["assets/b-4.css"], "imports": ["_s.js"], "dynamicImports": ["_far.js"]},
		"_far.js": {"file": "assets/far-5.js"},
		"_s.js": {"file": "assets/s-2.js", "css": ["assets/s-2.css"], "imports": ["src/entry/whiteboard.tsx"]},
		"src/entry/classroom.tsx": {"file": "assets/c-3.js"},
		"src/entry/integrations.tsx": {"file": "assets/i-6.js"}}`)},
	"assets/wb-1.js":    {Data: []byte("plain")},
	"assets/wb-1.js.br": {Data: []byte("small")},
	"assets/s-2.js":     {Data: []byte("shared")},
	"secret.txt":        {Data: []byte("no")},
}

type noRooms struct{ identity.Rooms }

func newTestServer(t *testing.T, change ...func(*Config)) *Server {
	t.Helper()
	cfg := Config{
		PublicURL: "https://lectern.example", ClientOrigins: []string{"https://app.example", "http://127.0.0.1:5"}, Companion: "@lectern:example", Version: "test",
		Dist: dist, Identity: identity.New(identity.Config{Rooms: noRooms{}}), Connect: http.NotFoundHandler(),
		Ready: func() error { return nil }, Registry: prometheus.NewRegistry(), Log: slog.New(slog.NewJSONHandler(io.Discard, nil)),
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, h http.Handler, method, path, body string, head ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTrust(t *testing.T) {
	t.Run("TR1 the server says who can read what, in English and German, with its own account and times, and no script", func(t *testing.T) {
		h := newTestServer(t, func(c *Config) { c.ArchiveDays = 123; c.Companion = `@<b>:example` }).Routes()
		for query, c := range map[string][2]string{
			"": {"", "Who can read what"}, "?lang=de": {"", "Wer was lesen kann"}, "?lang=en": {"de", "Who can read what"}, "?lang=xx": {"de", "Who can read what"}, "?": {"de-AT, en", "Wer was lesen kann"},
		} {
			w := get(t, h, "GET", "/trust"+query, "", "Accept-Language", c[0])
			b := w.Body.String()
			if w.Code != 200 || !strings.Contains(b, "<h1>"+c[1]) || !strings.Contains(b, "@&lt;b&gt;:example") || !strings.Contains(b, "123") || strings.Contains(b, "<script") {
				t.Errorf("%s %s: got %d %.300s", query, c[0], w.Code, b)
			}
			if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "script-src") {
				t.Errorf("policy %s", csp)
			}
		}
		if b := get(t, newTestServer(t, func(c *Config) { c.ArchiveDays = -1 }).Routes(), "GET", "/trust", "").Body.String(); !strings.Contains(b, "for as long as the board") {
			t.Errorf("got %s", b)
		}
	})
}

func TestPages(t *testing.T) {
	h := newTestServer(t).Routes()
	t.Run("DV12 the widget page may be framed by configured clients only and runs no inline script", func(t *testing.T) {
		w := get(t, h, "GET", "/widgets/whiteboard?widgetId=%3Cscript%3E&room=!r", "")
		csp := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"frame-ancestors https://app.example http://127.0.0.1:5;", "script-src 'self' 'wasm-unsafe-eval';", "connect-src 'self' wss://lectern.example;", "default-src 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("policy lacks %q: %s", want, csp)
			}
		}
		if w.Code != 200 || strings.Contains(csp, "script-src 'self' 'unsafe") || w.Header().Get("X-Frame-Options") != "" || w.Header().Get("Referrer-Policy") != "no-referrer" || !strings.Contains(w.Header().Get("Permissions-Policy"), "camera=()") {
			t.Errorf("got %d, %v", w.Code, w.Header())
		}
		b := w.Body.String()
		for _, want := range []string{`src="/assets/wb-1.js"`, `href="/assets/wb-1.css"`, `href="/assets/s-2.css"`, `modulepreload" href="/assets/s-2.js"`, `modulepreload" fetchpriority="low" href="/assets/b-4.js"`, `as="style" fetchpriority="low" href="/assets/b-4.css"`, `"clientOrigins":["https://app.example","http://127.0.0.1:5"]`} {
			if !strings.Contains(b, want) {
				t.Errorf("page lacks %s:\n%s", want, b)
			}
		}
		if strings.Contains(b, "widgetId") || strings.Contains(b, "!r") {
			t.Error("the page repeats its query")
		}
	})
	t.Run("DV12 without configured clients nobody frames it", func(t *testing.T) {
		s := newTestServer(t, func(c *Config) { c.ClientOrigins = nil })
		if csp := get(t, s.Routes(), "GET", "/widgets/whiteboard", "").Header().Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Error(csp)
		}
	})
	t.Run("DV12 the classroom frames the widgets and talks to its homeservers", func(t *testing.T) {
		c := newTestServer(t).Classroom(ClassroomConfig{Lectern: "http://localhost:6", Homeservers: []Homeserver{{"hs", "http://127.0.0.1:7"}}})
		w := get(t, c, "GET", "/", "")
		if csp := w.Header().Get("Content-Security-Policy"); w.Code != 200 || !strings.Contains(csp, "frame-src http://localhost:6;") || !strings.Contains(csp, "connect-src 'self' http://127.0.0.1:7;") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Error(w.Code, csp)
		}
		if w.Header().Get("Permissions-Policy") != "" {
			t.Error("the host takes permissions from its frames")
		}
	})
	t.Run("CE1 the classroom frames the configured Element Call too, and is told of it", func(t *testing.T) {
		c := newTestServer(t).Classroom(ClassroomConfig{Lectern: "http://localhost:6", Homeservers: []Homeserver{{"hs", "http://127.0.0.1:7"}}, ElementCall: "https://call.example:8/ec", RTCTransport: "http://localhost:6/livekit/jwt"})
		w := get(t, c, "GET", "/", "")
		if csp := w.Header().Get("Content-Security-Policy"); w.Code != 200 || !strings.Contains(csp, "frame-src http://localhost:6 https://call.example:8;") || !strings.Contains(csp, "connect-src 'self' http://127.0.0.1:7 http://localhost:6;") {
			t.Error(w.Code, csp)
		}
		for _, want := range []string{`"elementCall":"https://call.example:8/ec"`, `"rtcTransport":"http://localhost:6/livekit/jwt"`} {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("the page is not told %s", want)
			}
		}
	})
	t.Run("CA1 calls are offered where they are set up", func(t *testing.T) {
		for calls, want := range map[bool]string{false: `"kinds":["whiteboard"]`, true: `"kinds":["whiteboard","call"]`} {
			s := newTestServer(t, func(c *Config) {
				if calls {
					c.Calls = (*focus.Service)(nil)
				}
			})
			for name, w := range map[string]*httptest.ResponseRecorder{
				"classroom": get(t, s.Classroom(ClassroomConfig{Lectern: "http://localhost:6"}), "GET", "/", ""), "integrations": get(t, s.Routes(), "GET", "/integrations/", ""),
			} {
				if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
					t.Errorf("calls %v, %s: %d %s", calls, name, w.Code, w.Body)
				}
			}
		}
	})
	t.Run("DV12 a build without front end says so", func(t *testing.T) {
		s := newTestServer(t, func(c *Config) { c.Dist = fstest.MapFS{} })
		w := get(t, s.Routes(), "GET", "/widgets/whiteboard", "")
		if w.Code != 503 || !strings.Contains(w.Body.String(), "make build") {
			t.Error(w.Code, w.Body)
		}
		if w := get(t, s.Routes(), "GET", "/", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "make build") {
			t.Error(w.Code, w.Body)
		}
	})
	t.Run("WG an unknown kind is refused", func(t *testing.T) {
		if w := get(t, h, "GET", "/widgets/chess", ""); w.Code != 404 || !strings.Contains(w.Body.String(), "no_widget") {
			t.Error(w.Code, w.Body)
		}
	})
}

func TestAssets(t *testing.T) {
	h := newTestServer(t).Routes()
	for name, tc := range map[string]struct {
		path, accept, body, encoding string
		status                       int
	}{
		"compressed where understood": {"/assets/wb-1.js", "gzip, br", "small", "br", 200},
		"plain where not":             {"/assets/wb-1.js", "gzip", "plain", "", 200},
		"no compressed form":          {"/assets/s-2.js", "br", "shared", "", 200},
		"the .br itself":              {"/assets/wb-1.js.br", "", "", "", 404},
		"out of the folder":           {"/assets/../secret.txt", "", "", "", 404},
		"escaped out of the folder":   {"/assets/..%2f..%2fsecret.txt", "", "", "", 404},
		"a folder":                    {"/assets/", "", "", "", 404},
		"missing":                     {"/assets/x.js", "br", "", "", 404},
	} {
		t.Run("DV12 "+name, func(t *testing.T) {
			w := get(t, h, "GET", tc.path, "", "Accept-Encoding", tc.accept)
			if w.Code != tc.status || w.Header().Get("Content-Encoding") != tc.encoding || tc.status == 200 && (w.Body.String() != tc.body || !strings.Contains(w.Header().Get("Cache-Control"), "immutable")) {
				t.Errorf("got %d %q %q", w.Code, w.Header().Get("Content-Encoding"), w.Body)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	h := newTestServer(t).Routes()
	for name, tc := range map[string]struct {
		method, path, body, code string
		status                   int
	}{
		"no JSON":            {"POST", "/v1/sessions", "hello", "bad_json", 400},
		"unknown field":      {"POST", "/v1/sessions", `{"role":"moderator"}`, "bad_json", 400},
		"two values":         {"POST", "/v1/sessions", `{}{}`, "bad_json", 400},
		"too large":          {"POST", "/v1/sessions", `{"room_id":"` + strings.Repeat("x", maxLogin) + `"}`, "too_large", 413},
		"empty sign-in":      {"POST", "/v1/sessions", `{}`, "bad_json", 400},
		"no token":           {"POST", "/v1/sessions/refresh", "", "session_unknown", 401},
		"no token to logout": {"DELETE", "/v1/sessions", "", "session_unknown", 401},
		"no token for scene": {"GET", "/v1/boards/b/docs/d/scene", "", "session_unknown", 401},
		"unknown address":    {"GET", "/nothing", "", "not_found", 404},
		"wrong method":       {"PUT", "/v1/sessions", "", "method", 405},
	} {
		t.Run("AU3 "+name, func(t *testing.T) {
			w := get(t, h, tc.method, tc.path, tc.body)
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != tc.status || p.Code != tc.code || p.Message == "" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("got %d %s (%v)", w.Code, w.Body, err)
			}
		})
	}
	t.Run("DV14 readiness names what is missing", func(t *testing.T) {
		s := newTestServer(t, func(c *Config) { c.Ready = func() error { return errors.New("The homeserver does not answer.") } })
		if w := get(t, s.Routes(), "GET", "/readyz", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "homeserver") {
			t.Error(w.Code, w.Body)
		}
		s.draining.Store(true)
		if w := get(t, s.Routes(), "GET", "/readyz", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "draining") {
			t.Error(w.Code, w.Body)
		}
		if w := get(t, s.Routes(), "GET", "/healthz", ""); w.Code != 200 {
			t.Error(w.Code, w.Body)
		}
	})
	t.Run("DV12 a panic is one request's", func(t *testing.T) {
		s := newTestServer(t, func(c *Config) {
			c.Connect = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })
		})
		if w := get(t, s.Routes(), "GET", "/v1/connect", ""); w.Code != 500 || strings.Contains(w.Body.String(), "boom") {
			t.Error(w.Code, w.Body)
		}
	})
}

func TestClientIP(t *testing.T) {
	var seen string
	probe := func(trusted ...netip.Prefix) http.Handler {
		return clientIP(trusted)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = ipOf(r.Context()) }))
	}
	for name, tc := range map[string]struct {
		trusted []netip.Prefix
		xff     string
		want    string
	}{
		"no proxy is trusted":            {nil, "203.0.113.9", "192.0.2.1"},
		"a trusted proxy is believed":    {[]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, "203.0.113.9", "203.0.113.9"},
		"an untrusted sender is not":     {[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "203.0.113.9", "192.0.2.1"},
		"the last hop counts":            {[]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, "8.8.8.8, 203.0.113.9", "203.0.113.9"},
		"a proxy without header: itself": {[]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, "", "192.0.2.1"},
	} {
		t.Run("DV13 "+name, func(t *testing.T) {
			seen = ""
			var head []string
			if tc.xff != "" {
				head = []string{"X-Forwarded-For", tc.xff}
			}
			get(t, probe(tc.trusted...), "GET", "/", "", head...) // httptest's client is 192.0.2.1
			if seen != tc.want {
				t.Errorf("got %q, want %q", seen, tc.want)
			}
		})
	}
}

func TestLogsCarryNothing(t *testing.T) {
	t.Run("DV13 no path, query, token or person at debug level", func(t *testing.T) {
		var out strings.Builder
		s := newTestServer(t, func(c *Config) {
			c.Log = slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		get(t, s.Routes(), "GET", "/v1/boards/CANARYBOARD/docs/d/scene?access_token=CANARYTOKEN", "", "Authorization", "Bearer CANARYBEARER")
		get(t, s.Routes(), "POST", "/v1/sessions", `{"room_id":"!CANARYROOM:x","widget_id":"CANARYWIDGET"}`)
		if strings.Contains(out.String(), "CANARY") || !strings.Contains(out.String(), "/v1/boards/{board}/docs/{doc}/scene") {
			t.Error(out.String())
		}
	})
}

func ipOf(ctx context.Context) string { return clientAddr(ctx).String() }
