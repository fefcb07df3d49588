package schema

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
)

// A board to be hostile to: element e1 {type, x, y, originalText "abc"}, element e2 {x}, file f1, all by ada in one change.
// Operations are numbered from 4, after the genesis.
const (
	opE1 = 4 + iota
	opType
	opX
	opY
	opText
	opA // the characters
	opB
	opC
	opE2
	opX2
	opF1
	next // first operation of the next change
)

var (
	server = make([]byte, 16) // author of the genesis
	ada    = []byte("ada-ada-ada-ada-")
	bob    = []byte("bob-bob-bob-bob-")
	cleo   = []byte("cleo-cleo-cleo--")
)

// Actors of a change by bob, as indexes: 0 bob, 1 the genesis', 2 ada, 3 cleo.
const (
	byMe = iota
	byServer
	byAda
	byCleo
)

func id(ctr int, actor int) change.ID { return change.ID{Ctr: uint32(ctr), Actor: uint32(actor)} }

var (
	elements = id(2, byServer)
	files    = id(3, byServer)
	e1       = id(opE1, byAda)
	e1Text   = id(opText, byAda)
)

func put(obj change.ID, key string, v int64, pred ...change.ID) change.Op {
	return change.Op{Obj: obj, Key: []byte(key), Action: change.Put, Kind: change.Int, Num: uint64(v), Pred: pred}
}

func putString(obj change.ID, key, v string, pred ...change.ID) change.Op {
	return change.Op{Obj: obj, Key: []byte(key), Action: change.Put, Kind: change.String, Raw: []byte(v), Pred: pred}
}

func makes(a change.Action, obj change.ID, key string, pred ...change.ID) change.Op {
	return change.Op{Obj: obj, Key: []byte(key), Action: a, Pred: pred}
}

func del(obj change.ID, key string, pred ...change.ID) change.Op {
	return makes(change.Delete, obj, key, pred...)
}

func insert(obj, after change.ID, v string) change.Op {
	return change.Op{Obj: obj, Elem: after, IsElem: true, Insert: true, Action: change.Put, Kind: change.String, Raw: []byte(v)}
}

func cut(obj, elem change.ID) change.Op {
	return change.Op{Obj: obj, Elem: elem, IsElem: true, Action: change.Delete, Pred: []change.ID{elem}}
}

// seal drops actors that no operation names, numbers the others as the wire wants them, and encodes.
func seal(author []byte, seq, start uint64, deps []change.Hash, ops ...change.Op) []byte {
	all := [][]byte{author, server, ada, cleo}
	used := map[uint32]bool{}
	each := func(f func(*change.ID)) {
		for i := range ops {
			ops[i].Pred = slices.Clone(ops[i].Pred)
			f(&ops[i].Obj)
			f(&ops[i].Elem)
			for j := range ops[i].Pred {
				f(&ops[i].Pred[j])
			}
		}
	}
	ops = slices.Clone(ops)
	each(func(i *change.ID) { used[i.Actor] = true })
	c := change.Draft{Seq: seq, StartOp: start, Deps: deps, Actors: [][]byte{author}}
	var others [][]byte
	for i := 1; i < len(all); i++ {
		if used[uint32(i)] {
			others = append(others, all[i])
		}
	}
	slices.SortFunc(others, bytes.Compare)
	c.Actors = append(c.Actors, others...)
	slices.SortFunc(c.Deps, func(a, b change.Hash) int { return bytes.Compare(a[:], b[:]) })
	each(func(i *change.ID) {
		i.Actor = uint32(slices.IndexFunc(c.Actors, func(a []byte) bool { return bytes.Equal(a, all[i.Actor]) }))
	})
	c.Ops = ops
	return c.Encode()
}

func hash(t testing.TB, chunk []byte) change.Hash {
	t.Helper()
	var c change.Change
	if err := c.Parse(chunk, nil); err != nil {
		t.Fatal(err)
	}
	return c.Hash
}

// board is the page above: its changes, and the page itself.
func board(t testing.TB) (*Page, [][]byte, change.Hash) {
	t.Helper()
	me := func(ctr int) change.ID { return id(ctr, byMe) }
	base := seal(ada, 1, 4, []change.Hash{hash(t, GenesisChange(KindWhiteboard))},
		makes(change.MakeMap, elements, "e1"), putString(me(opE1), "type", "text"), put(me(opE1), "x", 1), put(me(opE1), "y", 2),
		makes(change.MakeText, me(opE1), "originalText"), insert(me(opText), change.ID{}, "a"), insert(me(opText), me(opA), "b"), insert(me(opText), me(opB), "c"),
		makes(change.MakeMap, elements, "e2"), put(me(opE2), "x", 5), putString(files, "f1", "mxc://example.org/1"))
	p := NewPage()
	take(t, p, base)
	return p, [][]byte{base}, hash(t, base)
}

