// Package transport joins sockets to boards: it accepts WebSockets and WebRTC data channels that speak lectern.v1 (docs/protocol.md), keeps
// their limits, and moves frames between them and a board.Session. It owns connections; it decides nothing about boards or people.
//
// A WebSocket is a session: ServeHTTP's goroutine reads it, one more goroutine writes everything the session sends, on both lanes. A data
// channel adds one reading goroutine per channel. Nothing is queued per session: the writer asks the board for what comes next when it can send.
package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/wire"
)

// Auth is what a token stands for.
type Auth struct {
	Person    board.Person
	Room      string
	Kind      string
	Board     board.ID
	Encrypted bool // whether the room is; shown to the client
	// Expires ends the connection (close 4401, come back with the current token); zero: never.
	Expires time.Time
	// SessionKey names the login for Revoke: the hash of its first token, kept over refreshes.
	SessionKey [32]byte
}

// Refusal is an error of Authenticate that says how to close. Other errors close with 4401 and are not shown.
type Refusal struct {
	Close   int // docs/protocol.md §6
	Code    string
	Message string
	Retry   time.Duration // < 0: do not come back by yourself
}

func (r *Refusal) Error() string { return "transport: " + r.Code + ": " + r.Message }

// Limits bound what connections may use. Zero fields take the defaults of docs/protocol.md and SPEC WS.
type Limits struct {
	Sockets        int           // 2,000 in all
	Unauthorized   int           // 200 before their first frame
	PerAddress     int           // 64 before their first frame from one address: a class shares one
	PerPersonRoom  int           // 3
	PerPerson      int           // 10
	AuthTime       time.Duration // 5 s for the first frame, as much again for hello
	WriteTime      time.Duration // 30 s for one write: slower is closed
	PingSocket     time.Duration // 20 s
	PingChannel    time.Duration // 1 s
	Missed         int           // 3 pings without pong: lane dead
	FramesPerSec   int           // 50
	FrameBurst     int           // 200
	BytesPerSec    int           // 256 KiB
	BytesBurst     int           // 1 MiB
	LivePerSec     int           // 30
	ChannelBuffer  int           // 1 MiB queued on a data channel at most
	ChannelStalled time.Duration // 5 s with a full queue: back to the WebSocket
}

