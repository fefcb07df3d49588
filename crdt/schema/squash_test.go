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
