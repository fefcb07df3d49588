// Package focustest has a participant for tests of calls: it joins a LiveKit server with a token, publishes and counts what it receives. For tests and loads only.
package focustest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"google.golang.org/protobuf/encoding/protowire"
)

// ErrRefused: LiveKit did not let a track be published.
var ErrRefused = errors.New("focustest: publishing was refused")

const patience = 10 * time.Second

// Participant is somebody in a call. Safe for concurrent use.
type Participant struct {
	SID  string        // LiveKit's name for this connection
	Gone chan struct{} // closed when the signalling has ended

	ctx       context.Context
	stop      context.CancelFunc
	socket    *websocket.Conn
	sub, pub  *webrtc.PeerConnection
	published chan message
	answered  chan struct{}
	refused   chan struct{}
	active    chan struct{} // closed when media can come
	wg        sync.WaitGroup

	mu       sync.Mutex
	token    string               // guarded by mu; the newest
	reason   uint64               // guarded by mu; of LiveKit's goodbye
	muted    map[string]bool      // guarded by mu; own tracks that the server has muted, by id
	gone     map[string]bool      // guarded by mu; own tracks that the server has ended
	received map[string]*received // guarded by mu; by connection and kind, "PA_…/video"
	sources  map[Source]string    // guarded by mu; ids of own tracks
	first    time.Time            // guarded by mu; of the first media packet
	waiting  map[*webrtc.PeerConnection][]webrtc.ICECandidateInit
}

type received struct {
	packets int
	last    time.Time
}

// Join connects to LiveKit at address (ws://…) and returns when media can come.
func Join(ctx context.Context, address, jwt string) (*Participant, error) {
	q := url.Values{"access_token": {jwt}, "protocol": {"15"}, "auto_subscribe": {"1"}, "sdk": {"go"}}
	dial, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	socket, _, err := websocket.Dial(dial, strings.TrimRight(address, "/")+"/rtc?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	socket.SetReadLimit(1 << 20)
	p := &Participant{
		Gone: make(chan struct{}), socket: socket, token: jwt, published: make(chan message, 8), answered: make(chan struct{}, 8), refused: make(chan struct{}, 8), active: make(chan struct{}),
		muted: map[string]bool{}, gone: map[string]bool{}, received: map[string]*received{}, sources: map[Source]string{}, waiting: map[*webrtc.PeerConnection][]webrtc.ICECandidateInit{},
	}
	p.ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := p.peers(); err != nil {
		p.Close()
		return nil, err
	}
	p.wg.Add(2)
	go p.listen()
	go p.ping()
	select {
	case <-p.active:
		return p, nil
	case <-p.Gone:
		err = fmt.Errorf("focustest: LiveKit has ended the connection, reason %d", p.Reason())
	case <-dial.Done():
		err = errors.New("focustest: no media connection")
	}
	p.Close()
	return nil, err
}

func (p *Participant) peers() (err error) {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	codecs := &webrtc.MediaEngine{}
	if err := codecs.RegisterDefaultCodecs(); err != nil {
		return err
	}
	api := webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(codecs))
	if p.sub, err = api.NewPeerConnection(webrtc.Configuration{}); err != nil {
		return err
	}
	if p.pub, err = api.NewPeerConnection(webrtc.Configuration{}); err != nil {
		return err
	}
	var once sync.Once
	p.sub.OnConnectionStateChange(func(st webrtc.PeerConnectionState) {
		if st == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(p.active) })
		}
	})
	p.sub.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		sid, _, _ := strings.Cut(t.StreamID(), "|")
		r := &received{}
		p.mu.Lock()
		p.received[sid+"/"+t.Kind().String()] = r
		p.mu.Unlock()
		// What LiveKit makes itself when a track falls silent, for a second, is not counted: small video frames, and Opus' silence (f8 ff fe).
		least := 60
		if t.Kind() == webrtc.RTPCodecTypeVideo {
			least = 500
		}
		for {
			packet, _, err := t.ReadRTP()
			if err != nil {
				return
			}
			if len(packet.Payload) < least || bytes.HasPrefix(packet.Payload, []byte{0xf8, 0xff, 0xfe}) {
				continue
			}
			p.mu.Lock()
			r.packets++
			r.last = time.Now()
			if p.first.IsZero() {
				p.first = r.last
			}
			p.mu.Unlock()
		}
	})
	return nil
}

