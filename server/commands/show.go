package commands

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/widgets"
)

// Where a widget is shown.
const (
	ShownTop   = "top"
	ShownFull  = "full"  // the three places above the messages are taken
	ShownLevel = "level" // the companion may not arrange the room
	ShownSelf  = "self"  // the person may not
)

// heardWithin is how long the companion may take to hear of what the person's client has just done.
const heardWithin = 5 * time.Second

// Show puts a widget of ours above the messages of its room, for a person who may do that. Errors are *identity.Error.
func (s *Service) Show(ctx context.Context, person, room, widget string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, err := s.heard(ctx, person, room, widget)
	if err != nil {
		return "", err
	}
	if p.asker.Power < p.levels.State(widgets.LayoutType) {
		return ShownSelf, nil
	}
	shown, err := s.arrange(ctx, p, widget)
	if re, ok := errors.AsType[*checkpoint.RoomError](err); ok && re.Kind == checkpoint.Forbidden {
		return ShownLevel, nil
	}
	if err != nil {
		return "", unreachable(err)
	}
	return shown, nil
}

// heard waits until the companion knows the widget and has the level for its place, as long as that may still be on its way.
func (s *Service) heard(ctx context.Context, person, room, widget string) (*place, error) {
	for end := time.Now().Add(heardWithin); ; {
		r, ok := s.cfg.Rooms.Room(room)
		asker, _ := s.cfg.Rooms.Standing(room, person)
		me, _ := s.cfg.Rooms.Standing(room, s.cfg.Companion)
		p := &place{Room: r, asker: asker, me: me, levels: me.Levels}
		_, there := p.byID(widget)
		last := time.Now().After(end)
		switch {
		case ok && asker.Joined && asker.Complete && there && (last || me.Power >= me.Levels.State(widgets.LayoutType)):
			return p, nil
		case last && (!ok || !asker.Joined):
			return nil, &identity.Error{Status: http.StatusForbidden, Code: "not_joined", Message: "You are not a member of this room, or Lectern is not."}
		case last:
			return nil, &identity.Error{Status: http.StatusNotFound, Code: "no_widget", Message: "Lectern knows no such board in this room."}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// arrange gives a widget one of the places above the messages, if the companion may.
func (s *Service) arrange(ctx context.Context, p *place, id string) (string, error) {
	if p.me.Power < p.levels.State(widgets.LayoutType) {
		return ShownLevel, nil
	}
	layout, err := s.cfg.Talk.State(ctx, p.ID, widgets.LayoutType, "")
	if err != nil {
		return "", err
	}
	next, changed := widgets.ShowOnTop(layout, id)
	if changed {
		return ShownTop, s.cfg.Talk.SetState(ctx, p.ID, widgets.LayoutType, "", next)
	}
	if widgets.IsOnTop(layout, id) {
		return ShownTop, nil
	}
	return ShownFull, nil
}
