package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/commands"
)

const (
	maxAge  = 30 * time.Second // of a message that is heard: nobody waits longer, and nothing is obeyed long after it was said
	maxSkew = 5 * time.Minute  // that another server's clock may be ahead
)

// heard is a message on its way from the syncer to the crypto goroutine.
type heard struct {
	room, event, sender string
	encrypted           bool
	raw                 json.RawMessage
}

// timelineEvent is what is looked at before anything else of a message.
type timelineEvent struct {
	ID     string          `json:"event_id"`
	Type   string          `json:"type"`
	Key    json.RawMessage `json:"state_key"`
	Sender string          `json:"sender"`
	At     int64           `json:"origin_server_ts"`
}

// hear picks the messages of a room that may be read and are not old, no companion's among them.
func (c *Companion) hear(name string, timeline []json.RawMessage) (l []heard) {
	if c.cfg.OnMessage == nil {
		return nil
	}
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	r := v.rooms[name]
	if r == nil || v.sticky[name] && !v.readable(r) {
		return nil
	}
	want := "m.room.message"
	if v.sticky[name] {
		want = "m.room.encrypted" // what is in clear in an encrypted room may be anybody's
	}
	for _, raw := range timeline {
		var e timelineEvent
		if json.Unmarshal(raw, &e) != nil || e.Type != want || e.Key != nil || c.accept[e.Sender] || e.ID == "" {
			continue
		}
		if m, ok := r.members[e.Sender]; !ok || !m.joined {
			continue
		}
		if age := time.Since(time.UnixMilli(e.At)); age > maxAge || age < -maxSkew {
			c.log.Debug("a message is too old to be heard", "age", age.Round(time.Second))
			continue
		}
		l = append(l, heard{name, e.ID, e.Sender, v.sticky[name], raw})
	}
	return l
}

// listen hands a message on. In the crypto goroutine, after the keys that came with it.
func (c *Companion) listen(ctx context.Context, h heard) {
	m := commands.Message{Event: h.event, Room: h.room, Sender: h.sender}
	c.view.mu.RLock()
	if r := c.view.rooms[h.room]; r != nil {
		m.Direct = c.view.pair(r) && c.visits.direct(h.room)
	}
	c.view.mu.RUnlock()
	var e event.Event
	if json.Unmarshal(h.raw, &e) != nil {
		return
	}
	e.RoomID = id.RoomID(h.room)
	content := e.Content.VeryRaw
	if h.encrypted {
		if content = c.decryptMessage(ctx, &e, &m); content == nil && m.Session == "" {
			return
		}
	}
	if m.Session == "" {
		var ok bool
		if m.Body, ok = spoken(content); !ok {
			return
		}
	}
	c.cfg.OnMessage(m)
}

// decryptMessage answers nil for what is no message of the person it claims to be from. Where only the key is missing, m says so.
func (c *Companion) decryptMessage(ctx context.Context, e *event.Event, m *commands.Message) json.RawMessage {
	var content event.EncryptedEventContent
	if json.Unmarshal(e.Content.VeryRaw, &content) != nil || content.Algorithm != id.AlgorithmMegolmV1 {
		return nil
	}
	e.Content.Parsed = &content
	d, err := c.machine.DecryptMegolmEvent(ctx, e)
	switch {
	case errors.Is(err, crypto.ErrNoSessionFound):
		m.Session = clip(string(content.SessionID), maxStateKey)
		return nil
	case err != nil:
		c.log.Warn("a message could not be decrypted", "room", m.Room, "err", err)
		return nil
	case d.Type.Type != "m.room.message":
		return nil
	case d.Mautrix.TrustSource == nil || d.Mautrix.TrustSource.UserID != e.Sender || d.Mautrix.TrustState < id.TrustStateUnset:
		c.log.Warn("a message is not heard: its key is not that of a device of its sender", "room", m.Room, "trust", d.Mautrix.TrustState.String())
		return nil
	}
	return d.Content.VeryRaw
}

// spoken reads the text of what somebody typed: no notices (programs talk in them, and two could talk for ever), and no corrections of older messages.
func spoken(content json.RawMessage) (body string, ok bool) {
	var c struct {
		Type      string `json:"msgtype"`
		Body      string `json:"body"`
		RelatesTo struct {
			Type string `json:"rel_type"`
		} `json:"m.relates_to"`
	}
	if json.Unmarshal(content, &c) != nil || c.Type != "m.text" || c.RelatesTo.Type == "m.replace" {
		return "", false
	}
	return c.Body, true
}
