package crdt

import (
	"encoding/hex"
	"fmt"
	"time"

	automerge "github.com/automerge/automerge-go"
)

// Edit is one write of a change: Value at Path (keys from the root), or its deletion. Values: string, Text, bool, int64, float64, []byte, nil
// and map[string]any of those.
type Edit struct {
	Path   []string
	Value  any
	Delete bool
}

// Author writes one change under an actor on top of the current heads, without a time, and returns its chunk. People's changes are written in
// the browser; this is for what the server authors itself and for tests.
func (d *Document) Author(actor [16]byte, edits ...Edit) ([]byte, error) {
	if err := d.doc.SetActorID(hex.EncodeToString(actor[:])); err != nil {
		return nil, fmt.Errorf("set actor: %w", err)
	}
	for _, e := range edits {
		keys := make([]any, len(e.Path))
		for i, k := range e.Path {
			keys[i] = k
		}
		var err error
		if path := d.doc.Path(keys...); e.Delete {
			err = path.Delete()
		} else {
			err = path.Set(native(e.Value))
		}
		if err != nil {
			return nil, fmt.Errorf("edit %v: %w", e.Path, err)
		}
	}
	// The engine would write milliseconds where JS writes seconds, so no time at all.
	hash, err := d.doc.Commit("", automerge.CommitOptions{Time: &time.Time{}})
	if err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	c, err := d.doc.Change(hash)
	if err != nil {
		return nil, fmt.Errorf("read back the change: %w", err)
	}
	return c.Save(), nil
}

func native(v any) any {
	switch v := v.(type) {
	case Text:
		return automerge.NewText(string(v))
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[k] = native(x)
		}
		return m
	default:
		return v
	}
}
