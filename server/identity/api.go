package identity

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// Levels are the parts of m.room.power_levels that roles need (defaults of the specification already filled in).
type Levels struct {
	Events        map[string]int
	EventsDefault int
	StateDefault  int
	Kick          int
}

// State is the power level that sending state events of a type needs.
func (l Levels) State(typ string) int {
	if level, ok := l.Events[typ]; ok {
		return level
	}
	return l.StateDefault
}

// Moderator is the power level from which somebody is a moderator.
func (l Levels) Moderator() int {
	if level, ok := l.Events["com.educationpub.moderation.action"]; ok {
		return level
	}
	return max(50, l.Kick)
}

// Draw is the power level from which people draw.
func (l Levels) Draw(kind string) int {
	if level, ok := l.Events["com.educationpub."+kind+".edit"]; ok {
		return level
	}
	return l.EventsDefault
}

// Of is a power level that gives a role; false where these levels have none for it.
func (l Levels) Of(r board.Role, kind string) (level int, ok bool) {
	draw, moderate := l.Draw(kind), l.Moderator()
	switch r {
	case board.RoleModerator:
		return moderate, true
	case board.RoleParticipant:
		return max(draw, 0), max(draw, 0) < moderate
	case board.RoleViewer:
		return min(draw, moderate) - 1, true
	}
	return 0, false
}

// Standing is one person's place in a room, from the companion's own view of /sync.
type Standing struct {
	Joined bool
	Name   string // display name in this room, "" if none
	Power  int    // room creators of version 12: math.MaxInt
	Levels Levels
	// Complete is false while the create or power-level event has not been seen: then everything fails closed.
	Complete bool
}

// Widget is a widget of ours in a room's state.
type Widget struct {
	ID    string
	Kind  string // "whiteboard"
	Board board.ID
	Name  string
	// Mirror: an event of ours that repeats another one (server/commands/stable.go).
	Mirror bool
}

// Rooms is what identity needs of the companion. Implemented by server/matrix; answers from memory except Confirm.
type Rooms interface {
	Standing(room, user string) (Standing, bool)
	// Confirm asks the homeserver now whether the person is joined (used at login and reconnect).
	Confirm(ctx context.Context, room, user string) (bool, error)
	Widget(room, widgetID string) (Widget, bool)
	// RoomOf answers the one room the person is joined in that has this widget.
	RoomOf(user, widgetID string) (room string, ok bool)
	Encrypted(room string) bool
	// Successor answers the room that has replaced another and takes its boards.
	Successor(room string) (next string, ok bool)
	// Origin answers the room in which a board is at home as long as nobody knows otherwise: the one that this room replaces, where that has it.
	Origin(room string, id board.ID) string
	// Age is the time since the last completed /sync.
	Age() time.Duration
	UserID() string
}

// Verifier checks an OpenID token at its own homeserver and answers the Matrix user id. Implemented by server/matrix/openid.
type Verifier interface {
	Verify(ctx context.Context, serverName, token string) (string, error)
}

// StoredSession is a session as it lies on disk: never the token, only its hash.
type StoredSession struct {
	TokenHash [32]byte
	Person    board.Person
	Room      string
	Widget    string
	Board     board.ID
	Kind      string
	Issued    time.Time
	Expires   time.Time // sliding
}

// Key names a login over all its refreshes: who, where and when, not which token.
func (s StoredSession) Key() [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d", s.Person, s.Room, s.Widget, s.Issued.UnixMilli()))
}

// Store keeps sessions and spent OpenID tokens. Implemented by server/store.
type Store interface {
	// SpendOpenID records the hash of a token until the given time; fresh is false when it was spent before.
	SpendOpenID(ctx context.Context, hash [32]byte, until time.Time) (fresh bool, err error)
	PutSession(ctx context.Context, s StoredSession) error
	// Session answers ErrNoSession when there is none or it has expired.
	Session(ctx context.Context, hash [32]byte) (StoredSession, error)
	DeleteSession(ctx context.Context, hash [32]byte) error
	// Sessions lists the unexpired sessions of a person (all rooms).
	Sessions(ctx context.Context, p board.Person) ([]StoredSession, error)
	// RoomSessions lists the unexpired sessions of a room (asked when somebody leaves it).
	RoomSessions(ctx context.Context, room string) ([]StoredSession, error)
	// BindBoard binds a board id to a room and kind the first time; later it answers the room it is bound to.
	BindBoard(ctx context.Context, id board.ID, room, kind string) (boundRoom string, err error)
	// Sweep deletes what has expired.
	Sweep(ctx context.Context, now time.Time) error
}
