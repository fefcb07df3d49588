package commands

import (
	"context"
	"time"

	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/widgets"
)

// StableType is what a widget's event will be called (MSC4411). No client lists it yet; where the operator wants it, each widget of ours has one besides, so that rooms
// need nothing done to them on the day clients do.
const StableType = "m.widget"

// Mirror is a widget whose stable event is missing or says something else; Gone: one that has only that, written by us.
type Mirror struct {
	Room   string
	Widget identity.Widget
	Gone   bool
}

// Mirrors answers what is to be written, from memory. Implemented by server/matrix.
type Mirrors interface {
	Mirrors() []Mirror
}

const mirrorRetry = time.Minute

// Changed makes the service look whether stable events are to be written; it returns at once.
func (s *Service) Changed() {
	if s.cfg.Mirrors == nil {
		return
	}
	select {
	case s.mirrorWake <- struct{}{}:
	default:
	}
}

func (s *Service) mirror(ctx context.Context) {
	if s.cfg.Mirrors == nil {
		return
	}
	for {
		var again <-chan time.Time
		for _, m := range s.cfg.Mirrors.Mirrors() {
			var content any = struct{}{}
			if !m.Gone {
				content = widgets.Stable(s.cfg.Base, m.Widget.Kind, m.Widget.Name, string(m.Widget.Board), s.cfg.Icon(m.Widget.Kind))
			}
			if err := s.cfg.Talk.SetState(ctx, m.Room, StableType, m.Widget.ID, content); err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("a widget's stable event was not written", "room", m.Room, "err", err)
				again = time.After(mirrorRetry)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-s.mirrorWake:
		case <-again:
		}
	}
}
