package rescue

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

// Page is a page of a board as it was found in a room.
type Page struct {
	Doc      board.DocID
	elements []schema.Element
	Files    int // files that are referred to; they stay in the room
}

// Pages replays a restored board: its pages in their order.
func Pages(r *board.Restored) ([]Page, error) {
	var out []Page
	for _, d := range r.Docs {
		page := schema.NewPage()
		var c change.Change
		for _, e := range r.Entries {
			if e.Doc != d.ID || e.Epoch != d.Epoch || len(e.Bytes) == 0 {
				continue
			}
			if err := c.Parse(e.Bytes, &change.StoredLimits); err != nil {
				return nil, fmt.Errorf("page %s: %w", d.ID, err)
			}
			if err := page.Check(&c); err != nil {
				return nil, fmt.Errorf("page %s: %w", d.ID, err)
			}
			page.Apply(&c, e.Bytes)
		}
		p := Page{Doc: d.ID, Files: len(page.Files())}
		for _, e := range page.Scene() {
			if deleted, _ := e.Get("isDeleted"); deleted != true {
				p.elements = append(p.elements, e)
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// Visible is how many elements the page shows.
func (p *Page) Visible() int { return len(p.elements) }

// Excalidraw is the page as an .excalidraw file, version 2: Excalidraw's own properties, as web/src/board/element.ts reads them.
func (p *Page) Excalidraw(at time.Time) ([]byte, error) {
	elements := make([]map[string]any, 0, len(p.elements))
	byID := map[string]map[string]any{}
	for _, e := range p.elements {
		props, err := decode(&e)
		if err != nil {
			return nil, err
		}
		props["updated"] = at.UnixMilli()
		elements = append(elements, props)
		byID[e.ID] = props
	}
	bind(elements, byID)
	return json.MarshalIndent(map[string]any{
		"type": "excalidraw", "version": 2, "source": "lectern restore", "elements": elements,
		"appState": map[string]any{"viewBackgroundColor": "#ffffff", "gridSize": nil}, "files": map[string]any{},
	}, "", " ")
}

func decode(e *schema.Element) (map[string]any, error) {
	out := map[string]any{"id": e.ID, "isDeleted": false, "version": 1, "versionNonce": 0, "boundElements": nil}
	for _, p := range e.Properties {
		switch v := p.Value.Any().(type) {
		case []byte:
			if p.Name == "points" {
				points, err := unpack(v)
				if err != nil {
					return nil, fmt.Errorf("element %s: %w", e.ID, err)
				}
				out[p.Name] = points
			} else {
				out[p.Name] = pressures(v)
			}
		case string:
			if structured, ok := strings.CutPrefix(v, "\x00"); ok {
				if !json.Valid([]byte(structured)) {
					continue
				}
				out[p.Name] = json.RawMessage(structured)
			} else {
				out[p.Name] = v
			}
		default:
			out[p.Name] = v
		}
	}
	switch out["type"] {
	case "freedraw":
		if out["pressures"] == nil {
			out["pressures"] = []float64{}
		}
	case "text":
		if out["text"] == nil {
			out["text"], _ = e.Get("originalText")
		}
	}
	return out, nil
}

func pressures(b []byte) []float64 {
	out := make([]float64, len(b))
	for i, p := range b {
		out[i] = float64(p) / 255
	}
	return out
}

// unpack reads points: x and y in turn, zig-zag differences in 1/8 px.
func unpack(b []byte) ([][2]float64, error) {
	var out [][2]float64
	var at [2]int64
	for len(b) > 0 {
		for i := range at {
			z, n := binary.Uvarint(b)
			if n <= 0 {
				return nil, errors.New("points are cut off")
			}
			at[i] += int64(z>>1) ^ -int64(z&1)
			b = b[n:]
		}
		out = append(out, [2]float64{float64(at[0]) / 8, float64(at[1]) / 8})
	}
	return out, nil
}

// bind adds boundElements, which is not stored: it follows from arrows' ends and texts' containers.
func bind(elements []map[string]any, byID map[string]map[string]any) {
	add := func(to string, what map[string]any, kind string) {
		if target := byID[to]; target != nil {
			list, _ := target["boundElements"].([]map[string]any)
			if !slices.ContainsFunc(list, func(b map[string]any) bool { return b["id"] == what["id"] }) {
				target["boundElements"] = append(list, map[string]any{"id": what["id"], "type": kind})
			}
		}
	}
	for _, e := range elements {
		switch e["type"] {
		case "arrow":
			for _, end := range []string{"startBinding", "endBinding"} {
				var b struct {
					ElementID string `json:"elementId"`
				}
				if raw, ok := e[end].(json.RawMessage); ok && json.Unmarshal(raw, &b) == nil {
					add(b.ElementID, e, "arrow")
				}
			}
		case "text":
			if to, ok := e["containerId"].(string); ok {
				add(to, e, "text")
			}
		}
	}
}
