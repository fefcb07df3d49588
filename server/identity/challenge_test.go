package identity

import (
	"testing"
	"time"
)

func TestChallenge(t *testing.T) {
	now := time.Now()
	s := New(Config{Store: &memory{}, Now: func() time.Time { return now }})
	ada := StoredSession{Person: "@ada:x", Widget: "w", Issued: now}
	stolen := StoredSession{Person: "@ada:x", Widget: "w", Issued: now.Add(time.Second)} // by somebody who was given her OpenID token
	ask := func(st StoredSession) string {
		t.Helper()
		nonce, err := s.Challenge(st)
		if err != nil {
			t.Fatal(err)
		}
		return nonce
	}
	nonce := ask(ada)
	for _, wrong := range [][2]string{{"@eve:x", nonce}, {"@ada:x", nonce + "x"}, {"@ada:x", ""}, {"", nonce}} {
		s.Answered(wrong[0], wrong[1])
	}
	if s.Proven(ada) {
		t.Fatal("CG2 proven by a wrong answer")
	}
	s.Answered("@ada:x", nonce)
	if !s.Proven(ada) || s.Proven(stolen) {
		t.Fatalf("CG1 ada %v, the other session %v", s.Proven(ada), s.Proven(stolen))
	}
	late := ask(stolen)
	now = now.Add(challengeLife + time.Second)
	s.Answered("@ada:x", late)
	s.Answered("@ada:x", nonce) // again
	if s.Proven(stolen) {
		t.Error("CG2 too late")
	}
	now = now.Add(TokenLife)
	if s.Proven(ada) {
		t.Error("CG1 for ever")
	}
	for range maxChallenges {
		if _, err := s.Challenge(ada); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Challenge(ada); !isCode(err, "overloaded") {
		t.Errorf("CG2 one more than fit: %v", err)
	}
	now = now.Add(challengeLife + time.Second)
	ask(ada)
}
