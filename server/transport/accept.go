package transport

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"github.com/educationpub/lectern/server/wire"
)

// refuse answers a request that does not become a WebSocket (docs/protocol.md §1).
func (s *Server) refuse(w http.ResponseWriter, status int, code, message string) {
	s.stats.refused(code)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message}) // the peer may be gone
}

// ServeHTTP upgrades to a WebSocket and serves the session until it ends.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !offers(r, wire.Subprotocol) {
		s.refuse(w, http.StatusUpgradeRequired, "version", "This address speaks the WebSocket subprotocol "+wire.Subprotocol+" only. Please reload the page.")
		return
	}
	if !s.originAllowed(r) {
		s.refuse(w, http.StatusForbidden, "origin", "This page may not connect to this server.")
		return
	}
	addr := s.address(r)
	if status, code, message := s.admit(addr); status != 0 {
		s.refuse(w, status, code, message)
		return
	}
	defer s.wg.Done() // admit added
	taken := &hijacked{ResponseWriter: w}
	conn, err := websocket.Accept(taken, r, &websocket.AcceptOptions{
		Subprotocols:       []string{wire.Subprotocol},
		InsecureSkipVerify: true, // originAllowed is stricter
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil { // Accept has answered
		s.stats.refused("version")
		s.settled(addr)
		s.gone(nil)
		return
	}
	conn.SetReadLimit(-1) // session.read keeps the protocol's own limits and close codes
	c := newSession(s, conn, taken.out)
	c.serve(addr)
}

// hijacked keeps the TCP connection under a WebSocket: closing that is the one way to end it at once, whatever the library waits for. What the
// library writes goes through the session's outlet.
type hijacked struct {
	http.ResponseWriter
	out *outlet
}

// Hijack implements http.Hijacker.
func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.out = &outlet{Conn: conn}
	const control = 512 // its frames: at most 125 bytes and a header, or a farewell
	return h.out, bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(h.out, control)), nil
}

// offers says whether the request offers the subprotocol.
func offers(r *http.Request, proto string) bool {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(p) == proto {
				return true
			}
		}
	}
	return false
}

// originAllowed: the server's own origin or a configured one. None at all is refused too (protocol §1.4), so that no browser quirk opens a way.
func (s *Server) originAllowed(r *http.Request) bool {
	o := r.Header.Get("Origin")
	if slices.Contains(s.cfg.Origins, o) && o != "" {
		return true
	}
	u, err := url.Parse(o)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

func (s *Server) address(r *http.Request) string {
	if s.cfg.ClientIP != nil {
		return s.cfg.ClientIP(r)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// admit counts a socket without login. Status 0: admitted, and s.wg holds it.
func (s *Server) admit(addr string) (status int, code, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return http.StatusServiceUnavailable, "overloaded", "The server restarts. Please try again in a moment."
	case s.sockets >= s.lim.Sockets, s.pending >= s.lim.Unauthorized:
		return http.StatusServiceUnavailable, "overloaded", "The server has too many connections at the moment. Please try again in a moment."
	case s.waiting[addr] >= s.lim.PerAddress:
		return http.StatusTooManyRequests, "rate_limited", "Too many connections from your network have not signed in. Please try again in a moment."
	}
	s.wg.Add(1)
	s.sockets++
	s.pending++
	s.waiting[addr]++
	return 0, "", ""
}

// settled ends the counting of admit: the socket has logged in or failed to.
func (s *Server) settled(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending--
	if s.waiting[addr]--; s.waiting[addr] == 0 {
		delete(s.waiting, addr)
	}
}

// enlist registers a session that has logged in, within the limits per person.
func (s *Server) enlist(c *session) *farewell {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return &draining
	}
	all, here := 0, 0
	for o := range s.sessions {
		if o.auth.Person == c.auth.Person {
			all++
			if o.auth.Room == c.auth.Room {
				here++
			}
		}
	}
	if all >= s.lim.PerPerson || here >= s.lim.PerPersonRoom {
		s.stats.refused("too_many_sessions")
		return &tooMany
	}
	s.sessions[c] = struct{}{}
	return nil
}

// gone forgets a socket; c is nil where there was no session.
func (s *Server) gone(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, c)
	s.sockets--
}
