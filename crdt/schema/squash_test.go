package schema

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
)

// squashed is the page that begins with a squash.
func squashed(t testing.TB, s *Still) *Page {
	t.Helper()
	p := NewPage()
	chunk := s.Squash(squasher)
	var c change.Change
	if err := c.Parse(chunk, &change.SquashLimits); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(&c); err != nil {
		t.Fatal(err)
	}
	p.Apply(&c, chunk)
	return p
}

var squasher = [16]byte{0, 's', 'q'}

// shows is a still as text, kinds told apart.
func shows(s *Still) string {
	var b bytes.Buffer
	list := slices.Clone(s.elements)
	slices.SortFunc(list, func(a, b Element) int { return cmp.Compare(a.ID, b.ID) })
	for _, e := range list {
		fmt.Fprintf(&b, "%s\n", e.ID)
		for _, x := range e.Properties {
			fmt.Fprintf(&b, "  %s %T %q\n", x.Name, x.Value.Any(), fmt.Sprint(x.Value.Any()))
		}
	}
	for _, f := range s.files {
		fmt.Fprintf(&b, "file %s %q\n", f.id, f.value)
	}
	return b.String()
}

func sameStill(t testing.TB, got, want *Still) {
	t.Helper()
	if g, w := shows(got), shows(want); g != w {
		t.Fatalf("got\n%.4000s\nwant\n%.4000s", g, w)
	}
}

func TestSquash(t *testing.T) {
	for _, name := range []string{"page", "text"} {
		t.Run("EP1 a page that begins with the squash shows the same: "+name, func(t *testing.T) {
			p := NewPage()
			for i, b := range corpus(t, name) {
				take(t, p, b)
				if i%97 == 0 {
					q := squashed(t, p.Still())
					sameStill(t, q.Still(), p.Still())
					inOrder(t, q)
				}
			}
			inOrder(t, p)
			q := squashed(t, p.Still())
			sameStill(t, q.Still(), p.Still())
			if q.Ops() != 0 || q.Visible() != p.Visible() || p.Ops() == 0 || p.Registers() < q.Registers() {
				t.Errorf("%d operations, %d and %d shown, %d and %d registers", q.Ops(), q.Visible(), p.Visible(), q.Registers(), p.Registers())
			}
			k := squashed(t, NewPage().Still())
			carries, err := k.Follow(p, p.All(), [16]byte{0, 'c'})
			if err != nil {
				t.Fatal(err)
			}
			sameStill(t, k.Still(), p.Still())
			t.Logf("%d carries", len(carries))
		})
	}
}

// squashes are changes on the genesis: of pages as they grow, of every allowed form and of mutants, and of random pages.
func squashes(t testing.TB) (a accepted) {
	a.base = [][]byte{GenesisChange(KindWhiteboard)}
	add := func(p *Page) { a.tried = append(a.tried, p.Still().Squash(squasher)) }
	add(NewPage())
	for _, name := range []string{"page", "text"} {
		p := NewPage()
		for i, b := range corpus(t, name) {
			take(t, p, b)
			if i%211 == 50 {
				add(p)
			}
		}
		add(p)
	}
	for _, other := range []accepted{handmade(t), mutants(t, "page", 60, 20), mutants(t, "text", 100, 20)} {
		for i, b := range other.tried {
			if i%3 == 0 {
				p := other.page(t)
				take(t, p, b)
				add(p)
			}
		}
	}
	for seed := range uint64(10) {
		w := newWorld(t, 3000+seed, 3)
		w.run(200)
		for _, e := range w.epochs {
			add(e.page)
		}
	}
	return a
}

func TestSquashEncoding(t *testing.T) {
	t.Run("EP1 a squash encodes anew to the same bytes and depends only on what is shown", func(t *testing.T) {
		for i, b := range squashes(t).tried {
			var c change.Change
			if err := c.Parse(b, &change.SquashLimits); err != nil {
				t.Fatal(err)
			}
			x := change.Draft{Deps: []change.Hash{c.Dep(0)}, Actors: c.Actors, Seq: c.Seq, StartOp: uint64(c.StartOp), Time: c.Time}
			var d change.Decoder
			d.Reset(&c)
			for op := range d.Ops() {
				y := *op
				y.Pred = slices.Clone(op.Pred)
				x.Ops = append(x.Ops, y)
			}
			if d.Err() != nil || !bytes.Equal(x.Encode(), b) {
				t.Errorf("squash %d: %v", i, d.Err())
			}
			p := replayed(t, GenesisChange(KindWhiteboard), b)
			if i > 0 && p.Registers() != c.Count { // the first is of an empty page
				t.Errorf("squash %d of %d operations: %d registers", i, c.Count, p.Registers())
			}
			if i > 0 && !bytes.Equal(p.Still().Squash(squasher), b) {
				t.Errorf("squash %d squashed again is another one", i)
			}
			if string(c.Author()) != string(squasher[:]) || c.Seq != 1 || c.Deps() != 1 || c.Dep(0) != hash(t, GenesisChange(KindWhiteboard)) {
				t.Errorf("squash %d: header", i)
			}
		}
	})
}
