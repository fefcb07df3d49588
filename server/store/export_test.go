package store

import (
	"errors"
	"time"
)

// TraceFiles tells a test what the store does to files without SQLite.
func TraceFiles(f func(op, path string, at int64, b []byte)) { trace = f }

// RetryAfter sets how soon after a fault the store tries again.
func RetryAfter(d time.Duration) { firstRetry = d }

// NoHealing opens databases as they are.
func NoHealing() { healing = func(string) error { return nil } }

// FailWith puts the store into a fault.
func (s *Store) FailWith(kind FaultKind) {
	s.onWriter(func() { s.write.failed(&Fault{Kind: kind, Since: time.Now(), Err: errors.New("asked for by a test")}) })
}

// TryAgain lets the store look whether storing works again.
func (s *Store) TryAgain() { s.write.retry.Reset(0) }

func (s *Store) onWriter(f func()) {
	done := make(chan struct{})
	s.write.add(job{do: func(*tx) error { f(); close(done); return nil }, done: func(error) {}})
	<-done
}
