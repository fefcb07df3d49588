package openid

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const token = "a-secret-token"

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func newVerifier(t *testing.T, cfg Config) *Verifier {
	t.Helper()
	if cfg.ServerName == "" {
		cfg.ServerName, cfg.BaseURL = "own.example", "http://127.0.0.1:1"
	}
	v, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code() != code {
		t.Errorf("got %v, want code %s", err, code)
	}
	if err != nil && strings.Contains(err.Error(), token) {
		t.Errorf("the error holds the token: %v", err)
	}
}

// peer is a homeserver named by its loopback address.
func peer(t *testing.T, h http.HandlerFunc) (name string) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "https://")
}

func sub(user string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/_matrix/federation/v1/openid/userinfo" || r.URL.Query().Get("access_token") != token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"sub": user})
	}
}

func TestVerifyOwn(t *testing.T) {
	s := httptest.NewServer(sub("@ada:own.example"))
	defer s.Close()
	v := newVerifier(t, Config{ServerName: "own.example", BaseURL: s.URL + "/"})
	t.Run("AU30 the own homeserver is asked at the configured address", func(t *testing.T) {
		if u, err := v.Verify(t.Context(), "own.example", token); u != "@ada:own.example" || err != nil {
			t.Errorf("got %q, %v", u, err)
		}
		_, err := v.Verify(t.Context(), "own.example", "another")
		wantCode(t, err, "openid_invalid")
	})
	t.Run("AU30 malformed tokens are sent nowhere", func(t *testing.T) {
		for _, bad := range []string{"", "a b", "a\x00", strings.Repeat("x", maxToken+1), "ü"} {
			_, err := v.Verify(t.Context(), "own.example", bad)
			wantCode(t, err, "openid_invalid")
		}
	})
}

