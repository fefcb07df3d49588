package turn

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"
)

// talker speaks TURN by hand, so that it can say what no honest client says.
type talker struct {
	t     testing.TB
	conn  net.PacketConn
	to    net.Addr
	cred  Credential
	realm string
	nonce string
}

func talkUDP(t testing.TB, to netip.AddrPort, c Credential) *talker {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &talker{t: t, conn: conn, to: net.UDPAddrFromAddrPort(to), cred: c}
}

func talkStream(t testing.TB, conn net.Conn, c Credential) *talker {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	return &talker{t: t, conn: pion.NewSTUNConn(conn), to: conn.RemoteAddr(), cred: c}
}

func talkTLS(t testing.TB, to netip.AddrPort, cfg *tls.Config, c Credential) *talker {
	t.Helper()
	conn, err := tls.Dial("tcp", to.String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return talkStream(t, conn, c)
}

// ask sends a request, signed once the server has said its realm and nonce, and waits for the answer.
func (k *talker) ask(method stun.Method, more ...stun.Setter) *stun.Message {
	k.t.Helper()
	for {
		set := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, more...)
		signed := k.nonce != ""
		if signed {
			set = append(set, stun.NewUsername(k.cred.Username), stun.NewRealm(k.realm), stun.NewNonce(k.nonce), stun.NewLongTermIntegrity(k.cred.Username, k.realm, k.cred.Password))
		}
		m, err := stun.Build(append(set, stun.Fingerprint)...)
		if err != nil {
			k.t.Fatal(err)
		}
		if _, err := k.conn.WriteTo(m.Raw, k.to); err != nil {
			k.t.Fatal(err)
		}
		answer := k.answer(m.TransactionID)
		if answer == nil {
			k.t.Fatalf("no answer to %v", method)
		}
		var realm stun.Realm
		var nonce stun.Nonce
		if signed || realm.GetFrom(answer) != nil || nonce.GetFrom(answer) != nil {
			return answer
		}
		k.realm, k.nonce = realm.String(), nonce.String()
	}
}

func (k *talker) answer(id [stun.TransactionIDSize]byte) *stun.Message {
	k.t.Helper()
	if err := k.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		k.t.Fatal(err)
	}
	for b := make([]byte, 2000); ; {
		n, _, err := k.conn.ReadFrom(b)
		if err != nil {
			return nil
		}
		m := &stun.Message{Raw: append([]byte(nil), b[:n]...)}
		if m.Decode() == nil && m.TransactionID == id {
			return m
		}
	}
}

// code is the error code of an answer, 0 for success.
func code(m *stun.Message) int {
	var e stun.ErrorCodeAttribute
	if m.Type.Class == stun.ClassSuccessResponse {
		return 0
	}
	if e.GetFrom(m) != nil {
		return -1
	}
	return int(e.Code)
}

// raw is an attribute with any content.
type raw struct {
	kind  stun.AttrType
	value []byte
}

func (r raw) AddTo(m *stun.Message) error {
	m.Add(r.kind, r.value)
	return nil
}

func transport(protocol byte) stun.Setter {
	return raw{stun.AttrRequestedTransport, []byte{protocol, 0, 0, 0}}
}

const (
	protoTCP = 6
	protoUDP = 17
)

func lifetime(seconds byte) stun.Setter { return raw{stun.AttrLifetime, []byte{0, 0, 0, seconds}} }

// allocate opens a relay and answers its address.
func (k *talker) allocate(more ...stun.Setter) (netip.AddrPort, int) {
	k.t.Helper()
	m := k.ask(stun.MethodAllocate, append([]stun.Setter{transport(protoUDP)}, more...)...)
	var x stun.XORMappedAddress
	if err := x.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
		return netip.AddrPort{}, code(m)
	}
	a, _ := netip.AddrFromSlice(x.IP)
	return netip.AddrPortFrom(a.Unmap(), uint16(x.Port)), code(m)
}

// peerAttr is XOR-PEER-ADDRESS, mapped IPv6 as it stands.
type peerAttr netip.AddrPort

func (p peerAttr) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	if !a.Addr().Is4In6() {
		return stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
	}
	pad := append([]byte{0x21, 0x12, 0xa4, 0x42}, m.TransactionID[:]...)
	b := []byte{0, 2, byte(a.Port()>>8) ^ pad[0], byte(a.Port()) ^ pad[1]}
	for i, x := range a.Addr().As16() {
		b = append(b, x^pad[i])
	}
	m.Add(stun.AttrXORPeerAddress, b)
	return nil
}

func (k *talker) permit(a netip.AddrPort) int {
	k.t.Helper()
	return code(k.ask(stun.MethodCreatePermission, peerAttr(a)))
}

func (k *talker) bind(number uint16, a netip.AddrPort) int {
	k.t.Helper()
	return code(k.ask(stun.MethodChannelBind, raw{stun.AttrChannelNumber, []byte{byte(number >> 8), byte(number), 0, 0}}, peerAttr(a)))
}

// send sends data to a peer; nobody answers that.
func (k *talker) send(a netip.AddrPort, data string) {
	k.t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peerAttr(a), raw{stun.AttrData, []byte(data)}, stun.Fingerprint)
	if err != nil {
		k.t.Fatal(err)
	}
	if _, err := k.conn.WriteTo(m.Raw, k.to); err != nil {
		k.t.Fatal(err)
	}
}

// hear waits for data of a peer.
func (k *talker) hear(wait time.Duration) (from netip.AddrPort, data string, ok bool) {
	k.t.Helper()
	if err := k.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		k.t.Fatal(err)
	}
	for b := make([]byte, 2000); ; {
		n, _, err := k.conn.ReadFrom(b)
		if err != nil {
			return from, "", false
		}
		m := &stun.Message{Raw: append([]byte(nil), b[:n]...)}
		if m.Decode() != nil || m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
			continue
		}
		var x stun.XORMappedAddress
		v, err := m.Get(stun.AttrData)
		if x.GetFromAs(m, stun.AttrXORPeerAddress) != nil || err != nil {
			continue
		}
		a, _ := netip.AddrFromSlice(x.IP)
		return netip.AddrPortFrom(a.Unmap(), uint16(x.Port)), string(v), true
	}
}

// echo is a peer that answers everything, and counts it.
type echo struct {
	addr netip.AddrPort
	conn *net.UDPConn
	got  chan string
}

func newEcho(t testing.TB, host string) *echo {
	t.Helper()
	a, err := netip.ParseAddr(host)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), conn: conn, got: make(chan string, 100)}
	done := make(chan struct{})
	go func() { // joined at the end of the test
		defer close(done)
		for b := make([]byte, 2000); ; {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			select {
			case e.got <- string(b[:n]):
			default: // nobody asks
			}
			_, _ = conn.WriteToUDPAddrPort(append([]byte("echo "), b[:n]...), from)
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return e
}
