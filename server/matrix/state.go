package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/checkpoint"
)

// Sizes of content before it is sent. An event is at most 65,536 bytes; Megolm and base64 add a third (SPEC MX6).
const (
	MaxContent          = 62_000
	MaxEncryptedContent = 48_000
	maxStateKey         = 255 // of "typ:key"
)

var encrypted = event.Type{Type: "m.room.encrypted", Class: event.StateEventType}

// WriteState sends a state event; in an encrypted room as m.room.encrypted with state key "typ:key" (the shape of MSC4362). Writes to one room
// happen one after the other. Errors are *checkpoint.RoomError where the cause is known; a missing key backup counts as Unreachable.
func (c *Companion) WriteState(ctx context.Context, room, typ, key string, content json.RawMessage) (string, error) {
	if typ == "" || len(typ)+1+len(key) > maxStateKey {
		return "", fmt.Errorf("matrix: state type and key: %d bytes, at most %d", len(typ)+1+len(key), maxStateKey)
	}
	if !json.Valid(content) || len(content) == 0 || content[0] != '{' {
		return "", errors.New("matrix: state content is not a JSON object")
	}
	if _, ok := c.Standing(room, c.cfg.UserID); !ok {
		return "", &checkpoint.RoomError{Kind: checkpoint.Forbidden, Err: errors.New("write state: the companion is not in the room")}
	}
	lock := c.roomLock(room)
	lock.Lock()
	defer lock.Unlock()
	limit, enc := MaxContent, c.Encrypted(room)
	if enc {
		limit = MaxEncryptedContent
	}
	if len(content) > limit {
		return "", &checkpoint.RoomError{Kind: checkpoint.TooLarge, Err: fmt.Errorf("write state: %d bytes of content, at most %d fit into an event", len(content), limit)}
	}
	if !enc {
		return c.writePlain(ctx, room, stateID{typ, key}, content)
	}
	return c.writeEncrypted(ctx, room, stateID{typ, key}, content)
}

func (c *Companion) writePlain(ctx context.Context, room string, sid stateID, content json.RawMessage) (string, error) {
	send := func(content json.RawMessage) (string, error) {
		resp, err := c.client.SendStateEvent(ctx, id.RoomID(room), event.Type{Type: sid.typ, Class: event.StateEventType}, sid.key, content)
		if err != nil {
			return "", requestError("write state", err)
		}
		return resp.EventID.String(), nil
	}
	ev, err := send(content)
	if err != nil {
		return "", err
	}
	// Dendrite answers content equal to what stands there with that event, whoever sent it: a copy of ours by somebody else would stay.
	now, err := c.stateEvent(ctx, room, sid.typ, sid.key)
	if err != nil || now.ID.String() != ev || now.Sender == c.user {
		return ev, nil
	}
	if _, err := send(json.RawMessage(`{}`)); err != nil {
		return "", err
	}
	return send(content)
}

func (c *Companion) writeEncrypted(ctx context.Context, room string, sid stateID, content json.RawMessage) (string, error) {
	session, err := c.session(ctx, room)
	if err != nil {
		return "", requestError("share the room key", err)
	}
	// The signed key at the index this event will have, for people who come later. Durable before the event exists; the rows of other sessions go after
	// it does, so at every moment newcomers can be given what the current event needs.
	saved := savedKey{stateID: sid, session: session.ID(), index: uint32(session.Internal.MessageIndex()), key: session.Internal.Key(), shared: session.SharedHistory}
	if err := c.saveKey(ctx, room, saved, false); err != nil {
		return "", err
	}
	e, err := c.machine.EncryptMegolmEventWithStateKey(ctx, id.RoomID(room), event.Type{Type: sid.typ, Class: event.StateEventType}, &sid.key, content)
	if err != nil {
		return "", requestError("encrypt state", err)
	}
	resp, err := c.client.SendStateEvent(ctx, id.RoomID(room), encrypted, sid.typ+":"+sid.key, e)
	if err != nil {
		return "", requestError("write encrypted state", err)
	}
	if err := c.saveKey(ctx, room, saved, true); err != nil {
		c.log.Error("tidy saved keys", "room", room, "err", err)
	}
	c.late.look(room) // devices that came since the session was shared, or had no one-time keys then
	return resp.EventID.String(), nil
}

