package rescue

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/schema"
)

func TestPoints(t *testing.T) {
	t.Run("RS1 points are unpacked as the page packs them", func(t *testing.T) {
		got, err := unpack([]byte{0, 0, 0xa8, 0x01, 51, 3, 4}) // (0,0), +(84,-26)/8, +(-2,2)/8
		if want := [][2]float64{{0, 0}, {10.5, -3.25}, {10.25, -3}}; err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	})
	t.Run("RS1 points that are cut off are an error", func(t *testing.T) {
		for _, b := range [][]byte{{0}, {0, 0x80}, {0, 0, 1}} {
			if got, err := unpack(b); err == nil {
				t.Errorf("%x: got %v", b, got)
			}
		}
	})
}

func TestBindings(t *testing.T) {
	t.Run("RS1 what is bound to an element follows from arrows and texts", func(t *testing.T) {
		box := map[string]any{"id": "box", "type": "rectangle", "boundElements": nil}
		elements := []map[string]any{
			box,
			{"id": "arrow", "type": "arrow", "startBinding": json.RawMessage(`{"elementId":"box"}`), "endBinding": json.RawMessage(`{"elementId":"box"}`)},
			{"id": "words", "type": "text", "containerId": "box"},
			{"id": "stray", "type": "text", "containerId": "gone"},
		}
		byID := map[string]map[string]any{}
		for _, e := range elements {
			byID[e["id"].(string)] = e
		}
		bind(elements, byID)
		got, err := json.Marshal(box["boundElements"])
		if want := `[{"id":"arrow","type":"arrow"},{"id":"words","type":"text"}]`; err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	})
}

func TestPages(t *testing.T) {
	t.Run("RS1 an empty page is a file without elements; bytes that are no change are an error", func(t *testing.T) {
		r := &board.Restored{Docs: []board.DocInfo{{ID: "a"}, {ID: "b", Epoch: 2}}}
		pages, err := Pages(r)
		if err != nil || len(pages) != 2 || pages[0].Visible() != 0 {
			t.Fatalf("got %v, %v", pages, err)
		}
		text, err := pages[0].Excalidraw(r.SavedAt)
		var f struct {
			Type     string
			Version  int
			Elements []any
		}
		if err != nil || json.Unmarshal(text, &f) != nil || f.Type != "excalidraw" || f.Version != 2 || f.Elements == nil || len(f.Elements) != 0 {
			t.Errorf("got %s, %v", text, err)
		}
		r.Entries = []board.Entry{{Doc: "a", Kind: board.KindChange, Bytes: schema.Genesis(schema.KindWhiteboard)[:20]}}
		if _, err := Pages(r); err == nil {
			t.Error("damaged bytes became a page")
		}
	})
}
