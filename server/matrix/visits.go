package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/widgets"
)

// What the companion remembers of its visits to rooms, and of commands. Tables in companion.db: visit (one row for each room it was invited to, until it
// leaves), command (events that were obeyed, for a day), removed_widget (content sealed).
const visitSchema = `
CREATE TABLE IF NOT EXISTS lectern_visit (room TEXT PRIMARY KEY, began BIGINT NOT NULL, direct BOOLEAN NOT NULL, greeted BOOLEAN NOT NULL);
CREATE TABLE IF NOT EXISTS lectern_command (event TEXT PRIMARY KEY, at BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS lectern_removed_widget (room TEXT NOT NULL, widget TEXT NOT NULL, at BIGINT NOT NULL, content BLOB NOT NULL, PRIMARY KEY (room, widget));`

const (
	keepClaims  = 24 * time.Hour // far longer than a message is heard
	keepRemoved = 20             // widgets of a room that can be put back
)

// visits is the table of that name, in memory.
type visits struct {
	mu    sync.Mutex
	rooms map[string]visit // guarded by mu

	claims atomic.Int64
}

type visit struct {
	began           int64 // Unix time in microseconds
	direct, greeted bool
}

// direct: the invitation said that the room is a direct message.
func (v *visits) direct(room string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.rooms[room].direct
}

