package turn

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	pion "github.com/pion/turn/v5"
)

// generator opens the sockets of relays, within the limits.
type generator struct{ s *Server }

func (g generator) Validate() error { return nil }

var (
	errQuota     = errors.New("turn: no more relays")
	errTransport = errors.New("turn: only UDP is relayed")
)

// AllocatePacketConn opens a relay. Pion asks without a user to reserve ports, which nobody here needs.
func (g generator) AllocatePacketConn(c pion.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	if six := c.Network == "udp6"; c.UserID == "" || six != g.s.local.Is6() {
		g.s.stats.refused("transport")
		return nil, nil, errTransport
	}
	u, err := net.ListenUDP(c.Network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(g.s.local, 0)))
	if err != nil {
		return nil, nil, err
	}
	r := &relay{s: g.s, name: c.UserID, UDPConn: u, end: time.Now().Add(g.s.lim.Longest)}
	if err := g.s.take(r); err != nil {
		return nil, nil, errors.Join(err, u.Close())
	}
	return r, net.UDPAddrFromAddrPort(netip.AddrPortFrom(g.s.public, u.LocalAddr().(*net.UDPAddr).AddrPort().Port())), nil
}

// AllocateListener is RFC 6062, by which a relay would serve TCP.
func (g generator) AllocateListener(pion.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	g.s.stats.refused("transport")
	return nil, nil, errTransport
}

func (g generator) AllocateConn(pion.AllocateConnConfig) (net.Conn, error) {
	return nil, errTransport
}

// take lets one more relay live, or refuses it.
func (s *Server) take(r *relay) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room(r.name) != "" {
		return errQuota
	}
	s.relays[r] = struct{}{}
	s.names[r.name]++
	s.stats.opened.Add(1)
	r.used.Store(time.Now().UnixNano())
	r.idle = time.AfterFunc(time.Hour, r.watch)
	r.idle.Reset(min(s.lim.Idle, s.lim.Longest))
	return nil
}

func (s *Server) give(r *relay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.relays, r)
	if s.names[r.name]--; s.names[r.name] == 0 {
		delete(s.names, r.name)
	}
}

// relay is the socket of one allocation. It sees every packet, so what it does not let through goes nowhere, whatever permissions say.
type relay struct {
	// Immutable after take.
	s    *Server
	name string
	*net.UDPConn
	end  time.Time
	idle *time.Timer

	used atomic.Int64 // when it carried something last, Unix ns
	once sync.Once
}

// watch ends a relay that is too old or carries nothing. Pion notices at its next read, and forgets it.
func (r *relay) watch() {
	now := time.Now()
	rest := r.s.lim.Idle - now.Sub(time.Unix(0, r.used.Load()))
	if rest <= 0 || !now.Before(r.end) {
		_ = r.Close() // nobody to tell
		return
	}
	r.idle.Reset(min(rest, r.end.Sub(now)))
}

// WriteTo sends to a peer. What may not be sent is as lost as what a network loses.
func (r *relay) WriteTo(b []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return len(b), nil
	}
	a, ok := r.s.peers.to(u.AddrPort())
	if !ok {
		r.s.stats.refused("packet")
		return len(b), nil
	}
	r.used.Store(time.Now().UnixNano())
	r.s.stats.bytes[0].Add(uint64(len(b)))
	return r.WriteToUDPAddrPort(b, a)
}

// ReadFrom hears peers, and nobody else.
func (r *relay) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := r.ReadFromUDPAddrPort(b)
		if err != nil {
			return n, nil, err
		}
		a, ok := r.s.peers.from(from)
		if !ok {
			r.s.stats.refused("packet")
			continue
		}
		r.used.Store(time.Now().UnixNano())
		r.s.stats.bytes[1].Add(uint64(n))
		return n, net.UDPAddrFromAddrPort(a), nil
	}
}

// Close may be called again: pion does, and gives up on its other relays at an error.
func (r *relay) Close() (err error) {
	r.once.Do(func() {
		r.idle.Stop()
		err = r.UDPConn.Close()
		r.s.give(r)
	})
	return err
}

// listener counts TCP connections and closes what it accepted with itself.
type listener struct {
	net.Listener
	s *Server

	mu    sync.Mutex // guards what follows
	conns map[*conn]struct{}
	ended bool
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		k := &conn{Conn: c, l: l}
		if l.add(k) {
			return k, nil
		}
		l.s.stats.refused("conns")
		_ = c.Close()
	}
}

func (l *listener) add(k *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || len(l.conns) >= l.s.lim.Conns {
		return false
	}
	l.conns[k] = struct{}{}
	return true
}

func (l *listener) Close() error {
	l.mu.Lock()
	l.ended = true
	open := make([]*conn, 0, len(l.conns))
	for k := range l.conns {
		open = append(open, k)
	}
	l.mu.Unlock()
	err := l.Listener.Close()
	for _, k := range open {
		_ = k.Close() // its reader closes it too
	}
	return err
}

// conn is a client on TCP: silent or unread for too long, it is closed.
type conn struct {
	net.Conn
	l *listener
}

func (k *conn) Read(b []byte) (int, error) {
	if err := k.SetReadDeadline(time.Now().Add(k.l.s.lim.Idle)); err != nil {
		return 0, err
	}
	return k.Conn.Read(b)
}

func (k *conn) Write(b []byte) (int, error) {
	if err := k.SetWriteDeadline(time.Now().Add(k.l.s.lim.Write)); err != nil {
		return 0, err
	}
	n, err := k.Conn.Write(b)
	if err != nil { // a frame is half written: nothing after it can be read
		_ = k.Close()
	}
	return n, err
}

func (k *conn) Close() error {
	k.l.mu.Lock()
	delete(k.l.conns, k)
	k.l.mu.Unlock()
	return k.Conn.Close()
}
