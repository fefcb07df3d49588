package config

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/educationpub/lectern/server/turn"
)

func (c *Config) turnDefaults() {
	t := &c.Turn
	if t.Listen == "" {
		return
	}
	if t.PublicIP == "" {
		t.PublicIP = c.RTC.PublicIP
	}
	if t.Realm == "" {
		if u, err := url.Parse(c.PublicURL); err == nil {
			t.Realm = u.Hostname()
		}
	}
	if t.SecretFile == "" {
		t.SecretFile = filepath.Join(c.Data, "turn.secret")
	}
}

// validate TURN, if there is to be any.
func (t *Turn) validate(bad func(format string, a ...any)) {
	for _, s := range t.URLs {
		if !turnURL(s) {
			bad("turn.urls: %q is not an address such as turn:turn.school.example:3478?transport=udp", s)
		}
	}
	if len(t.URLs) > maxURLs {
		bad("turn.urls: at most %d: every browser opens a relay at each", maxURLs)
	}
	for _, s := range t.Peers {
		if _, err := turn.ParsePeer(s); err != nil {
			bad("turn.peers: %w", err)
		}
	}
	if t.Listen == "" {
		if len(t.URLs) > 0 && t.SecretFile == "" {
			bad("turn.secret_file is needed with turn.urls: the line in coturn's static-auth-secret")
		}
		if len(t.URLs) == 0 && t.SecretFile != "" {
			bad("turn.listen or turn.urls is missing: which TURN server is the secret for?")
		}
		if len(t.Peers) > 0 {
			bad("turn.peers is for the built-in server (turn.listen); coturn has its own list, see docs/turn.md")
		}
		return
	}
	host, port, err := net.SplitHostPort(t.Listen)
	n, perr := strconv.ParseUint(port, 10, 16)
	local := netip.IPv6Unspecified()
	if err == nil && host != "" {
		local, err = netip.ParseAddr(host)
	}
	if err != nil || perr != nil || local.Zone() != "" || n == 0 && !local.IsLoopback() {
		bad("turn.listen: %q is not an IP address with a port, such as 192.0.2.7:3478", t.Listen)
		return
	}
	if t.PublicIP == "" {
		if local.IsUnspecified() {
			bad("turn.public_ip is needed where turn.listen names no address: relays are bound to one")
		}
		return
	}
	public, err := netip.ParseAddr(t.PublicIP)
	if err != nil || public.IsUnspecified() || public.Zone() != "" {
		bad("turn.public_ip: %q is not an IP address", t.PublicIP)
	} else if !local.IsUnspecified() && local.Unmap().Is4() != public.Unmap().Is4() {
		bad("turn.public_ip and turn.listen must both be IPv4 or both IPv6")
	}
}

const maxURLs = 6

// turnURL says whether a browser would take an address (RFC 7065).
func turnURL(s string) bool {
	rest, ok := strings.CutPrefix(s, "turn:")
	if !ok {
		if rest, ok = strings.CutPrefix(s, "turns:"); !ok {
			return false
		}
	}
	where, query, has := strings.Cut(rest, "?")
	if has && query != "transport=udp" && query != "transport=tcp" {
		return false
	}
	u, err := url.Parse("turn://" + where)
	return err == nil && u.Hostname() != "" && u.Host == where && !strings.HasSuffix(where, ":") && (u.Port() == "" || len(u.Port()) <= 5) && !strings.ContainsAny(where, " @,;'\"")
}
