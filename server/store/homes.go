package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
)

// Home answers whose a board is; of an unknown one: ours, in its first term. Implements checkpoint.Homes.
func (s *Store) Home(ctx context.Context, id board.ID) (checkpoint.Home, error) {
	var home, claim string
	var term int64
	err := s.read.QueryRowContext(ctx, `SELECT home, term, claim FROM boards WHERE id = ?`, id).Scan(&home, &term, &claim)
	if errors.Is(err, sql.ErrNoRows) {
		return checkpoint.Home{Term: 1}, nil
	}
	if err != nil {
		return checkpoint.Home{}, fmt.Errorf("read home of board %s: %w", id, err)
	}
	var h checkpoint.Home
	if claim != "" {
		if err := json.Unmarshal([]byte(claim), &h); err != nil {
			return checkpoint.Home{}, board.ErrDamaged.Because("board %s: its home: %w", id, err)
		}
	}
	h.Home, h.Term = home, uint64(term)
	return h, nil
}

// PutHome stores whose a board is, durable on return; also of a board whose log is not here yet. Implements checkpoint.Homes.
func (s *Store) PutHome(ctx context.Context, id board.ID, room, kind string, h checkpoint.Home) error {
	claim, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("store home of board %s: %w", id, err)
	}
	err = s.write.do(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO boards (id, room, kind, home, term, claim) VALUES (?,?,?,?,?,?)
			ON CONFLICT (id) DO UPDATE SET home = excluded.home, term = excluded.term, claim = excluded.claim`, id, room, kind, h.Home, int64(h.Term), string(claim))
		return err
	})
	if err != nil {
		return fmt.Errorf("store home of board %s: %w", id, err)
	}
	return nil
}

// replace makes room for the log of a board that comes back from another home: what is stored of it here is over, and its key goes with it. Actors
// stay whose they are. Runs on the writer, in Create's transaction.
func (t *tx) replace(id board.ID) error {
	delete(t.last, id)
	for _, table := range []string{"board_keys", "docs", "entries", "snapshots", "checkpoints"} {
		if _, err := t.exec(`DELETE FROM `+table+` WHERE board = ?`, id); err != nil {
			return err
		}
	}
	return nil
}

// adopt records whose actors those of a restored board are. One that is known here as another person's is a forgery.
func (t *tx) adopt(id board.ID, actors map[board.ActorID]board.Person) error {
	for a, p := range actors {
		var known board.Person
		switch err := t.row(`SELECT person FROM actors WHERE board = ? AND actor = ?`, id, a[:]).Scan(&known); {
		case errors.Is(err, sql.ErrNoRows):
			if err := t.issue(id, a, p); err != nil {
				return err
			}
		case err != nil:
			return err
		case known != p:
			return board.ErrDamaged.Because("actor %x was issued to another person", a)
		}
	}
	return nil
}

// MoveBoard binds a board to another room. Implements checkpoint.Movable.
func (s *Store) MoveBoard(ctx context.Context, id board.ID, from, to, kind string) error {
	err := s.write.do(ctx, func(t *tx) error {
		m := board.Meta{ID: id}
		var keyID int64
		switch err := t.row(`SELECT room, kind, log, key_id FROM boards WHERE id = ?`, id).Scan(&m.Room, &m.Kind, &m.Log, &keyID); {
		case errors.Is(err, sql.ErrNoRows):
			_, err := t.exec(`INSERT INTO boards (id, room, kind) VALUES (?,?,?)`, id, to, kind)
			return err
		case err != nil:
			return err
		case m.Room == to:
			return nil
		case m.Room != from:
			return board.ErrElsewhere
		}
		m.Room = to
		tag := []byte{}
		if m.Log != "" {
			tag = t.vault.tag(boardRow(&m, keyID))
		}
		if _, err := t.exec(`DELETE FROM checkpoints WHERE board = ?`, id); err != nil { // it tells what is in the old room
			return err
		}
		_, err := t.exec(`UPDATE boards SET room = ?, tag = ? WHERE id = ?`, to, tag, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("move board %s: %w", id, err)
	}
	return nil
}