func (l Limits) withDefaults() Limits {
	def(&l.Sockets, 2000)
	def(&l.Unauthorized, 200)
	def(&l.PerAddress, 64)
	def(&l.PerPersonRoom, 3)
	def(&l.PerPerson, 10)
	def(&l.AuthTime, 5*time.Second)
	def(&l.WriteTime, 30*time.Second)
	def(&l.PingSocket, 20*time.Second)
	def(&l.PingChannel, time.Second)
	def(&l.Missed, 3)
	def(&l.FramesPerSec, 50)
	def(&l.FrameBurst, 200)
	def(&l.BytesPerSec, 256<<10)
	def(&l.BytesBurst, 1<<20)
	def(&l.LivePerSec, wire.MaxLiveHz)
	def(&l.ChannelBuffer, 1<<20)
	def(&l.ChannelStalled, 5*time.Second)
	return l
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Config says what a Server serves. Hub and Authenticate are required.
type Config struct {
	Hub *board.Hub
	// Authenticate answers what the token of an auth frame stands for. It must obey ctx.
	Authenticate func(ctx context.Context, token string) (Auth, error)
	// Origins that may connect besides the server's own, as "https://host[:port]".
	Origins []string
	// ClientIP is the address that limits before login count by; nil: the peer's address. Behind a proxy, give the trusted-proxy rule.
	ClientIP func(*http.Request) string
	// ServerName is our homeserver's: people of others are marked as external.
	ServerName string
	// Companion is the companion's Matrix id, shown to clients.
	Companion string
	RTC       RTC
	Limits    Limits
	Logger    *slog.Logger // nil: discarded
	// Trace, if set, runs on the writer's goroutine after entries have been handed to a socket or channel. For measurements only.
	Trace func(id board.ID, from uint64, n int)
}

// Server accepts connections at /v1/connect.
type Server struct {
	// Immutable after New.
	cfg  Config
	lim  Limits
	log  *slog.Logger
	rtc  *rtcAPI // nil: no data channels
	join joinFunc

	stats counters

	mu       sync.Mutex // guards what follows
	sessions map[*session]struct{}
	sockets  int
	waiting  map[string]int // sockets without login, by address
	pending  int            // their sum
	draining bool

	wg sync.WaitGroup // every ServeHTTP call and every closing PeerConnection
}

// attached is the part of *board.Session that connections use; tests replace it where a real board would only blur what they show.
type attached interface {
	Submit(ctx context.Context, doc board.DocID, epoch uint32, raw []byte) error
	Live(slot uint8, payload []byte)
	Wake() <-chan struct{}
	Next(ctx context.Context, b *board.Batch) (bool, error)
	Seek(have uint64) error
	Hold(on bool)
	Leave()
	Done() <-chan struct{}
}

type joinFunc func(ctx context.Context, j board.Join) (attached, board.Welcome, error)

// New opens the UDP socket of the data channels, if there is one. Close the server with Shutdown.
func New(cfg Config) (*Server, error) {
	if cfg.Hub == nil || cfg.Authenticate == nil {
		return nil, errors.New("transport: Config.Hub and Config.Authenticate are required")
	}
	return newServer(cfg, func(ctx context.Context, j board.Join) (attached, board.Welcome, error) {
		s, w, err := cfg.Hub.Join(ctx, j)
		if err != nil {
			return nil, w, err
		}
		return s, w, nil
	})
}

func newServer(cfg Config, join joinFunc) (*Server, error) {
	s := &Server{cfg: cfg, lim: cfg.Limits.withDefaults(), log: cfg.Logger, join: join, sessions: map[*session]struct{}{}, waiting: map[string]int{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if cfg.RTC.Listen != "" {
		r, err := newRTC(cfg.RTC)
		if err != nil {
			return nil, fmt.Errorf("open data channels on %s: %w", cfg.RTC.Listen, err)
		}
		s.rtc = r
	}
	return s, nil
}

// UDPAddr is where data channels are served, nil without them.
func (s *Server) UDPAddr() net.Addr {
	if s.rtc == nil {
		return nil
	}
	return s.rtc.addr
}

// Revoke ends the connections of a login, for instance after logout. They are told why and get close 4403.
func (s *Server) Revoke(key [32]byte, code, message string) {
	s.endAll(func(a Auth) bool { return a.SessionKey == key }, farewell{Close: wire.CloseRemoved, Code: code, Message: message, Retry: -1})
}

// RevokePerson ends the connections of a person in a room, "" for all rooms.
func (s *Server) RevokePerson(p board.Person, room, code, message string) {
	s.endAll(func(a Auth) bool { return a.Person == p && (room == "" || a.Room == room) },
		farewell{Close: wire.CloseRemoved, Code: code, Message: message, Retry: -1})
}

func (s *Server) endAll(match func(Auth) bool, f farewell) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.sessions {
		if match(c.auth) {
			c.dismiss(f)
		}
	}
}

// Shutdown tells every client to come back in a moment, waits until they are gone or ctx ends, and closes the UDP socket.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	s.endAll(func(Auth) bool { return true }, draining)
	gone := make(chan struct{})
	go func() { // joined below, or by the sockets being closed hard
		s.wg.Wait()
		close(gone)
	}()
	var err error
	select {
	case <-gone:
	case <-ctx.Done():
		err = ctx.Err()
		s.mu.Lock()
		for c := range s.sessions {
			c.cut()
		}
		s.mu.Unlock()
		<-gone
	}
	if s.rtc != nil {
		err = errors.Join(err, s.rtc.close())
	}
	return err
}

// farewell is how a connection ends: bye, then the close code.
type farewell = board.ByeEvent

var draining = farewell{Close: wire.CloseDraining, Code: "draining", Message: "The server restarts. Your work is safe; the page connects again by itself.", Retry: time.Second}
