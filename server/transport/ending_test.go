package transport

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// gone waits for the end of a client and checks the reason.
func gone(t *testing.T, h *house, c *client.Client, code int, reason string) {
	t.Helper()
	select {
	case <-c.Done():
	case <-h.ctx().Done():
		t.Fatal("the connection goes on")
	}
	if e, ok := errors.AsType[*client.ErrBye](c.Err()); !ok || e.Close != code || e.Bye.Code != reason || e.Bye.Message == "" {
		t.Errorf("got %v, want %d %s", c.Err(), code, reason)
	}
}

func TestEndings(t *testing.T) {
	t.Run("WS15 a kick closes the WebSocket and the channels", func(t *testing.T) {
		h := newHouse(t, nil)
		c := h.join("ada", client.Options{})
		ch, err := c.OpenChannel(h.ctx())
		if err != nil {
			t.Fatal(err)
		}
		c.Move(wire.LaneChannel)
		eventually(t, "the log is on the channel", func() bool { return h.srv.Stats().LaneMoves[1] == 1 })
		start := time.Now()
		h.setRole("@ada:example.org", board.RoleNone)
		select {
		case <-ch.Gone():
		case <-h.ctx().Done():
			t.Fatal("the channel goes on")
		}
		select {
		case <-c.Done():
		case <-h.ctx().Done():
			t.Fatal("the WebSocket goes on")
		}
		if e, ok := errors.AsType[*client.ErrBye](c.Err()); !ok || e.Close != 4403 || e.Bye.RetryMS >= 0 {
			t.Errorf("got %v, want 4403", c.Err())
		}
		t.Logf("both gone after %v", time.Since(start))
	})
	t.Run("WS15 a demotion keeps the connection and says so", func(t *testing.T) {
		h := newHouse(t, nil)
		roles := make(chan wire.Role, 4)
		h.join("ada", client.Options{Frame: func(f wire.Frame, _ int) {
			if r, ok := f.(wire.Role); ok {
				roles <- r
			}
		}})
		h.setRole("@ada:example.org", board.RoleViewer)
		select {
		case r := <-roles:
			if r.Role != "viewer" {
				t.Errorf("got %+v", r)
			}
		case <-h.ctx().Done():
			t.Fatal("not told")
		}
	})
	t.Run("WS16 a revoked login ends its connections and no others", func(t *testing.T) {
		h := newHouse(t, nil)
		a, b := h.join("ada", client.Options{}), h.join("bob", client.Options{})
		h.srv.Revoke([32]byte{'a'}, "logged_out", "You have signed out.")
		gone(t, h, a, 4403, "logged_out")
		h.srv.RevokePerson("@bob:example.org", "!other", "removed", "You have left the room.")
		select {
		case <-b.Done():
			t.Errorf("bob is gone: %v", b.Err())
		case <-time.After(100 * time.Millisecond):
		}
		h.srv.RevokePerson("@bob:example.org", "!room", "removed", "You have left the room.")
		gone(t, h, b, 4403, "removed")
	})
	t.Run("WS16 a login that runs out is closed with 4401", func(t *testing.T) {
		h := newHouse(t, func(c *Config) {
			auth := c.Authenticate
			c.Authenticate = func(ctx context.Context, tok string) (Auth, error) {
				a, err := auth(ctx, tok)
				a.Expires = time.Now().Add(200 * time.Millisecond)
				return a, err
			}
		})
		gone(t, h, h.join("ada", client.Options{}), 4401, "expired")
	})
	t.Run("WS17 a server that drains sends everybody away in an orderly manner", func(t *testing.T) {
		h := newHouse(t, nil)
		a := h.join("ada", client.Options{})
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := h.srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		gone(t, h, a, 1001, "draining")
		if _, resp, err := client.Dial(h.ctx(), h.url, client.Options{}); err == nil || resp.StatusCode != 503 {
			t.Errorf("got %v, want 503", err)
		}
	})
	t.Run("WS18 the same actor on a second connection replaces the first", func(t *testing.T) {
		h := newHouse(t, nil)
		a := h.join("ada", client.Options{})
		w := a.Welcome()
		b := h.join("ada", client.Options{Log: w.Log, Actor: w.Actor})
		if string(b.Welcome().Actor) != string(w.Actor) {
			t.Errorf("got actor %x, want the one asked for, %x", b.Welcome().Actor, w.Actor)
		}
		gone(t, h, a, 4409, "replaced")
	})
	t.Run("WS19 who answers no ping is closed", func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.Limits.PingSocket = 50 * time.Millisecond })
		conn := h.raw(hello()...)
		if bye, code := h.ending(conn); code != 4408 || bye.Code != "slow" {
			t.Errorf("got %d %+v, want 4408", code, bye)
		}
	})
	t.Run("WS19 who answers pings stays", func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.Limits.PingSocket = 30 * time.Millisecond })
		c := h.join("ada", client.Options{})
		select {
		case <-c.Done():
			t.Errorf("gone: %v", c.Err())
		case <-time.After(400 * time.Millisecond):
		}
	})
}

func TestSlowReader(t *testing.T) {
	t.Run("WS20 who does not read is cut off, and holds nobody else up", func(t *testing.T) {
		h := newHouse(t, func(c *Config) {
			c.Limits.WriteTime = 2 * time.Second
			c.Limits.FramesPerSec, c.Limits.BytesPerSec, c.Limits.BytesBurst = 100000, 1<<30, 1<<30
		})
		slow := h.raw(hello()...)
		until[wire.Welcome](h, slow)
		seen := newRecord(t)
		h.join("bob", client.Options{Entries: seen.entries})
		a := h.join("ada", client.Options{})
		w := mustAuthor(t, a)
		const n = 600
		for range n {
			a.Change(page(a), 0, w.Stroke(20000))
		}
		eventually(t, "the others have everything", func() bool { return seen.count() == n })
		eventually(t, "the slow one is gone", func() bool { return h.srv.Stats().SlowClosed == 1 && h.srv.Stats().Sessions == 2 })
	})
}

func TestHelloAgain(t *testing.T) {
	t.Run("WS21 a second hello joins anew on the same connection, under the same actor", func(t *testing.T) {
		h := newHouse(t, nil)
		seen := newRecord(t)
		c := h.join("ada", client.Options{Entries: seen.entries})
		w := mustAuthor(t, c)
		first := c.Welcome()
		for range 20 {
			c.Change(page(c), 0, w.Stroke(20))
		}
		eventually(t, "acknowledged", func() bool { _, _, n := c.State(); return n == 0 })
		seq, _, _ := c.State()
		c.Send(wire.LaneSocket, wire.Hello{Log: first.Log, Have: seq, Actor: first.Actor})
		eventually(t, "a second welcome", func() bool { return c.Welcome().Session != first.Session })
		again := c.Welcome()
		if !again.Resume || string(again.Actor) != string(first.Actor) || again.Seq != 20 {
			t.Errorf("got %+v", again)
		}
		c.Change(page(c), 0, w.Stroke(20))
		eventually(t, "goes on", func() bool { return seen.count() == 21 })
		select {
		case <-c.Done():
			t.Errorf("gone: %v", c.Err())
		default:
		}
	})
}
