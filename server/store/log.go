package store

import (
	"bytes"
	"compress/flate"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/server/checkpoint"
)

// Open answers what is stored of a board; implements board.Log.
func (s *Store) Open(ctx context.Context, id board.ID) (board.Meta, error) {
	if _, err := s.sealer(ctx, id); err != nil {
		return board.Meta{}, err
	}
	m := board.Meta{ID: id}
	var keyID int64
	var tag []byte
	err := s.read.QueryRowContext(ctx, `SELECT room, kind, log, home, key_id, tag, (SELECT coalesce(max(seq), 0) FROM entries WHERE board = boards.id) FROM boards WHERE id = ? AND log <> ''`, id).
		Scan(&m.Room, &m.Kind, &m.Log, &m.Home, &keyID, &tag, &m.Seq)
	if errors.Is(err, sql.ErrNoRows) {
		return board.Meta{}, board.ErrUnknown
	}
	if err != nil {
		return board.Meta{}, fmt.Errorf("open board %s: %w", id, err)
	}
	if !s.vault.fits(tag, boardRow(&m, keyID)) {
		return board.Meta{}, board.ErrDamaged.Because("board %s: its row: %w", id, errSeal)
	}
	// A document's epoch is that of its newest entries: an epoch without any would be an empty page.
	rows, err := s.read.QueryContext(ctx, `SELECT d.doc, d.epoch, (SELECT coalesce(max(e.epoch), d.epoch) FROM entries e WHERE e.board = d.board AND e.doc = d.doc), `+upto+` FROM `+docsWithSnapshots+` WHERE d.board = ? ORDER BY d.place`, id)
	if err != nil {
		return board.Meta{}, fmt.Errorf("open board %s: %w", id, err)
	}
	defer rows.Close()
	for rows.Next() {
		var d board.DocInfo
		var newest uint32
		if err := rows.Scan(&d.ID, &d.Epoch, &newest, &d.Seq); err != nil {
			return board.Meta{}, fmt.Errorf("open board %s: %w", id, err)
		}
		if d.Epoch != newest {
			return board.Meta{}, board.ErrDamaged.Because("board %s: page %s is in epoch %d, its entries are in %d", id, d.ID, d.Epoch, newest)
		}
		m.Docs = append(m.Docs, d)
	}
	if err := rows.Err(); err != nil {
		return board.Meta{}, fmt.Errorf("open board %s: %w", id, err)
	}
	return m, nil
}

// Create stores a board with its first document or a restored one with all its entries, in one transaction; implements board.Log.
func (s *Store) Create(ctx context.Context, m board.Meta, entries []board.Entry, actors map[board.ActorID]board.Person) error {
	if m.Log == "" || m.ID == "" {
		return fmt.Errorf("create board %s: no id or log", m.ID)
	}
	k, wrapped := &sealer{}, []byte(nil)
	if !s.opts.PlainAtRest {
		var err error
		if k, wrapped, err = s.vault.newKey(m.ID, 1); err != nil {
			return fmt.Errorf("create board %s: %w", m.ID, err)
		}
	}
	sealed := sealAll(k, m.ID, entries)
	err := s.write.do(ctx, func(t *tx) error {
		var room, log, home string
		switch err := t.row(`SELECT room, log, home FROM boards WHERE id = ?`, m.ID).Scan(&room, &log, &home); {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case room != m.Room:
			return board.ErrElsewhere
		case log != "" && home == "":
			return board.ErrExists
		case log != "":
			if err := t.replace(m.ID); err != nil {
				return err
			}
		}
		if _, err := t.exec(`INSERT INTO boards (id, room, kind, log, key_id, tag) VALUES (?,?,?,?,?,?)
			ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, log = excluded.log, key_id = excluded.key_id, tag = excluded.tag, home = ''`,
			m.ID, m.Room, m.Kind, m.Log, k.keyID, t.vault.tag(boardRow(&m, k.keyID))); err != nil {
			return err
		}
		if wrapped != nil {
			if _, err := t.exec(`INSERT INTO board_keys (board, key_id, wrapped) VALUES (?,?,?)`, m.ID, k.keyID, wrapped); err != nil {
				return err
			}
		}
		for i, d := range m.Docs {
			if _, err := t.exec(`INSERT INTO docs (board, doc, epoch, place) VALUES (?,?,?,?)`, m.ID, d.ID, d.Epoch, i); err != nil {
				return err
			}
		}
		if err := t.adopt(m.ID, actors); err != nil {
			return err
		}
		return t.append(m.ID, entries, sealed, k.keyID)
	})
	if err != nil {
		return fmt.Errorf("create board %s: %w", m.ID, err)
	}
	s.remember(m.ID, k)
	return nil
}

