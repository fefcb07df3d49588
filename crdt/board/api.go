package board

import (
	"context"
	"time"
)

// ID names a board: 128 random bits as 26 characters of lower-case base32 without padding.
type ID string

// DocID names a document of a board: "index" or a page's ULID.
type DocID string

// Person is a full Matrix user id, "@local:server".
type Person string

// ActorID is an Automerge actor as issued by Lectern. Actors that begin with 00 are the server's own (squashes and carries).
type ActorID [16]byte

// Hash is a change's SHA-256, as Automerge computes it.
type Hash [32]byte

// Role is what a person may do on a board.
type Role uint8

// Roles, each including the ones before it.
const (
	RoleNone        Role = iota // not a member: no data at all
	RoleViewer                  // sees
	RoleParticipant             // sees and writes
	RoleModerator               // may also lock, clear, restore (later issues)
)

// String answers the name used on the wire and in JSON.
func (r Role) String() string {
	return [...]string{"none", "viewer", "participant", "moderator"}[min(r, RoleModerator)]
}

// EntryKind says what an entry of the log is.
type EntryKind uint8

// Kinds of entries (docs/protocol.md §2.2). 0 is an entry whose bytes are gone because the retention of its epoch has ended.
const (
	KindErased EntryKind = 0
	KindChange EntryKind = 1 // a person's change
	KindEpoch  EntryKind = 2 // the document goes on in Epoch; Bytes is the squash, Document its save()
	KindCarry  EntryKind = 3 // a change of the server's that carries the effect of late ones
	KindLate   EntryKind = 4 // a person's change for an epoch that is over
	KindPage   EntryKind = 5 // a new page begins
	KindRules  EntryKind = 6 // who may draw from now on; Doc is RulesDoc, Bytes is Rules.Bytes
)

// Entry is one committed line of a board's log.
type Entry struct {
	Seq    uint64
	Doc    DocID
	Epoch  uint32
	Kind   EntryKind
	Hash   Hash
	Actor  ActorID
	Person Person
	At     time.Time // when the server committed it
	Bytes  []byte    // the change chunk
	// Document is save() of what the entry begins, for KindEpoch and KindPage: the store keeps it as the document's snapshot, with Hash as its
	// only head, in the transaction of the entry. Given to Append and Create, never answered by Read.
	Document []byte
}

// DocInfo says from where a document can be joined: its newest snapshot holds every entry of it up to Seq. 0: begin with the genesis.
type DocInfo struct {
	ID    DocID
	Epoch uint32
	Seq   uint64
}

// Meta is what the log knows of a board before any entry is read.
type Meta struct {
	ID   ID
	Room string
	Kind string // "whiteboard"
	Log  string // random incarnation, new after every restore
	Home string // the companion that has taken the board over; "": this Lectern is its home
	Seq  uint64 // last committed
	Docs []DocInfo
}

// Log is the durable store of boards, as the actor needs it. Implemented by server/store.
type Log interface {
	// Open answers ErrUnknown when the board is not stored.
	Open(ctx context.Context, id ID) (Meta, error)
	// Create stores a new board with its first document, or a restored one with all its entries, in one transaction.
	// Entries carry Seq 1..n. It fails with ErrExists when the id is taken.
	Create(ctx context.Context, m Meta, entries []Entry, actors map[ActorID]Person) error
	// Append queues entries (dense Seq after the last). done runs exactly once, on the store's goroutine and in the order of the calls, after
	// the entries are on disk (fsync returned) or with an error, after which the board must be reopened. Append never blocks on the disk.
	// A KindEpoch or KindPage entry also moves its document there, or makes it.
	Append(id ID, entries []Entry, done func(error))
	// Read returns entries with Seq > after in order, at most limit entries and about maxBytes of content.
	Read(ctx context.Context, id ID, after uint64, limit, maxBytes int) ([]Entry, error)
	// ReadDoc is Read of one epoch of one document: its entries with Seq > after in order, none at the end.
	ReadDoc(ctx context.Context, id ID, doc DocID, epoch uint32, after uint64, limit, maxBytes int) ([]Entry, error)
	// Actors lists the actors issued on a board; IssueActor adds one, durable before it returns.
	Actors(ctx context.Context, id ID) (map[ActorID]Person, error)
	IssueActor(ctx context.Context, id ID, a ActorID, p Person) error
}

