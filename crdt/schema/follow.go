package schema

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/educationpub/lectern/crdt/change"
)

// Follow makes the named parts of p, a carried page, show what they show on `of`, its archive (SPEC EP5): it writes the changes for that under a server's
// actor, applies them to p, and answers them in order, each within change.DefaultLimits; none where nothing differs. The stamp must be set before.
// Every change builds on p's heads only and replaces only what stands on p, so it is good on any page that holds p's changes and others.
// After an error, which is a bug of this package, p holds a part of it and is to be dropped.
func (p *Page) Follow(of *Page, parts Touched, actor [16]byte) ([][]byte, error) {
	f := follower{p: p, of: of, actor: actor, me: p.me(actor[:]), start: p.next()}
	for _, id := range slices.Sorted(maps.Keys(parts.Elements)) {
		f.element(id)
	}
	for _, id := range slices.Sorted(maps.Keys(parts.Files)) {
		f.file(id)
	}
	if len(f.ops) == 0 {
		return nil, nil
	}
	if err := f.write(p.actorTable(actor[:]), f.ops); err != nil {
		return nil, fmt.Errorf("carry: %w", err)
	}
	return f.chunks, nil
}

// next is the number of the first operation of a change that builds on all heads.
func (p *Page) next() uint32 {
	n := uint32(0)
	for h := range p.heads {
		n = max(n, p.changes[h])
	}
	return n + 1
}

// me is an author's number: the one it has, or the one it gets with its first change.
func (p *Page) me(actor []byte) uint16 {
	if me, ok := p.byActor[string(actor)]; ok {
		return me
	}
	return uint16(len(p.actors))
}

// actorTable is an author, then every actor of the page.
func (p *Page) actorTable(author []byte) [][]byte {
	list := append(make([][]byte, 0, 1+len(p.actors)), author)
	for i := range p.actors {
		list = append(list, []byte(p.actors[i].id))
	}
	return list
}

// follower gathers the operations of one Follow. As one sequence of operations they may be cut into changes anywhere: their numbers go on.
type follower struct {
	p, of  *Page
	actor  [16]byte
	me     uint16 // p's number of the actor, now or soon
	start  uint32 // of the first operation
	ops    []change.Op
	chunks [][]byte
}

func (f *follower) add(op change.Op) change.ID {
	f.ops = append(f.ops, op)
	return change.ID{Ctr: f.start + uint32(len(f.ops)) - 1}
}

// id names an operation of the past: actor 0 is the author, the others are 1 + their number on p.
func (f *follower) id(o opid) change.ID {
	if o.actor == f.me {
		return change.ID{Ctr: o.ctr}
	}
	return change.ID{Ctr: o.ctr, Actor: uint32(o.actor) + 1}
}

// preds are the live writes of a property.
func (f *follower) preds(e *element, prop uint16) (list []change.ID) {
	var live []opid
	for _, w := range e.live {
		if w.prop == prop {
			live = append(live, w.id())
		}
	}
	slices.SortFunc(live, f.p.compare)
	for _, o := range live {
		list = append(list, f.id(o))
	}
	return list
}

// element: an element that is deleted, or marked as deleted, counts as one that is not there.
func (f *follower) element(id string) {
	have, shown := f.p.find(id)
	want, wanted := f.of.find(id)
	switch {
	case !wanted && !shown:
	case !wanted:
		f.put(f.id(have.made), have, propIsDeleted, &Value{Kind: change.True})
	case have == nil:
		made := f.add(change.Op{Obj: f.id(opid{ctr: origin.elements}), Key: []byte(id), Action: change.MakeMap})
		f.properties(made, &element{}, want)
	default:
		f.properties(f.id(have.made), have, want)
	}
}

// find is the winning element of an id, nil if there is none, and whether it is shown.
func (p *Page) find(id string) (*element, bool) {
	n, ok := p.byID[id]
	if !ok {
		return nil, false
	}
	return p.winner(n), p.slots[n].shown
}

