package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/identity"
)

const (
	spendOpenID   = `INSERT INTO openid_used (hash, until) VALUES (?,?) ON CONFLICT (hash) DO NOTHING`
	deleteSession = `DELETE FROM sessions WHERE token_hash = ?`
)

// SpendOpenID records a token's hash; fresh is false when it was spent before. Implements identity.Store.
func (s *Store) SpendOpenID(ctx context.Context, hash [32]byte, until time.Time) (fresh bool, err error) {
	var n int64
	err = s.orRemember(ctx, func(t *tx) (err error) {
		n, err = t.exec(spendOpenID, hash[:], until.UnixMilli())
		return err
	}, func(m *memory) bool {
		var used int
		if err := s.read.QueryRowContext(ctx, `SELECT count(*) FROM openid_used WHERE hash = ?`, hash[:]).Scan(&used); err != nil {
			return false
		}
		if _, again := m.spent[hash]; again || used > 0 {
			n = 0
			return true
		}
		n = 1
		if len(m.spent) >= maxMemory {
			return false
		}
		m.spent[hash] = until
		return true
	})
	if err != nil {
		return false, fmt.Errorf("spend openid token: %w", err)
	}
	return n > 0, nil
}

// PutSession stores or renews a session, durable on return. Implements identity.Store.
func (s *Store) PutSession(ctx context.Context, v identity.StoredSession) error {
	err := s.orRemember(ctx, func(t *tx) error { return t.putSession(v) }, func(m *memory) bool { return m.put(v) })
	if err != nil {
		return fmt.Errorf("store session: %w", err)
	}
	return nil
}

func (t *tx) putSession(v identity.StoredSession) error {
	_, err := t.exec(`INSERT OR REPLACE INTO sessions (token_hash, person, room, widget, board, kind, issued, expires, tag) VALUES (?,?,?,?,?,?,?,?,?)`,
		v.TokenHash[:], v.Person, v.Room, v.Widget, v.Board, v.Kind, v.Issued.UnixMilli(), v.Expires.UnixMilli(), t.vault.tag(sessionRow(&v)))
	return err
}

const sessionColumns = `SELECT token_hash, person, room, widget, board, kind, issued, expires, tag FROM sessions `

// scanSession answers ErrNoSession for a row that is not what was stored: the person signs in again.
func (s *Store) scanSession(row interface{ Scan(...any) error }) (v identity.StoredSession, err error) {
	var hash, tag []byte
	var issued, expires int64
	if err := row.Scan(&hash, &v.Person, &v.Room, &v.Widget, &v.Board, &v.Kind, &issued, &expires, &tag); err != nil {
		return v, err
	}
	copy(v.TokenHash[:], hash)
	v.Issued, v.Expires = time.UnixMilli(issued).UTC(), time.UnixMilli(expires).UTC()
	if !s.vault.fits(tag, sessionRow(&v)) {
		s.log.Error("a stored session is damaged; the person has to sign in again", "do", "check the disk that holds lectern.db")
		return identity.StoredSession{}, identity.ErrNoSession
	}
	return v, nil
}

// Session answers identity.ErrNoSession when there is none or it has expired. Implements identity.Store.
func (s *Store) Session(ctx context.Context, hash [32]byte) (identity.StoredSession, error) {
	if v, known := s.memory.session(hash); known {
		if v.Person == "" || !v.Expires.After(time.Now()) {
			return identity.StoredSession{}, identity.ErrNoSession
		}
		return v, nil
	}
	v, err := s.scanSession(s.read.QueryRowContext(ctx, sessionColumns+`WHERE token_hash = ? AND expires > ?`, hash[:], time.Now().UnixMilli()))
	if errors.Is(err, sql.ErrNoRows) || errors.Is(err, identity.ErrNoSession) {
		return identity.StoredSession{}, identity.ErrNoSession
	}
	if err != nil {
		return identity.StoredSession{}, fmt.Errorf("read session: %w", err)
	}
	return v, nil
}

// DeleteSession ends a session; one that does not exist is no error. Implements identity.Store.
func (s *Store) DeleteSession(ctx context.Context, hash [32]byte) error {
	err := s.orRemember(ctx, func(t *tx) error {
		_, err := t.exec(deleteSession, hash[:])
		return err
	}, func(m *memory) bool { return m.put(identity.StoredSession{TokenHash: hash}) })
	if err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

// Sessions lists a person's unexpired sessions, oldest first. Implements identity.Store.
func (s *Store) Sessions(ctx context.Context, p board.Person) ([]identity.StoredSession, error) {
	return s.sessions(ctx, `WHERE person = ? AND expires > ? ORDER BY issued`, string(p), func(v identity.StoredSession) bool { return v.Person == p })
}

// RoomSessions lists a room's unexpired sessions, oldest first. Implements identity.Store.
func (s *Store) RoomSessions(ctx context.Context, room string) ([]identity.StoredSession, error) {
	return s.sessions(ctx, `WHERE room = ? AND expires > ? ORDER BY issued`, room, func(v identity.StoredSession) bool { return v.Room == room })
}

func (s *Store) sessions(ctx context.Context, where, arg string, match func(identity.StoredSession) bool) ([]identity.StoredSession, error) {
	rows, err := s.read.QueryContext(ctx, sessionColumns+where, arg, time.Now().UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	defer rows.Close()
	var out []identity.StoredSession
	for rows.Next() {
		v, err := s.scanSession(rows)
		if errors.Is(err, identity.ErrNoSession) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list sessions: %w", err)
		}
		out = append(out, v)
	}
	return s.memory.over(out, match), rows.Err()
}

// BindBoard binds a board to a room the first time it is seen there; later it answers the room it is bound to. Implements identity.Store.
func (s *Store) BindBoard(ctx context.Context, id board.ID, room, kind string) (boundRoom string, err error) {
	const q = `SELECT room FROM boards WHERE id = ?`
	var bound string // not the result: the writer may still set it after ctx ended
	err = s.read.QueryRowContext(ctx, q, id).Scan(&bound)
	if errors.Is(err, sql.ErrNoRows) {
		err = s.write.do(ctx, func(t *tx) error {
			if _, err := t.exec(`INSERT INTO boards (id, room, kind) VALUES (?,?,?) ON CONFLICT (id) DO NOTHING`, id, room, kind); err != nil {
				return err
			}
			return t.row(q, id).Scan(&bound)
		})
	}
	if err != nil {
		return "", fmt.Errorf("bind board %s: %w", id, err)
	}
	return bound, nil
}

// Sweep deletes sessions and spent tokens that have expired. Implements identity.Store.
func (s *Store) Sweep(ctx context.Context, now time.Time) error {
	err := s.write.do(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM sessions WHERE expires <= ?`, now.UnixMilli()); err != nil {
			return err
		}
		_, err := t.exec(`DELETE FROM openid_used WHERE until <= ?`, now.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("sweep sessions: %w", err)
	}
	return nil
}
