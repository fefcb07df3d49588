package change

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Draft is a change to be written. Ids in Ops index Actors, 0 is the author; ids of the operations themselves are not written, they follow from StartOp.
type Draft struct {
	Deps    []Hash   // ascending
	Actors  [][]byte // the author first, then every other actor named, ascending: see Trim
	Seq     uint64
	StartOp uint64
	Time    int64 // seconds since 1970
	Message []byte
	Ops     []Op
}

// Encode writes the draft byte for byte as Automerge does. It judges nothing: a senseless draft is a senseless change, for which Parse is there.
func (d *Draft) Encode() []byte {
	var e Encoder
	for i := range d.Ops {
		e.Add(&d.Ops[i])
	}
	return e.Chunk(d)
}

// Trim brings the actors into the order of the wire: those that no operation names are left out, and the ids in Ops (predecessors too) are renumbered
// in place. The author stays.
func (d *Draft) Trim() {
	ids := func(yield func(*ID) bool) {
		for i := range d.Ops {
			op := &d.Ops[i]
			if !yield(&op.Obj) || !yield(&op.Elem) {
				return
			}
			for j := range op.Pred {
				if !yield(&op.Pred[j]) {
					return
				}
			}
		}
	}
	number := make([]uint32, len(d.Actors)) // old to new
	var used []uint32
	for id := range ids {
		if id.Ctr != 0 && id.Actor != 0 && number[id.Actor] == 0 {
			number[id.Actor] = 1
			used = append(used, id.Actor)
		}
	}
	slices.SortFunc(used, func(a, b uint32) int { return bytes.Compare(d.Actors[a], d.Actors[b]) })
	actors := append(make([][]byte, 0, 1+len(used)), d.Actors[0])
	for i, a := range used {
		number[a] = uint32(i + 1)
		actors = append(actors, d.Actors[a])
	}
	for id := range ids {
		id.Actor = number[id.Actor]
	}
	d.Actors = actors
}

// Encoder writes a change operation by operation, for changes too long to be held as a list of Op. The zero value is ready.
type Encoder struct {
	objActor, objCtr, keyActor, keyCtr, key runs
	action, meta                            runs
	predCount, predActor, predCtr, mark     runs
	insert, expand                          flags
	raw                                     []byte
	n                                       int
}

// Len is the number of operations added.
func (e *Encoder) Len() int { return e.n }

// Add writes the next operation. Its Key and Mark must not be written to before Chunk has answered.
func (e *Encoder) Add(op *Op) {
	e.n++
	if op.Obj.Ctr != 0 {
		e.objActor.number(uint64(op.Obj.Actor))
		e.objCtr.number(uint64(op.Obj.Ctr))
	} else {
		e.objActor.null()
		e.objCtr.null()
	}
	if op.IsElem {
		e.key.null()
		e.keyCtr.difference(int64(op.Elem.Ctr))
		if op.Elem.Ctr != 0 {
			e.keyActor.number(uint64(op.Elem.Actor))
		} else { // the head of a list
			e.keyActor.null()
		}
	} else {
		e.key.text(op.Key)
		e.keyCtr.null()
		e.keyActor.null()
	}
	e.insert.add(op.Insert)
	e.expand.add(op.Expand)
	e.action.number(uint64(op.Action))
	before := len(e.raw)
	switch op.Kind {
	case Uint:
		e.raw = binary.AppendUvarint(e.raw, op.Num)
	case Int, Counter, Time:
		e.raw = appendSleb(e.raw, int64(op.Num))
	case Float:
		e.raw = binary.LittleEndian.AppendUint64(e.raw, op.Num)
	case String, Bytes:
		e.raw = append(e.raw, op.Raw...)
	}
	e.meta.number(uint64(len(e.raw)-before)<<4 | uint64(op.Kind))
	e.predCount.number(uint64(len(op.Pred)))
	for _, q := range op.Pred {
		e.predActor.number(uint64(q.Actor))
		e.predCtr.difference(int64(q.Ctr))
	}
	if op.Mark != nil {
		e.mark.text(op.Mark)
	} else {
		e.mark.null()
	}
}

// Chunk frames what was added under the header of d; d.Ops is not looked at. The encoder is used up.
func (e *Encoder) Chunk(d *Draft) []byte {
	expand := e.expand.end()
	if !e.expand.some {
		expand = nil
	}
	columns := [columnCount][]byte{
		colObjActor: e.objActor.end(), colObjCtr: e.objCtr.end(), colKeyActor: e.keyActor.end(), colKeyCtr: e.keyCtr.end(), colKeyName: e.key.end(),
		colInsert: e.insert.end(), colAction: e.action.end(), colMeta: e.meta.end(), colRaw: e.raw, colPredCount: e.predCount.end(),
		colPredActor: e.predActor.end(), colPredCtr: e.predCtr.end(), colExpand: expand, colMark: e.mark.end(),
	}
	head := d.header(nil)
	present, size := 0, 0
	for _, c := range columns {
		if len(c) > 0 {
			present++
			size += len(c)
		}
	}
	head = binary.AppendUvarint(head, uint64(present))
	for i, c := range columns {
		if len(c) > 0 {
			head = binary.AppendUvarint(binary.AppendUvarint(head, specs[i]), uint64(len(c)))
		}
	}
	b := make([]byte, 8, 9+binary.MaxVarintLen64+len(head)+size)
	copy(b, magic[:])
	b = append(binary.AppendUvarint(append(b, chunkChange), uint64(len(head)+size)), head...)
	for _, c := range columns {
		b = append(b, c...)
	}
	sum := sha256.Sum256(b[8:])
	copy(b[4:8], sum[:])
	return b
}

// header is everything before the column list.
func (d *Draft) header(b []byte) []byte {
	field := func(x []byte) { b = append(binary.AppendUvarint(b, uint64(len(x))), x...) }
	b = binary.AppendUvarint(b, uint64(len(d.Deps)))
	for _, h := range d.Deps {
		b = append(b, h[:]...)
	}
	field(d.Actors[0])
	b = binary.AppendUvarint(binary.AppendUvarint(b, d.Seq), d.StartOp)
	b = appendSleb(b, d.Time)
	field(d.Message)
	b = binary.AppendUvarint(b, uint64(len(d.Actors)-1))
	for _, a := range d.Actors[1:] {
		field(a)
	}
	return b
}
