package turn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/logging"
	pion "github.com/pion/turn/v5"
)

// Limits bound what relays may use. Zero fields take the defaults.
type Limits struct {
	PerName int           // 16 relays by one credential at a time: a browser opens one per network interface and URL
	Relays  int           // 2,000 in all
	Conns   int           // 2,000 TCP connections
	Idle    time.Duration // 5 min: a relay, or a TCP connection, that carries nothing ends
	Longest time.Duration // 4 h: no relay lives longer
	Write   time.Duration // 10 s: a TCP client that does not read is cut
}

func (l Limits) withDefaults() Limits {
	def(&l.PerName, 16)
	def(&l.Relays, 2000)
	def(&l.Conns, 2000)
	def(&l.Idle, 5*time.Minute)
	def(&l.Longest, 4*time.Hour)
	def(&l.Write, 10*time.Second)
	return l
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Config of the embedded server. Listen and Secret are required.
type Config struct {
	// Listen is the address for UDP and TCP, "192.0.2.7:3478". With an empty host or 0.0.0.0, PublicIP is needed as well.
	Listen string
	// PublicIP is what clients know the machine by, where that is not the address it listens on.
	PublicIP netip.Addr
	Realm    string // "lectern" if empty
	Secret   []byte
	Peers    []Peer
	Limits   Limits
}

// Server is a running TURN server.
type Server struct {
	// Immutable after Listen.
	secret []byte
	realm  string
	lim    Limits
	peers  *peers
	local  netip.Addr // relays are bound to it
	public netip.Addr // and known by it
	addr   netip.AddrPort
	server *pion.Server
	tcp    *listener
	now    func() time.Time

	stats counters

	mu     sync.Mutex // guards what follows
	relays map[*relay]struct{}
	names  map[string]int // open relays by credential
	closed bool
}

// Listen opens the server. Close ends it.
func Listen(cfg Config) (_ *Server, err error) {
	s := &Server{secret: cfg.Secret, realm: cfg.Realm, lim: cfg.Limits.withDefaults(), now: time.Now, relays: map[*relay]struct{}{}, names: map[string]int{}}
	def(&s.realm, "lectern")
	if len(cfg.Secret) < minSecret {
		return nil, fmt.Errorf("turn: the secret is shorter than %d bytes", minSecret)
	}
	if s.peers, err = newPeers(cfg.Peers); err != nil {
		return nil, err
	}
	if s.local, err = Local(cfg.Listen, cfg.PublicIP); err != nil {
		return nil, err
	}
	if s.public = cfg.PublicIP.Unmap(); !s.public.IsValid() {
		s.public = s.local
	}
	udp, tcp, err := open(cfg.Listen, s.local.Is6())
	if err != nil {
		return nil, fmt.Errorf("listen for TURN: %w", err)
	}
	s.addr = netip.AddrPortFrom(s.public, udp.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	s.tcp = &listener{Listener: tcp, s: s, conns: map[*conn]struct{}{}}
	quiet := &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled} // pion's lines have addresses in them
	s.server, err = pion.NewServer(pion.ServerConfig{
		Realm: s.realm, LoggerFactory: quiet, AuthHandler: s.auth, QuotaHandler: s.quota, StrictAddressFamily: !s.local.Is6(),
		EventHandler: pion.EventHandler{OnAuth: func(_, _ net.Addr, _, _, _, _ string, right bool) {
			if !right {
				s.stats.refused("credential")
			}
		}},
		PacketConnConfigs: []pion.PacketConnConfig{{PacketConn: udp, RelayAddressGenerator: generator{s}, PermissionHandler: s.permit}},
		ListenerConfigs:   []pion.ListenerConfig{{Listener: s.tcp, RelayAddressGenerator: generator{s}, PermissionHandler: s.permit}},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start TURN: %w", err), udp.Close(), tcp.Close())
	}
	return s, nil
}

// Local answers the address that relays are bound to: the one of listen, or where listen names none, the one from which the machine would
// speak to public.
func Local(listen string, public netip.Addr) (netip.Addr, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("turn: %w", err)
	}
	if host != "" {
		a, err := netip.ParseAddr(host)
		if err != nil {
			return a, fmt.Errorf("turn: %q is no IP address", host)
		}
		if !a.IsUnspecified() {
			return a.Unmap(), nil
		}
	}
	if !public.IsValid() {
		return netip.Addr{}, errors.New("turn: an address to listen on, or the public one, is needed: relays are bound to one")
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(public, 9))) // sends nothing
	if err != nil {
		return netip.Addr{}, fmt.Errorf("turn: find the address behind %s: %w", public, err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// open listens on the same port of UDP and TCP.
func open(listen string, six bool) (net.PacketConn, net.Listener, error) {
	family := "4"
	if six {
		family = "6"
	}
	for attempt := 0; ; attempt++ {
		udp, err := net.ListenPacket("udp"+family, listen)
		if err != nil {
			return nil, nil, err
		}
		host, want, err := net.SplitHostPort(listen)
		if err != nil {
			return nil, nil, errors.Join(err, udp.Close())
		}
		tcp, err := net.Listen("tcp"+family, net.JoinHostPort(host, strconv.Itoa(udp.LocalAddr().(*net.UDPAddr).Port)))
		if err == nil {
			return udp, tcp, nil
		}
		if err = errors.Join(err, udp.Close()); want != "0" || attempt > 20 { // any port: one that TCP has free as well
			return nil, nil, err
		}
	}
}

// Addr is where clients reach the server.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// auth answers the key of a name. The signature is checked by pion, in constant time.
func (s *Server) auth(r *pion.RequestAttributes) (string, []byte, bool) {
	end, ok := expiry(r.Username)
	if !ok || r.Realm != s.realm {
		s.stats.refused("credential")
		return "", nil, false
	}
	// Not even who has the secret may give away more than Life; clocks differ by a minute.
	left := end.Sub(s.now())
	if left > Life+time.Minute || left <= 0 && !s.holds(r.Username) {
		s.stats.refused("expired")
		return "", nil, false
	}
	return r.Username, pion.GenerateAuthKey(r.Username, s.realm, password(s.secret, r.Username)), true
}

// holds says whether a relay of this credential is open: it may then be kept, though no other is opened. A board does not end with the hour.
func (s *Server) holds(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[name] > 0
}

// quota says whether this credential may open one more relay. take asks again, for good: requests come at the same time.
func (s *Server) quota(name, _ string, _ net.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room(name) == ""
}

func (s *Server) room(name string) (refused string) {
	end, _ := expiry(name)
	switch {
	case s.closed:
		return "closed"
	case !end.After(s.now()):
		refused = "expired"
	case s.names[name] >= s.lim.PerName:
		refused = "quota"
	case len(s.relays) >= s.lim.Relays:
		refused = "full"
	}
	if refused != "" {
		s.stats.refused(refused)
	}
	return refused
}

// permit says whether anything at an address may be reached. Ports are the relay's to judge, with every packet.
func (s *Server) permit(_ net.Addr, ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	if ok = ok && s.peers.host(a); !ok {
		s.stats.refused("peer")
	}
	return ok
}

// Close ends every relay and every connection.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	open := make([]*relay, 0, len(s.relays))
	for r := range s.relays {
		open = append(open, r)
	}
	s.mu.Unlock()
	err := s.server.Close()
	for _, r := range open {
		err = errors.Join(err, r.Close())
	}
	return err
}

// Stats are counters since the start.
type Stats struct {
	Relays  int // open
	Opened  uint64
	Bytes   [2]uint64         // to peers, from peers
	Refused map[string]uint64 // by reason: credential, expired, quota, full, peer, packet, transport, conns
}

// Stats answers the counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	n := len(s.relays)
	s.mu.Unlock()
	st := Stats{Relays: n, Opened: s.stats.opened.Load(), Bytes: [2]uint64{s.stats.bytes[0].Load(), s.stats.bytes[1].Load()}, Refused: map[string]uint64{}}
	for i, name := range reasons {
		if n := s.stats.no[i].Load(); n > 0 {
			st.Refused[name] = n
		}
	}
	return st
}

// Reasons are the keys that Refused can have.
func Reasons() []string { return reasons[:] }

var reasons = [...]string{"credential", "expired", "quota", "full", "peer", "packet", "transport", "conns"}

type counters struct {
	opened atomic.Uint64
	bytes  [2]atomic.Uint64
	no     [len(reasons)]atomic.Uint64
}

func (c *counters) refused(reason string) {
	for i, name := range reasons {
		if name == reason {
			c.no[i].Add(1)
		}
	}
}
