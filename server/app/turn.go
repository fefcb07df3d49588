package app

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/educationpub/lectern/server/config"
	"github.com/educationpub/lectern/server/turn"
)

// openTURN makes what gives out credentials, and the built-in server, as far as they are configured. The transport must listen already: relays
// lead to it.
func (p *parts) openTURN() error {
	cfg := p.cfg.Turn
	if cfg.Listen == "" && len(cfg.URLs) == 0 {
		return nil
	}
	secret, err := turn.Secret(cfg.SecretFile, cfg.Listen != "")
	if err != nil {
		return err
	}
	urls := cfg.URLs
	if cfg.Listen != "" {
		public, _ := netip.ParseAddr(cfg.PublicIP) // validated; invalid where it is empty
		local, err := turn.Local(cfg.Listen, public)
		if err != nil {
			return err
		}
		peers, err := turnPeers(p.cfg, p.transport.UDPAddr(), local)
		if err != nil {
			return err
		}
		p.turn, err = turn.Listen(turn.Config{Listen: cfg.Listen, PublicIP: public, Realm: cfg.Realm, Secret: secret, Peers: peers})
		if err != nil {
			return err
		}
		turnMetrics(p.registry, p.turn.Stats)
		if len(urls) == 0 {
			urls = turn.URLs(p.turn.Addr())
		}
	}
	p.credentials = turn.NewCredentials(secret, urls)
	return nil
}

// iceServers are for one client, at sign-in and refresh.
func (p *parts) iceServers() []turn.Credential {
	if p.credentials == nil {
		return []turn.Credential{}
	}
	return []turn.Credential{p.credentials.New(time.Now())}
}

// turnPeers are the addresses that data channels have in the eyes of clients (transport.RTC), and what the operator named. local is where
// relays send from.
func turnPeers(cfg *config.Config, channels net.Addr, local netip.Addr) ([]turn.Peer, error) {
	var out []turn.Peer
	for _, s := range cfg.Turn.Peers {
		peer, err := turn.ParsePeer(s)
		if err != nil {
			return nil, fmt.Errorf("turn.peers: %w", err)
		}
		out = append(out, peer)
	}
	udp, ok := channels.(*net.UDPAddr)
	if !ok {
		return out, nil
	}
	at := udp.AddrPort()
	everywhere := !at.Addr().IsValid() || at.Addr().IsUnspecified()
	if cfg.RTC.PublicIP != "" {
		public, err := netip.ParseAddr(cfg.RTC.PublicIP)
		if err != nil {
			return nil, fmt.Errorf("rtc.public_ip: %w", err)
		}
		own := turn.At(netip.AddrPortFrom(public, at.Port()))
		if own.Via = at; everywhere {
			own.Via = netip.AddrPortFrom(local, at.Port())
		}
		return append(out, own), nil
	}
	if !everywhere {
		return append(out, turn.At(at)), nil
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses for turn: %w", err)
	}
	for _, a := range own {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		if ip = ip.Unmap(); ok && !ip.IsLinkLocalUnicast() && (!ip.IsLoopback() || cfg.RTC.Loopback) {
			out = append(out, turn.At(netip.AddrPortFrom(ip, at.Port())))
		}
	}
	return out, nil
}

// turnMetrics publishes the counters that the TURN server keeps itself.
func turnMetrics(reg prometheus.Registerer, stats func() turn.Stats) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lectern_turn_relays", Help: "Open relays."}, func() float64 { return float64(stats().Relays) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "lectern_turn_relays_total", Help: "Relays that were opened."}, func() float64 { return float64(stats().Opened) }))
	for i, to := range []string{"peers", "clients"} {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "lectern_turn_bytes_total", Help: "Bytes relayed, by direction.", ConstLabels: prometheus.Labels{"to": to}},
			func() float64 { return float64(stats().Bytes[i]) }))
	}
	for _, reason := range turn.Reasons() {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "lectern_turn_refused_total", Help: "What was not relayed or opened, by reason.", ConstLabels: prometheus.Labels{"reason": reason}},
			func() float64 { return float64(stats().Refused[reason]) }))
	}
}
