package identity

import (
	"errors"
	"testing"
	"time"
)

func TestOwnSignIns(t *testing.T) {
	m := &memory{sessions: map[[32]byte]StoredSession{}, spent: map[[32]byte]bool{}}
	var ended []string
	s := New(Config{Store: m, Revoked: func(st StoredSession) { ended = append(ended, st.Widget) }})
	began := time.Now().Add(-time.Hour)
	put := func(n byte, person, widget string, since, until time.Duration) StoredSession {
		st := StoredSession{TokenHash: [32]byte{n}, Person: "@ada:x", Room: "!r:x", Widget: widget, Issued: began.Add(since), Expires: began.Add(until)}
		if person != "" {
			st.Person = "@ben:x"
		}
		_ = m.PutSession(t.Context(), st)
		return st
	}
	here := put(1, "", "here", 30*time.Minute, 2*time.Hour)
	put(2, "", "here", 30*time.Minute, 3*time.Hour) // refreshed: the old token lives on for a moment
	library := put(3, "", "library", 0, time.Hour+time.Minute)
	put(4, "", "home", 10*time.Minute, 2*time.Hour)
	bens := put(5, "ben", "bens", 0, 2*time.Hour)

	list, err := s.Own(t.Context(), here)
	if err != nil || len(list) != 3 || list[0].Widget != "here" || !list[0].This || list[1].This || list[0].Until != began.Add(3*time.Hour) || list[2].Widget != "library" {
		t.Fatalf("SS1 got %+v, %v", list, err)
	}
	if err := s.EndOwn(t.Context(), here, signInID(bens)); err == nil || len(ended) > 0 {
		t.Errorf("SS2 another person's sign-in: %v, ended %v", err, ended)
	}
	if err := s.EndOwn(t.Context(), here, signInID(library)); err != nil || len(ended) != 1 || ended[0] != "library" {
		t.Errorf("SS2 one's own: %v, ended %v", err, ended)
	}
	if err := s.EndOwn(t.Context(), here, signInID(library)); !isCode(err, "no_session") {
		t.Errorf("SS2 a second time: %v", err)
	}
	if err := s.EndOwn(t.Context(), here, Others); err != nil || len(ended) != 2 || ended[1] != "home" || len(m.sessions) != 3 {
		t.Errorf("SS2 all others: %v, ended %v, left %d", err, ended, len(m.sessions))
	}
}

func isCode(err error, code string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}
