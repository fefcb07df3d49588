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

// Edition says which snapshot of a page is the newest, reading no content. Implements checkpoint.Snapshots.
func (s *Store) Edition(ctx context.Context, id board.ID, doc board.DocID) (checkpoint.Edition, error) {
	var m checkpoint.Edition
	if _, err := s.sealer(ctx, id); err != nil {
		return m, err
	}
	err := s.read.QueryRowContext(ctx, `SELECT b.log, b.kind, d.epoch, coalesce(s.seq, 0), `+upto+` FROM `+docsWithSnapshots+` JOIN boards b ON b.id = d.board WHERE d.board = ? AND d.doc = ?`, id, doc).
		Scan(&m.Log, &m.Kind, &m.Epoch, &m.Seq, &m.Upto)
	if errors.Is(err, sql.ErrNoRows) {
		return m, board.ErrUnknownDoc
	}
	if err != nil {
		return m, fmt.Errorf("look for a snapshot of board %s: %w", id, err)
	}
	return m, nil
}

// docsWithSnapshots joins documents with the snapshots of their present epochs.
const docsWithSnapshots = `docs d LEFT JOIN snapshots s ON s.board = d.board AND s.doc = d.doc AND s.epoch = d.epoch`

// upto is the last seq before the first entry that a document's snapshot lacks: pages that nobody touches do not hold joiners back.
const upto = `coalesce((SELECT min(e.seq) - 1 FROM entries e WHERE e.board = d.board AND e.doc = d.doc AND e.epoch = d.epoch AND e.seq > coalesce(s.seq, 0)),
	(SELECT max(e.seq) FROM entries e WHERE e.board = d.board), 0)`

// Snapshot answers the newest merged document of a page; Seq 0 and no bytes: the genesis. Implements checkpoint.Snapshots.
func (s *Store) Snapshot(ctx context.Context, id board.ID, doc board.DocID) (checkpoint.Snapshot, error) {
	none := checkpoint.Snapshot{Doc: doc}
	k, err := s.sealer(ctx, id)
	if err != nil {
		return none, err
	}
	snap := none
	var heads, sealed, scene []byte
	var keyID int64
	err = s.read.QueryRowContext(ctx, `SELECT epoch, seq, heads, key_id, document, scene FROM snapshots WHERE board = ? AND doc = ?`, id, doc).
		Scan(&snap.Epoch, &snap.Seq, &heads, &keyID, &sealed, &scene)
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
	if snap.Document, err = k.open(sealed, snapshotAAD("document", id, &snap)); err != nil {
		return none, board.ErrDamaged.Because("board %s: snapshot of %s at %d: %w", id, doc, snap.Seq, err)
	}
	if scene != nil {
		if snap.Scene, err = k.open(scene, snapshotAAD("scene", id, &snap)); err != nil {
			s.log.Error("the stored scene of a page is damaged; it is made anew from its document", "board", id, "doc", doc, "seq", snap.Seq)
			snap.Scene = nil
		}
	}
	return snap, nil
}

// PutSnapshot stores a merged document and its scene, durable on return. Older ones than what is stored are ignored, unless that is ahead of the
// log: no snapshot is. Implements checkpoint.Snapshots.
func (s *Store) PutSnapshot(ctx context.Context, id board.ID, snap checkpoint.Snapshot) error {
	k, err := s.sealer(ctx, id)
	if err != nil {
		return err
	}
	sealed := k.seal(snap.Document, snapshotAAD("document", id, &snap))
	var scene []byte
	if snap.Scene != nil {
		scene = k.seal(snap.Scene, snapshotAAD("scene", id, &snap))
	}
	err = s.write.do(ctx, func(t *tx) error {
		n, err := t.exec(`INSERT INTO snapshots (board, doc, epoch, seq, heads, key_id, document, scene)
			SELECT ?, d.doc, ?, ?, ?, ?, ?, ? FROM docs d WHERE d.board = ? AND d.doc = ?
			ON CONFLICT (board, doc) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, heads = excluded.heads, key_id = excluded.key_id,
				document = excluded.document, scene = excluded.scene
			WHERE (excluded.epoch, excluded.seq) >= (snapshots.epoch, snapshots.seq)
				OR snapshots.seq > (SELECT coalesce(max(seq), 0) FROM entries WHERE board = excluded.board)
				OR snapshots.epoch > (SELECT epoch FROM docs WHERE board = excluded.board AND doc = excluded.doc)`,
			id, snap.Epoch, int64(snap.Seq), headBytes(&snap), k.keyID, sealed, scene, id, snap.Doc)
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

// snapshotAAD names the row and the column ("document", "scene").
func snapshotAAD(column string, id board.ID, s *checkpoint.Snapshot) []byte {
	b := field([]byte("lectern snapshot v1"), string(id))
	b = field(b, string(s.Doc))
	b = binary.BigEndian.AppendUint32(b, s.Epoch)
	b = binary.BigEndian.AppendUint64(b, s.Seq)
	b = append(b, headBytes(s)...)
	if column == "document" {
		return b // as in the first version of the table
	}
	return field(b, column)
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
