package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

func TestUpgradeRefused(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Origins = []string{"https://school.example"} })
	base := "http" + strings.TrimPrefix(h.url, "ws")
	own := strings.TrimSuffix(base, "/v1/connect")
	for _, c := range []struct {
		name, proto, origin string
		status              int
		code                string
	}{
		{"WS5 no subprotocol", "", own, 426, "version"},
		{"WS5 another subprotocol", "lectern.v2, chat", own, 426, "version"},
		{"WS6 another origin", "lectern.v1", "https://evil.example", 403, "origin"},
		{"WS6 the same host over another scheme than http", "lectern.v1", "ftp" + strings.TrimPrefix(own, "http"), 403, "origin"},
		{"WS6 a suffix of a configured origin", "lectern.v1", "https://school.example.evil.example", 403, "origin"},
		{"WS6 opaque origin", "lectern.v1", "null", 403, "origin"},
		{"WS6 no origin", "lectern.v1", "", 403, "origin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := http.NewRequestWithContext(h.ctx(), "GET", base, nil)
			r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}}
			if c.proto != "" {
				r.Header.Set("Sec-WebSocket-Protocol", c.proto)
			}
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var body struct{ Code, Message string }
			if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.status || body.Code != c.code || body.Message == "" {
				t.Errorf("got %d %+v, want %d %s", resp.StatusCode, body, c.status, c.code)
			}
		})
	}
	t.Run("WS6 a configured origin", func(t *testing.T) {
		c := h.join("ada", client.Options{Origin: "https://school.example"})
		if c.Welcome().Role != "participant" {
			t.Errorf("welcome: %+v", c.Welcome())
		}
	})
}

func TestFirstFrames(t *testing.T) {
	h := newHouse(t, func(c *Config) {
		c.Limits.AuthTime = 300 * time.Millisecond
		auth := c.Authenticate
		c.Authenticate = func(ctx context.Context, tok string) (Auth, error) {
			switch tok {
			case "t:stale":
				return Auth{}, &Refusal{Close: wire.CloseBoardFailed, Code: "sync_stale", Message: "Please wait.", Retry: 5 * time.Second}
			case "t:hangs":
				<-ctx.Done()
				return Auth{}, ctx.Err()
			}
			return auth(ctx, tok)
		}
	})
	auth := wire.Auth{Token: token("ada")}.Append(nil)
	for _, c := range []struct {
		name   string
		frames [][]byte
		close  int
		code   string
	}{
		{"WS7 no auth in time", nil, 4401, "unauthorized"},
		{"WS7 hello before auth", [][]byte{wire.Hello{}.Append(nil)}, 4400, "bad_frame"},
		{"WS7 garbage before auth", [][]byte{{0xff}}, 4400, "bad_frame"},
		{"WS7 empty message before auth", [][]byte{{}}, 4400, "bad_frame"},
		{"WS7 more than 4,096 bytes before auth", [][]byte{wire.Auth{Token: strings.Repeat("x", 4096)}.Append(nil)}, 4400, "bad_frame"},
		{"WS7 a whole large frame before auth", [][]byte{make([]byte, 60000)}, 4400, "bad_frame"},
		{"WS8 unknown token", [][]byte{wire.Auth{Token: "stolen"}.Append(nil)}, 4401, "unauthorized"},
		{"WS8 a refusal with its own reason", [][]byte{wire.Auth{Token: "t:stale"}.Append(nil)}, 4410, "sync_stale"},
		{"WS8 an authenticator that hangs", [][]byte{wire.Auth{Token: "t:hangs"}.Append(nil)}, 4401, "unauthorized"},
		{"WS7 no hello in time", [][]byte{auth}, 4401, "unauthorized"},
		{"WS7 change before hello", [][]byte{auth, wire.Change{Doc: "index", Changes: [][]byte{{1}}}.Append(nil)}, 4400, "bad_frame"},
		{"WS7 auth twice", [][]byte{auth, auth}, 4400, "bad_frame"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bye, code := h.ending(h.raw(c.frames...))
			if code != c.close || bye.Code != c.code || bye.Message == "" {
				t.Errorf("got close %d, %+v, want %d %s", code, bye, c.close, c.code)
			}
		})
	}
	t.Run("WS7 an unknown frame before hello is skipped", func(t *testing.T) {
		conn := h.raw(auth, wire.Unknown{T: 20}.Append(nil), wire.Hello{}.Append(nil))
		until[wire.Welcome](h, conn)
		_ = conn.CloseNow()
	})
	t.Run("WS7 a text message closes", func(t *testing.T) {
		conn := h.raw()
		if err := conn.Write(h.ctx(), websocket.MessageText, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if bye, code := h.ending(conn); code != 4400 || bye.Code != "bad_frame" {
			t.Errorf("got %d %+v", code, bye)
		}
	})
	eventually(t, "every socket is forgotten", func() bool { s := h.srv.Stats(); return s.Sockets == 0 && s.Unauthorized == 0 })
}

