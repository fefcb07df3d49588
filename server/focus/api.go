// Package focus is Lectern's MatrixRTC focus: it says who may join a call on our LiveKit server and with which rights, sees to it that LiveKit holds to
// that, and carries out what moderators decide. Calls are those of Matrix clients (Element Call); media go between them and LiveKit.
//
// LiveKit is asked who is in a call, the companion who is in the room: no copy of either is kept. What is kept are moderators' decisions about people.
package focus

import (
	"context"
	"encoding/json"
	"time"

	"github.com/educationpub/lectern/server/focus/livekit"
	"github.com/educationpub/lectern/server/identity"
)

// MembershipType is the state event with which a client says that it is in a call (MSC3401/MSC4143 as clients write it today).
const MembershipType = "org.matrix.msc3401.call.member"

// PolicyType is the state event with what a room's moderators have decided about everybody (security.md §6.2).
const PolicyType = "com.educationpub.moderation.policy"

// ActionType is the event that says what a moderator has done, in the room's timeline.
const ActionType = "com.educationpub.moderation.action"

// Membership is one device in a call, as it says in the room's state.
type Membership struct {
	Key     string // the state key
	Event   string // id of the event
	Person  string
	Device  string
	Focus   string // livekit_service_url where the device publishes
	Since   time.Time
	Expires time.Time
}

// Sources a participant may publish.
type Sources struct {
	Microphone, Camera, Share bool
}

// Everything may be published.
var Everything = Sources{true, true, true}

// and answers what both allow.
func (s Sources) and(o Sources) Sources {
	return Sources{s.Microphone && o.Microphone, s.Camera && o.Camera, s.Share && o.Share}
}

// names of sources in policy events and in the API.
var sourceNames = []string{"microphone", "camera", "screen_share"}

// SourcesOf reads a list of names; unknown ones are skipped.
func SourcesOf(names []string) (s Sources) {
	for _, n := range names {
		switch n {
		case sourceNames[0]:
			s.Microphone = true
		case sourceNames[1]:
			s.Camera = true
		case sourceNames[2]:
			s.Share = true
		}
	}
	return s
}

// Names lists the sources; never nil.
func (s Sources) Names() []string {
	l := []string{}
	for i, yes := range []bool{s.Microphone, s.Camera, s.Share} {
		if yes {
			l = append(l, sourceNames[i])
		}
	}
	return l
}

// Policy of a room for everybody below moderators. The zero value is the instance's default.
type Policy struct {
	Set     bool // somebody has decided
	Sources Sources
}

// Person is somebody in a room.
type Person struct {
	ID, Name string
	Standing identity.Standing
}

// Rooms is what calls need of the companion. Everything answers from its view but Confirm and what writes.
type Rooms interface {
	Standing(room, user string) (identity.Standing, bool)
	Confirm(ctx context.Context, room, user string) (bool, error)
	Age() time.Duration
	// Rooms lists the rooms that the companion is in.
	Rooms() []string
	Memberships(room string) []Membership
	Policy(room string) Policy
	SetState(ctx context.Context, room, typ, key string, content any) error
	// Report writes an event into the timeline, encrypted where the room is. The same key twice is one event.
	Report(ctx context.Context, room, typ string, content any, key string) error
	// Expel takes somebody out of the room, for good if ban.
	Expel(ctx context.Context, room, user string, ban bool) error
	// Ask asks the other instances in the room that this one accepts, and answers what they say until all have answered or ctx ends; silent is how many did not.
	Ask(ctx context.Context, q Question) (answers []Answer, silent int)
}

// Decision is what moderators have decided about one person's part in a room's calls.
type Decision struct {
	Removed bool      // gets no token
	Sources Sources   // may publish no more than these
	Until   time.Time // forgotten from then on
}

// Store keeps decisions. Implemented by server/store.
type Store interface {
	// Decisions answers those of all rooms that have not run out, by room and person.
	Decisions(ctx context.Context) (map[string]map[string]Decision, error)
	// Decide stores one, durable on return; the zero value forgets it.
	Decide(ctx context.Context, room, person string, d Decision) error
	// Ended answers when calls of rooms were ended for all.
	Ended(ctx context.Context) (map[string]time.Time, error)
	// SetEnded stores when a room's call was ended; the zero time: it may begin again.
	SetEnded(ctx context.Context, room string, at time.Time) error
}

// SFU is LiveKit's RoomService, as far as it is used. Implemented by livekit.Client.
type SFU interface {
	Credentials() livekit.Credentials
	CreateRoom(ctx context.Context, r livekit.Room) error
	ListRooms(ctx context.Context) ([]livekit.Room, error)
	DeleteRoom(ctx context.Context, room string) error
	ListParticipants(ctx context.Context, room string) ([]livekit.Participant, error)
	RemoveParticipant(ctx context.Context, room, identity string) error
	MuteTrack(ctx context.Context, room, identity, track string) error
	SetPermission(ctx context.Context, room, identity string, p livekit.Permission) error
}

// Identity is what identity.Service does for calls: whose OpenID token this is, once for each purpose; and it counts tokens per person.
type Identity interface {
	ProveFor(ctx context.Context, p identity.Proof, purpose string) (user string, err error)
	CallTokens(user string) error
}

// action is the content of ActionType. Never free text about people.
type action struct {
	V       int             `json:"v"`
	By      string          `json:"by"`
	Action  string          `json:"action"`
	Target  string          `json:"target"` // a Matrix id, a stranger's identity, or "*"
	Scope   string          `json:"scope"`  // "call" or "room"
	Outcome Outcome         `json:"outcome"`
	Sources json.RawMessage `json:"sources,omitempty"`
}
