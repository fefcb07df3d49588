// Package openid verifies OpenID tokens (MSC1960) at the homeserver that issued them. Every name it is given comes from a stranger, so it refuses
// more than it asks: grammar, ports and globs before any look-up, an address check on every connection that is made (which no DNS trick
// gets around), hard limits on time and size, and a bounded memory. Errors never hold the token.
package openid

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	"maunium.net/go/mautrix/federation"

	"github.com/educationpub/lectern/server/identity"
)

// Limits of a verification.
const (
	maxToken     = 4096
	maxAnswer    = 16 << 10
	totalTime    = 8 * time.Second
	stepTime     = 5 * time.Second
	maxNames     = 10_000 // remembered server names, of resolutions and of limits each
	maxAtOnce    = 50
	perNameBurst = 60 // a class arrives together
	keepResolved = time.Hour
	keepDefault  = 5 * time.Minute // no well-known, no SRV: perhaps it only failed
	keepFailure  = 10 * time.Second
)

// Config of a Verifier.
type Config struct {
	// ServerName and BaseURL are the companion's own homeserver. Its tokens are checked at BaseURL, as configured by the operator and without the address check.
	ServerName, BaseURL string
	// Allowed and Denied are globs of server names, "*.school.example". Denied wins; empty Allowed: all.
	Allowed, Denied []string
	// AllowCIDRs are address ranges that may be connected to although they are not public, and servers may then be named by IP or without a dot.
	AllowCIDRs []netip.Prefix
	// InsecureTLS accepts any certificate of other homeservers. Development only.
	InsecureTLS bool
}

// Verifier is an identity.Verifier. Safe for concurrent use.
type Verifier struct {
	cfg    Config
	guard  *guard
	own    *http.Client // own homeserver
	wk     *http.Client // .well-known
	api    *http.Client // userinfo of other homeservers
	slots  chan struct{}
	flight singleflight.Group
	names  lru[*resolution]
	rates  lru[*limiter]
}

var _ identity.Verifier = (*Verifier)(nil)

// New makes a Verifier. It asks nothing.
func New(cfg Config) (*Verifier, error) {
	base, err := url.Parse(cfg.BaseURL)
	if err != nil || base.Host == "" || cfg.ServerName == "" {
		return nil, errors.New("openid: the own homeserver's name and base URL are needed")
	}
	g := &guard{allow: cfg.AllowCIDRs}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	v := &Verifier{
		cfg: cfg, guard: g, slots: make(chan struct{}, maxAtOnce),
		own: &http.Client{CheckRedirect: noRedirect},
		wk:  &http.Client{Timeout: stepTime, Transport: g.transport(cfg.InsecureTLS), CheckRedirect: wellKnownRedirect},
		api: &http.Client{Transport: g.transport(cfg.InsecureTLS), CheckRedirect: noRedirect},
	}
	return v, nil
}

type limiter = rate.Limiter

func newLimiter() *limiter { return rate.NewLimiter(1, perNameBurst) }

// Error has a code of docs/protocol.md §1.1: openid_invalid, openid_server, server_denied, rate_limited, homeserver_unreachable.
type Error struct {
	code, text string
	cause      error
}

// Code is for programs.
func (e *Error) Code() string { return e.code }

func (e *Error) Error() string {
	if e.cause != nil {
		return "openid: " + e.text + ": " + e.cause.Error()
	}
	return "openid: " + e.text
}

// Unwrap answers the cause, already without the token.
func (e *Error) Unwrap() error { return e.cause }

func refuse(code, text string) error { return &Error{code: code, text: text} }

// unreachable keeps what went wrong, without the URL, which holds the token.
func unreachable(text, token string, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if err != nil && token != "" && strings.Contains(err.Error(), token) {
		err = errors.New(strings.ReplaceAll(err.Error(), token, "[token]"))
	}
	return &Error{code: "homeserver_unreachable", text: text, cause: err}
}

