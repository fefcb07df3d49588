package schema

import (
	"fmt"
	"testing"
)

// viewer shows a page without its changes, from what Since tells.
type viewer struct {
	at    uint64
	shown map[string]Element
	files map[string]string
}

func (v *viewer) update(p *Page, seq uint64) (whole bool) {
	d, ok := p.Since(v.at)
	if !ok {
		v.shown, v.files = map[string]Element{}, p.Files()
		d.Elements = p.Still().Elements()
	}
	for _, e := range d.Elements {
		v.shown[e.ID] = e
	}
	for _, id := range d.Gone {
		delete(v.shown, id)
	}
	for id, x := range d.Files {
		v.files[id] = x
	}
	v.at = seq
	return !ok
}

func TestSince(t *testing.T) {
	t.Run("CH21 a viewer that takes what was written since shows the page", func(t *testing.T) {
		steps, saved := 0, 0
		for seed := range uint64(20) {
			w := newWorld(t, 4000+seed, 3)
			w.run(300)
			v := viewer{shown: map[string]Element{}, files: map[string]string{}}
			seq := uint64(0)
			for n, e := range w.epochs {
				p := NewPage()
				for i, b := range e.log[1:] {
					seq++
					p.Stamp(seq)
					take(t, p, b)
					if w.r.IntN(3) > 0 {
						continue
					}
					began := n > 0 && v.at < seq-uint64(i)
					if whole := v.update(p, seq); whole != began {
						t.Fatalf("seed %d epoch %d change %d: whole %v, want %v", seed, n, i, whole, began)
					}
					s := &Still{}
					for _, x := range v.shown {
						s.elements = append(s.elements, x)
					}
					for _, x := range p.Still().files {
						if v.files[x.id] != x.value {
							t.Fatalf("file %s: %q, want %q", x.id, v.files[x.id], x.value)
						}
					}
					want := p.Still()
					want.files = nil
					sameStill(t, s, want)
					if d, ok := p.Since(seq); !ok || len(d.Elements)+len(d.Gone)+len(d.Files) != 0 {
						t.Fatalf("after the last change: %v %v", d, ok)
					}
					d, _ := p.Since(seq - 1)
					steps, saved = steps+1, saved+len(s.elements)-len(d.Elements)
				}
			}
		}
		t.Logf("%d steps, %d elements not sent again", steps, saved)
		if steps < 500 || saved < 500 {
			t.Error("too few")
		}
	})
}

func BenchmarkSince(b *testing.B) {
	p := lesson(b, 1000, nil)
	p.Stamp(2)
	w := &writer{t: b, p: p, start: uint64(p.next()), dep: p.Heads()[0]}
	if err := w.write(makes(0, elements, "new")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if d, ok := p.Since(1); !ok || len(d.Elements) != 1 {
			b.Fatal(fmt.Sprint(d, ok))
		}
	}
}