func (c *Companion) loadVisits(ctx context.Context) error {
	c.visits.mu.Lock()
	defer c.visits.mu.Unlock()
	c.visits.rooms = map[string]visit{}
	rows, err := c.db.Query(ctx, "SELECT room, began, direct, greeted FROM lectern_visit")
	if err != nil {
		return fmt.Errorf("matrix: read companion.db: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var room string
		var v visit
		if err := rows.Scan(&room, &v.began, &v.direct, &v.greeted); err != nil {
			return fmt.Errorf("matrix: read companion.db: %w", err)
		}
		c.visits.rooms[room] = v
	}
	return rows.Err()
}

// begin notes an invitation that is accepted: what the invitation says is said only there. (Dendrite may repeat an old one: a visit that goes on is not
// begun anew.)
func (c *Companion) beginVisit(ctx context.Context, room string, direct bool) error {
	if _, joined := c.Room(room); joined {
		return nil
	}
	return c.putVisit(ctx, room, visit{began: time.Now().UnixMicro(), direct: direct})
}

func (c *Companion) putVisit(ctx context.Context, room string, v visit) error {
	_, err := c.db.Exec(ctx, `INSERT INTO lectern_visit (room, began, direct, greeted) VALUES ($1, $2, $3, $4)
		ON CONFLICT (room) DO UPDATE SET began=excluded.began, direct=excluded.direct, greeted=excluded.greeted`, room, v.began, v.direct, v.greeted)
	if err != nil {
		return fmt.Errorf("write companion.db: %w", err)
	}
	c.visits.mu.Lock()
	defer c.visits.mu.Unlock()
	c.visits.rooms[room] = v
	return nil
}

// endVisit forgets what is kept about a room.
func (c *Companion) endVisit(ctx context.Context, room string) error {
	c.visits.mu.Lock()
	delete(c.visits.rooms, room)
	c.visits.mu.Unlock()
	for _, table := range []string{"lectern_visit", "lectern_removed_widget"} {
		if _, err := c.db.Exec(ctx, "DELETE FROM "+table+" WHERE room=$1", room); err != nil {
			return fmt.Errorf("write companion.db: %w", err)
		}
	}
	return nil
}

// endVisits of rooms that were left while nobody looked.
func (c *Companion) endVisits(ctx context.Context) error {
	rooms, err := c.strings(ctx, "SELECT room FROM lectern_visit UNION SELECT room FROM lectern_removed_widget")
	if err != nil {
		return err
	}
	for _, room := range rooms {
		if _, joined := c.Room(room); joined {
			continue
		}
		if err := c.endVisit(ctx, room); err != nil {
			return err
		}
	}
	return nil
}

// Due are the rooms the companion was invited to, is in, and has said nothing in yet.
func (c *Companion) Due() (l []commands.Visit) {
	c.visits.mu.Lock()
	for room, v := range c.visits.rooms {
		if !v.greeted {
			l = append(l, commands.Visit{Room: room, Key: fmt.Sprintf("greeting-%d-%s", v.began, room)})
		}
	}
	c.visits.mu.Unlock()
	return slices.DeleteFunc(l, func(v commands.Visit) bool {
		s, ok := c.Standing(v.Room, c.cfg.UserID)
		return !ok || !s.Joined
	})
}

// Greeted notes that the greeting is in the room.
func (c *Companion) Greeted(ctx context.Context, room string) error {
	c.visits.mu.Lock()
	v, ok := c.visits.rooms[room]
	c.visits.mu.Unlock()
	if !ok {
		return nil // it has left meanwhile
	}
	v.greeted = true
	return c.putVisit(ctx, room, v)
}

// Claim answers true once in all times for each event.
func (c *Companion) Claim(ctx context.Context, event string) (bool, error) {
	now := time.Now()
	if c.visits.claims.Add(1)%256 == 1 {
		if _, err := c.db.Exec(ctx, "DELETE FROM lectern_command WHERE at<$1", now.Add(-keepClaims).UnixMilli()); err != nil {
			return false, fmt.Errorf("write companion.db: %w", err)
		}
	}
	res, err := c.db.Exec(ctx, "INSERT INTO lectern_command (event, at) VALUES ($1, $2) ON CONFLICT DO NOTHING", event, now.UnixMilli())
	if err != nil {
		return false, fmt.Errorf("write companion.db: %w", err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// removedByHand: somebody has taken a widget of ours out of a room with their client. What a command removed a moment ago is remembered already, and better.
func (c *Companion) removedByHand(ctx context.Context, room string, w identity.Widget) error {
	last, err := c.Removed(ctx, room)
	if err != nil || slices.ContainsFunc(last, func(r commands.Removed) bool { return r.Widget == w.ID && time.Since(r.At) < time.Minute }) {
		return err
	}
	again := widgets.Widget{ID: w.ID, Kind: w.Kind, Title: w.Name, Board: string(w.Board)}
	again.URL = again.At(c.cfg.WidgetBases[0])
	content, err := json.Marshal(again.Content(c.cfg.UserID, c.Icon(w.Kind)))
	if err != nil {
		return err
	}
	return c.KeepRemoved(ctx, room, commands.Removed{Widget: w.ID, Name: w.Name, Content: content})
}

// KeepRemoved remembers the newest few of a room, until the companion leaves it.
func (c *Companion) KeepRemoved(ctx context.Context, room string, r commands.Removed) error {
	r.At = time.Now()
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return c.db.DoTxn(ctx, nil, func(ctx context.Context) error {
		_, err := c.db.Exec(ctx, `INSERT INTO lectern_removed_widget (room, widget, at, content) VALUES ($1, $2, $3, $4)
			ON CONFLICT (room, widget) DO UPDATE SET at=excluded.at, content=excluded.content`, room, r.Widget, r.At.UnixMicro(), c.seal.shut(room, raw))
		if err == nil {
			_, err = c.db.Exec(ctx, "DELETE FROM lectern_removed_widget WHERE room=$1 AND widget NOT IN (SELECT widget FROM lectern_removed_widget WHERE room=$1 ORDER BY at DESC LIMIT $2)", room, keepRemoved)
		}
		if err != nil {
			return fmt.Errorf("write companion.db: %w", err)
		}
		return nil
	})
}

// Removed answers them, the newest first.
func (c *Companion) Removed(ctx context.Context, room string) (l []commands.Removed, err error) {
	rows, err := c.db.Query(ctx, "SELECT content FROM lectern_removed_widget WHERE room=$1 ORDER BY at DESC", room)
	if err != nil {
		return nil, fmt.Errorf("read companion.db: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var box []byte
		if err := rows.Scan(&box); err != nil {
			return nil, fmt.Errorf("read companion.db: %w", err)
		}
		raw, err := c.seal.open(room, box)
		if err != nil {
			return nil, err
		}
		var r commands.Removed
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("removed widget in companion.db: %w", err)
		}
		l = append(l, r)
	}
	return l, rows.Err()
}

// copyVisits takes what is remembered of rooms into another companion.db under the same key; positions and commands belong to the device that is gone.
func copyVisits(ctx context.Context, from *Companion) (paste func(context.Context, *Companion) error, err error) {
	type row struct {
		room, widget string
		at           int64
		content      []byte
	}
	var removed []row
	rows, err := from.db.Query(ctx, "SELECT room, widget, at, content FROM lectern_removed_widget")
	if err != nil {
		return nil, fmt.Errorf("read companion.db: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.room, &r.widget, &r.at, &r.content); err != nil {
			return nil, fmt.Errorf("read companion.db: %w", err)
		}
		removed = append(removed, r)
	}
	return func(ctx context.Context, to *Companion) error {
		for room, v := range from.visits.rooms {
			if err := to.putVisit(ctx, room, v); err != nil {
				return err
			}
		}
		for _, r := range removed {
			if _, err := to.db.Exec(ctx, "INSERT INTO lectern_removed_widget (room, widget, at, content) VALUES ($1, $2, $3, $4)", r.room, r.widget, r.at, r.content); err != nil {
				return fmt.Errorf("write companion.db: %w", err)
			}
		}
		return nil
	}, rows.Err()
}
