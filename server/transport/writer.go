package transport

import (
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/wire"
)

// order is what the readers ask of the writer.
type order struct {
	kind    orderKind
	frame   wire.Frame    // send
	at      attached      // attach
	welcome board.Welcome // attach
	lane    uint8         // lane, pong
	have    uint64        // lane
	n       uint64        // pong
	peer    *peer         // lane, pong, opened, closed
	bye     farewell      // bye
	ack     chan struct{} // detach: closed when done
}

type orderKind uint8

const (
	orderSend   orderKind = iota // a frame for the log's lane
	orderSocket                  // a frame for the WebSocket
	orderDetach                  // another hello came
	orderAttach                  // hello was answered
	orderLane                    // the client moves
	orderPong
	orderOpened // the channel showed its ticket
	orderClosed // the channel is gone
	orderBye
)

// writer sends everything of one session, on both lanes. All fields are owned by run's goroutine.
type writer struct {
	c    *session
	s    *Server
	at   attached // nil before hello
	buf  []byte   // frame being built
	next board.Batch

	people int // attached to the board
	lane   uint8
	held   bool  // the client was asked to move and has not: nothing of the log goes out
	peer   *peer // channels that showed their ticket, nil without

	liveHere bool      // live frames go on the channel live, if it is open
	stalled  time.Time // since when the channel's queue is full; zero: it is not
	low      chan struct{}

	tick       *time.Ticker
	socketPing ping
	peerPing   ping
	nextSocket time.Time // when the WebSocket is pinged next

	slow *time.Timer // closes the socket under a write that takes too long
	done bool
}

// ping numbers pings and remembers the last answer.
type ping struct{ sent, heard uint64 }

func (p ping) missed() int { return int(p.sent - p.heard) }

func newWriter(c *session) *writer {
	w := &writer{c: c, s: c.s, low: make(chan struct{}, 1), nextSocket: time.Now().Add(c.s.lim.PingSocket)}
	w.slow = time.AfterFunc(time.Hour, func() {
		c.s.stats.slow.Add(1)
		c.cut()
	})
	w.slow.Stop()
	return w
}

func (w *writer) run() {
	defer w.c.cut()
	defer w.slow.Stop()
	w.tick = time.NewTicker(w.s.lim.PingSocket)
	defer w.tick.Stop()
	cut := w.c.ctx.Done() // asked for once: fifty writers asking at every entry cost a thirtieth of its CPU
	for !w.done {
		var wake, ended, low <-chan struct{} // the fewer a select waits for, the less it costs
		switch {
		case w.at == nil:
		case w.stalled.IsZero():
			wake = w.at.Wake() // signalled at the end too
		default:
			ended, low = w.at.Done(), w.low
		}
		select {
		case <-cut:
			return
		case f := <-w.c.leave:
			w.bye(f)
		case o := <-w.c.orders:
			w.obey(o)
		case <-wake:
			w.drain()
		case <-ended:
			w.stalled = time.Time{}
			w.drain()
			w.bye(failed) // unless the board said why
		case <-low:
			w.stalled = time.Time{}
			w.drain()
		case now := <-w.tick.C:
			w.beat(now)
		}
	}
}

func (w *writer) obey(o order) {
	switch o.kind {
	case orderSend:
		w.rare(o.frame)
	case orderSocket:
		w.tell(o.frame)
	case orderDetach:
		if w.at != nil {
			w.at.Leave()
		}
		w.at = nil
		w.toSocket()
		close(o.ack)
	case orderAttach:
		w.at, w.people = o.at, 0
		w.toSocket()
		w.tell(w.welcome(o.welcome))
		w.drain()
	case orderLane:
		w.move(o)
	case orderPong:
		w.pong(o)
	case orderOpened:
		if w.peer != nil {
			w.channelLost("replaced")
		}
		w.peer, w.peerPing = o.peer, ping{}
		o.peer.log.onLow(w.s.lim.ChannelBuffer/4, w.low)
	case orderClosed:
		if o.peer == w.peer {
			w.channelLost("closed")
		}
	case orderBye:
		w.bye(o.bye)
	}
}

// drain sends all that the board has for this session.
func (w *writer) drain() {
	for !w.done && w.at != nil && w.stalled.IsZero() {
		more, err := w.at.Next(w.c.ctx, &w.next)
		if err != nil {
			w.bye(failed)
			return
		}
		w.send(&w.next)
		if !more {
			return
		}
	}
}

