package commands

import (
	"sync"
	"time"
)

const (
	perMinute = 10
	// maxPeople whose commands are counted at once. When there are more, those whose minute is over are forgotten; if there is none, newcomers wait.
	maxPeople = 10_000
)

// limiter counts a person's commands in fixed minutes.
type limiter struct {
	mu     sync.Mutex
	people map[string]*minute // guarded by mu
	swept  time.Time          // guarded by mu
}

type minute struct {
	began time.Time
	n     int
}

// Answers of limiter.count.
const (
	allowed = iota
	refused // the first too many: worth a sentence
	silent  // and the next: none
)

func (l *limiter) count(person string, now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.people[person]
	if m == nil {
		if len(l.people) >= maxPeople && now.Sub(l.swept) >= time.Second {
			l.sweep(now)
		}
		if len(l.people) >= maxPeople {
			return silent
		}
		m = &minute{began: now}
		l.people[person] = m
	}
	if now.Sub(m.began) >= time.Minute {
		*m = minute{began: now}
	}
	m.n++
	switch {
	case m.n <= perMinute:
		return allowed
	case m.n == perMinute+1:
		return refused
	}
	return silent
}

func (l *limiter) sweep(now time.Time) {
	l.swept = now
	for person, m := range l.people {
		if now.Sub(m.began) >= time.Minute {
			delete(l.people, person)
		}
	}
}