// Append queues entries for the next group commit; implements board.Log.
func (s *Store) Append(id board.ID, entries []board.Entry, done func(error)) {
	k := s.known(id)
	if k == nil { // never opened here; still in order
		s.write.add(job{do: func(*tx) error { return board.ErrUnknown }, done: done})
		return
	}
	sealed := sealAll(k, id, entries) // on the board's goroutine, so that boards encrypt in parallel
	s.write.add(job{
		do: func(t *tx) error {
			if err := t.append(id, entries, sealed, k.keyID); err != nil {
				return fmt.Errorf("append to board %s: %w", id, err)
			}
			return nil
		},
		done: done,
	})
}

const selectEntries = `SELECT seq, doc, epoch, kind, hash, actor, person, ts, key_id, bytes FROM entries `

// Read answers entries after a number, every byte verified; implements board.Log.
func (s *Store) Read(ctx context.Context, id board.ID, after uint64, limit, maxBytes int) ([]board.Entry, error) {
	out, err := s.entries(ctx, id, maxBytes, selectEntries+`WHERE board = ? AND seq > ? ORDER BY seq LIMIT ?`, id, int64(after), limit)
	if err != nil {
		return nil, err
	}
	for i := range out {
		if after++; out[i].Seq != after {
			return nil, board.ErrDamaged.Because("board %s: entry %d is missing", id, after)
		}
	}
	return out, nil
}

// ReadDoc answers entries of one epoch of a document, every byte verified; implements board.Log. They are not dense, so its first call looks
// whether the board's entries are.
func (s *Store) ReadDoc(ctx context.Context, id board.ID, doc board.DocID, epoch uint32, after uint64, limit, maxBytes int) ([]board.Entry, error) {
	if after == 0 {
		if err := s.dense(ctx, id); err != nil {
			return nil, err
		}
	}
	var last uint64 // found from the other end: who reads on takes an empty answer for the end
	err := s.read.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM entries WHERE board = ? AND doc = ? AND epoch = ?`, id, doc, epoch).Scan(&last)
	if err != nil {
		return nil, fmt.Errorf("read board %s: %w", id, err)
	}
	out, err := s.entries(ctx, id, maxBytes, selectEntries+`WHERE board = ? AND doc = ? AND epoch = ? AND seq > ? ORDER BY seq LIMIT ?`, id, doc, epoch, int64(after), limit)
	if err == nil && len(out) == 0 && after < last {
		return nil, board.ErrDamaged.Because("board %s: entries of page %s after %d are missing", id, doc, after)
	}
	return out, err
}

// dense looks for a number without an entry. Two indexes must say the same, at one moment: a row that one of them hides is as good as lost.
func (s *Store) dense(ctx context.Context, id board.ID) error {
	var a, b struct{ count, last uint64 }
	var strange uint64
	err := s.read.QueryRowContext(ctx, `SELECT * FROM
		(SELECT count(*), coalesce(max(seq), 0) FROM entries INDEXED BY sqlite_autoindex_entries_1 WHERE board = ?1),
		(SELECT count(*), coalesce(max(seq), 0), coalesce(sum(doc <> ?2 AND doc NOT IN (SELECT doc FROM docs WHERE board = ?1)), 0) FROM entries INDEXED BY entries_doc WHERE board = ?1)`, id, board.RulesDoc).
		Scan(&a.count, &a.last, &b.count, &b.last, &strange)
	switch {
	case err != nil:
		return fmt.Errorf("read board %s: %w", id, err)
	case a.count != a.last:
		return s.gap(ctx, id, "sqlite_autoindex_entries_1")
	case b.count != b.last:
		return s.gap(ctx, id, "entries_doc")
	case a != b:
		return board.ErrDamaged.Because("board %s ends at entry %d or at %d", id, a.last, b.last)
	case strange > 0:
		return board.ErrDamaged.Because("board %s: %d entries are of pages that it does not have", id, strange)
	}
	return nil
}

func (s *Store) gap(ctx context.Context, id board.ID, index string) error {
	var gap uint64
	if err := s.read.QueryRowContext(ctx, `SELECT min(n) FROM (SELECT 1 AS n UNION ALL SELECT seq + 1 FROM entries INDEXED BY `+index+` WHERE board = ?1)
		WHERE n NOT IN (SELECT seq FROM entries INDEXED BY `+index+` WHERE board = ?1)`, id).Scan(&gap); err != nil {
		return fmt.Errorf("read board %s: %w", id, err)
	}
	return board.ErrDamaged.Because("board %s: entry %d is missing", id, gap)
}

func (s *Store) entries(ctx context.Context, id board.ID, maxBytes int, query string, args ...any) ([]board.Entry, error) {
	k, err := s.sealer(ctx, id)
	if err != nil {
		return nil, err
	}
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read board %s: %w", id, err)
	}
	defer rows.Close()
	var out []board.Entry
	size := 0
	for rows.Next() {
		var e board.Entry
		var hash, actor, sealed sql.RawBytes
		var ts, keyID int64
		if err := rows.Scan(&e.Seq, &e.Doc, &e.Epoch, &e.Kind, &hash, &actor, &e.Person, &ts, &keyID, &sealed); err != nil {
			return nil, board.ErrDamaged.Because("board %s: a row of its log: %w", id, err)
		}
		if len(hash) != len(e.Hash) || len(actor) != len(e.Actor) || keyID != k.keyID {
			return nil, board.ErrDamaged.Because("board %s entry %d: malformed row", id, e.Seq)
		}
		e.Hash, e.Actor, e.At = board.Hash(hash), board.ActorID(actor), time.UnixMilli(ts).UTC()
		if e.Bytes, err = k.open(sealed, entryAAD(id, &e)); err != nil {
			return nil, board.ErrDamaged.Because("board %s entry %d: %w", id, e.Seq, err)
		}
		if e.Kind == board.KindEpoch {
			if e.Bytes, err = inflate(e.Bytes); err != nil {
				return nil, board.ErrDamaged.Because("board %s entry %d: %w", id, e.Seq, err)
			}
		} else if k.aead == nil {
			e.Bytes = append([]byte(nil), e.Bytes...) // still SQLite's memory
		}
		out = append(out, e)
		if size += len(e.Bytes); size >= maxBytes {
			break
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read board %s: %w", id, err)
	}
	return out, nil
}

// Actors lists the actors issued on a board; implements board.Log.
func (s *Store) Actors(ctx context.Context, id board.ID) (map[board.ActorID]board.Person, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT actor, person, tag FROM actors WHERE board = ?`, id)
	if err != nil {
		return nil, fmt.Errorf("read actors of board %s: %w", id, err)
	}
	defer rows.Close()
	out := map[board.ActorID]board.Person{}
	for rows.Next() {
		var a, tag sql.RawBytes
		var p board.Person
		if err := rows.Scan(&a, &p, &tag); err != nil {
			return nil, fmt.Errorf("read actors of board %s: %w", id, err)
		}
		if len(a) != len(board.ActorID{}) || !s.vault.fits(tag, actorRow(id, a, p)) {
			return nil, board.ErrDamaged.Because("board %s: malformed actor", id)
		}
		out[board.ActorID(a)] = p
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read actors of board %s: %w", id, err)
	}
	return out, nil
}

