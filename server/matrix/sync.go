package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/focus"
)

const (
	longPoll    = 10 * time.Second
	syncGrace   = 10 * time.Second // on top of the long poll
	syncMaxSize = 256 << 20
)

// syncResponse keeps events raw: one malformed event of some federated server must not stop the whole sync.
type syncResponse struct {
	NextBatch string `json:"next_batch"`
	ToDevice  struct {
		Events []json.RawMessage `json:"events"`
	} `json:"to_device"`
	DeviceLists mautrix.DeviceLists `json:"device_lists"`
	OTK         *mautrix.OTKCount   `json:"device_one_time_keys_count"`
	Rooms       struct {
		Join map[string]struct {
			State    rawEvents `json:"state"`
			Timeline rawEvents `json:"timeline"`
		} `json:"join"`
		Invite map[string]struct {
			State rawEvents `json:"invite_state"`
		} `json:"invite"`
		Leave map[string]json.RawMessage `json:"leave"`
	} `json:"rooms"`
}

type rawEvents struct {
	Events []json.RawMessage `json:"events"`
}

// filter asks for state. The timeline carries state changes too, redactions, and messages if they are asked for (encrypted ones come anyway: state is sent
// under that type as well); other types of it are not even sent.
func filter(limit int, messages ...string) string {
	types := []string{
		"m.room.create", "m.room.member", "m.room.power_levels", "m.room.encryption", "m.room.history_visibility", "m.room.encrypted", "m.room.tombstone",
		"im.vector.modular.widgets", "m.widget", "m.room.name", "m.room.canonical_alias", commands.AllowType, focus.MembershipType, focus.PolicyType,
		// Dendrite on SQLite knows no wildcards here.
		"com.educationpub.whiteboard.content", "com.educationpub.notes.content", "com.educationpub.poll.content",
		"com.educationpub.whiteboard.leftovers", "com.educationpub.notes.leftovers", "com.educationpub.poll.leftovers",
	}
	none := map[string]any{"not_types": []string{"*"}}
	b, _ := json.Marshal(map[string]any{
		"presence": none, "account_data": none,
		"room": map[string]any{
			"account_data": none, "ephemeral": none,
			"state":    map[string]any{"lazy_load_members": false, "types": types},
			"timeline": map[string]any{"lazy_load_members": false, "limit": limit, "types": slices.Concat(types, []string{"m.room.redaction"}, messages)},
		},
	})
	return string(b)
}

var firstFilter, nextFilter = filter(1), filter(100, "m.room.message")

func (c *Companion) syncOnce(ctx context.Context, timeout time.Duration) (*syncResponse, error) {
	if c.since == "" {
		return c.syncRequest(ctx, map[string]string{"timeout": "0", "filter": firstFilter}, 5*time.Minute) // a first sync may be long
	}
	return c.syncRequest(ctx, map[string]string{"timeout": itoa(timeout.Milliseconds()), "since": c.since, "filter": nextFilter}, timeout+syncGrace)
}

func (c *Companion) syncRequest(ctx context.Context, q map[string]string, limit time.Duration) (*syncResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var resp syncResponse
	_, err := c.client.MakeFullRequest(ctx, mautrix.FullRequest{
		Method: http.MethodGet, URL: c.client.BuildURLWithQuery(mautrix.ClientURLPath{"v3", "sync"}, q),
		ResponseJSON: &resp, MaxAttempts: 1, Client: c.syncHTTP, ResponseSizeLimit: syncMaxSize,
	})
	if err != nil {
		return nil, requestError("sync", err)
	}
	if resp.NextBatch == "" {
		return nil, &checkpoint.RoomError{Kind: checkpoint.Unreachable, Err: errors.New("sync: the homeserver's answer has no next_batch")}
	}
	return &resp, nil
}

