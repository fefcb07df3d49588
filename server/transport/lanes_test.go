package transport

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/datachannel"
	"github.com/pion/webrtc/v4"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

func TestLaneFlips(t *testing.T) {
	t.Run("RT4 lanes flipped every 100 ms: every change arrives once, in order, everywhere", func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.Limits.FramesPerSec = 1000 })
		const people, each = 4, 150
		api := client.NewAPI()
		var cs []*client.Client
		var seen []*record
		for i := range people {
			r := newRecord(t)
			c := h.join(string(rune('a'+i)), client.Options{Entries: r.entries, API: api})
			if _, err := c.OpenChannel(h.ctx()); err != nil {
				t.Fatal(err)
			}
			cs, seen = append(cs, c), append(seen, r)
		}
		stop := make(chan struct{})
		var flips, draws sync.WaitGroup
		for i, c := range cs {
			flips.Go(func() {
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				for n := i; ; n++ {
					select {
					case <-stop:
						return
					case <-tick.C:
						c.Move(n % 2)
					}
				}
			})
			draws.Go(func() {
				w := mustAuthor(t, c)
				for range each {
					c.Change(page(c), 0, w.Stroke(20+rand.IntN(400)))
					time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
				}
			})
		}
		draws.Wait()
		for i, c := range cs {
			eventually(t, "all acknowledged", func() bool { _, _, n := c.State(); return n == 0 })
			eventually(t, "all seen", func() bool { return seen[i].count() == people*each })
			if st := c.Stats(); st.Acked != each || st.Resets != 0 || st.Entries[0] == 0 || st.Entries[1] == 0 || st.Moves[1] < 5 {
				t.Errorf("client %d: %+v", i, st)
			}
		}
		close(stop)
		flips.Wait()
		t.Logf("client 0: %+v", cs[0].Stats())
	})
}

func TestChannelDies(t *testing.T) {
	t.Run("RT5 a channel that dies in the middle costs nothing: the log goes on over the WebSocket", func(t *testing.T) {
		h := newHouse(t, nil)
		seen := newRecord(t)
		a := h.join("ada", client.Options{})
		b := h.join("bob", client.Options{Entries: seen.entries})
		w := mustAuthor(t, a)
		for round := range 3 {
			ch, err := b.OpenChannel(h.ctx())
			if err != nil {
				t.Fatal(err)
			}
			b.Move(wire.LaneChannel)
			for i := range 40 {
				a.Change(page(a), 0, w.Stroke(50))
				if i == 20 && round > 0 { // in the first round the lane frame itself may be lost with the channel
					eventually(t, "the log is on the channel", func() bool { return h.srv.Stats().EntriesOut[1] > uint64(20*(round-1)) })
				}
				if i == 20 {
					ch.Close()
				}
			}
			eventually(t, "all seen", func() bool { return seen.count() == 40*(round+1) })
			eventually(t, "back on the WebSocket", func() bool { _, lane, _ := b.State(); return lane == wire.LaneSocket })
		}
		if n := h.srv.Stats().LaneMoves[0]; n < 3 {
			t.Errorf("moved to the WebSocket %d times", n)
		}
	})
}

// bare is a WebSocket with a PeerConnection that does nothing by itself.
type bare struct {
	h      *house
	conn   *websocket.Conn
	pc     *webrtc.PeerConnection
	ticket []byte
	opened [2]<-chan datachannel.ReadWriteCloser
}

func (h *house) bare(person string, change func(sdp string) string) *bare {
	h.t.Helper()
	conn := h.raw(wire.Auth{Token: token(person)}.Append(nil), wire.Hello{}.Append(nil))
	until[wire.Welcome](h, conn)
	b := &bare{h: h, conn: conn}
	var sdp string
	var err error
	b.pc, sdp, b.opened, err = client.Offer(nil, webrtc.Configuration{})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = b.pc.Close() })
	if change != nil {
		sdp = change(sdp)
	}
	b.send(wire.Offer{SDP: sdp})
	a := until[wire.Answer](h, conn)
	b.ticket = a.Ticket
	if err := b.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: a.SDP}); err != nil {
		h.t.Fatal(err)
	}
	return b
}

func (b *bare) send(f wire.Frame) {
	b.h.t.Helper()
	if err := b.conn.Write(b.h.ctx(), websocket.MessageBinary, f.Append(nil)); err != nil {
		b.h.t.Fatal(err)
	}
}

// channel waits for log (0) or live (1) to open.
func (b *bare) channel(i int) datachannel.ReadWriteCloser {
	b.h.t.Helper()
	select {
	case c := <-b.opened[i]:
		return c
	case <-b.h.ctx().Done():
		b.h.t.Fatal("the channel does not open")
		return nil
	}
}

func put(t *testing.T, c datachannel.ReadWriteCloser, f wire.Frame) {
	t.Helper()
	if _, err := c.Write(f.Append(nil)); err != nil {
		t.Fatal(err)
	}
}

