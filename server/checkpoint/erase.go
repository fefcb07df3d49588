package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// emptied stands in the event of a board that was erased: the room has no board under this id any more, and whoever opens it gets a new one.
type emptied struct {
	V      int      `json:"v"`
	Board  board.ID `json:"board"`
	Home   string   `json:"home"`
	Erased int64    `json:"erased"` // Unix ms
}

// EmptyEvent writes over a board's event. Nobody may have the board open, and nothing of it be unsaved. The event of a board
// that has another home is left to that.
func (c *Checkpointer) EmptyEvent(ctx context.Context, room, kind string, id board.ID) error {
	if h, err := c.home(ctx, id); err != nil || !h.ours() {
		return err // the event is another home's
	}
	if _, err := c.config.Room.ReadState(ctx, room, stateType(kind), string(id)); errors.Is(err, ErrNoState) {
		return nil // never saved
	}
	content, err := json.Marshal(emptied{V: version, Board: id, Home: c.config.Home, Erased: time.Now().UnixMilli()})
	if err != nil {
		return fmt.Errorf("encode an empty event: %w", err)
	}
	if _, err := c.config.Room.WriteState(ctx, room, stateType(kind), string(id), content); err != nil {
		return fmt.Errorf("write the state event: %w", err)
	}
	return nil
}

// isEmptied says whether a believed event of ours says that the board was erased.
func isEmptied(st State, id board.ID) bool {
	var e emptied
	return readStrict(st.Content, &e) == nil && e.V == version && e.Board == id && e.Home == st.Sender && e.Erased > 0
}
