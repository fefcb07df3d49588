package identity

import (
	"net/netip"
	"sync"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// failures counts per key in a sliding window. It is bounded: when full, the oldest windows go first, which forgives rather than blocks.
type failures struct {
	limit  float64
	window time.Duration

	mu   sync.Mutex
	seen map[string]*tally // Guarded by mu.
}

type tally struct {
	n     float64
	since time.Time
}

const maxTallies = 20_000

func newFailures(limit float64, window time.Duration) *failures {
	return &failures{limit: limit, window: window, seen: map[string]*tally{}}
}

// blocked answers how long the key has to wait, 0 when it may go on.
func (f *failures) blocked(key string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.seen[key]
	if t == nil || t.n < f.limit {
		return 0
	}
	return max(0, t.since.Add(f.window).Sub(now))
}

func (f *failures) add(key string, weight float64, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.seen[key]
	if t == nil || now.Sub(t.since) >= f.window {
		if t == nil && len(f.seen) >= maxTallies {
			f.sweep(now)
		}
		t = &tally{since: now}
		f.seen[key] = t
	}
	t.n += weight
}

// sweep drops what has run out, then any others down to nine tenths, so that it is rare and costs little per entry.
func (f *failures) sweep(now time.Time) {
	for k, t := range f.seen {
		if now.Sub(t.since) >= f.window {
			delete(f.seen, k)
		}
	}
	for k := range f.seen {
		if len(f.seen) < maxTallies*9/10 {
			return
		}
		delete(f.seen, k)
	}
}

// address groups addresses as attackers own them: IPv4 alone, IPv6 by /56.
func (s *Service) address(a netip.Addr) string {
	if a = a.Unmap(); a.Is6() {
		if p, err := a.Prefix(56); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// weight of one failure from an address: a school's thirty pupils share one.
func (s *Service) weight(a netip.Addr) float64 {
	for _, p := range s.cfg.Schools {
		if p.Contains(a.Unmap()) {
			return 0.1
		}
	}
	return 1
}

// Asks counts a question of a person for which the homeserver is asked.
func (s *Service) Asks(p board.Person) error { return s.count(s.asks, p) }

// Commands counts a moderator's command.
func (s *Service) Commands(p board.Person) error { return s.count(s.commands, p) }

// CallTokens counts the tokens that a person gets for calls.
func (s *Service) CallTokens(user string) error { return s.count(s.tokens, board.Person(user)) }

// CallActs counts what a moderator decides about calls.
func (s *Service) CallActs(p board.Person) error { return s.count(s.acts, p) }

func (s *Service) count(f *failures, p board.Person) error {
	now := s.cfg.Now()
	if wait := f.blocked(string(p), now); wait > 0 {
		return &Error{Status: 429, Code: "rate_limited", Message: "You have asked for this many times within a minute. Wait a moment.", RetryAfter: wait}
	}
	f.add(string(p), 1, now)
	return nil
}
