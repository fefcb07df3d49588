package board

import "time"

// While nothing can be stored (Config.Storage) a board is open for reading: people join, see each other and what is committed. Their changes
// are dropped without an answer, so that clients keep them: a refusal would make them throw work away. When storing works again, sessions
// whose changes were dropped are told to come anew, because that makes clients send again what was not acknowledged.

// comeAgain ends a session that has to send its changes again.
var comeAgain = ByeEvent{Close: 4410, Code: ErrStorage.code, Message: "Lectern can store again. What waited in this browser is sent now.", Retry: 0}

// cannotStore answers why nothing can be stored now.
func (h *Hub) cannotStore() error {
	if h.cfg.Storage == nil {
		return nil
	}
	return h.cfg.Storage()
}

// On the actor's goroutine.

// unstored says whether a session's change must be dropped. What follows a dropped change builds on it.
func (b *Board) unstored(s *Session) bool {
	err := b.hub.cannotStore()
	if err == nil && !s.unstored {
		return false
	}
	s.unstored = true
	b.hub.cfg.Observe.Dropped("change_unstored", 1)
	if err == nil {
		b.bye(s, comeAgain)
	}
	return true
}

// recheckStorage tells everybody when storing begins to fail and when it works again.
func (b *Board) recheckStorage() {
	b.arm() // squashes have waited as well
	err := b.hub.cannotStore()
	if (err != nil) == b.readOnly {
		return
	}
	b.readOnly = err != nil
	for _, s := range append([]*Session(nil), b.sessions...) {
		s.pushSaved(b.copyState())
		if err == nil && s.unstored {
			b.bye(s, comeAgain)
		}
	}
}

// copyState is the state of the room's copy as sessions are told it. That nothing can be stored goes before any problem of the room.
func (b *Board) copyState() Saved {
	v := b.saved
	if b.hub.cannotStore() != nil {
		v.Problem = ErrStorage.code
	}
	return v
}

// failedBye is what sessions are told when an append has failed.
func failedBye(err error) ByeEvent {
	if Code(err) == ErrStorage.code {
		return ByeEvent{Close: 4410, Code: ErrStorage.code, Message: ErrStorage.text, Retry: time.Second}
	}
	return ByeEvent{Close: 4410, Code: ErrUnavailable.code, Message: "The board had to be closed because it could not be stored. Changes that were not acknowledged are sent again.", Retry: time.Second}
}