// IssueActor records an actor's person for ever, durable on return; implements board.Log.
func (s *Store) IssueActor(ctx context.Context, id board.ID, a board.ActorID, p board.Person) error {
	err := s.write.do(ctx, func(t *tx) error {
		return t.issue(id, a, p)
	})
	if err != nil {
		return fmt.Errorf("issue actor on board %s: %w", id, err)
	}
	return nil
}

func (t *tx) issue(id board.ID, a board.ActorID, p board.Person) error {
	_, err := t.exec(`INSERT INTO actors (board, actor, person, tag) VALUES (?,?,?,?)`, id, a[:], p, t.vault.tag(actorRow(id, a[:], p)))
	return err
}

// Erase destroys a board's key and rows for good; nobody may have it open. The write-ahead log is emptied as well, because it may still
// hold the key's page.
func (s *Store) Erase(ctx context.Context, id board.ID) error {
	err := s.write.do(ctx, func(t *tx) error {
		delete(t.last, id)
		for _, table := range []string{"board_keys", "docs", "entries", "snapshots", "actors", "checkpoints"} {
			if _, err := t.exec(`DELETE FROM `+table+` WHERE board = ?`, id); err != nil {
				return err
			}
		}
		if _, err := t.exec(`DELETE FROM sessions WHERE board = ?`, id); err != nil {
			return err
		}
		t.truncate = true
		_, err := t.exec(`DELETE FROM boards WHERE id = ?`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("erase board %s: %w", id, err)
	}
	s.keysMu.Lock()
	delete(s.keys, id)
	s.keysMu.Unlock()
	return nil
}

// append writes entries whose bytes are sealed already. Runs on the writer.
func (t *tx) append(id board.ID, entries []board.Entry, sealed []sealed, keyID int64) error {
	last, ok := t.last[id]
	if !ok {
		var log string
		err := t.row(`SELECT log, (SELECT coalesce(max(seq), 0) FROM entries WHERE board = boards.id) FROM boards WHERE id = ?`, id).Scan(&log, &last)
		if errors.Is(err, sql.ErrNoRows) || err == nil && log == "" {
			return board.ErrUnknown
		}
		if err != nil {
			return err
		}
	}
	for i := range entries {
		e := &entries[i]
		if e.Seq != last+1 {
			return fmt.Errorf("entry %d does not follow %d", e.Seq, last)
		}
		last++
		if _, err := t.insert.ExecContext(context.Background(), id, int64(e.Seq), e.Doc, e.Epoch, e.Kind, e.Hash[:], e.Actor[:], e.Person, e.At.UnixMilli(), keyID, sealed[i].bytes); err != nil {
			return fmt.Errorf("entry %d: %w", e.Seq, err)
		}
		if e.Kind == board.KindEpoch || e.Kind == board.KindPage {
			if err := t.beginDoc(id, e, sealed[i].document, keyID); err != nil {
				return fmt.Errorf("entry %d: %w", e.Seq, err)
			}
		}
	}
	t.last[id] = last
	return nil
}

// beginDoc makes a document, or moves it to its next epoch, together with its snapshot. Runs on the writer.
func (t *tx) beginDoc(id board.ID, e *board.Entry, sealed []byte, keyID int64) error {
	if sealed == nil {
		return errors.New("no document for what begins here")
	}
	if e.Kind == board.KindPage {
		if _, err := t.exec(`INSERT INTO docs (board, doc, epoch, place) SELECT ?1, ?2, ?3, coalesce(max(place) + 1, 0) FROM docs WHERE board = ?1`, id, e.Doc, e.Epoch); err != nil {
			return err
		}
	} else {
		n, err := t.exec(`UPDATE docs SET epoch = ?1 WHERE board = ?2 AND doc = ?3 AND epoch <= ?1`, e.Epoch, id, e.Doc)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%s does not go on in epoch %d", e.Doc, e.Epoch)
		}
	}
	snap := beginning(e)
	_, err := t.exec(`INSERT OR REPLACE INTO snapshots (board, doc, epoch, seq, heads, key_id, document) VALUES (?,?,?,?,?,?,?)`,
		id, e.Doc, e.Epoch, int64(e.Seq), headBytes(&snap), keyID, sealed)
	return err
}

// beginning is the snapshot that an entry brings.
func beginning(e *board.Entry) checkpoint.Snapshot {
	return checkpoint.Snapshot{Doc: e.Doc, Epoch: e.Epoch, Seq: e.Seq, Heads: []board.Hash{e.Hash}, Document: e.Document}
}

// A squash is a whole page: deflated it takes a third. Level 1, because the board waits for it.

func deflate(b []byte) []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestSpeed) // a valid level
	_, _ = w.Write(b)                              // into memory
	_ = w.Close()
	return out.Bytes()
}

