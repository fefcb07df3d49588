// Package boardtest has what tests of boards need: an author of real changes, a log in memory that fails on demand, and the suite that
// every implementation of board.Log must pass.
package boardtest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

// Author writes whiteboard changes of one operation under one actor, each on top of everything it has made or seen in its epoch. Not safe for
// concurrent use.
type Author struct {
	Actor board.ActorID
	seq   uint64
	end   uint32
	heads []change.Hash
	made  map[string]op  // element: the operation that made it
	ids   map[op]string  // the reverse
	live  map[field][]op // standing writes
	seen  map[change.Hash]bool
}

// op names an operation, field a property of an element.
type (
	op struct {
		ctr   uint32
		actor string
	}
	field struct{ id, property string }
)

// genesis of a whiteboard page, and the operation that makes `elements`.
var genesis, elements = func() (c *change.Change, els op) {
	c = parse(schema.GenesisChange(schema.KindWhiteboard))
	var d change.Decoder
	d.Reset(c)
	for o := range d.Ops() {
		if string(o.Key) == "elements" {
			els = op{o.ID.Ctr, string(c.Author())}
		}
	}
	return c, els
}()

func parse(chunk []byte) *change.Change {
	c := &change.Change{}
	if err := c.Parse(chunk, &change.StoredLimits); err != nil {
		panic("boardtest: " + err.Error())
	}
	return c
}

// NewAuthor begins on the genesis.
func NewAuthor(a board.ActorID) *Author {
	return &Author{
		Actor: a, heads: []change.Hash{genesis.Hash}, end: genesis.End(), made: map[string]op{}, ids: map[op]string{}, live: map[field][]op{},
		seen: map[change.Hash]bool{genesis.Hash: true},
	}
}

// See takes somebody's change in: what comes next builds on it. One that was seen before does nothing.
func (a *Author) See(chunks ...[]byte) {
	for _, chunk := range chunks {
		c := parse(chunk)
		if a.seen[c.Hash] {
			continue
		}
		a.seen[c.Hash] = true
		for i := range c.Deps() {
			a.heads = slices.DeleteFunc(a.heads, func(h change.Hash) bool { return h == c.Dep(i) })
		}
		a.heads = append(a.heads, c.Hash)
		a.end = max(a.end, c.End())
		if bytes.Equal(c.Author(), a.Actor[:]) {
			a.seq = max(a.seq, c.Seq)
		}
		name := func(id change.ID) op { return op{id.Ctr, string(c.Actors[id.Actor])} }
		var d change.Decoder
		d.Reset(c)
		for o := range d.Ops() {
			obj, self := name(o.Obj), name(o.ID)
			if obj == elements && o.Action == change.MakeMap {
				a.made[string(o.Key)], a.ids[self] = self, string(o.Key)
				continue
			}
			f := field{a.ids[obj], string(o.Key)}
			for _, p := range o.Pred {
				a.live[f] = slices.DeleteFunc(a.live[f], func(x op) bool { return x == name(p) })
			}
			if o.Action == change.Put {
				a.live[f] = append(a.live[f], self)
			}
		}
	}
}

// On makes the next change build on another author's last one; it must be ahead in operation numbers.
func (a *Author) On(b *Author) { a.heads, a.end = slices.Clone(b.heads), b.end }

// Elements are the ids of what was made or seen, ascending.
func (a *Author) Elements() []string { return slices.Sorted(maps.Keys(a.made)) }

// Make is a change that makes an element.
func (a *Author) Make(id string) []byte {
	return a.write(elements, nil, change.Op{Key: []byte(id), Action: change.MakeMap})
}

// Move is a change that writes an element's x; Make comes first.
func (a *Author) Move(id string, x int64) []byte {
	return a.put(id, "x", change.Op{Kind: change.Int, Num: uint64(x)})
}

// Draw is a change that gives an element a stroke of about so many bytes.
func (a *Author) Draw(id string, size int) []byte {
	points, x := make([]byte, size&^1), uint32(len(a.seen))
	for i := range points {
		x = x*1664525 + 1013904223
		points[i] = byte(x >> 25)
	}
	return a.put(id, "points", change.Op{Kind: change.Bytes, Raw: points})
}

// Hide is a change that marks an element as deleted.
func (a *Author) Hide(id string) []byte { return a.put(id, "isDeleted", change.Op{Kind: change.True}) }

// Scribble is a change of n operations, each of which writes an element's x.
func (a *Author) Scribble(id string, n int) []byte {
	return a.put(id, "x", slices.Repeat([]change.Op{{Kind: change.Int, Num: 1}}, n)...)
}

// Foreign is a change that the grammar refuses: it writes a property that elements do not have.
func (a *Author) Foreign(id string) []byte {
	return a.put(id, "no-such-property", change.Op{Kind: change.Int, Num: 1})
}

// HashOf is a change's hash.
func HashOf(chunk []byte) board.Hash { return sha256.Sum256(chunk[8:]) }

// put writes a property, over and over if there are several operations.
func (a *Author) put(id, property string, ops ...change.Op) []byte {
	for i := range ops {
		ops[i].Action, ops[i].Key = change.Put, []byte(property)
	}
	return a.write(a.made[id], a.live[field{id, property}], ops...)
}

// write makes a change of operations on an object; the first replaces preds, each of the others the one before it.
func (a *Author) write(obj op, preds []op, ops ...change.Op) []byte {
	d := change.Draft{Deps: slices.SortedFunc(slices.Values(a.heads), compare), Actors: [][]byte{a.Actor[:]}, Seq: a.seq + 1, StartOp: uint64(a.end) + 1, Ops: ops}
	id := func(x op) change.ID {
		i := slices.IndexFunc(d.Actors, func(b []byte) bool { return string(b) == x.actor })
		if i < 0 {
			i, d.Actors = len(d.Actors), append(d.Actors, []byte(x.actor))
		}
		return change.ID{Ctr: x.ctr, Actor: uint32(i)}
	}
	preds = slices.SortedFunc(slices.Values(preds), func(x, y op) int {
		return cmp.Or(cmp.Compare(x.ctr, y.ctr), cmp.Compare(x.actor, y.actor))
	})
	for i := range ops {
		ops[i].Obj = id(obj)
		if i > 0 {
			preds = []op{{a.end + uint32(i), string(a.Actor[:])}}
		}
		for _, p := range preds {
			ops[i].Pred = append(ops[i].Pred, id(p))
		}
	}
	d.Trim()
	chunk := d.Encode()
	a.See(chunk)
	return chunk
}

func compare(a, b change.Hash) int { return bytes.Compare(a[:], b[:]) }