func (p *Participant) send(b []byte) error {
	return p.socket.Write(p.ctx, websocket.MessageBinary, b)
}

func (p *Participant) ping() {
	defer p.wg.Done()
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.Gone:
			return
		case <-tick.C:
			_ = p.send(number(nil, sendPing, uint64(time.Now().UnixMilli()))) // a broken connection ends listen
		}
	}
}

func (p *Participant) listen() {
	defer p.wg.Done()
	defer close(p.Gone)
	for {
		_, b, err := p.socket.Read(p.ctx)
		if err != nil {
			return
		}
		if err := p.heard(parse(b)); err != nil {
			return
		}
	}
}

func (p *Participant) heard(m message) error {
	for n, b := range m.bytes {
		v := parse(b)
		switch n {
		case gotJoin:
			p.SID = parse(v.bytes[2]).text(1)
		case gotOffer:
			return p.answer(v.text(2))
		case gotAnswer:
			err := p.remote(p.pub, webrtc.SDPTypeAnswer, v.text(2))
			p.answered <- struct{}{}
			return err
		case gotTrickle:
			return p.trickle(v)
		case gotPublished:
			p.published <- v
		case gotRefusal:
			select {
			case p.refused <- struct{}{}:
			default:
			}
		case gotMute:
			p.mu.Lock()
			p.muted[v.text(1)] = v.nums[2] == 1
			p.mu.Unlock()
		case gotUnpublished:
			p.mu.Lock()
			p.gone[v.text(1)] = true
			p.mu.Unlock()
		case gotToken:
			p.mu.Lock()
			p.token = string(b)
			p.mu.Unlock()
		case gotLeave:
			p.mu.Lock()
			p.reason = v.nums[2]
			p.mu.Unlock()
			return errors.New("goodbye")
		}
	}
	return nil
}

func (p *Participant) remote(c *webrtc.PeerConnection, typ webrtc.SDPType, sdp string) error {
	if err := c.SetRemoteDescription(webrtc.SessionDescription{Type: typ, SDP: sdp}); err != nil {
		return err
	}
	for _, w := range p.waiting[c] { // owned by listen
		if err := c.AddICECandidate(w); err != nil {
			return err
		}
	}
	delete(p.waiting, c)
	return nil
}

func (p *Participant) trickle(v message) error {
	var c webrtc.ICECandidateInit
	if err := json.Unmarshal(v.bytes[1], &c); err != nil {
		return err
	}
	to := p.sub
	if v.nums[2] == targetPublisher {
		to = p.pub
	}
	if to.RemoteDescription() == nil {
		p.waiting[to] = append(p.waiting[to], c)
		return nil
	}
	return to.AddICECandidate(c)
}

func (p *Participant) answer(offer string) error {
	if err := p.remote(p.sub, webrtc.SDPTypeOffer, offer); err != nil {
		return err
	}
	d, err := p.sub.CreateAnswer(nil)
	if err != nil {
		return err
	}
	return p.local(p.sub, d, sendAnswer)
}

// local sends a description with all its candidates.
func (p *Participant) local(c *webrtc.PeerConnection, d webrtc.SessionDescription, as protowire.Number) error {
	gathered := webrtc.GatheringCompletePromise(c)
	if err := c.SetLocalDescription(d); err != nil {
		return err
	}
	<-gathered
	now := c.LocalDescription()
	return p.send(inside(as, text(text(nil, 1, now.Type.String()), 2, now.SDP)))
}

