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

// SpendOpenID records a token's hash; fresh is false when it was spent before. Implements identity.Store.
func (s *Store) SpendOpenID(ctx context.Context, hash [32]byte, until time.Time) (fresh bool, err error) {
	var n int64
	err = s.write.do(ctx, func(t *tx) (err error) {
		n, err = t.exec(`INSERT INTO openid_used (hash, until) VALUES (?,?) ON CONFLICT (hash) DO NOTHING`, hash[:], until.UnixMilli())
		return err
	})
	if err != nil {
		return false, fmt.Errorf("spend openid token: %w", err)
	}
	return n > 0, nil
}

// PutSession stores or renews a session, durable on return. Implements identity.Store.
func (s *Store) PutSession(ctx context.Context, v identity.StoredSession) error {
	err := s.write.do(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO sessions (token_hash, person, room, widget, board, kind, issued, expires) VALUES (?,?,?,?,?,?,?,?)
			ON CONFLICT (token_hash) DO UPDATE SET expires = excluded.expires`,
			v.TokenHash[:], v.Person, v.Room, v.Widget, v.Board, v.Kind, v.Issued.UnixMilli(), v.Expires.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("store session: %w", err)
	}
	return nil
}

const sessionColumns = `SELECT token_hash, person, room, widget, board, kind, issued, expires FROM sessions `

func scanSession(row interface{ Scan(...any) error }) (v identity.StoredSession, err error) {
	var hash []byte
	var issued, expires int64
	if err := row.Scan(&hash, &v.Person, &v.Room, &v.Widget, &v.Board, &v.Kind, &issued, &expires); err != nil {
		return v, err
	}
	copy(v.TokenHash[:], hash)
	v.Issued, v.Expires = time.UnixMilli(issued).UTC(), time.UnixMilli(expires).UTC()
	return v, nil
}

// Session answers identity.ErrNoSession when there is none or it has expired. Implements identity.Store.
func (s *Store) Session(ctx context.Context, hash [32]byte) (identity.StoredSession, error) {
	v, err := scanSession(s.read.QueryRowContext(ctx, sessionColumns+`WHERE token_hash = ? AND expires > ?`, hash[:], time.Now().UnixMilli()))
	if errors.Is(err, sql.ErrNoRows) {
		return identity.StoredSession{}, identity.ErrNoSession
	}
	if err != nil {
		return identity.StoredSession{}, fmt.Errorf("read session: %w", err)
	}
	return v, nil
}

// DeleteSession ends a session; one that does not exist is no error. Implements identity.Store.
func (s *Store) DeleteSession(ctx context.Context, hash [32]byte) error {
	err := s.write.do(ctx, func(t *tx) error {
		_, err := t.exec(`DELETE FROM sessions WHERE token_hash = ?`, hash[:])
		return err
	})
	if err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

// Sessions lists a person's unexpired sessions, oldest first. Implements identity.Store.
func (s *Store) Sessions(ctx context.Context, p board.Person) ([]identity.StoredSession, error) {
	return s.sessions(ctx, `WHERE person = ? AND expires > ? ORDER BY issued`, string(p))
}

// RoomSessions lists a room's unexpired sessions, oldest first. Implements identity.Store.
func (s *Store) RoomSessions(ctx context.Context, room string) ([]identity.StoredSession, error) {
	return s.sessions(ctx, `WHERE room = ? AND expires > ? ORDER BY issued`, room)
}

func (s *Store) sessions(ctx context.Context, where, arg string) ([]identity.StoredSession, error) {
	rows, err := s.read.QueryContext(ctx, sessionColumns+where, arg, time.Now().UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	defer rows.Close()
	var out []identity.StoredSession
	for rows.Next() {
		v, err := scanSession(rows)
		if err != nil {
			return nil, fmt.Errorf("list sessions: %w", err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
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
