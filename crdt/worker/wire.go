package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"
)

// Operations of a job.
const (
	opMerge   = "merge"
	opChanges = "changes"
)

// Outcomes of a job that ran to its end.
const (
	codeOK      = ""
	codeRequest = "request" // the request cannot be read
	codeBase    = "base"    // the base does not load
	codeMissing = "missing" // the changes in Missing did not attach
	codePoison  = "poison"  // it applied, but what was saved does not load, or loads to something else
	codeLimit   = "limit"   // the answer would be too large
)

// Limits of both directions. A board's page is at most a few megabytes; these only keep a mistake from eating the machine.
const (
	maxDocument = 32 << 20
	maxTotal    = 96 << 20 // one request or answer
	maxChanges  = 200_000
)

type request struct {
	Op      string   `cbor:"1,keyasint"`
	Base    []byte   `cbor:"2,keyasint,omitempty"`
	Changes [][]byte `cbor:"3,keyasint,omitempty"`
	// Memory is how far the child may grow beyond its size at start, in bytes; 0 for no limit.
	Memory uint64 `cbor:"4,keyasint,omitempty"`
	// Watchdog ends the child by itself should the parent die, in milliseconds.
	Watchdog uint64 `cbor:"5,keyasint,omitempty"`
}

type response struct {
	Code     string   `cbor:"1,keyasint,omitempty"`
	Detail   string   `cbor:"2,keyasint,omitempty"` // never content of the document
	Document []byte   `cbor:"3,keyasint,omitempty"`
	Heads    [][]byte `cbor:"4,keyasint,omitempty"`
	Scene    []byte   `cbor:"5,keyasint,omitempty"`
	Changes  [][]byte `cbor:"6,keyasint,omitempty"`
	Missing  []int    `cbor:"7,keyasint,omitempty"`
}

// ErrFrame: a message that is not a length and exactly so many bytes of the expected CBOR.
var ErrFrame = errors.New("worker: malformed message")

var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		MaxArrayElements: maxChanges, MaxMapPairs: 64, MaxNestedLevels: 8,
		IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, DupMapKey: cbor.DupMapKeyEnforcedAPF,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// encodeMessage returns an 8-byte big-endian length and the CBOR of v.
func encodeMessage(v any) ([]byte, error) {
	body, err := cbor.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(body) > maxTotal {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrFrame, len(body), maxTotal)
	}
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(body)), uint64(len(body))), body...), nil
}

// readMessage reads one message and wants the end of the stream after it.
func readMessage(r io.Reader, v any) error {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("%w: length: %w", ErrFrame, err)
	}
	n := binary.BigEndian.Uint64(head[:])
	if n > maxTotal {
		return fmt.Errorf("%w: announces %d bytes, at most %d", ErrFrame, n, maxTotal)
	}
	// Not allocated by the announced length: a liar would get it.
	body, err := io.ReadAll(io.LimitReader(r, int64(n)+1))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	if uint64(len(body)) != n {
		return fmt.Errorf("%w: announces %d bytes, has %d", ErrFrame, n, len(body))
	}
	if err := decoding.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return nil
}
