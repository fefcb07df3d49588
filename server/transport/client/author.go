package client

import (
	"crypto/sha256"
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
	dep   change.Hash
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
	a := &Author{actor: actor, genesis: append([]byte(nil), c.Author()...), next: c.End() + 1, dep: c.Hash}
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
		pred := []change.ID{{Ctr: s.points}}
		s.points = a.next
		return a.write(change.Op{Obj: change.ID{Ctr: s.made}, Key: []byte("points"), Action: change.Put, Kind: change.Bytes, Raw: points, Pred: pred})
	}
	a.drawn = append(a.drawn, stroke{made: a.next, points: a.next + 6})
	return a.element(points)
}

// Draw writes a change that makes an element of its own with these points (packed as the grammar wants them), which Stroke never draws again.
func (a *Author) Draw(points []byte) []byte {
	a.count++
	return a.element(points)
}

// element is the change that makes a stroke; its points are its seventh operation.
func (a *Author) element(points []byte) []byte {
	made := a.next
	put := func(key string, kind change.Kind, num int64, raw []byte) change.Op {
		return change.Op{Obj: change.ID{Ctr: made}, Key: []byte(key), Action: change.Put, Kind: kind, Num: uint64(num), Raw: raw}
	}
	ops := []change.Op{
		{Obj: change.ID{Ctr: a.elements, Actor: 1}, Key: fmt.Appendf(nil, "%x-%d", a.actor[:4], a.count), Action: change.MakeMap},
		put("type", change.String, 0, []byte("freedraw")),
		put("x", change.Int, int64(a.count*10), nil),
		put("y", change.Int, int64(a.count*4), nil),
		put("strokeColor", change.String, 0, []byte("#1e1e1e")),
		put("isDeleted", change.False, 0, nil),
		put("points", change.Bytes, 0, points),
	}
	return a.write(ops...)
}

// write encodes a change and makes it the author's last one.
func (a *Author) write(ops ...change.Op) []byte {
	actors := [][]byte{a.actor}
	if ops[0].Obj.Actor == 1 {
		actors = append(actors, a.genesis)
	}
	a.seq++
	c := change.Draft{Deps: []change.Hash{a.dep}, Actors: actors, Seq: a.seq, StartOp: uint64(a.next), Ops: ops}
	chunk := c.Encode()
	a.dep = Hash(chunk)
	a.next += uint32(len(ops))
	return chunk
}

// Hash of a change chunk: SHA-256 of what follows its checksum. Chunks too short to be one have the hash of nothing.
func Hash(chunk []byte) [32]byte {
	if len(chunk) < 8 {
		return sha256.Sum256(nil)
	}
	return sha256.Sum256(chunk[8:])
}