// send writes a batch: events first, then entries, then live, each joined into as few frames as fit.
func (w *writer) send(b *board.Batch) {
	for _, e := range b.Events {
		if f, ok := e.(board.ByeEvent); ok {
			w.bye(f)
			return
		}
		w.event(e)
	}
	w.entries(b.From, b.Entries)
	w.live(b.Live)
}

func (w *writer) entries(from uint64, list [][]byte) {
	for len(list) > 0 && !w.done && !w.held { // held in the middle: the client will say from where to go on
		n, size := 0, wire.MaxEntriesHead
		for n < len(list) && n < wire.MaxItems && size+len(list[n]) <= wire.MaxFrame {
			size += len(list[n])
			n++
		}
		if n == 0 { // cannot be: a change is at most half a frame
			w.s.log.Error("entry does not fit a frame", "board", w.c.auth.Board, "seq", from, "bytes", len(list[0]))
			w.bye(failed)
			return
		}
		f := wire.AppendEntriesHead(w.message(), from, n)
		for _, e := range list[:n] {
			f = append(f, e...)
		}
		w.buf = f
		lane := w.logFrame(f)
		w.s.stats.entriesOut[lane].Add(uint64(n))
		if w.s.cfg.Trace != nil {
			w.s.cfg.Trace(w.c.auth.Board, from, n)
		}
		from, list = from+uint64(n), list[n:]
	}
}

// liveOnChannel keeps frames on the lossy channel small: one lost fragment loses the whole message.
const liveOnChannel = 4096

func (w *writer) live(list []board.LiveUpdate) {
	most, here := wire.MaxFrame, w.liveHere && w.peer.live.open() // it may open after log
	if here {
		most = liveOnChannel
	}
	for len(list) > 0 && !w.done {
		n, size := 0, 8
		for n < len(list) && n < wire.MaxItems && (n == 0 || size+len(list[n].Payload)+16 <= most) {
			size += len(list[n].Payload) + 16
			n++
		}
		f := wire.AppendLiveHead(w.message(), n)
		for _, u := range list[:n] {
			f = wire.AppendLiveUpdate(f, wire.LiveUpdate{Session: u.Session, Slot: u.Slot, Payload: u.Payload})
		}
		w.buf, list = f, list[n:]
		if !here {
			w.socket(f)
			w.s.stats.liveOut[wire.LaneSocket].Add(1)
			continue
		}
		if w.peer.live.send(f[headRoom:], w.s.lim.ChannelBuffer/16) {
			w.s.stats.out(wire.LaneChannel, len(f)-headRoom)
			w.s.stats.liveOut[wire.LaneChannel].Add(1)
		} else {
			w.s.stats.liveDropped.Add(1)
		}
	}
}

// event sends a rare message; people in groups that fit a frame.
func (w *writer) event(e board.Event) {
	switch e := e.(type) {
	case board.RoleEvent:
		w.rare(wire.Role{Role: e.Role.String(), Reason: e.Reason})
	case board.KnownEvent:
		for list := range slices.Chunk(e.Hashes, wire.MaxKnown) {
			f := wire.Known{Doc: string(e.Doc), Epoch: e.Epoch}
			for i := range list {
				f.Hashes = append(f.Hashes, list[i][:])
			}
			w.rare(f)
		}
	case board.ResetEvent:
		actor := e.Actor[:]
		if e.Actor == (board.ActorID{}) {
			actor = nil
		}
		w.rare(wire.Reset{Doc: string(e.Doc), Hash: e.Hash[:], Code: e.Code, Message: e.Message, Actor: actor})
	case board.HeldEvent:
		w.rare(wire.Held{Doc: string(e.Doc), By: string(e.Person), Count: uint64(e.Count)})
	case board.GatherEvent:
		w.rare(wire.Gather{Doc: string(e.Doc), X: e.X, Y: e.Y, Width: e.Width, Height: e.Height, By: string(e.By)})
	case board.SavedEvent:
		w.rare(saved(e.Saved))
	case board.PeopleEvent:
		const group = 80 // of at most 255 + 128 + 255 bytes and keys: below the frame's limit
		p := wire.People{Full: e.Full, Left: e.Left}
		for i, j := range e.Joined {
			p.Joined = append(p.Joined, w.person(j))
			if len(p.Joined) == group && i < len(e.Joined)-1 {
				w.rare(p)
				p = wire.People{}
			}
		}
		w.rare(p)
		if e.Full {
			w.people = 0
		}
		w.people += len(e.Joined) - len(e.Left)
		if most := w.s.cfg.RTC.LogPeople; most > 0 && w.people > most {
			w.ask(reasonPeople)
		}
	}
}

