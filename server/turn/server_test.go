package turn

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"
)

// TestMain fails the run when goroutines are left behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	status := m.Run()
	end := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(end) {
		time.Sleep(20 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before && status == 0 {
		fmt.Fprintf(os.Stderr, "%d goroutines left behind\n", n-before)
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		status = 1
	}
	os.Exit(status)
}

const secretOfTests = "a secret of the embedded server"

// embed runs the embedded server on loopback, with the echo as its one peer.
func embed(t testing.TB, change func(*Config)) (*Server, *neighbour) {
	t.Helper()
	e := newEcho(t, "127.0.0.1")
	cfg := Config{Listen: "127.0.0.1:0", Secret: []byte(secretOfTests), Realm: "school.example", Peers: []Peer{At(e.addr)}}
	if change != nil {
		change(&cfg)
	}
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if n := s.Stats().Relays; n != 0 {
			t.Errorf("%d relays are left", n)
		}
	})
	return s, &neighbour{addr: s.Addr(), secret: secretOfTests, echo: e, user: s.lim.PerName}
}

// eventually waits for a condition that pion's goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not reached: %s", what)
		}
	}
}

func TestEmbedded(t *testing.T) {
	s, n := embed(t, func(c *Config) { c.Limits.PerName = 3 })
	suite(t, n)
	t.Run("TN4 an allowed address is reached at its port only, and only that is heard", func(t *testing.T) {
		k := talkUDP(t, n.addr, n.credential(time.Now()))
		relay, c := k.allocate()
		if c != 0 {
			t.Fatal(c)
		}
		other := newEcho(t, "127.0.0.1") // same address, another port
		if c := k.permit(n.echo.addr); c != 0 {
			t.Fatal(c)
		}
		_ = k.bind(0x4001, other.addr) // TURN's permissions know no ports
		before := s.Stats().Refused["packet"]
		k.send(other.addr, "out")
		if _, err := k.conn.WriteTo([]byte{0x40, 0x01, 0, 4, 'd', 'a', 't', 'a'}, k.to); err != nil {
			t.Fatal(err)
		}
		if _, err := other.conn.WriteToUDPAddrPort([]byte("in"), relay); err != nil {
			t.Fatal(err)
		}
		k.send(n.echo.addr, "known")
		if from, data, ok := k.hear(3 * time.Second); !ok || data != "echo known" {
			t.Errorf("got %q from %s", data, from)
		}
		select {
		case got := <-other.got:
			t.Errorf("%q got out", got)
		default:
		}
		if now := s.Stats().Refused["packet"]; now != before+3 {
			t.Errorf("%d packets were refused, want 3", now-before)
		}
	})
	t.Run("TN4 nor another relay of the same server", func(t *testing.T) {
		one, two := n.mustRelay(t), talkUDP(t, n.addr, n.credential(time.Now()))
		relay, _ := two.allocate()
		_, _ = one.permit(relay), two.permit(n.echo.addr)
		one.send(relay, "loop")
		if from, data, ok := two.hear(300 * time.Millisecond); ok {
			t.Errorf("%q from %s", data, from)
		}
	})
	t.Run("TN5 no ports are reserved, and one address family is relayed", func(t *testing.T) {
		for name, more := range map[string]stun.Setter{
			"even port": raw{stun.AttrEvenPort, []byte{0x80}}, "IPv6": raw{stun.AttrRequestedAddressFamily, []byte{2, 0, 0, 0}}, "a family that is none": raw{stun.AttrRequestedAddressFamily, []byte{9, 0, 0, 0}},
		} {
			if _, c := talkUDP(t, n.addr, n.credential(time.Now())).allocate(more); c == 0 {
				t.Errorf("%s: a relay was opened", name)
			}
		}
	})
	t.Run("TN3 a credential for more than an hour opens nothing, whoever signed it", func(t *testing.T) {
		if _, c := talkUDP(t, n.addr, n.credential(time.Now().Add(2*time.Minute))).allocate(); c != 401 {
			t.Errorf("got %d", c)
		}
		if _, c := talkUDP(t, n.addr, liveKits(secretOfTests, time.Now().Add(4*time.Hour))).allocate(); c != 401 { // LiveKit's default
			t.Errorf("LiveKit's for four hours: got %d", c)
		}
		user := fmt.Sprintf("%d:@ada:example.org", time.Now().Add(time.Minute).Unix())
		if _, c := talkUDP(t, n.addr, Credential{Username: user, Password: password([]byte(secretOfTests), user)}).allocate(); c != 401 {
			t.Errorf("a name that Lectern does not make: got %d", c)
		}
	})
	t.Run("TN3 a relay is kept by its own credential only", func(t *testing.T) {
		k := n.mustRelay(t)
		k.cred = n.credential(time.Now())
		m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest), lifetime(0), stun.NewUsername(k.cred.Username), stun.NewRealm(k.realm), stun.NewNonce(k.nonce), stun.NewLongTermIntegrity(k.cred.Username, k.realm, k.cred.Password))
		if err != nil {
			t.Fatal(err)
		}
		before := s.Stats().Relays
		if _, err := k.conn.WriteTo(m.Raw, k.to); err != nil {
			t.Fatal(err)
		}
		n.mustRelay(t) // behind it
		if now := s.Stats().Relays; now != before+1 {
			t.Errorf("%d relays, want %d", now, before+1)
		}
	})
	t.Run("TN9 what was refused is counted by reason", func(t *testing.T) {
		got := s.Stats().Refused
		for _, reason := range []string{"credential", "expired", "quota", "peer", "packet", "transport"} {
			if got[reason] == 0 {
				t.Errorf("nothing under %q: %v", reason, got)
			}
		}
		if st := s.Stats(); st.Bytes[0] == 0 || st.Bytes[1] == 0 || st.Opened == 0 {
			t.Errorf("got %+v", st)
		}
	})
}

