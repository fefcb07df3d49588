package focus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/educationpub/lectern/server/focus/livekit"
	"github.com/educationpub/lectern/server/identity"
)

const (
	tokenLife     = time.Minute // to connect with; LiveKit hands fresh ones to those who are connected
	staleView     = 30 * time.Second
	emptyLife     = 300 // seconds that LiveKit keeps a room that nobody enters
	departureLife = 20  // seconds after the last one left
)

// Request for a token.
type Request struct {
	Proof  identity.Proof
	Room   string
	Slot   string
	Device string
	// Member and User are given by /get_token alone: the client's own name for this participation, and who it says it is.
	Member, User string
	Hashed       bool // the identity is a hash over both (/get_token)
}

func (q *Request) valid() error {
	bad := func(what string) error {
		return refuse(400, "bad_request", "The "+what+" of this request is missing or not of the right form.")
	}
	switch {
	case !roomID.MatchString(q.Room):
		return bad("room id")
	case q.Slot != Slot:
		return bad("slot")
	case !deviceID.MatchString(q.Device):
		return bad("device id")
	case q.Hashed && !memberID.MatchString(q.Member):
		return bad("member id")
	case q.Hashed && (len(q.User) < 4 || len(q.User) > 255 || q.User[0] != '@'):
		return bad("claimed user id")
	}
	return nil
}

// Token lets a participant connect to LiveKit.
type Token struct {
	URL string `json:"url"`
	JWT string `json:"jwt"`
}

// Admit gives a token to somebody who has proved who they are, is joined in the room now, and whom no moderator has shut out. Errors are *identity.Error.
func (s *Service) Admit(ctx context.Context, q Request) (t Token, err error) {
	defer func() { s.cfg.Observe(Observation{"token", codeOf(err)}) }()
	if err := q.valid(); err != nil {
		return Token{}, err
	}
	user, err := s.cfg.Identity.ProveFor(ctx, q.Proof, "call\x00"+q.Room+"\x00"+q.Device)
	if err != nil {
		return Token{}, err
	}
	if q.Hashed && q.User != user {
		return Token{}, refuse(401, "openid_other", "The proof of identity is somebody else's.")
	}
	if err := s.cfg.Identity.CallTokens(user); err != nil {
		return Token{}, err
	}
	if _, server, _ := strings.Cut(user, ":"); server != s.cfg.Server && s.cfg.Admits != nil && !s.cfg.Admits(server) {
		return Token{}, refuse(403, "server_denied", "This call server does not admit people of your homeserver.")
	}
	st, err := s.joined(ctx, q.Room, user)
	if err != nil {
		return Token{}, err
	}
	if s.decision(q.Room, user).Removed {
		return Token{}, refuse(403, "call_removed", "A moderator has removed you from this call.")
	}
	if wait := s.endedFor(q.Room); wait > 0 {
		return Token{}, &identity.Error{Status: 403, Code: "call_ended", RetryAfter: wait, Message: "A moderator has ended this call. A moderator can start it again beside the call; otherwise wait some minutes."}
	}
	alias := Alias(q.Room, Slot)
	err = s.asked(s.cfg.SFU.CreateRoom(ctx, livekit.Room{
		Name: alias, Metadata: s.seals.forRoom(alias, q.Room), EmptyTimeout: emptyLife, DepartureLimit: departureLife, MaxParticipants: s.cfg.MaxParticipants,
	}))
	if err != nil {
		return Token{}, isDown(err)
	}
	s.mu.Lock()
	s.calls[alias] = q.Room
	s.mu.Unlock()
	name := PlainIdentity(user, q.Device)
	if q.Hashed {
		name = HashedIdentity(user, q.Device, q.Member)
	}
	grant := grantOf(s.sources(q.Room, user, st))
	grant.Room = alias
	return Token{s.cfg.URL, s.cfg.SFU.Credentials().Join(name, s.seals.forDevice(alias, name, Device{user, q.Device}), grant, s.cfg.Now(), tokenLife)}, nil
}

// joined answers somebody's place in a room that the homeserver confirms now.
func (s *Service) joined(ctx context.Context, room, user string) (identity.Standing, error) {
	if age := s.cfg.Rooms.Age(); age > staleView {
		return identity.Standing{}, &identity.Error{Status: 503, Code: "sync_stale", RetryAfter: 5 * time.Second, Cause: fmt.Errorf("last sync %s ago", age.Round(time.Second)), Message: "Lectern has lost touch with its homeserver and cannot check who is in this room. Try again in a moment."}
	}
	in, err := s.cfg.Rooms.Confirm(ctx, room, user)
	if err != nil {
		return identity.Standing{}, &identity.Error{Status: 503, Code: "homeserver_unreachable", RetryAfter: 5 * time.Second, Cause: err, Message: "Lectern's homeserver does not answer, so membership of this room cannot be checked. Try again in a moment."}
	}
	st, known := s.cfg.Rooms.Standing(room, user)
	if !in || !known || !st.Joined || !st.Complete {
		return identity.Standing{}, refuse(403, "not_joined", "You are not a member of this room, or Lectern is not. A moderator can invite the Lectern account.")
	}
	return st, nil
}

func grantOf(may Sources) livekit.Grant {
	g := livekit.Grant{CanSubscribe: new(true), CanPublish: new(may != Sources{}), CanPublishData: new(false), CanUpdateOwnMetadata: new(false)}
	for _, src := range trackSources(may) {
		g.CanPublishSources = append(g.CanPublishSources, strings.ToLower(string(src)))
	}
	return g
}

func permissionOf(may Sources) livekit.Permission {
	return livekit.Permission{CanSubscribe: true, CanPublish: may != Sources{}, Sources: trackSources(may)}
}

func trackSources(may Sources) (l []livekit.Source) {
	if may.Microphone {
		l = append(l, livekit.Microphone)
	}
	if may.Camera {
		l = append(l, livekit.Camera)
	}
	if may.Share {
		l = append(l, livekit.ScreenShare, livekit.ScreenShareAudio)
	}
	return l
}

func codeOf(err error) string {
	if err == nil {
		return "ok"
	}
	if e, ok := err.(*identity.Error); ok { //nolint:errorlint // made here
		return e.Code
	}
	return "internal"
}