// Restored is a board as it was found in the room, every check passed.
type Restored struct {
	Docs    []DocInfo // Seq 0: entries hold everything; the checkpointer stores snapshots afterwards
	Entries []Entry   // Seq 1..n in causal order
	Actors  map[ActorID]Person
	Rules   Rules
	SavedAt time.Time
}

// Checkpoints is where boards are kept outside Lectern. Implemented by server/checkpoint.
type Checkpoints interface {
	// Restore looks for the board in its room. (nil, nil): the room has none, the board is new. An error (damaged, foreign home, not
	// reachable) must keep the board closed: it never becomes an empty board.
	Restore(ctx context.Context, room, kind string, id ID) (*Restored, error)
	// Changed is called by the actor after every commit and when people come and go. It must not block.
	Changed(c Changed)
}

// Changed says that a board has something to be saved, or that its audience changed.
type Changed struct {
	ID     ID
	Room   string
	Kind   string
	Seq    uint64
	People int    // sessions now attached
	Epoch  uint64 // the newest entry that began an epoch since the board was opened; 0: none
	At     time.Time
}

// Authority says what a person may do in a room now. It answers from memory and never blocks. Implemented over the companion's /sync.
// name is the room's display name for the person ("" if unknown).
type Authority func(room string, p Person) (role Role, name string)

// Join asks for a session.
type Join struct {
	Board  ID
	Room   string
	Kind   string
	Person Person
	Log    string  // incarnation the client holds
	Have   uint64  // last seq it has applied
	Actor  ActorID // the actor it wants to go on with; zero for a new one
}

// Welcome answers a Join (docs/protocol.md §2.3).
type Welcome struct {
	Session uint32
	Meta    Meta // Seq is the cursor's view: entries up to it are committed
	Role    Role
	Actor   ActorID
	Resume  bool
	Saved   Saved
	Rules   Rules
}

// Saved is the state of the copy in the room.
type Saved struct {
	Seq     uint64
	At      time.Time
	Problem string    // why the newest state is not there, "" when all is well (docs/protocol.md §2.4)
	Since   time.Time // of the problem
}

// Batch is what a session's writer sends next. Slices are valid until the next call of Session.Next.
type Batch struct {
	From    uint64   // seq of the first entry
	Entries [][]byte // encoded entries (Config.Encode), shared between sessions: never written to
	Live    []LiveUpdate
	Events  []Event // in order; sent before Entries
}

// LiveUpdate is the newest payload of one session's slot.
type LiveUpdate struct {
	Session uint32
	Slot    uint8
	Payload []byte // empty clears the slot
}

// Event is a rare message to one session: RoleEvent, PeopleEvent, KnownEvent, ResetEvent, SavedEvent, GatherEvent, HeldEvent or ByeEvent.
type Event interface{ event() }

type (
	// RoleEvent tells a session its new role.
	RoleEvent struct {
		Role   Role
		Reason string
	}
	// PersonInfo is one attached session as others see it.
	PersonInfo struct {
		Session uint32
		Person  Person
		Name    string
		Role    Role
		Hand    bool // raised
	}
	// PeopleEvent lists who is here, in full or as a difference.
	PeopleEvent struct {
		Full   bool
		Joined []PersonInfo
		Left   []uint32
	}
	// KnownEvent acknowledges changes that are in the log already.
	KnownEvent struct {
		Doc    DocID
		Epoch  uint32
		Hashes []Hash
	}
	// ResetEvent says that a change was refused (docs/protocol.md §4).
	ResetEvent struct {
		Doc     DocID
		Hash    Hash
		Code    string
		Message string
		Actor   ActorID // zero: may not write any more
	}
	// SavedEvent says how far the room's copy is.
	SavedEvent struct{ Saved }
	// ByeEvent is the session's last event; Retry < 0 means do not come back by yourself.
	ByeEvent struct {
		Close   int // docs/protocol.md §6
		Code    string
		Message string
		Retry   time.Duration
	}
)

func (RoleEvent) event()   {}
func (PeopleEvent) event() {}
func (KnownEvent) event()  {}
func (ResetEvent) event()  {}
func (SavedEvent) event()  {}
func (ByeEvent) event()    {}
