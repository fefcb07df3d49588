package matrix

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/id"
)

// Where the companion may read what people write (SPEC CM1): plain rooms, which anybody on the homeserver could read; rooms with one other person; and
// encrypted rooms where a moderator has allowed it. Everywhere else room keys of members are thrown away.

// pair: the companion and one other person, who is joined or invited. With mu held.
func (v *view) pair(r *room) bool {
	me, ok := r.members[v.me]
	return ok && me.joined && len(r.members) == 2
}

// allowed: a moderator has let commands be read, and whoever it was still is one. With mu held.
func (v *view) allowed(r *room) bool {
	if r.allowedBy == "" || r.create == nil || r.levels == nil {
		return false
	}
	m, ok := r.members[r.allowedBy]
	return ok && m.joined && power(r.create, r.levels, r.allowedBy) >= r.levels.Moderator()
}

// readable: keys of this encrypted room may be kept. With mu held.
func (v *view) readable(r *room) bool { return v.pair(r) || v.allowed(r) }

// mayKeep decides about a room key that a member sent.
func (c *Companion) mayKeep(room, sender string) bool {
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	r := v.rooms[room]
	if r == nil {
		return false
	}
	m, ok := r.members[sender]
	return ok && m.joined && v.readable(r)
}

// --- keys that come before the companion has joined ---

const (
	heldKeys = 64 // in all rooms together
	heldFor  = 2 * time.Minute
)

// held are keys of direct messages to which the companion is invited: a client that opens one with its first message sends the key at once. They are in memory
// alone until the room is seen.
type held struct {
	mu      sync.Mutex
	invited map[string]invitedBy // guarded by mu
	n       int                  // guarded by mu
}

type invitedBy struct {
	person string
	at     time.Time
	keys   []*crypto.InboundGroupSession
}

func (h *held) expect(room, person string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r, i := range h.invited {
		if time.Since(i.at) > heldFor {
			h.n -= len(i.keys)
			delete(h.invited, r)
		}
	}
	if _, ok := h.invited[room]; !ok && len(h.invited) < heldKeys {
		h.invited[room] = invitedBy{person: person, at: time.Now()}
	}
}

// hold answers false for a key that nobody waits for.
func (h *held) hold(g *crypto.InboundGroupSession) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, ok := h.invited[string(g.RoomID)]
	if !ok || i.person != string(g.SourceUser) || h.n >= heldKeys {
		return false
	}
	i.keys = append(i.keys, g)
	h.invited[string(g.RoomID)] = i
	h.n++
	return true
}

func (h *held) take(room string) []*crypto.InboundGroupSession {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := h.invited[room]
	delete(h.invited, room)
	h.n -= len(i.keys)
	return i.keys
}

// settle decides about held keys once the room is seen. In the crypto goroutine.
func (c *Companion) settle(ctx context.Context, room string) {
	for _, g := range c.held.take(room) {
		if err := c.keys.PutGroupSession(ctx, g); err != nil {
			c.log.Error("keep the key of a direct message", "room", room, "err", err)
		}
	}
}

// --- forgetting ---

// foreign selects sessions that members made; $1 is the companion, accepted companions follow.
func (c *Companion) foreign(first ...any) (where string, args []any) {
	args = append(first, string(c.user), string(id.KeySourceDirect))
	marks := make([]string, 0, len(c.accept))
	for user := range c.accept {
		args = append(args, user)
		marks = append(marks, fmt.Sprintf("$%d", len(args)))
	}
	n := len(first)
	return fmt.Sprintf("source_user<>$%d AND key_source=$%d AND source_user NOT IN (%s)", n+1, n+2, strings.Join(marks, ",")), args
}

// forget deletes the keys members sent for a room that is no longer readable, from the file and its write-ahead log. In the crypto goroutine, so that no key
// that was judged before can be stored after.
func (c *Companion) forget(ctx context.Context, room string) error {
	where, args := c.foreign(room)
	var n int64
	err := c.db.DoTxn(ctx, nil, func(ctx context.Context) error {
		if _, err := c.db.Exec(ctx, "DELETE FROM crypto_message_index WHERE session_id IN (SELECT session_id FROM crypto_megolm_inbound_session WHERE room_id=$1 AND "+where+")", args...); err != nil {
			return err
		}
		res, err := c.db.Exec(ctx, "DELETE FROM crypto_megolm_inbound_session WHERE room_id=$1 AND "+where, args...)
		if err == nil {
			n, err = res.RowsAffected()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("forget the keys of a room: %w", err)
	}
	if n == 0 {
		return nil
	}
	c.log.Info("the keys of a room that is no longer read are forgotten", "room", room, "keys", n)
	for try := range 10 {
		var busy, pages, moved int
		if err := c.db.QueryRow(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved); err != nil {
			return fmt.Errorf("empty the write-ahead log of companion.db: %w", err)
		}
		if busy == 0 {
			return nil
		}
		select { // somebody reads just now
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try+1) * 10 * time.Millisecond):
		}
	}
	c.log.Warn("forgotten keys stay in the write-ahead log of companion.db until it is next emptied", "room", room)
	return nil
}

// forgetUnreadable looks through the whole file at a start: rooms may have changed, or been left, meanwhile.
func (c *Companion) forgetUnreadable(ctx context.Context) error {
	where, args := c.foreign()
	rooms, err := c.strings(ctx, "SELECT DISTINCT room_id FROM crypto_megolm_inbound_session WHERE "+where, args...)
	if err != nil {
		return err
	}
	for _, room := range rooms {
		c.view.mu.RLock()
		r := c.view.rooms[room]
		keep := r != nil && c.view.readable(r)
		c.view.mu.RUnlock()
		if keep {
			continue
		}
		if err := c.forget(ctx, room); err != nil {
			return err
		}
	}
	return nil
}

func (c *Companion) strings(ctx context.Context, query string, args ...any) (l []string, err error) {
	rows, err := c.db.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read companion.db: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, fmt.Errorf("read companion.db: %w", err)
		}
		l = append(l, s)
	}
	return l, rows.Err()
}
