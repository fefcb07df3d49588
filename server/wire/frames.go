package wire

// Frames of the client. Byte fields of decoded frames alias the bytes they were decoded from.
type (
	// Auth is the first frame on a WebSocket.
	Auth struct{ Token string }
	// Hello joins the board, or joins it anew. Actor is empty or ActorBytes long.
	Hello struct {
		Log   string `cbor:"log"`
		Have  uint64 `cbor:"have"`
		Actor []byte `cbor:"actor"`
	}
	// Change offers 1 to MaxChanges change chunks.
	Change struct {
		Doc     string
		Epoch   uint32
		Changes [][]byte
	}
	// Live sets a slot; an empty payload clears it.
	Live struct {
		Slot    uint8
		Payload []byte
	}
	// Offer is the client's session description.
	Offer struct {
		SDP string `cbor:"sdp"`
	}
	// Lane asks for the log on Lane from entry Have + 1.
	Lane struct {
		Lane uint8
		Have uint64
	}
	// Pong answers Ping N.
	Pong struct{ N uint64 }
	// Ticket binds a data channel to its WebSocket.
	Ticket struct{ Ticket []byte }
)

// Frames of the server.
type (
	// Welcome answers Hello (docs/protocol.md §2.3).
	Welcome struct {
		Log       string `cbor:"log"`
		Seq       uint64 `cbor:"seq"`
		Session   uint32 `cbor:"session"`
		Role      string `cbor:"role"`
		Actor     []byte `cbor:"actor"`
		Board     string `cbor:"board"`
		Kind      string `cbor:"kind"`
		Encrypted bool   `cbor:"encrypted"`
		Companion string `cbor:"companion"`
		Docs      []Doc  `cbor:"docs"`
		Resume    bool   `cbor:"resume"`
		Saved     Saved  `cbor:"saved"`
		Limits    Limits `cbor:"limits"`
		RTC       bool   `cbor:"rtc"`
		Rules     []byte `cbor:"rules,omitempty"`
	}
	// Doc says from where a document is joined; Seq 0: from its genesis.
	Doc struct {
		Doc   string `cbor:"doc"`
		Epoch uint32 `cbor:"epoch"`
		Seq   uint64 `cbor:"seq"`
	}
	// Limits are what the client has to keep to: bytes, operations, bytes, bytes, frames per second.
	Limits struct {
		Change uint64 `cbor:"change"`
		Ops    uint64 `cbor:"ops"`
		Frame  uint64 `cbor:"frame"`
		Live   uint64 `cbor:"live"`
		LiveHz uint64 `cbor:"live_hz"`
	}
	// Entries carries committed entries; the i-th has seq From + i.
	Entries struct {
		From    uint64
		Entries []Entry
	}
	// Entry is one line of the log as it travels.
	Entry struct {
		Doc   string
		Epoch uint32
		Kind  uint8
		Actor []byte
		Bytes []byte
	}
	// LiveUpdates carries the newest payload per session and slot.
	LiveUpdates struct{ Updates []LiveUpdate }
	// LiveUpdate is one slot of one session.
	LiveUpdate struct {
		Session uint32
		Slot    uint8
		Payload []byte
	}
	// People lists who is attached, in full or as a difference.
	People struct {
		Full   bool     `cbor:"full"`
		Joined []Person `cbor:"joined"`
		Left   []uint32 `cbor:"left"`
	}
	// Person is one attached session. External is the server name of people of other homeservers.
	Person struct {
		Session  uint32 `cbor:"session"`
		UserID   string `cbor:"user_id"`
		Name     string `cbor:"name"`
		Role     string `cbor:"role"`
		External string `cbor:"external"`
		Hand     bool   `cbor:"hand,omitempty"`
	}
	// Role is the receiver's new role.
	Role struct {
		Role   string `cbor:"role"`
		Reason string `cbor:"reason"`
	}
	// Known acknowledges changes that are in the log already.
	Known struct {
		Doc    string
		Epoch  uint32
		Hashes [][]byte
	}
	// Reset refuses a change. An empty Actor: the person may not write any more.
	Reset struct {
		Doc     string `cbor:"doc"`
		Hash    []byte `cbor:"hash"`
		Code    string `cbor:"code"`
		Message string `cbor:"message"`
		Actor   []byte `cbor:"actor"`
	}
	// Saved says that everything up to Seq is in the room since At (Unix ms).
	Saved struct {
		Seq     uint64 `cbor:"seq"`
		At      uint64 `cbor:"at"`
		Problem string `cbor:"problem"`
		Since   uint64 `cbor:"since"` // of the problem, Unix ms
	}
	// Gather asks the receiver to look at a place, because a moderator (By) wants everybody to.
	Gather struct {
		Doc    string `cbor:"doc"`
		X      int64  `cbor:"x"`
		Y      int64  `cbor:"y"`
		Width  uint64 `cbor:"width"`
		Height uint64 `cbor:"height"`
		By     string `cbor:"by"`
	}
	// Held tells a moderator that the erase guard did not let a person (By) remove Count elements of a page.
	Held struct {
		Doc   string `cbor:"doc"`
		By    string `cbor:"by"`
		Count uint64 `cbor:"count"`
	}
	// Answer answers Offer.
	Answer struct {
		SDP    string `cbor:"sdp"`
		Ticket []byte `cbor:"ticket"`
	}
	// Ping asks for Pong N.
	Ping struct{ N uint64 }
	// LaneRequest asks the client to move to Lane.
	LaneRequest struct {
		Lane   uint8
		Reason string
	}
	// Refused (type error) says that something was refused; the connection goes on.
	Refused struct {
		Code    string `cbor:"code"`
		Message string `cbor:"message"`
	}
	// Bye precedes the close. RetryMS < 0: do not come back by yourself.
	Bye struct {
		Code    string `cbor:"code"`
		Message string `cbor:"message"`
		RetryMS int64  `cbor:"retry_ms"`
	}
)

// Unknown is a well-formed frame of a type this version does not know; receivers skip it.
type Unknown struct{ T Type }

// Type and Append make the frames Frames.

func (Auth) Type() Type        { return TypeAuth }
func (Hello) Type() Type       { return TypeHello }
func (Change) Type() Type      { return TypeChange }
func (Live) Type() Type        { return TypeLive }
func (Offer) Type() Type       { return TypeOffer }
func (Lane) Type() Type        { return TypeLane }
func (Pong) Type() Type        { return TypePong }
func (Ticket) Type() Type      { return TypeTicket }
func (Welcome) Type() Type     { return TypeWelcome }
func (Gather) Type() Type      { return TypeGather }
func (Held) Type() Type        { return TypeHeld }
func (Entries) Type() Type     { return TypeEntries }
func (LiveUpdates) Type() Type { return TypeLiveUpdates }
func (People) Type() Type      { return TypePeople }
func (Role) Type() Type        { return TypeRole }
func (Known) Type() Type       { return TypeKnown }
func (Reset) Type() Type       { return TypeReset }
func (Saved) Type() Type       { return TypeSaved }
func (Answer) Type() Type      { return TypeAnswer }
func (Ping) Type() Type        { return TypePing }
func (LaneRequest) Type() Type { return TypeLaneRequest }
func (Refused) Type() Type     { return TypeError }
func (Bye) Type() Type         { return TypeBye }
func (u Unknown) Type() Type   { return u.T }
