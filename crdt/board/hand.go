package board

import (
	"context"
)

type handMsg struct {
	person Person
	up     bool
	reply  chan error
}

// Hand raises or lowers a person's hand for everybody to see, as long as they are on the board. Who gets the pen has it lowered.
func (h *Hub) Hand(ctx context.Context, id ID, person Person, up bool) error {
	return h.order(ctx, id, func(reply chan error) message { return handMsg{person, up, reply} })
}

func (m handMsg) handle(b *Board) {
	b.setHand(m.person, m.up)
	m.reply <- nil
}

func (b *Board) setHand(p Person, up bool) {
	for _, s := range b.sessions {
		if s.person != p || s.hand == up {
			continue
		}
		s.hand = up
		for _, o := range b.sessions {
			o.pushJoined(s.info())
		}
	}
}
