// Package changetest writes change chunks that nobody honest would write, for tests only. Honest ones are written by change.Draft.
package changetest

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/educationpub/lectern/crdt/change"
)

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

// Build writes a change with the header of a draft, the given columns instead of its operations, and extra bytes behind them. Empty columns are left out.
func Build(d change.Draft, cols []Column, extra []byte) []byte {
	d.Ops = nil
	empty := d.Encode()
	_, n := binary.Uvarint(empty[9:])
	b := empty[9+n : len(empty)-1 : len(empty)-1] // without the number of columns, which is 0
	n = 0
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
