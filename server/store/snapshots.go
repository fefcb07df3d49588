package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
)

// Snapshot answers the newest merged document of a page; Seq 0 and no bytes: the genesis. Implements checkpoint.Snapshots.
func (s *Store) Snapshot(ctx context.Context, id board.ID, doc board.DocID) (checkpoint.Snapshot, error) {
	none := checkpoint.Snapshot{Doc: doc}
	k, err := s.sealer(ctx, id)
	if err != nil {
		return none, err
	}
	snap := none
	var heads, sealed []byte
	var keyID int64
	err = s.read.QueryRowContext(ctx, `SELECT epoch, seq, heads, key_id, document FROM snapshots WHERE board = ? AND doc = ?`, id, doc).Scan(&snap.Epoch, &snap.Seq, &heads, &keyID, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		err = s.read.QueryRowContext(ctx, `SELECT epoch FROM docs WHERE board = ? AND doc = ?`, id, doc).Scan(&none.Epoch)
		if errors.Is(err, sql.ErrNoRows) {
			return none, board.ErrUnknownDoc
		}
		return none, err
	}
	if err != nil {
		return none, fmt.Errorf("read snapshot of board %s: %w", id, err)
	}
	if len(heads)%len(board.Hash{}) != 0 || keyID != k.keyID {
		return none, board.ErrDamaged.Because("board %s: snapshot of %s at %d: malformed row", id, doc, snap.Seq)
	}
	for h := heads; len(h) > 0; h = h[len(board.Hash{}):] {
		snap.Heads = append(snap.Heads, board.Hash(h[:len(board.Hash{})]))
	}
	if snap.Document, err = k.open(sealed, snapshotAAD(id, &snap)); err != nil {
		return none, board.ErrDamaged.Because("board %s: snapshot of %s at %d: %w", id, doc, snap.Seq, err)
	}
	return snap, nil
}

// PutSnapshot stores a merged document, durable on return. An older one than what is stored is ignored. Implements checkpoint.Snapshots.
func (s *Store) PutSnapshot(ctx context.Context, id board.ID, snap checkpoint.Snapshot) error {
	k, err := s.sealer(ctx, id)
	if err != nil {
		return err
	}
	sealed := k.seal(snap.Document, snapshotAAD(id, &snap))
	err = s.write.do(ctx, func(t *tx) error {
		n, err := t.exec(`INSERT INTO snapshots (board, doc, epoch, seq, heads, key_id, document)
			SELECT ?, d.doc, ?, ?, ?, ?, ? FROM docs d WHERE d.board = ? AND d.doc = ?
			ON CONFLICT (board, doc) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, heads = excluded.heads, key_id = excluded.key_id, document = excluded.document
			WHERE (excluded.epoch, excluded.seq) >= (snapshots.epoch, snapshots.seq)`,
			id, snap.Epoch, int64(snap.Seq), headBytes(&snap), k.keyID, sealed, id, snap.Doc)
		if err != nil || n > 0 {
			return err
		}
		var found int
		if err := t.row(`SELECT count(*) FROM docs WHERE board = ? AND doc = ?`, id, snap.Doc).Scan(&found); err != nil {
			return err
		}
		if found == 0 {
			return board.ErrUnknownDoc
		}
		return nil // an older one
	})
	if err != nil {
		return fmt.Errorf("store snapshot of board %s: %w", id, err)
	}
	return nil
}

func headBytes(s *checkpoint.Snapshot) []byte {
	b := make([]byte, 0, len(s.Heads)*len(board.Hash{}))
	for _, h := range s.Heads {
		b = append(b, h[:]...)
	}
	return b
}

func snapshotAAD(id board.ID, s *checkpoint.Snapshot) []byte {
	b := field([]byte("lectern snapshot v1"), string(id))
	b = field(b, string(s.Doc))
	b = binary.BigEndian.AppendUint32(b, s.Epoch)
	b = binary.BigEndian.AppendUint64(b, s.Seq)
	return append(b, headBytes(s)...)
}

