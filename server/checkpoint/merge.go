package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
	"github.com/educationpub/lectern/crdt/worker"
)

// How much of a log goes into one merge; what is longer takes several, each stored.
const (
	mergeEntries = 5_000
	mergeBytes   = 8 << 20
)

// stuckError: the entry does not merge with what is before it. The copy ends before it until an operator has looked.
type stuckError struct {
	seq    uint64
	reason string
}

func (e *stuckError) Error() string { return fmt.Sprintf("entry %d: %s", e.seq, e.reason) }

// advance merges a document up to the end of the log and answers its snapshot, every step of which was loaded again by the merge worker, compared
// with the heads that follow from the log, and stored with its scene. With a *stuckError the snapshot is the last good one.
func (c *Checkpointer) advance(ctx context.Context, id board.ID, meta board.Meta, doc board.DocInfo) (Snapshot, error) {
	target := meta.Seq
	s, err := c.config.Store.Snapshot(ctx, id, doc.ID)
	switch {
	case errors.Is(err, board.ErrDamaged):
		c.log.Error("a snapshot is damaged; it is made anew from the log", "board", id, "doc", doc.ID, "err", err)
		s, err = genesis(meta.Kind, doc)
	case err != nil:
		err = fmt.Errorf("read snapshot of %s: %w", doc.ID, err)
	default:
		if len(s.Document) == 0 || s.Epoch != doc.Epoch { // what an older epoch was merged to is of no use
			s, err = genesis(meta.Kind, doc)
		} else {
			s, err = c.draw(ctx, id, meta.Log, s)
		}
		s.Seq = max(s.Seq, doc.Seq) // nothing of the document stands between
	}
	if err != nil {
		return s, err
	}
	for limit := mergeEntries; s.Seq < target; {
		entries, err := c.config.Log.ReadDoc(ctx, id, doc.ID, doc.Epoch, s.Seq, limit, mergeBytes)
		if err != nil {
			return s, fmt.Errorf("read the log after %d: %w", s.Seq, err)
		}
		end := target // where this document has nothing more
		if len(entries) > 0 {
			end = min(end, entries[len(entries)-1].Seq)
		}
		entries = slices.DeleteFunc(entries, func(e board.Entry) bool { return e.Seq > target || !content(e) })
		if len(entries) == 0 {
			s.Seq = end
			continue
		}
		next, err := c.step(ctx, meta.Log, s, entries, end)
		if (errors.Is(err, worker.ErrTimeout) || errors.Is(err, worker.ErrMemory)) && limit > 1 {
			limit = max(1, min(limit, len(entries))/4) // smaller steps; each is stored, so what is reached stays
			continue
		}
		if next.Seq > s.Seq {
			if err := c.config.Store.PutSnapshot(ctx, id, next); err != nil {
				return s, fmt.Errorf("store snapshot of %s: %w", doc.ID, err)
			}
			s = next
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// content: the entry is a change of its epoch.
func content(e board.Entry) bool {
	return e.Kind == board.KindChange || e.Kind == board.KindEpoch || e.Kind == board.KindCarry || e.Kind == board.KindLate
}

// step merges entries of one document into its snapshot.
func (c *Checkpointer) step(ctx context.Context, log string, s Snapshot, entries []board.Entry, end uint64) (Snapshot, error) {
	changes := make([][]byte, len(entries))
	for i, e := range entries {
		changes[i] = e.Bytes
	}
	res, err := c.config.Merger.Merge(ctx, s.Document, changes)
	if err != nil {
		return s, fmt.Errorf("merge %d changes into %s: %w", len(changes), s.Doc, err)
	}
	var stuck *stuckError
	if len(res.Rejected) > 0 {
		first := res.Rejected[0]
		stuck = &stuckError{seq: entries[first.Index].Seq, reason: first.Reason}
		end, entries, changes = stuck.seq-1, entries[:first.Index], changes[:first.Index]
		if len(changes) == 0 {
			return s, stuck
		}
		if res, err = c.config.Merger.Merge(ctx, s.Document, changes); err != nil {
			return s, fmt.Errorf("merge %d changes into %s: %w", len(changes), s.Doc, err)
		}
	}
	heads, err := follow(s.Heads, entries)
	if err != nil {
		return s, err
	}
	got := make([]board.Hash, len(res.Heads))
	for i, h := range res.Heads {
		got[i] = board.Hash(h)
	}
	if len(res.Rejected) > 0 || !slices.Equal(got, heads) {
		return s, board.ErrDamaged.Because("the merged document of %s at %d does not have the heads of the log", s.Doc, end)
	}
	next := Snapshot{Doc: s.Doc, Epoch: s.Epoch, Seq: end, Heads: heads, Document: res.Document}
	if next.Scene, err = packScene(log, &next, res.Scene); err != nil {
		return s, err
	}
	if stuck != nil {
		return next, stuck
	}
	return next, nil
}

// genesis is the snapshot every document begins with.
func genesis(kind string, doc board.DocInfo) (Snapshot, error) {
	if schema.Genesis(kind) == nil {
		return Snapshot{}, fmt.Errorf("document kind %q is unknown", kind)
	}
	return Snapshot{Doc: doc.ID, Epoch: doc.Epoch, Heads: []board.Hash{board.Hash(genesisHash(kind))}, Document: schema.Genesis(kind)}, nil
}

// genesisHash names the change that every document of a known kind begins with.
func genesisHash(kind string) change.Hash {
	var c change.Change
	if err := c.Parse(schema.GenesisChange(kind), nil); err != nil {
		panic("checkpoint: genesis: " + err.Error()) // an embedded file
	}
	return c.Hash
}

// follow computes the heads after entries from the headers alone, ascending.
func follow(heads []board.Hash, entries []board.Entry) ([]board.Hash, error) {
	open := make(map[board.Hash]bool, len(heads))
	for _, h := range heads {
		open[h] = true
	}
	var c change.Change
	for _, e := range entries {
		if err := c.Parse(e.Bytes, &change.StoredLimits); err != nil {
			return nil, board.ErrDamaged.Because("entry %d: %w", e.Seq, err)
		}
		for i := range c.Deps() {
			delete(open, board.Hash(c.Dep(i)))
		}
		open[board.Hash(c.Hash)] = true
	}
	out := make([]board.Hash, 0, len(open))
	for h := range open {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b board.Hash) int { return slices.Compare(a[:], b[:]) })
	return out, nil
}

// tail reads the changes of a document after a seq; ok is false when they are more than max bytes.
func (c *Checkpointer) tail(ctx context.Context, id board.ID, doc board.DocInfo, after, upto uint64, max int) (chunks []byte, ok bool, err error) {
	for after < upto {
		entries, err := c.config.Log.ReadDoc(ctx, id, doc.ID, doc.Epoch, after, mergeEntries, 4*maxInline)
		if err != nil {
			return nil, false, fmt.Errorf("read the log after %d: %w", after, err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if e.Seq > upto {
				return chunks, true, nil
			}
			after = e.Seq
			if !content(e) {
				continue
			}
			if len(chunks)+len(e.Bytes) > max {
				return nil, false, nil
			}
			chunks = append(chunks, e.Bytes...)
		}
	}
	return chunks, true, nil
}

// isUnknown: the board is not stored here.
func isUnknown(err error) bool { return errors.Is(err, board.ErrUnknown) }
