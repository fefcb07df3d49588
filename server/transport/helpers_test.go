package transport

import (
	"context"
	"errors"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/webrtc/v4"

	"github.com/educationpub/lectern/crdt"
	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/schema"
	"github.com/educationpub/lectern/server/store"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// house is a real server on a real store with a real hub; only the Matrix side is a table of roles.
type house struct {
	t   testing.TB
	srv *Server
	hub *board.Hub
	url string

	mu    sync.Mutex // guards roles
	roles map[board.Person]board.Role
}

// token of a person on the board "demo". The key for Revoke is the person's first byte repeated.
func token(person string) string { return "t:" + person }

func newHouse(t testing.TB, change func(*Config)) *house {
	t.Helper()
	h := &house{t: t, roles: map[board.Person]board.Role{}}
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(dir, "lectern.db"), KeyFile: filepath.Join(dir, "key")})
	if err != nil {
		t.Fatal(err)
	}
	h.hub = board.NewHub(board.Config{Log: st, Authority: h.authority, Encode: wire.AppendEntry, Verify: verify, Server: "@lectern:example.org"})
	cfg := Config{
		Hub: h.hub, ServerName: "example.org", Companion: "@lectern:example.org",
		Authenticate: func(_ context.Context, tok string) (Auth, error) {
			name, ok := strings.CutPrefix(tok, "t:")
			if !ok {
				return Auth{}, errors.New("unknown token")
			}
			a := Auth{Person: board.Person("@" + name + ":example.org"), Room: "!room", Kind: "whiteboard", Board: "aaaaaaaaaaaaaaaaaaaaaaaaaa", Encrypted: true}
			a.SessionKey[0] = name[0]
			return a, nil
		},
		RTC: RTC{Listen: "127.0.0.1:0", Loopback: true},
	}
	if change != nil {
		change(&cfg)
	}
	h.srv, err = New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(h.srv)
	h.url = "ws" + strings.TrimPrefix(web.URL, "http") + "/v1/connect"
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		web.Close()
		if err := h.hub.Close(ctx); err != nil {
			t.Errorf("close hub: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return h
}

// verify asks the engine in this process.
func verify(_ context.Context, kind string, squash []byte, _ []board.Element) ([]byte, []board.Hash, error) {
	d, err := crdt.Load(schema.Genesis(kind))
	if err == nil {
		err = d.Apply([][]byte{squash})
	}
	if err != nil {
		return nil, nil, err
	}
	return d.Save(), []board.Hash{board.Hash(d.Heads()[0])}, nil
}

func (h *house) authority(_ string, p board.Person) (board.Role, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok := h.roles[p]; ok {
		return r, "Name of " + string(p)
	}
	return board.RoleParticipant, ""
}

func (h *house) setRole(p board.Person, r board.Role) {
	h.mu.Lock()
	h.roles[p] = r
	h.mu.Unlock()
	h.hub.Recheck("!room")
}

func (h *house) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	h.t.Cleanup(cancel)
	return ctx
}

func (h *house) join(person string, o client.Options) *client.Client {
	h.t.Helper()
	c, err := client.Join(h.ctx(), h.url, token(person), o)
	if err != nil {
		h.t.Fatalf("join as %s: %v", person, err)
	}
	h.t.Cleanup(c.Close)
	return c
}

// raw opens a WebSocket and sends the given frames.
func (h *house) raw(frames ...[]byte) *websocket.Conn {
	h.t.Helper()
	conn, _, err := client.Dial(h.ctx(), h.url, client.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.CloseNow() })
	for _, f := range frames {
		if err := conn.Write(h.ctx(), websocket.MessageBinary, f); err != nil {
			h.t.Fatal(err)
		}
	}
	return conn
}

// ending reads until the connection closes and answers the bye and the close code.
func (h *house) ending(conn *websocket.Conn) (wire.Bye, int) {
	h.t.Helper()
	var bye wire.Bye
	for {
		_, b, err := conn.Read(h.ctx())
		if err != nil {
			return bye, int(websocket.CloseStatus(err))
		}
		f, err := wire.DecodeServer(b)
		if err != nil {
			h.t.Fatal(err)
		}
		if x, ok := f.(wire.Bye); ok {
			bye = x
		}
	}
}

// until reads frames until one of type F comes.
func until[F wire.Frame](h *house, conn *websocket.Conn) F {
	h.t.Helper()
	for {
		_, b, err := conn.Read(h.ctx())
		if err != nil {
			h.t.Fatalf("waiting for %T: %v", *new(F), err)
		}
		f, err := wire.DecodeServer(b)
		if err != nil {
			h.t.Fatal(err)
		}
		if x, ok := f.(F); ok {
			return x
		}
	}
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not reached: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func hello(frames ...wire.Frame) [][]byte {
	out := [][]byte{wire.Auth{Token: token("ada")}.Append(nil), wire.Hello{}.Append(nil)}
	for _, f := range frames {
		out = append(out, f.Append(nil))
	}
	return out
}

// log records entries of a client and checks that each comes once, in order.
type record struct {
	t    testing.TB
	mu   sync.Mutex
	last uint64
	seen map[[32]byte]uint64
}

func newRecord(t testing.TB) *record { return &record{t: t, seen: map[[32]byte]uint64{}} }

func (r *record) entries(from uint64, list []wire.Entry, _ int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, e := range list {
		h := client.Hash(e.Bytes)
		if s, twice := r.seen[h]; twice {
			r.t.Errorf("change %x is entry %d and %d", h[:4], s, from+uint64(i))
		}
		r.seen[h] = from + uint64(i)
	}
	r.last = from + uint64(len(list)) - 1
}

func (r *record) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

func mustAuthor(t testing.TB, c *client.Client) *client.Author {
	t.Helper()
	a, err := client.NewAuthor(c.Welcome().Actor)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func page(c *client.Client) string { return c.Welcome().Docs[0].Doc }

// answer connects, offers channels (with more lines of SDP behind the honest ones) and gives the server's answer.
func (h *house) answer(more string) wire.Answer {
	h.t.Helper()
	conn := h.raw(hello()...)
	until[wire.Welcome](h, conn)
	pc, sdp, _, err := client.Offer(nil, webrtc.Configuration{})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = pc.Close() })
	(&bare{h: h, conn: conn}).send(wire.Offer{SDP: sdp + more})
	return until[wire.Answer](h, conn)
}