// record is the part of a checkpoint.Record that holds content or keys of content: it goes to disk encrypted.
type record struct {
	Base     json.RawMessage `json:"base,omitempty"`
	BaseSeq  uint64          `json:"base_seq,omitempty"`
	Manifest []byte          `json:"manifest,omitempty"`
}

// Checkpoint answers what was last written to the room, the zero Record when nothing was. Implements checkpoint.Snapshots.
func (s *Store) Checkpoint(ctx context.Context, id board.ID) (checkpoint.Record, error) {
	k, err := s.sealer(ctx, id)
	if err != nil {
		return checkpoint.Record{}, err
	}
	var r checkpoint.Record
	var ts, keyID int64
	var sealed []byte
	err = s.read.QueryRowContext(ctx, `SELECT seq, ts, event_id, key_id, rest FROM checkpoints WHERE board = ?`, id).Scan(&r.Seq, &ts, &r.EventID, &keyID, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return checkpoint.Record{}, nil
	}
	if err != nil {
		return checkpoint.Record{}, fmt.Errorf("read checkpoint of board %s: %w", id, err)
	}
	r.At = time.UnixMilli(ts).UTC()
	plain, err := k.open(sealed, recordAAD(id, &r))
	if err != nil || keyID != k.keyID {
		return checkpoint.Record{}, board.ErrDamaged.Because("board %s: checkpoint record: %w", id, errSeal)
	}
	var rest record
	if err := json.Unmarshal(plain, &rest); err != nil {
		return checkpoint.Record{}, board.ErrDamaged.Because("board %s: checkpoint record: %w", id, err)
	}
	r.Base, r.BaseSeq, r.Manifest = rest.Base, rest.BaseSeq, rest.Manifest
	return r, nil
}

// PutCheckpoint stores what was last written to the room, durable on return. Implements checkpoint.Snapshots.
func (s *Store) PutCheckpoint(ctx context.Context, id board.ID, r checkpoint.Record) error {
	k, err := s.sealer(ctx, id)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(record{Base: r.Base, BaseSeq: r.BaseSeq, Manifest: r.Manifest})
	if err != nil {
		return fmt.Errorf("store checkpoint of board %s: %w", id, err)
	}
	sealed := k.seal(plain, recordAAD(id, &r))
	err = s.write.do(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO checkpoints (board, seq, ts, event_id, key_id, rest) VALUES (?,?,?,?,?,?)
			ON CONFLICT (board) DO UPDATE SET seq = excluded.seq, ts = excluded.ts, event_id = excluded.event_id, key_id = excluded.key_id, rest = excluded.rest`,
			id, int64(r.Seq), r.At.UnixMilli(), r.EventID, k.keyID, sealed)
		return err
	})
	if err != nil {
		return fmt.Errorf("store checkpoint of board %s: %w", id, err)
	}
	return nil
}

func recordAAD(id board.ID, r *checkpoint.Record) []byte {
	b := field([]byte("lectern checkpoint v1"), string(id))
	b = binary.BigEndian.AppendUint64(b, r.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(r.At.UnixMilli()))
	return field(b, r.EventID)
}

// Dirty lists boards whose log is ahead of their copy in the room. Implements checkpoint.Snapshots.
func (s *Store) Dirty(ctx context.Context) ([]board.Changed, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT b.id, b.room, b.kind, e.seq, e.ts FROM boards b
		JOIN entries e ON e.board = b.id AND e.seq = (SELECT max(seq) FROM entries WHERE board = b.id)
		LEFT JOIN checkpoints c ON c.board = b.id WHERE b.log <> '' AND b.home = '' AND e.seq > coalesce(c.seq, 0)`)
	if err != nil {
		return nil, fmt.Errorf("list unsaved boards: %w", err)
	}
	defer rows.Close()
	var out []board.Changed
	for rows.Next() {
		var c board.Changed
		var ts int64
		if err := rows.Scan(&c.ID, &c.Room, &c.Kind, &c.Seq, &ts); err != nil {
			return nil, fmt.Errorf("list unsaved boards: %w", err)
		}
		c.At = time.UnixMilli(ts).UTC()
		out = append(out, c)
	}
	return out, rows.Err()
}
