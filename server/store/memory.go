package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/identity"
)

// memory holds what sign-ins write while nothing can be stored, so that people can still come and look. It goes to disk when storing works
// again. A stop before that forgets it: people sign in once more, and a token that was spent or a session that was ended meanwhile counts
// until it expires.
type memory struct {
	mu *sync.Mutex
	// Guarded by mu.
	sessions map[[32]byte]identity.StoredSession // without a person: deleted
	spent    map[[32]byte]time.Time
}

// maxMemory bounds each of its tables.
const maxMemory = 10_000

func newMemory() memory {
	return memory{mu: new(sync.Mutex), sessions: map[[32]byte]identity.StoredSession{}, spent: map[[32]byte]time.Time{}}
}

// put remembers a session; false: there is no room. Called with mu held.
func (m *memory) put(v identity.StoredSession) bool {
	if _, again := m.sessions[v.TokenHash]; !again && len(m.sessions) >= maxMemory {
		return false
	}
	m.sessions[v.TokenHash] = v
	return true
}

// orRemember writes, or remembers while nothing can be stored. remember runs with memory's lock held, under which a fault ends (resume): what
// it takes in is not overlooked.
func (s *Store) orRemember(ctx context.Context, write func(*tx) error, remember func(*memory) bool) error {
	for {
		err := s.write.do(ctx, write)
		if !errors.Is(err, board.ErrStorage) {
			return err
		}
		s.memory.mu.Lock()
		over := s.write.fault.Load() == nil
		done := !over && remember(&s.memory)
		s.memory.mu.Unlock()
		if done {
			return nil
		}
		if !over {
			return err
		}
	}
}

// session answers what memory says of a token; known is false when it says nothing.
func (m *memory) session(hash [32]byte) (v identity.StoredSession, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, known = m.sessions[hash]
	return v, known
}

// over lays memory over stored sessions that match.
func (m *memory) over(stored []identity.StoredSession, match func(identity.StoredSession) bool) []identity.StoredSession {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sessions) == 0 {
		return stored
	}
	stored = slices.DeleteFunc(stored, func(v identity.StoredSession) bool { _, ok := m.sessions[v.TokenHash]; return ok })
	for _, v := range m.sessions {
		if v.Person != "" && match(v) && v.Expires.After(time.Now()) {
			stored = append(stored, v)
		}
	}
	slices.SortFunc(stored, func(a, b identity.StoredSession) int {
		if c := a.Issued.Compare(b.Issued); c != 0 {
			return c
		}
		return strings.Compare(string(a.TokenHash[:]), string(b.TokenHash[:]))
	})
	return stored
}

// resume writes memory to disk, forgets it, and ends the fault. Called by writer.run.
func (w *writer) resume() error {
	m := &w.s.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	err := w.transact([]job{{do: func(t *tx) error {
		for hash, v := range m.sessions {
			err := error(nil)
			if v.Person == "" {
				_, err = t.exec(deleteSession, hash[:])
			} else {
				err = t.putSession(v)
			}
			if err != nil {
				return err
			}
		}
		for hash, until := range m.spent {
			if _, err := t.exec(spendOpenID, hash[:], until.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	}}})
	if err != nil {
		return unwrapJob(err)
	}
	clear(m.sessions)
	clear(m.spent)
	w.fault.Store(nil)
	return nil
}
