package checkpoint

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// Shelf is what Behind needs of the store.
type Shelf interface {
	// Stored lists every board that has a log here.
	Stored(ctx context.Context) ([]board.Changed, error)
	// SetAside forgets a board's log, so that it is restored from its room when it is opened next.
	SetAside(ctx context.Context, id board.ID) error
}

// Behind looks for boards of which the room knows more than the database: somebody has put an older copy of it back. They are set aside and come back from
// their rooms, so that what was saved after the copy was made is not written over. It runs before any board is opened. stands answers the id of our event in
// a room, from memory: only boards whose event is not the one that was recorded are looked at any further.
func (c *Checkpointer) Behind(ctx context.Context, shelf Shelf, stands func(room, typ, key string) string) (aside int, err error) {
	boards, err := shelf.Stored(ctx)
	if err != nil {
		return 0, err
	}
	for _, b := range boards {
		event := stands(b.Room, stateType(b.Kind), string(b.ID))
		if event == "" {
			continue
		}
		rec, err := c.config.Store.Checkpoint(ctx, b.ID)
		if err != nil || rec.EventID == event {
			continue // a damaged board says so when it is opened
		}
		behind, err := c.isBehind(ctx, b, rec)
		if err != nil {
			return aside, err
		}
		if !behind {
			continue
		}
		c.log.Warn("the room has a newer copy of a board than the database, which must be an older copy of itself: the board is restored from the room", "board", b.ID, "room", b.Room, "seq", b.Seq)
		if err := shelf.SetAside(ctx, b.ID); err != nil {
			return aside, err
		}
		aside++
	}
	return aside, nil
}

func (c *Checkpointer) isBehind(ctx context.Context, b board.Changed, rec Record) (bool, error) {
	m, st, err := c.readPatiently(ctx, b)
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		c.log.Error("the room's copy of a board is not the one that was recorded, and cannot be used", "board", b.ID, "room", b.Room, "err", err)
		return false, nil
	}
	if m.Home != c.config.Home {
		return false, nil // see home.go
	}
	meta, err := c.config.Log.Open(ctx, b.ID)
	if err != nil {
		return false, nil
	}
	if m.Log == meta.Log {
		return m.Seq > b.Seq, nil // otherwise the stop came between the event and its record
	}
	h, err := c.home(ctx, b.ID)
	if err != nil {
		return false, err
	}
	// Ours came out of the other log, or the other way round. Without a record of ours nothing says which is newer: then nothing is given up.
	return !slices.Contains(h.Logs, m.Log) && rec.Seq > 0 && st.At.After(rec.At), nil
}

// readPatiently waits for a homeserver that does not answer: a board that is behind must not be opened.
func (c *Checkpointer) readPatiently(ctx context.Context, b board.Changed) (m manifest, st State, err error) {
	for {
		m, st, err = c.readRoom(ctx, b.Room, b.Kind, b.ID)
		if !errors.Is(err, board.ErrUnavailable) || errors.Is(err, ErrNoKey) {
			return m, st, err
		}
		c.log.Warn("waiting to compare a board with its room", "board", b.ID, "room", b.Room, "err", err)
		select {
		case <-ctx.Done():
			return m, st, ctx.Err()
		case <-time.After(5 * time.Second):
		}
	}
}
