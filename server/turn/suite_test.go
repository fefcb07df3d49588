package turn

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// neighbour is a TURN server that shares a secret with Credentials: the embedded one, or coturn as docs/turn.md configures it. 127.0.0.1 is
// an allowed peer; the embedded one allows only the port of the echo.
type neighbour struct {
	addr   netip.AddrPort
	secret string
	echo   *echo
	user   int  // relays per credential
	six    bool // it relays IPv6 as well
}

func (n *neighbour) credential(at time.Time) Credential {
	return NewCredentials([]byte(n.secret), []string{"turn:x"}).New(at)
}

// mustRelay opens a relay with a good credential.
func (n *neighbour) mustRelay(t testing.TB) *talker {
	t.Helper()
	k := talkUDP(t, n.addr, n.credential(time.Now()))
	if _, c := k.allocate(); c != 0 {
		t.Fatalf("no relay: %d", c)
	}
	return k
}

// elsewhere is where no relay may lead.
var elsewhere = strings.Fields(`0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 127.0.0.2 127.255.255.254 169.254.1.1 169.254.169.254 172.16.0.1 172.31.255.254 192.0.0.8 192.0.2.1
	192.168.1.1 198.18.0.1 198.51.100.9 203.0.113.9 224.0.0.251 240.0.0.1 255.255.255.255`)

var elsewhereSix = strings.Fields(`::1 :: ::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1:: fc00::1
	fd00:ec2::254 fe80::1 fec0::1 ff02::1`)

var mapped = strings.Fields(`::ffff:127.0.0.2 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:192.168.1.1`)

