package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
)

// ready answers one snapshot of page d, or an error.
type ready struct {
	held checkpoint.Ready
	err  error
}

func (f *ready) Ready(_ context.Context, _ board.ID, doc board.DocID, scene bool) (checkpoint.Ready, error) {
	if doc != "d" {
		return checkpoint.Ready{}, board.ErrUnknownDoc
	}
	r := f.held
	if !scene {
		r.Scene = nil
	}
	return r, f.err
}

// newDocs serves the documents of board b to somebody who is signed in for it.
func newDocs(t *testing.T, f *ready) (http.Handler, *[]any) {
	t.Helper()
	var asked []any
	s := newTestServer(t, func(c *Config) {
		c.Snapshots = f
		c.Identity = identity.New(identity.Config{})
		c.Rule = func(_ context.Context, st identity.StoredSession, change board.RulesChange) error {
			asked = append(asked, *change.Draw)
			return f.err
		}
		c.AddPage = func(_ context.Context, st identity.StoredSession) (board.DocID, error) {
			asked = append(asked, st.Board)
			return "second", f.err
		}
		c.Scene = func(_ context.Context, _ identity.StoredSession, doc board.DocID, after *uint64) (any, error) {
			if asked = append(asked, doc); after != nil {
				asked = append(asked, *after)
			}
			return map[string]any{"full": after == nil}, f.err
		}
	})
	r := chi.NewRouter()
	signed := func(h handler) http.HandlerFunc {
		return s.handle(func(w http.ResponseWriter, q *http.Request) error {
			return h(w, q.WithContext(context.WithValue(q.Context(), sessionKey{}, identity.StoredSession{Board: "b"})))
		})
	}
	r.Post("/{board}", signed(s.addPage))
	r.Post("/{board}/rules", signed(s.rule))
	r.Get("/{board}/{doc}/document", signed(s.document))
	r.Get("/{board}/{doc}/scene", signed(s.scene))
	return r, &asked
}

func code(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Message == "" {
		t.Fatalf("%d %q: %v", w.Code, w.Body, err)
	}
	return fmt.Sprint(w.Code, " ", p.Code)
}