func saved(s board.Saved) wire.Saved {
	f := wire.Saved{Seq: s.Seq, Problem: s.Problem}
	if !s.At.IsZero() {
		f.At = uint64(s.At.UnixMilli())
	}
	if !s.Since.IsZero() {
		f.Since = uint64(s.Since.UnixMilli())
	}
	return f
}

func (w *writer) person(i board.PersonInfo) wire.Person {
	p := wire.Person{Session: i.Session, UserID: clip(string(i.Person), 255), Name: clip(i.Name, 128), Role: i.Role.String(), Hand: i.Hand}
	if _, server, _ := strings.Cut(p.UserID, ":"); server != w.s.cfg.ServerName {
		p.External = server
	}
	return p
}

// clip shortens to at most n bytes without cutting a character, and drops what is not UTF-8.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "")
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

func (w *writer) welcome(b board.Welcome) wire.Welcome {
	f := wire.Welcome{
		Log: b.Meta.Log, Seq: b.Meta.Seq, Session: b.Session, Role: b.Role.String(), Actor: b.Actor[:],
		Board: string(b.Meta.ID), Kind: b.Meta.Kind, Encrypted: w.c.auth.Encrypted, Companion: w.s.cfg.Companion,
		Docs: make([]wire.Doc, 0, len(b.Meta.Docs)), Resume: b.Resume, Saved: saved(b.Saved),
		Limits: wire.Limits{Change: wire.MaxChange, Ops: wire.MaxOps, Frame: wire.MaxFrame, Live: wire.MaxLive, LiveHz: uint64(w.s.lim.LivePerSec)},
		RTC:    w.s.rtc != nil,
	}
	if b.Actor == (board.ActorID{}) {
		f.Actor = nil
	}
	if !b.Rules.IsZero() {
		f.Rules = b.Rules.Bytes()
	}
	for _, d := range b.Meta.Docs {
		f.Docs = append(f.Docs, wire.Doc{Doc: string(d.ID), Epoch: d.Epoch, Seq: d.Seq})
	}
	return f
}

// rare sends an event on the lane of the log. One that gets lost with a channel is stated again by the board after the client's move (Seek).
func (w *writer) rare(f wire.Frame) {
	w.buf = f.Append(w.message())
	w.logFrame(w.buf)
}

// tell sends a rare frame on the WebSocket.
func (w *writer) tell(f wire.Frame) {
	w.buf = f.Append(w.message())
	w.socket(w.buf)
}

// keepBuffer is the largest buffer that stays: somebody's history when they joined must not cost memory for the rest of the lesson.
const keepBuffer = 8 << 10

// message begins one in the writer's buffer.
func (w *writer) message() []byte {
	if w.buf == nil || cap(w.buf) > keepBuffer {
		w.buf = make([]byte, headRoom, 512)
	}
	return w.buf[:headRoom]
}

// logFrame sends a frame of the log on its lane, or on the WebSocket while the client has been asked to move there; it answers which.
func (w *writer) logFrame(f []byte) int {
	if w.lane == wire.LaneSocket || w.held {
		w.socket(f)
		return wire.LaneSocket
	}
	if !w.peer.log.send(f[headRoom:], w.s.lim.ChannelBuffer) {
		// Full or closed. Nothing is lost: entries come again when the client names its position, and so do events.
		w.ask("stalled")
		return wire.LaneChannel
	}
	w.s.stats.out(wire.LaneChannel, len(f)-headRoom)
	if w.stalled.IsZero() && w.peer.log.queued() > w.s.lim.ChannelBuffer/2 {
		w.stalled = time.Now() // drain stops; onLow or beat ends it
	}
	return wire.LaneChannel
}

// socket writes one message to the WebSocket. A write that fails or takes longer than WriteTime ends the session.
func (w *writer) socket(f []byte) {
	if w.done {
		return
	}
	w.slow.Reset(w.s.lim.WriteTime)
	err := w.c.out.message(f)
	w.slow.Stop()
	if err != nil {
		w.done = true
		return
	}
	w.s.stats.out(wire.LaneSocket, len(f)-headRoom)
}

// bye says why and closes both lanes. Nothing is sent after it.
func (w *writer) bye(f farewell) {
	if w.done {
		return
	}
	if w.peer != nil {
		w.peer.close()
	}
	stop := time.AfterFunc(closeTime, w.c.cut)
	defer stop.Stop()
	w.tell(byeFrame(f))
	w.done = true
	_ = w.c.conn.Close(websocket.StatusCode(f.Close), f.Code) // cut follows in any case
}
