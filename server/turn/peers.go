package turn

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Peer is an address that a relay may send to and hear from.
type Peer struct {
	Range netip.Prefix
	Port  uint16 // 0: every port, for ranges that an operator named
	// Via is where packets for the peer really go, if that is another address: behind a NAT a server may not reach itself by the address
	// that others know it by. Only with one address and a port.
	Via netip.AddrPort
}

// At is one address and port.
func At(a netip.AddrPort) Peer {
	a = unmap(a)
	return Peer{Range: netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), Port: a.Port()}
}

// ParsePeer reads "192.0.2.7:7882", "[2001:db8::7]:7882" or a range, "192.0.2.7/32".
func ParsePeer(s string) (Peer, error) {
	var p Peer
	if strings.Contains(s, "/") {
		r, err := netip.ParsePrefix(s)
		if err != nil || r != r.Masked() || r.Addr().Is4In6() {
			return p, fmt.Errorf("%q is no address range such as 192.0.2.7/32", s)
		}
		if r.Bits() < 24 || r.Addr().Is6() && r.Bits() < 64 {
			return p, fmt.Errorf("%q is too wide a range: a relay into it serves strangers (at most a /24, with IPv6 a /64)", s)
		}
		if r.Addr().IsLoopback() {
			return p, fmt.Errorf("%q would open every service of this machine: name address and port", s)
		}
		p = Peer{Range: r}
	} else {
		a, err := netip.ParseAddrPort(s)
		if err != nil || a.Port() == 0 || a.Addr().Zone() != "" {
			return p, fmt.Errorf("%q is neither an address with a port, such as 192.0.2.7:7882, nor a range, such as 192.0.2.7/32", s)
		}
		p = At(a)
	}
	if never(p.Range.Addr()) {
		return p, fmt.Errorf("%q is not the address of a server", s)
	}
	return p, nil
}

// never are addresses that no list of peers opens: nobody serves media there, and 169.254.169.254 gives away a machine's keys.
func never(a netip.Addr) bool {
	return !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// peers decide where packets of relays may go. Immutable.
type peers struct {
	list []Peer
	via  map[netip.AddrPort]netip.AddrPort // where it goes instead
	back map[netip.AddrPort]netip.AddrPort // and as whom the answer comes
}

var errVia = errors.New("turn: Via is for one address with a port")

func newPeers(list []Peer) (*peers, error) {
	p := &peers{list: list, via: map[netip.AddrPort]netip.AddrPort{}, back: map[netip.AddrPort]netip.AddrPort{}}
	for _, one := range list {
		if !one.Via.IsValid() {
			continue
		}
		if !one.Range.IsSingleIP() || one.Port == 0 {
			return nil, errVia
		}
		announced, via := one.at(), unmap(one.Via)
		p.via[announced], p.back[via] = via, announced
	}
	return p, nil
}

// host says whether anything at an address may be reached: TURN's permissions know no ports.
func (p *peers) host(a netip.Addr) bool {
	a = a.Unmap()
	if never(a) {
		return false
	}
	for _, one := range p.list {
		if one.Range.Contains(a) {
			return true
		}
	}
	return false
}

// to answers where a packet for a peer goes; false: nowhere.
func (p *peers) to(a netip.AddrPort) (netip.AddrPort, bool) {
	a = unmap(a)
	if !p.allowed(a) {
		return a, false
	}
	if via, ok := p.via[a]; ok {
		return via, true
	}
	return a, true
}

// from answers as whom a packet comes, by its sender; false: it does not.
func (p *peers) from(a netip.AddrPort) (netip.AddrPort, bool) {
	a = unmap(a)
	if announced, ok := p.back[a]; ok {
		return announced, true
	}
	return a, p.allowed(a)
}

func (p *peers) allowed(a netip.AddrPort) bool {
	if never(a.Addr()) {
		return false
	}
	for _, one := range p.list {
		if one.Range.Contains(a.Addr()) && (one.Port == 0 || one.Port == a.Port()) {
			return true
		}
	}
	return false
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// URLs is how clients reach a server that listens on UDP and TCP.
func URLs(at netip.AddrPort) []string {
	host := at.Addr().Unmap().String()
	if at.Addr().Is6() {
		host = "[" + host + "]"
	}
	base := "turn:" + host + ":" + strconv.Itoa(int(at.Port()))
	return []string{base + "?transport=udp", base + "?transport=tcp"}
}

// at is the address of a peer with one.
func (p Peer) at() netip.AddrPort { return netip.AddrPortFrom(p.Range.Addr(), p.Port) }
