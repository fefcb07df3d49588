package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// memory is a Store for tests of the rules; the real one runs in the tests of server/store and the end-to-end tests.
type memory struct {
	mu       sync.Mutex
	sessions map[[32]byte]StoredSession
	spent    map[[32]byte]bool
	bound    map[board.ID]string
}

func (m *memory) SpendOpenID(_ context.Context, h [32]byte, _ time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.spent[h]
	m.spent[h] = true
	return !was, nil
}

func (m *memory) PutSession(_ context.Context, s StoredSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[s.TokenHash] = s
	return nil
}

func (m *memory) Session(_ context.Context, h [32]byte) (StoredSession, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[h]
	if !ok {
		return s, ErrNoSession
	}
	return s, nil
}

func (m *memory) DeleteSession(_ context.Context, h [32]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, h)
	return nil
}

func (m *memory) Sessions(_ context.Context, p board.Person) (l []StoredSession, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		if s.Person == p {
			l = append(l, s)
		}
	}
	return l, nil
}

func (m *memory) RoomSessions(_ context.Context, room string) (out []StoredSession, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		if s.Room == room {
			out = append(out, s)
		}
	}
	return out, nil
}

func (m *memory) BindBoard(_ context.Context, id board.ID, room, _ string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bound[id] == "" {
		m.bound[id] = room
	}
	return m.bound[id], nil
}

func (m *memory) Sweep(context.Context, time.Time) error { return nil }

// school is a room with a teacher (100), a pupil (0) and a widget.
type school struct {
	mu         sync.Mutex
	joined     map[string]bool
	power      map[string]int
	levels     Levels
	age        time.Duration
	incomplete bool
	asked      int // widget look-ups
	confirm    error
}

const (
	room  = "!r:school.example"
	other = "!other:school.example"
	tea   = "@tea:school.example"
	pupil = "@pupil:far.example"
)

func (s *school) Standing(r, user string) (Standing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Standing{Joined: s.joined[r+user], Power: s.power[user], Levels: s.levels, Complete: !s.incomplete, Name: "N"}, true
}

func (s *school) Confirm(_ context.Context, r, user string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.joined[r+user], s.confirm
}

func (s *school) Widget(_, id string) (Widget, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return Widget{ID: id, Kind: "whiteboard", Board: "b" + board.ID(id)}, id == "w"
}

func (s *school) Origin(room string, _ board.ID) string { return room }

func (s *school) Successor(string) (string, bool) { return "", false }

func (s *school) RoomOf(user, id string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return room, s.joined[room+user] && id == "w"
}
func (s *school) Encrypted(string) bool { return true }
func (s *school) Age() time.Duration    { s.mu.Lock(); defer s.mu.Unlock(); return s.age }
func (s *school) UserID() string        { return "@lectern:school.example" }

// vouch accepts the token "t<anything>:<user>".
type vouch struct{ err error }

func (v vouch) Verify(_ context.Context, _, token string) (string, error) {
	if v.err != nil {
		return "", v.err
	}
	for _, u := range []string{tea, pupil} {
		if len(token) > len(u) && token[len(token)-len(u):] == u {
			return u, nil
		}
	}
	return "", codedError("openid_invalid")
}

type codedError string

func (e codedError) Error() string { return string(e) }
func (e codedError) Code() string  { return string(e) }

