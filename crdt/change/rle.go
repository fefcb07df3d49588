package change

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// kind of content of a run-length column.
type content uint8

const (
	unsigned content = iota
	delta            // differences to the last value, from 0
	text             // length, then UTF-8
)

// run is what kind of run a column is in, or was in before.
type run uint8

const (
	noRun run = iota
	repeated
	literal
	nulls
)

// rle yields a run-length column one entry at a time and insists on the one encoding that Automerge writes: no repeat of one, no two literal runs or
// two null runs in a row, no equal neighbours outside a repeat, and no column of nothing but nulls. An absent column is all nulls; a present one must end
// exactly with the last operation.
type rle struct {
	cursor
	content content
	absent  bool
	run     run
	fresh   bool  // the next literal is the first after nulls or at the start: it has no neighbour to differ from
	some    bool  // some entry was not null
	left    int64 // entries left in the run
	num     uint64
	sum     int64 // of a delta column
	str     []byte
	max     int // longest string
}

func newRLE(b []byte, c content, max int) rle {
	return rle{cursor: cursor{b: b}, content: c, absent: len(b) == 0, max: max}
}

// next reports whether the entry has a value, which is then in num, sum or str.
func (r *rle) next() bool {
	if r.absent {
		return false
	}
	if r.left == 0 && !r.open() {
		return false
	}
	r.left--
	switch r.run {
	case nulls:
		return false
	case literal:
		num, str := r.num, r.str
		r.load()
		if !r.fresh && r.same(num, str) {
			r.fault |= odd
		}
		r.fresh = false
	}
	r.some = true
	if r.content == delta {
		r.sum += int64(r.num) // wraps harmlessly: every result is range-checked
	}
	return r.fault == 0
}

// open begins the next run.
func (r *rle) open() bool {
	if len(r.b) == 0 {
		r.fault |= damaged // shorter than the action column
		return false
	}
	before := r.run
	switch k := r.sleb(); {
	case r.fault != 0:
	case k > 1:
		r.run, r.left = repeated, k
		num, str := r.num, r.str
		r.load()
		if (before == repeated || before == literal) && r.same(num, str) {
			r.fault |= odd
		}
	case k < 0 && k > math.MinInt64 && before != literal:
		r.run, r.left = literal, -k
		r.fresh = before != repeated
	case k == 0 && before != nulls:
		n := r.uleb()
		if n > math.MaxInt64 {
			r.fault |= damaged
		} else if n == 0 {
			r.fault |= odd
		}
		r.run, r.left = nulls, int64(n)
	default:
		r.fault |= odd
	}
	return r.fault == 0
}

// load reads one value.
func (r *rle) load() {
	switch r.content {
	case unsigned:
		r.num = r.uleb()
	case delta:
		r.num = uint64(r.sleb())
	case text:
		n := r.uleb()
		if n > uint64(r.max) {
			r.fault |= damaged
			return
		}
		if r.str = r.take(n); !utf8.Valid(r.str) {
			r.fault |= damaged
		}
	}
}

func (r *rle) same(num uint64, str []byte) bool {
	if r.content == text {
		return bytes.Equal(r.str, str)
	}
	return r.num == num
}

// end is what is wrong with the column after the last operation.
func (r *rle) end() fault {
	f := r.fault
	if !r.absent {
		if len(r.b) != 0 || r.left != 0 {
			f |= damaged
		} else if !r.some {
			f |= odd
		}
	}
	return f
}

// booleans yields a boolean column: lengths of runs, alternating, the first of false; only the first may be empty.
type booleans struct {
	cursor
	absent bool
	begun  bool
	val    bool
	some   bool // some entry was true
	left   uint64
}

func newBooleans(b []byte) booleans { return booleans{cursor: cursor{b: b}, absent: len(b) == 0} }

func (r *booleans) next() bool {
	if r.absent {
		return false
	}
	for r.left == 0 {
		if len(r.b) == 0 {
			r.fault |= damaged
			return false
		}
		r.left = r.uleb()
		if r.left == 0 && r.begun {
			r.fault |= odd
			return false
		}
		r.val = r.begun && !r.val
		r.begun = true
		if r.fault != 0 {
			return false
		}
	}
	r.left--
	r.some = r.some || r.val
	return r.val
}

func (r *booleans) end() fault {
	if !r.absent && (len(r.b) != 0 || r.left != 0) {
		return r.fault | damaged
	}
	return r.fault
}
