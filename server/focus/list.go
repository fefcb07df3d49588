package focus

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/educationpub/lectern/server/focus/livekit"
)

// Media of a device: how one of its sources stands.
type Media string

// How a source stands.
const (
	Off   Media = "off"   // not published
	Muted Media = "muted" // published and silent
	On    Media = "on"
)

// Where a device publishes.
const (
	Here      = "here"      // on our LiveKit server: what is decided holds at once
	Elsewhere = "elsewhere" // on another server's
	Nowhere   = "nowhere"   // says that it is in the call, and is not connected
)

// InCall is one device in a call.
type InCall struct {
	Device     string `json:"device"`
	Where      string `json:"where"`
	Listed     bool   `json:"listed"` // the room's state says that it is in the call
	Microphone Media  `json:"microphone"`
	Camera     Media  `json:"camera"`
	Share      Media  `json:"screen_share"`
}

// silent: it publishes nothing on our LiveKit server.
func (d InCall) silent() bool { return d.Microphone == Off && d.Camera == Off && d.Share == Off }

// Member is somebody in a call, with what moderators have decided about them.
type Member struct {
	UserID  string   `json:"user_id"`
	Name    string   `json:"name"`
	Server  string   `json:"external"` // their homeserver, where it is another one than ours
	Role    string   `json:"role"`     // "moderator" or "participant"
	May     bool     `json:"may_moderate"`
	Joined  bool     `json:"joined"` // in the room
	Removed bool     `json:"removed"`
	Sources []string `json:"sources"` // what they may publish
	Devices []InCall `json:"devices"`
}

// Stranger is a participant that did not come through us: an operator's recorder, or somebody with the key of LiveKit.
type Stranger struct {
	Identity string `json:"identity"`
	Kind     string `json:"kind"`
}

// Call is what a room's call looks like to one person.
type Call struct {
	Revision  uint64     `json:"revision"`
	Down      bool       `json:"down"`  // LiveKit does not answer
	Ended     int64      `json:"ended"` // ms for which the call stays ended; 0: it may go on or begin
	Moderator bool       `json:"moderator"`
	Sources   []string   `json:"sources"` // what people below moderators may publish
	Mine      []string   `json:"mine"`    // what this person may publish
	Members   []Member   `json:"members"`
	Strangers []Stranger `json:"strangers"`
}

// List answers a room's call as soon as its revision is another than the given one, or when ctx ends. person is joined in the room.
func (s *Service) List(ctx context.Context, room, person string, revision uint64) (Call, error) {
	now := s.wait(ctx, room, revision)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	me, _ := s.cfg.Rooms.Standing(room, person)
	c := Call{
		Revision: now, Ended: s.endedFor(room).Milliseconds(), Moderator: moderates(me), Sources: s.cfg.Students.Names(),
		Mine: s.sources(room, person, me).Names(), Members: []Member{}, Strangers: []Stranger{},
	}
	if p := s.cfg.Rooms.Policy(room); p.Set {
		c.Sources = p.Sources.Names()
	}
	alias := Alias(room, Slot)
	people, err := s.cfg.SFU.ListParticipants(ctx, alias)
	c.Down = s.asked(err) != nil
	members := map[string]*Member{}
	member := func(id string) *Member {
		m := members[id]
		if m == nil {
			m = s.member(room, id, me.Power, c.Moderator)
			members[id] = m
		}
		return m
	}
	for _, p := range people {
		d, ok := s.seals.device(alias, p.Identity, p.Metadata)
		if !ok {
			c.Strangers = append(c.Strangers, Stranger{p.Identity, p.Kind})
			continue
		}
		m := member(d.Person)
		m.Devices = append(m.Devices, inCall(d, p))
	}
	for _, say := range s.cfg.Rooms.Memberships(room) {
		m := member(say.Person)
		i := slices.IndexFunc(m.Devices, func(d InCall) bool { return d.Device == say.Device })
		where := Elsewhere
		if s.ours(say.Focus) {
			where = Nowhere
		}
		if i >= 0 {
			m.Devices[i].Listed = true
			if where == Elsewhere && m.Devices[i].silent() {
				m.Devices[i].Where = Elsewhere // here it only listens
			}
			continue
		}
		m.Devices = append(m.Devices, InCall{Device: say.Device, Where: where, Listed: true, Microphone: Off, Camera: Off, Share: Off})
	}
	for _, id := range s.decided(room) {
		member(id)
	}
	for _, m := range members {
		slices.SortFunc(m.Devices, func(a, b InCall) int { return cmp.Compare(a.Device, b.Device) })
		c.Members = append(c.Members, *m)
	}
	slices.SortFunc(c.Members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UserID, b.UserID))
	})
	return c, nil
}

// member describes a person to somebody of that power.
func (s *Service) member(room, id string, power int, moderator bool) *Member {
	st, _ := s.cfg.Rooms.Standing(room, id)
	m := &Member{
		UserID: id, Name: cmp.Or(st.Name, localpart(id)), Role: "participant", May: moderator && st.Power < power, Joined: st.Joined,
		Removed: s.decision(room, id).Removed, Sources: s.sources(room, id, st).Names(), Devices: []InCall{},
	}
	if moderates(st) {
		m.Role = "moderator"
	}
	if server := serverOf(id); server != s.cfg.Server {
		m.Server = server
	}
	return m
}

// decided lists the people about whom a decision stands, in no order.
func (s *Service) decided(room string) (l []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	for id, d := range s.decisions[room] {
		if now.Before(d.Until) {
			l = append(l, id)
		}
	}
	return l
}

func inCall(d Device, p livekit.Participant) InCall {
	c := InCall{Device: d.Device, Where: Here, Microphone: Off, Camera: Off, Share: Off}
	for _, t := range p.Tracks {
		state := On
		if t.Muted {
			state = Muted
		}
		switch t.Source {
		case livekit.Microphone:
			c.Microphone = state
		case livekit.Camera:
			c.Camera = state
		case livekit.ScreenShare:
			c.Share = state
		}
	}
	return c
}
