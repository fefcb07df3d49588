package transport

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/webrtc/v4"

	"github.com/educationpub/lectern/server/wire"
)

// peer is one PeerConnection of a session with its channels log and live.
type peer struct {
	c      *session
	pc     *webrtc.PeerConnection
	ticket [wire.TicketBytes]byte
	expiry *time.Timer // closes the peer that has not shown its ticket

	log, live channel
	opened    atomic.Bool // the ticket was shown
	once      sync.Once
}

// channel is a detached data channel. raw is nil until it opens.
type channel struct {
	dc  atomic.Pointer[webrtc.DataChannel]
	raw atomic.Pointer[datachannel.ReadWriteCloser]
}

func (ch *channel) open() bool { return ch.raw.Load() != nil }

func (ch *channel) queued() int {
	dc := ch.dc.Load()
	if dc == nil {
		return 0
	}
	return int(dc.BufferedAmount())
}

// send queues a message unless more than most bytes would then wait; writing to a detached channel does not block.
func (ch *channel) send(b []byte, most int) bool {
	raw := ch.raw.Load()
	if raw == nil || ch.queued()+len(b) > most {
		return false
	}
	_, err := (*raw).Write(b)
	return err == nil
}

// onLow has low signalled whenever the queue has shrunk to n bytes.
func (ch *channel) onLow(n int, low chan<- struct{}) {
	dc := ch.dc.Load()
	if dc == nil {
		return
	}
	dc.SetBufferedAmountLowThreshold(uint64(n))
	dc.OnBufferedAmountLow(func() {
		select {
		case low <- struct{}{}:
		default:
		}
	})
}

// gatherTime bounds listing the server's own addresses.
const gatherTime = 2 * time.Second

// offer answers a session description. It runs on the WebSocket's reader, which is what limits how fast a client may offer.
func (c *session) offer(o wire.Offer) {
	if c.s.rtc == nil {
		c.refuse("rtc_off", "This server has no data channels. Everything runs over the WebSocket.")
		return
	}
	text, err := checkOffer(o.SDP)
	if err != nil {
		c.refuse("bad_sdp", err.Error())
		return
	}
	if c.peer != nil {
		c.peer.close()
		c.peer = nil
	}
	if !c.s.rtc.acquire() {
		c.refuse("rtc_busy", "The server has too many data channels at the moment. Everything runs over the WebSocket.")
		return
	}
	p, answer, err := newPeer(c, text)
	if err != nil {
		c.s.log.Info("offer not answered", "err", err)
		c.refuse("bad_sdp", "The offer could not be answered.")
		return
	}
	c.peer = p
	c.order(order{kind: orderSocket, frame: wire.Answer{SDP: answer, Ticket: p.ticket[:]}})
}

// newPeer owns the slot that acquire gave: it goes back when the peer closes.
func newPeer(c *session, offer string) (*peer, string, error) {
	pc, err := c.s.rtc.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		c.s.rtc.open.Add(-1)
		return nil, "", fmt.Errorf("new peer connection: %w", err)
	}
	p := &peer{c: c, pc: pc}
	_, _ = rand.Read(p.ticket[:]) // never fails (crypto/rand)
	p.expiry = time.AfterFunc(c.s.rtc.ticket, func() {
		if !p.opened.Load() {
			c.s.stats.refused("ticket_expired")
			p.close()
		}
	})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateFailed || s == webrtc.PeerConnectionStateClosed {
			p.close()
		}
	})
	pc.OnDataChannel(p.onChannel)
	answer, err := p.answer(offer)
	if err != nil {
		p.close()
		return nil, "", err
	}
	return p, answer, nil
}

func (p *peer) answer(offer string) (string, error) {
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", fmt.Errorf("set offer: %w", err)
	}
	answer, err := p.pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("create answer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("set answer: %w", err)
	}
	select {
	case <-gathered:
	case <-time.After(gatherTime):
		return "", errors.New("gathering own addresses takes too long")
	case <-p.c.ctx.Done():
		return "", p.c.ctx.Err()
	}
	return p.pc.LocalDescription().SDP, nil
}

