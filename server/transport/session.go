package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/wire"
)

// session is one WebSocket and, if it opens, its data channels.
type session struct {
	s    *Server
	conn *websocket.Conn
	out  *outlet // messages to the client
	auth Auth    // immutable once enlisted

	// ctx ends with the connection; waits of readers and writer hang on it.
	ctx context.Context
	cut context.CancelFunc // closes everything at once, from any goroutine

	orders chan order    // from the readers to the writer
	leave  chan farewell // room for one: dismissal from outside

	// Shared by the readers of both lanes.
	frames *rate.Limiter
	bytes  *rate.Limiter
	live   *rate.Limiter
	joined atomic.Pointer[place]

	// Owned by the WebSocket's reader.
	in   []byte // receive buffer
	peer *peer  // newest PeerConnection, nil without

	wg sync.WaitGroup // writer and offer in work
}

// place is where the session is attached; a repeated hello replaces it.
type place struct{ at attached }

func newSession(s *Server, conn *websocket.Conn, out *outlet) *session {
	c := &session{
		s: s, conn: conn, out: out,
		orders: make(chan order, 16), leave: make(chan farewell, 1),
		frames: rate.NewLimiter(rate.Limit(s.lim.FramesPerSec), s.lim.FrameBurst),
		bytes:  rate.NewLimiter(rate.Limit(s.lim.BytesPerSec), s.lim.BytesBurst),
		live:   rate.NewLimiter(rate.Limit(s.lim.LivePerSec), s.lim.LivePerSec),
	}
	ctx, cancel := context.WithCancel(context.Background()) // outlives the request; ends in serve
	c.ctx = ctx
	c.cut = func() {
		cancel()
		_ = out.Close() // ends every read and write, a closing handshake too
	}
	return c
}

// Farewells of the transport itself.
var (
	badFrame = farewell{Close: wire.CloseBadFrame, Code: wire.CodeBadFrame, Message: "The page sent something this server does not understand. Please reload it.", Retry: 5 * time.Second}
	noAuth   = farewell{Close: wire.CloseUnauthorized, Code: "unauthorized", Message: "You are not signed in to this board any more. The page signs in again by itself.", Retry: 0}
	expired  = farewell{Close: wire.CloseUnauthorized, Code: "expired", Message: "Your sign-in has run out. The page signs in again by itself.", Retry: 0}
	tooMany  = farewell{Close: wire.CloseRate, Code: "too_many_sessions", Message: "You have this board open too many times. Please close another tab or device.", Retry: 30 * time.Second}
	silent   = farewell{Close: wire.CloseSlow, Code: "slow", Message: "The connection did not answer any more.", Retry: 0}
	failed   = farewell{Close: wire.CloseBoardFailed, Code: "board_failed", Message: "The board had a problem and is being opened again. Nothing that was acknowledged is lost.", Retry: time.Second}
)

// dismiss asks the writer to say goodbye. It never blocks; a writer that is stuck is cut off a second later.
func (c *session) dismiss(f farewell) {
	select {
	case c.leave <- f:
		time.AfterFunc(time.Second, func() {
			select {
			case <-c.leave: // not taken: the writer is stuck
				c.cut()
			default:
			}
		})
	default: // leaving already
	}
}

// serve runs the session to its end. It owns the WebSocket's reading side.
func (c *session) serve(addr string) {
	defer c.s.gone(c)
	defer c.conn.CloseNow() // the library's own end; cut has closed what is below
	defer c.cut()
	bye := c.login(addr)
	if bye != nil {
		c.farewell(*bye)
		return
	}
	c.s.stats.sessions.Add(1)
	defer c.s.stats.sessions.Add(-1)
	w := newWriter(c)
	c.wg.Go(w.run)
	if !c.auth.Expires.IsZero() {
		t := time.AfterFunc(time.Until(c.auth.Expires), func() { c.dismiss(expired) })
		defer t.Stop()
	}
	if f := c.read(); f != nil {
		c.order(order{kind: orderBye, bye: *f})
	} else {
		c.cut()
	}
	c.wg.Wait()
	if p := c.joined.Load(); p != nil {
		p.at.Leave()
	}
	if c.peer != nil {
		c.peer.close()
	}
}