func inflate(b []byte) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), int64(change.SquashLimits.Chunk)+1))
	if err == nil && len(out) > change.SquashLimits.Chunk {
		err = change.ErrTooLarge
	}
	return out, err
}

// sealed is the content of an entry as it goes to disk.
type sealed struct{ bytes, document []byte }

func sealAll(k *sealer, id board.ID, entries []board.Entry) []sealed {
	out := make([]sealed, len(entries))
	for i := range entries {
		e := &entries[i]
		plain := e.Bytes
		if e.Kind == board.KindEpoch {
			plain = deflate(plain)
		}
		out[i].bytes = k.seal(plain, entryAAD(id, e))
		if len(e.Document) > 0 {
			snap := beginning(e)
			out[i].document = k.seal(e.Document, snapshotAAD("document", id, &snap))
		}
	}
	return out
}

// entryAAD names everything in a row but the bytes.
func entryAAD(id board.ID, e *board.Entry) []byte {
	b := make([]byte, 0, 256)
	b = append(b, "lectern entry v1"...)
	b = field(b, string(id))
	b = binary.BigEndian.AppendUint64(b, e.Seq)
	b = field(b, string(e.Doc))
	b = binary.BigEndian.AppendUint32(b, e.Epoch)
	b = append(b, byte(e.Kind))
	b = append(b, e.Hash[:]...)
	b = append(b, e.Actor[:]...)
	b = field(b, string(e.Person))
	return binary.BigEndian.AppendUint64(b, uint64(e.At.UnixMilli()))
}

// field appends a string with its length, so that neighbours cannot be shifted.
func field(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}
