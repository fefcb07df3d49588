// Package boardtest has what tests of boards need: an author of real changes, a log in memory that fails on demand, and the suite that
// every implementation of board.Log must pass.
package boardtest

import (
	"crypto/sha256"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

// Author writes whiteboard changes of one operation under one actor, each on top of its own last one. Not safe for concurrent use.
type Author struct {
	Actor board.ActorID
	seq   uint64
	end   uint32
	dep   change.Hash
	made  map[string]uint32 // element -> operation that made it
	x     map[string]uint32 // element -> operation that wrote x
}

// genesis of a whiteboard page: its hash, author, last operation and the number of `elements`.
var genesis = func() (g struct {
	hash     change.Hash
	author   []byte
	end, els uint32
},
) {
	var c change.Change
	if err := c.Parse(schema.GenesisChange(schema.KindWhiteboard), nil); err != nil {
		panic(err)
	}
	g.hash, g.author, g.end = c.Hash, c.Author(), c.End()
	var d change.Decoder
	d.Reset(&c)
	for op := range d.Ops() {
		if string(op.Key) == "elements" {
			g.els = op.ID.Ctr
		}
	}
	return g
}()

// NewAuthor begins on the genesis.
func NewAuthor(a board.ActorID) *Author {
	return &Author{Actor: a, dep: genesis.hash, end: genesis.end, made: map[string]uint32{}, x: map[string]uint32{}}
}

// On makes the next change build on another author's last one as well; it must be ahead in operation numbers.
func (a *Author) On(b *Author) { a.dep, a.end = b.dep, b.end }

// Make is a change that makes an element.
func (a *Author) Make(id string) []byte {
	a.made[id] = a.end + 1
	return a.write(change.Op{Obj: change.ID{Ctr: genesis.els, Actor: 1}, Key: []byte(id), Action: change.MakeMap}, genesis.author)
}

// Move is a change that writes an element's x; Make comes first.
func (a *Author) Move(id string, x int64) []byte {
	o := a.put(id, "x", x)
	if p, ok := a.x[id]; ok {
		o.Pred = []change.ID{{Ctr: p}}
	}
	a.x[id] = a.end + 1
	return a.write(o)
}

// Foreign is a change that the grammar refuses: it writes a property that elements do not have.
func (a *Author) Foreign(id string) []byte { return a.write(a.put(id, "no-such-property", 1)) }

// HashOf is a change's hash.
func HashOf(chunk []byte) board.Hash { return sha256.Sum256(chunk[8:]) }

func (a *Author) put(id, key string, v int64) change.Op {
	return change.Op{Obj: change.ID{Ctr: a.made[id]}, Key: []byte(key), Action: change.Put, Kind: change.Int, Num: uint64(v)}
}

func (a *Author) write(o change.Op, others ...[]byte) []byte {
	a.seq++
	c := change.Draft{Deps: []change.Hash{a.dep}, Actors: append([][]byte{a.Actor[:]}, others...), Seq: a.seq, StartOp: uint64(a.end) + 1, Ops: []change.Op{o}}
	chunk := c.Encode()
	a.dep, a.end = change.Hash(HashOf(chunk)), a.end+1
	return chunk
}