// login reads the auth frame and enlists the session. A farewell without code closes without a word: there is nobody to tell.
func (c *session) login(addr string) *farewell {
	defer c.s.settled(addr)
	gone := &farewell{}
	late := time.AfterFunc(c.s.lim.AuthTime, func() { // ending the read by a context would close without a reason
		c.s.stats.refused("auth_timeout")
		c.farewell(noAuth)
		c.cut()
	})
	b, err := c.message(wire.MaxPreAuth)
	if !late.Stop() {
		<-c.ctx.Done()
		return gone
	}
	if err != nil && !errors.Is(err, errFrame) {
		return gone
	}
	f, ferr := wire.DecodeClient(b)
	auth, ok := f.(wire.Auth)
	if err != nil || ferr != nil || !ok {
		c.s.stats.refused("bad_frame")
		return &badFrame
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.s.lim.AuthTime)
	defer cancel()
	c.auth, err = c.s.cfg.Authenticate(ctx, auth.Token)
	if err != nil {
		if r, ok := errors.AsType[*Refusal](err); ok {
			c.s.stats.refused(r.Code)
			return &farewell{Close: r.Close, Code: r.Code, Message: r.Message, Retry: r.Retry}
		}
		c.s.stats.refused("unauthorized")
		c.s.log.Debug("token refused", "err", err)
		return &noAuth
	}
	return c.s.enlist(c)
}

// farewell says goodbye before there is a writer.
func (c *session) farewell(f farewell) {
	if f.Code == "" {
		return
	}
	stop := time.AfterFunc(closeTime, c.cut)
	defer stop.Stop()
	_ = c.conn.Write(context.Background(), websocket.MessageBinary, byeFrame(f).Append(nil))
	_ = c.conn.Close(websocket.StatusCode(f.Close), f.Code)
}

// closeTime bounds saying goodbye: a client that does not take the close frame is cut off.
const closeTime = time.Second

func byeFrame(f farewell) wire.Bye {
	b := wire.Bye{Code: f.Code, Message: f.Message, RetryMS: f.Retry.Milliseconds()}
	if f.Retry < 0 {
		b.RetryMS = -1
	}
	return b
}

// errFrame: the message was not a frame that may be read here.
var errFrame = errors.New("not a frame")

// message reads one binary message of at most limit bytes into c.in.
func (c *session) message(limit int) ([]byte, error) {
	t, r, err := c.conn.Reader(context.Background()) // cut closes the socket, which ends the read
	if err != nil {
		return nil, err
	}
	if t != websocket.MessageBinary {
		return nil, fmt.Errorf("%w: a text message", errFrame)
	}
	b := c.in[:0]
	for {
		if len(b) == cap(b) {
			b = slices.Grow(b, max(1024, cap(b)))
		}
		n, err := r.Read(b[len(b):min(cap(b), limit+1)])
		b = b[:len(b)+n]
		c.in = b
		switch {
		case len(b) > limit:
			return nil, fmt.Errorf("%w: longer than %d bytes", errFrame, limit)
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, err
		}
	}
}

// read handles the WebSocket's frames until the connection ends (nil) or has to be ended.
func (c *session) read() *farewell {
	late := time.AfterFunc(c.s.lim.AuthTime, func() { c.dismiss(noAuth) }) // no hello; later the writer's pings watch
	defer late.Stop()
	for {
		b, err := c.message(wire.MaxFrame)
		if errors.Is(err, errFrame) {
			c.s.stats.refused("bad_frame")
			return &badFrame
		}
		if err != nil {
			return nil
		}
		if c.throttle(len(b)) != nil {
			return nil
		}
		c.s.stats.in(wire.LaneSocket, len(b))
		f, err := wire.DecodeClient(b) // aliases c.in; the board copies what it keeps
		if err != nil {
			if e, ok := errors.AsType[*wire.Error](err); ok && e.Code == wire.CodeTooLarge {
				c.refuse(e.Code, e.Message)
				continue
			}
			c.s.stats.refused("bad_frame")
			c.s.log.Debug("bad frame", "err", err)
			return &badFrame
		}
		if h, ok := f.(wire.Hello); ok {
			late.Stop()
			if bye := c.hello(h); bye != nil {
				return bye
			}
			continue
		}
		if c.joined.Load() == nil {
			if _, ok := f.(wire.Unknown); ok {
				continue
			}
			c.s.stats.refused("bad_frame")
			return &badFrame
		}
		switch f := f.(type) {
		case wire.Offer:
			c.offer(f)
		case wire.Auth, wire.Ticket:
			c.refuse("wrong_lane", "This frame does not belong here.")
		default:
			c.handle(f, wire.LaneSocket, nil)
		}
	}
}

