// Package boardtest has what tests of boards need: an author of real changes, a log in memory that fails on demand, and the suite that
// every implementation of board.Log must pass.
package boardtest

import (
	"crypto/sha256"
	"encoding/binary"

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
	return a.write(op{objActor: 1, objCtr: uint64(genesis.els), key: id, others: [][]byte{genesis.author}})
}

// Move is a change that writes an element's x; Make comes first.
func (a *Author) Move(id string, x int64) []byte {
	o := op{objCtr: uint64(a.made[id]), key: "x", put: true, value: sleb(nil, x)}
	if p, ok := a.x[id]; ok {
		o.pred = int64(p)
	}
	a.x[id] = a.end + 1
	return a.write(o)
}

// Foreign is a change that the grammar refuses: it writes a property that elements do not have.
func (a *Author) Foreign(id string) []byte {
	return a.write(op{objCtr: uint64(a.made[id]), key: "no-such-property", put: true, value: sleb(nil, 1)})
}

// HashOf is a change's hash.
func HashOf(chunk []byte) board.Hash { return sha256.Sum256(chunk[8:]) }

type op struct {
	objActor, objCtr uint64
	key              string
	put              bool
	value            []byte
	pred             int64
	others           [][]byte
}

func (a *Author) write(o op) []byte {
	a.seq++
	start := a.end + 1
	type column struct {
		spec uint64
		data []byte
	}
	one := func(v []byte) []byte { return append([]byte{0x7f}, v...) }
	num := func(v uint64) []byte { return one(binary.AppendUvarint(nil, v)) }
	action, meta := uint64(change.MakeMap), uint64(0)
	if o.put {
		action, meta = uint64(change.Put), uint64(len(o.value))<<4|uint64(change.Int)
	}
	cols := []column{
		{0x01, num(o.objActor)},
		{0x02, num(o.objCtr)},
		{0x15, one(append(binary.AppendUvarint(nil, uint64(len(o.key))), o.key...))},
		{0x34, []byte{1}},
		{0x42, num(action)},
		{0x56, num(meta)},
	}
	if o.put {
		cols = append(cols, column{0x57, o.value})
	}
	if o.pred == 0 {
		cols = append(cols, column{0x70, num(0)})
	} else {
		cols = append(cols, column{0x70, num(1)}, column{0x71, num(0)}, column{0x73, one(sleb(nil, o.pred))})
	}
	b := binary.AppendUvarint(nil, 1)
	b = append(b, a.dep[:]...)
	b = append(binary.AppendUvarint(b, uint64(len(a.Actor))), a.Actor[:]...)
	b = binary.AppendUvarint(b, a.seq)
	b = binary.AppendUvarint(b, uint64(start))
	b = append(b, 0, 0) // time, message
	b = binary.AppendUvarint(b, uint64(len(o.others)))
	for _, x := range o.others {
		b = append(binary.AppendUvarint(b, uint64(len(x))), x...)
	}
	b = binary.AppendUvarint(b, uint64(len(cols)))
	for _, c := range cols {
		b = binary.AppendUvarint(binary.AppendUvarint(b, c.spec), uint64(len(c.data)))
	}
	for _, c := range cols {
		b = append(b, c.data...)
	}
	body := append(binary.AppendUvarint([]byte{1}, uint64(len(b))), b...)
	hash := sha256.Sum256(body)
	chunk := append([]byte{0x85, 0x6f, 0x4a, 0x83}, hash[:4]...)
	a.dep, a.end = hash, start
	return append(chunk, body...)
}

func sleb(b []byte, v int64) []byte {
	for {
		x := byte(v & 0x7f)
		if v >>= 7; v == 0 && x&0x40 == 0 || v == -1 && x&0x40 != 0 {
			return append(b, x)
		}
		b = append(b, x|0x80)
	}
}
