package identity

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// Challenge login (SPEC CG): an OpenID token is for nobody in particular, so whoever was given one by a careless client can sign in with it for an hour. A message to
// the companion's devices is for this Lectern alone, and homeservers vouch for who sent it. Where it is asked for, moderators' decisions need both.

const (
	challengeLife = 2 * time.Minute // the client may have to ask the person
	maxChallenges = 1_000
	maxProven     = 10_000
)

// ProofType is the to-device event that answers a challenge: {"nonce"}.
const ProofType = "com.educationpub.lectern.proof"

type challenges struct {
	mu     sync.Mutex
	open   map[string]challenge   // guarded by mu; by nonce
	proven map[[32]byte]time.Time // guarded by mu; sessions, and when they end
}

type challenge struct {
	person  board.Person
	session [32]byte
	until   time.Time
}

// Challenge gives a session a nonce to send to the companion.
func (s *Service) Challenge(st StoredSession) (nonce string, err error) {
	c, now := &s.challenges, s.cfg.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) >= maxChallenges {
		for n, o := range c.open {
			if now.After(o.until) {
				delete(c.open, n)
			}
		}
		if len(c.open) >= maxChallenges {
			return "", &Error{Status: http.StatusServiceUnavailable, Code: "overloaded", Message: "Too many people are signing in at this moment. Trying again.", RetryAfter: time.Second}
		}
	}
	nonce = rand.Text()
	c.open[nonce] = challenge{st.Person, st.Key(), now.Add(challengeLife)}
	return nonce, nil
}

// Answered takes what somebody sent to the companion; the homeserver says who. Anything else than an open challenge of that person is nothing.
func (s *Service) Answered(sender, nonce string) {
	c, now := &s.challenges, s.cfg.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.open[nonce]
	if !ok || string(o.person) != sender || now.After(o.until) {
		return
	}
	delete(c.open, nonce)
	if len(c.proven) >= maxProven {
		for k, until := range c.proven {
			if now.After(until) || len(c.proven) >= maxProven { // in doubt somebody proves it again
				delete(c.proven, k)
			}
		}
	}
	c.proven[o.session] = now.Add(TokenLife)
}

// Proven says whether the session's person has answered a challenge.
func (s *Service) Proven(st StoredSession) bool {
	c := &s.challenges
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.cfg.Now().Before(c.proven[st.Key()])
}
