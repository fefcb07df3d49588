package schema

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/change/changetest"
)

// FuzzPage offers changes with a corrected checksum to a small page: a refused one leaves no trace, an accepted one leaves a page in order.
func FuzzPage(f *testing.F) {
	_, base, head := board(f)
	for _, x := range forms() {
		f.Add(seal(bob, 1, next, []change.Hash{head}, x.ops...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 10 {
			return
		}
		b = bytes.Clone(b)
		copy(b, "\x85\x6f\x4a\x83")
		b[8] = 1
		var c change.Change
		if c.Parse(changetest.Resign(b), nil) != nil {
			return
		}
		p := NewPage()
		take(t, p, base[0])
		before := fmt.Sprint(sizes(p))
		if err := p.Check(&c); err != nil {
			if change.Code(err) == "" {
				t.Errorf("no code: %v", err)
			}
			if after := fmt.Sprint(sizes(p)); after != before {
				t.Errorf("a refused change left traces\nbefore %s\nafter  %s", before, after)
			}
			return
		}
		p.Apply(&c, b)
		inOrder(t, p)

		q := squashed(t, p.Still()) // EP1
		sameStill(t, q.Still(), p.Still())
		inOrder(t, q)
		old := NewPage() // EP5: the same change comes late
		take(t, old, base[0])
		k := squashed(t, old.Still())
		if _, err := k.Follow(p, p.Touched(&c), squasher); err != nil {
			t.Fatal(err)
		}
		sameStill(t, k.Still(), p.Still())
		inOrder(t, k)
	})
}

// inOrder checks what must hold of every page.
func inOrder(t *testing.T, p *Page) {
	t.Helper()
	visible, registers := 0, len(p.files.live)
	for n := range p.slots {
		if p.shown(uint32(n)) {
			visible++
			registers += p.weight(uint32(n))
		}
		if p.shown(uint32(n)) != p.slots[n].shown {
			t.Errorf("%q shown: %v", p.slots[n].id, p.slots[n].shown)
		}
		for _, o := range p.slots[n].makes {
			if p.wrote(o) != at(inElements, 0, uint32(n)) || p.objects[o].place != inElement {
				t.Errorf("make %v of %q is not in the index", o, p.slots[n].id)
			}
		}
		if p.byID[p.slots[n].id] != uint32(n) {
			t.Errorf("id %q", p.slots[n].id)
		}
	}
	if visible != p.visible {
		t.Errorf("%d visible, counted %d", p.visible, visible)
	}
	if registers != p.Registers() {
		t.Errorf("%d registers, counted %d", registers, p.Registers())
	}
	check := func(e *element, place place, object uint32) {
		for i, w := range e.live {
			if p.wrote(w.id()) != at(place, object, uint32(w.prop)) {
				t.Errorf("write %v is not in the index", w)
			}
			if v := e.vals[i]; place == inElement && v.text == 0 {
				if err := table[w.prop].accepts(v.Kind, v.Num, []byte(v.Str)); err != nil {
					t.Errorf("%s: %v", table[w.prop].name, err)
				}
			}
		}
	}
	for i := range p.els {
		check(&p.els[i], inElement, uint32(i))
	}
	check(&p.files, inFiles, 0)
	chars := 0
	for i := range p.texts {
		x := &p.texts[i]
		chars += len(x.chars)
		for j, c := range x.chars {
			if p.wrote(opid{c.ctr, c.actor}) != at(inText, uint32(i), uint32(j)) || int(c.after) > j {
				t.Errorf("character %d of text %d", j, i)
			}
		}
		if s := p.content(x); len([]rune(s)) != x.live {
			t.Errorf("text %d reads %d characters, %d are live", i, len([]rune(s)), x.live)
		}
	}
	if chars != p.chars || len(p.Heads()) == 0 {
		t.Errorf("%d characters, counted %d; %d heads", p.chars, chars, len(p.Heads()))
	}
	for i := range p.actors {
		n := 0
		for _, s := range p.actors[i].spans {
			if int(s.at) < n {
				t.Errorf("spans of actor %d", i)
			}
			n = int(s.at)
		}
	}
	for _, e := range p.Scene() {
		if _, err := e.MarshalJSON(); err != nil {
			t.Error(err)
		}
	}
}
