package schema

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
)

func unzip(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// corpus reads the changes of a log made by testdata/gen.mjs.
func corpus(t testing.TB, name string) (list [][]byte) {
	t.Helper()
	b := unzip(t, name+".changes.gz")
	for len(b) > 0 {
		n := 4 + binary.LittleEndian.Uint32(b)
		list = append(list, b[4:n:n])
		b = b[n:]
	}
	return list
}

// take checks and applies a change, or a squash.
func take(t testing.TB, p *Page, chunk []byte) {
	t.Helper()
	var c change.Change
	if err := c.Parse(chunk, &change.StoredLimits); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(&c); err != nil {
		t.Fatalf("%v: %v", c.Hash, err)
	}
	p.Apply(&c, chunk)
}

// dump is the page in the form of scene() in testdata/gen.mjs: values, and the ids of conflicting writes.
func dump(p *Page) string {
	var out []string
	opids := func(l []opid) string {
		if len(l) < 2 {
			return ""
		}
		var s []string
		for _, o := range l {
			s = append(s, fmt.Sprintf("%d@%x", o.ctr, p.actors[o.actor].id))
		}
		slices.Sort(s)
		return strings.Join(s, ",")
	}
	conflicts := func(e *element, prop uint16) string {
		var l []opid
		for _, w := range e.live {
			if w.prop == prop {
				l = append(l, w.id())
			}
		}
		return opids(l)
	}
	var heads []string
	for _, h := range p.Heads() {
		heads = append(heads, h.String())
	}
	out = append(out, "heads "+strings.Join(heads, ","))
	for _, x := range p.Scene() {
		n := p.byID[x.ID]
		out = append(out, x.ID+" "+opids(p.slots[n].makes))
		for _, y := range x.Properties {
			out = append(out, fmt.Sprintf("%s %s %s %s", x.ID, y.Name, show(y.Name, y.Value), conflicts(p.winner(n), byProperty[y.Name])))
		}
	}
	for id, v := range p.Files() {
		out = append(out, fmt.Sprintf("file %s str:%x %s", id, v, conflicts(&p.files, p.byFile[id])))
	}
	slices.Sort(out)
	return strings.Join(out, "\n") + "\n"
}

func show(name string, v Value) string {
	float := func(f float64) string { return fmt.Sprintf("n:%x", math.Float64bits(f)) }
	switch x := v.Any().(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(x)
	case int64:
		return float(float64(x))
	case float64:
		return float(x)
	case []byte:
		return "bytes:" + hex.EncodeToString(x)
	case string:
		if name == "originalText" {
			return "text:" + hex.EncodeToString([]byte(x))
		}
		return "str:" + hex.EncodeToString([]byte(x))
	}
	return "?"
}

func TestPageEngine(t *testing.T) {
	for _, name := range []string{"page", "text"} {
		t.Run("CH15 values, conflicts and heads are the engine's: "+name, func(t *testing.T) {
			changes := corpus(t, name)
			p, done := NewPage(), 0
			for block := range strings.SplitSeq(string(unzip(t, name+".scenes.gz")), "after ") {
				if block == "" {
					continue
				}
				head, want, _ := strings.Cut(block, "\n")
				var n int
				if _, err := fmt.Sscan(head, &n); err != nil {
					t.Fatal(err)
				}
				for ; done < n; done++ {
					take(t, p, changes[done])
				}
				compareLines(t, dump(p), want)
			}
			inOrder(t, p)
			if done != len(changes) {
				t.Errorf("compared up to change %d of %d", done, len(changes))
			}
		})
	}
}

func compareLines(t *testing.T, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	if slices.Equal(g, w) {
		return
	}
	for _, x := range w {
		if !slices.Contains(g, x) {
			t.Errorf("missing: %.200s", x)
		}
	}
	for _, x := range g {
		if !slices.Contains(w, x) {
			t.Errorf("extra: %.200s", x)
		}
	}
}

func TestPageOrder(t *testing.T) {
	t.Run("CH15 any order that respects dependencies gives the same page", func(t *testing.T) {
		changes := corpus(t, "page")
		p := NewPage()
		for _, b := range changes {
			take(t, p, b)
		}
		// newest first, holding what is not ready: another topological order
		q := NewPage()
		left := slices.Clone(changes)
		for len(left) > 0 {
			n := len(left)
			for i := len(left) - 1; i >= 0; i-- {
				var c change.Change
				if err := c.Parse(left[i], nil); err != nil {
					t.Fatal(err)
				}
				switch err := q.Check(&c); err {
				case nil:
					q.Apply(&c, left[i])
					left = slices.Delete(left, i, i+1)
				case ErrSeqGap, ErrDepUnknown:
				default:
					t.Fatal(err)
				}
			}
			if len(left) == n {
				t.Fatal("no change is ready")
			}
		}
		if got, want := dump(q), dump(p); got != want {
			compareLines(t, got, want)
		}
		if p.Visible() != q.Visible() || p.Changes() != q.Changes() {
			t.Errorf("visible %d and %d, changes %d and %d", p.Visible(), q.Visible(), p.Changes(), q.Changes())
		}
	})
}

func BenchmarkPage(b *testing.B) {
	for _, name := range []string{"page", "text"} {
		changes := corpus(b, name)
		var c change.Change
		b.Run(name+"/parse", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := c.Parse(changes[i%len(changes)], nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/parse+decode", func(b *testing.B) {
			b.ReportAllocs()
			var d change.Decoder
			var op change.Op
			for i := 0; b.Loop(); i++ {
				if err := c.Parse(changes[i%len(changes)], nil); err != nil {
					b.Fatal(err)
				}
				d.Reset(&c)
				for d.Next(&op) {
				}
			}
		})
		b.Run(name+"/parse+check+apply", func(b *testing.B) {
			b.ReportAllocs()
			p := NewPage()
			for i := 0; b.Loop(); i++ {
				x := changes[i%len(changes)]
				if i%len(changes) == 0 {
					p = NewPage()
				}
				if err := c.Parse(x, nil); err != nil {
					b.Fatal(err)
				}
				if err := p.Check(&c); err != nil {
					b.Fatal(err)
				}
				p.Apply(&c, x)
			}
		})
	}
}

func TestSceneJSON(t *testing.T) {
	t.Run("CH17 bytes as base64, text as a string, names in order", func(t *testing.T) {
		x := Element{ID: "a\"b", Properties: []Property{
			{"isDeleted", Value{Kind: change.True}},
			{"link", Value{}},
			{"originalText", Value{Kind: change.String, Str: "é\n"}},
			{"points", Value{Kind: change.Bytes, Str: "\x01\xff"}},
			{"x", Value{Kind: change.Int, Num: 1<<64 - 5}},
			{"y", Value{Kind: change.Float, Num: math.Float64bits(0.5)}},
		}}
		b, err := x.MarshalJSON()
		if want := `{"id":"a\"b","isDeleted":true,"link":null,"originalText":"é\n","points":"Af8=","x":-5,"y":0.5}`; err != nil || !bytes.Equal(b, []byte(want)) {
			t.Errorf("got %s (%v), want %s", b, err, want)
		}
		if v, ok := x.Get("x"); v != int64(-5) || !ok {
			t.Errorf("got %v %v", v, ok)
		}
	})
}
