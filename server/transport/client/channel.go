package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"

	"github.com/educationpub/lectern/server/wire"
)

// Channel is the client's PeerConnection with its channels log and live.
type Channel struct {
	c         *Client
	pc        *webrtc.PeerConnection
	log, live datachannel.ReadWriteCloser
	gone      chan struct{} // closed when log has ended
	heard     atomic.Int64  // when log carried something last, Unix ns
}

// NewAPI makes an API for clients on this machine: loopback, detached channels, no media.
func NewAPI() *webrtc.API {
	var e webrtc.SettingEngine
	e.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	e.SetIncludeLoopbackCandidate(true)
	e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	e.SetRelayAcceptanceMinWait(0) // two seconds, in the hope of something better
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	e.SetSCTPMaxMessageSize(wire.MaxFrame)
	e.DetachDataChannels()
	return webrtc.NewAPI(webrtc.WithSettingEngine(e), webrtc.WithMediaEngine(&webrtc.MediaEngine{}), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
}

// Relayed is a configuration for channels that go through a TURN server and in no other way.
func Relayed(urls []string, username, password string) webrtc.Configuration {
	return webrtc.Configuration{
		ICEServers:         []webrtc.ICEServer{{URLs: urls, Username: username, Credential: password}},
		ICETransportPolicy: webrtc.ICETransportPolicyRelay,
	}
}

// Offer makes a PeerConnection with the protocol's channels and its offer. opened delivers log and live, each in its own channel.
func Offer(api *webrtc.API, cfg webrtc.Configuration) (pc *webrtc.PeerConnection, sdp string, opened [2]<-chan datachannel.ReadWriteCloser, err error) {
	if api == nil {
		api = NewAPI()
	}
	pc, err = api.NewPeerConnection(cfg)
	if err != nil {
		return nil, "", opened, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, pc.Close())
		}
	}()
	lossy := &webrtc.DataChannelInit{Ordered: new(false), MaxRetransmits: new(uint16)}
	for i, init := range []*webrtc.DataChannelInit{nil, lossy} {
		dc, err := pc.CreateDataChannel([]string{"log", "live"}[i], init)
		if err != nil {
			return nil, "", opened, err
		}
		ch := make(chan datachannel.ReadWriteCloser, 1)
		opened[i] = ch
		dc.OnOpen(func() {
			if raw, err := dc.Detach(); err == nil {
				ch <- raw
			}
		})
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return nil, "", opened, err
	}
	if err := pc.SetLocalDescription(offer); err != nil {
		return nil, "", opened, err
	}
	return pc, offer.SDP, opened, nil
}

// OpenChannel opens the data channels and shows the ticket. The log stays where it is until Move.
func (c *Client) OpenChannel(ctx context.Context) (*Channel, error) {
	c.closeChannel()
	pc, sdp, opened, err := Offer(c.opts.API, c.opts.Peer)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*Channel, error) { return nil, errors.Join(err, pc.Close()) }
	if err := c.send(wire.Offer{SDP: sdp}); err != nil {
		return fail(err)
	}
	var answer wire.Answer
	select {
	case answer = <-c.answers:
	case <-ctx.Done():
		return fail(fmt.Errorf("%w: no answer: %w", errNoChannel, ctx.Err()))
	case <-c.done:
		return fail(errNoChannel)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.SDP}); err != nil {
		return fail(err)
	}
	ch := &Channel{c: c, pc: pc, gone: make(chan struct{})}
	ch.heard.Store(time.Now().UnixNano())
	for i, to := range []*datachannel.ReadWriteCloser{&ch.log, &ch.live} {
		select {
		case *to = <-opened[i]:
		case <-ctx.Done():
			return fail(fmt.Errorf("%w: %w", errNoChannel, ctx.Err()))
		case <-c.done:
			return fail(errNoChannel)
		}
	}
	if err := ch.send(wire.Ticket{Ticket: answer.Ticket}); err != nil {
		return fail(err)
	}
	c.mu.Lock()
	c.ch = ch
	c.mu.Unlock()
	c.wg.Go(func() { ch.read(ch.log); c.lost(ch); close(ch.gone) })
	c.wg.Go(func() { ch.read(ch.live) })
	c.wg.Go(ch.watch)
	return ch, nil
}

// silence is how long the channel may carry nothing while the log is on it: the server pings every second.
const silence = 3 * time.Second

// watch closes a channel that has fallen silent; lost does the rest.
func (ch *Channel) watch() {
	t := time.NewTicker(silence / 6)
	defer t.Stop()
	for {
		select {
		case <-ch.gone:
			return
		case <-t.C:
			_, lane, _ := ch.c.State()
			if lane != wire.LaneChannel {
				ch.heard.Store(time.Now().UnixNano())
			} else if time.Since(time.Unix(0, ch.heard.Load())) > silence {
				ch.Close()
			}
		}
	}
}

// lost goes back to the WebSocket when the channel that has the log ends: the server may not have heard that the log is on it.
func (c *Client) lost(ch *Channel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch == ch {
		c.ch = nil
		if c.lane == wire.LaneChannel {
			c.move(wire.LaneSocket)
		}
	}
}

func (ch *Channel) read(raw datachannel.ReadWriteCloser) {
	buf := make([]byte, wire.MaxFrame)
	for {
		n, err := raw.Read(buf)
		if err != nil {
			return
		}
		f, err := wire.DecodeServer(append([]byte(nil), buf[:n]...))
		if err != nil {
			ch.c.fail(err)
			return
		}
		ch.heard.Store(time.Now().UnixNano())
		ch.c.receive(f, wire.LaneChannel)
	}
}

func (ch *Channel) send(f wire.Frame) error {
	_, err := ch.log.Write(f.Append(nil))
	return err
}

// Raw sends bytes as one message of log, Live as one of live.
func (ch *Channel) Raw(b []byte) error {
	_, err := ch.log.Write(b)
	return err
}

// Live sends bytes on the lossy channel.
func (ch *Channel) Live(b []byte) error {
	_, err := ch.live.Write(b)
	return err
}

// Path answers how the channel goes: the kind of the client's own candidate ("host", "relay"), and the server's address as the client knows it.
func (ch *Channel) Path() (kind, server string, err error) {
	p, err := ch.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err == nil && p == nil {
		err = errNoChannel
	}
	if err != nil {
		return "", "", err
	}
	return p.Local.Typ.String(), net.JoinHostPort(p.Remote.Address, strconv.Itoa(int(p.Remote.Port))), nil
}

// Gone is closed when the channel log has ended.
func (ch *Channel) Gone() <-chan struct{} { return ch.gone }

// Close ends the PeerConnection.
func (ch *Channel) Close() { _ = ch.pc.Close() }

func (c *Client) closeChannel() {
	c.mu.Lock()
	ch := c.ch
	c.ch = nil
	c.mu.Unlock()
	if ch != nil {
		ch.Close()
	}
}
