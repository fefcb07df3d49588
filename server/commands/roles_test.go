package commands

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"testing"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
)

// staffRoom is a room with power levels as the homeserver has them.
type staffRoom struct {
	Rooms
	Talk
	power  map[string]int
	levels identity.Levels
	stands json.RawMessage
	wrote  json.RawMessage
	fails  error
}

func (r *staffRoom) Room(id string) (Room, bool) { return Room{ID: id}, id == "!r:x" }

func (r *staffRoom) Standing(_, person string) (identity.Standing, bool) {
	power, ok := r.power[person]
	return identity.Standing{Joined: ok, Complete: true, Power: power, Levels: r.levels}, ok
}

func (r *staffRoom) People(string) (l []RoomPerson) {
	for id := range maps.Keys(r.power) {
		st, _ := r.Standing("", id)
		l = append(l, RoomPerson{ID: id, Standing: st})
	}
	return l
}

func (r *staffRoom) State(context.Context, string, string, string) (json.RawMessage, error) {
	return r.stands, r.fails
}

func (r *staffRoom) SetState(_ context.Context, _, _, _ string, content any) error {
	r.wrote, _ = json.Marshal(content)
	return r.fails
}

func TestRoles(t *testing.T) {
	levels := identity.Levels{StateDefault: 50, Kick: 50, Events: map[string]int{levelsType: 100}}
	power := func(lectern int) map[string]int {
		return map[string]int{"@teacher:x": 100, "@lectern:x": lectern, "@ada:x": 0, "@helper:x": 50, "@maker:x": math.MaxInt}
	}
	const stands = `{"later":{"a":1},"users":{"@teacher:x":100,"@helper:x":50},"users_default":0}`
	for name, c := range map[string]struct {
		by, target string
		role       board.Role
		lectern    int
		stands     string
		code       string // of the refusal
		users      string // of what is written, by whoever
		client     bool   // who asks has to write it
	}{
		"RO2 Lectern may":                        {by: "@teacher:x", target: "@ada:x", role: board.RoleModerator, lectern: 101, users: `{"@ada:x":50,"@helper:x":50,"@teacher:x":100}`},
		"RO2 Lectern may not, the person may":    {by: "@teacher:x", target: "@ada:x", role: board.RoleViewer, lectern: 50, users: `{"@ada:x":-1,"@helper:x":50,"@teacher:x":100}`, client: true},
		"RO2 what everybody has is not listed":   {by: "@teacher:x", target: "@helper:x", role: board.RoleParticipant, lectern: 50, users: `{"@teacher:x":100}`, client: true},
		"RO3 a helper may moderate, not this":    {by: "@helper:x", target: "@ada:x", role: board.RoleModerator, lectern: 101, code: "forbidden"},
		"RO3 a student":                          {by: "@ada:x", target: "@helper:x", role: board.RoleViewer, lectern: 101, code: "forbidden"},
		"RO3 oneself":                            {by: "@teacher:x", target: "@teacher:x", role: board.RoleViewer, lectern: 101, code: "forbidden"},
		"RO3 whoever made the room":              {by: "@teacher:x", target: "@maker:x", role: board.RoleViewer, lectern: 101, code: "forbidden"},
		"RO3 Lectern":                            {by: "@teacher:x", target: "@lectern:x", role: board.RoleViewer, lectern: 50, code: "no_person"},
		"RO3 nobody":                             {by: "@teacher:x", target: "@nobody:x", role: board.RoleViewer, lectern: 50, code: "no_person"},
		"RO3 power levels that cannot be read":   {by: "@teacher:x", target: "@ada:x", role: board.RoleViewer, lectern: 50, stands: `{"users":[]}`, code: "half_written"},
		"RO3 power levels that are not there":    {by: "@teacher:x", target: "@ada:x", role: board.RoleViewer, lectern: 50, stands: `null`, code: "half_written"},
		"RO3 somebody who is not in the room":    {by: "@guest:x", target: "@ada:x", role: board.RoleViewer, lectern: 50, code: "forbidden"},
		"RO2 of several the others stay strings": {by: "@teacher:x", target: "@ada:x", role: board.RoleModerator, lectern: 50, stands: `{"users":{"@old:x":"25"}}`, users: `{"@ada:x":50,"@old:x":"25"}`, client: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &staffRoom{power: power(c.lectern), levels: levels, stands: json.RawMessage(stands)}
			if c.stands != "" {
				r.stands = json.RawMessage(c.stands)
			}
			s := New(Config{Rooms: r, Talk: r, Companion: "@lectern:x"})
			content, err := s.SetRole(t.Context(), c.by, "!r:x", "whiteboard", c.target, c.role)
			if c.code != "" {
				if e, ok := errors.AsType[*identity.Error](err); !ok || e.Code != c.code || r.wrote != nil {
					t.Fatalf("got %v and %s, want %s", err, r.wrote, c.code)
				}
				return
			}
			if err != nil || (content != nil) != c.client || (r.wrote != nil) == c.client {
				t.Fatalf("got %s, %v, written %s", content, err, r.wrote)
			}
			var got struct {
				Later json.RawMessage `json:"later"`
				Users json.RawMessage `json:"users"`
			}
			if c.client {
				r.wrote = content
			}
			if err := json.Unmarshal(r.wrote, &got); err != nil || string(got.Users) != c.users {
				t.Errorf("users: got %s, want %s (%v)", got.Users, c.users, err)
			}
			if c.stands == "" && string(got.Later) != `{"a":1}` {
				t.Errorf("an unknown field: %s", r.wrote)
			}
		})
	}
	t.Run("RO2 Lectern was demoted a moment ago: the person's client is asked", func(t *testing.T) {
		r := &staffRoom{power: power(101), levels: levels, stands: json.RawMessage(stands)}
		s := New(Config{Rooms: r, Talk: refusing{r}, Companion: "@lectern:x"})
		if content, err := s.SetRole(t.Context(), "@teacher:x", "!r:x", "whiteboard", "@ada:x", board.RoleModerator); err != nil || content == nil {
			t.Errorf("got %s, %v", content, err)
		}
	})
	t.Run("RO1 the list", func(t *testing.T) {
		r := &staffRoom{power: power(50), levels: levels}
		s := New(Config{Rooms: r, Talk: r, Companion: "@lectern:x"})
		l, err := s.Roles("@teacher:x", "!r:x", "whiteboard")
		if err != nil || l.Draw != 0 || l.Moderate != 50 || len(l.People) != 4 {
			t.Fatalf("got %+v, %v", l, err)
		}
		for _, p := range l.People {
			if may := p.ID == "@ada:x" || p.ID == "@helper:x"; p.May != may {
				t.Errorf("%s may be changed: %v", p.ID, p.May)
			}
		}
		if _, err := s.Roles("@ada:x", "!r:x", "whiteboard"); err == nil {
			t.Error("a student sees the list")
		}
	})
}

type refusing struct{ *staffRoom }

func (refusing) SetState(context.Context, string, string, string, any) error {
	return &checkpoint.RoomError{Kind: checkpoint.Forbidden, Err: errors.New("403")}
}
