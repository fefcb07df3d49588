package store

import (
	"context"
	"fmt"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// Stored lists every board that has a log here.
func (s *Store) Stored(ctx context.Context) ([]board.Changed, error) { return s.list(ctx, `log <> ''`) }

// InRoom lists the boards that are bound to a room. Implements upgrade.Boards.
func (s *Store) InRoom(ctx context.Context, room string) ([]board.Changed, error) {
	return s.list(ctx, `room = ?`, room)
}

// BoundRoom answers the room of a board, "" where it is bound to none. Implements upgrade.Boards.
func (s *Store) BoundRoom(ctx context.Context, id board.ID) (string, error) {
	l, err := s.list(ctx, `id = ?`, id)
	if err != nil || len(l) == 0 {
		return "", err
	}
	return l[0].Room, nil
}

func (s *Store) list(ctx context.Context, where string, args ...any) ([]board.Changed, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, room, kind, (SELECT coalesce(max(seq), 0) FROM entries WHERE board = boards.id) FROM boards WHERE `+where+` ORDER BY id`, args...)
	if err != nil {
		return nil, fmt.Errorf("list boards: %w", err)
	}
	defer rows.Close()
	var out []board.Changed
	for rows.Next() {
		var c board.Changed
		if err := rows.Scan(&c.ID, &c.Room, &c.Kind, &c.Seq); err != nil {
			return nil, fmt.Errorf("list boards: %w", err)
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// SetAside forgets a board's log and its key, so that it is restored from its room when it is opened next. What it is bound to and whose its actors
// are stays. Nobody may have it open.
func (s *Store) SetAside(ctx context.Context, id board.ID) error {
	err := s.write.do(ctx, func(t *tx) error {
		if err := t.replace(id); err != nil {
			return err
		}
		_, err := t.exec(`UPDATE boards SET log = '' WHERE id = ?`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("set board %s aside: %w", id, err)
	}
	s.keysMu.Lock()
	delete(s.keys, id)
	s.keysMu.Unlock()
	return nil
}

// KindGone is an entry whose bytes are gone because the retention of its epoch has ended: its number, hash and author stay, so that the log stays dense and
// a change of that time is still known.
const KindGone board.EntryKind = 0

// ExpireArchives empties at most limit entries of epochs that ended before a time, and answers how many. The present epoch of a document is never touched:
// an epoch has ended where a later one of the same document has begun. What came late for an ended epoch goes with it.
func (s *Store) ExpireArchives(ctx context.Context, before time.Time, limit int) (int, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT e.board, e.seq FROM docs d JOIN entries e ON e.board = d.board AND e.doc = d.doc AND e.epoch < d.epoch
		WHERE d.epoch > 0 AND e.kind <> ? AND EXISTS (SELECT 1 FROM entries n WHERE n.board = e.board AND n.doc = e.doc AND n.epoch > e.epoch AND n.kind = ? AND n.ts < ?) LIMIT ?`,
		KindGone, board.KindEpoch, before.UnixMilli(), limit)
	if err != nil {
		return 0, fmt.Errorf("list ended epochs: %w", err)
	}
	defer rows.Close()
	type row struct {
		board board.ID
		seq   uint64
	}
	var list []row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.board, &r.seq); err != nil {
			return 0, fmt.Errorf("list ended epochs: %w", err)
		}
		list = append(list, r)
	}
	if err := rows.Err(); err != nil || len(list) == 0 {
		return 0, err
	}
	for _, r := range list {
		if err := s.empty(ctx, r.board, r.seq); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

// empty replaces an entry by one of kind 0 without bytes, sealed anew, because everything in a row is authenticated.
func (s *Store) empty(ctx context.Context, id board.ID, seq uint64) error {
	entries, err := s.Read(ctx, id, seq-1, 1, 1)
	if err != nil {
		return fmt.Errorf("empty entry %d of board %s: %w", seq, id, err)
	}
	if len(entries) == 0 || entries[0].Seq != seq {
		return fmt.Errorf("empty entry %d of board %s: it is not there", seq, id)
	}
	k, err := s.sealer(ctx, id)
	if err != nil {
		return err
	}
	e := entries[0]
	e.Kind, e.Bytes = KindGone, nil
	sealed := sealAll(k, id, []board.Entry{e})
	return s.write.do(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE entries SET kind = ?, bytes = ? WHERE board = ? AND seq = ?`, e.Kind, sealed[0].bytes, id, int64(seq))
		return err
	})
}