// try parses and checks.
func try(p *Page, chunk []byte) error {
	var c change.Change
	if err := c.Parse(chunk, nil); err != nil {
		return err
	}
	return p.Check(&c)
}

type form struct {
	name string
	want error // nil: allowed
	ops  []change.Op
}

func forms() []form {
	x, y, x2, text := id(opX, byAda), id(opY, byAda), id(opX2, byAda), e1Text
	a, b := id(opA, byAda), id(opB, byAda)
	l := func(ops ...change.Op) []change.Op { return ops }
	with := func(op change.Op, f func(*change.Op)) []change.Op { f(&op); return l(op) }
	value := func(k change.Kind, n uint64) change.Op {
		return change.Op{Obj: e1, Key: []byte("x"), Action: change.Put, Kind: k, Num: n, Pred: []change.ID{x}}
	}
	return []form{
		{"put", nil, l(put(e1, "x", 9, x))},
		{"put that misses another's write", nil, l(put(e1, "x", 9))},
		{"two puts, the second over the first", nil, l(put(e1, "x", 9, x), put(e1, "x", 10, id(next, byMe)))},
		{"delete of a property", nil, l(del(e1, "x", x))},
		{"delete, then put", nil, l(del(e1, "x", x), put(e1, "x", 3))},
		{"delete of an element", nil, l(del(elements, "e1", e1))},
		{"element over another", nil, l(makes(change.MakeMap, elements, "e1", e1), put(id(next, byMe), "x", 1))},
		{"file over another", nil, l(putString(files, "f1", "mxc://example.org/2", id(opF1, byAda)))},
		{"insert at the beginning", nil, l(insert(text, change.ID{}, "é"))},
		{"insert, go on, delete again", nil, l(insert(text, a, "x"), insert(text, id(next, byMe), "😀"), cut(text, id(next, byMe)))},
		{"insert of U+0000, and delete it", nil, l(insert(text, a, "\x00"), cut(text, id(next, byMe)))},
		{"insert of U+0000", nil, l(insert(text, a, "\x00"))},
		{"delete of a character", nil, l(cut(text, a))},
		{"text over another", nil, l(makes(change.MakeText, e1, "originalText", text), insert(id(next, byMe), change.ID{}, "n"))},

		{"predecessor of another key", ErrPred, l(put(e1, "x", 9, x, y))},
		{"predecessor of another object", ErrPred, l(put(e1, "x", 9, x, x2))},
		{"predecessor is the elements map", ErrPred, l(put(e1, "x", 9, elements))},
		{"delete with the elements map as predecessor", ErrPred, l(del(e1, "x", elements))},
		{"predecessor is the element's make", ErrPred, l(put(e1, "x", 9, e1))},
		{"predecessor that does not exist", change.ErrRef, l(put(e1, "x", 9, id(7777, byAda)))},
		{"predecessor of its own before its first change", ErrPred, l(put(e1, "x", 9, id(opX, byMe)))},
		{"object of its own before its first change", ErrObject, l(put(id(opE1, byMe), "x", 9))},
		{"character of its own before its first change", ErrPred, l(insert(text, id(opA, byMe), "q"))},
		{"delete of a character of its own before its first change", ErrPred, l(cut(text, id(opA, byMe)))},
		{"predecessor with a number of this change by another actor", change.ErrRef, l(put(e1, "x", 9, x, id(next, byAda)))},
		{"increment of nothing", ErrShape, with(put(e1, "x", 3), func(o *change.Op) { o.Action = change.Increment })},
		{"predecessor between changes", ErrPred, l(put(e1, "x", 9, id(1, byAda)))},
		{"predecessor is a delete of this change", ErrPred, l(del(e1, "x", x), put(e1, "x", 9, id(next, byMe)))},
		{"second put leaves the first standing", ErrPred, l(put(e1, "x", 9, x), put(e1, "x", 10, x))},
		{"second put names nothing", ErrPred, l(put(e1, "x", 9, x), put(e1, "x", 10))},
		{"second element leaves the first standing", ErrPred, l(makes(change.MakeMap, elements, "n"), makes(change.MakeMap, elements, "n"))},
		{"delete of nothing", ErrShape, l(del(e1, "x"))},
		{"insert flag on a property", ErrShape, with(put(e1, "x", 9, x), func(o *change.Op) { o.Insert = true })},
		{"expand on a property", ErrShape, with(put(e1, "x", 9, x), func(o *change.Op) { o.Expand = true })},
		{"mark name on a property", ErrShape, with(put(e1, "x", 9, x), func(o *change.Op) { o.Mark = []byte("bold") })},
		{"mark on a text", ErrShape, with(insert(text, change.ID{}, ""), func(o *change.Op) { o.Action, o.Kind, o.Mark = change.Mark, change.True, []byte("bold") })},
		{"increment of a number", ErrShape, with(put(e1, "x", 3, x), func(o *change.Op) { o.Action = change.Increment })},
		{"list as a property", ErrShape, l(makes(change.MakeList, e1, "x", x))},
		{"map as a property", ErrShape, l(makes(change.MakeMap, e1, "x", x))},
		{"table as an element", ErrShape, l(makes(change.MakeTable, elements, "t"))},
		{"text as a plain property", ErrKind, l(makes(change.MakeText, e1, "text"))},
		{"plain value as originalText", ErrKind, l(putString(e1, "originalText", "x", text))},
		{"put in elements", ErrShape, l(put(elements, "e1", 1, e1))},
		{"map in files", ErrShape, l(makes(change.MakeMap, files, "f2"))},
		{"number in files", ErrKind, l(put(files, "f2", 1))},
		{"scalar over elements", ErrShape, l(put(change.ID{}, "elements", 1, elements))},
		{"new map over elements", ErrShape, l(makes(change.MakeMap, change.ID{}, "elements", elements))},
		{"another root key", ErrShape, l(put(change.ID{}, "z", 1))},
		{"control of v", ErrShape, l(put(change.ID{}, "v", 2, id(1, byServer)))},
		{"object that does not exist", change.ErrRef, l(put(id(99, byAda), "x", 9))},
		{"object that is a scalar", ErrObject, l(put(x, "x", 9))},
		{"object made later in the change", change.ErrRef, l(put(id(next+1, byMe), "x", 9), makes(change.MakeMap, elements, "e9"))},
		{"object that is a put of this change", ErrObject, l(put(e1, "x", 9, x), put(id(next, byMe), "x", 9))},
		{"key in a text", ErrShape, l(put(text, "x", 9))},
		{"element in a map", ErrShape, l(insert(e1, change.ID{}, "q"))},
		{"element key in elements", ErrShape, l(insert(elements, change.ID{}, "q"))},
		{"insert after an unknown character", change.ErrRef, l(insert(text, id(777, byAda), "q"))},
		{"insert after what is no character", ErrPred, l(insert(text, x, "q"))},
		{"insert after the text itself", ErrPred, l(insert(text, text, "q"))},
		{"insert after a deletion of this change", ErrPred, l(cut(text, a), insert(text, id(next, byMe), "q"))},
		{"update of a character", ErrShape, with(insert(text, a, "q"), func(o *change.Op) { o.Insert, o.Pred = false, []change.ID{a} })},
		{"insert with a predecessor", ErrShape, with(insert(text, a, "q"), func(o *change.Op) { o.Pred = []change.ID{a} })},
		{"two characters in one", ErrValue, l(insert(text, a, "qq"))},
		{"no character", ErrValue, l(insert(text, a, ""))},
		{"number in a text", ErrShape, with(insert(text, a, ""), func(o *change.Op) { o.Kind, o.Num = change.Int, 4 })},
		{"map inserted in a text", ErrShape, with(insert(text, a, ""), func(o *change.Op) { o.Action, o.Kind = change.MakeMap, change.Null })},
		{"delete of a character with another predecessor", ErrShape, with(cut(text, a), func(o *change.Op) { o.Pred = []change.ID{b} })},
		{"delete of a character with two predecessors", ErrShape, with(cut(text, a), func(o *change.Op) { o.Pred = []change.ID{a, b} })},
		{"delete of the head", ErrShape, with(cut(text, a), func(o *change.Op) { o.Elem = change.ID{} })},
		{"character deleted twice", ErrPred, l(cut(text, a), cut(text, a))},
		{"unknown property", ErrProperty, l(put(e1, "onclick", 1))},
		{"property that is not stored", ErrProperty, l(put(e1, "version", 1))},
		{"no key", ErrID, l(makes(change.MakeMap, elements, ""))},
		{"id of 65 bytes", ErrID, l(makes(change.MakeMap, elements, strings.Repeat("k", 65)))},
		{"id with a space", ErrID, l(makes(change.MakeMap, elements, "a b"))},
		{"id beyond ASCII", ErrID, l(makes(change.MakeMap, elements, "é"))},
		{"id of every object", ErrID, l(makes(change.MakeMap, elements, "__proto__"))},
		{"file id of every object", ErrID, l(putString(files, "constructor", "x"))},
		{"file value too long", ErrValueTooLarge, l(putString(files, "f2", strings.Repeat("x", MaxFileValue+1)))},
		{"uint", ErrKind, l(value(change.Uint, 5))},
		{"counter", ErrKind, l(value(change.Counter, 5))},
		{"time", ErrKind, l(value(change.Time, 5))},
		{"NaN", ErrValue, l(value(change.Float, math.Float64bits(math.NaN())))},
		{"infinity", ErrValue, l(value(change.Float, math.Float64bits(math.Inf(1))))},
		{"minus infinity", ErrValue, l(value(change.Float, math.Float64bits(math.Inf(-1))))},
		{"whole number of 2^53", ErrValue, l(value(change.Int, 1<<53))},
		{"type that is refused", ErrValue, l(putString(e1, "type", "iframe", id(opType, byAda)))},
	}
}

