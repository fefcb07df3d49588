package focustest

import "google.golang.org/protobuf/encoding/protowire"

// LiveKit's signalling, as far as a participant of the tests needs it: numbers of fields from livekit_rtc.proto (protocol 1.50, Apache-2.0).
const (
	// Of SignalRequest.
	sendOffer   = 1
	sendAnswer  = 2
	sendTrickle = 3
	sendTrack   = 4
	sendMute    = 5
	sendLeave   = 8
	sendPing    = 14

	// Of SignalResponse.
	gotJoin         = 1
	gotAnswer       = 2
	gotOffer        = 3
	gotTrickle      = 4
	gotPublished    = 6
	gotLeave        = 8
	gotMute         = 9
	gotToken        = 16
	gotUnpublished  = 17
	gotRefusal      = 22
	targetPublisher = 0
)

// Source of a track: its number in the protocol.
type Source int

// The sources.
const (
	Camera     Source = 1
	Microphone Source = 2
	Screen     Source = 3
)

// message is one of protobuf: bytes and varints by field, the last of each.
type message struct {
	bytes map[protowire.Number][]byte
	nums  map[protowire.Number]uint64
}

func parse(b []byte) message {
	m := message{map[protowire.Number][]byte{}, map[protowire.Number]uint64{}}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return m
		}
		b = b[n:]
		switch typ {
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return m
			}
			m.bytes[num], b = v, b[n:]
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return m
			}
			m.nums[num], b = v, b[n:]
		default:
			n := protowire.ConsumeFieldValue(num, typ, b)
			if n < 0 {
				return m
			}
			b = b[n:]
		}
	}
	return m
}

func (m message) text(n protowire.Number) string { return string(m.bytes[n]) }

func text(b []byte, n protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
}

func number(b []byte, n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

func inside(n protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), b)
}
