package schema

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
)

// writer goes on with changes of one actor.
type writer struct {
	t     testing.TB
	p     *Page
	seq   uint64
	start uint64
	dep   change.Hash
}

// write seals the next change and takes it in, or answers why not.
func (w *writer) write(ops ...change.Op) error {
	w.t.Helper()
	b := seal(bob, w.seq+1, w.start, []change.Hash{w.dep}, ops...)
	var c change.Change
	if err := c.Parse(b, nil); err != nil {
		return err
	}
	if err := w.p.Check(&c); err != nil {
		return err
	}
	w.p.Apply(&c, b)
	w.seq, w.start, w.dep = w.seq+1, w.start+uint64(c.Count), c.Hash
	return nil
}

func newWriter(t testing.TB) *writer {
	p, _, head := board(t)
	return &writer{t: t, p: p, start: next, dep: head}
}

func TestPageLimits(t *testing.T) {
	t.Run("CH14 a page shows at most 5,000 elements", func(t *testing.T) {
		w := newWriter(t)
		for n := 2; n < MaxElements; {
			var ops []change.Op
			for ; n < MaxElements && len(ops) < 1000; n++ {
				ops = append(ops, makes(change.MakeMap, elements, fmt.Sprintf("n%d", n)))
			}
			if err := w.write(ops...); err != nil {
				t.Fatal(err)
			}
		}
		if w.p.Visible() != MaxElements {
			t.Fatalf("%d visible", w.p.Visible())
		}
		if err := w.write(makes(change.MakeMap, elements, "more")); err != ErrPageFull || change.Code(err) != "too_large" {
			t.Errorf("one more: %v", err)
		}
		if err := w.write(makes(change.MakeMap, elements, "n7", id(next+5, byMe))); err != nil {
			t.Errorf("one replaced: %v", err)
		}
		gone := change.Op{Obj: e1, Key: []byte("isDeleted"), Action: change.Put, Kind: change.True}
		if err := w.write(gone); err != nil {
			t.Error(err)
		}
		if err := w.write(makes(change.MakeMap, elements, "more")); err != nil {
			t.Errorf("after one was deleted: %v", err)
		}
		back := gone
		back.Kind, back.Pred = change.False, []change.ID{id(int(w.start)-2, byMe)}
		if err := w.write(back); err != ErrPageFull {
			t.Errorf("the deleted one brought back: %v", err)
		}
	})
	t.Run("CH14 a text has at most 20,000 characters", func(t *testing.T) {
		w := newWriter(t)
		last := id(opC, byAda)
		for n := 3; n < MaxText; {
			var ops []change.Op
			for ; n < MaxText && len(ops) < 4000; n++ {
				ops = append(ops, insert(e1Text, last, "x"))
				last = id(int(w.start)+len(ops)-1, byMe)
			}
			if err := w.write(ops...); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.write(insert(e1Text, last, "y")); err != ErrTextTooLarge {
			t.Errorf("one more: %v", err)
		}
		if err := w.write(cut(e1Text, id(opA, byAda)), insert(e1Text, last, "y")); err != nil {
			t.Errorf("one for another: %v", err)
		}
		// deleting again what is deleted makes no room
		if err := w.write(cut(e1Text, id(opA, byAda)), insert(e1Text, last, "z")); err != ErrTextTooLarge {
			t.Errorf("one for none: %v", err)
		}
		s := w.p.Scene()
		if v, _ := s[0].Get("originalText"); v != "bc"+strings.Repeat("x", MaxText-3)+"y" {
			t.Errorf("text of %d bytes", len(v.(string)))
		}
	})
	t.Run("CH14 characters ever inserted into one text are bounded", func(t *testing.T) {
		w := newWriter(t)
		var err error
		for err == nil {
			var ins, del []change.Op
			for i := range 4000 {
				after := change.ID{}
				if i > 0 {
					after = id(int(w.start)+i-1, byMe)
				}
				ins = append(ins, insert(e1Text, after, "x"))
				del = append(del, cut(e1Text, id(int(w.start)+i, byMe)))
			}
			if err = w.write(ins...); err == nil {
				err = w.write(del...)
			}
		}
		if err != ErrTextTooLarge || w.p.chars < MaxTextOps-4000 || w.p.texts[0].live != 3 {
			t.Errorf("%v after %d, %d live", err, w.p.chars, w.p.texts[0].live)
		}
	})
	t.Run("CH14 files are bounded", func(t *testing.T) {
		w := newWriter(t)
		for n := 1; n < MaxFiles; {
			var ops []change.Op
			for ; n < MaxFiles && len(ops) < 1000; n++ {
				ops = append(ops, putString(files, fmt.Sprintf("n%d", n), ""))
			}
			if err := w.write(ops...); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.write(putString(files, "more", "")); err != ErrPageFull {
			t.Errorf("one more: %v", err)
		}
	})
	t.Run("CH14 what was ever made on a page is bounded", func(t *testing.T) {
		w := newWriter(t)
		w.p.chars = MaxPageText // as if
		if err := w.write(insert(e1Text, change.ID{}, "x")); err != ErrTextTooLarge {
			t.Errorf("one more character: %v", err)
		}
		w = newWriter(t)
		w.p.texts = make([]textObject, MaxObjects-len(w.p.els)) // as if
		if err := w.write(makes(change.MakeMap, elements, "n")); err != ErrPageFull {
			t.Errorf("one more element: %v", err)
		}
		if err := w.write(makes(change.MakeText, e1, "originalText", e1Text)); err != ErrPageFull {
			t.Errorf("one more text: %v", err)
		}
	})
	t.Run("CH11 conflicts cannot be piled up by one actor", func(t *testing.T) {
		w := newWriter(t)
		for range 50 {
			_ = w.write(put(e1, "x", 1, id(opX, byAda))) // names ada's old value again and again, not its own
			_ = w.write(makes(change.MakeMap, elements, "e1", e1))
		}
		if n, m := len(w.p.els[0].live), len(w.p.slots[0].makes); n > 5 || m > 2 {
			t.Errorf("%d live writes, %d makes", n, m)
		}
	})
}

func TestProperties(t *testing.T) {
	num := func(v float64) value { return value{change.Float, math.Float64bits(v), nil} }
	whole := func(v int64) value { return value{change.Int, uint64(v), nil} }
	s := func(v string) value { return value{change.String, 0, []byte(v)} }
	b := func(v ...byte) value { return value{change.Bytes, 0, v} }
	none, yes := value{k: change.Null}, value{k: change.True}
	cases := []struct {
		name    string
		allowed []value
		refused []value
	}{
		{"type", []value{s("rectangle"), s("frame"), s("freedraw")}, []value{s("embeddable"), s("iframe"), s("magicframe"), s("selection"), s(""), none}},
		{"x", []value{whole(-5), num(-5), num(0.25), whole(1e9)}, []value{s("1"), none, num(2e9), whole(-2e9), yes}},
		{"opacity", []value{whole(0), whole(100), num(12.5)}, []value{whole(101), whole(-1)}},
		{"seed", []value{whole(1 << 31), num(7)}, []value{num(7.5), whole(-1)}},
		{"fontFamily", []value{whole(5), num(9)}, []value{whole(4), whole(10), num(5.5)}},
		{"strokeColor", []value{s("#1e1e1e"), s("transparent"), s("rgba(1, 2, 3, .5)"), s("hsl(1deg 2% 3% / 4)")}, []value{s(""), s("url(\"x\")"), s("a;b"), s(strings.Repeat("a", 65)), none}},
		{"isDeleted", []value{yes, {k: change.False}}, []value{none, whole(1)}},
		{"groupIds", []value{s("\x00[]"), s("\x00[\"g\"]")}, []value{s("[]"), s("\x00{}"), s("\x00["), s("\x00"), s(""), none}},
		{"roundness", []value{none, s("\x00{\"type\":3}")}, []value{s("\x00[]"), s("\x00{"), s("round")}},
		{"customData", []value{none, s("\x00{}")}, []value{s("\x00{\"a\":\"" + strings.Repeat("x", 4096) + "\"}")}},
		{"index", []value{none, s("a0"), s("Zz9V")}, []value{s(""), s("a 0"), s("a-0"), s("é")}},
		{"frameId", []value{none, s("abc-_:.")}, []value{s(""), s("a b"), s("__proto__"), s(strings.Repeat("x", 65))}},
		{
			"link",
			[]value{none, s("https://example.org/?a=b#c"), s("https://example.org/Größe"), s("mailto:ada@example.org"), s("https://matrix.to/#/@ada:example.org")},
			[]value{s("javascript:alert(1)"), s("http://example.org"), s("data:text/html,x"), s(" https://example.org"), s("HTTPS://example.org"), s("https://a\nb"), s(""), s("https://" + strings.Repeat("x", 2048))},
		},
		{"points", []value{b(0, 0), b(0x80, 1, 4), b(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0)}, []value{b(), b(1), b(0x80), b(1, 0x80), b(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0), s("ab"), none}},
		{"pressures", []value{b(), b(1, 255)}, []value{s(""), none}},
		{"text", []value{s(""), s("é\n")}, []value{s(strings.Repeat("x", MaxText+1)), s(strings.Repeat("é", 15_501)), none}},
		{"name", []value{none, s("")}, []value{s(strings.Repeat("x", 1025)), whole(1)}},
		{"startArrowhead", []value{none, s("crowfoot_one_or_many")}, []value{s("none"), s("")}},
		{"status", []value{s("pending")}, []value{s("PENDING"), none}},
		{"fixedSegments", []value{none, s("\x00[]")}, []value{s("\x00{}")}},
		{"startIsSpecial", []value{none, yes}, []value{whole(0)}},
	}
	for _, x := range cases {
		t.Run("CH13 "+x.name, func(t *testing.T) {
			r := &table[byProperty[x.name]]
			for _, v := range x.allowed {
				if err := r.accepts(v.k, v.num, v.b); err != nil {
					t.Errorf("%v %q: %v", v.num, v.b, err)
				}
			}
			for _, v := range x.refused {
				if err := r.accepts(v.k, v.num, v.b); err == nil || change.Code(err) == "" {
					t.Errorf("%v %.100q was allowed (%v)", v.num, v.b, err)
				}
			}
		})
	}
	t.Run("CH13 the table has every stored property once and fits the index", func(t *testing.T) {
		for i, r := range table {
			if i > 0 && table[i-1].name >= r.name || r.kinds == 0 {
				t.Errorf("%s", r.name)
			}
			if (r.kinds&(kString|kBytes) != 0) != (r.bytes > 0) || r.kinds&kNumber != 0 && r.min >= r.max {
				t.Errorf("%s has no limit", r.name)
			}
		}
		if len(table) > 64 || len(table) != 47 {
			t.Errorf("%d properties", len(table))
		}
	})
}

type value struct {
	k   change.Kind
	num uint64
	b   []byte
}
