package change

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"io"
)

// ParseStored reads a chunk that comes out of an engine or an archive, where compressed chunks are allowed: it answers the plain chunk that c
// then aliases and that is to be kept instead. nil limits mean StoredLimits.
func (c *Change) ParseStored(chunk []byte, limits *Limits) ([]byte, error) {
	if limits == nil {
		limits = &StoredLimits
	}
	plain, err := Inflate(chunk)
	if err != nil {
		return nil, err
	}
	return plain, c.Parse(plain, limits)
}

// Inflate answers the plain form of a compressed change chunk of at most MaxInflated bytes, and any other chunk as it is. The checksum needs no
// change: it is always over the plain form, which Parse checks.
func Inflate(chunk []byte) ([]byte, error) {
	if len(chunk) < 10 || [4]byte(chunk) != magic || chunk[8] != chunkCompressed {
		return chunk, nil
	}
	r := cursor{b: chunk[9:]}
	if n := r.uleb(); r.fault != 0 || n != uint64(len(r.b)) {
		return nil, ErrFrame
	}
	in := bytes.NewReader(r.b)
	z := flate.NewReader(in)
	body, err := io.ReadAll(io.LimitReader(z, MaxInflated+1))
	switch {
	case err != nil || len(body) <= MaxInflated && in.Len() != 0:
		return nil, ErrFrame
	case len(body) > MaxInflated:
		return nil, ErrTooLarge
	}
	plain := append(make([]byte, 0, 9+binary.MaxVarintLen32+len(body)), magic[:]...)
	plain = append(plain, chunk[4:8]...)
	plain = binary.AppendUvarint(append(plain, chunkChange), uint64(len(body)))
	plain = append(plain, body...)
	if sum := sha256.Sum256(plain[8:]); [4]byte(sum[:4]) != [4]byte(chunk[4:8]) {
		return nil, ErrChecksum
	}
	return plain, nil
}
