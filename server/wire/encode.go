package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/educationpub/lectern/crdt/board"
)

// CBOR major types (RFC 8949 §3.1).
const (
	majorUint  = 0
	majorBytes = 2
	majorText  = 3
	majorArray = 4
)

// maps encodes the frames that carry a map.
var maps = func() cbor.EncMode {
	o := cbor.CoreDetEncOptions()
	o.NilContainers = cbor.NilContainerAsEmpty
	m, err := o.EncMode()
	if err != nil {
		panic(fmt.Sprintf("wire: encoder options: %v", err)) // constant options
	}
	return m
}()

func appendHead(dst []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n < 1<<8:
		return append(dst, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), n)
}

// appendFrame opens a frame of items items after its type.
func appendFrame(dst []byte, t Type, items int) []byte {
	return appendHead(appendHead(dst, majorArray, uint64(items)+1), majorUint, uint64(t))
}

func appendUint(dst []byte, n uint64) []byte { return appendHead(dst, majorUint, n) }

func appendBytes(dst, b []byte) []byte {
	return append(appendHead(dst, majorBytes, uint64(len(b))), b...)
}

func appendText(dst []byte, s string) []byte {
	return append(appendHead(dst, majorText, uint64(len(s))), s...)
}

func appendMap(dst []byte, t Type, v any) []byte {
	b, err := maps.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("wire: encode frame %d: %v", t, err)) // the types of this package always encode
	}
	return append(appendFrame(dst, t, 1), b...)
}

func (f Auth) Append(dst []byte) []byte { return appendText(appendFrame(dst, TypeAuth, 1), f.Token) }

func (f Change) Append(dst []byte) []byte {
	dst = appendUint(appendText(appendFrame(dst, TypeChange, 3), f.Doc), uint64(f.Epoch))
	dst = appendHead(dst, majorArray, uint64(len(f.Changes)))
	for _, c := range f.Changes {
		dst = appendBytes(dst, c)
	}
	return dst
}

func (f Live) Append(dst []byte) []byte {
	return appendBytes(appendUint(appendFrame(dst, TypeLive, 2), uint64(f.Slot)), f.Payload)
}

func (f Lane) Append(dst []byte) []byte {
	return appendUint(appendUint(appendFrame(dst, TypeLane, 2), uint64(f.Lane)), f.Have)
}

func (f Pong) Append(dst []byte) []byte { return appendUint(appendFrame(dst, TypePong, 1), f.N) }

func (f Ticket) Append(dst []byte) []byte {
	return appendBytes(appendFrame(dst, TypeTicket, 1), f.Ticket)
}

func (f Entries) Append(dst []byte) []byte {
	dst = AppendEntriesHead(dst, f.From, len(f.Entries))
	for _, e := range f.Entries {
		dst = appendEntry(dst, e.Doc, e.Epoch, e.Kind, e.Actor, e.Bytes)
	}
	return dst
}

func appendEntry(dst []byte, doc string, epoch uint32, kind uint8, actor, raw []byte) []byte {
	dst = appendText(appendHead(dst, majorArray, 5), doc)
	dst = appendUint(appendUint(dst, uint64(epoch)), uint64(kind))
	return appendBytes(appendBytes(dst, actor), raw)
}

// AppendEntry appends the encoding of e inside an entries frame. It depends on nothing but the entry, so a board encodes each entry once
// (board.Config.Encode) and every session's frame copies it. A squash may be of any size and is of no use to those who hold the epoch before
// it: it does not travel, clients fetch the document.
func AppendEntry(dst []byte, e board.Entry) []byte {
	raw := e.Bytes
	if e.Kind == board.KindEpoch {
		raw = nil
	}
	return appendEntry(dst, string(e.Doc), e.Epoch, uint8(e.Kind), e.Actor[:], raw)
}

// MaxEntriesHead is the most that AppendEntriesHead appends.
const MaxEntriesHead = 16

// AppendEntriesHead opens an entries frame; n encoded entries (AppendEntry) have to follow.
func AppendEntriesHead(dst []byte, from uint64, n int) []byte {
	return appendHead(appendUint(appendFrame(dst, TypeEntries, 2), from), majorArray, uint64(n))
}

func (f LiveUpdates) Append(dst []byte) []byte {
	dst = AppendLiveHead(dst, len(f.Updates))
	for _, u := range f.Updates {
		dst = AppendLiveUpdate(dst, u)
	}
	return dst
}

// AppendLiveHead opens a live frame; n updates (AppendLiveUpdate) have to follow.
func AppendLiveHead(dst []byte, n int) []byte {
	return appendHead(appendFrame(dst, TypeLiveUpdates, 1), majorArray, uint64(n))
}

// AppendLiveUpdate appends one update of a live frame.
func AppendLiveUpdate(dst []byte, u LiveUpdate) []byte {
	dst = appendUint(appendUint(appendHead(dst, majorArray, 3), uint64(u.Session)), uint64(u.Slot))
	return appendBytes(dst, u.Payload)
}

func (f Known) Append(dst []byte) []byte {
	dst = appendUint(appendText(appendFrame(dst, TypeKnown, 3), f.Doc), uint64(f.Epoch))
	dst = appendHead(dst, majorArray, uint64(len(f.Hashes)))
	for _, h := range f.Hashes {
		dst = appendBytes(dst, h)
	}
	return dst
}

func (f Ping) Append(dst []byte) []byte { return appendUint(appendFrame(dst, TypePing, 1), f.N) }

func (f LaneRequest) Append(dst []byte) []byte {
	return appendText(appendUint(appendFrame(dst, TypeLaneRequest, 2), uint64(f.Lane)), f.Reason)
}

func (f Hello) Append(dst []byte) []byte   { return appendMap(dst, TypeHello, f) }
func (f Offer) Append(dst []byte) []byte   { return appendMap(dst, TypeOffer, f) }
func (f Gather) Append(dst []byte) []byte  { return appendMap(dst, TypeGather, f) }
func (f Held) Append(dst []byte) []byte    { return appendMap(dst, TypeHeld, f) }
func (f Welcome) Append(dst []byte) []byte { return appendMap(dst, TypeWelcome, f) }
func (f People) Append(dst []byte) []byte  { return appendMap(dst, TypePeople, f) }
func (f Role) Append(dst []byte) []byte    { return appendMap(dst, TypeRole, f) }
func (f Reset) Append(dst []byte) []byte   { return appendMap(dst, TypeReset, f) }
func (f Saved) Append(dst []byte) []byte   { return appendMap(dst, TypeSaved, f) }
func (f Answer) Append(dst []byte) []byte  { return appendMap(dst, TypeAnswer, f) }
func (f Refused) Append(dst []byte) []byte { return appendMap(dst, TypeError, f) }
func (f Bye) Append(dst []byte) []byte     { return appendMap(dst, TypeBye, f) }

// Append of an unknown frame writes its type alone.
func (u Unknown) Append(dst []byte) []byte { return appendFrame(dst, u.T, 0) }