// session answers the room's outbound Megolm session, shared with everybody who may read. A session that somebody holds who is no longer in the
// room, or a device that is gone, is not used again; newcomers get the running one (latekey.go).
func (c *Companion) session(ctx context.Context, room string) (*crypto.OutboundGroupSession, error) {
	rid := id.RoomID(room)
	people := c.view.recipients(room)
	s, err := c.keys.GetOutboundGroupSession(ctx, rid)
	if err != nil {
		return nil, fmt.Errorf("read companion.db: %w", err)
	}
	if s != nil {
		vis := event.HistoryVisibilityEventContent{HistoryVisibility: event.HistoryVisibility(c.view.visibility(room))}
		gone := s.SharedHistory != nil && *s.SharedHistory != vis.SharedHistory()
		if !gone {
			if gone, err = c.someHolderLeft(ctx, s.ID(), people); err != nil {
				return nil, err
			}
		}
		if gone {
			if err := c.keys.RemoveOutboundGroupSession(ctx, rid); err != nil {
				return nil, fmt.Errorf("write companion.db: %w", err)
			}
			s = nil
		}
	}
	if s != nil && s.Shared && !s.Expired() {
		return s, nil
	}
	users := make([]id.UserID, 0, len(people))
	for u := range people {
		users = append(users, id.UserID(u))
	}
	if err := c.machine.ShareGroupSession(ctx, rid, users); err != nil {
		return nil, err
	}
	s, err = c.keys.GetOutboundGroupSession(ctx, rid)
	if err == nil && s == nil {
		err = errors.New("the shared session is not in companion.db")
	}
	return s, err
}

func (c *Companion) someHolderLeft(ctx context.Context, session id.SessionID, people map[string]bool) (bool, error) {
	holders, err := c.holders(ctx, session)
	if err != nil {
		return false, err
	}
	for h := range holders {
		if !people[string(h.user)] {
			return true, nil
		}
		d, err := c.keys.FindDeviceByKey(ctx, h.user, h.key)
		if err != nil {
			return false, fmt.Errorf("read companion.db: %w", err)
		}
		if d == nil || d.Deleted {
			return true, nil
		}
	}
	return false, nil
}

// ReadState reads the current event and makes every check of SPEC MX.
func (c *Companion) ReadState(ctx context.Context, room, typ, key string) (checkpoint.State, error) {
	if !c.Encrypted(room) {
		e, err := c.stateEvent(ctx, room, typ, key)
		if err != nil {
			return checkpoint.State{}, err
		}
		return c.plainState(e)
	}
	e, err := c.stateEvent(ctx, room, encrypted.Type, typ+":"+key)
	if errors.Is(err, checkpoint.ErrNoState) {
		// A room that was encrypted after its board had been saved in clear: not to be used, but the board is not new either. What anybody else wrote in
		// clear means nothing.
		if old, err := c.stateEvent(ctx, room, typ, key); err == nil && c.accept[string(old.Sender)] && len(old.Content.VeryRaw) > 2 {
			return checkpoint.State{}, untrusted("the room is encrypted, the event is not")
		}
		return checkpoint.State{}, err
	} else if err != nil {
		return checkpoint.State{}, err
	}
	return c.decryptState(ctx, e, typ, key)
}

func (c *Companion) plainState(e *event.Event) (checkpoint.State, error) {
	if !c.accept[string(e.Sender)] {
		return checkpoint.State{}, untrusted("written by somebody else")
	}
	if e.Unsigned.RedactedBecause != nil || len(e.Content.VeryRaw) <= 2 {
		return checkpoint.State{}, untrusted("redacted")
	}
	return stateOf(e, e.Content.VeryRaw), nil
}

