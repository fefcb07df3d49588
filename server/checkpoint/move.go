package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// Movable is what moving a board needs of the store.
type Movable interface {
	// MoveBoard binds a board to another room than it was bound to, durable on return, and forgets what was written to the old one. A board that is not known
	// is bound. ErrElsewhere: it is bound to a third room.
	MoveBoard(ctx context.Context, id board.ID, from, to, kind string) error
	// SetAside forgets a board's log, so that it is restored from its room when it is opened next.
	SetAside(ctx context.Context, id board.ID) error
}

// Move binds a board to the room that has replaced its own, and has it saved there (SPEC UP). Its people are told. Where the new room has an event of ours
// already, the board was moved before this database knew: what stands there is newer than what is here.
func (c *Checkpointer) Move(ctx context.Context, from, to, kind string, id board.ID) error {
	m, _, err := c.readRoom(ctx, to, kind, id)
	if errors.Is(err, board.ErrDamaged) && !errors.Is(err, ErrNoKey) {
		c.log.Warn("what stands in the new room for a board is refused", "board", id, "room", to, "err", err)
	} else if err != nil && !errors.Is(err, ErrNoState) {
		return fmt.Errorf("read the new room: %w", err)
	}
	there := err == nil && m.Home == c.config.Home
	if _, err := c.config.Log.Open(ctx, id); isUnknown(err) && !there {
		// Only the old room has it.
		if err := c.config.Boards().Open(ctx, id, from, kind); err != nil && !errors.Is(err, board.ErrElsewhere) {
			return fmt.Errorf("restore it from the old room: %w", err)
		}
	}
	if err := c.config.Boards().Leave(ctx, id, board.ErrUpgraded); err != nil {
		return fmt.Errorf("close it: %w", err)
	}
	if err := c.rebind(ctx, from, to, kind, id, there); err != nil {
		return err
	}
	// Whoever came between still has it open for the old room. What they drew is in the log.
	if err := c.config.Boards().Leave(ctx, id, board.ErrUpgraded); err != nil {
		return fmt.Errorf("close it: %w", err)
	}
	c.mu.Lock()
	c.anew[id] = true
	c.mu.Unlock()
	c.Changed(board.Changed{ID: id, Room: to, Kind: kind, At: time.Now()})
	return nil
}

func (c *Checkpointer) rebind(ctx context.Context, from, to, kind string, id board.ID, aside bool) error {
	defer c.lock(id)()
	if h, err := c.home(ctx, id); err != nil {
		return err
	} else if aside && h.ours() {
		if err := c.config.Moves.SetAside(ctx, id); err != nil {
			return err
		}
	}
	return c.config.Moves.MoveBoard(ctx, id, from, to, kind)
}