func setup(t *testing.T) (*Service, *school, *memory) {
	t.Helper()
	m := &memory{sessions: map[[32]byte]StoredSession{}, spent: map[[32]byte]bool{}, bound: map[board.ID]string{}}
	sc := &school{joined: map[string]bool{room + tea: true, room + pupil: true}, power: map[string]int{tea: 100}, levels: Levels{Events: map[string]int{}, StateDefault: 50, Kick: 50}}
	s := New(Config{Store: m, Rooms: sc, Verifier: vouch{}, Log: slog.New(slog.NewJSONHandler(io.Discard, nil)), Schools: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	return s, sc, m
}

var n int

func ask(user string) Login {
	n++
	return Login{Proof: Proof{Server: "school.example", Token: fmt.Sprintf("t%d%s", n, user), From: netip.MustParseAddr("198.51.100.7")}, Room: room, Widget: "w"}
}

func code(t *testing.T, err error, want string) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code != want {
		t.Fatalf("got %v, want code %s", err, want)
	}
	if e.Message == "" {
		t.Fatalf("%s has no sentence for people", want)
	}
	return e
}

func TestLogin(t *testing.T) {
	ctx := t.Context()
	t.Run("AU1 a token mints one session", func(t *testing.T) {
		s, _, m := setup(t)
		l := ask(tea)
		g, err := s.Login(ctx, l)
		if err != nil || g.Role != board.RoleModerator || g.Session.Board != "bw" {
			t.Fatalf("got %+v, %v", g, err)
		}
		if _, stored := m.sessions[sha256.Sum256([]byte(g.Token))]; !stored {
			t.Error("the token is not stored by its hash")
		}
		_, err = s.Login(ctx, l)
		code(t, err, "openid_replayed")
		s2 := New(s.cfg) // a restart on the same store
		_, err = s2.Login(ctx, l)
		code(t, err, "openid_replayed")
	})
	t.Run("AU2 nothing is said of a room to those who are not joined", func(t *testing.T) {
		s, sc, _ := setup(t)
		l := ask(tea)
		l.Room = other
		_, err := s.Login(ctx, l)
		code(t, err, "not_joined")
		l = ask(tea)
		l.Room, l.Widget = other, "nothing"
		_, err = s.Login(ctx, l)
		code(t, err, "not_joined")
		if sc.asked != 0 {
			t.Errorf("the widget was looked up %d times before membership was known", sc.asked)
		}
	})
	t.Run("AU3 stale sync, unreachable homeserver, foreign widget, foreign board are refused", func(t *testing.T) {
		s, sc, m := setup(t)
		sc.age = 31 * time.Second
		_, err := s.Login(ctx, ask(tea))
		code(t, err, "sync_stale")
		sc.age = 0
		sc.confirm = errors.New("down")
		_, err = s.Login(ctx, ask(tea))
		code(t, err, "homeserver_unreachable")
		sc.confirm = nil
		l := ask(tea)
		l.Widget = "x"
		_, err = s.Login(ctx, l)
		code(t, err, "no_widget")
		m.bound["bw"] = other
		_, err = s.Login(ctx, ask(tea))
		code(t, err, "board_elsewhere")
	})
	t.Run("AU3 malformed requests are refused before anybody is asked", func(t *testing.T) {
		s, _, _ := setup(t)
		for _, change := range []func(*Login){
			func(l *Login) { l.Token = "" }, func(l *Login) { l.Token = string(make([]byte, 5000)) }, func(l *Login) { l.Server = "" },
			func(l *Login) { l.Server = string(make([]byte, 300)) }, func(l *Login) { l.Room = "r" }, func(l *Login) { l.Widget = "" },
		} {
			l := ask(tea)
			change(&l)
			_, err := s.Login(ctx, l)
			code(t, err, "bad_json")
		}
	})
	t.Run("AU3 where the client does not say the room, it is the one that has the widget, for its members only", func(t *testing.T) {
		s, sc, _ := setup(t)
		l := ask(tea)
		l.Room = ""
		if g, err := s.Login(ctx, l); err != nil || g.Session.Room != room || g.Role != board.RoleModerator {
			t.Fatalf("got %+v, %v", g, err)
		}
		for _, change := range []func(*Login){func(l *Login) { l.Widget = "x" }, func(*Login) { sc.joined[room+tea] = false }} {
			l := ask(tea)
			l.Room = ""
			change(&l)
			_, err := s.Login(ctx, l)
			code(t, err, "no_widget")
		}
	})
	t.Run("AU4 answers of the verifier keep their code", func(t *testing.T) {
		for in, want := range map[error]string{codedError("openid_invalid"): "openid_invalid", codedError("openid_server"): "openid_server", codedError("server_denied"): "server_denied", codedError("rate_limited"): "rate_limited", errors.New("x"): "homeserver_unreachable", fmt.Errorf("w: %w", codedError("openid_server")): "openid_server"} {
			s, _, _ := setup(t)
			s.cfg.Verifier = vouch{in}
			_, err := s.Login(ctx, ask(tea))
			code(t, err, want)
		}
	})
}

func TestLimits(t *testing.T) {
	ctx := t.Context()
	t.Run("AU5 two hundred people behind one address sign in", func(t *testing.T) {
		s, _, _ := setup(t)
		s.people = newFailures(1000, time.Minute)
		for range 200 {
			if _, err := s.Login(ctx, ask(pupil)); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("AU5 failures slow down their address only, and a school ten times later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, _, _ := setup(t)
			fail := func(from string) error {
				l := ask("@nobody:x")
				l.From = netip.MustParseAddr(from)
				_, err := s.Login(t.Context(), l)
				return err
			}
			for range 60 {
				code(t, fail("198.51.100.1"), "openid_invalid")
				code(t, fail("192.0.2.1"), "openid_invalid")
			}
			if e := code(t, fail("198.51.100.1"), "rate_limited"); e.RetryAfter <= 0 || e.Status != 429 {
				t.Errorf("got %+v", e)
			}
			code(t, fail("192.0.2.1"), "openid_invalid")
			code(t, fail("198.51.100.2"), "openid_invalid")
			time.Sleep(time.Minute)
			code(t, fail("198.51.100.1"), "openid_invalid")
		})
	})
	t.Run("AU5 people who proved who they are do not count against their address", func(t *testing.T) {
		s, sc, _ := setup(t)
		s.people = newFailures(1000, time.Minute)
		sc.joined[room+pupil] = false
		for range 100 {
			_, err := s.Login(ctx, ask(pupil))
			code(t, err, "not_joined")
		}
		if _, err := s.Login(ctx, ask(tea)); err != nil {
			t.Error(err)
		}
	})
	t.Run("AU5 one person cannot mint sessions without end", func(t *testing.T) {
		s, _, _ := setup(t)
		for range 30 {
			if _, err := s.Login(ctx, ask(tea)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := s.Login(ctx, ask(tea))
		code(t, err, "rate_limited")
	})
	t.Run("AU5 the tally is bounded", func(t *testing.T) {
		f := newFailures(1, time.Minute)
		for i := range 3 * maxTallies {
			f.add(fmt.Sprint(i), 1, time.Unix(0, 0))
		}
		if len(f.seen) > maxTallies {
			t.Errorf("got %d entries, want at most %d", len(f.seen), maxTallies)
		}
	})
}

func TestSessionLife(t *testing.T) {
	t.Run("AU6 fifteen minutes from the last use, twelve hours at most", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, _, _ := setup(t)
			g, err := s.Login(t.Context(), ask(tea))
			if err != nil {
				t.Fatal(err)
			}
			used := 0
			for ; used < 100; used++ {
				time.Sleep(14 * time.Minute)
				if _, err := s.Authenticate(t.Context(), g.Token); err != nil {
					code(t, err, "session_unknown")
					break
				}
			}
			if got := time.Duration(used) * 14 * time.Minute; got > TokenLife || got < TokenLife-15*time.Minute {
				t.Errorf("lived %s, want about %s", got, TokenLife)
			}
			g, _ = s.Login(t.Context(), ask(tea))
			time.Sleep(TokenIdle)
			_, err = s.Authenticate(t.Context(), g.Token)
			code(t, err, "session_unknown")
		})
	})
	t.Run("AU6 refresh rotates and the old token dies half a minute later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, _, _ := setup(t)
			g, _ := s.Login(t.Context(), ask(tea))
			fresh, life, err := s.Refresh(t.Context(), g.Token)
			if err != nil || fresh == g.Token || life != TokenIdle {
				t.Fatal(fresh, life, err)
			}
			if _, err := s.Authenticate(t.Context(), g.Token); err != nil {
				t.Error("the old token died at once:", err)
			}
			time.Sleep(31 * time.Second)
			_, err = s.Authenticate(t.Context(), g.Token)
			code(t, err, "session_unknown")
			if st, _ := s.Authenticate(t.Context(), fresh); st.Key() != g.Session.Key() {
				t.Error("a refreshed login has another key")
			}
			if _, err := s.Authenticate(t.Context(), fresh); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("AU7 leaving ends the session for good", func(t *testing.T) {
		s, sc, m := setup(t)
		var revoked int
		s.cfg.Revoked = func(StoredSession) { revoked++ }
		g, _ := s.Login(t.Context(), ask(pupil))
		stay, _ := s.Login(t.Context(), ask(tea))
		sc.joined[room+pupil] = false
		_, err := s.Authenticate(t.Context(), g.Token)
		code(t, err, "not_joined")
		if err := s.RoomChanged(t.Context(), room); err != nil {
			t.Fatal(err)
		}
		sc.joined[room+pupil] = true // invited again
		_, err = s.Authenticate(t.Context(), g.Token)
		code(t, err, "session_unknown")
		if _, err := s.Authenticate(t.Context(), stay.Token); err != nil || revoked != 1 || len(m.sessions) != 1 {
			t.Error(err, revoked, len(m.sessions))
		}
	})
	t.Run("AU7 logout ends it", func(t *testing.T) {
		s, _, _ := setup(t)
		g, _ := s.Login(t.Context(), ask(tea))
		if err := s.Logout(t.Context(), g.Token); err != nil {
			t.Fatal(err)
		}
		_, err := s.Authenticate(t.Context(), g.Token)
		code(t, err, "session_unknown")
		_, err = s.Authenticate(t.Context(), "short")
		code(t, err, "session_unknown")
	})
}

func TestRoles(t *testing.T) {
	lv := func(ev map[string]int, def, kick int) Levels {
		return Levels{Events: ev, EventsDefault: def, StateDefault: 50, Kick: kick}
	}
	for name, tc := range map[string]struct {
		st   Standing
		want board.Role
	}{
		"AU8 not joined is nothing":                      {Standing{Complete: true, Power: 100}, board.RoleNone},
		"AU8 joined draws by default":                    {Standing{Joined: true, Complete: true, Levels: lv(nil, 0, 50)}, board.RoleParticipant},
		"AU8 events_default locks drawing":               {Standing{Joined: true, Complete: true, Levels: lv(nil, 10, 50)}, board.RoleViewer},
		"AU8 the edit key wins over events_default":      {Standing{Joined: true, Complete: true, Levels: lv(map[string]int{"com.educationpub.whiteboard.edit": 25}, 0, 50), Power: 24}, board.RoleViewer},
		"AU8 the edit key is reached":                    {Standing{Joined: true, Complete: true, Levels: lv(map[string]int{"com.educationpub.whiteboard.edit": 25}, 0, 50), Power: 25}, board.RoleParticipant},
		"AU8 fifty moderates":                            {Standing{Joined: true, Complete: true, Levels: lv(nil, 0, 50), Power: 50}, board.RoleModerator},
		"AU8 a low kick level does not make a moderator": {Standing{Joined: true, Complete: true, Levels: lv(nil, 0, 0), Power: 10}, board.RoleParticipant},
		"AU8 a high kick level is asked for":             {Standing{Joined: true, Complete: true, Levels: lv(nil, 0, 75), Power: 60}, board.RoleParticipant},
		"AU8 the moderation key is obeyed":               {Standing{Joined: true, Complete: true, Levels: lv(map[string]int{"com.educationpub.moderation.action": 20}, 0, 50), Power: 20}, board.RoleModerator},
		"AU8 a room creator of version 12 moderates":     {Standing{Joined: true, Complete: true, Levels: lv(map[string]int{"com.educationpub.moderation.action": 1000}, 0, 50), Power: math.MaxInt}, board.RoleModerator},
		"AU8 an incomplete view may only look":           {Standing{Joined: true, Power: math.MaxInt, Levels: lv(nil, 0, 50)}, board.RoleViewer},
		"AU8 negative power does not draw":               {Standing{Joined: true, Complete: true, Power: -1, Levels: lv(nil, 0, 50)}, board.RoleViewer},
	} {
		t.Run(name, func(t *testing.T) {
			if got := RoleOf(tc.st, "whiteboard"); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	t.Run("AU9 people who were let in outlast an outage of fifteen minutes with their role", func(t *testing.T) {
		ctx := t.Context()
		s, sc, _ := setup(t)
		g, err := s.Login(ctx, ask(tea))
		if err != nil {
			t.Fatal(err)
		}
		sc.age = Outage - time.Second
		if got, _ := s.Role(room, tea); got != board.RoleModerator || s.Stale() {
			t.Errorf("got %s, stale %v", got, s.Stale())
		}
		if _, err := s.Authenticate(ctx, g.Token); err != nil {
			t.Errorf("who comes back in an outage: %v", err)
		}
		if _, _, err := s.Refresh(ctx, g.Token); err != nil {
			t.Errorf("refresh in an outage: %v", err)
		}
		_, err = s.Login(ctx, ask(tea))
		code(t, err, "sync_stale")
		sc.age = Outage + time.Second
		_, err = s.Authenticate(ctx, g.Token)
		code(t, err, "sync_stale")
		if got, _ := s.Role(room, tea); got != board.RoleModerator || !s.Stale() {
			t.Errorf("after the outage's end the role must stay, so that nothing is refused for good: got %s, stale %v", got, s.Stale())
		}
	})
}
