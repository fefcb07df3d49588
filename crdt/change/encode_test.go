package change

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
)

// The encoder is the referee of the decoder: what Parse accepts must come out of it with the same bytes. It knows nothing of the decoder's rules;
// it only writes as Automerge does.

func appendSleb(b []byte, v int64) []byte {
	for {
		x := byte(v & 0x7f)
		v >>= 7
		if v == 0 && x&0x40 == 0 || v == -1 && x&0x40 != 0 {
			return append(b, x)
		}
		b = append(b, x|0x80)
	}
}

func uleb(v uint64) []byte { return binary.AppendUvarint([]byte{}, v) }

// runLength encodes entries that are already encoded values; nil is a null. A column of nothing but nulls is left out.
func runLength(entries [][]byte) (out []byte) {
	some := false
	var literals [][]byte
	flush := func() {
		if len(literals) > 0 {
			out = append(appendSleb(out, -int64(len(literals))), bytes.Join(literals, nil)...)
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
			out = append(appendSleb(out, int64(n)), v...)
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

// encode writes a change with its operations; ids in ops index c.Actors.
func encode(c *Change, ops []Op) []byte {
	var objActor, objCtr, keyActor, keyCtr, key, action, meta, predCount, predActor, predCtr, mark [][]byte
	var insert, expand []bool
	var raw []byte
	var lastKey, lastPred int64
	anyExpand := false
	for _, op := range ops {
		var oa, oc, ka, kc, ks, mk []byte
		if op.Obj.Ctr != 0 {
			oa, oc = uleb(uint64(op.Obj.Actor)), uleb(uint64(op.Obj.Ctr))
		}
		if op.IsElem {
			if op.Elem.Ctr != 0 {
				ka = uleb(uint64(op.Elem.Actor))
			}
			kc = appendSleb([]byte{}, int64(op.Elem.Ctr)-lastKey)
			lastKey = int64(op.Elem.Ctr)
		} else {
			ks = append(uleb(uint64(len(op.Key))), op.Key...)
		}
		if op.Mark != nil {
			mk = append(uleb(uint64(len(op.Mark))), op.Mark...)
		}
		objActor, objCtr, keyActor, keyCtr, key, mark = append(objActor, oa), append(objCtr, oc), append(keyActor, ka), append(keyCtr, kc), append(key, ks), append(mark, mk)
		insert, expand = append(insert, op.Insert), append(expand, op.Expand)
		anyExpand = anyExpand || op.Expand
		action = append(action, uleb(uint64(op.Action)))
		before := len(raw)
		switch op.Kind {
		case Uint:
			raw = binary.AppendUvarint(raw, op.Num)
		case Int, Counter, Time:
			raw = appendSleb(raw, int64(op.Num))
		case Float:
			raw = binary.LittleEndian.AppendUint64(raw, op.Num)
		case String, Bytes:
			raw = append(raw, op.Raw...)
		}
		meta = append(meta, uleb(uint64(len(raw)-before)<<4|uint64(op.Kind)))
		predCount = append(predCount, uleb(uint64(len(op.Pred))))
		for _, q := range op.Pred {
			predActor = append(predActor, uleb(uint64(q.Actor)))
			predCtr = append(predCtr, appendSleb([]byte{}, int64(q.Ctr)-lastPred))
			lastPred = int64(q.Ctr)
		}
	}
	cols := []column{
		{0x01, runLength(objActor)}, {0x02, runLength(objCtr)}, {0x11, runLength(keyActor)}, {0x13, runLength(keyCtr)}, {0x15, runLength(key)},
		{0x34, runsOfBooleans(insert)}, {0x42, runLength(action)}, {0x56, runLength(meta)}, {0x57, raw},
		{0x70, runLength(predCount)}, {0x71, runLength(predActor)}, {0x73, runLength(predCtr)}, {0x94, nil}, {0xa5, runLength(mark)},
	}
	if anyExpand {
		cols[12].data = runsOfBooleans(expand)
	}
	var deps []Hash
	for i := range c.Deps() {
		deps = append(deps, c.Dep(i))
	}
	return build(chunkChange, deps, c.Actors, c.Seq, uint64(c.StartOp), c.Time, c.Message, cols, nil)
}

type column struct {
	spec uint64
	data []byte
}

// build frames a change of given columns; empty ones are left out.
func build(typ byte, deps []Hash, actors [][]byte, seq, start uint64, time int64, message []byte, cols []column, extra []byte) []byte {
	b := uleb(uint64(len(deps)))
	for _, d := range deps {
		b = append(b, d[:]...)
	}
	b = append(append(b, uleb(uint64(len(actors[0])))...), actors[0]...)
	b = appendSleb(append(append(b, uleb(seq)...), uleb(start)...), time)
	b = append(append(b, uleb(uint64(len(message)))...), message...)
	b = append(b, uleb(uint64(len(actors)-1))...)
	for _, a := range actors[1:] {
		b = append(append(b, uleb(uint64(len(a)))...), a...)
	}
	n := 0
	for _, c := range cols {
		if len(c.data) > 0 {
			n++
		}
	}
	b = append(b, uleb(uint64(n))...)
	for _, c := range cols {
		if len(c.data) > 0 {
			b = append(append(b, uleb(c.spec)...), uleb(uint64(len(c.data)))...)
		}
	}
	for _, c := range cols {
		b = append(b, c.data...)
	}
	return seal(typ, append(b, extra...))
}

// seal frames a body.
func seal(typ byte, body []byte) []byte {
	b := append(append([]byte{typ}, uleb(uint64(len(body)))...), body...)
	b = append(append(append([]byte{}, magic[:]...), 0, 0, 0, 0), b...)
	return resign(b)
}

// resign corrects the checksum of a chunk of type 1 in place.
func resign(b []byte) []byte {
	if len(b) > 8 {
		sum := sha256.Sum256(b[8:])
		copy(b[4:8], sum[:4])
	}
	return b
}
