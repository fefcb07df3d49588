// Package checkpoint keeps a copy of every board in its Matrix room, and brings boards back from there.
//
// The local log is the durable store; the room is the copy that outlives it. So nothing here is in the way of drawing: a board says that it
// has changed, and some time later, within a budget that any homeserver bears, its state is merged and verified by the merge worker and
// written as one state event, with encrypted files where it does not fit. What comes back from a room is believed only after every check of
// docs/SPEC.md CP; what fails one keeps the board closed, never empty.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/worker"
)

// Merger is the merge worker, *worker.Pool.
type Merger interface {
	Merge(ctx context.Context, base []byte, changes [][]byte) (worker.Result, error)
	Changes(ctx context.Context, document []byte) (changes [][]byte, heads []worker.Hash, err error)
}

// Config of a Checkpointer. Immutable after New.
type Config struct {
	Home   string // names this Lectern for good: its companion's Matrix id
	Room   Room
	Moves  Movable // nil: boards stay in their rooms
	Store  Snapshots
	Log    board.Log
	Merger Merger
	// Saved hears how far the copy in the room is, or why it is not further (Hub.Saved). It is called from the goroutine that saved. May be nil.
	Saved func(board.ID, board.Saved)
	// Homes and Boards are needed where other companions are accepted: boards can then be handed over. Boards is asked after New has returned. Both may be nil.
	Homes     Homes
	Boards    func() Boards
	Accepting bool // others are accepted: before a write it is looked whose the room's event is
	// TakeoverAfter: a board whose home has written nothing for so long is taken over when it is opened; 0: never.
	TakeoverAfter time.Duration
	Parallel      int // boards saved at a time; default 2
	// Observe hears of every attempt: "load", "snapshot", "write" or "restore", its time and the bytes it put into the room. May be nil.
	Observe func(what string, took time.Duration, bytes int, err error)
	Logger  *slog.Logger
}

// Checkpointer implements board.Checkpoints.
type Checkpointer struct {
	config Config
	log    *slog.Logger

	// Guarded by mu. What came in since Run last looked; at most one entry per board.
	mu       sync.Mutex
	pending  map[board.ID]board.Changed
	rewrites map[board.ID]board.Changed
	rechecks map[string]bool
	back     bool              // the homeserver answers again
	anew     map[board.ID]bool // boards whose log is another one now

	handover handover // has its own lock

	// Immutable after New.
	shelf    *shelf
	wake     chan struct{} // capacity 1
	flushes  chan *flush
	results  chan result
	finished chan struct{} // closed when Run returns
}

var _ board.Checkpoints = (*Checkpointer)(nil)

// flush asks for everything to be saved now.
type flush struct {
	only board.ID // "" for all
	done chan error
	left map[board.ID]uint64 // what is to be saved at least; owned by Run
	errs []error             // owned by Run
}

// New returns a Checkpointer. Restore works at once, saving begins with Run.
func New(c Config) *Checkpointer {
	if c.Parallel <= 0 {
		c.Parallel = 2
	}
	if c.Saved == nil {
		c.Saved = func(board.ID, board.Saved) {}
	}
	if c.Observe == nil {
		c.Observe = func(string, time.Duration, int, error) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Checkpointer{
		config: c, log: c.Logger, shelf: newShelf(shelfBytes), pending: make(map[board.ID]board.Changed), rewrites: make(map[board.ID]board.Changed), rechecks: make(map[string]bool), anew: make(map[board.ID]bool),
		wake: make(chan struct{}, 1), flushes: make(chan *flush), results: make(chan result), finished: make(chan struct{}),
	}
	k.handover.init()
	return k
}

// Changed implements board.Checkpoints. It never blocks.
func (c *Checkpointer) Changed(b board.Changed) {
	c.mu.Lock()
	c.pending[b.ID] = b
	c.mu.Unlock()
	c.poke()
}

// Overwritten says that the event of a type and state key in a room is not the one that was written, or cannot be read by somebody who should:
// it is written again. Types that are not ours are ignored. It never blocks.
func (c *Checkpointer) Overwritten(room, typ, key string) {
	if leftoversKind(typ) != "" {
		c.Written(room, typ, key)
		return
	}
	kind := kindOf(typ)
	if kind == "" {
		return
	}
	c.mu.Lock()
	c.rewrites[board.ID(key)] = board.Changed{ID: board.ID(key), Room: room, Kind: kind}
	c.mu.Unlock()
	c.poke()
}

// Recheck says that a room's membership or power levels changed: boards that the room refused are tried again. It never blocks.
func (c *Checkpointer) Recheck(room string) {
	c.mu.Lock()
	c.rechecks[room] = true
	c.mu.Unlock()
	c.poke()
}

// Forget drops what is known of a board that was erased; one that comes under its id later is another. It never blocks.
func (c *Checkpointer) Forget(id board.ID) {
	c.mu.Lock()
	c.anew[id] = true
	delete(c.pending, id)
	delete(c.rewrites, id)
	c.mu.Unlock()
	c.shelf.forget(id)
	c.poke()
}

// Reachable says that the homeserver answers again: boards that it kept waiting are tried now. It never blocks.
func (c *Checkpointer) Reachable() {
	c.mu.Lock()
	c.back = true
	c.mu.Unlock()
	c.poke()
}

func (c *Checkpointer) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Flush saves every board with unsaved changes once, whatever the budget says, and returns when each has been tried; the error joins those that
// failed. Used at shutdown, while Run is still running.
func (c *Checkpointer) Flush(ctx context.Context) error { return c.ask(ctx, "") }

// Save is Flush for one board.
func (c *Checkpointer) Save(ctx context.Context, id board.ID) error { return c.ask(ctx, id) }

func (c *Checkpointer) ask(ctx context.Context, only board.ID) error {
	f := &flush{only: only, done: make(chan error, 1), left: make(map[board.ID]uint64)}
	select {
	case c.flushes <- f:
	case <-c.finished:
		return errors.New("checkpoint: not running")
	case <-ctx.Done():
		return fmt.Errorf("save boards to their rooms: %w", ctx.Err())
	}
	select {
	case err := <-f.done:
		return err
	case <-c.finished:
		return errors.New("checkpoint: stopped before everything was saved")
	case <-ctx.Done():
		return fmt.Errorf("save boards to their rooms: %w", ctx.Err())
	}
}

// Run saves boards until ctx ends, then waits for the jobs it started. It is called once.
func (c *Checkpointer) Run(ctx context.Context) error {
	defer close(c.finished)
	var jobs sync.WaitGroup
	defer jobs.Wait()
	if c.config.Homes != nil {
		jobs.Go(func() { c.handOver(ctx) })
	}
	l := loop{c: c, states: make(map[board.ID]*state), jobs: &jobs}
	l.dirty(ctx)

	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if at := l.start(ctx); at.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.wake:
			l.collect()
		case r := <-c.results:
			l.finish(r)
		case f := <-c.flushes:
			l.collect()
			l.flush(f)
		case <-timer.C:
		}
	}
}
