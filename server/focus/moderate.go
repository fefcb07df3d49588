package focus

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/educationpub/lectern/server/focus/livekit"
	"github.com/educationpub/lectern/server/identity"
)

// Act is a moderator's decision.
type Act struct {
	Action string `json:"action"`
	// Person is a Matrix id, or "*": everybody below moderators, newcomers too where the act lasts.
	Person string `json:"user_id"`
	// Sources that stay allowed, for "sources".
	Sources []string `json:"sources,omitempty"`
	// Identity of a stranger, for "remove".
	Identity string `json:"identity,omitempty"`

	asked bool // by another instance, which has written what stands in the room's state
}

// The acts. A microphone is never switched on from afar: there is no such act.
const (
	MuteMicrophone = "mute"
	StopVideo      = "stop_video"
	StopShare      = "stop_share"
	AllowSources   = "sources"
	Remove         = "remove"
	Readmit        = "readmit"
	Kick           = "kick"
	Ban            = "ban"
	End            = "end"
	Begin          = "begin" // after End
)

// Outcome of an act.
type Outcome string

// Outcomes, from best to worst.
const (
	Enforced    Outcome = "enforced"     // it is so, whatever the client does
	Requested   Outcome = "requested"    // another instance was asked
	NotPossible Outcome = "not_possible" // the device publishes on a server that nobody here can ask
)

// Result of an act.
type Result struct {
	Outcome Outcome             `json:"outcome"`
	People  map[string]Outcome  `json:"people,omitempty"` // where they differ, or one was meant
	Foci    map[string][]string `json:"foci,omitempty"`   // the other servers on which people publish, by person
	Changed int                 `json:"changed"`          // tracks, participants or people
	Noted   bool                `json:"noted"`            // the room's timeline says who did what
	Kept    bool                `json:"kept"`             // what lasts outlives a restart of Lectern
}

// Do carries out a moderator's act. Errors are *identity.Error.
func (s *Service) Do(ctx context.Context, room, by string, a Act) (r Result, err error) {
	defer func() { s.cfg.Observe(Observation{"act", codeOf(err)}) }()
	me, _ := s.cfg.Rooms.Standing(room, by)
	if !moderates(me) {
		return r, refuse(403, "forbidden", "Only moderators decide about calls.")
	}
	if err := s.mayTarget(room, a, by, me); err != nil {
		return r, err
	}
	if a.Action == Kick || a.Action == Ban {
		r, err = s.expel(ctx, room, a)
	} else {
		r, err = s.carryOut(ctx, room, a)
	}
	if err != nil {
		return r, err
	}
	s.beyond(ctx, room, by, a, &r)
	s.bump(room)
	r.Noted = s.note(ctx, room, by, a, r.Outcome)
	return r, nil
}

// carryOut does what an act says on our LiveKit server.
func (s *Service) carryOut(ctx context.Context, room string, a Act) (r Result, err error) {
	switch a.Action {
	case MuteMicrophone:
		r, err = s.mute(ctx, room, a.Person, livekit.Microphone)
	case StopVideo:
		r, err = s.mute(ctx, room, a.Person, livekit.Camera)
	case StopShare:
		r, err = s.mute(ctx, room, a.Person, livekit.ScreenShare, livekit.ScreenShareAudio)
	case AllowSources:
		r, err = s.allow(ctx, room, a)
	case Remove:
		r, err = s.remove(ctx, room, a)
	case Readmit:
		r, err = s.readmit(ctx, room, a.Person)
	case End:
		r, err = s.end(ctx, room)
	case Begin:
		r = Result{Kept: s.setEnded(ctx, room, time.Time{})}
	default:
		return r, refuse(400, "bad_act", "There is no such act.")
	}
	if errors.Is(err, livekit.ErrDown) {
		return r, isDown(err)
	}
	r.Outcome = Enforced
	return r, err
}

// mayTarget: power levels decide, targets are strictly below.
func (s *Service) mayTarget(room string, a Act, by string, me identity.Standing) error {
	switch a.Action {
	case End, Begin:
		return nil
	case Remove:
		if a.Identity != "" && a.Person == "" {
			return nil // a stranger has no power
		}
	case MuteMicrophone, StopVideo, StopShare, AllowSources:
		if a.Person == "*" {
			return nil
		}
	}
	if len(a.Person) < 4 || len(a.Person) > 255 || a.Person[0] != '@' || !strings.Contains(a.Person, ":") {
		return refuse(400, "bad_act", "Whom this is about is missing.")
	}
	if them, _ := s.cfg.Rooms.Standing(room, a.Person); them.Power >= me.Power || a.Person == by {
		return refuse(403, "not_below", "Moderators can only decide about people whose power level is below their own.")
	}
	return nil
}

