// Package client is a client of the board protocol (docs/protocol.md), for tests and measurements. It keeps the client's side of the rules:
// it counts seq, drops what it has, sends unacknowledged changes again, moves lanes and answers pings. It holds no documents.
package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/webrtc/v4"

	"github.com/educationpub/lectern/server/wire"
)

// Options of a connection.
type Options struct {
	Origin string // "" for the server's own
	Log    string // resuming: what welcome named before
	Have   uint64
	Actor  []byte
	// API makes PeerConnections; nil: a new one per channel.
	API *webrtc.API
	// Peer configures them (Relayed).
	Peer webrtc.Configuration
	// Entries is told of every entry once, in order. It runs under the client's lock: it must not call the client.
	Entries func(from uint64, list []wire.Entry, lane int)
	// Frame is told of every other frame of the server, under the same rule.
	Frame func(f wire.Frame, lane int)
	// Stay keeps the client where it is when the server asks it to move, for tests.
	Stay bool
}

// Client is one session. Its methods may be called from any goroutine.
type Client struct {
	opts Options
	conn *websocket.Conn
	wg   sync.WaitGroup

	welcomed chan struct{} // closed with the first welcome
	done     chan struct{} // closed when the WebSocket is gone

	mu sync.Mutex // guards what follows
	// welcome is the newest.
	welcome wire.Welcome
	seq     uint64
	lane    int
	asked   bool // a gap was answered with a lane frame
	unacked []pending
	stats   Stats
	bye     *wire.Bye
	err     error
	answers chan wire.Answer
	ch      *Channel
}

type pending struct {
	doc   string
	epoch uint32
	hash  [32]byte
	raw   []byte
}

// Stats count what came, by lane where there are two.
type Stats struct {
	Frames, Entries [2]uint64
	Again           uint64 // entries that were there already
	Gaps            uint64
	Moves           [2]uint64
	Acked           uint64 // by their echo, or by known
	Known           uint64 // by known
	Resets          uint64
	Resent          uint64
}

// ErrBye is the end of a session with the server's reason.
type ErrBye struct {
	Bye   wire.Bye
	Close int
}

func (e *ErrBye) Error() string { return fmt.Sprintf("client: closed %d %s", e.Close, e.Bye.Code) }

// Dial opens the WebSocket without a word: the first frame is the caller's. Most callers want Join.
func Dial(ctx context.Context, address string, opts Options) (*websocket.Conn, *http.Response, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, err
	}
	origin := opts.Origin
	if origin == "" {
		scheme := "http"
		if u.Scheme == "wss" || u.Scheme == "https" {
			scheme = "https"
		}
		origin = scheme + "://" + u.Host
	}
	conn, resp, err := websocket.Dial(ctx, address, &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}, HTTPHeader: http.Header{"Origin": {origin}}})
	if err != nil {
		return nil, resp, err
	}
	conn.SetReadLimit(wire.MaxFrame)
	return conn, resp, nil
}

// Join connects, signs in, says hello and waits for welcome. ctx bounds that only.
func Join(ctx context.Context, address, token string, opts Options) (*Client, error) {
	conn, _, err := Dial(ctx, address, opts)
	if err != nil {
		return nil, err
	}
	c := &Client{opts: opts, conn: conn, welcomed: make(chan struct{}), done: make(chan struct{}), answers: make(chan wire.Answer, 1), seq: opts.Have}
	c.wg.Go(c.read)
	_ = c.send(wire.Auth{Token: token}) // a failure shows as the end of the connection
	_ = c.send(wire.Hello{Log: opts.Log, Have: opts.Have, Actor: opts.Actor})
	select {
	case <-c.welcomed:
		return c, nil
	case <-c.done:
		return nil, c.Err()
	case <-ctx.Done():
		c.Close()
		return nil, ctx.Err()
	}
}

func (c *Client) send(f wire.Frame) error {
	return c.conn.Write(context.Background(), websocket.MessageBinary, f.Append(nil))
}

func (c *Client) read() {
	defer close(c.done)
	defer c.closeChannel()
	first := sync.OnceFunc(func() { close(c.welcomed) })
	for {
		_, b, err := c.conn.Read(context.Background())
		if err != nil {
			c.mu.Lock()
			c.err = err
			if c.bye != nil {
				c.err = &ErrBye{Bye: *c.bye, Close: int(websocket.CloseStatus(err))}
			}
			c.mu.Unlock()
			_ = c.conn.CloseNow()
			return
		}
		f, err := wire.DecodeServer(b)
		if err != nil {
			c.fail(err)
			return
		}
		c.receive(f, wire.LaneSocket)
		if _, ok := f.(wire.Welcome); ok {
			first()
		}
	}
}

func (c *Client) fail(err error) {
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	_ = c.conn.CloseNow()
}

