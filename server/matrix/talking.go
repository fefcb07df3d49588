package matrix

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/identity"
)

// Say sends a notice; in an encrypted room for the devices of everybody who may read. The same key twice is one notice.
func (c *Companion) Say(ctx context.Context, room, text, to, key string) error {
	content := map[string]any{"msgtype": "m.notice", "body": text, "m.mentions": struct{}{}}
	if to != "" {
		content["m.relates_to"] = map[string]any{"m.in_reply_to": map[string]any{"event_id": to}}
	}
	return c.sendSealed(ctx, room, event.EventMessage, content, key)
}

// sendSealed sends an event, in an encrypted room for the devices of everybody who may read.
func (c *Companion) sendSealed(ctx context.Context, room string, typ event.Type, content any, key string) error {
	if !c.Encrypted(room) {
		return c.send(ctx, room, typ, content, key)
	}
	lock := c.roomLock(room)
	lock.Lock()
	defer lock.Unlock()
	session, err := c.session(ctx, room)
	if err != nil {
		return requestError("share the room key", err)
	}
	if err := c.shareWithNewcomers(ctx, room, session); err != nil {
		c.log.Warn("some devices cannot read an event", "room", room, "err", requestError("share the room key", err))
	}
	e, err := c.machine.EncryptMegolmEvent(ctx, id.RoomID(room), typ, content)
	if err != nil {
		return requestError("encrypt an event", err)
	}
	return c.send(ctx, room, event.EventEncrypted, e, key)
}

func (c *Companion) send(ctx context.Context, room string, typ event.Type, content any, key string) error {
	_, err := c.client.SendMessageEvent(ctx, id.RoomID(room), typ, content, mautrix.ReqSendEvent{TransactionID: key})
	return requestError("send a notice", err)
}

// shareWithNewcomers gives a running session to devices that came since it was shared: from here on, nothing older.
func (c *Companion) shareWithNewcomers(ctx context.Context, room string, s *crypto.OutboundGroupSession) error {
	devices, err := c.devices(ctx, room)
	if err != nil {
		return err
	}
	has, err := c.holders(ctx, s.ID())
	if err != nil {
		return err
	}
	lack := slices.DeleteFunc(devices, func(d *id.Device) bool {
		return has[holder{d.UserID, d.IdentityKey}] && c.keys.HasSession(ctx, d.IdentityKey)
	})
	missed := 0
	for chunk := range slices.Chunk(lack, lateDevices) {
		n, err := c.sendKey(ctx, room, savedKey{session: s.ID(), key: s.Internal.Key(), shared: s.SharedHistory}, chunk)
		if missed += n; err != nil {
			return err
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d devices have no one-time keys", missed)
	}
	return nil
}

// State answers the content of a state event in clear; nil where there is none.
func (c *Companion) State(ctx context.Context, room, typ, key string) (json.RawMessage, error) {
	e, err := c.stateEvent(ctx, room, typ, key)
	if errors.Is(err, checkpoint.ErrNoState) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return e.Content.VeryRaw, nil
}

// SetState writes a state event in clear: widgets and their layout are for everybody's client, which reads no encrypted state.
func (c *Companion) SetState(ctx context.Context, room, typ, key string, content any) error {
	_, err := c.client.SendStateEvent(ctx, id.RoomID(room), event.Type{Type: typ, Class: event.StateEventType}, key, content)
	return requestError("write state", err)
}

// --- rooms, as commands need them ---

// maxAdmins that are named.
const maxAdmins = 3

// Room answers false for a room the companion is not in.
func (c *Companion) Room(name string) (commands.Room, bool) {
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	r := v.rooms[name]
	if r == nil {
		return commands.Room{}, false
	}
	return c.describe(name, r), true
}

// Shared are the rooms where both the companion and the person are joined.
func (c *Companion) Shared(person string) (l []commands.Room) {
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	for name, r := range v.rooms {
		if m, ok := r.members[person]; ok && m.joined {
			l = append(l, c.describe(name, r))
		}
	}
	slices.SortFunc(l, func(a, b commands.Room) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return l
}

// People are who is joined in a room, by name.
func (c *Companion) People(name string) (l []commands.RoomPerson) {
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	r := v.rooms[name]
	if r == nil || r.create == nil || r.levels == nil {
		return nil
	}
	for u, m := range r.members {
		if m.joined {
			l = append(l, commands.RoomPerson{ID: u, Name: m.name, Standing: identity.Standing{Joined: true, Complete: true, Name: m.name, Power: power(r.create, r.levels, u), Levels: r.levels.Levels}})
		}
	}
	slices.SortFunc(l, func(a, b commands.RoomPerson) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return l
}

// describe is called with view.mu held.
func (c *Companion) describe(name string, r *room) commands.Room {
	v := &c.view
	out := commands.Room{
		ID: name, Name: r.name, Alias: r.alias, Encrypted: v.sticky[name],
		Direct: v.pair(r) && c.visits.direct(name), Open: !v.sticky[name] || v.allowed(r),
	}
	for sid, w := range r.widgets {
		if sid.typ == widgetTypes[0] {
			out.Widgets = append(out.Widgets, w)
		}
	}
	slices.SortFunc(out.Widgets, func(a, b identity.Widget) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	for u, m := range r.members {
		if !m.joined || u == v.me {
			continue
		}
		if c.accept[u] {
			out.Companions = append(out.Companions, u)
		} else if r.create != nil && r.levels != nil && power(r.create, r.levels, u) >= r.levels.State("m.room.power_levels") {
			out.Admins = append(out.Admins, cmp.Or(m.name, u))
		}
	}
	slices.Sort(out.Companions)
	slices.Sort(out.Admins)
	out.Admins = out.Admins[:min(len(out.Admins), maxAdmins)]
	return out
}

// Mirrors implements commands.Mirrors.
func (c *Companion) Mirrors() (l []commands.Mirror) {
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	for name, r := range v.rooms {
		if r.create == nil || r.levels == nil || power(r.create, r.levels, v.me) < r.levels.State(commands.StableType) {
			continue
		}
		for sid, w := range r.widgets {
			if sid.typ == widgetTypes[0] {
				if o, ok := r.widgets[stateID{widgetTypes[1], sid.key}]; !ok || o.Mirror && (o.Board != w.Board || o.Name != w.Name || o.Kind != w.Kind) {
					l = append(l, commands.Mirror{Room: name, Widget: w})
				}
			} else if _, ok := r.widgets[stateID{widgetTypes[0], sid.key}]; !ok && w.Mirror {
				l = append(l, commands.Mirror{Room: name, Widget: w, Gone: true})
			}
		}
	}
	return l
}