// decryptState: mautrix decrypts; that the event is what it claims to be is checked here. The sender is checked before decrypting: a copy of our
// ciphertext sent by somebody else must not burn the Megolm index of the genuine event.
func (c *Companion) decryptState(ctx context.Context, e *event.Event, typ, key string) (checkpoint.State, error) {
	none := checkpoint.State{}
	if !c.accept[string(e.Sender)] {
		return none, untrusted("written by somebody else")
	}
	if e.Unsigned.RedactedBecause != nil {
		return none, untrusted("redacted")
	}
	var content event.EncryptedEventContent
	if err := json.Unmarshal(e.Content.VeryRaw, &content); err != nil || content.Algorithm != id.AlgorithmMegolmV1 {
		return none, untrusted("not a Megolm event")
	}
	e.Content.Parsed = &content // mautrix knows no encrypted state and leaves it unparsed
	d, err := c.machine.DecryptMegolmEvent(ctx, e)
	if errors.Is(err, crypto.ErrNoSessionFound) && c.refetch(ctx) {
		d, err = c.machine.DecryptMegolmEvent(ctx, e)
	}
	switch {
	case errors.Is(err, crypto.ErrNoSessionFound) && e.Sender != c.user:
		return none, fmt.Errorf("%w: %w", checkpoint.ErrNoKey, untrusted("the key of another companion's event is not here"))
	case errors.Is(err, crypto.ErrNoSessionFound):
		return none, untrusted("its key is not here (was companion.db lost, and the recovery key?)")
	case err != nil:
		return none, untrusted("%v", err)
	case d.StateKey == nil:
		return none, untrusted("a message was sent as state")
	case d.Type.Type != typ || *d.StateKey != key:
		return none, untrusted("the outer state key is not that of the encrypted event")
	case !trusted(d.Mautrix.TrustState):
		return none, untrusted("the sending device is %s", d.Mautrix.TrustState)
	}
	return stateOf(e, d.Content.VeryRaw), nil
}

// refetch looks into the key backup when a key is missing here: companion.db may be an older copy, or have lost its last writes in a power cut.
func (c *Companion) refetch(ctx context.Context) bool {
	k := c.backup.Load()
	if k == nil {
		return false
	}
	if err := c.restoreBackup(ctx, k); err != nil {
		c.log.Warn("look for a missing key in the key backup", "err", err)
		return false
	}
	return true
}

// trusted: own device, cross-signed device, or a key from our backup (only keys whose MAC held are ever imported, backup.go).
func trusted(t id.TrustState) bool {
	switch t {
	case id.TrustStateVerified, id.TrustStateCrossSignedVerified, id.TrustStateCrossSignedTOFU, id.TrustStateBackup:
		return true
	}
	return false
}

// stateEvent fetches an event and checks that the homeserver answered what was asked for.
func (c *Companion) stateEvent(ctx context.Context, room, typ, key string) (*event.Event, error) {
	e, err := c.client.FullStateEvent(ctx, id.RoomID(room), event.Type{Type: typ, Class: event.StateEventType}, key)
	if httpStatus(err) == http.StatusNotFound {
		return nil, checkpoint.ErrNoState
	} else if err != nil {
		return nil, requestError("read state", err)
	}
	if e == nil || e.Type.Type != typ || e.StateKey == nil || *e.StateKey != key || e.RoomID != id.RoomID(room) {
		return nil, untrusted("the homeserver answered another event than was asked for")
	}
	return e, nil
}

func stateOf(e *event.Event, content json.RawMessage) checkpoint.State {
	return checkpoint.State{EventID: e.ID.String(), Sender: e.Sender.String(), Content: content, At: time.UnixMilli(e.Timestamp)}
}

// Redact takes the content out of one of the companion's events.
func (c *Companion) Redact(ctx context.Context, room, event string) error {
	_, err := c.client.RedactEvent(ctx, id.RoomID(room), id.EventID(event))
	return requestError("redact an event", err)
}

func (c *Companion) roomLock(room string) *sync.Mutex {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	l := c.writing[room]
	if l == nil {
		l = new(sync.Mutex)
		c.writing[room] = l
	}
	return l
}