func TestFramesRefused(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Limits.PerPersonRoom, c.Limits.PerPerson = 100, 100 })
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"WS2 malformed", []byte{0x82, 0x08}},
		{"WS2 indefinite", []byte{0x9f, 0x08, 0x01, 0xff}},
		{"WS2 longer than a frame", wire.Change{Doc: "index", Changes: [][]byte{make([]byte, 40000), make([]byte, 30000)}}.Append(nil)},
		{"WS2 nested too deep", append(bytes.Repeat([]byte{0x81}, 20), 0)},
		{"WS2 a frame of the server", append([]byte{0x82, 0x08}, 0x61, 0x61)},
	} {
		t.Run(c.name, func(t *testing.T) {
			bye, code := h.ending(h.raw(hello(rawFrame(c.frame))...))
			if code != 4400 || bye.Code != "bad_frame" {
				t.Errorf("got %d %+v, want 4400 bad_frame", code, bye)
			}
		})
	}
	for _, c := range []struct {
		name, code string
		frame      wire.Frame
	}{
		{"WS2 live payload too long", "too_large", wire.Live{Payload: make([]byte, wire.MaxLive+1)}},
		{"WS2 65 changes in a frame", "too_large", wire.Change{Doc: "index", Changes: make([][]byte, 65)}},
		{"WS2 offer too long", "too_large", wire.Offer{SDP: strings.Repeat("x", wire.MaxSDP+1)}},
		{"WS9 auth again", "wrong_lane", wire.Auth{Token: "x"}},
		{"WS9 ticket on the WebSocket", "wrong_lane", wire.Ticket{Ticket: make([]byte, 16)}},
		{"WS9 lane frame on the lane it does not name", "wrong_lane", wire.Lane{Lane: 1}},
		{"WS9 a position beyond the log", "bad_have", wire.Lane{Lane: 0, Have: 1 << 40}},
		{"RT3 offer that is no session description", "bad_sdp", wire.Offer{SDP: "garbage"}},
	} {
		t.Run(c.name+": told, and the connection goes on", func(t *testing.T) {
			conn := h.raw(hello(c.frame)...)
			if e := until[wire.Refused](h, conn); e.Code != c.code || e.Message == "" {
				t.Errorf("got %+v, want %s", e, c.code)
			}
			if err := conn.Write(h.ctx(), websocket.MessageBinary, wire.Hello{}.Append(nil)); err != nil {
				t.Fatal(err)
			}
			until[wire.Welcome](h, conn)
		})
	}
	t.Run("WS3 unknown types and further items are skipped", func(t *testing.T) {
		conn := h.raw(hello(wire.Unknown{T: 30}, rawFrame{0x84, 0x08, 0x00, 0x01, 0x02})...)
		until[wire.Welcome](h, conn)
		if err := conn.Write(h.ctx(), websocket.MessageBinary, wire.Lane{}.Append(nil)); err != nil {
			t.Fatal(err)
		}
		until[wire.People](h, conn)
	})
	for _, c := range []struct {
		name, code string
		change     []byte
	}{
		{"bytes that are no change", "bad_change", []byte("hello, this is not a change")},
		{"a change that is too large", "too_large", make([]byte, wire.MaxChange+1)},
		{"a change under nobody's actor", "wrong_actor", foreign(t)},
	} {
		t.Run("WS11 "+c.name+" is reset", func(t *testing.T) {
			conn := h.raw(hello()...)
			w := until[wire.Welcome](h, conn)
			f := wire.Change{Doc: w.Docs[0].Doc, Changes: [][]byte{c.change}}
			if err := conn.Write(h.ctx(), websocket.MessageBinary, f.Append(nil)); err != nil {
				t.Fatal(err)
			}
			if r := until[wire.Reset](h, conn); r.Code != c.code || r.Message == "" || len(r.Hash) != 32 {
				t.Errorf("got %+v, want %s", r, c.code)
			}
		})
	}
}

// rawFrame is bytes that pass for a frame.
type rawFrame []byte

func (rawFrame) Type() wire.Type            { return 0 }
func (f rawFrame) Append(dst []byte) []byte { return append(dst, f...) }

func foreign(t *testing.T) []byte {
	a, err := client.NewAuthor(bytes.Repeat([]byte{9}, 16))
	if err != nil {
		t.Fatal(err)
	}
	return a.Stroke(10)
}

