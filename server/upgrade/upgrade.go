// Package upgrade lets boards follow their room to the one that replaces it (m.room.tombstone, SPEC UP): their widgets appear there, the boards are bound to
// it and saved in it, and whoever has one open in the old room is told.
package upgrade

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/commands/phrase"
	"github.com/educationpub/lectern/widgets"
)

// Rooms is what following needs of the companion, besides what commands do. Implemented by server/matrix.
type Rooms interface {
	commands.Rooms
	commands.Talk
	commands.Memory
	// Upgrades are the rooms that were replaced by one into which their boards can go now.
	Upgrades() []Upgrade
}

// Upgrade of a room.
type Upgrade struct{ From, To string }

// Boards are those that Lectern knows. Implemented by server/store.
type Boards interface {
	// InRoom lists the boards that are bound to a room.
	InRoom(ctx context.Context, room string) ([]board.Changed, error)
	// BoundRoom answers the room of a board, "" where it is bound to none.
	BoundRoom(ctx context.Context, id board.ID) (string, error)
}

// Mover moves one board. Implemented by server/checkpoint.
type Mover interface {
	Move(ctx context.Context, from, to, kind string, id board.ID) error
}

// Config of a Follower.
type Config struct {
	Rooms  Rooms
	Boards Boards
	Mover  Mover
	Log    *slog.Logger
}

const (
	firstRetry   = time.Second
	longestRetry = 5 * time.Minute
	patience     = 2 * time.Minute // for all boards of one room
)

// Follower moves boards. What was moved is known by the room a board is bound to, so a stop at any point is made good at the next start.
type Follower struct {
	cfg  Config
	wake chan struct{}
}

// New starts nothing.
func New(c Config) *Follower { return &Follower{cfg: c, wake: make(chan struct{}, 1)} }

// Look makes the Follower look for rooms that were replaced; it returns at once.
func (f *Follower) Look() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	wait := firstRetry
	for {
		var again <-chan time.Time
		if err := f.followAll(ctx); err != nil && ctx.Err() == nil {
			f.cfg.Log.Warn("boards could not follow their room to the one that replaces it", "again_in", wait, "err", err)
			again, wait = time.After(wait), min(2*wait, longestRetry)
		} else {
			wait = firstRetry
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.wake:
		case <-again:
		}
	}
}

func (f *Follower) followAll(ctx context.Context) error {
	var errs []error
	for _, u := range f.cfg.Rooms.Upgrades() {
		c, cancel := context.WithTimeout(ctx, patience)
		if err := f.follow(c, u); err != nil {
			errs = append(errs, err)
		}
		cancel()
	}
	return errors.Join(errs...)
}

// follow does for one room what is not done yet.
func (f *Follower) follow(ctx context.Context, u Upgrade) error {
	old, _ := f.cfg.Rooms.Room(u.From)
	var moved phrase.Lines
	for _, w := range old.Widgets {
		bound, err := f.cfg.Boards.BoundRoom(ctx, w.Board)
		if err != nil {
			return err
		}
		if bound != "" && bound != u.From {
			continue
		}
		// The widget first: that the board is bound to the new room says that all of this is done.
		if err := f.copy(ctx, u, widgets.EventType, w.ID); err != nil {
			return err
		}
		if err := f.cfg.Mover.Move(ctx, u.From, u.To, w.Kind, w.Board); err != nil {
			return err
		}
		f.cfg.Log.Info("a board has followed its room", "board", w.Board, "from", u.From, "to", u.To)
		moved = append(moved, "– "+phrase.Short(cmp.Or(phrase.Clean(w.Name), w.ID)))
	}
	if err := f.rest(ctx, u); err != nil {
		return err
	}
	if len(moved) == 0 {
		return nil
	}
	if err := f.copy(ctx, u, widgets.LayoutType, ""); err != nil { // they are there without it
		f.cfg.Log.Warn("the layout of a replaced room was not copied", "to", u.To, "err", err)
	}
	args := phrase.Args{"list": moved}
	return f.cfg.Rooms.Say(ctx, u.To, phrase.Say(phrase.English, phrase.Followed, args)+"\n\n"+phrase.Say(phrase.German, phrase.Followed, args), "", "followed-"+u.From)
}

// rest moves boards that have no widget in the old room any more, and remembers their widgets, so that they can be put back in the new one.
func (f *Follower) rest(ctx context.Context, u Upgrade) error {
	boards, err := f.cfg.Boards.InRoom(ctx, u.From)
	if err != nil || len(boards) == 0 {
		return err
	}
	gone, err := f.cfg.Rooms.Removed(ctx, u.From)
	if err != nil {
		return err
	}
	slices.Reverse(gone) // the newest last, as they were removed
	for _, r := range gone {
		if err := f.cfg.Rooms.KeepRemoved(ctx, u.To, r); err != nil {
			return err
		}
	}
	for _, b := range boards {
		if err := f.cfg.Mover.Move(ctx, u.From, u.To, b.Kind, b.ID); err != nil {
			return err
		}
	}
	return nil
}

// copy writes a state event as it stands in the old room, unless the new one has one.
func (f *Follower) copy(ctx context.Context, u Upgrade, typ, key string) error {
	there, err := f.cfg.Rooms.State(ctx, u.To, typ, key)
	if err != nil || len(there) > len(`{}`) {
		return err
	}
	content, err := f.cfg.Rooms.State(ctx, u.From, typ, key)
	if err != nil || len(content) <= len(`{}`) {
		return err
	}
	return f.cfg.Rooms.SetState(ctx, u.To, typ, key, json.RawMessage(content))
}
