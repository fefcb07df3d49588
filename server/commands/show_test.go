package commands

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/widgets"
)

// oneRoom is a room as the companion sees it, and its layout as the homeserver has it.
type oneRoom struct {
	Rooms
	Talk
	widgets []identity.Widget
	power   map[string]int
	layout  json.RawMessage
	fails   error
	wrote   int
	late    func(*oneRoom) // what the companion hears of at `at`; nil: nothing
	at      time.Time
}

func (r *oneRoom) Room(id string) (Room, bool) {
	if r.late != nil && !time.Now().Before(r.at) {
		r.late(r)
	}
	return Room{ID: id, Widgets: r.widgets}, id == "!r:x"
}

func (r *oneRoom) Standing(_, person string) (identity.Standing, bool) {
	power, ok := r.power[person]
	return identity.Standing{Joined: ok, Complete: true, Power: power, Levels: identity.Levels{StateDefault: 50}}, ok
}

func (r *oneRoom) State(context.Context, string, string, string) (json.RawMessage, error) {
	return r.layout, r.fails
}

func (r *oneRoom) SetState(_ context.Context, _, _, _ string, content any) error {
	r.wrote++
	r.layout = content.(json.RawMessage)
	return nil
}

func TestShow(t *testing.T) {
	const me, tea, pupil = "@lectern:x", "@tea:x", "@pupil:x"
	board := []identity.Widget{{ID: "w"}}
	all := map[string]int{me: 50, tea: 100, pupil: 0}
	full, _ := json.Marshal(widgets.Layout("a", "b", "c"))
	for name, c := range map[string]struct {
		room   oneRoom
		person string
		want   string
		code   string
		wrote  int
	}{
		"on top":                         {room: oneRoom{widgets: board, power: all}, person: tea, want: ShownTop, wrote: 1},
		"no place is free":               {room: oneRoom{widgets: board, power: all, layout: full}, person: tea, want: ShownFull},
		"the person may not":             {room: oneRoom{widgets: board, power: all}, person: pupil, want: ShownSelf},
		"the companion may not":          {room: oneRoom{widgets: board, power: map[string]int{me: 0, tea: 100}}, person: tea, want: ShownLevel},
		"the widget is heard of later":   {room: oneRoom{power: all, late: func(r *oneRoom) { r.widgets = board }}, person: tea, want: ShownTop, wrote: 1},
		"the level is heard of later":    {room: oneRoom{widgets: board, power: map[string]int{me: 0, tea: 100}, late: func(r *oneRoom) { r.power = all }}, person: tea, want: ShownTop, wrote: 1},
		"nobody's widget":                {room: oneRoom{power: all}, person: tea, code: "no_widget"},
		"a stranger is told of no room":  {room: oneRoom{widgets: board, power: all}, person: "@eve:x", code: "not_joined"},
		"the homeserver does not answer": {room: oneRoom{widgets: board, power: all, fails: &checkpoint.RoomError{Kind: checkpoint.Unreachable, Err: errors.New("down")}}, person: tea, code: "homeserver_unreachable"},
	} {
		t.Run("IM4 "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &c.room
				s := New(Config{Rooms: r, Talk: r, Companion: me})
				r.at = time.Now().Add(time.Second)
				got, err := s.Show(t.Context(), c.person, "!r:x", "w")
				if e, ok := errors.AsType[*identity.Error](err); got != c.want || ok != (c.code != "") || ok && (e.Code != c.code || e.Message == "") || r.wrote != c.wrote {
					t.Fatalf("got %q, %v, wrote %d", got, err, r.wrote)
				}
				if again, err := s.Show(t.Context(), c.person, "!r:x", "w"); c.want == ShownTop && (err != nil || again != ShownTop || r.wrote != 1) {
					t.Errorf("again: %q, %v, wrote %d", again, err, r.wrote)
				}
			})
		})
	}
}