func TestDocuments(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(`{"elements":[]}`))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	full := func() *ready {
		return &ready{held: checkpoint.Ready{Edition: checkpoint.Edition{Log: "l", Epoch: 2, Seq: 7, Upto: 9}, Document: []byte("save"), Scene: packed.Bytes()}}
	}

	t.Run("SN1 SN3 bytes as they are held, with the headers that place them in the log, and never cached", func(t *testing.T) {
		h, _ := newDocs(t, full())
		for path, want := range map[string][3]string{
			"/b/d/document": {"save", "application/octet-stream", ""},
			"/b/d/scene":    {packed.String(), "application/json; charset=utf-8", "gzip"},
		} {
			w := get(t, h, "GET", path, "", "Accept-Encoding", "br, gzip")
			head := w.Header()
			if got := [3]string{w.Body.String(), head.Get("Content-Type"), head.Get("Content-Encoding")}; w.Code != 200 || got != want {
				t.Fatalf("%s: got %d %q", path, w.Code, got)
			}
			if head.Get("X-Lectern-Log") != "l" || head.Get("X-Lectern-Seq") != "9" || head.Get("X-Lectern-Epoch") != "2" || head.Get("Cache-Control") != "no-store" || head.Get("Content-Length") != fmt.Sprint(len(want[0])) {
				t.Fatalf("%s: got %v", path, head)
			}
			again := get(t, h, "GET", path, "", "Accept-Encoding", "gzip", "If-None-Match", head.Get("ETag"))
			if head.Get("ETag") == "" || again.Code != 304 || again.Body.Len() != 0 || again.Header().Get("X-Lectern-Seq") != "9" {
				t.Fatalf("%s: got %d with tag %q", path, again.Code, head.Get("ETag"))
			}
		}
	})

	t.Run("SN1 a client without gzip gets the scene plain", func(t *testing.T) {
		h, _ := newDocs(t, full())
		w := get(t, h, "GET", "/b/d/scene", "")
		if b, _ := io.ReadAll(w.Body); string(b) != `{"elements":[]}` || w.Header().Get("Content-Encoding") != "" || w.Header().Get("Vary") != "Accept-Encoding" {
			t.Fatalf("got %q, %v", b, w.Header())
		}
	})

	t.Run("SN1 a document that is still the genesis is 204", func(t *testing.T) {
		f := full()
		f.held.Document, f.held.Seq = nil, 0
		h, _ := newDocs(t, f)
		if w := get(t, h, "GET", "/b/d/document", ""); w.Code != 204 || w.Header().Get("X-Lectern-Epoch") != "2" {
			t.Fatalf("got %d, %v", w.Code, w.Header())
		}
	})

	t.Run("SN6 after and live ask the board itself", func(t *testing.T) {
		h, asked := newDocs(t, full())
		get(t, h, "GET", "/b/d/scene?after=12", "")
		get(t, h, "GET", "/b/d/scene?live", "")
		if got := fmt.Sprint(*asked); got != "[d 12 d]" {
			t.Fatalf("got %s", got)
		}
		for _, bad := range []string{"", "-1", "x", "99999999999999999999"} {
			if got := code(t, get(t, h, "GET", "/b/d/scene?after="+bad, "")); got != "400 bad_after" {
				t.Fatalf("%q: got %s", bad, got)
			}
		}
	})

	t.Run("SN5 refusals keep the board's own code and sentence", func(t *testing.T) {
		f := full()
		h, _ := newDocs(t, f)
		want := func(path, answer string) {
			t.Helper()
			if got := code(t, get(t, h, "GET", path, "")); got != answer {
				t.Fatalf("%s: got %s, want %s", path, got, answer)
			}
		}
		want("/other/d/document", "404 unknown_board")
		want("/other/d/scene?live", "404 unknown_board")
		want("/b/nope/document", "404 unknown_doc")
		for _, err := range []*board.Error{board.ErrDamaged, board.ErrUnavailable} {
			f.err = err.Because("canary")
			for _, path := range []string{"/b/d/document", "/b/d/scene", "/b/d/scene?live"} {
				want(path, "503 "+err.Code())
			}
		}
	})
	t.Run("RU4 a moderator's decision is taken in strict JSON; refusals have their own status; thirty a minute", func(t *testing.T) {
		f := full()
		h, asked := newDocs(t, f)
		if w := get(t, h, "POST", "/b/rules", `{"draw": "chosen"}`); w.Code != 204 || fmt.Sprint(*asked) != "[chosen]" {
			t.Fatalf("got %d %s, %v", w.Code, w.Body, *asked)
		}
		for body, want := range map[string]string{
			`{"drow": "chosen"}`: "400 bad_json", `{}{}`: "400 bad_json", ``: "400 bad_json", `{"draw": "` + strings.Repeat("x", 5_000) + `"}`: "413 too_large",
		} {
			if got := code(t, get(t, h, "POST", "/b/rules", body)); got != want {
				t.Fatalf("%.40s: got %s, want %s", body, got, want)
			}
		}
		if got := code(t, get(t, h, "POST", "/other/rules", `{"draw": ""}`)); got != "404 unknown_board" {
			t.Fatalf("got %s", got)
		}
		for err, want := range map[error]string{board.ErrForbidden: "403 forbidden", board.ErrBadRules: "400 bad_rules", board.ErrUnknownDoc: "404 unknown_doc", board.ErrStorage: "503 storage"} {
			f.err = err
			if got := code(t, get(t, h, "POST", "/b/rules", `{"draw": ""}`)); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
		f.err = nil
		for range 25 {
			get(t, h, "POST", "/b/rules", `{"draw": ""}`)
		}
		if got := code(t, get(t, h, "POST", "/b/rules", `{"draw": ""}`)); got != "429 rate_limited" {
			t.Fatalf("got %s", got)
		}
	})

	t.Run("PG1 a page is added and named; refusals have their own status; ten a minute", func(t *testing.T) {
		f := full()
		h, asked := newDocs(t, f)
		if w := get(t, h, "POST", "/b", ""); w.Code != 201 || strings.TrimSpace(w.Body.String()) != `{"doc":"second"}` {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
		if got := code(t, get(t, h, "POST", "/other", "")); got != "404 unknown_board" {
			t.Fatalf("got %s", got)
		}
		for err, want := range map[error]string{
			board.ErrReadOnly: "403 read_only", board.ErrPagesFull: "409 too_large", board.ErrStorage: "503 storage", board.ErrDraining: "503 draining",
		} {
			f.err = err
			if got := code(t, get(t, h, "POST", "/b", "")); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
		f.err = nil
		for range 5 {
			get(t, h, "POST", "/b", "")
		}
		n := len(*asked)
		if got := code(t, get(t, h, "POST", "/b", "")); got != "429 rate_limited" || len(*asked) != n {
			t.Fatalf("got %s", got)
		}
	})
}
