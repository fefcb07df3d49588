package matrix

import (
	"context"
	"fmt"
	"sync"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// People and devices that come after a content event was written cannot read it: its Megolm session was not shared with them. They are sent the
// session's key at the index of that event as an ordinary m.room_key: 2 kB to the device, no event in the room, nothing older readable.

const (
	lateDebounce   = time.Second // a class arrives together
	lateMaxBackoff = 30 * time.Minute
	lateDevices    = 200 // in one sendToDevice, about 420 kB
	lateRooms      = 4   // looked after at once
)

// lateKeys is the list of rooms where somebody may lack a key.
type lateKeys struct {
	mu      sync.Mutex
	due     map[string]time.Time     // guarded by mu
	backoff map[string]time.Duration // guarded by mu; rooms with a device that cannot be reached yet
	asked   map[string]string        // guarded by mu; room+type+key -> event for which OnNeedsRewrite was called
	wake    chan struct{}
}

func (l *lateKeys) init() {
	l.due, l.backoff, l.asked = map[string]time.Time{}, map[string]time.Duration{}, map[string]string{}
	l.wake = make(chan struct{}, 1)
}

// look asks for a look at a room within a second.
func (l *lateKeys) look(room string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.backoff, room)
	if t, ok := l.due[room]; !ok || time.Until(t) > lateDebounce {
		l.due[room] = time.Now().Add(lateDebounce)
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// again: some device has no one-time keys now, or the homeserver did not answer.
func (l *lateKeys) again(room string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := min(max(2*l.backoff[room], 2*time.Second), lateMaxBackoff)
	l.backoff[room] = d
	if _, ok := l.due[room]; !ok {
		l.due[room] = time.Now().Add(d)
	}
}

// take answers the rooms whose time has come and when the next one is due.
func (l *lateKeys) take() (rooms []string, next time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next = time.Hour
	for r, t := range l.due {
		if d := time.Until(t); d > 0 {
			next = min(next, d)
		} else if len(rooms) < lateRooms {
			rooms = append(rooms, r)
			delete(l.due, r)
		} else {
			next = 0
		}
	}
	return rooms, next
}

func (c *Companion) lateLoop(ctx context.Context) {
	for {
		rooms, next := c.late.take()
		var wg sync.WaitGroup
		for _, r := range rooms {
			wg.Go(func() {
				rq, cancel := context.WithTimeout(ctx, 40*time.Second)
				defer cancel()
				left, err := c.giveKeys(rq, r)
				if err != nil && ctx.Err() == nil {
					c.log.Warn("send the key of a content event", "room", r, "err", requestError("late key", err))
				}
				if err != nil || left > 0 {
					c.late.again(r)
				}
			})
		}
		wg.Wait()
		if len(rooms) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-c.late.wake:
		case <-time.After(next):
		}
	}
}

// savedKey is a row of lectern_state_key.
type savedKey struct {
	stateID
	session id.SessionID
	index   uint32
	key     string
	shared  *bool
}

// saveKey stores the key before its event is sent (of an event in the same session the older, lower index stays until then), and when the event exists
// makes this row the only one.
func (c *Companion) saveKey(ctx context.Context, room string, k savedKey, sent bool) error {
	conflict := "NOTHING"
	if sent {
		conflict = "UPDATE SET idx=excluded.idx, session_key=excluded.session_key, shared_history=excluded.shared_history"
	}
	return c.db.DoTxn(ctx, nil, func(ctx context.Context) error {
		_, err := c.db.Exec(ctx, `INSERT INTO lectern_state_key (room, type, state_key, session_id, idx, session_key, shared_history) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (room, type, state_key, session_id) DO `+conflict,
			room, k.typ, k.stateID.key, k.session, k.index, c.seal.shut(string(k.session), []byte(k.key)), k.shared)
		if err == nil && sent {
			_, err = c.db.Exec(ctx, "DELETE FROM lectern_state_key WHERE room=$1 AND type=$2 AND state_key=$3 AND session_id<>$4", room, k.typ, k.stateID.key, k.session)
		}
		if err != nil {
			return fmt.Errorf("write companion.db: %w", err)
		}
		return nil
	})
}

func (c *Companion) savedKeys(ctx context.Context, room string) (l []savedKey, err error) {
	rows, err := c.db.Query(ctx, "SELECT type, state_key, session_id, idx, session_key, shared_history FROM lectern_state_key WHERE room=$1", room)
	if err != nil {
		return nil, fmt.Errorf("read companion.db: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var k savedKey
		var box []byte
		if err := rows.Scan(&k.typ, &k.stateID.key, &k.session, &k.index, &box, &k.shared); err != nil {
			return nil, fmt.Errorf("read companion.db: %w", err)
		}
		plain, err := c.seal.open(string(k.session), box)
		if err != nil {
			return nil, err
		}
		k.key = string(plain)
		l = append(l, k)
	}
	return l, rows.Err()
}

type holder struct {
	user id.UserID
	key  id.IdentityKey
}

func (c *Companion) holders(ctx context.Context, session id.SessionID) (map[holder]bool, error) {
	rows, err := c.db.Query(ctx, "SELECT user_id, identity_key FROM crypto_megolm_outbound_session_shared WHERE session_id=$1", session)
	if err != nil {
		return nil, fmt.Errorf("read companion.db: %w", err)
	}
	defer rows.Close()
	m := map[holder]bool{}
	for rows.Next() {
		var h holder
		if err := rows.Scan(&h.user, &h.key); err != nil {
			return nil, fmt.Errorf("read companion.db: %w", err)
		}
		m[h] = true
	}
	return m, rows.Err()
}

// giveKeys sends every device of the room what it lacks of the content events that stand there now. left counts devices that could not be
// reached (no one-time keys, or their server is away).
func (c *Companion) giveKeys(ctx context.Context, room string) (left int, err error) {
	if !c.Encrypted(room) {
		return 0, nil
	}
	keys, err := c.savedKeys(ctx, room)
	if err != nil {
		return 0, err
	}
	lowest := map[id.SessionID]savedKey{} // boards of one room share a session; the lowest index opens all of them
	for _, k := range keys {
		if old, ok := lowest[k.session]; !ok || k.index < old.index {
			lowest[k.session] = k
		}
	}
	c.askForRewrites(room, lowest)
	if len(lowest) == 0 {
		return 0, nil
	}
	devices, err := c.devices(ctx, room)
	if err != nil {
		return 0, err
	}
	for _, k := range lowest {
		has, err := c.holders(ctx, k.session)
		if err != nil {
			return left, err
		}
		var lack []*id.Device
		for _, d := range devices {
			// A device without one-time keys is marked as a holder by mautrix although it got nothing; no Olm session with it tells.
			if !has[holder{d.UserID, d.IdentityKey}] || !c.keys.HasSession(ctx, d.IdentityKey) {
				lack = append(lack, d)
			}
		}
		for len(lack) > 0 {
			n := min(len(lack), lateDevices)
			missed, err := c.sendKey(ctx, room, k, lack[:n])
			if left += missed; err != nil {
				return left, err
			}
			lack = lack[n:]
		}
	}
	return left, nil
}

// askForRewrites: a content event of ours whose saved key is gone (restored from the backup, which holds no signed key) can be read by newcomers only
// when it is written again. Asked once per event.
func (c *Companion) askForRewrites(room string, have map[id.SessionID]savedKey) {
	c.view.mu.RLock()
	var l []stateID
	if r := c.view.rooms[room]; r != nil {
		for sid, e := range r.contents {
			if e.encrypted && e.sender == c.cfg.UserID && e.session != "" {
				if _, ok := have[id.SessionID(e.session)]; !ok && c.late.first(room, sid, e.event) {
					l = append(l, sid)
				}
			}
		}
	}
	c.view.mu.RUnlock()
	for _, sid := range l {
		c.log.Info("newcomers cannot read a content event until it is written again", "room", room, "type", sid.typ)
		if c.cfg.OnNeedsRewrite != nil {
			c.cfg.OnNeedsRewrite(room, sid.typ, sid.key)
		}
	}
}

func (l *lateKeys) first(room string, sid stateID, event string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := room + "\x00" + sid.typ + "\x00" + sid.key
	if l.asked[k] == event {
		return false
	}
	l.asked[k] = event
	return true
}

// devices are all current devices of the people who may read, except this one and those whose keys changed under the same id.
func (c *Companion) devices(ctx context.Context, room string) (l []*id.Device, err error) {
	var users []id.UserID
	for u := range c.view.recipients(room) {
		users = append(users, id.UserID(u))
	}
	return c.devicesOf(ctx, users)
}

// devicesOf lists the devices of people that may be written to, but for our own.
func (c *Companion) devicesOf(ctx context.Context, users []id.UserID) (l []*id.Device, err error) {
	tracked, err := c.keys.FilterTrackedUsers(ctx, users)
	if err != nil {
		return nil, fmt.Errorf("read companion.db: %w", err)
	}
	known := make(map[id.UserID]bool, len(tracked))
	for _, u := range tracked {
		known[u] = true
	}
	var ask []id.UserID
	for _, u := range users {
		if !known[u] {
			ask = append(ask, u)
		}
	}
	if len(ask) > 0 {
		if _, err := c.machine.FetchKeys(ctx, ask, true); err != nil {
			return nil, err
		}
	}
	for _, u := range users {
		ds, err := c.keys.GetDevices(ctx, u)
		if err != nil {
			return nil, fmt.Errorf("read companion.db: %w", err)
		}
		for _, d := range ds {
			own := d.UserID == c.user && d.DeviceID == c.client.DeviceID
			if !own && !d.Deleted && d.Trust >= id.TrustStateUnset {
				l = append(l, d)
			}
		}
	}
	return l, nil
}

// sendKey gives devices a key; missed is how many of them it did not reach.
func (c *Companion) sendKey(ctx context.Context, room string, k savedKey, to []*id.Device) (missed int, err error) {
	content := &event.Content{Parsed: &event.RoomKeyEventContent{
		Algorithm: id.AlgorithmMegolmV1, RoomID: id.RoomID(room), SessionID: k.session, SessionKey: k.key, SharedHistory: k.shared,
	}}
	reached, err := c.sendOlm(ctx, event.ToDeviceRoomKey, content, to)
	for _, d := range reached {
		if err := c.keys.MarkOutboundGroupSessionShared(ctx, d.UserID, d.IdentityKey, k.session); err != nil {
			return len(to), fmt.Errorf("write companion.db: %w", err)
		}
	}
	return len(to) - len(reached), err
}

// sendOlm makes one claim and one sendToDevice with the same content for all of these devices. Those without one-time keys are not reached.
func (c *Companion) sendOlm(ctx context.Context, typ event.Type, content *event.Content, to []*id.Device) (reached []*id.Device, err error) {
	req := &mautrix.ReqSendToDevice{Messages: map[id.UserID]map[id.DeviceID]*event.Content{}}
	for _, d := range to {
		if req.Messages[d.UserID] == nil {
			req.Messages[d.UserID] = map[id.DeviceID]*event.Content{}
		}
		req.Messages[d.UserID][d.DeviceID] = content
	}
	enc, err := c.machine.EncryptToDevices(ctx, typ, req)
	if err != nil {
		return nil, err
	}
	for _, d := range to {
		if enc.Messages[d.UserID][d.DeviceID] != nil {
			reached = append(reached, d)
		}
	}
	for u, m := range enc.Messages {
		if len(m) == 0 {
			delete(enc.Messages, u)
		}
	}
	if len(reached) == 0 {
		return nil, nil
	}
	if _, err := c.client.SendToDevice(ctx, event.ToDeviceEncrypted, enc); err != nil {
		return nil, err
	}
	return reached, nil
}