func TestViewerWrites(t *testing.T) {
	h := newHouse(t, nil)
	h.roles["@eve:example.org"] = board.RoleViewer
	h.roles["@mallory:example.org"] = board.RoleNone
	t.Run("WS11 a viewer's change is reset without a new actor, and the viewer goes on seeing", func(t *testing.T) {
		resets := make(chan wire.Reset, 4)
		seen := newRecord(t)
		c := h.join("eve", client.Options{Entries: seen.entries, Frame: func(f wire.Frame, _ int) {
			if r, ok := f.(wire.Reset); ok {
				resets <- r
			}
		}})
		if w := c.Welcome(); w.Role != "viewer" {
			t.Fatalf("welcome: %+v", w)
		}
		a := h.join("ada", client.Options{})
		w := mustAuthor(t, a)
		stolen := w.Stroke(10)
		c.Change(page(c), 0, stolen)
		select {
		case r := <-resets:
			if r.Code != "forbidden" && r.Code != "read_only" || len(r.Actor) != 0 {
				t.Errorf("got %+v", r)
			}
		case <-h.ctx().Done():
			t.Fatal("no reset")
		}
		a.Change(page(a), 0, stolen)
		eventually(t, "the viewer sees", func() bool { return seen.count() == 1 })
	})
	t.Run("WS8 who is not joined gets nothing", func(t *testing.T) {
		_, err := client.Join(h.ctx(), h.url, token("mallory"), client.Options{})
		e, ok := errors.AsType[*client.ErrBye](err)
		if !ok || e.Close != 4403 || e.Bye.Code != "not_joined" || e.Bye.RetryMS >= 0 {
			t.Errorf("got %v", err)
		}
	})
}

func TestLimitsOfConnections(t *testing.T) {
	t.Run("WS12 sockets without login are counted by address and in all", func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.Limits.PerAddress, c.Limits.Unauthorized = 3, 5 })
		for range 3 {
			h.raw()
		}
		_, resp, err := client.Dial(h.ctx(), h.url, client.Options{})
		if err == nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("got %v, %+v, want 429", err, resp)
		}
		if b, _ := io.ReadAll(resp.Body); !bytes.Contains(b, []byte("rate_limited")) {
			t.Errorf("body %s", b)
		}
	})
	t.Run("WS12 thirty people behind one address join at once", func(t *testing.T) {
		h := newHouse(t, nil)
		errs := make(chan error, 30)
		start := time.Now()
		for i := range 30 {
			go func() { // joined by the reads below
				c, err := client.Join(h.ctx(), h.url, token(string(rune('a'+i%26))+strings.Repeat("x", i)), client.Options{})
				if err == nil {
					h.t.Cleanup(c.Close)
				}
				errs <- err
			}()
		}
		for range 30 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		t.Logf("30 joined in %v", time.Since(start))
	})
	t.Run("WS13 at most 3 sessions per person and room", func(t *testing.T) {
		h := newHouse(t, nil)
		var first *client.Client
		for range 3 {
			c := h.join("ada", client.Options{})
			if first == nil {
				first = c
			}
		}
		_, err := client.Join(h.ctx(), h.url, token("ada"), client.Options{})
		e, ok := errors.AsType[*client.ErrBye](err)
		if !ok || e.Close != 4429 || e.Bye.Code != "too_many_sessions" {
			t.Fatalf("got %v", err)
		}
		h.join("bob", client.Options{})
		first.Close()
		eventually(t, "a place is free again", func() bool { return h.srv.Stats().Sessions == 3 })
		h.join("ada", client.Options{})
	})
}

func TestFlood(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Limits.FramesPerSec, c.Limits.FrameBurst = 100, 20 })
	seen := newRecord(t)
	h.join("bob", client.Options{Entries: seen.entries})
	a := h.join("ada", client.Options{})
	w := mustAuthor(t, a)
	t.Run("WS14 a flood is slowed down by reading slower, and nothing of it is lost", func(t *testing.T) {
		start := time.Now()
		for range 120 {
			a.Change(page(a), 0, w.Stroke(20))
		}
		eventually(t, "all acknowledged", func() bool { _, _, n := a.State(); return n == 0 })
		if d := time.Since(start); d < 900*time.Millisecond {
			t.Errorf("120 frames at 100/s with bursts of 20 took only %v", d)
		}
		eventually(t, "all seen", func() bool { return seen.count() == 120 })
		if st := h.srv.Stats(); st.Throttled == 0 {
			t.Error("nothing was throttled")
		}
	})
	t.Run("WS14 live over its rate is dropped without a word", func(t *testing.T) {
		before := h.srv.Stats().LiveDropped
		for i := range 60 {
			a.Send(wire.LaneSocket, wire.Live{Slot: 0, Payload: []byte{byte(i)}})
		}
		eventually(t, "some are dropped", func() bool { return h.srv.Stats().LiveDropped > before })
		select {
		case <-a.Done():
			t.Errorf("closed: %v", a.Err())
		default:
		}
	})
}
