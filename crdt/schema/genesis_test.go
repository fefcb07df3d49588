package schema

import (
	"testing"

	"github.com/educationpub/lectern/crdt"
	"github.com/educationpub/lectern/crdt/change"
)

func TestGenesis(t *testing.T) {
	t.Run("CH20 the document holds exactly the change", func(t *testing.T) {
		d, err := crdt.Load(Genesis(KindWhiteboard))
		if err != nil {
			t.Fatal(err)
		}
		changes, err := d.Changes()
		if err != nil || len(changes) != 1 || string(changes[0]) != string(GenesisChange(KindWhiteboard)) {
			t.Fatalf("%d changes, %v", len(changes), err)
		}
		p := NewPage()
		if h := p.Heads(); len(h) != 1 || crdt.Hash(h[0]) != d.Heads()[0] {
			t.Errorf("heads %v", h)
		}
		// other bytes would be another genesis, with which nothing that exists merges
		if got, want := p.Heads()[0].String(), "8132f706e6f601fe6a7f4d22485c99a4736e74e2737b384cfe0bd0008e4b3846"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("CH20 other kinds have none", func(t *testing.T) {
		if Genesis("poll") != nil || GenesisChange("") != nil {
			t.Error("unknown kinds have a genesis")
		}
	})
	t.Run("CH11 the genesis itself is in", func(t *testing.T) {
		p := NewPage()
		var c change.Change
		if err := c.Parse(GenesisChange(KindWhiteboard), nil); err != nil {
			t.Fatal(err)
		}
		if !p.Has(c.Hash) || p.Seq(c.Author()) != 1 || p.Changes() != 1 || len(p.Scene()) != 0 || len(p.Files()) != 0 {
			t.Error("not as expected")
		}
		if err := p.Check(&c); err != ErrEmpty { // it has no dependency
			t.Error(err)
		}
	})
}