// ends reads until the channel is closed.
func ends(t *testing.T, c datachannel.ReadWriteCloser) {
	t.Helper()
	done := make(chan struct{})
	go func() { // ends with the channel
		buf := make([]byte, wire.MaxFrame)
		for {
			if _, err := c.Read(buf); err != nil {
				close(done)
				return
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		t.Fatal("the channel stays open")
	}
}

func TestChannelHealth(t *testing.T) {
	quick := func(c *Config) {
		c.Limits.PingChannel, c.Limits.ChannelStalled = 50*time.Millisecond, 300*time.Millisecond
		c.Limits.BytesPerSec, c.Limits.BytesBurst, c.Limits.FramesPerSec = 1<<30, 1<<30, 1<<20
	}
	t.Run("RT6 three pings without an answer: the server asks for the WebSocket and sends nothing of the log until then", func(t *testing.T) {
		h := newHouse(t, quick)
		b := h.bare("bob", nil)
		log := b.channel(0)
		put(t, log, wire.Ticket{Ticket: b.ticket})
		put(t, log, wire.Lane{Lane: 1})
		if r := until[wire.LaneRequest](h, b.conn); r.Lane != 0 || r.Reason != "health" {
			t.Errorf("got %+v", r)
		}
		a := h.join("ada", client.Options{})
		a.Change(page(a), 0, mustAuthor(t, a).Stroke(20))
		eventually(t, "committed", func() bool { _, _, n := a.State(); return n == 0 })
		eventually(t, "counted, a moment after it is sent", func() bool { return h.srv.Stats().EntriesOut[0] > 0 })
		if out := h.srv.Stats().EntriesOut; out[0] != 1 || out[1] != 0 { // ada's echo only
			t.Errorf("entries sent: %v", out)
		}
		b.send(wire.Lane{Lane: 0})
		if e := until[wire.Entries](h, b.conn); e.From != 1 {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("RT7 a client that does not read its channel: at most 1 MiB waits, then the server asks for the WebSocket", func(t *testing.T) {
		h := newHouse(t, func(c *Config) { quick(c); c.Limits.Missed = 1000 })
		b := h.bare("bob", nil)
		log := b.channel(0)
		put(t, log, wire.Ticket{Ticket: b.ticket})
		put(t, log, wire.Lane{Lane: 1})
		a := h.join("ada", client.Options{})
		w := mustAuthor(t, a)
		asked := make(chan wire.LaneRequest, 1)
		go func() { asked <- until[wire.LaneRequest](h, b.conn) }() // ends with the request or the test's context
		const n = 150
		for range n {
			a.Change(page(a), 0, w.Stroke(30000))
		}
		select {
		case r := <-asked:
			if r.Reason != "stalled" {
				t.Errorf("got %+v", r)
			}
		case <-h.ctx().Done():
			t.Fatal("not asked")
		}
		b.send(wire.Lane{Lane: 0})
		for next := uint64(1); next <= n; {
			e := until[wire.Entries](h, b.conn)
			if e.From != next {
				t.Fatalf("got entries from %d, want %d", e.From, next)
			}
			next += uint64(len(e.Entries))
		}
	})
	t.Run("RT8 above rtc.log_people the log moves to the WebSocket and live stays", func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.RTC.LogPeople = 2 })
		lives := make(chan int, 100)
		a := h.join("ada", client.Options{Frame: func(f wire.Frame, lane int) {
			if _, ok := f.(wire.LiveUpdates); ok {
				lives <- lane
			}
		}})
		if _, err := a.OpenChannel(h.ctx()); err != nil {
			t.Fatal(err)
		}
		a.Move(wire.LaneChannel)
		eventually(t, "on the channel", func() bool { return h.srv.Stats().LaneMoves[1] == 1 && h.srv.liveOpen() == 1 })
		h.join("bob", client.Options{})
		c := h.join("cem", client.Options{})
		eventually(t, "moved to the WebSocket", func() bool { _, lane, _ := a.State(); return lane == wire.LaneSocket })
		eventually(t, "obeyed", func() bool { return h.srv.Stats().LaneMoves[0] == 1 })
		if r := h.srv.Stats().LaneRequests; r["people"] != 1 {
			t.Errorf("lane requests: %v", r)
		}
		c.Send(wire.LaneSocket, wire.Live{Payload: []byte{1}})
		select {
		case lane := <-lives:
			if lane != wire.LaneChannel {
				t.Errorf("live came on lane %d", lane)
			}
		case <-h.ctx().Done():
			t.Fatal("no live frame")
		}
	})
}

// liveOpen counts the live channels that have opened.
func (s *Server) liveOpen() int { return int(s.stats.lives.Load()) }

func TestLive(t *testing.T) {
	t.Run("RT9 live goes over the lossy channel in both directions", func(t *testing.T) {
		h := newHouse(t, nil)
		got := make(chan wire.LiveUpdate, 100)
		a := h.join("ada", client.Options{})
		b := h.join("bob", client.Options{Frame: func(f wire.Frame, lane int) {
			if l, ok := f.(wire.LiveUpdates); ok && lane == wire.LaneChannel {
				for _, u := range l.Updates {
					got <- u
				}
			}
		}})
		var ch *client.Channel
		for _, c := range []*client.Client{b, a} {
			var err error
			if ch, err = c.OpenChannel(h.ctx()); err != nil {
				t.Fatal(err)
			}
			c.Move(wire.LaneChannel)
		}
		eventually(t, "on the channel", func() bool { return h.srv.Stats().LaneMoves[1] == 2 && h.srv.liveOpen() == 2 })
		if err := ch.Live(wire.Live{Slot: 1, Payload: []byte{7, 7}}.Append(nil)); err != nil {
			t.Fatal(err)
		}
		select {
		case u := <-got:
			if u.Session != a.Welcome().Session || u.Slot != 1 || len(u.Payload) != 2 {
				t.Errorf("got %+v", u)
			}
		case <-h.ctx().Done():
			t.Fatal("nothing came")
		}
	})
}
