package client

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

// Author writes Automerge changes for a whiteboard page as one actor: freehand strokes that it makes and then redraws. It needs no engine and
// nobody else's changes: each change depends on the author's own last one, the first on the genesis, or on the squash that its epoch begins with.
// Given the same calls it writes the same bytes. Not safe for concurrent use.
type Author struct {
	// Strokes is how many elements the author makes before it redraws the old ones; a page holds 5,000. 40 unless it is set.
	Strokes int

	actor    []byte
	genesis  []byte // actor of the genesis
	squash   []byte // actor of the squash, nil in epoch 0
	elements uint32 // number of the operation that made `elements`

	seq   uint64
	next  uint32 // number of the next operation
	dep   change.Hash
	drawn []stroke
	count int // strokes ever drawn
}

// stroke is an element of the author's: the operation that made it and the one that wrote its points. Actor 0 is the author, 1 the squash.
type stroke struct{ made, points change.ID }

const maxStrokes = 40

// NewAuthor begins a history under an actor that the board has issued and nobody has used yet.
func NewAuthor(actor []byte) (*Author, error) {
	var c change.Change
	if err := c.Parse(schema.GenesisChange(schema.KindWhiteboard), nil); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	a := &Author{Strokes: maxStrokes, actor: actor, genesis: append([]byte(nil), c.Author()...), next: c.End() + 1, dep: c.Hash}
	var d change.Decoder
	d.Reset(&c)
	for op := range d.Ops() {
		if string(op.Key) == "elements" {
			a.elements = op.ID.Ctr
		}
	}
	return a, nil
}

// Adopt goes on in the epoch that a squash began. What the author had drawn and is still there keeps being redrawn.
func (a *Author) Adopt(squash []byte) error {
	var c change.Change
	if err := c.Parse(squash, &change.SquashLimits); err != nil {
		return fmt.Errorf("squash: %w", err)
	}
	found := map[uint32]*stroke{} // by the operation that made it
	var d change.Decoder
	d.Reset(&c)
	mine := fmt.Appendf(nil, "%x-", a.actor[:4])
	for op := range d.Ops() {
		id := change.ID{Ctr: op.ID.Ctr, Actor: 1}
		if op.Action == change.MakeMap && bytes.HasPrefix(op.Key, mine) {
			found[id.Ctr] = &stroke{made: id}
		} else if s := found[op.Obj.Ctr]; s != nil && string(op.Key) == "points" {
			s.points = id
		}
	}
	a.drawn = a.drawn[:0]
	for _, s := range found {
		a.drawn = append(a.drawn, *s)
	}
	slices.SortFunc(a.drawn, func(x, y stroke) int { return cmp.Compare(x.made.Ctr, y.made.Ctr) })
	a.squash, a.seq, a.next, a.dep = bytes.Clone(c.Author()), 0, c.End()+1, c.Hash
	return nil
}

// Stroke writes the author's next change, about size bytes of it points (at least 4): a new element, or after maxStrokes of them new points for an old one.
func (a *Author) Stroke(size int) []byte {
	points := make([]byte, 0, size)
	for i := 0; len(points) < size-3 || len(points) == 0; i++ {
		points = append(points, byte(1+(a.count*7+i*5)%120), byte(2+(a.count*3+i*11)%120))
	}
	a.count++
	if len(a.drawn) >= a.Strokes {
		s := &a.drawn[a.count%len(a.drawn)]
		pred := []change.ID{s.points}
		other := a.squash
		if s.made.Actor == 0 {
			other = nil
		}
		s.points = change.ID{Ctr: a.next}
		return a.write(other, change.Op{Obj: s.made, Key: []byte("points"), Action: change.Put, Kind: change.Bytes, Raw: points, Pred: pred})
	}
	a.drawn = append(a.drawn, stroke{made: change.ID{Ctr: a.next}, points: change.ID{Ctr: a.next + 6}})
	return a.element(points)
}

// Draw writes a change that makes an element of its own with these points (packed as the grammar wants them), which Stroke does not draw again in this epoch.
func (a *Author) Draw(points []byte) []byte {
	a.count++
	return a.element(points)
}

// element is the change that makes a stroke; its points are its seventh operation.
func (a *Author) element(points []byte) []byte {
	made := change.ID{Ctr: a.next}
	put := func(key string, kind change.Kind, num int64, raw []byte) change.Op {
		return change.Op{Obj: made, Key: []byte(key), Action: change.Put, Kind: kind, Num: uint64(num), Raw: raw}
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
	return a.write(a.genesis, ops...)
}

// write encodes a change and makes it the author's last one. other is the actor that operations name as 1, nil if none does.
func (a *Author) write(other []byte, ops ...change.Op) []byte {
	actors := [][]byte{a.actor}
	if other != nil {
		actors = append(actors, other)
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
