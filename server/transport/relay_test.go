package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/turn"
	"github.com/educationpub/lectern/server/turn/turntest"
	"github.com/educationpub/lectern/server/wire"
)

// relays is a TURN server and what its credentials are made with.
type relays struct {
	secret string
	at     netip.AddrPort
	stats  func() turn.Stats // nil: it is not ours
}

func (r relays) peer(cred turn.Credential, transport string) client.Options {
	return client.Options{Peer: client.Relayed([]string{"turn:" + r.at.String() + "?transport=" + transport}, cred.Username, cred.Password)}
}

func (r relays) credential(at time.Time) turn.Credential {
	return turn.NewCredentials([]byte(r.secret), nil).New(at)
}

// embedded is the built-in server for the data channels of h. public: what both are known as, behind a NAT.
func embedded(t *testing.T, h *house, public string) relays {
	t.Helper()
	cfg := turn.Config{Listen: "127.0.0.1:0", Secret: []byte("a secret of the embedded server")}
	at := h.srv.UDPAddr().(*net.UDPAddr).AddrPort()
	own := turn.At(at)
	if public != "" {
		cfg.PublicIP = netip.MustParseAddr(public)
		own = turn.At(netip.AddrPortFrom(cfg.PublicIP, at.Port()))
		own.Via = at
	}
	cfg.Peers = []turn.Peer{own}
	s, err := turn.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return relays{secret: string(cfg.Secret), at: netip.AddrPortFrom(at.Addr(), s.Addr().Port()), stats: s.Stats}
}

// drawRelayed lets two people draw, one of them through a relay and nothing else: what each draws reaches the other over the channel.
func drawRelayed(t *testing.T, h *house, o client.Options, server string) {
	t.Helper()
	near, far := newRecord(t), newRecord(t)
	o.Entries = near.entries
	a, b := h.join("ada", o), h.join("bob", client.Options{Entries: far.entries})
	began := time.Now()
	ch, err := a.OpenChannel(h.ctx())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the channel opened after %s", time.Since(began).Round(time.Millisecond))
	if kind, to, err := ch.Path(); err != nil || kind != "relay" || to != server {
		t.Fatalf("it goes by %q to %s, %v", kind, to, err)
	}
	a.Move(wire.LaneChannel)
	eventually(t, "the log is on the channel", func() bool { return a.Stats().Frames[wire.LaneChannel] > 0 })
	before := h.srv.Stats()
	mine, theirs := mustAuthor(t, a), mustAuthor(t, b)
	for range 30 {
		a.Change(page(a), 0, mine.Stroke(400))
		b.Change(page(b), 0, theirs.Stroke(400))
	}
	eventually(t, "everything is everywhere", func() bool { return near.count() == 60 && far.count() == 60 })
	eventually(t, "all acknowledged", func() bool { _, _, n := a.State(); return n == 0 })
	if st := h.srv.Stats(); st.EntriesIn[1]-before.EntriesIn[1] != 30 || st.EntriesOut[1]-before.EntriesOut[1] != 60 {
		t.Errorf("in %d, out %d over the channel, want 30 and 60", st.EntriesIn[1]-before.EntriesIn[1], st.EntriesOut[1]-before.EntriesOut[1])
	}
	if st := a.Stats(); st.Moves[wire.LaneSocket] != 0 {
		t.Errorf("it went back to the WebSocket: %+v", st)
	}
}

func TestRelayOnly(t *testing.T) {
	t.Run("built in", func(t *testing.T) {
		relayOnly(t, func(t *testing.T, h *house) relays { return embedded(t, h, "") })
	})
	t.Run("coturn", func(t *testing.T) {
		c := turntest.StartCoturn(t, false, "")
		relayOnly(t, func(*testing.T, *house) relays { return relays{secret: turntest.Secret, at: c.Addr} })
	})
	t.Run("TN4 TN11 behind a NAT, where both are known by another address than they have", func(t *testing.T) {
		const public = "203.0.113.7"
		h := newHouse(t, func(c *Config) { c.RTC.PublicIP = public })
		r := embedded(t, h, public)
		_, port, err := net.SplitHostPort(h.srv.UDPAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		drawRelayed(t, h, r.peer(r.credential(time.Now()), "udp"), net.JoinHostPort(public, port))
	})
	t.Run("TN4 TN11 a relay that may not reach the channels opens none", func(t *testing.T) {
		h, other := newHouse(t, nil), newHouse(t, nil)
		r := embedded(t, other, "")
		a := h.join("emil", r.peer(r.credential(time.Now()), "udp"))
		noChannel(t, a)
		if st := r.stats(); st.Opened == 0 || st.Refused["packet"] == 0 || st.Bytes[0] != 0 {
			t.Errorf("got %+v", st)
		}
	})
}

func relayOnly(t *testing.T, start func(*testing.T, *house) relays) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run("TN11 a board through the relay alone, over "+transport, func(t *testing.T) {
			h := newHouse(t, nil)
			r := start(t, h)
			drawRelayed(t, h, r.peer(r.credential(time.Now()), transport), h.srv.UDPAddr().String())
			if r.stats == nil {
				return
			}
			if st := r.stats(); st.Bytes[0] < 30*400 || st.Bytes[1] < 60*400 {
				t.Errorf("the relay carried %v bytes", st.Bytes)
			}
		})
	}
	for why, make := range map[string]func(relays) turn.Credential{
		"expired": func(r relays) turn.Credential { return r.credential(time.Now().Add(-turn.Life - time.Second)) },
		"a wrong password": func(r relays) turn.Credential {
			c := r.credential(time.Now())
			c.Password = r.credential(time.Now()).Password
			return c
		},
		"of another secret": func(r relays) turn.Credential {
			r.secret = "another secret, as long as that one"
			return r.credential(time.Now())
		},
	} {
		t.Run("TN3 TN11 a bad credential opens no channel, and the board goes on over the WebSocket: "+why, func(t *testing.T) {
			h := newHouse(t, nil)
			r := start(t, h)
			seen := newRecord(t)
			a := h.join("ada", r.peer(make(r), "udp"))
			h.join("bob", client.Options{Entries: seen.entries})
			noChannel(t, a)
			w := mustAuthor(t, a)
			for range 5 {
				a.Change(page(a), 0, w.Stroke(50))
			}
			eventually(t, "seen by the other", func() bool { return seen.count() == 5 })
			eventually(t, "acknowledged", func() bool { _, lane, n := a.State(); return n == 0 && lane == wire.LaneSocket })
			if r.stats == nil {
				return
			}
			if st := r.stats(); st.Opened != 0 || st.Refused["credential"]+st.Refused["expired"] == 0 {
				t.Errorf("got %+v", st)
			}
		})
	}
}

// noChannel gives a channel more time than good ones need.
func noChannel(t *testing.T, c *client.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := c.OpenChannel(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the channel: %v", err)
	}
}