// Verify answers the Matrix id that the token belongs to, which is always one of serverName. Errors are *Error.
func (v *Verifier) Verify(ctx context.Context, serverName, token string) (string, error) {
	if len(token) == 0 || len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", refuse("openid_invalid", "the token is malformed")
	}
	ctx, cancel := context.WithTimeout(ctx, totalTime)
	defer cancel()
	if serverName == v.cfg.ServerName {
		return v.ask(ctx, v.own, strings.TrimRight(v.cfg.BaseURL, "/"), serverName, token)
	}
	if err := v.guard.checkName(serverName); err != nil {
		return "", refuse("openid_server", err.Error())
	}
	if Match(v.cfg.Denied, serverName) || len(v.cfg.Allowed) > 0 && !Match(v.cfg.Allowed, serverName) {
		return "", refuse("server_denied", "this homeserver is not admitted")
	}
	limit := v.rates.get(serverName, newLimiter)
	if !limit.Allow() {
		return "", refuse("rate_limited", "too many tokens of this homeserver at once")
	}
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return "", unreachable("too many verifications at once", token, ctx.Err())
	}
	r, err := v.resolve(ctx, serverName)
	if err != nil {
		return "", err
	}
	ctx = context.WithValue(ctx, targetKey{}, r.target)
	user, err := v.ask(ctx, v.api, "https://"+r.host, serverName, token)
	if e, ok := errors.AsType[*Error](err); ok && e.code == "homeserver_unreachable" {
		v.names.put(serverName, &resolution{failed: e.text, until: time.Now().Add(keepFailure)})
	}
	return user, err
}

// ask makes the one request that holds the token.
func (v *Verifier) ask(ctx context.Context, client *http.Client, base, serverName, token string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/_matrix/federation/v1/openid/userinfo?access_token="+url.QueryEscape(token), nil)
	if err != nil {
		return "", refuse("openid_server", "the homeserver's name makes no URL")
	}
	req.Header.Set("User-Agent", "Lectern")
	resp, err := client.Do(req)
	if err != nil {
		return "", unreachable("ask the homeserver", token, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if ctx.Err() != nil {
		err = ctx.Err() // a connection cut by our own deadline can look like a complete answer
	}
	switch {
	case err != nil:
		return "", unreachable("read the homeserver's answer", token, err)
	case len(body) > maxAnswer:
		return "", refuse("openid_server", fmt.Sprintf("the homeserver's answer is longer than %d bytes", maxAnswer))
	case resp.StatusCode == http.StatusUnauthorized:
		return "", refuse("openid_invalid", "the homeserver does not know this token")
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return "", unreachable(fmt.Sprintf("the homeserver answers %d", resp.StatusCode), "", nil)
	case resp.StatusCode != http.StatusOK:
		return "", refuse("openid_server", fmt.Sprintf("the homeserver answers %d", resp.StatusCode))
	}
	var answer struct {
		Sub string `json:"sub"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", refuse("openid_server", "the homeserver's answer is not JSON")
	}
	if !ofServer(answer.Sub, serverName) {
		return "", refuse("openid_server", "the homeserver vouches for somebody of another homeserver")
	}
	return answer.Sub, nil
}

// ofServer: "@local:server" whose server part is byte for byte the name that was asked. Without this any server could name anybody.
func ofServer(user, serverName string) bool {
	local, server, ok := strings.Cut(user, ":")
	return ok && len(user) <= 255 && len(local) > 1 && local[0] == '@' && server == serverName &&
		!strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xfffd })
}

// resolution says where a server name leads.
type resolution struct {
	host   string // for the Host header and the certificate
	target string // host:port to connect to
	failed string // why nothing was reached a moment ago
	until  time.Time
}

// resolve finds a server as the specification says (well-known, SRV, port 8448). One look-up per name at a time, remembered.
func (v *Verifier) resolve(ctx context.Context, name string) (*resolution, error) {
	if r, ok := v.names.peek(name); ok && time.Now().Before(r.until) {
		if r.failed != "" {
			return nil, unreachable(r.failed+" (a moment ago)", "", nil)
		}
		return r, nil
	}
	ch := v.flight.DoChan(name, func() (any, error) {
		// Not the caller's context: others may be waiting for the same name.
		ctx, cancel := context.WithTimeout(context.Background(), stepTime)
		defer cancel()
		found, err := federation.ResolveServerName(ctx, name, &federation.ResolveServerNameOpts{HTTPClient: v.wk})
		if err != nil {
			return nil, refuse("openid_server", "the name is not that of a homeserver")
		}
		r := &resolution{host: found.HostHeader, target: found.IPPort[0], until: time.Now().Add(keepResolved)}
		if r.host == name && strings.HasSuffix(r.target, ":8448") {
			r.until = time.Now().Add(keepDefault)
		}
		if host, _, ok := federation.ParseServerName(r.host); !ok || host == "" {
			return nil, refuse("openid_server", "its well-known file names no homeserver")
		}
		v.names.put(name, r)
		return r, nil
	})
	select {
	case res := <-ch:
		if res.Err != nil {
			return nil, res.Err
		}
		return res.Val.(*resolution), nil
	case <-ctx.Done():
		return nil, unreachable("find the homeserver", "", ctx.Err())
	}
}
