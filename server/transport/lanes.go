package transport

import (
	"time"

	"github.com/educationpub/lectern/server/wire"
)

// The writer's side of docs/protocol.md §3: which lane the log takes, and when it has to leave one.

// move obeys a lane frame: the session's cursor goes to have, and the log follows on the lane the frame came on.
func (w *writer) move(o order) {
	if w.at == nil || o.lane == wire.LaneChannel && o.peer != w.peer {
		return // a frame of a session or channel that has been replaced meanwhile
	}
	if err := w.at.Seek(o.have); err != nil {
		w.tell(wire.Refused{Code: "bad_have", Message: "The position asked for is not in this board's log. Join it again."})
		return
	}
	w.s.stats.moves[o.lane].Add(1)
	if o.lane == wire.LaneChannel {
		w.held, w.lane, w.stalled = false, wire.LaneChannel, time.Time{}
		w.liveHere = true
		w.peerPing.heard = w.peerPing.sent
		w.tick.Reset(w.s.lim.PingChannel)
	} else {
		w.toSocket()
	}
	w.drain()
}

// toSocket makes the WebSocket the lane of the log.
func (w *writer) toSocket() {
	if !w.held { // after a request for "people" live stays on its channel
		w.liveHere = false
	}
	w.held, w.lane, w.stalled = false, wire.LaneSocket, time.Time{}
	if !w.liveHere {
		w.tick.Reset(w.s.lim.PingSocket)
	}
}

// ask requests the log's return to the WebSocket: nothing of the log is sent until the client has said from where.
func (w *writer) ask(reason string) {
	if w.held || w.lane == wire.LaneSocket || w.done {
		return
	}
	w.s.stats.count(&w.s.stats.reasons, reason)
	w.at.Hold(true)
	w.held, w.stalled = true, time.Time{}
	if reason != reasonPeople {
		w.liveHere = false
	}
	w.tell(wire.LaneRequest{Lane: wire.LaneSocket, Reason: reason})
}

const reasonPeople = "people"

// channelLost forgets the channels. Where the log was on them, the client is asked to come back to the WebSocket.
func (w *writer) channelLost(reason string) {
	w.ask(reason)
	w.peer, w.liveHere = nil, false
}

// beat runs on every tick: pings, and what has been missed.
func (w *writer) beat(now time.Time) {
	if !now.Before(w.nextSocket) {
		w.nextSocket = now.Add(w.s.lim.PingSocket * 3 / 4) // ticks come a little early or late
		if w.socketPing.missed() >= w.s.lim.Missed {
			w.s.stats.slow.Add(1)
			w.bye(silent)
			return
		}
		w.socketPing.sent++
		w.tell(wire.Ping{N: w.socketPing.sent})
	}
	if w.lane != wire.LaneChannel || w.held || w.peer == nil {
		return
	}
	switch {
	case w.peerPing.missed() >= w.s.lim.Missed:
		w.ask("health")
		return
	case !w.stalled.IsZero() && now.Sub(w.stalled) > w.s.lim.ChannelStalled:
		w.ask("stalled")
		return
	}
	w.peerPing.sent++
	w.rare(wire.Ping{N: w.peerPing.sent})
}

// pong notes an answer.
func (w *writer) pong(o order) {
	if o.lane == wire.LaneSocket {
		w.socketPing.heard = max(w.socketPing.heard, min(o.n, w.socketPing.sent))
	} else if o.peer == w.peer {
		w.peerPing.heard = max(w.peerPing.heard, min(o.n, w.peerPing.sent))
	}
}
