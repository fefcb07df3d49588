package openid

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"maunium.net/go/mautrix/federation"
)

// guard decides what may be connected to.
type guard struct{ allow []netip.Prefix }

// denied4 and denied6: everything that is not the public internet, and what tunnels to something else (NAT64, 6to4, Teredo, mapped addresses).
// Sources: IANA special-purpose address registries.
var (
	denied4 = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
		"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")
	public6 = netip.MustParsePrefix("2000::/3")
	denied6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)

func prefixes(l ...string) (p []netip.Prefix) {
	for _, s := range l {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func in(l []netip.Prefix, a netip.Addr) bool {
	for _, p := range l {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func (g *guard) allowed(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	switch {
	case in(g.allow, a):
		return true
	case a.Is4():
		return !in(denied4, a)
	}
	return public6.Contains(a) && !in(denied6, a)
}

func allowedPort(port uint16) bool { return port == 443 || port == 8448 || port >= 1024 }

var errDenied = errors.New("connections to this address are refused")

// control sees the address that is really connected to, for every attempt: after DNS, SRV, CNAME, redirects and rebinding.
func (g *guard) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return errDenied
	}
	if !g.allowed(a.Addr()) || !allowedPort(a.Port()) {
		return errDenied
	}
	return nil
}

type targetKey struct{} // host:port of a resolved server, in the request's context

// transport goes through the guard, through no proxy, and keeps no connection: a name may resolve otherwise next time.
func (g *guard) transport(insecure bool) *http.Transport {
	d := &net.Dialer{Timeout: 3 * time.Second, ControlContext: g.control}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if target, ok := ctx.Value(targetKey{}).(string); ok {
				addr = target
			}
			return d.DialContext(ctx, network, addr)
		},
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: insecure, MinVersion: tls.VersionTLS12}, //nolint:gosec // development only, see Config
		TLSHandshakeTimeout:    3 * time.Second,
		ResponseHeaderTimeout:  stepTime,
		MaxResponseHeaderBytes: 16 << 10,
		DisableKeepAlives:      true,
		DisableCompression:     true,
	}
}

func wellKnownRedirect(req *http.Request, via []*http.Request) error {
	if req.URL.Scheme != "https" {
		return errors.New("redirect to something that is not https")
	}
	if len(via) > 3 {
		return errors.New("more than three redirects")
	}
	return nil
}

// checkName holds for names from strangers, before anything is looked up.
func (g *guard) checkName(name string) error {
	host, port, ok := federation.ParseServerName(name)
	if !ok || name != strings.ToLower(name) {
		return errors.New("not a server name")
	}
	if strings.Contains(strings.TrimPrefix(name, host), ":") || strings.HasPrefix(name, "[") {
		if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
			if port == 0 || name[i+1] == '0' || name[i+1] == '+' {
				return errors.New("not a server name")
			}
			if !allowedPort(port) {
				return fmt.Errorf("homeservers on port %d are not asked", port)
			}
		}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if !in(g.allow, a.Unmap()) {
			return errors.New("servers named by address are not asked")
		}
		return nil
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return errors.New("not a server name")
		}
	}
	last := labels[len(labels)-1]
	if len(g.allow) == 0 && (len(labels) == 1 || last == "localhost" || last == "local" || last == "internal") || strings.Trim(last, "0123456789") == "" {
		return errors.New("not the name of a public server")
	}
	return nil
}
