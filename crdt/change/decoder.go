package change

import (
	"bytes"
	"encoding/binary"
	"iter"
	"unicode/utf8"
)

// Decoder walks the operations of one parsed change, with constant memory. Reset it for the next one; the zero value is ready for Reset.
type Decoder struct {
	c                        *Change
	i                        int // operations yielded
	keys                     int // bytes of keys so far
	objActor, objCtr         rle
	keyActor, keyCtr, keyStr rle
	action, meta             rle
	predCount                rle
	predActor, predCtr, mark rle
	insert, expand           booleans
	raw                      cursor
	preds                    []ID
	used                     [4]uint64 // actors of the table that some operation named
	err                      error
}

// Reset begins with the first operation of a change for which Parse answered nil.
func (d *Decoder) Reset(c *Change) {
	k := &c.columns
	d.c, d.i, d.keys, d.err = c, 0, 0, nil
	d.used = [4]uint64{1}
	d.objActor, d.objCtr = newRLE(k[colObjActor], unsigned, 0), newRLE(k[colObjCtr], unsigned, 0)
	d.keyActor, d.keyCtr = newRLE(k[colKeyActor], unsigned, 0), newRLE(k[colKeyCtr], delta, 0)
	d.keyStr = newRLE(k[colKeyName], text, c.limits.Key)
	d.insert = newBooleans(k[colInsert])
	d.action, d.meta = newRLE(k[colAction], unsigned, 0), newRLE(k[colMeta], unsigned, 0)
	d.raw = cursor{b: k[colRaw]}
	d.predCount = newRLE(k[colPredCount], unsigned, 0)
	d.predActor, d.predCtr = newRLE(k[colPredActor], unsigned, 0), newRLE(k[colPredCtr], delta, 0)
	d.expand = newBooleans(k[colExpand])
	d.mark = newRLE(k[colMark], text, c.limits.Key)
}

// Err is what ended the walk, nil after the last operation of a well-formed change.
func (d *Decoder) Err() error { return d.err }

// Ops ranges over the operations; look at Err afterwards.
func (d *Decoder) Ops() iter.Seq[*Op] {
	return func(yield func(*Op) bool) {
		var op Op
		for d.Next(&op) && yield(&op) {
		}
	}
}

func (d *Decoder) fail(err error) bool {
	if d.err == nil {
		d.err = err
	}
	return false
}

// Next reads the next operation into op; false after the last one or at the first that is not well-formed (see Err).
func (d *Decoder) Next(op *Op) bool {
	if d.err != nil {
		return false
	}
	if d.i == d.c.Count {
		d.err = d.end()
		return false
	}
	own := d.c.StartOp + uint32(d.i)
	d.i++
	*op = Op{ID: ID{Ctr: own}}

	if !d.object(op, own) || !d.key(op, own) {
		return false
	}
	op.Insert, op.Expand = d.insert.next(), d.expand.next()
	if !d.action.next() || d.action.num > uint64(Mark) {
		return d.fail(d.action.fault.or(ErrColumn))
	}
	op.Action = Action(d.action.num)
	if !d.value(op) {
		return false
	}
	if d.mark.next() {
		op.Mark = d.mark.str
	}
	if !d.pred(op, own) {
		return false
	}
	if f := d.objActor.fault | d.objCtr.fault | d.keyActor.fault | d.keyCtr.fault | d.keyStr.fault | d.mark.fault | d.insert.fault | d.expand.fault | d.raw.fault; f != 0 {
		return d.fail(f.err(ErrColumn))
	}
	return true
}

func (d *Decoder) object(op *Op, own uint32) (ok bool) {
	a, b := d.objActor.next(), d.objCtr.next()
	if a != b {
		return d.fail((d.objActor.fault | d.objCtr.fault).or(ErrColumn))
	}
	if a {
		op.Obj, ok = d.id(d.objCtr.num, d.objActor.num, own)
		return ok
	}
	return true
}

func (d *Decoder) key(op *Op, own uint32) (ok bool) {
	a, b, s := d.keyActor.next(), d.keyCtr.next(), d.keyStr.next()
	switch {
	case s && !a && !b:
		op.Key = d.keyStr.str
		if d.keys += len(op.Key); d.keys > d.c.limits.Keys {
			return d.fail(ErrTooLarge)
		}
		return true
	case a && b && !s:
		op.IsElem = true
		op.Elem, ok = d.id(uint64(d.keyCtr.sum), d.keyActor.num, own)
		return ok
	case b && !a && !s && d.keyCtr.sum == 0: // the head of a list
		op.IsElem = true
		return true
	}
	return d.fail((d.keyActor.fault | d.keyCtr.fault | d.keyStr.fault).or(ErrColumn))
}

