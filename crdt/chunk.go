package crdt

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// Types of Automerge chunks (automerge.org binary format). Deflated changes (2) and bundles (3) are never written here, so never read.
const (
	chunkDocument = 0
	chunkChange   = 1
)

// ErrFrame: the bytes are not exactly one chunk of the wanted type with a right checksum.
var ErrFrame = errors.New("crdt: not exactly one Automerge chunk of the right type")

var magic = [4]byte{0x85, 0x6f, 0x4a, 0x83}

// HashChange returns the hash of a change chunk after checking its frame and checksum. What is inside is crdt/change's business.
func HashChange(chunk []byte) (Hash, error) {
	if err := checkFrame(chunk, chunkChange); err != nil {
		return Hash{}, err
	}
	return sha256.Sum256(chunk[8:]), nil
}

// checkFrame wants magic, checksum, type, length (LEB128) and then exactly length bytes.
func checkFrame(chunk []byte, kind byte) error {
	if len(chunk) < 10 || [4]byte(chunk) != magic || chunk[8] != kind {
		return ErrFrame
	}
	length, n := binary.Uvarint(chunk[9:])
	if n <= 0 || length != uint64(len(chunk)-9-n) {
		return ErrFrame
	}
	if sum := sha256.Sum256(chunk[8:]); [4]byte(sum[:]) != [4]byte(chunk[4:]) {
		return ErrFrame
	}
	return nil
}

// dependencies reads the list that a change's body begins with. The frame has been checked.
func dependencies(chunk []byte) ([]Hash, error) {
	_, n := binary.Uvarint(chunk[9:])
	body := chunk[9+n:]
	count, n := binary.Uvarint(body)
	if n <= 0 || count > uint64(len(body)-n)/32 {
		return nil, ErrFrame
	}
	deps := make([]Hash, count)
	for i := range deps {
		deps[i] = Hash(body[n+32*i:])
	}
	return deps, nil
}