func (f *follower) properties(obj change.ID, have, want *element) {
	for i := range table {
		prop := uint16(i)
		a, b := f.p.win(have, prop), f.of.win(want, prop)
		switch {
		case a == nil && b == nil:
		case b == nil:
			f.add(change.Op{Obj: obj, Key: table[prop].key, Action: change.Delete, Pred: f.preds(have, prop)})
		case b.text != 0:
			f.text(obj, prop, a, f.of.content(&f.of.texts[b.text-1]))
		case a == nil || a.Kind != b.Kind || a.Num != b.Num || a.Str != b.Str:
			f.put(obj, have, prop, b)
		}
	}
}

func (f *follower) put(obj change.ID, have *element, prop uint16, v *Value) {
	f.add(change.Op{Obj: obj, Key: table[prop].key, Action: change.Put, Kind: v.Kind, Num: v.Num, Raw: []byte(v.Str), Pred: f.preds(have, prop)})
}

func (f *follower) file(id string) {
	var have, want *Value
	var preds []change.ID
	if n, ok := f.p.byFile[id]; ok {
		have, preds = f.p.win(&f.p.files, n), f.preds(&f.p.files, n)
	}
	if n, ok := f.of.byFile[id]; ok {
		want = f.of.win(&f.of.files, n)
	}
	obj := f.id(opid{ctr: origin.files})
	switch {
	case want != nil && (have == nil || have.Str != want.Str):
		f.add(change.Op{Obj: obj, Key: []byte(id), Action: change.Put, Kind: change.String, Raw: []byte(want.Str), Pred: preds})
	case want == nil && have != nil:
		f.add(change.Op{Obj: obj, Key: []byte(id), Action: change.Delete, Pred: preds})
	}
}

// text splices the difference: what is between the common beginning and the common end, by characters.
func (f *follower) text(obj change.ID, prop uint16, have *Value, want string) {
	if have == nil {
		insertText(f.add, f.add(change.Op{Obj: obj, Key: table[prop].key, Action: change.MakeText}), change.ID{}, want)
		return
	}
	t := &f.p.texts[have.text-1]
	if f.p.content(t) == want {
		return
	}
	order := f.p.order(t)
	r := func(i int) rune { return t.chars[order[i]].r }
	from, to := 0, len(order) // what goes
	for from < to && len(want) > 0 {
		x, n := utf8.DecodeRuneInString(want)
		if x != r(from) {
			break
		}
		from, want = from+1, want[n:]
	}
	for from < to && len(want) > 0 {
		x, n := utf8.DecodeLastRuneInString(want)
		if x != r(to-1) {
			break
		}
		to, want = to-1, want[:len(want)-n]
	}
	name := func(i int) change.ID { c := t.chars[order[i]]; return f.id(opid{c.ctr, c.actor}) }
	text := f.id(t.made)
	var after change.ID
	if from > 0 {
		after = name(from - 1)
	}
	insertText(f.add, text, after, want)
	for i := from; i < to; i++ {
		f.add(change.Op{Obj: text, Elem: name(i), IsElem: true, Action: change.Delete, Pred: []change.ID{name(i)}})
	}
}

// write makes changes of operations, in halves if one is too large.
func (f *follower) write(actors [][]byte, ops []change.Op) error {
	d := change.Draft{Deps: f.p.Heads(), Actors: actors, Seq: f.p.Seq(f.actor[:]) + 1, StartOp: uint64(f.p.next()), Ops: ops}
	d.Trim()
	err := f.take(d.Encode())
	if len(ops) < 2 || !errors.Is(err, change.ErrTooManyOps) && !errors.Is(err, change.ErrTooLarge) {
		return err
	}
	if err := f.write(d.Actors, ops[:len(ops)/2]); err != nil {
		return err
	}
	return f.write(d.Actors, ops[len(ops)/2:])
}

// take applies a change to the carried page, judged as everybody's.
func (f *follower) take(chunk []byte) error {
	var c change.Change
	if err := c.Parse(chunk, nil); err != nil {
		return err
	}
	if err := f.p.Check(&c); err != nil {
		return err
	}
	f.p.Apply(&c, chunk)
	f.chunks = append(f.chunks, chunk)
	return nil
}
