// Package wire owns the frames of the board protocol lectern.v1 (docs/protocol.md §2, §6): their encoding, their limits and the close
// codes. It refuses what is not one definite-length CBOR item without tags, and knows nothing of sockets or boards.
//
// Hot frames (change, live, entries, pings) are written and read by hand; rare ones carry a map and go through the codec. Every encoding
// is core-deterministic (RFC 8949 §4.2.1), so Go and TypeScript produce the same bytes: testdata/vectors.json.
package wire

// Subprotocol is the WebSocket subprotocol; it carries the version.
const Subprotocol = "lectern.v1"

// Type is the first item of a frame. 1-31 go to the server, 32-63 to the client.
type Type uint8

// Frame types of docs/protocol.md §2.1 and §2.2. 6 is reserved.
const (
	TypeAuth   Type = 1
	TypeHello  Type = 2
	TypeChange Type = 3
	TypeLive   Type = 4
	TypeOffer  Type = 5
	TypeLane   Type = 7
	TypePong   Type = 8
	TypeTicket Type = 9

	TypeWelcome     Type = 32
	TypeEntries     Type = 33
	TypeLiveUpdates Type = 34
	TypePeople      Type = 35
	TypeRole        Type = 36
	TypeKnown       Type = 37
	TypeReset       Type = 38
	TypeSaved       Type = 39
	TypeAnswer      Type = 40
	TypePing        Type = 41
	TypeLaneRequest Type = 42
	TypeError       Type = 43
	TypeBye         Type = 44
	TypeGather      Type = 45
	TypeHeld        Type = 46
)

// Limits of frames and their items, in bytes unless said.
const (
	MaxFrame    = 65536
	MaxPreAuth  = 4096 // any frame before the session is authenticated
	MaxDepth    = 8    // nested arrays and maps, the frame itself included
	MaxItems    = 4096 // items of one array
	MaxPairs    = 256  // pairs of one map
	MaxChanges  = 64   // changes in one frame
	MaxChange   = 32768
	MaxOps      = 5000 // operations in one change, checked by the board
	MaxLive     = 8192
	MaxSlots    = 4
	MaxSDP      = 16384
	MaxToken    = 4096
	MaxName     = 64 // doc, log: longer ones cannot be ours
	MaxLiveHz   = 30
	MaxKnown    = 1024 // hashes in one frame
	HashBytes   = 32
	TicketBytes = 16
	ActorBytes  = 16
)

// Close codes of the WebSocket, docs/protocol.md §6.
const (
	CloseDraining     = 1001
	CloseBadFrame     = 4400
	CloseUnauthorized = 4401
	CloseRemoved      = 4403
	CloseSlow         = 4408
	CloseReplaced     = 4409
	CloseBoardFailed  = 4410
	CloseRate         = 4429
)

// Lanes.
const (
	LaneSocket  = 0
	LaneChannel = 1
)

// Codes of Error.
const (
	CodeBadFrame = "bad_frame"
	CodeTooLarge = "too_large"
)

// Error says why a frame was refused. Code bad_frame is a broken peer (close 4400, or the lane); too_large is a well-formed frame with an
// item over its own limit: the frame is ignored, the peer is told, the connection goes on.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return "wire: " + e.Code + ": " + e.Message }

func bad(message string) error   { return &Error{Code: CodeBadFrame, Message: message} }
func large(message string) error { return &Error{Code: CodeTooLarge, Message: message} }

// Frame is one message of the protocol. Append writes its only encoding after dst.
type Frame interface {
	Type() Type
	Append(dst []byte) []byte
}
