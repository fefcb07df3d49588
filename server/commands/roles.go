package commands

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
)

// Roles in words (SPEC RO). They are power levels and nothing else: what is changed here is m.room.power_levels, which every client reads.

const (
	levelsType = "m.room.power_levels"
	maxRoles   = 500 // that are listed
)

// RoomPerson is a member of a room.
type RoomPerson struct {
	ID, Name string
	Standing identity.Standing
}

// Roles of a room's members, for a person who moderates it.
type Roles struct {
	// Draw and Moderate are the levels from which people do that.
	Draw, Moderate int
	People         []RoleOf // by name
	More           bool     // there are more people
}

// RoleOf a person.
type RoleOf struct {
	ID, Name string
	Role     board.Role
	// May: who asks can change it, by what Matrix lets them.
	May bool
}

// Roles lists who may do what in a room. Errors are *identity.Error.
func (s *Service) Roles(person, room, kind string) (Roles, error) {
	p, err := s.moderated(person, room)
	if err != nil {
		return Roles{}, err
	}
	out := Roles{Draw: p.levels.Draw(kind), Moderate: p.levels.Moderator()}
	for _, m := range s.cfg.Rooms.People(room) {
		if m.ID == s.cfg.Companion || slices.Contains(p.Companions, m.ID) {
			continue
		}
		if out.More = len(out.People) == maxRoles; out.More {
			break
		}
		out.People = append(out.People, RoleOf{m.ID, m.Name, identity.RoleOf(m.Standing, kind), p.mayLevel(person, m)})
	}
	slices.SortStableFunc(out.People, func(a, b RoleOf) int { return cmp.Compare(b.Role, a.Role) })
	return out, nil
}

// SetRole gives a member the power level of a role. content is empty where the companion has written it; otherwise the companion may not, and who asks may: the
// whole content of the event that their client is to send. Errors are *identity.Error.
func (s *Service) SetRole(ctx context.Context, person, room, kind, target string, role board.Role) (content json.RawMessage, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, err := s.moderated(person, room)
	if err != nil {
		return nil, err
	}
	people := s.cfg.Rooms.People(room)
	at := slices.IndexFunc(people, func(m RoomPerson) bool { return m.ID == target })
	if at < 0 || target == s.cfg.Companion {
		return nil, &identity.Error{Status: http.StatusNotFound, Code: "no_person", Message: "This person is not in the room."}
	}
	level, ok := p.levels.Of(role, kind)
	if !ok {
		return nil, &identity.Error{Status: http.StatusConflict, Code: "bad_role", Message: "The room's power levels leave no place for this role. They can be changed in the room's settings."}
	}
	if !p.mayLevel(person, people[at]) || level > p.asker.Power {
		return nil, &identity.Error{Status: http.StatusForbidden, Code: "forbidden", Message: "Your power level in this room does not let you change this person's."}
	}
	old, err := s.cfg.Talk.State(ctx, room, levelsType, "")
	if err != nil {
		return nil, unreachable(err)
	}
	next, err := withLevel(old, target, level)
	if err != nil {
		return nil, &identity.Error{Status: http.StatusConflict, Code: "half_written", Message: "The room's power levels cannot be read. They can be put right in the room's settings.", Cause: err}
	}
	if me := p.me.Power; me < p.levels.State(levelsType) || me <= people[at].Standing.Power || me < level {
		return next, nil
	}
	err = s.cfg.Talk.SetState(ctx, room, levelsType, "", next)
	if re, ok := errors.AsType[*checkpoint.RoomError](err); ok && re.Kind == checkpoint.Forbidden {
		return next, nil // it was demoted a moment ago
	}
	if err != nil {
		return nil, unreachable(err)
	}
	return nil, nil
}

// moderated is the place of a person who moderates it.
func (s *Service) moderated(person, room string) (*place, error) {
	r, ok := s.cfg.Rooms.Room(room)
	asker, _ := s.cfg.Rooms.Standing(room, person)
	me, _ := s.cfg.Rooms.Standing(room, s.cfg.Companion)
	if !ok || !asker.Joined || !asker.Complete || asker.Power < asker.Levels.Moderator() {
		return nil, &identity.Error{Status: http.StatusForbidden, Code: "forbidden", Message: "Only moderators of this room can see and change who may do what."}
	}
	return &place{Room: r, asker: asker, me: me, levels: asker.Levels}, nil
}

// mayLevel: Matrix lets somebody change the level of who stands below them. Nobody changes their own here, because they could not take it back.
func (p *place) mayLevel(person string, m RoomPerson) bool {
	return p.asker.Power >= p.levels.State(levelsType) && m.ID != person && m.Standing.Power < p.asker.Power && m.Standing.Power != math.MaxInt
}

// withLevel answers the content with one person's level changed and nothing else. A level that everybody has anyway is not listed.
func withLevel(content json.RawMessage, person string, level int) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(content, &all); err != nil {
		return nil, err
	}
	if all == nil {
		return nil, errors.New("there is no such event")
	}
	users := map[string]json.RawMessage{}
	if raw, ok := all["users"]; ok {
		if err := json.Unmarshal(raw, &users); err != nil {
			return nil, err
		}
	}
	var usual int
	if raw, ok := all["users_default"]; ok {
		if err := json.Unmarshal(raw, &usual); err != nil {
			return nil, err
		}
	}
	if users == nil { // null
		users = map[string]json.RawMessage{}
	}
	if delete(users, person); level != usual {
		users[person], _ = json.Marshal(level)
	}
	all["users"], _ = json.Marshal(users)
	return json.Marshal(all)
}

func unreachable(err error) error {
	return &identity.Error{Status: http.StatusServiceUnavailable, Code: "homeserver_unreachable", Message: "Lectern's homeserver does not answer. Try again.", RetryAfter: 5 * time.Second, Cause: err}
}
