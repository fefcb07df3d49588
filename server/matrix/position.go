package matrix

import (
	"context"
	"encoding/json"
	"time"
)

const (
	keepEvery  = 2 * time.Second
	catchLimit = 20 // messages of a room
)

// position in the stream of /sync, kept so that messages of the last seconds before a start are heard, too. State is read anew at every start.
type position struct {
	Token string    `json:"token"`
	At    time.Time `json:"at"`
}

const metaPosition = "position"

// keepPosition notes that everything before it was handed on. It may lag behind: a message that is heard twice is obeyed once.
func (c *Companion) keepPosition(ctx context.Context) {
	c.saved = time.Now()
	b, err := json.Marshal(position{c.since, c.saved})
	if err == nil {
		err = c.setMeta(ctx, metaPosition, b)
	}
	if err != nil {
		c.log.Error("keep the position in the stream", "err", err)
	}
}

// lastPosition is empty where messages since then are too old to be heard.
func (c *Companion) lastPosition(ctx context.Context) (p position, err error) {
	raw, err := c.meta(ctx, metaPosition)
	if raw == nil || err != nil {
		return p, err
	}
	if json.Unmarshal(raw, &p) != nil || time.Since(p.At) > 10*time.Minute || time.Since(p.At) < 0 {
		return position{}, nil
	}
	return p, nil
}

// catchUp hears the messages that were written since the last run; how old one may be is decided like at any time.
func (c *Companion) catchUp(ctx context.Context, last position) {
	if last.Token == "" || c.cfg.OnMessage == nil {
		return
	}
	resp, err := c.syncRequest(ctx, map[string]string{"timeout": "0", "since": last.Token, "filter": catchFilter}, time.Minute)
	if err != nil {
		c.log.Warn("messages written while Lectern was stopped are not heard", "err", err)
		return
	}
	var b cryptoBatch
	for name, joined := range resp.Rooms.Join {
		b.heard = append(b.heard, c.hear(name, joined.Timeline.Events)...)
	}
	if len(b.heard) > 0 {
		c.inbox <- b
	}
}

var catchFilter = func() string {
	none := map[string]any{"not_types": []string{"*"}}
	b, _ := json.Marshal(map[string]any{
		"presence": none, "account_data": none,
		"room": map[string]any{
			"account_data": none, "ephemeral": none, "state": none,
			"timeline": map[string]any{"limit": catchLimit, "types": []string{"m.room.message", "m.room.encrypted"}},
		},
	})
	return string(b)
}()