func TestEmbeddedClient(t *testing.T) {
	t.Run("TN1 pion's client gets through, with channels", func(t *testing.T) {
		_, n := embed(t, nil)
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		cred := n.credential(time.Now())
		c, err := pion.NewClient(&pion.ClientConfig{TURNServerAddr: n.addr.String(), Username: cred.Username, Password: cred.Password, Conn: conn})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		defer c.Close()
		if err := c.Listen(); err != nil {
			t.Fatal(err)
		}
		relay, err := c.Allocate()
		if err != nil {
			t.Fatal(err)
		}
		defer relay.Close()
		for i := range 20 {
			want := fmt.Sprintf("packet %d", i)
			if _, err := relay.WriteTo([]byte(want), net.UDPAddrFromAddrPort(n.echo.addr)); err != nil {
				t.Fatal(err)
			}
			if err := relay.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 100)
			k, _, err := relay.ReadFrom(b)
			if err != nil || string(b[:k]) != "echo "+want {
				t.Fatalf("got %q, %v", b[:k], err)
			}
		}
	})
}

func TestLimits(t *testing.T) {
	t.Run("TN6 so many relays in all", func(t *testing.T) {
		s, n := embed(t, func(c *Config) { c.Limits.Relays = 2 })
		_, _ = n.mustRelay(t), n.mustRelay(t)
		if _, c := talkUDP(t, n.addr, n.credential(time.Now())).allocate(); c == 0 {
			t.Error("a third one")
		}
		if s.Stats().Refused["full"] == 0 {
			t.Error("not counted")
		}
	})
	t.Run("TN6 many at once stay within the limit", func(t *testing.T) {
		s, n := embed(t, func(c *Config) { c.Limits.PerName = 2 })
		cred := n.credential(time.Now())
		open := make(chan int, 20)
		for range cap(open) {
			tcp, err := net.Dial("tcp", n.addr.String()) // each is read by a goroutine of its own
			if err != nil {
				t.Fatal(err)
			}
			k := talkStream(t, tcp, cred)
			go func() { _, c := k.allocate(); open <- c }() // joined below
		}
		ok := 0
		for range cap(open) {
			if <-open == 0 {
				ok++
			}
		}
		if st := s.Stats(); ok != 2 || st.Relays != 2 {
			t.Errorf("%d were opened, %d are", ok, st.Relays)
		}
	})
	t.Run("TN7 a relay that carries nothing ends, one that carries something does not", func(t *testing.T) {
		s, n := embed(t, func(c *Config) { c.Limits.Idle = 400 * time.Millisecond })
		busy := n.mustRelay(t)
		n.mustRelay(t)
		if c := busy.permit(n.echo.addr); c != 0 {
			t.Fatal(c)
		}
		for range 12 {
			busy.send(n.echo.addr, "x")
			if _, _, ok := busy.hear(time.Second); !ok {
				t.Fatal("the busy one ended")
			}
			time.Sleep(100 * time.Millisecond) // what is measured is time
		}
		if got := s.Stats().Relays; got != 1 {
			t.Errorf("%d relays, want 1", got)
		}
		eventually(t, "the other one ends too", func() bool { return s.Stats().Relays == 0 })
	})
	t.Run("TN7 no relay lives longer than the limit, whatever it carries or asks", func(t *testing.T) {
		s, n := embed(t, func(c *Config) { c.Limits.Longest = 500 * time.Millisecond })
		k := n.mustRelay(t)
		if c := k.permit(n.echo.addr); c != 0 {
			t.Fatal(c)
		}
		for end := time.Now().Add(2 * time.Second); s.Stats().Relays > 0; {
			if time.Now().After(end) {
				t.Fatal("it lives")
			}
			k.send(n.echo.addr, "x")
			k.hear(50 * time.Millisecond)
		}
		if _, err := k.conn.WriteTo([]byte("x"), k.to); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("TN7 a silent TCP connection is closed, with its relay", func(t *testing.T) {
		s, n := embed(t, func(c *Config) { c.Limits.Idle = 300 * time.Millisecond })
		tcp, err := net.Dial("tcp", n.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		k := talkStream(t, tcp, n.credential(time.Now()))
		if _, c := k.allocate(); c != 0 {
			t.Fatal(c)
		}
		if err := tcp.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := tcp.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("read %d, %v", n, err)
		}
		eventually(t, "the relay ends", func() bool { return s.Stats().Relays == 0 })
	})
	t.Run("TN6 so many TCP connections", func(t *testing.T) {
		s, n := embed(t, func(c *Config) { c.Limits.Conns = 2 })
		for range 5 {
			tcp, err := net.Dial("tcp", n.addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer tcp.Close()
		}
		eventually(t, "three are refused", func() bool { return s.Stats().Refused["conns"] == 3 })
	})
}

func TestListen(t *testing.T) {
	t.Run("TN4 a peer that is really elsewhere, as behind a NAT", func(t *testing.T) {
		announced := addrPort(t, "203.0.113.7:7882")
		_, n := embed(t, func(c *Config) {
			own := At(announced)
			own.Via = c.Peers[0].at()
			c.Peers, c.PublicIP = []Peer{own}, netip.MustParseAddr("203.0.113.7")
		})
		k := talkUDP(t, addrPort(t, fmt.Sprintf("127.0.0.1:%d", n.addr.Port())), n.credential(time.Now()))
		relay, c := k.allocate()
		if c != 0 || relay.Addr() != announced.Addr() || n.addr.Addr() != announced.Addr() {
			t.Fatalf("%d, a relay at %s of %s", c, relay, n.addr)
		}
		if c := k.permit(announced); c != 0 {
			t.Fatal(c)
		}
		k.send(announced, "in there")
		if from, data, ok := k.hear(3 * time.Second); !ok || data != "echo in there" || from != announced {
			t.Errorf("got %q from %s", data, from)
		}
		if k.permit(n.echo.addr) == 0 {
			t.Error("it is reached under its inner address")
		}
	})
	t.Run("TN5 relays are bound to the address that is listened on, or the one before the public one", func(t *testing.T) {
		loopback := netip.MustParseAddr("127.0.0.1")
		for _, c := range []struct {
			listen string
			public netip.Addr
			want   string
		}{
			{"192.0.2.7:3478", netip.Addr{}, "192.0.2.7"},
			{"192.0.2.7:3478", netip.MustParseAddr("203.0.113.7"), "192.0.2.7"},
			{":3478", loopback, "127.0.0.1"},
			{"0.0.0.0:3478", loopback, "127.0.0.1"},
			{"[2001:db8::1]:3478", netip.Addr{}, "2001:db8::1"},
			{":3478", netip.Addr{}, ""},
			{"turn.school.example:3478", netip.Addr{}, ""},
			{"3478", netip.Addr{}, ""},
		} {
			got, err := Local(c.listen, c.public)
			if (err == nil) != (c.want != "") || err == nil && got.String() != c.want {
				t.Errorf("%s, %s: got %s, %v", c.listen, c.public, got, err)
			}
		}
	})
	t.Run("TN7 without a secret worth the name it does not start", func(t *testing.T) {
		for _, secret := range []string{"", "short"} {
			if s, err := Listen(Config{Listen: "127.0.0.1:0", Secret: []byte(secret)}); err == nil {
				t.Errorf("it runs with %q", secret)
				_ = s.Close()
			}
		}
	})
	if got := strings.Join(URLs(addrPort(t, "[2001:db8::1]:3478")), " "); got != "turn:[2001:db8::1]:3478?transport=udp turn:[2001:db8::1]:3478?transport=tcp" {
		t.Errorf("got %s", got)
	}
}

func TestEmbeddedIPv6(t *testing.T) {
	e := newEcho(t, "::1")
	s, err := Listen(Config{Listen: "[::1]:0", Secret: []byte(secretOfTests), Peers: []Peer{At(e.addr)}})
	if err != nil {
		t.Skipf("no IPv6 on this machine: %v", err)
	}
	defer s.Close()
	t.Run("TN4 TN5 IPv6 in, IPv6 out, to its one peer", func(t *testing.T) {
		conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		k := &talker{t: t, conn: conn, to: net.UDPAddrFromAddrPort(s.Addr()), cred: NewCredentials([]byte(secretOfTests), nil).New(time.Now())}
		if _, c := k.allocate(); c != 0 || k.permit(e.addr) != 0 {
			t.Fatalf("no relay: %d", c)
		}
		k.send(e.addr, "six")
		if _, data, ok := k.hear(3 * time.Second); !ok || data != "echo six" {
			t.Errorf("got %q", data)
		}
		for _, a := range append(append(elsewhere, mapped...), elsewhereSix...) {
			if a != "::1" && k.permit(netip.AddrPortFrom(netip.MustParseAddr(a), e.addr.Port())) == 0 {
				t.Errorf("permission for %s", a)
			}
		}
	})
}
