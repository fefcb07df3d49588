package devstack

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func newTestHomeserver(t *testing.T, o Options) *Homeserver {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Progress = testWriter{t}
	h, err := StartHomeserver(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	return h
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

func TestHomeserver(t *testing.T) {
	ctx := t.Context()
	h := newTestHomeserver(t, Options{})

	t.Run("DV2 people register, sign in, and a name is taken once", func(t *testing.T) {
		if err := h.Register(ctx, "ada", "a long secret", false); err != nil {
			t.Fatal(err)
		}
		if err := h.Register(ctx, "ada", "another secret", false); !errors.Is(err, ErrUserTaken) {
			t.Errorf("second registration: got %v, want %v", err, ErrUserTaken)
		}
		login, err := h.Login(ctx, "ada", "a long secret", "TABLET")
		if err != nil {
			t.Fatal(err)
		}
		if login.UserID != "@ada:localhost" || login.DeviceID != "TABLET" || login.AccessToken == "" {
			t.Errorf("got %+v", login)
		}
		if _, err := h.Login(ctx, "ada", "a wrong secret", ""); !IsCode(err, "M_FORBIDDEN") {
			t.Errorf("wrong password: got %v, want M_FORBIDDEN", err)
		}
	})

	t.Run("DV2 rooms, membership and state", func(t *testing.T) {
		teacher, err := h.NewUser(ctx, "rivera", "Ms Rivera")
		if err != nil {
			t.Fatal(err)
		}
		student, err := h.NewUser(ctx, "ben", "")
		if err != nil {
			t.Fatal(err)
		}
		room, err := teacher.CreateRoom(ctx, map[string]any{"preset": "private_chat"})
		if err != nil {
			t.Fatal(err)
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(teacher.Invite(ctx, room, student.UserID))
		must(student.Join(ctx, room))
		must(teacher.SetPower(ctx, room, student.UserID, 50))
		_, err = student.SendState(ctx, room, "org.example.note", "a/b c", map[string]any{"text": "hello"})
		must(err)
		var note struct{ Text string }
		must(teacher.State(ctx, room, "org.example.note", "a/b c", &note))
		if note.Text != "hello" {
			t.Errorf("state: got %q, want hello", note.Text)
		}
		must(teacher.Kick(ctx, room, student.UserID, "done"))
		must(teacher.AwaitMembership(ctx, room, student.UserID, "leave"))
		must(teacher.Ban(ctx, room, student.UserID, ""))
		if err := student.Join(ctx, room); !IsCode(err, "M_FORBIDDEN") {
			t.Errorf("join of a banned person: got %v, want M_FORBIDDEN", err)
		}
		token, err := teacher.OpenID(ctx)
		must(err)
		if token.AccessToken == "" || token.MatrixServerName != "localhost" {
			t.Errorf("OpenID: got %+v", token)
		}
	})
}

func TestHomeserverRestart(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	first := newTestHomeserver(t, Options{Dir: dir, Persistent: true})
	teacher, err := first.NewUser(ctx, "rivera", "")
	if err != nil {
		t.Fatal(err)
	}
	room, err := teacher.CreateRoom(ctx, map[string]any{"name": "Kept"})
	if err != nil {
		t.Fatal(err)
	}
	first.Kill() // the hard way
	second := newTestHomeserver(t, Options{Dir: dir, Persistent: true})
	teacher.BaseURL = second.URL()

	t.Run("DV3 accounts, tokens and rooms survive a crash", func(t *testing.T) {
		var name struct{ Name string }
		if err := teacher.State(ctx, room, "m.room.name", "", &name); err != nil || name.Name != "Kept" {
			t.Errorf("got %q, %v, want Kept", name.Name, err)
		}
		if err := second.Register(ctx, "ada", "a long secret", false); err != nil {
			t.Error(err)
		}
		if _, err := teacher.SendState(ctx, room, "m.room.topic", "", map[string]any{"topic": "after"}); err != nil {
			t.Error(err)
		}
	})
	t.Run("DV3 a folder keeps its server name", func(t *testing.T) {
		second.Stop()
		if h, err := StartHomeserver(ctx, Options{Dir: dir, Name: "other.example"}); err == nil {
			h.Stop()
			t.Error("got a homeserver, want an error")
		}
	})
	t.Run("DV3 what the stack writes is for our eyes only", func(t *testing.T) {
		for _, name := range []string{"identity.json", "dendrite.yaml", "matrix_key.pem", "homeserver.log"} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: got %v, %v, want mode 0600", name, info.Mode(), err)
			}
		}
	})
}

func TestHomeserverStop(t *testing.T) {
	h := newTestHomeserver(t, Options{})
	began := time.Now()
	h.Stop()
	h.Stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("DV1 stopping took %v: it had to be killed", took)
	}
	if h.process.ended() == nil {
		t.Error("DV1 the process still runs")
	}
}
