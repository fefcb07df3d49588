package matrix

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/focus"
)

// What the companion sees of calls, and does for them.

var _ focus.Rooms = (*Companion)(nil)

const (
	maxCalls       = 500 // devices in one room's calls
	maxFocus       = 512 // bytes of an address
	defaultExpiry  = 4 * time.Hour
	longestExpiry  = 24 * time.Hour
	furthestFuture = 5 * time.Minute // clocks of other servers
)

// applyCall takes a device's word that it is in a call. One that does not parse, or that somebody writes about another person, says nothing.
func (r *room) applyCall(e *stateEvent) effect {
	_, had := r.calls[*e.Key]
	m, ok := parseCall(e)
	if !ok || !had && len(r.calls) >= maxCalls {
		delete(r.calls, *e.Key)
		return effect{call: had}
	}
	r.calls[*e.Key] = m
	return effect{call: true}
}

func parseCall(e *stateEvent) (m focus.Membership, ok bool) {
	var c struct {
		Application string `json:"application"`
		Device      string `json:"device_id"`
		Call        string `json:"call_id"`
		Created     int64  `json:"created_ts"`
		Expires     int64  `json:"expires"`
		Foci        []struct {
			Type string `json:"type"`
			URL  string `json:"livekit_service_url"`
		} `json:"foci_preferred"`
	}
	owner, _ := strings.CutPrefix(*e.Key, "_") // rooms before MSC3757: a key that begins with a Matrix id is its owner's alone, so clients put this before it
	if e.Unsigned.Redacted != nil || !strings.HasPrefix(owner, e.Sender+"_") && owner != e.Sender || json.Unmarshal(e.Content, &c) != nil {
		return m, false
	}
	if c.Application != "m.call" || c.Call != "" || c.Device == "" || len(c.Device) > maxName {
		return m, false
	}
	m = focus.Membership{Key: *e.Key, Event: e.ID, Person: e.Sender, Device: c.Device, Since: time.UnixMilli(cmp.Or(c.Created, e.At))}
	if now := time.Now(); m.Since.After(now.Add(furthestFuture)) {
		m.Since = now
	}
	m.Expires = m.Since.Add(min(cmp.Or(time.Duration(c.Expires)*time.Millisecond, defaultExpiry), longestExpiry))
	for _, f := range c.Foci {
		if f.Type == "livekit" && len(f.URL) <= maxFocus {
			m.Focus = f.URL // the first one is where the device publishes
			break
		}
	}
	return m, true
}

// applyPolicy: who may write the event is for the room's power levels. What does not parse decides nothing.
func (r *room) applyPolicy(e *stateEvent) {
	var c struct {
		V    int `json:"v"`
		Call struct {
			Sources *[]string `json:"sources"`
		} `json:"call"`
	}
	r.policy = focus.Policy{}
	if json.Unmarshal(e.Content, &c) == nil && c.V == 1 && c.Call.Sources != nil && len(*c.Call.Sources) <= 16 {
		r.policy = focus.Policy{Set: true, Sources: focus.SourcesOf(*c.Call.Sources)}
	}
}

// Memberships lists the devices of joined people that say they are in a room's call, oldest first.
func (c *Companion) Memberships(name string) (l []focus.Membership) {
	now := time.Now()
	c.view.mu.RLock()
	defer c.view.mu.RUnlock()
	r := c.view.rooms[name]
	if r == nil {
		return nil
	}
	for _, m := range r.calls {
		if r.members[m.Person].joined && now.Before(m.Expires) {
			l = append(l, m)
		}
	}
	slices.SortFunc(l, func(a, b focus.Membership) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Key, b.Key)) })
	return l
}

// Policy of a room's calls.
func (c *Companion) Policy(name string) focus.Policy {
	c.view.mu.RLock()
	defer c.view.mu.RUnlock()
	if r := c.view.rooms[name]; r != nil {
		return r.policy
	}
	return focus.Policy{}
}

// Report writes an event into a room's timeline, encrypted where the room is. The same key twice is one event.
func (c *Companion) Report(ctx context.Context, room, typ string, content any, key string) error {
	return c.sendSealed(ctx, room, event.Type{Type: typ, Class: event.MessageEventType}, content, key)
}

// Expel takes somebody out of a room, for good if ban.
func (c *Companion) Expel(ctx context.Context, room, user string, ban bool) error {
	if ban {
		_, err := c.client.BanUser(ctx, id.RoomID(room), &mautrix.ReqBanUser{UserID: id.UserID(user)})
		return requestError("ban", err)
	}
	_, err := c.client.KickUser(ctx, id.RoomID(room), &mautrix.ReqKickUser{UserID: id.UserID(user)})
	return requestError("remove", err)
}