// receive handles a frame of either lane.
func (c *Client) receive(f wire.Frame, lane int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Frames[lane]++
	switch f := f.(type) {
	case wire.Entries:
		c.entries(f, lane)
		return
	case wire.Welcome:
		c.welcome, c.lane, c.asked = f, wire.LaneSocket, false
		if !f.Resume {
			c.seq = f.Seq
			for _, d := range f.Docs {
				c.seq = min(c.seq, d.Seq)
			}
		}
		c.resend()
	case wire.Ping:
		c.on(lane, wire.Pong(f))
	case wire.LaneRequest:
		if !c.opts.Stay {
			c.move(int(f.Lane))
		}
	case wire.Known:
		for _, h := range f.Hashes {
			if c.settle([32]byte(h)) {
				c.stats.Acked++
				c.stats.Known++
			}
		}
	case wire.Reset:
		c.stats.Resets++
		c.settle([32]byte(append(f.Hash, make([]byte, 32)...)))
	case wire.Answer:
		select {
		case c.answers <- f:
		default:
		}
	case wire.Bye:
		c.bye = &f
	}
	if c.opts.Frame != nil {
		c.opts.Frame(f, lane)
	}
}

func (c *Client) entries(f wire.Entries, lane int) {
	n := uint64(len(f.Entries))
	if f.From > c.seq+1 {
		c.stats.Gaps++
		if lane == c.lane && !c.asked { // what is missing was on the lane that was left
			c.asked = true
			c.on(c.lane, wire.Lane{Lane: uint8(c.lane), Have: c.seq})
		}
		return
	}
	skip := min(n, c.seq+1-f.From)
	c.stats.Again += skip
	list := f.Entries[skip:]
	if len(list) == 0 {
		return
	}
	c.asked = false
	from := c.seq + 1
	c.seq += uint64(len(list))
	c.stats.Entries[lane] += uint64(len(list))
	if len(c.unacked) > 0 {
		for _, e := range list {
			if len(e.Bytes) > 0 && bytes.Equal(e.Actor, c.welcome.Actor) && c.settle(Hash(e.Bytes)) {
				c.stats.Acked++
			}
		}
	}
	if c.opts.Entries != nil {
		c.opts.Entries(from, list, lane)
	}
}

// settle forgets an unacknowledged change.
func (c *Client) settle(hash [32]byte) bool {
	for i, p := range c.unacked {
		if p.hash == hash {
			c.unacked = append(c.unacked[:i], c.unacked[i+1:]...)
			return true
		}
	}
	return false
}

// on sends on a lane; a lane that does not take it shows its end elsewhere.
func (c *Client) on(lane int, f wire.Frame) {
	if lane == wire.LaneChannel {
		if c.ch != nil {
			_ = c.ch.send(f)
		}
		return
	}
	_ = c.send(f)
}

// move asks for the log on lane from here and sends there again what nobody has acknowledged.
func (c *Client) move(lane int) {
	if lane == wire.LaneChannel && c.ch == nil {
		return
	}
	c.lane, c.asked = lane, false
	c.stats.Moves[lane]++
	c.on(lane, wire.Lane{Lane: uint8(lane), Have: c.seq})
	c.resend()
}

func (c *Client) resend() {
	for _, p := range c.unacked {
		c.stats.Resent++
		c.on(c.lane, wire.Change{Doc: p.doc, Epoch: p.epoch, Changes: [][]byte{p.raw}})
	}
}

// Change offers a change on the current lane and remembers it until it is acknowledged or refused.
func (c *Client) Change(doc string, epoch uint32, raw []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unacked = append(c.unacked, pending{doc, epoch, Hash(raw), raw})
	c.on(c.lane, wire.Change{Doc: doc, Epoch: epoch, Changes: [][]byte{raw}})
}

// Send sends any frame on a lane.
func (c *Client) Send(lane int, f wire.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on(lane, f)
}

// Raw sends bytes as one message of the WebSocket.
func (c *Client) Raw(b []byte) error {
	return c.conn.Write(context.Background(), websocket.MessageBinary, b)
}

// Move moves the log to a lane.
func (c *Client) Move(lane int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.move(lane)
}

// State answers the last seq applied, the lane and the number of unacknowledged changes.
func (c *Client) State() (seq uint64, lane, unacked int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seq, c.lane, len(c.unacked)
}

// Stats answers the counters.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Welcome answers the newest welcome.
func (c *Client) Welcome() wire.Welcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.welcome
}

// Done is closed when the WebSocket is gone; Err says why, *ErrBye where the server said so.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err answers why the session ended.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close leaves and waits for the client's goroutines.
func (c *Client) Close() {
	stop := time.AfterFunc(time.Second, func() { _ = c.conn.CloseNow() })
	defer stop.Stop()
	_ = c.conn.Close(websocket.StatusNormalClosure, "")
	c.closeChannel()
	c.wg.Wait()
}

// Kill drops the WebSocket without a word, as a dying network does.
func (c *Client) Kill() {
	_ = c.conn.CloseNow()
	c.wg.Wait()
}

// errNoChannel: the server did not open the channels.
var errNoChannel = errors.New("client: the data channel did not open")
