package board

import (
	"context"
)

// Place is where on a board somebody looks: a page, and what of it is to be seen, in the scene's whole pixels.
type Place struct {
	Doc    DocID  `json:"doc"`
	X      int64  `json:"x"`
	Y      int64  `json:"y"`
	Width  uint64 `json:"width"`
	Height uint64 `json:"height"`
}

// GatherEvent asks a session to look there, because a moderator wants everybody to.
type GatherEvent struct {
	Place
	By Person
}

func (GatherEvent) event() {}

const farthest = 1 << 30

func (p *Place) ok() bool {
	return p.X >= -farthest && p.X <= farthest && p.Y >= -farthest && p.Y <= farthest && p.Width >= 1 && p.Width <= farthest && p.Height >= 1 && p.Height <= farthest
}

// ErrBadPlace refuses a place that no board has.
var ErrBadPlace = &Error{code: "bad_place", text: "This is no place on a board."}

type gatherMsg struct {
	person Person
	place  Place
	reply  chan error
}

// Gather brings everybody who is on the board to a place. Whoever comes later is not told.
func (h *Hub) Gather(ctx context.Context, id ID, person Person, at Place) error {
	return h.order(ctx, id, func(reply chan error) message { return gatherMsg{person, at, reply} })
}

func (m gatherMsg) handle(b *Board) {
	role, _ := b.hub.cfg.Authority(b.room, m.person)
	switch {
	case role < RoleModerator:
		m.reply <- ErrForbidden.Saying("Only moderators of this room can bring everybody somewhere.")
	case b.pages[m.place.Doc] == nil:
		m.reply <- ErrUnknownDoc
	case !m.place.ok():
		m.reply <- ErrBadPlace
	default:
		for _, s := range b.sessions {
			if s.person != m.person {
				s.push(func(in *inbox) { in.gather = &GatherEvent{m.place, m.person} })
			}
		}
		m.reply <- nil
	}
}
