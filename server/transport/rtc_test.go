package transport

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

func TestTicket(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.RTC.TicketTime = time.Second })
	t.Run("RT2 a wrong ticket closes the channel, the session goes on", func(t *testing.T) {
		b := h.bare("ada", nil)
		log := b.channel(0)
		put(t, log, wire.Ticket{Ticket: make([]byte, 16)})
		ends(t, log)
		b.send(wire.Lane{})
		until[wire.People](h, b.conn)
	})
	t.Run("RT2 anything before the ticket closes the channel", func(t *testing.T) {
		b := h.bare("bob", nil)
		log := b.channel(0)
		put(t, log, wire.Lane{Lane: 1})
		ends(t, log)
	})
	t.Run("RT2 a ticket is of one connection only", func(t *testing.T) {
		first := h.bare("cem", nil)
		put(t, first.channel(0), wire.Ticket{Ticket: first.ticket})
		eventually(t, "open", func() bool { return h.srv.Stats().Channels == 1 })
		other := h.bare("dora", nil)
		log := other.channel(0)
		put(t, log, wire.Ticket{Ticket: first.ticket})
		ends(t, log)
		_ = first.conn.CloseNow()
	})
	t.Run("RT2 no ticket in time", func(t *testing.T) {
		b := h.bare("emil", nil)
		ends(t, b.channel(0))
	})
	t.Run("RT2 live before the ticket does not count", func(t *testing.T) {
		b := h.bare("finn", nil)
		got := make(chan wire.LiveUpdates, 8)
		h.join("gül", client.Options{Frame: func(f wire.Frame, _ int) {
			if l, ok := f.(wire.LiveUpdates); ok {
				got <- l
			}
		}})
		log, live := b.channel(0), b.channel(1)
		put(t, live, wire.Live{Slot: 0, Payload: []byte("early")})
		time.Sleep(100 * time.Millisecond) // nothing to wait for: it must have no effect
		put(t, log, wire.Ticket{Ticket: b.ticket})
		put(t, log, wire.Live{Slot: 1, Payload: []byte("late")})
		select {
		case l := <-got:
			if len(l.Updates) != 1 || string(l.Updates[0].Payload) != "late" {
				t.Errorf("got %+v", l)
			}
		case <-h.ctx().Done():
			t.Fatal("nothing came")
		}
	})
	t.Run("RT10 a bad frame on the channel closes the channel only", func(t *testing.T) {
		b := h.bare("hans", nil)
		log := b.channel(0)
		put(t, log, wire.Ticket{Ticket: b.ticket})
		if _, err := log.Write([]byte{0xff, 0x00}); err != nil {
			t.Fatal(err)
		}
		ends(t, log)
		b.send(wire.Lane{})
		until[wire.People](h, b.conn)
	})
	t.Run("RT10 auth, hello and rtc.offer are for the WebSocket", func(t *testing.T) {
		b := h.bare("ida", nil)
		log := b.channel(0)
		put(t, log, wire.Ticket{Ticket: b.ticket})
		put(t, log, wire.Hello{})
		if e := until[wire.Refused](h, b.conn); e.Code != "wrong_lane" {
			t.Errorf("got %+v", e)
		}
	})
	eventually(t, "the first ones are closed", func() bool { return h.srv.rtc.open.Load() <= 3 })
}