// firstSync fills the view. It does not go on from the position of the last run: a complete answer is the only one that cannot lack anything. That position
// is for messages alone (position.go).
func (c *Companion) firstSync(ctx context.Context) error {
	c.since = ""
	last, err := c.lastPosition(ctx)
	if err != nil {
		return err
	}
	resp, err := c.syncOnce(ctx, 0)
	if err != nil {
		return err
	}
	c.handle(ctx, resp)
	// Device lists that changed meanwhile are in no first sync: everybody who shares an encrypted room is asked for once.
	c.inbox <- cryptoBatch{lists: c.encryptedMembers()}
	if err := errors.Join(c.endVisits(ctx), c.forgetUnreadable(ctx)); err != nil {
		return err
	}
	c.catchUp(ctx, last)
	for _, r := range c.Rooms() {
		c.late.look(r)
	}
	return nil
}

func (c *Companion) syncLoop(ctx context.Context) error {
	wait := 250 * time.Millisecond
	poll := time.Duration(0)
	for {
		resp, err := c.syncOnce(ctx, poll)
		if ctx.Err() != nil {
			c.keepPosition(context.WithoutCancel(ctx))
			return ctx.Err()
		}
		if err == nil {
			c.handle(ctx, resp)
			if time.Since(c.saved) > keepEvery {
				c.keepPosition(ctx)
			}
			wait, poll = 250*time.Millisecond, longPoll
			continue
		}
		if isKind(err, checkpoint.Revoked) {
			c.log.Error("the companion's access token is gone", "err", err)
			return err
		}
		poll = 0 // after an outage the next answer is wanted at once
		pause := wait/2 + rand.N(wait/2)
		var re *checkpoint.RoomError
		if errors.As(err, &re) {
			pause = max(pause, re.RetryAfter)
		}
		c.log.Warn("sync", "err", err, "age", c.Age().Round(time.Millisecond), "again_in", pause.Round(time.Millisecond))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// handle applies one answer: first the view, then the callbacks, then the position; crypto runs elsewhere, because it may have to wait for
// other servers and a kick must not.
func (c *Companion) handle(ctx context.Context, resp *syncResponse) {
	effects := map[string]effect{}
	var batch cryptoBatch
	c.view.mu.Lock()
	for name := range resp.Rooms.Leave {
		if c.view.rooms[name] != nil {
			delete(c.view.rooms, name)
			effects[name] = effect{room: true, gone: true}
		}
	}
	for name, joined := range resp.Rooms.Join {
		r, fresh := c.view.rooms[name], false
		if r == nil {
			r, fresh = newRoom(), true
			c.view.rooms[name] = r
		}
		eff := effect{room: fresh, people: fresh}
		// m.room.encryption first: whether a content event counts depends on it.
		events := parseEvents(append(joined.State.Events, joined.Timeline.Events...))
		for _, e := range events {
			if e.Type == "m.room.encryption" {
				eff.add(c.view.apply(name, r, e, c.accept))
			}
		}
		for _, e := range events {
			if e.Type != "m.room.encryption" {
				eff.add(c.view.apply(name, r, e, c.accept))
			}
		}
		if m, ok := r.members[c.cfg.UserID]; ok && m.joined {
			eff.gone = false // an invite further up in the same answer
		} else if eff.gone {
			delete(c.view.rooms, name)
		}
		effects[name] = eff
		if fresh {
			batch.settle = append(batch.settle, name)
		}
		if now := !eff.gone && c.view.readable(r); now != r.read {
			if r.read = now; !now {
				batch.forget = append(batch.forget, name)
			}
		}
	}
	c.view.mu.Unlock()
	c.since = resp.NextBatch
	c.lastSync.Store(new(time.Now()))

	for name, eff := range effects {
		if eff.gone {
			batch.forget = append(batch.forget, name)
			if err := c.endVisit(ctx, name); err != nil {
				c.log.Error("forget a room that was left", "room", name, "err", err)
			}
		}
		if eff.encrypted {
			if _, err := c.db.Exec(ctx, "INSERT INTO lectern_encrypted_room (room) VALUES ($1) ON CONFLICT DO NOTHING", name); err != nil {
				c.log.Error("remember that a room is encrypted", "room", name, "err", err)
			}
		}
		for _, w := range eff.removed {
			if err := c.removedByHand(ctx, name, w); err != nil {
				c.log.Error("remember a removed widget", "room", name, "err", err)
			}
		}
		if eff.replaced != nil && !eff.gone {
			c.replaced(name, eff.replaced)
		}
		if eff.room && c.cfg.OnRoom != nil {
			c.cfg.OnRoom(name)
		}
		if (eff.room || eff.call) && c.cfg.OnCall != nil {
			c.cfg.OnCall(name)
		}
		if eff.people {
			c.late.look(name)
		}
		for _, id := range eff.lost {
			c.log.Warn("a content event was overwritten or redacted", "room", name, "type", id.typ)
			if c.cfg.OnOverwritten != nil {
				c.cfg.OnOverwritten(name, id.typ, id.key)
			}
		}
	}
	if c.cfg.OnWritten != nil {
		for name, eff := range effects {
			for _, id := range eff.written {
				c.cfg.OnWritten(name, id.typ, id.key)
			}
		}
	}
	for name, inv := range resp.Rooms.Invite {
		c.invited(name, parseEvents(inv.State.Events))
	}
	if c.cfg.OnVisit != nil && len(c.Due()) > 0 {
		c.cfg.OnVisit()
	}
	for name, joined := range resp.Rooms.Join {
		batch.heard = append(batch.heard, c.hear(name, joined.Timeline.Events)...)
	}
	c.proofs(resp.ToDevice.Events)
	batch.toDevice, batch.lists, batch.otk = resp.ToDevice.Events, resp.DeviceLists.Changed, resp.OTK
	if !batch.empty() {
		select {
		case c.inbox <- batch:
		case <-ctx.Done():
		}
	}
}

func parseEvents(raw []json.RawMessage) []*stateEvent {
	l := make([]*stateEvent, 0, len(raw))
	for _, b := range raw {
		var e stateEvent
		if json.Unmarshal(b, &e) == nil {
			l = append(l, &e)
		}
	}
	return l
}

// --- crypto, in its own goroutine and in the order of /sync ---

type cryptoBatch struct {
	toDevice []json.RawMessage
	lists    []id.UserID
	otk      *mautrix.OTKCount
	forget   []string // rooms that are no longer read
	settle   []string // rooms that are new
	heard    []heard
}

func (b *cryptoBatch) empty() bool {
	return len(b.toDevice)+len(b.lists)+len(b.forget)+len(b.settle)+len(b.heard) == 0 && b.otk == nil
}

func (c *Companion) cryptoLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-c.inbox:
			c.handleCrypto(ctx, b)
		}
	}
}