func TestVerifyOther(t *testing.T) {
	var name string
	answer := new(atomic.Pointer[http.HandlerFunc])
	name = peer(t, func(w http.ResponseWriter, r *http.Request) { (*answer.Load())(w, r) })
	set := func(h http.HandlerFunc) { answer.Store(&h) }
	v := newVerifier(t, Config{AllowCIDRs: loopback, InsecureTLS: true})

	t.Run("AU31 another homeserver vouches for its own people only", func(t *testing.T) {
		set(sub("@ada:" + name))
		if u, err := v.Verify(t.Context(), name, token); u != "@ada:"+name || err != nil {
			t.Fatalf("got %q, %v", u, err)
		}
		for _, bad := range []string{"@teacher:victim.example", "@ada:" + name + ":8448", "@ada:" + strings.Split(name, ":")[0], "ada", "", "@:" + name, "@a b:" + name, "@" + strings.Repeat("x", 255) + ":" + name} {
			set(sub(bad))
			_, err := v.Verify(t.Context(), name, token)
			wantCode(t, err, "openid_server")
		}
	})
	t.Run("AU32 answers are bounded and redirects not followed", func(t *testing.T) {
		var hit atomic.Bool
		inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit.Store(true) }))
		defer inside.Close()
		set(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inside.URL, http.StatusFound) })
		_, err := v.Verify(t.Context(), name, token)
		wantCode(t, err, "openid_server")
		if hit.Load() {
			t.Error("the redirect was followed")
		}
		set(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"sub":"@ada:%s","x":"%s"}`, name, strings.Repeat("x", maxAnswer))
		})
		_, err = v.Verify(t.Context(), name, token)
		wantCode(t, err, "openid_server")
		set(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") })
		_, err = v.Verify(t.Context(), name, token)
		wantCode(t, err, "openid_server")
	})
	t.Run("AU32 a server that drips is cut", func(t *testing.T) {
		stop := make(chan struct{})
		defer close(stop)
		set(func(w http.ResponseWriter, r *http.Request) {
			for {
				select {
				case <-stop:
					return
				case <-r.Context().Done():
					return
				case <-time.After(20 * time.Millisecond):
					_, _ = w.Write([]byte(" "))
					w.(http.Flusher).Flush()
				}
			}
		})
		start := time.Now()
		_, err := v.Verify(t.Context(), name, token)
		wantCode(t, err, "homeserver_unreachable")
		if d := time.Since(start); d > totalTime {
			t.Errorf("took %s", d)
		}
		_, err = v.Verify(t.Context(), name, token) // remembered for a moment: no second wait
		wantCode(t, err, "homeserver_unreachable")
		if d := time.Since(start); d > totalTime+time.Second {
			t.Errorf("the failure was not remembered: %s", d)
		}
	})
	t.Run("AU32 a foreign certificate is refused unless configured", func(t *testing.T) {
		other := peer(t, sub("@ada:x"))
		_, err := newVerifier(t, Config{AllowCIDRs: loopback}).Verify(t.Context(), other, token)
		wantCode(t, err, "homeserver_unreachable")
	})
}

func TestGuard(t *testing.T) {
	t.Run("AU33 no address but public ones is connected to", func(t *testing.T) {
		g := &guard{}
		for _, bad := range []string{
			"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.1.2.3", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1",
			"203.0.113.1", "192.88.99.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "64:ff9b::7f00:1",
			"64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "fc00::1", "fe80::1", "fec0::1", "ff02::1", "3fff::1",
		} {
			if g.allowed(netip.MustParseAddr(bad)) {
				t.Errorf("%s is allowed", bad)
			}
			if err := g.control(t.Context(), "tcp6", net.JoinHostPort(bad, "8448"), nil); !errors.Is(err, errDenied) {
				t.Errorf("%s: %v", bad, err)
			}
		}
		for _, good := range []string{"1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::1"} {
			if err := g.control(t.Context(), "tcp4", net.JoinHostPort(good, "8448"), nil); err != nil {
				t.Errorf("%s: %v", good, err)
			}
			if err := g.control(t.Context(), "tcp4", net.JoinHostPort(good, "22"), nil); err == nil {
				t.Errorf("%s port 22 is allowed", good)
			}
		}
	})
	t.Run("AU34 names that break a rule cause no traffic", func(t *testing.T) {
		v := newVerifier(t, Config{Denied: []string{"*.evil.example"}, Allowed: []string{"*.example"}})
		var dialed atomic.Int64
		for _, c := range []*http.Client{v.wk, v.api} {
			c.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
				dialed.Add(1)
				return nil, errors.New("dialed")
			}
		}
		for name, code := range map[string]string{
			"": "openid_server", "Caps.example": "openid_server", "a..b.example": "openid_server", "-a.example": "openid_server", "a-.example": "openid_server", "a.example.": "openid_server",
			"a.example:22": "openid_server", "a.example:0": "openid_server", "a.example:": "openid_server", "a.example:70000": "openid_server", "a.example:08448": "openid_server", "a.example:+443": "openid_server",
			"a.example/x": "openid_server", "a.example?x": "openid_server", "u@a.example": "openid_server", "a b.example": "openid_server", "a_b.example": "openid_server",
			"127.0.0.1": "openid_server", "127.0.0.1:8448": "openid_server", "[::1]": "openid_server", "[::1]:8448": "openid_server", "2130706433": "openid_server", "0x7f.1": "openid_server",
			"localhost": "openid_server", "localhost:8448": "openid_server", "a.localhost": "openid_server", "printer.local": "openid_server", "vault.internal": "openid_server",
			strings.Repeat("a", 64) + ".example": "openid_server", strings.Repeat("a.", 130) + "example": "openid_server",
			"a.evil.example": "server_denied", "a.elsewhere.org": "server_denied",
		} {
			_, err := v.Verify(t.Context(), name, token)
			t.Logf("%q: %v", name, err)
			wantCode(t, err, code)
		}
		if n := dialed.Load(); n != 0 {
			t.Errorf("%d connections were tried", n)
		}
	})
	t.Run("AU33 a well-known file that redirects inside is not followed", func(t *testing.T) {
		var hits atomic.Int64
		inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
		defer inside.Close()
		// The outer server is reached through an allowed range, the inner one is not in it: both on loopback, different addresses.
		ln, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			t.Skipf("this machine has no second loopback address: %v", err)
		}
		outer := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inside.URL, http.StatusFound) }))
		outer.Listener = ln
		outer.StartTLS()
		defer outer.Close()
		v := newVerifier(t, Config{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, InsecureTLS: true})
		_, err = v.wk.Get(outer.URL)
		if !errors.Is(err, errDenied) || hits.Load() != 0 {
			t.Errorf("got %v, %d hits inside", err, hits.Load())
		}
		for range 2 { // the same through rebinding: the name is fine, the address is not
			ctx := context.WithValue(t.Context(), targetKey{}, strings.TrimPrefix(inside.URL, "https://"))
			_, err = v.ask(ctx, v.api, "https://good.example", "good.example", token)
			wantCode(t, err, "homeserver_unreachable")
			if !errors.Is(err, errDenied) {
				t.Errorf("got %v", err)
			}
		}
		if hits.Load() != 0 {
			t.Error("the inner server was reached")
		}
	})
	t.Run("AU33 redirects of well-known stay on https and end after three", func(t *testing.T) {
		var n atomic.Int64
		name := peer(t, func(w http.ResponseWriter, r *http.Request) {
			n.Add(1)
			http.Redirect(w, r, "/again", http.StatusFound)
		})
		v := newVerifier(t, Config{AllowCIDRs: loopback, InsecureTLS: true})
		if _, err := v.wk.Get("https://" + name); err == nil || n.Load() != 4 {
			t.Errorf("got %v after %d requests, want an error after 4", err, n.Load())
		}
		plain := peer(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+name+"/", http.StatusFound)
		})
		if _, err := v.wk.Get("https://" + plain); err == nil || !strings.Contains(err.Error(), "not https") {
			t.Errorf("got %v", err)
		}
	})
}

func TestBounds(t *testing.T) {
	t.Run("AU35 a flood of made-up names is bounded", func(t *testing.T) {
		v := newVerifier(t, Config{})
		v.wk.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") }
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range 3 * maxNames {
			name := fmt.Sprintf("s%d.example", i)
			v.names.put(name, &resolution{failed: "test"})
			v.rates.get(name, newLimiter)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if v.names.len() != maxNames || v.rates.len() != maxNames {
			t.Errorf("remembered %d and %d, want %d", v.names.len(), v.rates.len(), maxNames)
		}
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
			t.Errorf("grown by %d bytes", grown)
		}
		if _, ok := v.names.peek("s0.example"); ok {
			t.Error("the oldest name is still there")
		}
	})
	t.Run("AU35 one server name gets a class's worth of verifications, not more", func(t *testing.T) {
		var name string
		name = peer(t, func(w http.ResponseWriter, r *http.Request) { sub("@ada:"+name)(w, r) })
		v := newVerifier(t, Config{AllowCIDRs: loopback, InsecureTLS: true})
		var good, limited atomic.Int64
		var wg sync.WaitGroup
		for range perNameBurst + 20 {
			wg.Go(func() {
				_, err := v.Verify(t.Context(), name, token)
				var e *Error
				if err == nil {
					good.Add(1)
				} else if errors.As(err, &e) && e.Code() == "rate_limited" {
					limited.Add(1)
				} else {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if good.Load() < perNameBurst || limited.Load() == 0 {
			t.Errorf("%d good, %d limited", good.Load(), limited.Load())
		}
	})
}