func TestOffers(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.RTC.Max = 2 })
	conn := h.raw(hello()...)
	until[wire.Welcome](h, conn)
	pc, good, _, err := client.Offer(nil, webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, c := range []struct{ name, sdp string }{
		{"garbage", "v=0 hello"},
		{"empty", ""},
		{"no section", good[:strings.Index(good, "m=")]},
		{"audio beside the channels", good + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n"},
		{"video instead of channels", strings.Replace(good, "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=video 9 UDP/TLS/RTP/SAVPF 96", 1)},
		{"two application sections", good + good[strings.Index(good, "m="):]},
		{"another protocol", strings.Replace(good, "UDP/DTLS/SCTP", "TCP/DTLS/SCTP", 1)},
		{"no fingerprint", without(good, "a=fingerprint")},
		{"no password", without(good, "a=ice-pwd")},
	} {
		t.Run("RT3 offer refused: "+c.name, func(t *testing.T) {
			(&bare{h: h, conn: conn}).send(wire.Offer{SDP: c.sdp})
			if e := until[wire.Refused](h, conn); e.Code != "bad_sdp" || e.Message == "" {
				t.Errorf("got %+v", e)
			}
		})
	}
	t.Run("RT3 what was refused leaves nothing behind", func(t *testing.T) {
		eventually(t, "closed", func() bool { return h.srv.rtc.open.Load() == 0 })
	})
	t.Run("RT11 no more PeerConnections than configured, and a new offer replaces the old one", func(t *testing.T) {
		h.bare("bob", nil)
		b := h.bare("cem", nil)
		(&bare{h: h, conn: conn}).send(wire.Offer{SDP: good})
		if e := until[wire.Refused](h, conn); e.Code != "rtc_busy" {
			t.Errorf("got %+v", e)
		}
		log := b.channel(0)
		second, again, _, err := client.Offer(nil, webrtc.Configuration{})
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		b.send(wire.Offer{SDP: again})
		ends(t, log)
	})
	t.Run("RT12 a closed WebSocket closes its channels", func(t *testing.T) {
		h := newHouse(t, nil)
		b := h.bare("dora", nil)
		log := b.channel(0)
		put(t, log, wire.Ticket{Ticket: b.ticket})
		_ = b.conn.CloseNow()
		ends(t, log)
		eventually(t, "the PeerConnection is closed", func() bool { return h.srv.rtc.open.Load() == 0 })
	})
}

func without(sdp, line string) string {
	var out []string
	for _, l := range strings.Split(sdp, "\r\n") {
		if !strings.HasPrefix(l, line) {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\r\n")
}

func TestFingerprint(t *testing.T) {
	t.Run("RT13 another certificate than the offer's never gets a channel", func(t *testing.T) {
		h := newHouse(t, nil)
		b := h.bare("ada", func(sdp string) string {
			i := strings.Index(sdp, "a=fingerprint:sha-256 ") + len("a=fingerprint:sha-256 ")
			other := "00"
			if sdp[i:i+2] == other {
				other = "11"
			}
			return sdp[:i] + other + sdp[i+2:]
		})
		select {
		case <-b.opened[0]:
			t.Fatal("the channel opened")
		case <-time.After(2 * time.Second):
		}
		if n := h.srv.Stats().Channels; n != 0 {
			t.Errorf("%d channels", n)
		}
	})
}

func TestNoProbing(t *testing.T) {
	t.Run("RT14 the candidates of an offer make the server send nothing", func(t *testing.T) {
		h := newHouse(t, nil)
		victim, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer victim.Close()
		port := victim.LocalAddr().(*net.UDPAddr).Port
		h.answer(fmt.Sprintf("a=candidate:1 1 udp 2130706431 127.0.0.1 %d typ host\r\na=candidate:2 1 udp 1694498815 127.0.0.1 %d typ srflx raddr 0.0.0.0 rport 0\r\na=end-of-candidates\r\n", port, port))
		if err := victim.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1500)
		if n, from, err := victim.ReadFrom(buf); err == nil {
			t.Errorf("%d bytes from %v", n, from)
		}
	})
	t.Run("RT15 the answer names the one UDP port, says lite, limits messages, and offers no TCP", func(t *testing.T) {
		h := newHouse(t, nil)
		a := h.answer("")
		port := fmt.Sprintf(" %d typ host", h.srv.UDPAddr().(*net.UDPAddr).Port)
		for _, want := range []string{"a=ice-lite", port, "a=max-message-size:65536", "webrtc-datachannel"} {
			if !strings.Contains(a.SDP, want) {
				t.Errorf("the answer lacks %q:\n%s", want, a.SDP)
			}
		}
		for _, not := range []string{" tcp ", "m=audio", ".local"} {
			if strings.Contains(strings.ToLower(a.SDP), not) {
				t.Errorf("the answer has %q:\n%s", not, a.SDP)
			}
		}
	})
	t.Run("RT15 a public address replaces the local ones", func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.RTC.PublicIP = "192.0.2.7" })
		a := h.answer("")
		n := 0
		for line := range strings.Lines(a.SDP) {
			if f := strings.Fields(line); strings.HasPrefix(line, "a=candidate:") {
				if n++; f[4] != "192.0.2.7" {
					t.Errorf("a candidate names %s", f[4])
				}
			}
		}
		if n == 0 {
			t.Errorf("no candidate in\n%s", a.SDP)
		}
	})
	t.Run("RT15 no loopback unless configured", func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.RTC.Loopback = false })
		if a := h.answer(""); strings.Contains(a.SDP, "a=candidate:") {
			t.Errorf("got\n%s", a.SDP)
		}
	})
}

func TestForeignChannels(t *testing.T) {
	for _, c := range []struct {
		name  string
		label string
		init  *webrtc.DataChannelInit
	}{
		{"another label", "chat", nil},
		{"log that loses", "log", &webrtc.DataChannelInit{MaxRetransmits: new(uint16)}},
		{"live that does not", "live", nil},
	} {
		t.Run("RT16 closed: "+c.name, func(t *testing.T) {
			h := newHouse(t, nil)
			conn := h.raw(hello()...)
			until[wire.Welcome](h, conn)
			pc, err := client.NewAPI().NewPeerConnection(webrtc.Configuration{})
			if err != nil {
				t.Fatal(err)
			}
			defer pc.Close()
			if _, err := pc.CreateDataChannel(c.label, c.init); err != nil {
				t.Fatal(err)
			}
			offer, err := pc.CreateOffer(nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := pc.SetLocalDescription(offer); err != nil {
				t.Fatal(err)
			}
			(&bare{h: h, conn: conn}).send(wire.Offer{SDP: offer.SDP})
			a := until[wire.Answer](h, conn)
			if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: a.SDP}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "refused and closed", func() bool { return h.srv.Stats().Refused["bad_channel"] == 1 && h.srv.rtc.open.Load() == 0 })
		})
	}
}
