package checkpoint

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
	"github.com/educationpub/lectern/crdt/worker"
)

// Restore implements board.Checkpoints. (nil, nil) only when the room has no such event. board.ErrDamaged, with the reason: there is one that
// must not be used; it stays where it is and the board stays closed. board.ErrElsewhere names another home. board.ErrUnavailable: try again.
func (c *Checkpointer) Restore(ctx context.Context, room, kind string, id board.ID) (*board.Restored, error) {
	start := time.Now()
	r, err := c.restore(ctx, room, kind, id)
	if r != nil || err != nil {
		c.config.Observe("restore", time.Since(start), 0, err)
	}
	switch {
	case err == nil:
	case errors.Is(err, board.ErrElsewhere):
		c.log.Info("a board is kept by another Lectern", "board", id, "room", room, "err", err)
	case errors.Is(err, board.ErrDamaged):
		c.log.Error("the copy of a board in its room must not be used, so the board stays closed", "board", id, "room", room, "err", err)
	default:
		c.log.Warn("a board cannot be restored from its room now", "board", id, "room", room, "err", err)
	}
	return r, err
}

func (c *Checkpointer) restore(ctx context.Context, room, kind string, id board.ID) (*board.Restored, error) {
	h, err := c.home(ctx, id)
	if err != nil {
		return nil, board.ErrUnavailable.Because("%w", err)
	}
	m, st, err := c.readRoom(ctx, room, kind, id)
	if errors.Is(err, ErrNoState) {
		if !h.ours() {
			return nil, elsewhere(h.Home, h.Since).Because("its home is %.200q, and the room has no copy any more", h.Home)
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rec, err := c.config.Store.Checkpoint(ctx, id)
	if err != nil && !isUnknown(err) {
		return nil, board.ErrUnavailable.Because("what was saved before: %w", err)
	}
	if m.Home == c.config.Home && m.Seq < rec.Seq {
		return nil, board.ErrDamaged.Because("the room goes back to %d, %d was saved", m.Seq, rec.Seq)
	}
	if err := c.mayRestore(ctx, room, kind, id, h, &m, st); err != nil {
		return nil, err
	}
	return c.restored(ctx, &m, st, kind)
}

// restored reads the documents of a manifest.
func (c *Checkpointer) restored(ctx context.Context, m *manifest, st State, kind string) (*board.Restored, error) {
	actors, err := readActors(m.Authors)
	if err != nil {
		return nil, board.ErrDamaged.Because("manifest: %w", err)
	}
	out := &board.Restored{Actors: actors, SavedAt: st.At}
	if m.Rules != nil {
		out.Rules = *m.Rules // checked by the board
	}
	for _, d := range m.Docs {
		chunks, err := c.readDocument(ctx, d)
		if err == nil {
			err = c.collect(ctx, out, d, kind, chunks)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readManifest reads what the event says and looks at everything that can be judged without the documents.
func (c *Checkpointer) readManifest(ctx context.Context, st State, kind string, id board.ID) (m manifest, err error) {
	content, err := c.content(ctx, st.Content, id)
	if err != nil {
		return m, err
	}
	if err := readStrict(content, &m); err != nil {
		return m, board.ErrDamaged.Because("manifest: %w", err)
	}
	if m.Term == 0 {
		m.Term = 1 // written before boards had terms
	}
	if err := m.check(id, kind, st.Sender); err != nil {
		return m, board.ErrDamaged.Because("manifest: %w", err)
	}
	return m, nil
}

// content answers what the event says, or where it points to one, the file.
func (c *Checkpointer) content(ctx context.Context, content []byte, id board.ID) ([]byte, error) {
	if err := checkVersion(content); err != nil {
		return nil, board.ErrDamaged.Because("%w", err)
	}
	var probe struct{ File json.RawMessage }
	if err := json.Unmarshal(content, &probe); err != nil || len(probe.File) == 0 {
		return content, nil
	}
	var p pointer
	if err := readStrict(content, &p); err != nil || p.Board != id {
		return nil, board.ErrDamaged.Because("pointer to the content: malformed or of another board")
	}
	content, err := c.config.Room.Download(ctx, p.File, maxManifest)
	if err != nil {
		return nil, restoreError("fetch the content", err)
	}
	if err := checkVersion(content); err != nil {
		return nil, board.ErrDamaged.Because("%w", err)
	}
	return content, nil
}

// readDocument answers the changes of a document, which the merge worker has loaded, with the heads that the manifest names.
func (c *Checkpointer) readDocument(ctx context.Context, d manifestDoc) ([][]byte, error) {
	document, tail := d.Data, []byte(nil)
	if len(d.Base) > 0 {
		var err error
		if document, err = c.config.Room.Download(ctx, d.Base, maxDocument); err != nil {
			return nil, restoreError(fmt.Sprintf("fetch document %s", d.Doc), err)
		}
		tail = d.Data
	}
	if got := hexSum(document); got != d.SHA256 {
		return nil, board.ErrDamaged.Because("document %s has sha256 %s, the manifest says %.64q", d.Doc, got, d.SHA256)
	}
	changes, err := splitChunks(tail)
	if err != nil {
		return nil, board.ErrDamaged.Because("document %s: %w", d.Doc, err)
	}
	merged, err := c.config.Merger.Merge(ctx, document, changes)
	if err != nil {
		return nil, mergeError(d.Doc, err)
	}
	if len(merged.Rejected) > 0 {
		return nil, board.ErrDamaged.Because("document %s: change %d of the tail %s", d.Doc, merged.Rejected[0].Index, merged.Rejected[0].Reason)
	}
	all, heads, err := c.config.Merger.Changes(ctx, merged.Document)
	if err != nil {
		return nil, mergeError(d.Doc, err)
	}
	if !slices.Equal(hexHeads(heads), d.Heads) || !slices.Equal(heads, merged.Heads) {
		return nil, board.ErrDamaged.Because("document %s has other heads than the manifest says", d.Doc)
	}
	return all, nil
}

// collect judges every change as if it came from a client and appends it to the entries. After the first epoch the first change is the squash,
// which only a server can have made.
func (c *Checkpointer) collect(ctx context.Context, out *board.Restored, d manifestDoc, kind string, chunks [][]byte) error {
	if schema.Genesis(kind) == nil {
		return board.ErrDamaged.Because("document kind %q is unknown", kind)
	}
	page := schema.NewPage()
	now := out.SavedAt.UTC().Truncate(time.Millisecond)
	for i, stored := range chunks {
		var ch change.Change
		limits, squash := &change.DefaultLimits, d.Epoch > 0 && page.Changes() == 1
		if squash {
			limits = &change.SquashLimits
		}
		chunk, err := ch.ParseStored(stored, limits)
		if err == nil && page.Has(ch.Hash) { // the genesis
			continue
		}
		if err == nil {
			err = page.Check(&ch)
		}
		if err != nil {
			return board.ErrDamaged.Because("document %s, change %d: %w", d.Doc, i, err)
		}
		page.Apply(&ch, chunk)
		if len(ch.Author()) != len(board.ActorID{}) {
			return board.ErrDamaged.Because("document %s, change %d: its actor is none of ours", d.Doc, i)
		}
		e := board.Entry{
			Seq: uint64(len(out.Entries) + 1), Doc: d.Doc, Epoch: d.Epoch, Kind: board.KindChange, Hash: board.Hash(ch.Hash), Actor: board.ActorID(ch.Author()), At: now, Bytes: chunk,
		}
		var ok bool
		if e.Person, ok = out.Actors[e.Actor]; !ok {
			return board.ErrDamaged.Because("document %s, change %d: the manifest does not say whose actor %x is", d.Doc, i, e.Actor)
		}
		switch server := e.Actor[0] == 0; {
		case squash != (server && ch.Deps() == 1 && ch.Dep(0) == genesisHash(kind)):
			return board.ErrDamaged.Because("document %s, change %d: epoch %d does not begin with its one squash", d.Doc, i, d.Epoch)
		case squash:
			e.Kind = board.KindEpoch
			merged, err := c.config.Merger.Merge(ctx, schema.Genesis(kind), [][]byte{chunk})
			if err == nil && len(merged.Rejected) > 0 {
				err = worker.ErrPoison
			}
			if err != nil {
				return mergeError(d.Doc, err)
			}
			e.Document = merged.Document
		case server:
			e.Kind = board.KindCarry
		}
		out.Entries = append(out.Entries, e)
	}
	if d.Epoch > 0 && page.Changes() == 1 {
		return board.ErrDamaged.Because("document %s: epoch %d does not begin with its one squash", d.Doc, d.Epoch)
	}
	out.Docs = append(out.Docs, board.DocInfo{ID: d.Doc, Epoch: d.Epoch})
	return nil
}

func hexHeads(heads []worker.Hash) []string {
	out := make([]string, len(heads))
	for i, h := range heads {
		out[i] = hex.EncodeToString(h[:])
	}
	return out
}

// restoreError tells what must not be used from what cannot be had now.
func restoreError(doing string, err error) error {
	if errors.Is(err, ErrUntrusted) && !errors.Is(err, ErrNoKey) {
		return board.ErrDamaged.Because("%s: %w", doing, err)
	}
	return board.ErrUnavailable.Because("%s: %w", doing, err)
}

// mergeError does the same for the merge worker: a document that kills it or does not load is damaged. One that takes too long or too much may be an
// honest one on a busy machine.
func mergeError(doc board.DocID, err error) error {
	for _, fault := range []error{worker.ErrBase, worker.ErrCrashed, worker.ErrLimit, worker.ErrPoison, worker.ErrAnswer} {
		if errors.Is(err, fault) {
			return board.ErrDamaged.Because("document %s: %w", doc, err)
		}
	}
	return board.ErrUnavailable.Because("document %s: %w", doc, err)
}
