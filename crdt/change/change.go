// Package change reads Automerge change chunks without an engine: frame, checksum, header and every operation.
//
// It owns the wire form, and refuses whatever Automerge itself would not have written byte for byte: an engine keeps operations, not bytes, encodes a
// document's changes anew when the document is loaded, and a change that was encoded otherwise then has another hash, so that the document cannot be
// loaded (SPEC CH4). What the operations mean is crdt/schema's part. No input makes it panic, or makes it allocate by a number on the wire.
package change

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"unicode/utf8"
)

// Hash names a change: SHA-256 over type, length and body, as Automerge computes it. Convertible to board.Hash.
type Hash [32]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Change is one parsed change. It may be parsed into again and again; its slices alias the chunk, which must not be written to as long as
// the change is in use. After Parse nothing in it is written, so it can be handed from the goroutine that parsed it to another with its chunk.
// Do not copy it.
type Change struct {
	Hash    Hash     // set as soon as the frame is whole, so that a refusal can name the change
	Seq     uint64   // the actor's number for it, from 1 without gaps
	StartOp uint32   // number of the first operation
	Count   int      // operations
	Time    int64    // seconds since 1970 as the author claims; not to be trusted
	Message []byte   // UTF-8, as the author claims
	Actors  [][]byte // [0] is the author, then every other actor named, ascending

	deps    []byte
	limits  *Limits
	columns [columnCount][]byte
	few     [4][]byte // backing of Actors in the usual case
}

var magic = [4]byte{0x85, 0x6f, 0x4a, 0x83}

// Types of chunks.
const (
	chunkChange     = 1
	chunkCompressed = 2
)

// Parse reads one whole chunk: frame, checksum, header, column list, and the number of operations without expanding them. nil limits mean
// DefaultLimits. The operations are judged by walking them with a Decoder; only when it ends without an error is the change well-formed.
func (c *Change) Parse(chunk []byte, limits *Limits) error {
	if limits == nil {
		limits = &DefaultLimits
	}
	c.Hash, c.limits = Hash{}, limits
	if len(chunk) > limits.Chunk {
		return ErrTooLarge
	}
	if len(chunk) < 10 || [4]byte(chunk) != magic {
		return ErrFrame
	}
	r := cursor{b: chunk[9:]}
	if n := r.uleb(); r.fault != 0 || n != uint64(len(r.b)) {
		return ErrFrame
	}
	if chunk[8] != chunkChange {
		return ErrType
	}
	c.Hash = sha256.Sum256(chunk[8:])
	if [4]byte(c.Hash[:4]) != [4]byte(chunk[4:8]) {
		return ErrChecksum
	}
	if err := c.header(&r); err != nil {
		return err
	}
	return c.count()
}

// Author is the actor that made the change. It aliases the chunk.
func (c *Change) Author() []byte { return c.Actors[0] }

// Deps is the number of dependencies.
func (c *Change) Deps() int { return len(c.deps) / 32 }

// Dep is the i-th dependency; they ascend.
func (c *Change) Dep(i int) Hash { return Hash(c.deps[32*i:]) }

// End is the number of the last operation, StartOp - 1 when there is none.
func (c *Change) End() uint32 { return c.StartOp + uint32(c.Count) - 1 }

// header reads everything before the column data and cuts the columns.
func (c *Change) header(r *cursor) error {
	n := r.uleb()
	if n > uint64(c.limits.Deps) {
		return ErrTooLarge
	}
	c.deps = r.take(n * 32)
	for i := 32; i < len(c.deps); i += 32 {
		if bytes.Compare(c.deps[i-32:i], c.deps[i:i+32]) >= 0 {
			return ErrHeader
		}
	}
	author := r.take(r.uleb())
	c.Actors = append(c.few[:0], author)
	c.Seq = r.uleb()
	start := r.uleb()
	c.Time = r.sleb()
	c.Message = r.take(r.uleb())
	others := r.uleb()
	if r.fault != 0 {
		return r.fault.err(ErrHeader)
	}
	if others > uint64(c.limits.Actors) || len(c.Message) > c.limits.Message {
		return ErrTooLarge
	}
	if c.Seq == 0 || start == 0 || start > math.MaxUint32 || len(author) == 0 || !utf8.Valid(c.Message) {
		return ErrHeader
	}
	c.StartOp = uint32(start)
	for i := range int(others) {
		a := r.take(r.uleb())
		if len(a) == 0 || bytes.Equal(a, author) || i > 0 && bytes.Compare(a, c.Actors[i]) <= 0 {
			return ErrHeader
		}
		c.Actors = append(c.Actors, a)
	}
	return c.cut(r)
}