// Publish starts a track of about 30 kbit/s (microphone) or rate bit/s (camera, screen) and returns when LiveKit has taken it. ErrRefused where it does not.
func (p *Participant) Publish(s Source, rate int) error {
	codec, every, size, kind := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, 20*time.Millisecond, 75, uint64(0)
	if s != Microphone {
		codec, every, size, kind = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}, 40*time.Millisecond, rate/8/25, 1
	}
	cid := fmt.Sprintf("track-%d-%d", s, time.Now().UnixNano())
	track, err := webrtc.NewTrackLocalStaticSample(codec, cid, "stream")
	if err != nil {
		return err
	}
	req := number(number(text(text(nil, 1, cid), 2, cid), 3, kind), 8, uint64(s))
	if kind == 1 {
		req = number(number(req, 4, 320), 5, 240)
	}
	if err := p.send(inside(sendTrack, req)); err != nil {
		return err
	}
	select {
	case m := <-p.published:
		p.mu.Lock()
		p.sources[s] = parse(m.bytes[2]).text(1)
		p.mu.Unlock()
	case <-p.refused:
		return ErrRefused
	case <-p.Gone:
		return errors.New("focustest: the connection has ended")
	case <-time.After(3 * time.Second):
		return ErrRefused // LiveKit does not always say so
	}
	sender, err := p.pub.AddTrack(track)
	if err != nil {
		return err
	}
	offer, err := p.pub.CreateOffer(nil)
	if err != nil {
		return err
	}
	if err := p.local(p.pub, offer, sendOffer); err != nil {
		return err
	}
	select {
	case <-p.answered:
	case <-p.Gone:
		return errors.New("focustest: the connection has ended")
	case <-time.After(patience):
		return errors.New("focustest: the offer was not answered")
	}
	p.wg.Add(2)
	go func() { // reports of the receivers, which pion wants read
		defer p.wg.Done()
		b := make([]byte, 1500)
		for {
			if _, _, err := sender.Read(b); err != nil {
				return
			}
		}
	}()
	go func() {
		defer p.wg.Done()
		frame := make([]byte, size)
		if kind == 1 {
			copy(frame, []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00}) // a VP8 key frame, 320 × 240: every frame can be the first
		} else {
			copy(frame, []byte{0x78, 'l', 'o', 'u', 'd'})
		}
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-p.ctx.Done():
				return
			case <-p.Gone:
				return
			case <-tick.C:
				if track.WriteSample(media.Sample{Data: frame, Duration: every}) != nil {
					return
				}
			}
		}
	}()
	return nil
}

// Unmute asks LiveKit to let an own track be heard again.
func (p *Participant) Unmute(s Source) error {
	p.mu.Lock()
	sid := p.sources[s]
	delete(p.muted, sid)
	p.mu.Unlock()
	return p.send(inside(sendMute, text(nil, 1, sid)))
}

// Muted says whether the server has muted an own track.
func (p *Participant) Muted(s Source) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.muted[p.sources[s]]
}

// Ended says whether the server has ended an own track.
func (p *Participant) Ended(s Source) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone[p.sources[s]]
}

// Token is the newest that LiveKit has given.
func (p *Participant) Token() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.token
}

// Reason of LiveKit's goodbye (DisconnectReason), 0 for none.
func (p *Participant) Reason() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason
}

// First is when the first media packet came, zero before.
func (p *Participant) First() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first
}

// From is what came from another participant, "audio" or "video": how many packets, and when the last one.
func (p *Participant) From(o *Participant, kind string) (packets int, last time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.received[o.SID+"/"+kind]; r != nil {
		return r.packets, r.last
	}
	return 0, time.Time{}
}

// Last is when the last media packet came from anybody.
func (p *Participant) Last() (t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.received {
		if r.last.After(t) {
			t = r.last
		}
	}
	return t
}

// Leave says goodbye and ends.
func (p *Participant) Leave() {
	_ = p.send(inside(sendLeave, nil))
	p.Close()
}

// Close ends the participant and its goroutines without a goodbye, as a closed lid does.
func (p *Participant) Close() {
	p.stop()
	_ = p.socket.CloseNow()
	for _, c := range []*webrtc.PeerConnection{p.sub, p.pub} {
		if c != nil {
			_ = c.Close()
		}
	}
	p.wg.Wait()
}
