package checkpoint

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/educationpub/lectern/crdt/board"
)

// maxScene bounds a scene before compression: what the merge worker may answer.
const maxScene = 96 << 20

// packScene makes the scene of a snapshot as it is sent and stored: gzip of docs/protocol.md §1.3, from the merge worker's list of elements.
// Deleted elements are left out, the others stand in drawing order.
//
// gzip, because the standard library has it and every client reads it: brotli (5) and zstd (9) save 5 to 7 % of a page of 1,000 elements. The
// document itself is compressed by column already; nothing saves a further byte of it.
func packScene(log string, s *Snapshot, elements []byte) ([]byte, error) {
	var all []json.RawMessage
	if err := json.Unmarshal(elements, &all); err != nil {
		return nil, fmt.Errorf("scene of %s: %w", s.Doc, err)
	}
	type drawn struct {
		raw       json.RawMessage
		ID        string
		Index     string
		IsDeleted bool
	}
	list := make([]drawn, 0, len(all))
	for _, raw := range all {
		d := drawn{raw: raw, Index: "~"} // after every letter
		if err := json.Unmarshal(raw, &d); err != nil {
			return nil, fmt.Errorf("scene of %s: %w", s.Doc, err)
		}
		if !d.IsDeleted {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b drawn) int { return cmp.Or(strings.Compare(a.Index, b.Index), strings.Compare(a.ID, b.ID)) })
	shown := make([]json.RawMessage, len(list))
	for i := range list {
		shown[i] = list[i].raw
	}
	heads := make([]string, len(s.Heads))
	for i, h := range s.Heads {
		heads[i] = hex.EncodeToString(h[:])
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	err = json.NewEncoder(z).Encode(struct {
		Log      string            `json:"log"`
		Seq      uint64            `json:"seq"`
		Epoch    uint32            `json:"epoch"`
		Heads    []string          `json:"heads"`
		Elements []json.RawMessage `json:"elements"`
	}{log, s.Seq, s.Epoch, heads, shown})
	if err != nil {
		return nil, fmt.Errorf("scene of %s: %w", s.Doc, err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("scene of %s: %w", s.Doc, err)
	}
	return bytes.Clone(b.Bytes()), nil
}

// PlainScene is a packed scene for the rare client that does not take gzip.
func PlainScene(packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack scene: %w", err)
	}
	return io.ReadAll(io.LimitReader(z, maxScene))
}

// draw fills in the scene of a snapshot that has none: one stored by an earlier version, the document of a new epoch, a scene that was damaged.
func (c *Checkpointer) draw(ctx context.Context, id board.ID, log string, s Snapshot) (Snapshot, error) {
	if len(s.Document) == 0 || s.Scene != nil {
		return s, nil
	}
	res, err := c.config.Merger.Merge(ctx, s.Document, nil)
	if err != nil {
		return s, fmt.Errorf("draw %s: %w", s.Doc, err)
	}
	if s.Scene, err = packScene(log, &s, res.Scene); err != nil {
		return s, err
	}
	if err := c.config.Store.PutSnapshot(ctx, id, s); err != nil {
		return s, fmt.Errorf("store snapshot of %s: %w", s.Doc, err)
	}
	return s, nil
}
