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
	t.Run("EP1 the author goes on with its strokes in the next epoch, and the one after", func(t *testing.T) {
		p := schema.NewPage()
		a, err := NewAuthor(bytes.Repeat([]byte{9}, 16))
		if err != nil {
			t.Fatal(err)
		}
		draw := func(n int) {
			t.Helper()
			for i := range n {
				raw := a.Stroke(50)
				var c change.Change
				if err := c.Parse(raw, nil); err != nil {
					t.Fatalf("change %d: parse: %v", i, err)
				}
				if err := p.Check(&c); err != nil {
					t.Fatalf("change %d: check: %v", i, err)
				}
				p.Apply(&c, raw)
			}
		}
		draw(maxStrokes + 20)
		for epoch := range 2 {
			squash := p.Still().Squash([16]byte{0, byte(1 + epoch)})
			var c change.Change
			if err := c.Parse(squash, &change.SquashLimits); err != nil {
				t.Fatal(err)
			}
			p = schema.NewPage()
			if err := p.Check(&c); err != nil {
				t.Fatal(err)
			}
			p.Apply(&c, squash)
			if err := a.Adopt(squash); err != nil {
				t.Fatal(err)
			}
			draw(3 * maxStrokes)
			if got := p.Visible(); got != maxStrokes {
				t.Errorf("epoch %d: visible elements: got %d, want %d", epoch+1, got, maxStrokes)
			}
		}
	})
}
