package store

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/focus"
)

func TestCallDecisions(t *testing.T) {
	dir := t.TempDir()
	o := Options{Path: filepath.Join(dir, "lectern.db"), KeyFile: filepath.Join(dir, "instance.key")}
	reopen := func(s *Store) *Store {
		t.Helper()
		if s != nil {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := reopen(nil)
	defer func() { _ = s.Close() }()
	later := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	removed := focus.Decision{Removed: true, Sources: focus.Sources{Camera: true}, Until: later}
	for person, d := range map[string]focus.Decision{
		"@ada:example.org": removed, "@ben:example.org": {Removed: true, Until: later}, "@old:example.org": {Removed: true, Until: time.Now().Add(-time.Second)},
	} {
		if err := s.Decide(t.Context(), "!room:example.org", person, d); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Decide(t.Context(), "!room:example.org", "@ben:example.org", focus.Decision{}); err != nil {
		t.Fatal(err)
	}
	for _, room := range []string{"!room:example.org", "!again:example.org"} {
		if err := s.SetEnded(t.Context(), room, later); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetEnded(t.Context(), "!again:example.org", time.Time{}); err != nil {
		t.Fatal(err)
	}
	s = reopen(s)
	all, err := s.Decisions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := all["!room:example.org"]; len(got) != 1 || !got["@ada:example.org"].Until.Equal(later) || !got["@ada:example.org"].Removed || got["@ada:example.org"].Sources != removed.Sources {
		t.Errorf("FO9 after a restart: %+v", got)
	}
	if ended, err := s.Ended(t.Context()); err != nil || len(ended) != 1 || !ended["!room:example.org"].Equal(later) {
		t.Errorf("FO9 ended calls after a restart: %v, %v", ended, err)
	}
}