func (c *Companion) handleCrypto(ctx context.Context, b cryptoBatch) {
	for _, room := range b.forget {
		if err := c.forget(ctx, room); err != nil && ctx.Err() == nil {
			c.log.Error("keys of a room that is no longer read are still there", "room", room, "err", err)
		}
	}
	lists := slices.DeleteFunc(b.lists, func(u id.UserID) bool { return u == c.user }) // see recipients
	for chunk := lists; len(chunk) > 0; {
		n := min(len(chunk), 250)
		if _, err := c.machine.FetchKeys(ctx, chunk[:n], false); err != nil && ctx.Err() == nil {
			c.log.Warn("ask for changed devices", "err", requestError("keys/query", err))
		}
		for _, u := range chunk[:n] {
			for _, r := range c.encryptedRoomsOf(string(u)) {
				c.late.look(r)
			}
		}
		chunk = chunk[n:]
	}
	for _, raw := range b.toDevice {
		var e event.Event
		if json.Unmarshal(raw, &e) != nil {
			continue
		}
		e.Type.Class = event.ToDeviceEventType
		if e.Content.ParseRaw(e.Type) != nil {
			continue
		}
		if e.Type != event.ToDeviceEncrypted {
			c.machine.HandleToDeviceEvent(ctx, &e)
		} else if told := c.machine.HandleEncryptedEvent(ctx, &e); told != nil { // keys it has taken itself
			c.toldBy(told)
		}
	}
	for _, room := range b.settle {
		c.settle(ctx, room)
	}
	for _, h := range b.heard {
		c.listen(ctx, h)
	}
	if b.otk != nil {
		c.machine.HandleOTKCounts(ctx, b.otk)
		c.machine.MarkOlmHashSavePoint(ctx)
	}
}

