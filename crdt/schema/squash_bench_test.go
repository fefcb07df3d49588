package schema

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
)

// lesson is a page as a squash leaves it: count elements with the named properties, every one when names is nil, half of them strokes.
func lesson(t testing.TB, count int, names []string) *Page {
	r := rand.New(rand.NewPCG(7, uint64(count)))
	s := &Still{}
	for i := range count {
		e := Element{ID: fmt.Sprintf("%08x-%012x", r.Uint32(), i)}
		add := func(name string, v Value) {
			for _, n := range names {
				if n == name {
					e.Properties = append(e.Properties, Property{name, v})
				}
			}
			if names == nil {
				e.Properties = append(e.Properties, Property{name, v})
			}
		}
		number := func(f float64) Value { return Value{Kind: change.Float, Num: floatBits(f)} }
		word := func(w string) Value { return Value{Kind: change.String, Str: w} }
		add("angle", Value{Kind: change.Int})
		add("autoResize", Value{Kind: change.True})
		add("backgroundColor", word("transparent"))
		add("fillStyle", word("solid"))
		add("frameId", Value{})
		add("groupIds", word("\x00[]"))
		add("height", number(20+r.Float64()*200))
		add("index", word(fmt.Sprintf("b%03d%c", i/60, 'A'+i%26)))
		add("isDeleted", Value{Kind: change.False})
		add("link", Value{})
		add("locked", Value{Kind: change.False})
		add("opacity", Value{Kind: change.Int, Num: 100})
		if names == nil && i%2 == 0 {
			points := make([]byte, 0, 160)
			for range 60 {
				points = append(points, byte(r.IntN(40)), byte(r.IntN(40)))
			}
			add("points", Value{Kind: change.Bytes, Str: string(points)})
			add("pressures", Value{Kind: change.Bytes, Str: ""})
		}
		add("roughness", Value{Kind: change.Int, Num: 1})
		add("roundness", Value{})
		add("seed", Value{Kind: change.Int, Num: uint64(r.Uint32())})
		add("simulatePressure", Value{Kind: change.True})
		add("startArrowhead", Value{})
		add("strokeColor", word("#1e1e1e"))
		add("strokeStyle", word("solid"))
		add("strokeWidth", Value{Kind: change.Int, Num: 2})
		add("type", word([]string{"freedraw", "rectangle"}[i%2]))
		add("width", number(20+r.Float64()*200))
		add("x", number(r.Float64()*4000))
		add("y", number(r.Float64()*4000))
		s.elements = append(s.elements, e)
	}
	p := NewPage()
	p.Stamp(1)
	take(t, p, s.Squash(squasher))
	return p
}

var pages = []struct {
	name  string
	count int
	props []string
}{
	{"1,000 elements of 23 to 25 properties", 1000, nil},
	{"10,000 elements of 10 properties", 10_000, []string{"angle", "height", "index", "isDeleted", "opacity", "strokeColor", "type", "width", "x", "y"}},
}

func BenchmarkSquash(b *testing.B) {
	for _, x := range pages {
		p := lesson(b, x.count, x.props)
		s := p.Still()
		chunk := s.Squash(squasher)
		var z bytes.Buffer
		w, _ := flate.NewWriter(&z, flate.DefaultCompression)
		_, _ = w.Write(chunk)
		_ = w.Close()
		var c change.Change
		if err := c.Parse(chunk, &change.SquashLimits); err != nil {
			b.Fatal(err)
		}
		b.Run(x.name+"/still", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s = p.Still()
			}
		})
		b.Run(x.name+"/squash", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				chunk = s.Squash(squasher)
			}
			b.ReportMetric(float64(c.Count), "ops")
			b.ReportMetric(float64(len(chunk)), "chunk-B")
			b.ReportMetric(float64(z.Len()), "deflated-B")
		})
		b.Run(x.name+"/page from it", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q := NewPage()
				if err := c.Parse(chunk, &change.SquashLimits); err != nil {
					b.Fatal(err)
				}
				if err := q.Check(&c); err != nil {
					b.Fatal(err)
				}
				q.Apply(&c, chunk)
			}
		})
		b.Run(x.name+"/follow one element", func(b *testing.B) {
			k := squashed(b, s)
			f := follower{p: p, actor: [16]byte{0, 9}, start: p.next()} // a server's, since the page is fuller than a person may make it
			f.me = p.me(f.actor[:])
			id := s.elements[3].ID
			e, _ := p.find(id)
			f.put(f.id(e.made), e, byProperty["x"], &Value{Kind: change.Int, Num: 5})
			if err := f.write(p.actorTable(f.actor[:]), f.ops); err != nil {
				b.Fatal(err)
			}
			var t Touched
			t.element(id)
			value := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				value++
				p.win(e, byProperty["x"]).Num = value // in place: only Follow is measured
				if list, err := k.Follow(p, t, [16]byte{0, 1}); err != nil || len(list) != 1 {
					b.Fatal(len(list), err)
				}
			}
		})
	}
}
