package matrix

import (
	"context"
	"encoding/json"
	"strings"

	"maunium.net/go/mautrix"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/upgrade"
)

// nextRoom is the room that a tombstone names; "" where it names none.
func nextRoom(e *stateEvent) string {
	var t struct {
		Next any `json:"replacement_room"`
	}
	_ = json.Unmarshal(e.Content, &t)
	next, _ := t.Next.(string)
	if !strings.HasPrefix(next, "!") || len(next) > 255 {
		return ""
	}
	return next
}

// Successor answers the room into which the boards of one go now: both rooms say that it replaces the other, the companion is in it and has the power that
// boards need, and it is encrypted if the old one is.
func (c *Companion) Successor(room string) (next string, ok bool) {
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	return c.successor(room)
}

// successor is called with view.mu held.
func (c *Companion) successor(room string) (next string, ok bool) {
	v := &c.view
	old := v.rooms[room]
	if old == nil || old.next == "" || old.next == room {
		return "", false
	}
	r := v.rooms[old.next]
	if r == nil || r.create == nil || r.levels == nil || r.create.replaces != room || v.sticky[room] && !v.sticky[old.next] {
		return "", false
	}
	need := commands.Needed(commands.Room{Encrypted: v.sticky[old.next]}, r.levels.Levels)
	return old.next, r.members[v.me].joined && power(r.create, r.levels, v.me) >= need
}

// Origin implements identity.Rooms.
func (c *Companion) Origin(room string, id board.ID) string {
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	r := v.rooms[room]
	if r == nil || r.create == nil {
		return room
	}
	old := v.rooms[r.create.replaces]
	if next, ok := c.successor(r.create.replaces); !ok || next != room {
		return room
	}
	for _, w := range old.widgets {
		if w.Board == id {
			return r.create.replaces
		}
	}
	return room
}

// Upgrades implements upgrade.Rooms.
func (c *Companion) Upgrades() (l []upgrade.Upgrade) {
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	for room := range v.rooms {
		if next, ok := c.successor(room); ok {
			l = append(l, upgrade.Upgrade{From: room, To: next})
		}
	}
	return l
}

// replaced tries to go where a tombstone points, as everybody's client does. Whoever replaced the room must be somebody who may invite; where the new room
// asks for an invitation, one has to come.
func (c *Companion) replaced(room string, e *stateEvent) {
	next := nextRoom(e)
	if next == "" {
		return
	}
	if _, there := c.Room(next); there {
		return
	}
	if !c.mayInvite(e.Sender) {
		c.log.Info("a room was replaced by somebody who may not invite the companion: it waits for an invitation", "room", room, "next", next)
		return
	}
	select {
	case c.invites <- invite{room: next, by: e.Sender, accept: true, after: room}:
	default:
		c.log.Warn("too many invites at once: the companion waits for an invitation to the room that replaces another", "room", next)
	}
}

// enter joins the room of an invitation, or one that replaces another.
func (c *Companion) enter(ctx context.Context, inv invite) error {
	if inv.after == "" {
		_, err := c.client.JoinRoom(ctx, inv.room, nil)
		return err
	}
	_, err := c.client.JoinRoom(ctx, inv.room, &mautrix.ReqJoinRoom{Via: []string{hostOf(inv.by)}})
	return err
}