// onChannel runs on a pion goroutine: it decides and returns.
func (p *peer) onChannel(dc *webrtc.DataChannel) {
	var ch *channel
	var read func(datachannel.ReadWriteCloser)
	switch {
	case dc.Label() == "log" && dc.Ordered() && dc.MaxRetransmits() == nil && dc.MaxPacketLifeTime() == nil:
		ch, read = &p.log, p.readLog
	case dc.Label() == "live" && !dc.Ordered() && dc.MaxRetransmits() != nil && *dc.MaxRetransmits() == 0:
		ch, read = &p.live, p.readLive
	}
	if ch == nil || !ch.dc.CompareAndSwap(nil, dc) { // unknown, of another kind, or there already
		p.c.s.stats.refused("bad_channel")
		p.close()
		return
	}
	dc.OnOpen(func() {
		raw, err := dc.Detach()
		if err != nil {
			p.close()
			return
		}
		ch.raw.Store(&raw)
		p.c.s.wg.Go(func() { read(raw) }) // held open by the session, or by close
	})
}

// readLog reads the channel log until it ends: first the ticket, then frames.
func (p *peer) readLog(raw datachannel.ReadWriteCloser) {
	c := p.c
	defer p.close()
	buf := make([]byte, wire.MaxFrame)
	n, err := raw.Read(buf)
	if err != nil {
		return
	}
	f, err := wire.DecodeClient(buf[:n])
	t, ok := f.(wire.Ticket)
	if err != nil || !ok || subtle.ConstantTimeCompare(t.Ticket, p.ticket[:]) != 1 || !p.opened.CompareAndSwap(false, true) {
		c.s.stats.refused("bad_ticket")
		return
	}
	p.expiry.Stop()
	c.s.stats.channels.Add(1)
	defer c.s.stats.channels.Add(-1)
	c.order(order{kind: orderOpened, peer: p})
	defer c.order(order{kind: orderClosed, peer: p})
	for {
		n, err := raw.Read(buf)
		if err != nil {
			return
		}
		if c.throttle(n) != nil {
			return
		}
		c.s.stats.in(wire.LaneChannel, n)
		f, err := wire.DecodeClient(buf[:n])
		if err != nil {
			if e, ok := errors.AsType[*wire.Error](err); ok && e.Code == wire.CodeTooLarge {
				c.refuse(e.Code, e.Message)
				continue
			}
			c.s.stats.refused("bad_frame")
			return // the lane closes, the session goes on (docs/protocol.md §2)
		}
		c.handle(f, wire.LaneChannel, p)
	}
}

// readLive reads the lossy channel: live frames, once the ticket was shown. Anything else there is ignored.
func (p *peer) readLive(raw datachannel.ReadWriteCloser) {
	c := p.c
	defer p.close()
	c.s.stats.lives.Add(1)
	defer c.s.stats.lives.Add(-1)
	buf := make([]byte, 2*wire.MaxLive) // a longer message ends the channel
	for {
		n, err := raw.Read(buf)
		if err != nil {
			return
		}
		if !p.opened.Load() {
			continue
		}
		if c.throttle(n) != nil {
			return
		}
		c.s.stats.in(wire.LaneChannel, n)
		f, err := wire.DecodeClient(buf[:n])
		if l, ok := f.(wire.Live); err == nil && ok {
			c.handle(l, wire.LaneChannel, p)
		}
	}
}

// close ends the PeerConnection, from any goroutine, without waiting: pion's Close may. Shutdown waits for it.
func (p *peer) close() {
	p.once.Do(func() {
		p.expiry.Stop()
		p.c.s.wg.Go(func() {
			_ = p.pc.Close() // nothing to do about an error: the connection is gone either way
			p.c.s.rtc.open.Add(-1)
		})
	})
}
