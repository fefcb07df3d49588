package wire

import (
	"fmt"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// strict refuses what the protocol does not use, before anything is allocated for it.
var strict = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   MaxDepth,
		MaxArrayElements:  MaxItems,
		MaxMapPairs:       MaxPairs,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		panic(fmt.Sprintf("wire: decoder options: %v", err)) // constant options
	}
	return m
}()

// DecodeClient reads a frame of the client. Its errors are *Error; a frame of an unknown type is Unknown. The frame aliases b.
func DecodeClient(b []byte) (Frame, error) {
	r, t, err := open(b)
	if err != nil {
		return nil, err
	}
	var f Frame
	switch t {
	case TypeAuth:
		f = Auth{Token: r.text(MaxToken, "token")}
	case TypeHello:
		var h Hello
		r.mapped(&h)
		if n := len(h.Actor); n != 0 && n != ActorBytes {
			r.fail(bad("the actor of hello is not 16 bytes long"))
		}
		r.limit(len(h.Log), MaxName, "log")
		f = h
	case TypeChange:
		c := Change{Doc: r.text(MaxName, "doc"), Epoch: uint32(r.uint(1<<32-1, "epoch"))}
		n := r.array("changes")
		switch {
		case r.err == nil && n == 0:
			r.fail(bad("a change frame carries no change"))
		case n > MaxChanges:
			r.fail(large(fmt.Sprintf("a change frame carries more than %d changes", MaxChanges)))
		}
		if r.err == nil {
			c.Changes = make([][]byte, n)
			for i := range c.Changes {
				// A change over MaxChange is left to the board: it refuses that change alone, with a reset that names it.
				c.Changes[i] = r.bytes(MaxFrame, "change")
			}
		}
		f = c
	case TypeLive:
		f = Live{Slot: uint8(r.uint(MaxSlots-1, "slot")), Payload: r.bytes(MaxLive, "live payload")}
	case TypeOffer:
		var o Offer
		r.mapped(&o)
		r.limit(len(o.SDP), MaxSDP, "sdp")
		f = o
	case TypeLane:
		f = Lane{Lane: uint8(r.uint(LaneChannel, "lane")), Have: r.uint(1<<64-1, "have")}
	case TypePong:
		f = Pong{N: r.uint(1<<64-1, "n")}
	case TypeTicket:
		k := Ticket{Ticket: r.bytes(MaxFrame, "ticket")}
		if len(k.Ticket) != TicketBytes {
			r.fail(bad("a ticket is not 16 bytes long"))
		}
		f = k
	default:
		return Unknown{T: t}, nil
	}
	if r.err != nil {
		return nil, r.err
	}
	return f, nil
}

// DecodeServer reads a frame of the server, as DecodeClient does.
func DecodeServer(b []byte) (Frame, error) {
	r, t, err := open(b)
	if err != nil {
		return nil, err
	}
	var f Frame
	switch t {
	case TypeWelcome:
		f = mapped[Welcome](r)
	case TypeEntries:
		e := Entries{From: r.uint(1<<64-1, "from")}
		n := r.array("entries")
		e.Entries = make([]Entry, 0, min(n, MaxItems))
		for range n {
			items := r.array("entry")
			if r.err == nil && items < 5 {
				r.fail(bad("an entry has fewer than 5 items"))
			}
			if r.err != nil {
				break
			}
			e.Entries = append(e.Entries, Entry{
				Doc: r.text(MaxName, "doc"), Epoch: uint32(r.uint(1<<32-1, "epoch")), Kind: uint8(r.uint(255, "kind")),
				Actor: r.bytes(MaxName, "actor"), Bytes: r.bytes(MaxFrame, "change"),
			})
			r.skip(items - 5)
		}
		f = e
	case TypeLiveUpdates:
		n := r.array("updates")
		l := LiveUpdates{Updates: make([]LiveUpdate, 0, min(n, MaxItems))}
		for range n {
			items := r.array("update")
			if r.err == nil && items < 3 {
				r.fail(bad("a live update has fewer than 3 items"))
			}
			if r.err != nil {
				break
			}
			l.Updates = append(l.Updates, LiveUpdate{
				Session: uint32(r.uint(1<<32-1, "session")), Slot: uint8(r.uint(255, "slot")), Payload: r.bytes(MaxLive, "live payload"),
			})
			r.skip(items - 3)
		}
		f = l
	case TypeGather:
		f = mapped[Gather](r)
	case TypeHeld:
		f = mapped[Held](r)
	case TypePeople:
		f = mapped[People](r)
	case TypeRole:
		f = mapped[Role](r)
	case TypeKnown:
		k := Known{Doc: r.text(MaxName, "doc"), Epoch: uint32(r.uint(1<<32-1, "epoch"))}
		n := r.array("hashes")
		if n > MaxKnown {
			r.fail(large(fmt.Sprintf("a known frame carries more than %d hashes", MaxKnown)))
		}
		k.Hashes = make([][]byte, 0, min(n, MaxKnown))
		for range n {
			h := r.bytes(MaxFrame, "hash")
			if r.err == nil && len(h) != HashBytes {
				r.fail(bad("a hash is not 32 bytes long"))
			}
			if r.err != nil {
				break
			}
			k.Hashes = append(k.Hashes, h)
		}
		f = k
	case TypeReset:
		f = mapped[Reset](r)
	case TypeSaved:
		f = mapped[Saved](r)
	case TypeAnswer:
		f = mapped[Answer](r)
	case TypePing:
		f = Ping{N: r.uint(1<<64-1, "n")}
	case TypeLaneRequest:
		f = LaneRequest{Lane: uint8(r.uint(LaneChannel, "lane")), Reason: r.text(MaxFrame, "reason")}
	case TypeError:
		f = mapped[Refused](r)
	case TypeBye:
		f = mapped[Bye](r)
	default:
		return Unknown{T: t}, nil
	}
	if r.err != nil {
		return nil, r.err
	}
	return f, nil
}

