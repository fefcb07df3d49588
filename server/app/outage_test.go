package app

import (
	"context"
	"flag"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// outageLength is 10 minutes with `make outage`.
var outageLength = flag.Duration("outage", 25*time.Second, "how long the homeserver is stopped in the middle of drawing")

// fall stops the homeserver; the returned function starts it again on the same folder and port.
func (w *world) fall() (rise func()) {
	w.t.Helper()
	w.hs.Stop()
	return func() { w.t.Cleanup(w.homeserverAlone()) }
}

// homeserverAlone starts the homeserver again on the folder and port it had, whatever Lectern does.
func (w *world) homeserverAlone() (stop func()) {
	w.t.Helper()
	u, err := url.Parse(w.hs.URL())
	if err != nil {
		w.t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		w.t.Fatal(err)
	}
	w.hs, err = devstack.StartHomeserver(w.t.Context(), devstack.Options{Dir: w.hs.Dir(), HTTPPort: port, Persistent: true, Progress: io.Discard})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.hs.Stop
}

// until polls: the other side is a real process.
func until(t testing.TB, what string, limit time.Duration, f func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !f() {
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %s", what, limit)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return time.Since(start)
}

// TestOutage stops a real homeserver while two people draw.
func TestOutage(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	t.Parallel() // it mostly waits
	w := newWorld(t)
	var mu sync.Mutex
	var last wire.Saved // Guarded by mu.
	var resets, roles, byes int
	watch := client.Options{Frame: func(f wire.Frame, _ int) {
		mu.Lock()
		defer mu.Unlock()
		switch f := f.(type) {
		case wire.Saved:
			last = f
		case wire.Reset:
			resets++
		case wire.Role:
			roles++
		case wire.Bye:
			byes++
		}
	}}
	now := func() wire.Saved { mu.Lock(); defer mu.Unlock(); return last }
	people := []*draw{w.mustOpen(w.user(0), watch), w.mustOpen(w.user(1), watch)}
	strokes, slowest := 0, time.Duration(0)
	stroke := func() {
		t.Helper()
		d := people[strokes%2]
		strokes++
		start := time.Now()
		d.stroke()
		if err := d.settled(t.Context()); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(start))
	}
	stroke()
	until(t, "the first save", 20*time.Second, func() bool { return now().Seq == 1 })

	rise := w.fall()
	down := time.Now()
	for time.Since(down) < *outageLength {
		stroke()
		pause := 200 * time.Millisecond
		if strokes == 40 {
			pause = 6 * time.Second // long enough for a save to be tried
		}
		select {
		case <-time.After(pause):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	t.Run("AU9 who is on the board goes on drawing, nobody loses a role or a change", func(t *testing.T) {
		mu.Lock()
		defer mu.Unlock()
		if resets+roles+byes > 0 {
			t.Errorf("got %d resets, %d changes of role, %d byes", resets, roles, byes)
		}
		t.Logf("%s without a homeserver: %d strokes, the slowest acknowledged after %s", *outageLength, strokes-1, slowest.Round(time.Millisecond))
	})
	t.Run("CP4 the status line says why the room is behind, and since when", func(t *testing.T) {
		s := now()
		since := time.UnixMilli(int64(s.Since))
		if s.Problem != "unreachable" || s.Seq != 1 || since.Before(down) || since.Sub(down) > 40*time.Second {
			t.Errorf("got %+v, down since %s", s, down)
		}
	})
	t.Run("AU9 whose connection breaks meanwhile comes back; who is new waits", func(t *testing.T) {
		old := people[0]
		old.Kill()
		seq, _, _ := old.State()
		wel := old.Welcome()
		again, err := client.Join(t.Context(), "ws"+w.ready.Lectern[len("http"):]+"/v1/connect", old.token, client.Options{Log: wel.Log, Have: seq, Actor: wel.Actor, Frame: watch.Frame})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(again.Close)
		if got := again.Welcome(); !got.Resume || got.Role != "moderator" {
			t.Errorf("got resume %v as %s", got.Resume, got.Role)
		}
		people[0] = &draw{Client: again, token: old.token, author: old.author, doc: old.doc}
		stroke()
		stroke()
		if status, a, err := w.post(t.Context(), map[string]any{"openid": devstack.OpenID{AccessToken: "x", TokenType: "Bearer", MatrixServerName: "localhost"}, "room_id": w.ready.RoomID, "widget_id": w.ready.Widgets[0].ID}); err != nil || status != http.StatusServiceUnavailable {
			t.Errorf("a sign-in without a homeserver: %d %v, %v", status, a, err)
		}
	})
	rise()
	up := time.Now()
	t.Run("CP4 the room has caught up", func(t *testing.T) {
		until(t, "the save of everything", 60*time.Second, func() bool { s := now(); return s.Seq == uint64(strokes) && s.Problem == "" })
		t.Logf("everything is in the room %s after the homeserver answered again", time.Since(up).Round(time.Millisecond))
	})
	t.Run("AU9 new people come in again", func(t *testing.T) {
		var d *draw
		until(t, "a sign-in", 30*time.Second, func() (ok bool) {
			var err error
			d, err = w.open(t.Context(), w.user(2), client.Options{})
			return err == nil
		})
		defer d.Close()
		if got := w.scene(d); got.Seq != uint64(strokes) {
			t.Errorf("they see seq %d, want %d", got.Seq, strokes)
		}
	})
}

// TestOutageWithoutEnd: when the homeserver has been away for longer than is allowed, the board pauses; nothing is refused, and everything goes on where it was.
func TestOutageWithoutEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	t.Parallel() // it mostly waits
	w := newWorld(t, func(o *DevOptions) { o.Outage = 5 * time.Second })
	byes := make(chan wire.Bye, 1)
	resets := make(chan wire.Reset, 1)
	d := w.mustOpen(w.user(1), client.Options{Frame: func(f wire.Frame, _ int) {
		switch f := f.(type) {
		case wire.Bye:
			byes <- f
		case wire.Reset:
			resets <- f
		}
	}})
	d.stroke()
	if err := d.settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	rise := w.fall()
	t.Run("AU9 after matrix.outage everybody is sent away and may come back", func(t *testing.T) {
		select {
		case b := <-byes:
			if b.Code != "sync_stale" || b.RetryMS <= 0 {
				t.Errorf("got %+v", b)
			}
		case <-time.After(40 * time.Second):
			t.Fatal("nobody was sent away")
		}
	})
	seq, _, _ := d.State()
	wel := d.Welcome()
	back := func(ctx context.Context) (*client.Client, error) {
		return client.Join(ctx, "ws"+w.ready.Lectern[len("http"):]+"/v1/connect", d.token, client.Options{Log: wel.Log, Have: seq, Actor: wel.Actor})
	}
	t.Run("AU9 nobody comes in before the homeserver answers", func(t *testing.T) {
		if _, err := back(t.Context()); err == nil {
			t.Error("somebody came in")
		} else if bye, ok := asBye(err); !ok || bye.Bye.Code != "sync_stale" || bye.Bye.RetryMS <= 0 {
			t.Errorf("got %v", err)
		}
	})
	rise()
	t.Run("AU9 what was drawn meanwhile is taken afterwards, under the same actor", func(t *testing.T) {
		var c *client.Client
		until(t, "coming back", 30*time.Second, func() (ok bool) {
			var err error
			c, err = back(t.Context())
			return err == nil
		})
		t.Cleanup(c.Close)
		again := &draw{Client: c, token: d.token, author: d.author, doc: d.doc}
		again.stroke()
		if err := again.settled(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(resets) > 0 {
			t.Errorf("a change was refused: %+v", <-resets)
		}
	})
}
