package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt/worker"
	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// The test binary is its own merge worker, as the real program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "merge-worker" {
		if err := worker.Main(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		if err := serveMain(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// world is `lectern dev` inside the test: a real homeserver, real Lectern, everything on loopback.
type world struct {
	t     testing.TB
	dir   string
	opts  DevOptions
	ready devstack.Ready
	hs    *devstack.Homeserver
	stop  func()
}

func newWorld(t testing.TB, change ...func(*DevOptions)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	var level slog.Level = slog.LevelError
	var sink io.Writer = io.Discard
	if testing.Verbose() {
		sink, level = os.Stderr, slog.LevelWarn
	}
	w.opts = DevOptions{Dir: w.dir, ReadyFile: filepath.Join(w.dir, "ready.json"), Version: "test", Out: io.Discard, Log: slog.New(slog.NewJSONHandler(sink, &slog.HandlerOptions{Level: level}))}
	w.opts.Started = func(s *devstack.Stack) { w.hs = s.Homeserver }
	for _, f := range change {
		f(&w.opts)
	}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	_ = os.Remove(w.opts.ReadyFile)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Dev(ctx, w.opts) }() // joined by stop
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("lectern ended with %v", err)
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(9 * time.Minute) // the first start on a machine builds the homeserver
	for {
		select {
		case err := <-done:
			stopped = true
			w.t.Fatalf("lectern did not start: %v", err)
		case <-limit:
			w.t.Fatal("lectern did not become ready")
		case <-tick.C:
			b, err := os.ReadFile(w.opts.ReadyFile)
			if err != nil {
				continue
			}
			if err := json.Unmarshal(b, &w.ready); err != nil {
				w.t.Fatal(err)
			}
			return
		}
	}
}

// homeserver answers a handle on the running homeserver's HTTP side for a user who has an access token.
func (w *world) user(i int) *devstack.Client {
	u := w.ready.Users[i]
	return &devstack.Client{BaseURL: w.ready.Homeserver, Password: u.Password, Login: devstack.Login{UserID: u.UserID, AccessToken: u.AccessToken, DeviceID: u.DeviceID}}
}

// signIn does what the widget does: an OpenID token for a session token. It answers the HTTP status and the decoded answer.
func (w *world) signIn(ctx context.Context, c *devstack.Client, room, widget string) (int, map[string]any, error) {
	id, err := c.OpenID(ctx)
	if err != nil {
		return 0, nil, err
	}
	return w.post(ctx, map[string]any{"openid": id, "room_id": room, "widget_id": widget})
}

func (w *world) post(ctx context.Context, body any) (int, map[string]any, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.ready.Lectern+"/v1/sessions", bytes.NewReader(b))
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	var out map[string]any
	return resp.StatusCode, out, json.NewDecoder(resp.Body).Decode(&out)
}

// draw is one person with the widget open.
type draw struct {
	*client.Client
	token  string
	author *client.Author
	doc    string
}

func (w *world) open(ctx context.Context, c *devstack.Client, o client.Options) (*draw, error) {
	return w.openIn(ctx, c, w.ready.RoomID, w.ready.Widgets[0].ID, o)
}

// openIn opens the widget of any room.
func (w *world) openIn(ctx context.Context, c *devstack.Client, room, widget string, o client.Options) (*draw, error) {
	status, a, err := w.signIn(ctx, c, room, widget)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("sign-in: %d %v", status, a["code"])
	}
	token := a["token"].(string)
	cl, err := client.Join(ctx, "ws"+w.ready.Lectern[len("http"):]+"/v1/connect", token, o)
	if err != nil {
		return nil, err
	}
	wel := cl.Welcome()
	author, err := client.NewAuthor(wel.Actor)
	if err != nil {
		return nil, err
	}
	return &draw{Client: cl, token: token, author: author, doc: wel.Docs[0].Doc}, nil
}

func (w *world) mustOpen(c *devstack.Client, o client.Options) *draw {
	w.t.Helper()
	d, err := w.open(w.t.Context(), c, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(d.Close)
	return d
}

func (d *draw) stroke() { d.Change(d.doc, 0, d.author.Stroke(60)) }

// settled waits until everything the person drew has been acknowledged.
func (d *draw) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		if _, _, n := d.State(); n == 0 {
			return nil
		}
		select {
		case <-d.Done():
			return fmt.Errorf("the session ended: %w", d.Err())
		case <-ctx.Done():
			_, _, n := d.State()
			return fmt.Errorf("%d changes are not acknowledged", n)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// scene is the server's reading of the board.
type scene struct {
	Log      string           `json:"log"`
	Seq      uint64           `json:"seq"`
	Heads    []string         `json:"heads"`
	Elements []map[string]any `json:"elements"`
}

func (w *world) scene(d *draw) (s scene) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, fmt.Sprintf("%s/v1/boards/%s/docs/%s/scene?live", w.ready.Lectern, d.Welcome().Board, d.doc), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		w.t.Fatalf("scene: %d %s", resp.StatusCode, b)
	}
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// saved waits for the copy in the room to cover everything up to seq.
func saved(t testing.TB, frames <-chan wire.Saved, seq uint64) {
	t.Helper()
	limit := time.After(60 * time.Second)
	last := wire.Saved{}
	for {
		select {
		case f := <-frames:
			if last = f; f.Seq >= seq {
				return
			}
		case <-limit:
			t.Fatalf("the board was not saved to the room: got %+v, want seq %d", last, seq)
		}
	}
}

// watchSaved answers options that pass on saved frames.
func watchSaved() (client.Options, <-chan wire.Saved) {
	ch := make(chan wire.Saved, 64)
	return client.Options{Frame: func(f wire.Frame, _ int) {
		if s, ok := f.(wire.Saved); ok {
			select {
			case ch <- s:
			default:
			}
		}
	}}, ch
}
