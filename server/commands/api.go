// Package commands is the companion as somebody one talks to: it hears messages, does what those who may ask for, and answers each with one sentence. It
// decides who may ask, from the companion's own view of the room; it reads nothing itself (which messages reach it is decided in server/matrix, SPEC CM1).
package commands

import (
	"context"
	"encoding/json"
	"time"

	"github.com/educationpub/lectern/server/identity"
)

// AllowType is the state event (empty key) by which a moderator lets commands be read in an encrypted room: {"commands": true}.
const AllowType = "com.educationpub.companion"

// Message that somebody wrote where the companion may read.
type Message struct {
	Event, Room, Sender string
	Body                string
	// Direct: written in a direct message with the companion.
	Direct bool
	// Session is that of a message whose key is not here; then there is no body.
	Session string
}

// Room as the companion sees it.
type Room struct {
	ID, Name, Alias string
	Encrypted       bool
	// Direct: a direct message with the companion.
	Direct bool
	// Open: everybody's commands are read here.
	Open bool
	// Widgets of ours, by name.
	Widgets []identity.Widget
	// Admins are the names of some people who can change power levels.
	Admins []string
	// Companions are the ids of other companions in the room that this one knows, in order.
	Companions []string
}

// Rooms answers from memory. Implemented by server/matrix.
type Rooms interface {
	// Room answers false for a room the companion is not in.
	Room(room string) (Room, bool)
	// Shared are the rooms where both the companion and the person are joined.
	Shared(person string) []Room
	Standing(room, person string) (identity.Standing, bool)
	// People are who is joined, by name.
	People(room string) []RoomPerson
}

// Talk asks the homeserver. Implemented by server/matrix; errors are *checkpoint.RoomError where the cause is known.
type Talk interface {
	// Say sends a notice, encrypted where the room is; to answers that event ("" for none). The same key twice is one notice.
	Say(ctx context.Context, room, text, to, key string) error
	// State answers the content of a state event as it stands; nil where there is none.
	State(ctx context.Context, room, typ, key string) (json.RawMessage, error)
	// SetState writes a state event in clear, as clients write those that everybody's client must read.
	SetState(ctx context.Context, room, typ, key string, content any) error
}

// Removed is a widget that was taken out of a room, by a command or by hand.
type Removed struct {
	Widget, Name string
	Content      json.RawMessage
	At           time.Time // set by KeepRemoved
}

// Memory outlives the process. Implemented by server/matrix in companion.db.
type Memory interface {
	// Claim answers true once in all times for each event.
	Claim(ctx context.Context, event string) (bool, error)
	// KeepRemoved remembers the newest few of a room, until the companion leaves it.
	KeepRemoved(ctx context.Context, room string, r Removed) error
	// Removed answers them, the newest first.
	Removed(ctx context.Context, room string) ([]Removed, error)
}

// Greetings are rooms to which the companion was invited and where it has said nothing yet. Implemented by server/matrix.
type Greetings interface {
	Due() []Visit
	Greeted(ctx context.Context, room string) error
}

// Visit to a room; Key differs between visits.
type Visit struct{ Room, Key string }
