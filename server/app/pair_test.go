package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/educationpub/lectern/server/config"
	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// instance is a Lectern in a process of its own, so that it can be killed.
type instance struct {
	t       testing.TB
	url     string
	user    string // its companion
	config  string // file
	process *exec.Cmd
}

// newInstance makes account, folder and configuration of a Lectern beside a homeserver, which accepts another one's companion.
func newInstance(t testing.TB, hs *devstack.Homeserver, accepts string, change ...func(*config.Config)) *instance {
	t.Helper()
	dir := t.TempDir()
	const secret = "a companion's secret"
	if err := hs.Register(t.Context(), "lectern", secret, false); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // the process listens there in a moment
	i := &instance{t: t, url: fmt.Sprintf("http://localhost:%d", port(l)), user: hs.UserID("lectern"), config: filepath.Join(dir, "lectern.yaml")}
	cfg := &config.Config{
		Listen: l.Addr().String(), PublicURL: i.url, Data: filepath.Join(dir, "data"), ClientOrigins: []string{"http://localhost:1"},
		Matrix: config.Matrix{Homeserver: hs.URL(), UserID: i.user, PasswordFile: password, AllowInviters: []string{"*"}, AcceptCompanions: []string{accepts}},
		OpenID: config.OpenID{AllowCIDRs: []string{"127.0.0.0/8", "::1/128"}, InsecureTLS: true},
	}
	for _, f := range change {
		f(cfg)
	}
	b, err := yaml.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(i.config, b, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.kill)
	return i
}

// start returns when the Lectern answers; the time it took is from exec.
func (i *instance) start() time.Duration {
	i.t.Helper()
	began := time.Now()
	i.process = exec.Command(os.Args[0], "serve", i.config)
	i.process.Stderr = os.Stderr
	if err := i.process.Start(); err != nil {
		i.t.Fatal(err)
	}
	i.poll("the Lectern to answer", time.Minute, func() bool {
		resp, err := http.Get(i.url + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return time.Since(began)
}

// kill is kill -9.
func (i *instance) kill() {
	if i.process == nil {
		return
	}
	_ = i.process.Process.Kill()
	_ = i.process.Wait()
	i.process = nil
}

func (i *instance) poll(what string, limit time.Duration, f func() bool) time.Duration {
	i.t.Helper()
	return i.pollEvery(50*time.Millisecond, what, limit, f)
}

func (i *instance) pollEvery(every time.Duration, what string, limit time.Duration, f func() bool) time.Duration {
	i.t.Helper()
	return pollEvery(i.t, every, what, limit, f)
}

func pollEvery(t testing.TB, every time.Duration, what string, limit time.Duration, f func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !f() {
		if time.Since(began) > limit {
			t.Fatalf("waited %s for %s", limit, what)
		}
		<-tick.C
	}
	return time.Since(began)
}

// signIn answers a client of the Lectern's HTTP side for somebody who opened the widget.
func (i *instance) signIn(who *devstack.Client, room string, w devstack.Widget) (*devstack.Client, error) {
	id, err := who.OpenID(i.t.Context())
	if err != nil {
		return nil, err
	}
	var a struct {
		Token string `json:"token"`
	}
	c := &devstack.Client{BaseURL: i.url}
	err = c.Do(i.t.Context(), http.MethodPost, "/v1/sessions", map[string]any{"openid": id, "room_id": room, "widget_id": w.ID}, &a)
	c.AccessToken = a.Token
	return c, err
}

// visitor is somebody on a board.
type visitor struct {
	*client.Client
	i      *instance
	http   *devstack.Client
	author *client.Author
	board  string
	doc    wire.Doc
}

func (i *instance) open(who *devstack.Client, room string, w devstack.Widget, o client.Options) (*visitor, error) {
	c, err := i.signIn(who, room, w)
	if err != nil {
		return nil, err
	}
	cl, err := client.Join(i.t.Context(), "ws"+strings.TrimPrefix(i.url, "http")+"/v1/connect", c.AccessToken, o)
	if err != nil {
		return nil, err
	}
	author, err := client.NewAuthor(cl.Welcome().Actor)
	if err != nil {
		return nil, err
	}
	i.t.Cleanup(cl.Close)
	return &visitor{Client: cl, i: i, http: c, author: author, board: w.Board, doc: cl.Welcome().Docs[0]}, nil
}

func (i *instance) mustOpen(who *devstack.Client, room string, w devstack.Widget, o client.Options) *visitor {
	i.t.Helper()
	v, err := i.open(who, room, w, o)
	if err != nil {
		i.t.Fatal(err)
	}
	return v
}

// draw makes strokes and returns when they are acknowledged.
func (v *visitor) draw(n, size int) {
	v.i.t.Helper()
	for range n {
		v.Change(v.doc.Doc, v.doc.Epoch, v.author.Stroke(size))
	}
	d := draw{Client: v.Client}
	if err := d.settled(v.i.t.Context()); err != nil {
		v.i.t.Fatal(err)
	}
}

// elements are the ids of what the board shows.
func (v *visitor) elements() (out []string) {
	v.i.t.Helper()
	var s struct {
		Elements []struct {
			ID string `json:"id"`
		} `json:"elements"`
	}
	if err := v.http.Do(v.i.t.Context(), http.MethodGet, "/v1/boards/"+v.board+"/docs/"+v.doc.Doc+"/scene?live=1", nil, &s); err != nil {
		v.i.t.Fatal(err)
	}
	for _, e := range s.Elements {
		out = append(out, e.ID)
	}
	slices.Sort(out)
	return out
}

// wantElsewhere checks that opening ends with a sentence that names the home.
func wantElsewhere(t testing.TB, err error, home string) {
	t.Helper()
	bye, ok := asBye(err)
	if !ok || bye.Bye.Code != "board_elsewhere" || !strings.Contains(bye.Bye.Message, home) || bye.Bye.RetryMS >= 0 {
		t.Errorf("got %v, want board_elsewhere naming %s", err, home)
	}
}

// serveMain is `lectern serve` in the test binary.
func serveMain(file string) error {
	cfg, err := config.Load(file, nil)
	if err != nil {
		return err
	}
	return Run(context.Background(), cfg, Options{Version: "test", Log: slog.New(Redact(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))})
}

// boardEvents counts the events that somebody wrote about a board.
func boardEvents(t testing.TB, c *devstack.Client, room, sender string) (n int) {
	t.Helper()
	var page struct {
		Chunk []json.RawMessage `json:"chunk"`
	}
	filter := `{"senders":["` + sender + `"],"types":["m.room.encrypted"]}`
	if err := c.Do(t.Context(), http.MethodGet, "/_matrix/client/v3/rooms/"+room+"/messages?dir=b&limit=500&filter="+filter, nil, &page); err != nil {
		t.Fatal(err)
	}
	return len(page.Chunk)
}

// refusedWith: an answer of a Lectern with this code.
func refusedWith(err error, code string) bool {
	return err != nil && strings.Contains(err.Error(), `"code":"`+code+`"`)
}
