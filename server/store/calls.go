package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/educationpub/lectern/server/focus"
)

var _ focus.Store = (*Store)(nil)

// Decisions answers what moderators have decided about people's part in calls, by room and person, as far as it has not run out. Implements focus.Store.
func (s *Store) Decisions(ctx context.Context) (map[string]map[string]focus.Decision, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT room, person, removed, sources, until FROM call_decisions WHERE until > ?`, time.Now().UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read decisions about calls: %w", err)
	}
	defer rows.Close()
	all := map[string]map[string]focus.Decision{}
	for rows.Next() {
		var room, person, sources string
		var until int64
		var d focus.Decision
		var names []string
		if err := rows.Scan(&room, &person, &d.Removed, &sources, &until); err != nil {
			return nil, fmt.Errorf("read decisions about calls: %w", err)
		}
		if err := json.Unmarshal([]byte(sources), &names); err != nil {
			return nil, fmt.Errorf("read decisions about calls: %w", err)
		}
		d.Sources, d.Until = focus.SourcesOf(names), time.UnixMilli(until)
		if all[room] == nil {
			all[room] = map[string]focus.Decision{}
		}
		all[room][person] = d
	}
	return all, rows.Err()
}

// Decide stores a decision, durable on return; the zero value forgets it. What has run out goes with it. Implements focus.Store.
func (s *Store) Decide(ctx context.Context, room, person string, d focus.Decision) error {
	sources, err := json.Marshal(d.Sources.Names())
	if err != nil {
		return fmt.Errorf("store a decision about a call: %w", err)
	}
	err = s.write.do(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM call_decisions WHERE until <= ? OR room = ? AND person = ?`, time.Now().UnixMilli(), room, person); err != nil {
			return err
		}
		if d.Until.IsZero() {
			return nil
		}
		_, err := t.exec(`INSERT INTO call_decisions (room, person, removed, sources, until) VALUES (?,?,?,?,?)`, room, person, d.Removed, string(sources), d.Until.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("store a decision about a call: %w", err)
	}
	return nil
}

// Ended answers when calls were ended for all, by room. Implements focus.Store.
func (s *Store) Ended(ctx context.Context) (map[string]time.Time, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT room, at FROM call_ends`)
	if err != nil {
		return nil, fmt.Errorf("read ended calls: %w", err)
	}
	defer rows.Close()
	all := map[string]time.Time{}
	for rows.Next() {
		var room string
		var at int64
		if err := rows.Scan(&room, &at); err != nil {
			return nil, fmt.Errorf("read ended calls: %w", err)
		}
		all[room] = time.UnixMilli(at)
	}
	return all, rows.Err()
}

// SetEnded stores when a room's call was ended, durable on return; the zero time forgets it, and with it all of more than a day ago. Implements focus.Store.
func (s *Store) SetEnded(ctx context.Context, room string, at time.Time) error {
	err := s.write.do(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM call_ends WHERE room = ? OR at < ?`, room, time.Now().Add(-24*time.Hour).UnixMilli()); err != nil || at.IsZero() {
			return err
		}
		_, err := t.exec(`INSERT INTO call_ends (room, at) VALUES (?,?)`, room, at.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("store that a call was ended: %w", err)
	}
	return nil
}
