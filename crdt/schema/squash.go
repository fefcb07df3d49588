package schema

import (
	"slices"
	"strings"

	"github.com/educationpub/lectern/crdt/change"
)

// Still is what a page shows at one moment: every element that is not deleted with its winning values, and the files. Immutable, so it may be handed
// to another goroutine; strings are shared with the page.
type Still struct {
	elements []Element // in no order
	files    []file    // ascending
}

type file struct{ id, value string }

// Still is what the page shows now.
func (p *Page) Still() *Still {
	s, n := &Still{elements: make([]Element, 0, p.visible)}, 0
	for i := range p.slots {
		if p.slots[i].shown {
			n += len(p.winner(uint32(i)).live)
		}
	}
	all := make([]Property, 0, n)
	for i := range p.slots {
		if !p.slots[i].shown {
			continue
		}
		from := len(all)
		e := p.read(p.winner(uint32(i)), all[from:])
		all = all[:from+len(e.Properties)]
		e.Properties = all[from:len(all):len(all)]
		s.elements = append(s.elements, e)
	}
	for i, id := range p.fileIDs {
		if v := p.win(&p.files, uint16(i)); v != nil {
			s.files = append(s.files, file{id, v.Str})
		}
	}
	slices.SortFunc(s.files, func(a, b file) int { return strings.Compare(a.id, b.id) })
	return s
}

// Elements lists the shown elements in drawing order.
func (s *Still) Elements() []Element { return inDrawingOrder(s.elements) }

// Files are the values under `files`.
func (s *Still) Files() map[string]string {
	m := make(map[string]string, len(s.files))
	for _, f := range s.files {
		m[f.id] = f.value
	}
	return m
}

// blank is the key of the element that stands for an empty page: no engine of ours is asked about a change without operations.
const blank = "blank"

// Squash writes the still as the one change on the genesis that an epoch begins with (SPEC EP1), the first of a server's actor: elements in drawing order,
// then files. It is a function of the still alone. Parse it with change.SquashLimits; a page can be too much for them.
func (s *Still) Squash(actor [16]byte) []byte {
	const self, genesis = 0, 1
	d := change.Draft{
		Deps: []change.Hash{origin.change.Hash}, Actors: [][]byte{actor[:], origin.change.Author()},
		Seq: 1, StartOp: uint64(origin.change.End()) + 1,
	}
	var e change.Encoder
	var scratch []byte
	add := func(op change.Op) change.ID {
		id := change.ID{Ctr: uint32(d.StartOp) + uint32(e.Len()), Actor: self}
		e.Add(&op)
		return id
	}
	elements, files := change.ID{Ctr: origin.elements, Actor: genesis}, change.ID{Ctr: origin.files, Actor: genesis}
	for _, x := range s.Elements() {
		made := add(change.Op{Obj: elements, Key: []byte(x.ID), Action: change.MakeMap})
		for i := range x.Properties {
			y := &x.Properties[i]
			r := &table[byProperty[y.Name]]
			if r.kinds == kText {
				insertText(add, add(change.Op{Obj: made, Key: r.key, Action: change.MakeText}), change.ID{}, y.Value.Str)
			} else {
				scratch = append(scratch[:0], y.Value.Str...)
				add(change.Op{Obj: made, Key: r.key, Action: change.Put, Kind: y.Value.Kind, Num: y.Value.Num, Raw: scratch})
			}
		}
	}
	for _, f := range s.files {
		add(change.Op{Obj: files, Key: []byte(f.id), Action: change.Put, Kind: change.String, Raw: []byte(f.value)})
	}
	if e.Len() == 0 {
		made := add(change.Op{Obj: elements, Key: []byte(blank), Action: change.MakeMap})
		add(change.Op{Obj: elements, Key: []byte(blank), Action: change.Delete, Pred: []change.ID{made}})
	}
	return e.Chunk(&d)
}

// insertText adds the operations that insert a string into a text after one of its characters, or at the beginning.
func insertText(add func(change.Op) change.ID, text, after change.ID, s string) {
	for i, r := range s {
		n := len(string(r))
		after = add(change.Op{Obj: text, Elem: after, IsElem: true, Insert: true, Action: change.Put, Kind: change.String, Raw: []byte(s[i : i+n])})
	}
}
