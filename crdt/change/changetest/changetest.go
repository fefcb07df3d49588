// Package changetest writes change chunks, for tests and load generators only: honest ones, byte for byte as Automerge does, and any other. It is the referee of the
// decoder in crdt/change (what Parse accepts must come out of Encode with the same bytes) and shares nothing with it but the types.
package changetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"github.com/educationpub/lectern/crdt/change"
)

// Change is what to encode. Ids in Ops index Actors; the ids of the operations themselves are not written.
type Change struct {
	Deps    []change.Hash
	Actors  [][]byte // the author first
	Seq     uint64
	StartOp uint64
	Time    int64
	Message []byte
	Ops     []change.Op
}

// Column is one column as it stands on the wire.
type Column struct {
	Spec uint64
	Data []byte
}

// AppendSleb appends a signed LEB128 number.
func AppendSleb(b []byte, v int64) []byte {
	for {
		x := byte(v & 0x7f)
		v >>= 7
		if v == 0 && x&0x40 == 0 || v == -1 && x&0x40 != 0 {
			return append(b, x)
		}
		b = append(b, x|0x80)
	}
}

// Uleb is an unsigned LEB128 number.
func Uleb(v uint64) []byte { return binary.AppendUvarint([]byte{}, v) }

// runLength encodes entries that are already encoded values; nil is a null. A column of nothing but nulls is left out.
func runLength(entries [][]byte) (out []byte) {
	some := false
	var literals [][]byte
	flush := func() {
		if len(literals) > 0 {
			out = append(AppendSleb(out, -int64(len(literals))), bytes.Join(literals, nil)...)
			literals = nil
		}
	}
	for i := 0; i < len(entries); {
		v, n := entries[i], 1
		for i+n < len(entries) && (entries[i+n] == nil) == (v == nil) && bytes.Equal(entries[i+n], v) {
			n++
		}
		i += n
		some = some || v != nil
		switch {
		case v == nil:
			flush()
			out = binary.AppendUvarint(append(out, 0), uint64(n))
		case n == 1:
			literals = append(literals, v)
		default:
			flush()
			out = append(AppendSleb(out, int64(n)), v...)
		}
	}
	flush()
	if !some {
		return nil
	}
	return out
}

func runsOfBooleans(entries []bool) (out []byte) {
	n, val := uint64(0), false
	for _, e := range entries {
		if e != val {
			out = binary.AppendUvarint(out, n)
			n, val = 0, e
		}
		n++
	}
	if n > 0 {
		out = binary.AppendUvarint(out, n)
	}
	return out
}

// Encode writes the one form that Automerge would.
func (c *Change) Encode() []byte {
	var objActor, objCtr, keyActor, keyCtr, key, action, meta, predCount, predActor, predCtr, mark [][]byte
	var insert, expand []bool
	var raw []byte
	var lastKey, lastPred int64
	anyExpand := false
	for _, op := range c.Ops {
		var oa, oc, ka, kc, ks, mk []byte
		if op.Obj.Ctr != 0 {
			oa, oc = Uleb(uint64(op.Obj.Actor)), Uleb(uint64(op.Obj.Ctr))
		}
		if op.IsElem {
			if op.Elem.Ctr != 0 {
				ka = Uleb(uint64(op.Elem.Actor))
			}
			kc = AppendSleb([]byte{}, int64(op.Elem.Ctr)-lastKey)
			lastKey = int64(op.Elem.Ctr)
		} else {
			ks = append(Uleb(uint64(len(op.Key))), op.Key...)
		}
		if op.Mark != nil {
			mk = append(Uleb(uint64(len(op.Mark))), op.Mark...)
		}
		objActor, objCtr, keyActor, keyCtr, key, mark = append(objActor, oa), append(objCtr, oc), append(keyActor, ka), append(keyCtr, kc), append(key, ks), append(mark, mk)
		insert, expand = append(insert, op.Insert), append(expand, op.Expand)
		anyExpand = anyExpand || op.Expand
		action = append(action, Uleb(uint64(op.Action)))
		before := len(raw)
		switch op.Kind {
		case change.Uint:
			raw = binary.AppendUvarint(raw, op.Num)
		case change.Int, change.Counter, change.Time:
			raw = AppendSleb(raw, int64(op.Num))
		case change.Float:
			raw = binary.LittleEndian.AppendUint64(raw, op.Num)
		case change.String, change.Bytes:
			raw = append(raw, op.Raw...)
		}
		meta = append(meta, Uleb(uint64(len(raw)-before)<<4|uint64(op.Kind)))
		predCount = append(predCount, Uleb(uint64(len(op.Pred))))
		for _, q := range op.Pred {
			predActor = append(predActor, Uleb(uint64(q.Actor)))
			predCtr = append(predCtr, AppendSleb([]byte{}, int64(q.Ctr)-lastPred))
			lastPred = int64(q.Ctr)
		}
	}
	cols := []Column{
		{0x01, runLength(objActor)},
		{0x02, runLength(objCtr)},
		{0x11, runLength(keyActor)},
		{0x13, runLength(keyCtr)},
		{0x15, runLength(key)},
		{0x34, runsOfBooleans(insert)},
		{0x42, runLength(action)},
		{0x56, runLength(meta)},
		{0x57, raw},
		{0x70, runLength(predCount)},
		{0x71, runLength(predActor)},
		{0x73, runLength(predCtr)},
		{0x94, nil},
		{0xa5, runLength(mark)},
	}
	if anyExpand {
		cols[12].Data = runsOfBooleans(expand)
	}
	return c.Build(cols, nil)
}

// Build writes a change with the given columns instead of Ops, and extra bytes behind them. Empty columns are left out.
func (c *Change) Build(cols []Column, extra []byte) []byte {
	b := Uleb(uint64(len(c.Deps)))
	for _, d := range c.Deps {
		b = append(b, d[:]...)
	}
	b = append(append(b, Uleb(uint64(len(c.Actors[0])))...), c.Actors[0]...)
	b = AppendSleb(append(append(b, Uleb(c.Seq)...), Uleb(c.StartOp)...), c.Time)
	b = append(append(b, Uleb(uint64(len(c.Message)))...), c.Message...)
	b = append(b, Uleb(uint64(len(c.Actors)-1))...)
	for _, a := range c.Actors[1:] {
		b = append(append(b, Uleb(uint64(len(a)))...), a...)
	}
	n := 0
	for _, c := range cols {
		if len(c.Data) > 0 {
			n++
		}
	}
	b = append(b, Uleb(uint64(n))...)
	for _, c := range cols {
		if len(c.Data) > 0 {
			b = append(append(b, Uleb(c.Spec)...), Uleb(uint64(len(c.Data)))...)
		}
	}
	for _, c := range cols {
		b = append(b, c.Data...)
	}
	return Seal(1, append(b, extra...))
}

// Seal frames a body as a chunk of a type: 0 document, 1 change, 2 compressed change, 3 bundle.
func Seal(typ byte, body []byte) []byte {
	b := append(append([]byte{typ}, Uleb(uint64(len(body)))...), body...)
	b = append([]byte{0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0}, b...)
	return Resign(b)
}

// Resign corrects the checksum of a chunk in place, as a chunk of type 1 has it.
func Resign(b []byte) []byte {
	if len(b) > 8 {
		sum := sha256.Sum256(b[8:])
		copy(b[4:8], sum[:4])
	}
	return b
}
