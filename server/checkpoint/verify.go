package checkpoint

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/schema"
)

var errSquash = errors.New("the merged squash has other values than the page")

// Verify is board.Verify: the merge worker puts a squash on the genesis, saves that, loads it again (SPEC EN6) and tells what it shows.
func (c *Checkpointer) Verify(ctx context.Context, kind string, squash []byte, elements []board.Element) ([]byte, []board.Hash, error) {
	res, err := c.config.Merger.Merge(ctx, schema.Genesis(kind), [][]byte{squash})
	if err != nil {
		return nil, nil, fmt.Errorf("merge a squash of %d bytes: %w", len(squash), err)
	}
	if len(res.Rejected) > 0 {
		return nil, nil, fmt.Errorf("merge a squash of %d bytes: it %s", len(squash), res.Rejected[0].Reason)
	}
	want, err := sceneJSON(elements)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the page: %w", err)
	}
	if !bytes.Equal(want, res.Scene) {
		return nil, nil, errSquash
	}
	heads := make([]board.Hash, len(res.Heads))
	for i, h := range res.Heads {
		heads[i] = board.Hash(h)
	}
	return res.Document, heads, nil
}

// sceneJSON is what the merge worker says of a page: its elements by id, keys ascending.
func sceneJSON(elements []board.Element) ([]byte, error) {
	list := make([]map[string]any, 0, len(elements))
	for _, e := range slices.SortedFunc(slices.Values(elements), func(a, b board.Element) int { return cmp.Compare(a.ID, b.ID) }) {
		m := map[string]any{"id": e.ID}
		for _, p := range e.Properties {
			m[p.Name] = p.Value.Any()
		}
		list = append(list, m)
	}
	return json.Marshal(list)
}
