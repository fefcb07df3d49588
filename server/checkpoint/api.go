package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// Room is what checkpoints need of the companion. Implemented by server/matrix.
type Room interface {
	// UserID is the companion's own Matrix id.
	UserID() string
	Encrypted(room string) bool
	// WriteState sends a state event. In an encrypted room it is Megolm-encrypted in the shape of MSC4362 (type m.room.encrypted, state
	// key "typ:key"), else plain. Errors are *RoomError where the cause is known.
	WriteState(ctx context.Context, room, typ, key string, content json.RawMessage) (eventID string, err error)
	// ReadState reads the current event and makes every check of SPEC MX (sender accepted, encrypted only in an encrypted room, packed key
	// equal to inner type and key, trust state). ErrNoState: there is none. ErrUntrusted (wrapped, with the reason): there is one that must not be used.
	ReadState(ctx context.Context, room, typ, key string) (State, error)
	// Upload encrypts data as a Matrix attachment (EncryptedFile v2) and answers its EncryptedFile JSON with url.
	Upload(ctx context.Context, data []byte) (json.RawMessage, error)
	// Download fetches and decrypts an attachment of at most limit bytes; a wrong hash is ErrUntrusted.
	Download(ctx context.Context, file json.RawMessage, limit int64) ([]byte, error)
}

// State is a state event that passed every check.
type State struct {
	EventID string
	Sender  string
	Content json.RawMessage
	At      time.Time // origin_server_ts
}

// Errors of Room.
var (
	ErrNoState   = errors.New("checkpoint: no such state event")
	ErrUntrusted = errors.New("checkpoint: state event must not be used")
	ErrNoKey     = errors.New("checkpoint: state event cannot be read yet") // besides ErrUntrusted: its key has not come, or is lost
)

// ErrorKind classifies a failed request to the homeserver.
type ErrorKind uint8

// Kinds of RoomError.
const (
	Unreachable ErrorKind = iota // network, timeout: try again
	RateLimited                  // 429: not before RetryAfter
	Forbidden                    // the companion lacks the power level or is not in the room
	TooLarge                     // 413
	Revoked                      // the companion's access token is gone
	Failing                      // 5xx, or an answer that makes no sense: try again
)

// RoomError is a failed request, without tokens or content in its text.
type RoomError struct {
	Kind       ErrorKind
	RetryAfter time.Duration
	Err        error
}

func (e *RoomError) Error() string { return e.Err.Error() }
func (e *RoomError) Unwrap() error { return e.Err }

// Snapshots is what checkpoints need of the store besides board.Log.
type Snapshots interface {
	// Snapshot answers the newest merged document; Seq 0 and nil bytes: the genesis. A damaged document is board.ErrDamaged; a damaged scene
	// is none, because it follows from the document.
	Snapshot(ctx context.Context, id board.ID, doc board.DocID) (Snapshot, error)
	// PutSnapshot stores a snapshot unless there is a newer one, durable on return.
	PutSnapshot(ctx context.Context, id board.ID, s Snapshot) error
	// Edition says which snapshot Snapshot would answer, without reading it.
	Edition(ctx context.Context, id board.ID, doc board.DocID) (Edition, error)
	// Checkpoint and PutCheckpoint keep what was last written to the room (to resume budgets and detect going back).
	Checkpoint(ctx context.Context, id board.ID) (Record, error)
	PutCheckpoint(ctx context.Context, id board.ID, r Record) error
	// Dirty lists boards whose log is ahead of their last checkpoint (asked at start).
	Dirty(ctx context.Context) ([]board.Changed, error)
}

// Snapshot is a document merged and verified by the merge worker.
type Snapshot struct {
	Doc      board.DocID
	Epoch    uint32
	Seq      uint64 // every change up to it is in
	Heads    []board.Hash
	Document []byte
	Scene    []byte // what it shows, ready to send (packScene); nil: not made yet
}

// Edition names the newest snapshot of a document.
type Edition struct {
	Log   string
	Kind  string
	Epoch uint32
	Seq   uint64 // of the snapshot; 0: the genesis
	Upto  uint64 // nothing of the document stands in the log between Seq and Upto: joining can go on from here
}

// Record is what is known of a board's copy in the room.
type Record struct {
	Seq      uint64
	At       time.Time
	EventID  string
	Base     json.RawMessage // EncryptedFile of the base in use, null if none
	BaseSeq  uint64
	Manifest []byte // last manifest written
}

// Homes is where it is kept whose a board is. Implemented by server/store.
type Homes interface {
	// Home answers of a board that is not known: ours, in its first term.
	Home(ctx context.Context, id board.ID) (Home, error)
	// PutHome is durable on return; it also takes boards whose log is not here yet.
	PutHome(ctx context.Context, id board.ID, room, kind string, h Home) error
}

// Home says whose a board is (SPEC HO).
type Home struct {
	Home    string    `json:"-"`                // the companion that has it; "": ours
	Term    uint64    `json:"-"`                // from 1, one more at each take-over
	Since   time.Time `json:"since,omitzero"`   // when Home last wrote; zero where it is ours
	Taken   *Taken    `json:"taken,omitempty"`  // from whom Home, or we, took it over
	Taking  *Taken    `json:"taking,omitempty"` // we are taking it over: not in the room yet, and Term is still the old one
	Carried []Mark    `json:"carried,omitempty"`
	Logs    []string  `json:"logs,omitempty"` // earlier incarnations of our log, which was restored
	// Owed is as of what our log was taken over: what it has beyond that has not been taken in by Home yet. nil: nothing.
	Owed *Taken `json:"owed,omitempty"`
	// Left is how far our leftovers are in the room.
	Left uint64 `json:"left,omitempty"`
}

// Mark is a place in a log of a home.
type Mark struct {
	Home string `json:"home"`
	Log  string `json:"log"`
	Seq  uint64 `json:"seq"`
}

// Taken says from whom and as of what a board was taken over.
type Taken struct {
	Mark
	Docs []TakenDoc `json:"docs"`
}

// TakenDoc is a document as it was taken over.
type TakenDoc struct {
	Doc   board.DocID `json:"doc"`
	Epoch uint32      `json:"epoch"`
	Seq   uint64      `json:"seq"`
}

// Boards is what handing boards over needs of the boards that are open. Implemented by board.Hub.
type Boards interface {
	// Open opens a board that nobody may be on; for one that is not stored it asks Restore.
	Open(ctx context.Context, id board.ID, room, kind string) error
	// Leave ends a board's sessions with the reason and returns when nothing more is committed to its log.
	Leave(ctx context.Context, id board.ID, why *board.Error) error
	// Squash begins a document's next epoch now.
	Squash(ctx context.Context, id board.ID, doc board.DocID) error
	// Carry takes in changes that were made elsewhere for an epoch that is over here. Those that are in do nothing.
	Carry(ctx context.Context, id board.ID, doc board.DocID, epoch uint32, changes []board.Imported) error
}
