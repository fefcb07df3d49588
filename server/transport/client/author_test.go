package client

import (
	"bytes"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

func TestAuthor(t *testing.T) {
	t.Run("CH1 what the author writes is canonical and of the grammar", func(t *testing.T) {
		p := schema.NewPage()
		var authors []*Author
		for i := range 3 {
			a, err := NewAuthor(bytes.Repeat([]byte{byte(7 - i)}, 16))
			if err != nil {
				t.Fatal(err)
			}
			authors = append(authors, a)
		}
		for i := range 300 {
			raw := authors[i%3].Stroke(4 + i%200)
			var c change.Change
			if err := c.Parse(raw, nil); err != nil {
				t.Fatalf("change %d: parse: %v", i, err)
			}
			if err := p.Check(&c); err != nil {
				t.Fatalf("change %d: check: %v", i, err)
			}
			p.Apply(&c, raw)
			if Hash(raw) != [32]byte(c.Hash) {
				t.Fatalf("change %d: hash differs", i)
			}
		}
		if got, want := p.Visible(), 3*maxStrokes; got != want {
			t.Errorf("visible elements: got %d, want %d", got, want)
		}
	})
}