func (c *Companion) encryptedMembers() (l []id.UserID) {
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	seen := map[string]bool{}
	for name, r := range v.rooms {
		for u := range r.members {
			if v.sticky[name] && u != v.me && !seen[u] {
				seen[u] = true
				l = append(l, id.UserID(u))
			}
		}
	}
	return l
}

func (c *Companion) encryptedRoomsOf(user string) (l []string) {
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	for name, r := range v.rooms {
		if _, ok := r.members[user]; ok && v.sticky[name] {
			l = append(l, name)
		}
	}
	return l
}

// --- invites ---

type invite struct {
	room, by string
	accept   bool
	direct   bool
	after    string // there is no invitation: the room replaces this one
	tries    int
}

// invited decides about an invite; joining, which may take a while over federation, happens elsewhere.
func (c *Companion) invited(name string, state []*stateEvent) {
	inv := invite{room: name}
	for _, e := range state {
		if e.Type == "m.room.member" && e.Key != nil && *e.Key == c.cfg.UserID {
			inv.by, inv.direct = e.Sender, isDirect(e.Content)
		}
	}
	if inv.accept = c.mayInvite(inv.by); inv.accept && inv.direct {
		c.held.expect(name, inv.by)
	}
	select {
	case c.invites <- inv:
	default:
		c.log.Warn("too many invites at once, one is left unanswered until the next start", "room", name)
	}
}

// isDirect: the invitation says that the room is a direct message.
func isDirect(content json.RawMessage) bool {
	var m struct {
		Direct any `json:"is_direct"`
	}
	return json.Unmarshal(content, &m) == nil && m.Direct == true
}

// mayInvite: patterns with "@" match the whole id, others the server name.
func (c *Companion) mayInvite(user string) bool {
	if user == "" {
		return false
	}
	for _, p := range c.cfg.AllowInviters {
		if strings.HasPrefix(p, "@") && glob(p, user) || !strings.HasPrefix(p, "@") && glob(p, hostOf(user)) {
			return true
		}
	}
	return false
}

func (c *Companion) inviteLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case inv := <-c.invites:
			c.answer(ctx, inv)
		}
	}
}

func (c *Companion) answer(ctx context.Context, inv invite) {
	rq, cancel := context.WithTimeout(ctx, 50*time.Second)
	defer cancel()
	var err error
	if inv.accept {
		if err = c.beginVisit(rq, inv.room, inv.direct); err != nil {
			c.log.Error("note an invitation", "room", inv.room, "err", err)
		}
		err = c.enter(rq, inv)
	} else {
		c.log.Info("invite refused: the inviter is not allowed to", "room", inv.room, "server", hostOf(inv.by))
		_, err = c.client.LeaveRoom(rq, id.RoomID(inv.room))
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	err = requestError("answer an invite", err)
	if inv.after != "" && !passing(err) {
		c.log.Info("a room was replaced by one that the companion may not enter by itself: it waits for an invitation", "room", inv.after, "next", inv.room, "err", err)
		return
	}
	c.log.Warn("answer an invite", "room", inv.room, "join", inv.accept, "tries", inv.tries+1, "err", err)
	if inv.tries++; inv.tries < 5 && passing(err) {
		time.AfterFunc(time.Duration(inv.tries*inv.tries)*time.Second, func() {
			select {
			case c.invites <- inv:
			default:
			}
		})
	}
}
