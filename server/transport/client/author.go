package client

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

// Author writes Automerge changes for a whiteboard page as one actor: freehand strokes that it makes and then redraws. It needs no engine and
// nobody else's changes: each change depends on the author's own last one, the first on the genesis. Given the same calls it writes the same bytes.
// Not safe for concurrent use.
type Author struct {
	actor    []byte
	genesis  []byte // actor of the genesis
	elements uint32 // number of the operation that made `elements`

	seq   uint64
	next  uint32 // number of the next operation
	dep   [32]byte
	drawn []stroke
	count int // strokes ever drawn
}

// stroke is an element of the author's: the operation that made it and the one that wrote its points.
type stroke struct{ made, points uint32 }

// maxStrokes is how many elements an author makes before it redraws the old ones: a page holds 5,000.
const maxStrokes = 40

// NewAuthor begins a history under an actor that the board has issued and nobody has used yet.
func NewAuthor(actor []byte) (*Author, error) {
	var c change.Change
	if err := c.Parse(schema.GenesisChange(schema.KindWhiteboard), nil); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	a := &Author{actor: actor, genesis: append([]byte(nil), c.Author()...), next: c.End() + 1, dep: [32]byte(c.Hash)}
	var d change.Decoder
	d.Reset(&c)
	for op := range d.Ops() {
		if string(op.Key) == "elements" {
			a.elements = op.ID.Ctr
		}
	}
	return a, nil
}

// Stroke writes the author's next change, about size bytes of it points (at least 4): a new element, or after maxStrokes of them new points for an old one.
func (a *Author) Stroke(size int) []byte {
	points := make([]byte, 0, size)
	for i := 0; len(points) < size-3 || len(points) == 0; i++ {
		points = append(points, byte(1+(a.count*7+i*5)%120), byte(2+(a.count*3+i*11)%120))
	}
	a.count++
	if len(a.drawn) == maxStrokes {
		s := &a.drawn[a.count%maxStrokes]
		ops := []operation{{obj: s.made, key: "points", action: change.Put, kind: change.Bytes, raw: points, pred: s.points}}
		s.points = a.next
		return a.write(ops)
	}
	made := a.next
	name := fmt.Sprintf("%x-%d", a.actor[:4], a.count)
	put := func(key string, kind change.Kind, raw ...byte) operation {
		return operation{obj: made, key: key, action: change.Put, kind: kind, raw: raw}
	}
	ops := []operation{
		{genesis: true, obj: a.elements, key: name, action: change.MakeMap},
		put("type", change.String, []byte("freedraw")...),
		put("x", change.Int, appendSigned(nil, int64(a.count*10))...),
		put("y", change.Int, appendSigned(nil, int64(a.count*4))...),
		put("strokeColor", change.String, []byte("#1e1e1e")...),
		put("isDeleted", change.False),
		put("points", change.Bytes, points...),
	}
	a.drawn = append(a.drawn, stroke{made: made, points: made + uint32(len(ops)) - 1})
	return a.write(ops)
}

// operation of the author: on one of its own objects, or on one of the genesis.
type operation struct {
	genesis bool
	obj     uint32
	key     string
	action  change.Action
	kind    change.Kind
	raw     []byte
	pred    uint32 // own write that is overwritten, 0 for none
}

// write encodes a change in Automerge's canonical form and makes it the author's last one.
func (a *Author) write(ops []operation) []byte {
	var objA, objC, key, action, meta, count, predA, predC column
	var raw []byte
	var others [][]byte
	last := int64(0)
	for _, o := range ops {
		owner := uint64(0)
		if o.genesis {
			owner = 1
			others = [][]byte{a.genesis}
		}
		objA.add(uvarint(owner))
		objC.add(uvarint(uint64(o.obj)))
		key.add(append(uvarint(uint64(len(o.key))), o.key...))
		action.add(uvarint(uint64(o.action)))
		meta.add(uvarint(uint64(len(o.raw))<<4 | uint64(o.kind)))
		raw = append(raw, o.raw...)
		if o.pred == 0 {
			count.add(uvarint(0))
			continue
		}
		count.add(uvarint(1))
		predA.add(uvarint(0))
		predC.add(appendSigned(nil, int64(o.pred)-last))
		last = int64(o.pred)
	}
	a.seq++
	b := append([]byte{1}, a.dep[:]...)
	b = append(append(b, uvarint(uint64(len(a.actor)))...), a.actor...)
	b = binary.AppendUvarint(binary.AppendUvarint(b, a.seq), uint64(a.next))
	b = append(b, 0, 0) // time, message
	b = binary.AppendUvarint(b, uint64(len(others)))
	for _, o := range others {
		b = append(append(b, uvarint(uint64(len(o)))...), o...)
	}
	columns := []struct {
		spec byte
		data []byte
	}{
		{0x01, objA.bytes()},
		{0x02, objC.bytes()},
		{0x15, key.bytes()},
		{0x34, uvarint(uint64(len(ops)))},
		{0x42, action.bytes()},
		{0x56, meta.bytes()},
		{0x57, raw},
		{0x70, count.bytes()},
		{0x71, predA.bytes()},
		{0x73, predC.bytes()},
	}
	head, data := []byte{}, []byte{}
	n := 0
	for _, c := range columns {
		if len(c.data) == 0 {
			continue
		}
		n++
		head = binary.AppendUvarint(append(head, uvarint(uint64(c.spec))...), uint64(len(c.data)))
		data = append(data, c.data...)
	}
	b = append(append(binary.AppendUvarint(b, uint64(n)), head...), data...)
	body := append(binary.AppendUvarint([]byte{1}, uint64(len(b))), b...)
	a.dep = sha256.Sum256(body)
	a.next += uint32(len(ops))
	return append(append([]byte{0x85, 0x6f, 0x4a, 0x83}, a.dep[:4]...), body...)
}

// Hash of a change chunk: SHA-256 of what follows its checksum. Chunks too short to be one have the hash of nothing.
func Hash(chunk []byte) [32]byte {
	if len(chunk) < 8 {
		return sha256.Sum256(nil)
	}
	return sha256.Sum256(chunk[8:])
}

func uvarint(v uint64) []byte { return binary.AppendUvarint(nil, v) }

// appendSigned appends signed LEB128.
func appendSigned(b []byte, v int64) []byte {
	for {
		x := byte(v & 0x7f)
		v >>= 7
		if v == 0 && x&0x40 == 0 || v == -1 && x&0x40 != 0 {
			return append(b, x)
		}
		b = append(b, x|0x80)
	}
}

// column is a run-length column of values without nulls: runs of equal values, or literal runs of different ones.
type column struct {
	out     []byte
	literal [][]byte
	last    []byte
	run     int
}

func (c *column) add(v []byte) {
	if c.run > 0 && string(v) == string(c.last) {
		c.run++
		return
	}
	c.flush()
	c.last, c.run = v, 1
}

func (c *column) flush() {
	switch {
	case c.run == 1:
		c.literal = append(c.literal, c.last)
	case c.run > 1:
		c.literals()
		c.out = append(appendSigned(c.out, int64(c.run)), c.last...)
	}
	c.run = 0
}

func (c *column) literals() {
	if len(c.literal) == 0 {
		return
	}
	c.out = appendSigned(c.out, -int64(len(c.literal)))
	for _, l := range c.literal {
		c.out = append(c.out, l...)
	}
	c.literal = nil
}

func (c *column) bytes() []byte {
	c.flush()
	c.literals()
	return c.out
}
