package change

import (
	"bytes"
	"encoding/binary"
)

// runs writes a run-length column as rle reads it: repeats from two on, single values gathered into literal runs, runs of nulls.
type runs struct {
	out      []byte
	literals []byte // single values not yet in out
	count    int64  // of them

	content content
	run     run // of the entry that is open: repeated or nulls; noRun before the first
	n       int64
	num     uint64
	str     []byte

	last int64 // of a delta column
	some bool  // some entry was not null
}

func (r *runs) number(v uint64) { r.add(unsigned, v, nil) }
func (r *runs) text(b []byte)   { r.add(text, 0, b) }

func (r *runs) difference(v int64) {
	r.add(delta, uint64(v-r.last), nil)
	r.last = v
}

func (r *runs) add(c content, num uint64, str []byte) {
	if r.run == repeated && r.num == num && (c != text || bytes.Equal(r.str, str)) {
		r.n++
		return
	}
	r.close()
	r.run, r.n, r.content, r.num, r.str, r.some = repeated, 1, c, num, str, true
}

func (r *runs) null() {
	if r.run != nulls {
		r.close()
		r.run, r.n = nulls, 0
	}
	r.n++
}

// close writes the entry that is open.
func (r *runs) close() {
	switch {
	case r.run == repeated && r.n == 1:
		r.literals = r.value(r.literals)
		r.count++
	case r.run == repeated:
		r.flush()
		r.out = r.value(appendSleb(r.out, r.n))
	case r.run == nulls:
		r.flush()
		r.out = binary.AppendUvarint(append(r.out, 0), uint64(r.n))
	}
}

func (r *runs) value(b []byte) []byte {
	switch r.content {
	case delta:
		return appendSleb(b, int64(r.num))
	case text:
		return append(binary.AppendUvarint(b, uint64(len(r.str))), r.str...)
	}
	return binary.AppendUvarint(b, r.num)
}

func (r *runs) flush() {
	if r.count > 0 {
		r.out = append(appendSleb(r.out, -r.count), r.literals...)
		r.literals, r.count = r.literals[:0], 0
	}
}

// end is the whole column, nothing when it has no value.
func (r *runs) end() []byte {
	if !r.some {
		return nil
	}
	r.close()
	r.flush()
	r.run = noRun
	return r.out
}

// flags writes a boolean column: lengths of runs in turn, the first of false.
type flags struct {
	out  []byte
	n    uint64
	val  bool
	some bool // some entry was true
}

func (f *flags) add(v bool) {
	if v != f.val {
		f.out = binary.AppendUvarint(f.out, f.n)
		f.n, f.val, f.some = 0, v, true
	}
	f.n++
}

func (f *flags) end() []byte {
	if f.n > 0 {
		f.out = binary.AppendUvarint(f.out, f.n)
		f.n = 0
	}
	return f.out
}

// appendSleb appends a signed LEB128 number.
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
