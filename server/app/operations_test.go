package app

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// lockedText collects the log of a run.
type lockedText struct {
	mu sync.Mutex
	b  strings.Builder // Guarded by mu.
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// freeAddress is one on loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestOperations: health, metrics, a drain in the middle of drawing, and what the log of all that says at its most talkative.
func TestOperations(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	metrics := freeAddress(t)
	var log lockedText
	w := newWorld(t, func(o *DevOptions) {
		o.Metrics = metrics
		o.Log = slog.New(Redact(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	})
	byes := make(chan wire.Bye, 1)
	listening := client.Options{Frame: func(f wire.Frame, _ int) {
		if b, ok := f.(wire.Bye); ok {
			byes <- b
		}
	}}
	d := w.mustOpen(w.user(0), listening)
	for range 3 {
		d.stroke()
	}
	if err := d.settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("DV14 health and readiness", func(t *testing.T) {
		for _, path := range []string{"/healthz", "/readyz"} {
			if status, body := fetch(t, w.ready.Lectern+path); status != http.StatusOK {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
		if status, _ := fetch(t, w.ready.Lectern+"/metrics"); status != http.StatusNotFound {
			t.Errorf("the public address serves /metrics: %d", status)
		}
	})
	t.Run("DV14 metrics count and name nobody", func(t *testing.T) {
		status, body := fetch(t, "http://"+metrics+"/metrics")
		if status != http.StatusOK || !strings.Contains(body, "lectern_changes_total 3") || !strings.Contains(body, `lectern_lane_entries_out_total{lane="websocket"} 3`) || !strings.Contains(body, "lectern_sessions 1") {
			t.Errorf("%d %s", status, body)
		}
		for _, secret := range []string{w.ready.RoomID, w.ready.Users[0].UserID, w.ready.Widgets[0].Board} {
			if strings.Contains(body, secret) {
				t.Errorf("metrics name %s", secret)
			}
		}
	})
	t.Run("EP4 who leaves 200 changes behind leaves a board that begins its next epoch", func(t *testing.T) {
		for range 197 {
			d.stroke()
		}
		if err := d.settled(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.Close()
		for limit, body := time.After(30*time.Second), ""; !strings.Contains(body, `lectern_squash_seconds_count{outcome="ok"} 1`); {
			select {
			case <-time.After(50 * time.Millisecond):
				_, body = fetch(t, "http://"+metrics+"/metrics")
			case <-limit:
				t.Fatal("no squash")
			}
		}
		d = w.mustOpen(w.user(0), listening)
		if got := d.Welcome().Docs[0]; got.Epoch != 1 || got.Seq != 201 {
			t.Errorf("joined at %+v", got)
		}
	})
	heads := w.scene(d).Heads
	token := d.token
	w.stop()
	t.Run("DV14 people are told to come back and the board is in its room", func(t *testing.T) {
		if b := <-byes; b.Code != "draining" || b.RetryMS < 0 {
			t.Errorf("got %+v", b)
		}
		forget(t, w)
		w.start()
		d := w.mustOpen(w.user(0), client.Options{})
		if got := w.scene(d).Heads; !equal(got, heads) {
			t.Errorf("got heads %v, want %v", got, heads)
		}
		if got := d.Welcome().Docs[0]; got.Epoch != 1 {
			t.Errorf("restored at %+v", got)
		}
	})
	w.stop()
	t.Run("DV13 no log line names a room, a person, a board or a token", func(t *testing.T) {
		s := log.String()
		for _, u := range w.ready.Users {
			for _, secret := range []string{u.UserID, u.Name, u.AccessToken} {
				if strings.Contains(s, secret) {
					t.Errorf("the log has %q", secret)
				}
			}
		}
		for _, secret := range []string{w.ready.RoomID, w.ready.Widgets[0].Board, w.ready.Companion, token} {
			if strings.Contains(s, secret) {
				t.Errorf("the log has %q: %s", secret, line(s, secret))
			}
		}
		if !strings.Contains(s, `"level":"DEBUG"`) {
			t.Error("the log is not at debug level, so this proves little")
		}
	})
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func line(s, part string) string {
	for l := range strings.SplitSeq(s, "\n") {
		if strings.Contains(l, part) {
			return l
		}
	}
	return ""
}
