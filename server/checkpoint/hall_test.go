package checkpoint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/server/checkpoint"
)

// Two and more Lecterns, each with a real store and real boards, in one room that several homeservers hold: they can be cut off from each other.

const (
	homeA = "@lectern:a.example"
	homeB = "@lectern:b.example"
	homeC = "@lectern:c.example"
)

// hall is the room.
type hall struct {
	t     *testing.T
	seats map[string]*seat // by companion; immutable once the test runs

	mu    sync.Mutex
	apart map[string]bool // cut off from all others
	files map[string][]byte
	n     int
}

// seat is the room as one companion's homeserver has it. It implements checkpoint.Room. State is guarded by hall.mu.
type seat struct {
	hall   *hall
	user   string
	state  map[string]event
	writes int
	fail   func(endpoint string) error
	l      *lectern
}

type event struct {
	checkpoint.State
	n        int
	typ, key string
}

func newHall(t *testing.T, users ...string) *hall {
	h := &hall{t: t, seats: map[string]*seat{}, apart: map[string]bool{}, files: map[string][]byte{}}
	for _, u := range users {
		s := &seat{hall: h, user: u, state: map[string]event{}}
		s.l = &lectern{t: t, seat: s, dir: t.TempDir()}
		h.seats[u] = s
		s.l.start()
		t.Cleanup(s.l.stop)
	}
	return h
}

func (h *hall) lectern(user string) *lectern { return h.seats[user].l }

// cut takes a homeserver off the others; heal brings all together: of two events in one place the later one stays, and both are seen by all.
func (h *hall) cut(user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.apart[user] = true
}

func (h *hall) heal() {
	h.mu.Lock()
	clear(h.apart)
	type seen struct {
		by *seat
		e  event
	}
	var tell []seen
	best := map[string]event{}
	for _, s := range h.seats {
		for k, e := range s.state {
			if b, ok := best[k]; !ok || e.n > b.n {
				best[k] = e
			}
			for _, o := range h.seats {
				if o.state[k].EventID != e.EventID {
					tell = append(tell, seen{o, e})
				}
			}
		}
	}
	for _, s := range h.seats {
		maps.Copy(s.state, best)
	}
	h.mu.Unlock()
	for _, t := range tell {
		t.by.sees(t.e)
	}
	synctest.Wait()
}

// sees is what the companion tells Lectern of an event in /sync.
func (s *seat) sees(e event) {
	c := s.l.current()
	switch {
	case c == nil || e.Sender == s.user:
	case strings.HasPrefix(e.Sender, "@lectern:"):
		c.Written(testRoom, e.typ, e.key)
	default:
		c.Overwritten(testRoom, e.typ, e.key)
	}
}

func (s *seat) UserID() string        { return s.user }
func (s *seat) Encrypted(string) bool { return true }

func (s *seat) WriteState(_ context.Context, room, typ, key string, content json.RawMessage) (string, error) {
	s.hall.mu.Lock()
	if err := s.failing("write"); err != nil {
		s.hall.mu.Unlock()
		return "", err
	}
	s.writes++
	s.hall.mu.Unlock()
	if room != testRoom {
		return "", fmt.Errorf("written to %s", room)
	}
	return s.hall.send(s.user, s.user, typ, key, content), nil
}

// send puts an event of anybody at one homeserver, and at the others it can reach.
func (h *hall) send(at, sender, typ, key string, content []byte) string {
	h.mu.Lock()
	h.n++
	id := fmt.Sprintf("$event%d", h.n)
	e := event{checkpoint.State{EventID: id, Sender: sender, Content: bytes.Clone(content), At: time.Now()}, h.n, typ, key}
	var told []*seat
	for _, s := range h.seats {
		if s.user == at || !h.apart[at] && !h.apart[s.user] {
			s.state[typ+"|"+key] = e
			told = append(told, s)
		}
	}
	h.mu.Unlock()
	for _, s := range told {
		s.sees(e)
	}
	return id
}

func (s *seat) failing(endpoint string) error {
	if s.fail == nil {
		return nil
	}
	return s.fail(endpoint)
}

func (s *seat) ReadState(_ context.Context, _, typ, key string) (checkpoint.State, error) {
	s.hall.mu.Lock()
	defer s.hall.mu.Unlock()
	if err := s.failing("read"); err != nil {
		return checkpoint.State{}, err
	}
	e, ok := s.state[typ+"|"+key]
	switch {
	case !ok:
		return checkpoint.State{}, checkpoint.ErrNoState
	case !strings.HasPrefix(e.Sender, "@lectern:"):
		return checkpoint.State{}, fmt.Errorf("%w: written by somebody else", checkpoint.ErrUntrusted)
	}
	return e.State, nil
}

func (s *seat) Upload(_ context.Context, data []byte) (json.RawMessage, error) {
	s.hall.mu.Lock()
	defer s.hall.mu.Unlock()
	if err := s.failing("upload"); err != nil {
		return nil, err
	}
	name := hexSum(data)
	s.hall.files[name] = bytes.Clone(data)
	return json.Marshal(map[string]string{"url": "mxc://example.org/" + name, "v": "v2"})
}

func (s *seat) Download(_ context.Context, file json.RawMessage, limit int64) ([]byte, error) {
	s.hall.mu.Lock()
	defer s.hall.mu.Unlock()
	var f struct{ URL string }
	if err := json.Unmarshal(file, &f); err != nil {
		return nil, err
	}
	data, ok := s.hall.files[f.URL[max(0, len(f.URL)-64):]]
	if !ok || int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: no such file", checkpoint.ErrUntrusted)
	}
	return data, nil
}

// content is the event of a type and key as a companion's homeserver has it.
func (s *seat) content(t *testing.T, typ, key string) (m map[string]any) {
	t.Helper()
	s.hall.mu.Lock()
	defer s.hall.mu.Unlock()
	e, ok := s.state[typ+"|"+key]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(e.Content, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func (s *seat) manifest() map[string]any { return s.content(s.hall.t, testType, string(testBoard)) }

// count is how many events the companion has written.
func (s *seat) count() int {
	s.hall.mu.Lock()
	defer s.hall.mu.Unlock()
	return s.writes
}
