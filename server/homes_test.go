package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
)

// otherHome answers that board b is kept elsewhere.
type otherHome struct {
	took  int
	saved bool
	err   error
}

func (o *otherHome) Whose(context.Context, string, string, board.ID) (checkpoint.Whose, error) {
	return checkpoint.Whose{Home: "@lectern:other.example", Since: time.UnixMilli(1_700_000_000_123)}, o.err
}

func (o *otherHome) TakeOver(context.Context, string, string, board.ID) (bool, error) {
	o.took++
	return o.saved, o.err
}

// standings has a moderator and a pupil.
type standings struct{ identity.Rooms }

func (standings) Standing(_, user string) (identity.Standing, bool) {
	return identity.Standing{Joined: true, Complete: true, Power: map[string]int{"@mod:x.example": 50}[user], Levels: identity.Levels{Kick: 50}}, true
}
func (standings) Age() time.Duration { return 0 }

func TestHomes(t *testing.T) {
	const mod, pupil = "@mod:x.example", "@pupil:x.example"
	serve := func(t *testing.T, o *otherHome) func(method, path, person string) (int, string, map[string]any) {
		s := newTestServer(t, func(c *Config) {
			c.Homes = o
			c.Identity = identity.New(identity.Config{Rooms: standings{}})
		})
		return func(method, path, person string) (int, string, map[string]any) {
			r := chi.NewRouter()
			signed := func(h handler) http.HandlerFunc {
				return s.handle(func(w http.ResponseWriter, q *http.Request) error {
					st := identity.StoredSession{Board: "b", Kind: "whiteboard", Room: "!r:x.example", Person: board.Person(person)}
					return h(w, q.WithContext(context.WithValue(q.Context(), sessionKey{}, st)))
				})
			}
			r.Get("/{board}/home", signed(s.home))
			r.Post("/{board}/takeover", signed(s.takeOver))
			w := get(t, r, method, path, "")
			if w.Code >= 400 {
				return w.Code, code(t, w), nil
			}
			var m map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
				t.Fatal(err)
			}
			return w.Code, "", m
		}
	}

	t.Run("HO2 the page is told who keeps the board and since when, and moderators that they may take it over", func(t *testing.T) {
		call := serve(t, &otherHome{})
		for person, may := range map[string]bool{mod: true, pupil: false} {
			status, _, m := call("GET", "/b/home", person)
			if status != 200 || m["ours"] != false || m["home"] != "@lectern:other.example" || m["since"] != 1_700_000_000_123.0 || m["may_take_over"] != may {
				t.Errorf("%s: got %d %v", person, status, m)
			}
		}
	})
	t.Run("HO3 only a moderator's word counts, for the board of the session", func(t *testing.T) {
		o := &otherHome{saved: true}
		call := serve(t, o)
		if _, c, _ := call("POST", "/b/takeover", pupil); c != "403 forbidden" || o.took != 0 {
			t.Errorf("a pupil: %q, %d", c, o.took)
		}
		for _, p := range []string{"/c/takeover", "/c/home"} {
			if _, c, _ := call(map[string]string{"/c/takeover": "POST", "/c/home": "GET"}[p], p, mod); c != "404 unknown_board" || o.took != 0 {
				t.Errorf("another board: %q", c)
			}
		}
		if status, _, m := call("POST", "/b/takeover", mod); status != 200 || m["home"] != "@lectern:example" || m["saved"] != true || o.took != 1 {
			t.Errorf("got %d %v", status, m)
		}
	})
	t.Run("HO3 refusals have a code", func(t *testing.T) {
		o := &otherHome{}
		call := serve(t, o)
		for want, err := range map[string]error{
			"409 ours":            checkpoint.ErrOurs,
			"404 unknown_board":   checkpoint.ErrNone,
			"409 board_damaged":   board.ErrDamaged.Because("sha256"),
			"409 board_elsewhere": board.ErrElsewhere,
			"503 board_failed":    errors.New("the homeserver is away"),
		} {
			o.err = err
			if _, c, _ := call("POST", "/b/takeover", mod); c != want {
				t.Errorf("%v: got %q, want %q", err, c, want)
			}
		}
	})
	t.Run("AU5 questions and commands are limited per person", func(t *testing.T) {
		o := &otherHome{}
		call := serve(t, o)
		for line, limit := range map[string]int{"GET /b/home": 30, "POST /b/takeover": 10} {
			method, path, _ := strings.Cut(line, " ")
			for n := range limit {
				if status, _, _ := call(method, path, mod); status != 200 {
					t.Fatalf("%s %s: the %dth is refused", method, path, n+1)
				}
			}
			if _, c, _ := call(method, path, mod); c != "429 rate_limited" {
				t.Errorf("%s %s: got %q after %d", method, path, c, limit)
			}
		}
		if o.took != 10 {
			t.Errorf("%d commands came through", o.took)
		}
	})
}
