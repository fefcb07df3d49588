package matrix

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/identity"
)

// creation is what authorisation needs of m.room.create.
type creation struct {
	creators []string // of infinite power; empty before room version 12
	replaces string   // the room of which this is an upgrade
}

func parseCreation(sender string, content json.RawMessage) (*creation, error) {
	var c struct {
		Version     *string  `json:"room_version"`
		Additional  []string `json:"additional_creators"`
		Predecessor struct {
			Room any `json:"room_id"`
		} `json:"predecessor"`
	}
	if err := json.Unmarshal(content, &c); err != nil {
		return nil, fmt.Errorf("m.room.create: %w", err)
	}
	replaces, _ := c.Predecessor.Room.(string)
	version := id.RoomV1
	if c.Version != nil {
		version = id.RoomVersion(*c.Version)
	}
	if !version.PrivilegedRoomCreators() {
		return &creation{replaces: replaces}, nil
	}
	return &creation{creators: append([]string{sender}, c.Additional...), replaces: replaces}, nil
}

// powerLevels is m.room.power_levels with the defaults of the specification filled in.
type powerLevels struct {
	users        map[string]int
	usersDefault int
	identity.Levels
}

// level is a power level: an integer, or, in rooms before version 10, a decimal string.
type level int

func (l *level) UnmarshalJSON(b []byte) error {
	s := string(b)
	if s == "null" {
		return fmt.Errorf("power level null")
	}
	if len(b) > 1 && b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
	}
	n, err := strconv.ParseInt(s, 10, 54)
	if err != nil {
		return fmt.Errorf("power level %q", clip(s, 20))
	}
	*l = level(n)
	return nil
}

func parseLevels(content json.RawMessage) (*powerLevels, error) {
	var c struct {
		Users         map[string]level `json:"users"`
		UsersDefault  level            `json:"users_default"`
		Events        map[string]level `json:"events"`
		EventsDefault level            `json:"events_default"`
		StateDefault  *level           `json:"state_default"`
		Kick          *level           `json:"kick"`
	}
	if err := json.Unmarshal(content, &c); err != nil {
		return nil, fmt.Errorf("m.room.power_levels: %w", err)
	}
	or50 := func(l *level) int {
		if l == nil {
			return 50
		}
		return int(*l)
	}
	p := &powerLevels{usersDefault: int(c.UsersDefault), users: make(map[string]int, len(c.Users))}
	p.Levels = identity.Levels{Events: make(map[string]int, len(c.Events)), EventsDefault: int(c.EventsDefault), StateDefault: or50(c.StateDefault), Kick: or50(c.Kick)}
	for u, l := range c.Users {
		p.users[u] = int(l)
	}
	for t, l := range c.Events {
		p.Events[t] = int(l)
	}
	return p, nil
}

// power of a person; both events must have been seen.
func power(c *creation, p *powerLevels, user string) int {
	if slices.Contains(c.creators, user) {
		return math.MaxInt
	}
	if l, ok := p.users[user]; ok {
		return l
	}
	return p.usersDefault
}
