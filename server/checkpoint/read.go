package checkpoint

import (
	"context"

	"github.com/educationpub/lectern/crdt/board"
)

// Read reads a board from its room with every check of a restore, whichever of the accepted companions is its home, and changes nothing anywhere.
// ErrNoState: the room has no such board. Errors are otherwise those of Restore.
func Read(ctx context.Context, from Room, with Merger, room, kind string, id board.ID) (*board.Restored, error) {
	c := New(Config{Room: from, Merger: with})
	m, st, err := c.readRoom(ctx, room, kind, id)
	if err != nil {
		return nil, err
	}
	return c.restored(ctx, &m, st, kind)
}