// suite is what must hold of every TURN server that gets our credentials.
func suite(t *testing.T, n *neighbour) {
	t.Run("TN1 a credential opens a relay to an allowed peer, over UDP and TCP", func(t *testing.T) {
		tcp, err := net.Dial("tcp", n.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []*talker{n.mustRelay(t), talkStream(t, tcp, n.credential(time.Now()))} {
			if k.nonce == "" {
				if _, c := k.allocate(); c != 0 {
					t.Fatalf("no relay over TCP: %d", c)
				}
			}
			if c := k.permit(n.echo.addr); c != 0 {
				t.Fatalf("permission: %d", c)
			}
			k.send(n.echo.addr, "hello")
			if from, data, ok := k.hear(3 * time.Second); !ok || data != "echo hello" || from != n.echo.addr {
				t.Errorf("got %q from %s", data, from)
			}
			drain(n.echo)
		}
	})
	t.Run("TN12 so does one that LiveKit makes of the secret", func(t *testing.T) {
		cred := liveKits(n.secret, time.Now().Add(Life))
		if _, c := talkUDP(t, n.addr, cred).allocate(); c != 0 {
			t.Errorf("no relay: %d", c)
		}
	})
	now := time.Now()
	good := n.credential(now)
	for _, c := range []struct {
		name string
		cred Credential
	}{
		{"a wrong password", Credential{Username: good.Username, Password: n.credential(now).Password}},
		{"one of another secret", NewCredentials([]byte("another secret, as long as it"), nil).New(now)},
		{"an expired one", n.credential(now.Add(-Life - time.Second))},
		{"LiveKit's, expired", liveKits(n.secret, now.Add(-time.Second))},
		{"a later end than was signed", Credential{Username: "9" + good.Username[1:], Password: good.Password}},
		{"no end at all", Credential{Username: "ada", Password: password([]byte(n.secret), "ada")}},
		{"the secret itself", Credential{Username: good.Username, Password: n.secret}},
	} {
		t.Run("TN3 opens nothing: "+c.name, func(t *testing.T) {
			if _, got := talkUDP(t, n.addr, c.cred).allocate(); got != int(stun.CodeUnauthorized) {
				t.Errorf("got %d, want 401", got)
			}
		})
	}
	t.Run("TN3 a relay goes on when its credential ends, and no other is opened with it", func(t *testing.T) {
		cred := n.credential(time.Now().Add(-Life + 2*time.Second))
		k := talkUDP(t, n.addr, cred)
		if _, c := k.allocate(); c != 0 {
			t.Fatalf("no relay: %d", c)
		}
		time.Sleep(3100 * time.Millisecond) // the end is in whole seconds
		if c := code(k.ask(stun.MethodRefresh, raw{stun.AttrLifetime, []byte{0, 0, 1, 0}})); c != 0 {
			t.Errorf("refresh: %d", c)
		}
		if c := k.permit(n.echo.addr); c != 0 {
			t.Errorf("permission: %d", c)
		}
		k.send(n.echo.addr, "late")
		if _, data, ok := k.hear(3 * time.Second); !ok || data != "echo late" {
			t.Errorf("got %q", data)
		}
		drain(n.echo)
		if _, c := talkUDP(t, n.addr, cred).allocate(); c == 0 {
			t.Error("an expired credential opened another relay")
		}
	})
	t.Run("TN4 no permission and no channel for any other address", func(t *testing.T) {
		refused := func(k *talker, list []string, why int) {
			t.Helper()
			for i, s := range list {
				a := netip.AddrPortFrom(netip.MustParseAddr(s), n.echo.addr.Port())
				if c := k.permit(a); c != why {
					t.Errorf("permission for %s: %d, want %d", s, c, why)
				}
				if c := k.bind(uint16(0x4000+i), a); c == 0 {
					t.Errorf("channel to %s", s)
				}
			}
		}
		refused(n.mustRelay(t), elsewhere, int(stun.CodeForbidden))
		why := stun.CodeForbidden
		if n.six {
			why = stun.CodePeerAddrFamilyMismatch // coturn takes a mapped address for IPv6
		}
		refused(n.mustRelay(t), mapped, int(why))
		refused(n.mustRelay(t), elsewhereSix, int(stun.CodePeerAddrFamilyMismatch))
		if n.six {
			k := talkUDP(t, n.addr, n.credential(time.Now()))
			if _, c := k.allocate(raw{stun.AttrRequestedAddressFamily, []byte{2, 0, 0, 0}}); c != 0 {
				t.Fatalf("no relay: %d", c)
			}
			refused(k, append(mapped, elsewhereSix...), int(stun.CodeForbidden))
		}
	})
	t.Run("TN4 without a permission nothing is passed on in either direction", func(t *testing.T) {
		k := talkUDP(t, n.addr, n.credential(time.Now()))
		relay, c := k.allocate()
		if c != 0 {
			t.Fatalf("no relay: %d", c)
		}
		other := newEcho(t, "127.0.0.2")
		k.send(other.addr, "out")
		if _, err := other.conn.WriteToUDPAddrPort([]byte("in"), relay); err != nil {
			t.Fatal(err)
		}
		if c := k.permit(n.echo.addr); c != 0 { // behind both
			t.Fatal(c)
		}
		k.send(n.echo.addr, "known")
		if _, data, ok := k.hear(3 * time.Second); !ok || data != "echo known" {
			t.Errorf("got %q", data)
		}
		drain(n.echo)
		select {
		case s := <-other.got:
			t.Errorf("%q got out", s)
		default:
		}
	})
	t.Run("TN5 nothing relays TCP", func(t *testing.T) {
		tcp, err := net.Dial("tcp", n.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		k := talkStream(t, tcp, n.credential(time.Now()))
		if c := code(k.ask(stun.MethodAllocate, transport(protoTCP))); c == 0 {
			t.Error("a TCP relay was opened")
		}
	})
	t.Run("TN6 a credential opens so many relays and no more; another credential does", func(t *testing.T) {
		cred := n.credential(time.Now())
		var list []*talker
		for i := range n.user + 1 {
			k := talkUDP(t, n.addr, cred)
			_, c := k.allocate()
			if want := i < n.user; (c == 0) != want {
				t.Fatalf("relay %d: %d", i+1, c)
			}
			list = append(list, k)
		}
		if c := code(list[0].ask(stun.MethodRefresh, lifetime(0))); c != 0 {
			t.Fatalf("giving back: %d", c)
		}
		var c int
		for range 50 { // coturn counts a second later
			if _, c = talkUDP(t, n.addr, cred).allocate(); c == 0 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if c != 0 {
			t.Errorf("after one was given back: %d", c)
		}
		n.mustRelay(t)
	})
}

// liveKits is a credential as LiveKit 1.13.5 makes it for a participant (turn_servers with a secret).
func liveKits(secret string, end time.Time) Credential {
	user := fmt.Sprintf("%d:PA_2bcdefghjkmn", end.Unix())
	return Credential{Username: user, Password: password([]byte(secret), user)}
}

func drain(e *echo) {
	for {
		select {
		case <-e.got:
		default:
			return
		}
	}
}