func TestPageHostile(t *testing.T) {
	p, _, head := board(t)
	before := fmt.Sprintf("%v %+v", dump(p), sizes(p))
	for _, x := range forms() {
		t.Run("CH11 "+x.name, func(t *testing.T) {
			chunk := seal(bob, 1, next, []change.Hash{head}, x.ops...)
			err := try(p, chunk)
			if !errors.Is(err, x.want) {
				t.Fatalf("got %v, want %v", err, x.want)
			}
			if x.want != nil {
				if change.Code(err) == "" {
					t.Errorf("no code for %v", err)
				}
				return
			}
			// what is allowed is also taken in, on a page of its own
			q, _, _ := board(t)
			take(t, q, chunk)
		})
	}
	t.Run("CH10 a check leaves no trace", func(t *testing.T) {
		if after := fmt.Sprintf("%v %+v", dump(p), sizes(p)); after != before {
			t.Errorf("before %s\nafter  %s", before, after)
		}
	})
}

// sizes counts everything a page keeps.
func sizes(p *Page) []int {
	l := []int{
		len(p.actors), len(p.byActor), len(p.changes), len(p.heads), len(p.objects), len(p.slots), len(p.byID), len(p.els), len(p.texts),
		len(p.files.live), len(p.fileIDs), len(p.byFile), p.visible, p.chars,
	}
	for i := range p.actors {
		l = append(l, int(p.actors[i].seq), int(p.actors[i].end), len(p.actors[i].spans), len(p.actors[i].regs))
	}
	for i := range p.els {
		l = append(l, len(p.els[i].live), len(p.els[i].vals))
	}
	for i := range p.texts {
		l = append(l, len(p.texts[i].chars), p.texts[i].live)
	}
	return l
}

