package board

import "context"

// Open opens a board that nobody may be on: from the store, or from its room.
func (h *Hub) Open(ctx context.Context, id ID, room, kind string) error {
	_, err := h.board(ctx, id, room, kind)
	return err
}

// Leave ends a board's sessions because another Lectern is its home now, and returns when nothing more can be committed to its log here. Whoever
// comes later is told by Checkpoints.Restore. Nothing happens when the board is not open; one that is opening may have read the log before it was another
// home's, so it is waited for.
func (h *Hub) Leave(ctx context.Context, id ID, why *Error) error {
	h.mu.Lock()
	s := h.slots[id]
	h.mu.Unlock()
	if s == nil {
		return nil
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	b := s.b
	if b == nil {
		return nil
	}
	b.post(elsewhereMsg{why})
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// elsewhereMsg closes the board as soon as what is on its way to the disk is there.
type elsewhereMsg struct{ why *Error }

func (m elsewhereMsg) handle(b *Board) {
	b.gone = m.why
	b.stop()
	b.byeAll(ByeEvent{Close: 4410, Code: m.why.code, Message: m.why.text, Retry: -1})
}

// Imported is a change that was made elsewhere: at another home of the board, which says whose it is.
type Imported struct {
	Actor  ActorID
	Person Person
	Bytes  []byte // the change chunk
}