// id checks that an operation is named that can exist: below this one, and below the change's start when somebody else made it.
func (d *Decoder) id(ctr, actor uint64, below uint32) (ID, bool) {
	if actor != 0 {
		below = min(below, d.c.StartOp)
	}
	if ctr == 0 || ctr >= uint64(below) || actor >= uint64(len(d.c.Actors)) {
		return ID{}, d.fail(ErrRef)
	}
	d.used[actor>>6] |= 1 << (actor & 63)
	return ID{uint32(ctr), uint32(actor)}, true
}

func (d *Decoder) value(op *Op) bool {
	if !d.meta.next() {
		return d.fail(d.meta.fault.or(ErrColumn))
	}
	n := d.meta.num >> 4
	op.Kind = Kind(d.meta.num & 15)
	if n > uint64(d.c.limits.Value) {
		return d.fail(ErrTooLarge)
	}
	b := d.raw.take(n)
	if d.raw.fault != 0 {
		return d.fail(ErrColumn)
	}
	in := cursor{b: b}
	switch op.Kind {
	case Null, False, True:
		if n != 0 {
			return d.fail(ErrNotCanonical)
		}
	case Uint:
		op.Num = in.uleb()
	case Int, Counter, Time:
		op.Num = uint64(in.sleb())
	case Float:
		if n != 8 {
			return d.fail(ErrColumn)
		}
		op.Num, in.b = binary.LittleEndian.Uint64(b), nil
	case String:
		op.Raw, in.b = b, nil
		if !utf8.Valid(b) {
			return d.fail(ErrColumn)
		}
	case Bytes:
		op.Raw, in.b = b, nil
	default: // kinds 10 to 15 mean nothing yet
		return d.fail(ErrColumn)
	}
	if in.fault != 0 || len(in.b) != 0 {
		return d.fail(in.fault.or(ErrColumn))
	}
	switch {
	case op.Action == Increment:
		if op.Kind != Int && op.Kind != Uint {
			return d.fail(ErrColumn)
		}
	case op.Kind != Null && op.Action != Put && op.Action != Mark:
		return d.fail(ErrNotCanonical) // a document would not keep it
	}
	return true
}

// pred reads the predecessors; their sum was bounded before.
func (d *Decoder) pred(op *Op, own uint32) bool {
	if !d.predCount.next() {
		return d.fail(d.predCount.fault.or(ErrColumn))
	}
	d.preds = d.preds[:0]
	for range d.predCount.num {
		if !d.predActor.next() || !d.predCtr.next() {
			return d.fail((d.predActor.fault | d.predCtr.fault).or(ErrColumn))
		}
		p, ok := d.id(uint64(d.predCtr.sum), d.predActor.num, own)
		if !ok {
			return false
		}
		if n := len(d.preds); n > 0 && !d.less(d.preds[n-1], p) {
			return d.fail(ErrRef)
		}
		d.preds = append(d.preds, p)
	}
	op.Pred = d.preds
	return true
}

// less orders ids as Automerge does: by counter, then by the actor's bytes.
func (d *Decoder) less(a, b ID) bool {
	if a.Ctr != b.Ctr {
		return a.Ctr < b.Ctr
	}
	return bytes.Compare(d.c.Actors[a.Actor], d.c.Actors[b.Actor]) < 0
}

// end judges the whole after the last operation.
func (d *Decoder) end() error {
	f := d.objActor.end() | d.objCtr.end() | d.keyActor.end() | d.keyCtr.end() | d.keyStr.end() | d.action.end() | d.meta.end() |
		d.predCount.end() | d.predActor.end() | d.predCtr.end() | d.mark.end() | d.insert.end() | d.expand.end()
	switch {
	case f != 0:
		return f.err(ErrLength)
	case len(d.raw.b) != 0:
		return ErrLength
	case d.insert.absent && d.c.Count > 0, !d.expand.absent && !d.expand.some:
		return ErrNotCanonical
	}
	for i := range d.c.Actors {
		if d.used[i>>6]>>(i&63)&1 == 0 {
			return ErrNotCanonical // an engine names only the actors it needs
		}
	}
	return nil
}