func TestPageHeader(t *testing.T) {
	p, _, head := board(t)
	genesis := hash(t, GenesisChange(KindWhiteboard))
	deps := []change.Hash{head}
	x := put(e1, "x", 9, id(opX, byAda))
	unknown := change.Hash{1}
	short := change.Draft{Actors: [][]byte{[]byte("short")}, Seq: 1, StartOp: next, Deps: deps, Ops: []change.Op{makes(change.MakeMap, id(2, 1), "k")}}
	short.Actors = append(short.Actors, server)
	stranger := change.Draft{Actors: [][]byte{bob, []byte("stranger-strange")}, Seq: 1, StartOp: next, Deps: deps, Ops: []change.Op{put(id(4, 1), "x", 1)}}
	cases := []struct {
		name string
		want error
		b    []byte
	}{
		{"next in the sequence", nil, seal(bob, 1, next, deps, x)},
		{"gap in the sequence is to be held", ErrSeqGap, seal(bob, 2, next, deps, x)},
		{"gap in the sequence of an unknown actor is to be held", ErrSeqGap, seal(bob, 5, next, deps, x)},
		{"number used before", ErrSeqUsed, seal(ada, 1, next, deps, put(id(opE1, byMe), "x", 9, id(opX, byMe)))},
		{"unknown dependency is to be held", ErrDepUnknown, seal(bob, 1, next, []change.Hash{head, unknown}, x)},
		{"no dependency", ErrEmpty, seal(bob, 1, 1, nil, put(change.ID{}, "z", 1))},
		{"no operation", ErrEmpty, seal(bob, 1, next, deps)},
		{"first operation too high", ErrStartOp, seal(bob, 1, 4_000_000_000, deps, x)},
		{"first operation one too high", ErrStartOp, seal(bob, 1, next+1, deps, x)},
		{"first operation too low", ErrStartOp, seal(bob, 1, next-1, deps, x)},
		{"numbers of its own used again", ErrStartOp, seal(ada, 2, 4, []change.Hash{genesis}, makes(change.MakeMap, elements, "k"))},
		{"actor not 16 bytes", ErrActor, short.Encode()},
		{"unknown actor named", ErrActor, stranger.Encode()},
	}
	for _, x := range cases {
		t.Run("CH12 "+x.name, func(t *testing.T) {
			if err := try(p, x.b); err != x.want {
				t.Errorf("got %v, want %v itself", err, x.want)
			}
		})
	}
	t.Run("CH12 what was held goes in when the missing change has come", func(t *testing.T) {
		p, _, head := board(t)
		first := seal(bob, 1, next, []change.Hash{head}, x)
		second := seal(bob, 2, next+1, []change.Hash{hash(t, first)}, put(e1, "x", 10, id(next, byMe)))
		reply := seal(cleo, 1, next+1, []change.Hash{hash(t, first)}, put(e1, "y", 10, id(opY, byAda)))
		if err := try(p, second); err != ErrSeqGap {
			t.Error(err)
		}
		if err := try(p, reply); err != ErrDepUnknown {
			t.Error(err)
		}
		for _, b := range [][]byte{first, second, reply} {
			take(t, p, b)
		}
		if p.Seq(bob) != 2 || p.Seq(cleo) != 1 || p.Seq([]byte("nobody")) != 0 || !p.Has(hash(t, second)) || p.Has(unknown) || len(p.Heads()) != 2 {
			t.Errorf("seq %d and %d, %d heads", p.Seq(bob), p.Seq(cleo), len(p.Heads()))
		}
		if err := try(p, first); err != ErrSeqUsed {
			t.Error(err)
		}
	})
	t.Run("CH10 applying what was never good panics and touches nothing", func(t *testing.T) {
		p, _, head := board(t)
		before := fmt.Sprint(sizes(p))
		defer func() {
			if recover() == nil || fmt.Sprint(sizes(p)) != before {
				t.Error("no panic, or traces")
			}
		}()
		var c change.Change
		b := seal(bob, 1, next, []change.Hash{head}, put(e1, "nonsense", 1))
		if err := c.Parse(b, nil); err != nil {
			t.Fatal(err)
		}
		p.Apply(&c, b)
	})
}