// reader walks the items of a frame that is known to be well-formed. The first error stays; later reads answer zero values.
type reader struct {
	b   []byte
	err error
}

// open checks the whole frame's form and reads its type. A type beyond 255 is unknown by definition.
func open(b []byte) (*reader, Type, error) {
	if len(b) > MaxFrame {
		return nil, 0, bad(fmt.Sprintf("a frame is longer than %d bytes", MaxFrame))
	}
	if err := strict.Wellformed(b); err != nil {
		return nil, 0, bad("a frame is not one definite-length CBOR item within the limits of depth and length")
	}
	r := &reader{b: b}
	n := r.array("frame")
	if r.err == nil && n == 0 {
		r.fail(bad("a frame is an empty array"))
	}
	t := r.uint(1<<64-1, "type")
	if r.err != nil {
		return nil, 0, r.err
	}
	return r, Type(min(t, 255)), nil
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) limit(n, most int, what string) {
	if n > most {
		r.fail(large(fmt.Sprintf("%s is longer than %d bytes", what, most)))
	}
}

// head reads the head of the next item.
func (r *reader) head(major byte, what string) uint64 {
	if r.err != nil {
		return 0
	}
	if len(r.b) == 0 || r.b[0]>>5 != major {
		r.fail(bad(what + " is missing or of another type"))
		return 0
	}
	return r.argument()
}

// argument reads the argument of the head at r.b[0]; the form was checked by open.
func (r *reader) argument() uint64 {
	low := r.b[0] & 31
	r.b = r.b[1:]
	if low < 24 {
		return uint64(low)
	}
	size := 1 << (low - 24)
	var n uint64
	for _, c := range r.b[:size] {
		n = n<<8 | uint64(c)
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) uint(most uint64, what string) uint64 {
	n := r.head(majorUint, what)
	if n > most {
		r.fail(bad(fmt.Sprintf("%s is more than %d", what, most)))
		return 0
	}
	return n
}

func (r *reader) array(what string) int { return int(r.head(majorArray, what)) }

func (r *reader) raw(major byte, most int, what string) []byte {
	n := int(r.head(major, what))
	if r.err != nil {
		return nil
	}
	s := r.b[:n:n]
	r.b = r.b[n:]
	r.limit(n, most, what)
	return s
}

func (r *reader) bytes(most int, what string) []byte { return r.raw(majorBytes, most, what) }

func (r *reader) text(most int, what string) string {
	s := r.raw(majorText, most, what)
	if !utf8.Valid(s) {
		r.fail(bad(what + " is not UTF-8"))
		return ""
	}
	return string(s)
}

// skip passes over n whole items.
func (r *reader) skip(n int) {
	for ; n > 0 && r.err == nil; n-- {
		rest, err := strict.UnmarshalFirst(r.b, new(cbor.RawMessage))
		if err != nil {
			r.fail(bad("an item is malformed"))
			return
		}
		r.b = rest
	}
}

// mapped reads the frame's map into v.
func (r *reader) mapped(v any) {
	if r.err != nil {
		return
	}
	if len(r.b) == 0 || r.b[0]>>5 != 5 {
		r.fail(bad("the frame's map is missing"))
		return
	}
	if _, err := strict.UnmarshalFirst(r.b, v); err != nil {
		r.fail(bad("a field of the frame's map is of another type, twice there, or not UTF-8"))
	}
}

func mapped[T Frame](r *reader) Frame {
	var v T
	r.mapped(&v)
	return v
}