// note writes who did what into the room's timeline.
func (s *Service) note(ctx context.Context, room, by string, a Act, o Outcome) bool {
	scope := "call"
	if a.Action == Kick || a.Action == Ban {
		scope = "room"
	}
	content := action{V: 1, By: by, Action: a.Action, Target: cmp.Or(a.Person, a.Identity, "*"), Scope: scope, Outcome: o}
	if a.Action == AllowSources {
		content.Sources, _ = json.Marshal(SourcesOf(a.Sources).Names())
	}
	if err := s.cfg.Rooms.Report(ctx, room, ActionType, content, rand.Text()); err != nil {
		s.cfg.Log.Warn("a moderator's act could not be written into the room", "action", a.Action, "err", err)
		return false
	}
	return true
}

// target is a participant that an act is about.
type target struct {
	livekit.Participant
	Device
}

// targets answers the participants of one person, or ("*") of everybody below moderators.
func (s *Service) targets(ctx context.Context, room, person string) (l []target, err error) {
	alias := Alias(room, Slot)
	people, err := s.cfg.SFU.ListParticipants(ctx, alias)
	if s.asked(err) != nil {
		return nil, err
	}
	for _, p := range people {
		d, ok := s.seals.device(alias, p.Identity, p.Metadata)
		if ok && (d.Person == person || person == "*" && !s.isModerator(room, d.Person)) {
			l = append(l, target{p, d})
		}
	}
	return l, nil
}

func (s *Service) isModerator(room, person string) bool {
	st, _ := s.cfg.Rooms.Standing(room, person)
	return moderates(st)
}

// mute silences tracks; their owners may switch them on again, unless the source is forbidden.
func (s *Service) mute(ctx context.Context, room, person string, sources ...livekit.Source) (r Result, err error) {
	l, err := s.targets(ctx, room, person)
	if err != nil {
		return r, err
	}
	r.Kept = true
	alias := Alias(room, Slot)
	for _, t := range l {
		for _, track := range t.Tracks {
			if track.Muted || !slices.Contains(sources, track.Source) {
				continue
			}
			if err := s.asked(s.cfg.SFU.MuteTrack(ctx, alias, t.Identity, track.Sid)); err != nil && !livekit.IsNotFound(err) {
				return r, err
			}
			r.Changed++
		}
	}
	return r, nil
}

// allow sets what may be published: by one person, or by everybody below moderators, newcomers too.
func (s *Service) allow(ctx context.Context, room string, a Act) (r Result, err error) {
	for _, n := range a.Sources {
		if !slices.Contains(sourceNames, n) {
			return r, refuse(400, "bad_act", "There is no such source.")
		}
	}
	may := SourcesOf(a.Sources)
	r.Kept = true
	if a.Person == "*" && !a.asked {
		if err := s.cfg.Rooms.SetState(ctx, room, PolicyType, "", map[string]any{"v": 1, "call": map[string]any{"sources": may.Names()}}); err != nil {
			return r, &identity.Error{Status: 403, Code: "no_right", Cause: err, Message: "Lectern's account may not write this into the room. It needs the power level that state events need, usually 50."}
		}
	} else if a.Person != "*" {
		d := Decision{Sources: may, Removed: s.decision(room, a.Person).Removed, Until: s.cfg.Now().Add(decisionLife)}
		if r.Kept, err = s.decide(ctx, room, a.Person, d); err != nil {
			return r, err
		}
	}
	l, err := s.targets(ctx, room, a.Person)
	if err != nil {
		return r, err
	}
	alias := Alias(room, Slot)
	for _, t := range l {
		st, _ := s.cfg.Rooms.Standing(room, t.Person)
		// The companion hears of the policy with its next /sync.
		want := permissionOf(s.sourcesUnder(room, t.Person, st, a.Person == "*", may))
		if permits(t.Permission, want) {
			continue
		}
		if err := s.asked(s.cfg.SFU.SetPermission(ctx, alias, t.Identity, want)); err != nil && !livekit.IsNotFound(err) {
			return r, err
		}
		r.Changed++
	}
	return r, nil
}

func (s *Service) sourcesUnder(room, person string, st identity.Standing, policy bool, may Sources) Sources {
	if !policy {
		return s.sources(room, person, st)
	}
	return may.and(s.decision(room, person).Sources)
}

