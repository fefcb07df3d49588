package crdt

import (
	"fmt"

	automerge "github.com/automerge/automerge-go"
)

// Text is the content of a text object, to tell it from a plain string in tests and comparisons. In JSON it is a string.
type Text string

// Counter is the value of an Automerge counter. The grammar of a board has none.
type Counter int64

// maxDepth bounds nesting: a board's page is three deep.
const maxDepth = 16

// Materialise returns the document as plain Go values: map[string]any, []any, string, Text, bool, int64, uint64, float64, []byte, nil,
// time.Time and Counter. Where writes conflict it holds the winner; the losers cannot be read through this engine.
func (d *Document) Materialise() (map[string]any, error) {
	return materialiseMap(d.doc.RootMap(), 0)
}

func materialiseMap(m *automerge.Map, depth int) (map[string]any, error) {
	values, err := m.Values()
	if err != nil {
		return nil, fmt.Errorf("read map: %w", err)
	}
	out := make(map[string]any, len(values))
	for key, v := range values {
		if out[key], err = materialise(v, depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func materialise(v *automerge.Value, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: nested deeper than %d", ErrValue, maxDepth)
	}
	switch v.Kind() {
	case automerge.KindMap:
		return materialiseMap(v.Map(), depth)
	case automerge.KindList:
		values, err := v.List().Values()
		if err != nil {
			return nil, fmt.Errorf("read list: %w", err)
		}
		out := make([]any, len(values))
		for i, item := range values {
			if out[i], err = materialise(item, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case automerge.KindText:
		s, err := v.Text().Get()
		if err != nil {
			return nil, fmt.Errorf("read text: %w", err)
		}
		return Text(s), nil
	case automerge.KindCounter:
		n, err := v.Counter().Get()
		if err != nil {
			return nil, fmt.Errorf("read counter: %w", err)
		}
		return Counter(n), nil
	case automerge.KindStr:
		return v.Str(), nil
	case automerge.KindBool:
		return v.Bool(), nil
	case automerge.KindInt64:
		return v.Int64(), nil
	case automerge.KindUint64:
		return v.Uint64(), nil
	case automerge.KindFloat64:
		return v.Float64(), nil
	case automerge.KindBytes:
		return v.Bytes(), nil
	case automerge.KindTime:
		return v.Time(), nil
	case automerge.KindNull:
		return nil, nil
	default:
		return nil, fmt.Errorf("%w: %v", ErrValue, v.Kind())
	}
}