func TestPageEffect(t *testing.T) {
	truth := func(obj change.ID, v bool, pred ...change.ID) change.Op {
		o := change.Op{Obj: obj, Key: []byte("isDeleted"), Action: change.Put, Kind: change.False, Pred: pred}
		if v {
			o.Kind = change.True
		}
		return o
	}
	cases := []struct {
		name string
		want Effect
		ops  []change.Op
	}{
		{"a new element", Effect{Ops: 1, Made: 1, Shown: 1}, []change.Op{makes(change.MakeMap, elements, "n")}},
		{"a new element already deleted", Effect{Ops: 2, Made: 1, Shown: 1, Erased: 1}, []change.Op{makes(change.MakeMap, elements, "n"), truth(id(next, byMe), true)}},
		{"deleted by flag", Effect{Ops: 1, Erased: 1}, []change.Op{truth(e1, true)}},
		{"flag written as it was", Effect{Ops: 1}, []change.Op{truth(e1, false)}},
		{"deleted and restored", Effect{Ops: 2, Erased: 1, Shown: 1}, []change.Op{truth(e1, true), truth(e1, false, id(next, byMe))}},
		{"deleted from the map", Effect{Ops: 1, Erased: 1}, []change.Op{del(elements, "e1", e1)}},
		{"replaced", Effect{Ops: 1, Made: 1}, []change.Op{makes(change.MakeMap, elements, "e1", e1)}},
		{"moved", Effect{Ops: 1}, []change.Op{put(e1, "x", 9, id(opX, byAda))}},
	}
	for _, x := range cases {
		t.Run("CH18 "+x.name, func(t *testing.T) {
			p, _, head := board(t)
			var c change.Change
			b := seal(bob, 1, next, []change.Hash{head}, x.ops...)
			if err := c.Parse(b, nil); err != nil {
				t.Fatal(err)
			}
			if err := p.Check(&c); err != nil {
				t.Fatal(err)
			}
			if got := p.Apply(&c, b); got != x.want {
				t.Errorf("got %+v, want %+v", got, x.want)
			}
			if want := 2 + x.want.Shown - x.want.Erased; p.Visible() != want {
				t.Errorf("%d visible, want %d", p.Visible(), want)
			}
		})
	}
}