// throttle waits until the frame fits the session's rates. Waiting is what slows the sender down: nothing is read meanwhile.
func (c *session) throttle(n int) error {
	if !c.frames.Allow() {
		c.s.stats.throttled.Add(1)
		if err := c.frames.Wait(c.ctx); err != nil {
			return err
		}
	}
	if c.bytes.AllowN(time.Now(), n) {
		return nil
	}
	c.s.stats.throttled.Add(1)
	return c.bytes.WaitN(c.ctx, n)
}

// joinTime bounds a join: a board that has to come back from its room may take a while.
const joinTime = 60 * time.Second

// hello attaches the session, anew if it was attached.
func (c *session) hello(h wire.Hello) *farewell {
	if c.joined.Swap(nil) != nil { // the writer lets go first: it would take the old session's end for the board's
		done := make(chan struct{})
		c.order(order{kind: orderDetach, ack: done})
		select {
		case <-done:
		case <-c.ctx.Done():
			return nil
		}
	}
	j := board.Join{Board: c.auth.Board, Room: c.auth.Room, Kind: c.auth.Kind, Person: c.auth.Person, Log: h.Log, Have: h.Have}
	copy(j.Actor[:], h.Actor)
	ctx, cancel := context.WithTimeout(c.ctx, joinTime)
	defer cancel()
	at, w, err := c.s.join(ctx, j)
	if err != nil {
		c.s.log.Info("join refused", "board", c.auth.Board, "err", err)
		return joinRefused(err)
	}
	c.joined.Store(&place{at: at})
	c.order(order{kind: orderAttach, at: at, welcome: w})
	return nil
}

// joinRefused turns an error of Hub.Join into a farewell.
func joinRefused(err error) *farewell {
	f := failed
	f.Retry = 5 * time.Second
	if e, ok := errors.AsType[interface {
		error
		Code() string
		Public() string
	}](err); ok {
		f.Code, f.Message = e.Code(), e.Public()
		switch {
		case errors.Is(err, board.ErrNotJoined):
			f.Close, f.Retry = wire.CloseRemoved, -1
		case errors.Is(err, board.ErrDraining):
			f.Close, f.Retry = wire.CloseDraining, time.Second
		case errors.Is(err, board.ErrDamaged), errors.Is(err, board.ErrElsewhere), errors.Is(err, board.ErrUnknown):
			f.Retry = -1
		}
	}
	return &f
}

// handle serves the frames that either lane may carry. p is the PeerConnection they came through, nil for the WebSocket.
func (c *session) handle(f wire.Frame, lane uint8, p *peer) {
	place := c.joined.Load()
	if place == nil {
		return // between two hellos: the client sends it again after welcome
	}
	switch f := f.(type) {
	case wire.Change:
		c.s.stats.entriesIn[lane].Add(uint64(len(f.Changes)))
		for _, raw := range f.Changes {
			if err := place.at.Submit(c.ctx, board.DocID(f.Doc), f.Epoch, raw); err != nil {
				return // the session ends: its Done tells the writer
			}
		}
	case wire.Live:
		if !c.live.Allow() {
			c.s.stats.liveDropped.Add(1)
			return
		}
		place.at.Live(f.Slot, f.Payload)
	case wire.Lane:
		if f.Lane != lane {
			c.refuse("wrong_lane", "A lane frame is sent on the lane that is moved to.")
			return
		}
		c.order(order{kind: orderLane, lane: f.Lane, have: f.Have, peer: p})
	case wire.Pong:
		c.order(order{kind: orderPong, lane: lane, n: f.N, peer: p})
	case wire.Unknown:
	default:
		c.refuse("wrong_lane", "This frame belongs on the WebSocket.")
	}
}

// refuse tells the client that something was refused while the connection goes on.
func (c *session) refuse(code, message string) {
	c.s.stats.refused(code)
	c.order(order{kind: orderSend, frame: wire.Refused{Code: code, Message: message}})
}

// order hands the writer something to do; it waits while the writer is busy, which slows the client down.
func (c *session) order(o order) {
	select {
	case c.orders <- o:
	case <-c.ctx.Done():
	}
}