// remove takes somebody out of the call and gives them no token any more.
func (s *Service) remove(ctx context.Context, room string, a Act) (r Result, err error) {
	alias := Alias(room, Slot)
	if a.Person == "" {
		return s.removeStranger(ctx, alias, a.Identity)
	}
	d := s.decision(room, a.Person)
	d.Removed, d.Until = true, s.cfg.Now().Add(decisionLife)
	if r.Kept, err = s.decide(ctx, room, a.Person, d); err != nil {
		return r, err
	}
	l, err := s.targets(ctx, room, a.Person)
	if err != nil {
		return r, err
	}
	for _, t := range l {
		if err := s.asked(s.cfg.SFU.RemoveParticipant(ctx, alias, t.Identity)); err != nil && !livekit.IsNotFound(err) {
			return r, err
		}
		r.Changed++
	}
	s.clearMemberships(ctx, room, func(m Membership) bool { return m.Person == a.Person && s.ours(m.Focus) })
	return r, nil
}

// removeStranger: whoever came through the token service is removed as a person, by power levels.
func (s *Service) removeStranger(ctx context.Context, alias, identity string) (r Result, err error) {
	people, err := s.cfg.SFU.ListParticipants(ctx, alias)
	if s.asked(err) != nil {
		return r, err
	}
	i := slices.IndexFunc(people, func(p livekit.Participant) bool { return p.Identity == identity })
	if i < 0 {
		return Result{Kept: true}, nil
	}
	if _, ours := s.seals.device(alias, identity, people[i].Metadata); ours {
		return r, refuse(403, "not_below", "This is somebody of the room: name the person.")
	}
	if err := s.asked(s.cfg.SFU.RemoveParticipant(ctx, alias, identity)); err != nil && !livekit.IsNotFound(err) {
		return r, err
	}
	return Result{Changed: 1, Kept: true}, nil
}

// clearMemberships empties what devices say in the room's state. Clients that still run may write it again.
func (s *Service) clearMemberships(ctx context.Context, room string, which func(Membership) bool) {
	for _, m := range s.cfg.Rooms.Memberships(room) {
		if !which(m) {
			continue
		}
		if err := s.cfg.Rooms.SetState(ctx, room, MembershipType, m.Key, struct{}{}); err != nil {
			s.cfg.Log.Warn("a device that was removed still stands in the room as being in the call", "err", err)
			return
		}
	}
}

func (s *Service) readmit(ctx context.Context, room, person string) (Result, error) {
	d := s.decision(room, person)
	d.Removed = false
	kept, err := s.decide(ctx, room, person, d)
	return Result{Changed: 1, Kept: kept}, err
}

// expel takes somebody out of the room, and so out of the call on whatever server.
func (s *Service) expel(ctx context.Context, room string, a Act) (r Result, err error) {
	if err := s.cfg.Rooms.Expel(ctx, room, a.Person, a.Action == Ban); err != nil {
		return r, &identity.Error{Status: 403, Code: "no_right", Cause: err, Message: "Lectern's account may not do this here. Remove the person in your Matrix client, or raise the account's power level."}
	}
	l, err := s.targets(ctx, room, a.Person)
	if err != nil {
		s.cfg.Log.Warn("somebody was taken out of a room; the call server does not answer", "err", err)
		return Result{Outcome: Enforced, Changed: 1, Kept: true}, nil // looked after when it does
	}
	for _, t := range l {
		_ = s.asked(s.cfg.SFU.RemoveParticipant(ctx, Alias(room, Slot), t.Identity)) // what fails here is done when /sync tells of it
	}
	return Result{Outcome: Enforced, Changed: 1, Kept: true}, nil
}

// end ends the call for everybody, for a while.
func (s *Service) end(ctx context.Context, room string) (r Result, err error) {
	r.Kept, r.Changed = s.setEnded(ctx, room, s.cfg.Now()), 1
	if err := s.asked(s.cfg.SFU.DeleteRoom(ctx, Alias(room, Slot))); err != nil && !livekit.IsNotFound(err) {
		return r, err
	}
	s.clearMemberships(ctx, room, func(m Membership) bool { return s.ours(m.Focus) })
	return r, nil
}

func localpart(id string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(id, "@"), ":")
	return name
}

func serverOf(id string) string {
	_, server, _ := strings.Cut(id, ":")
	return server
}

// serverName is the host of a focus' address, for people.
func serverName(focus string) string {
	_, rest, ok := strings.Cut(focus, "://")
	if !ok {
		return "?"
	}
	host, _, _ := strings.Cut(rest, "/")
	return host[:min(len(host), 255)]
}
