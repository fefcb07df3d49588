// Package schema knows what a whiteboard page may hold: it judges every operation of a change before the change is committed, and keeps the page's
// state afterwards, without an engine. It refuses whatever it does not know (SPEC CH10-CH19).
//
// Why so strict: most senseless changes do not trap an Automerge engine. They apply, the document saves, and what was saved can never be loaded again.
//
// A page is {v, elements: {id: {property: value}}, files: {id: string}}; originalText is a text object, every other property one value. Each
// register holds the live writes: an operation removes the writes it names and adds itself, and the write with the highest id (number, then actor) wins.
package schema

import (
	"bytes"
	"math"
	"slices"

	"github.com/educationpub/lectern/crdt/change"
)

// Page is one whiteboard page in one epoch. Not safe for concurrent use: it belongs to the board's actor.
//
// BUG(crdt/schema): an operation may name one that is in the page but not among what its change says it builds on, if the numbers fit; no client of ours
// writes that. In the order of the log it is harmless in both engines; in another order it would be refused here.
type Page struct {
	// Owned by the caller of Apply; Check reads only.
	actors    []actor
	byActor   map[string]uint16
	changes   map[change.Hash]uint32 // number of its last operation
	heads     map[change.Hash]struct{}
	objects   map[opid]object
	slots     []slot // keys of `elements`
	byID      map[string]uint32
	els       []element // every map ever made under `elements`
	texts     []textObject
	files     element // `files`, its keys numbered as properties
	fileIDs   []string
	byFile    map[string]uint16
	visible   int      // elements shown
	chars     int      // characters ever inserted
	registers int      // that what is shown takes: see Registers
	ops       int      // operations since the page began: see Ops
	stamp     uint64   // of what is applied now: see Stamp
	begun     uint64   // stamp from which on the page knows what went
	stamps    []uint64 // by file: of its last write

	plan plan // scratch of Check, used by the Apply that follows it
}

// opid names an operation by the page's own number of its actor.
type opid struct {
	ctr   uint32
	actor uint16
}

// write is a live write of a property.
type write struct {
	ctr   uint32
	actor uint16
	prop  uint16
}

func (w write) id() opid { return opid{w.ctr, w.actor} }

// Value is the value of a property.
type Value struct {
	Kind change.Kind
	text int32  // 1 + index of a text object, 0: none
	Num  uint64 // as change.Op.Num
	Str  string // content of String and Bytes
}

// element is one map under `elements`. Of a property written concurrently several writes are live.
type element struct {
	slot uint32
	made opid
	live []write
	vals []Value // parallel to live
}

// slot is one key of `elements`: the live makes, almost always one.
type slot struct {
	id    string
	makes []opid
	shown bool   // what Page.shown says
	stamp uint64 // of its last write
}

// actor is one author on this page.
type actor struct {
	id    string
	seq   uint64
	end   uint32 // number of its last operation
	spans []span // its changes in order
	regs  []register
}

// span is a change: its first operation's number and where its registers begin.
type span struct{ start, at uint32 }

// register is what an operation wrote, so that later operations can be checked against it: place, object and key in one word. 0: it wrote nothing.
type register uint64

type place uint8

const (
	nowhere place = iota
	inRoot
	inElements // key: slot
	inElement  // object: element; key: property
	inFiles    // key: file
	inText     // object: text; key: character
)

func at(p place, object, key uint32) register {
	return register(p)<<60 | register(object)<<32 | register(key)
}

func (r register) place() place   { return place(r >> 60) }
func (r register) object() uint32 { return uint32(r>>32) & (1<<28 - 1) }
func (r register) key() uint32    { return uint32(r) }

// object is what can be worked on: place and index.
type object struct {
	place place
	index uint32
}

// NewPage is a page that holds the genesis and nothing else.
func NewPage() *Page {
	p := &Page{
		byActor: map[string]uint16{}, changes: map[change.Hash]uint32{}, heads: map[change.Hash]struct{}{}, objects: map[opid]object{},
		byID: map[string]uint32{}, byFile: map[string]uint16{},
	}
	p.plan.init()
	author := p.actor(origin.change.Author()) // number 0
	p.objects[opid{origin.elements, author}] = object{place: inElements}
	p.objects[opid{origin.files, author}] = object{place: inFiles}
	p.record(origin.change, author)
	p.actors[author].regs = make([]register, origin.change.Count) // the root is never written again
	return p
}

// actor numbers an actor.
func (p *Page) actor(id []byte) uint16 {
	if i, ok := p.byActor[string(id)]; ok {
		return i
	}
	i := uint16(len(p.actors))
	p.actors = append(p.actors, actor{id: string(id)})
	p.byActor[p.actors[i].id] = i
	return i
}

const maxActors = math.MaxUint16

// record notes that a change is in; its registers follow.
func (p *Page) record(c *change.Change, author uint16) {
	a := &p.actors[author]
	a.seq, a.end = c.Seq, c.End()
	a.spans = append(a.spans, span{c.StartOp, uint32(len(a.regs))})
	p.changes[c.Hash] = c.End()
	for i := range c.Deps() {
		delete(p.heads, c.Dep(i))
	}
	p.heads[c.Hash] = struct{}{}
}

// wrote is what an operation of the past wrote, 0 for one that wrote nothing or that this page does not have.
func (p *Page) wrote(o opid) register {
	if int(o.actor) >= len(p.actors) {
		return 0 // an author's first change names an earlier one of its own
	}
	a := &p.actors[o.actor]
	i, found := slices.BinarySearchFunc(a.spans, o.ctr, func(s span, ctr uint32) int {
		return int(int64(s.start) - int64(ctr))
	})
	if !found {
		if i == 0 {
			return 0
		}
		i--
	}
	s, end := a.spans[i], uint32(len(a.regs))
	if i+1 < len(a.spans) {
		end = a.spans[i+1].at
	}
	if n := o.ctr - s.start; n < end-s.at {
		return a.regs[s.at+n]
	}
	return 0
}

// less orders operations as Automerge does: the greatest wins.
func (p *Page) less(a, b opid) bool {
	if a.ctr != b.ctr {
		return a.ctr < b.ctr
	}
	return p.actors[a.actor].id < p.actors[b.actor].id
}

// compare is less for sorting; no two operations are equal.
func (p *Page) compare(a, b opid) int {
	if p.less(a, b) {
		return -1
	}
	return 1
}

// Has says whether a change is in.
func (p *Page) Has(h change.Hash) bool { _, ok := p.changes[h]; return ok }

// Seq is the number of an actor's last change, 0 for an actor without one.
func (p *Page) Seq(actor []byte) uint64 {
	if i, ok := p.byActor[string(actor)]; ok {
		return p.actors[i].seq
	}
	return 0
}

// Heads are the changes that no other builds on, ascending.
func (p *Page) Heads() []change.Hash {
	h := make([]change.Hash, 0, len(p.heads))
	for x := range p.heads {
		h = append(h, x)
	}
	slices.SortFunc(h, func(a, b change.Hash) int { return bytes.Compare(a[:], b[:]) })
	return h
}

// Changes is the number of changes that are in, the genesis included.
func (p *Page) Changes() int { return len(p.changes) }

// Visible is the number of elements that are in the page and not deleted.
func (p *Page) Visible() int { return p.visible }
