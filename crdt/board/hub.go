package board

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Config is what boards need of their surroundings. All but Log and Authority may be left out in tests.
type Config struct {
	Log         Log
	Checkpoints Checkpoints // nil: boards are never saved elsewhere nor restored
	Authority   Authority
	// Storage answers why nothing can be stored now, nil when all is well, from memory and without blocking. Recheck("") follows every change
	// of it. nil: storing always works.
	Storage func() error
	// Encode appends one entry as it goes into an entries frame: CBOR of [doc, epoch, kind, actor, bytes] (docs/protocol.md §2.2).
	// Called once per entry; all sessions share the result.
	Encode func(dst []byte, e Entry) []byte
	Logger *slog.Logger
	// Observe is told what happens, on the goroutine where it happens: its functions must not block. All may be nil.
	Observe Observe
	// Verify proves a squash before it opens an epoch; nil: documents are never squashed.
	Verify Verify
	// Server is the person in whose name the server makes squashes and pages: the companion.
	Server Person
	// NoCarry leaves late changes without effect. Only for the test that proves that the simulation notices (SPEC SM5).
	NoCarry bool
	// Idle is how long a board without sessions stays open; 0 means 5 minutes.
	Idle time.Duration
}

// Verify has an engine load the genesis of a kind with a squash on it, save and load it again: it answers what was saved and its heads if the values are
// those of the elements. It runs on a goroutine of its own and ends with the context.
type Verify func(ctx context.Context, kind string, squash []byte, elements []Element) (document []byte, heads []Hash, err error)

// Observe are hooks for metrics.
type Observe struct {
	// Commit: entries became durable together; took is the time from Append to its answer.
	Commit func(entries, bytes int, took time.Duration)
	// Refused: a change was refused, with the code the client got.
	Refused func(code string)
	// Dropped: n things were not forwarded. Reasons: "live_overwritten", "live_refused", "change_duplicate", "change_dead_actor", "change_removed", "change_unstored".
	Dropped func(reason string, n int)
	// Boards and Sessions change by +1 or -1.
	Boards, Sessions func(delta int)
	// Squash: a squash ended.
	Squash func(took time.Duration, err error)
	// Late: so many late changes were taken, and so many carries authored.
	Late func(late, carries int)
	// Failed: a board was closed because its log failed.
	Failed func()
}

// Hub opens boards, once each, and finds them again.
type Hub struct {
	// Immutable after NewHub.
	cfg       Config
	log       *slog.Logger
	ctx       context.Context // lifetime of boards that are opening; cancelled when draining takes too long
	cancel    context.CancelFunc
	stop      chan struct{} // closed by Drain
	boards    sync.WaitGroup
	squashes  chan struct{} // a place for each squash in the making
	histories chan struct{} // a place for who reads one

	mu sync.Mutex
	// Guarded by mu.
	slots    map[ID]*slot
	draining bool
}

// slot is a board that is opening or open.
type slot struct {
	ready chan struct{} // closed when the fields below are set
	b     *Board
	err   error
}

// NewHub starts nothing: boards open when somebody joins.
func NewHub(c Config) *Hub {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Idle == 0 {
		c.Idle = 5 * time.Minute
	}
	o := &c.Observe
	if o.Commit == nil {
		o.Commit = func(int, int, time.Duration) {}
	}
	if o.Refused == nil {
		o.Refused = func(string) {}
	}
	if o.Dropped == nil {
		o.Dropped = func(string, int) {}
	}
	if o.Boards == nil {
		o.Boards = func(int) {}
	}
	if o.Sessions == nil {
		o.Sessions = func(int) {}
	}
	if o.Squash == nil {
		o.Squash = func(time.Duration, error) {}
	}
	if o.Late == nil {
		o.Late = func(int, int) {}
	}
	if o.Failed == nil {
		o.Failed = func() {}
	}
	h := &Hub{cfg: c, log: c.Logger, stop: make(chan struct{}), squashes: make(chan struct{}, squashSlots), histories: make(chan struct{}, 1), slots: map[ID]*slot{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Join attaches a person to a board, opening it if needed. Errors have a wire code (Code). The session must be left.
func (h *Hub) Join(ctx context.Context, j Join) (*Session, Welcome, error) {
	if role, _ := h.cfg.Authority(j.Room, j.Person); role == RoleNone {
		return nil, Welcome{}, ErrNotJoined
	}
	for {
		b, err := h.board(ctx, j.Board, j.Room, j.Kind)
		if err != nil {
			return nil, Welcome{}, err
		}
		s, w, err := b.join(ctx, j)
		if !errors.Is(err, ErrClosed) {
			return s, w, err
		}
		// It closed between being found and being joined.
	}
}

// Recheck asks the Authority again about everybody on the boards of a room. The syncer calls it when membership or power levels changed.
func (h *Hub) Recheck(room string) {
	for _, b := range h.open(room) {
		b.post(recheckMsg{})
	}
}

// Pause ends all sessions. They may come back, with everything they have not seen acknowledged.
func (h *Hub) Pause(bye ByeEvent) {
	for _, b := range h.open("") {
		b.post(pauseMsg{bye})
	}
}

// Disconnect ends a person's sessions on the boards of a room ("": of all rooms).
func (h *Hub) Disconnect(p Person, room string) {
	for _, b := range h.open(room) {
		b.post(disconnectMsg{p})
	}
}

// Saved tells a board's sessions how far its copy in the room is. Nothing happens when the board is not open.
func (h *Hub) Saved(id ID, v Saved) {
	if b := h.find(id); b != nil {
		b.post(savedMsg{v})
	}
}

// SceneView is what a document shows after all committed entries up to Seq.
type SceneView struct {
	Log      string
	Seq      uint64
	Epoch    uint32
	Heads    []Hash
	Full     bool      // Elements are all there are; otherwise those that were changed and are shown, and Gone those that are not shown any more
	Elements []Element // full: deleted ones too
	Gone     []string
}

// Scene answers a document's elements, or after a seq what was changed since, opening a stored board if needed. Only committed changes are in it.
func (h *Hub) Scene(ctx context.Context, id ID, doc DocID, after *uint64) (SceneView, error) {
	var r sceneReply
	err := h.tell(ctx, id, func(b *Board) (err error) {
		m := sceneMsg{doc: doc, after: after, reply: make(chan sceneReply, 1)}
		r, err = ask(ctx, b, m, m.reply)
		return err
	})
	return r.view, errors.Join(err, r.err)
}

// tell finds or opens a stored board and does something with it, again if it closed meanwhile.
func (h *Hub) tell(ctx context.Context, id ID, f func(*Board) error) error {
	for {
		b := h.find(id)
		if b == nil {
			meta, err := h.cfg.Log.Open(ctx, id)
			if err != nil {
				return err
			}
			if b, err = h.board(ctx, id, meta.Room, meta.Kind); err != nil {
				return err
			}
		}
		if err := f(b); !errors.Is(err, ErrClosed) {
			return err
		}
	}
}

// order has a board do something, and answers what came of it.
func (h *Hub) order(ctx context.Context, id ID, m func(reply chan error) message) error {
	return h.tell(ctx, id, func(b *Board) error {
		reply := make(chan error, 1)
		err, closed := ask(ctx, b, m(reply), reply)
		return errors.Join(err, closed)
	})
}

// Drain ends all sessions with bye 1001, lets what is on its way to the disk arrive, and closes all boards. No board opens afterwards.
func (h *Hub) Drain(ctx context.Context) error {
	h.mu.Lock()
	if !h.draining {
		h.draining = true
		close(h.stop)
	}
	h.mu.Unlock()
	ended := make(chan struct{})
	go func() { // ends with the boards, which h.cancel hurries
		h.boards.Wait()
		close(ended)
	}()
	defer h.cancel()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close is Drain.
func (h *Hub) Close(ctx context.Context) error { return h.Drain(ctx) }

// board finds a board or opens it; whoever comes meanwhile waits for the same opening.
func (h *Hub) board(ctx context.Context, id ID, room, kind string) (*Board, error) {
	h.mu.Lock()
	if h.draining {
		h.mu.Unlock()
		return nil, ErrDraining
	}
	s := h.slots[id]
	if s == nil {
		s = &slot{ready: make(chan struct{})}
		h.slots[id] = s
		h.boards.Go(func() { h.run(s, id, room, kind) })
	}
	h.mu.Unlock()
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case s.err != nil:
		return nil, s.err
	case s.b.room != room || s.b.kind != kind:
		return nil, ErrElsewhere
	}
	return s.b, nil
}

func (h *Hub) run(s *slot, id ID, room, kind string) {
	s.b, s.err = h.load(h.ctx, id, room, kind)
	if s.err != nil {
		level := slog.LevelError
		if errors.Is(s.err, ErrElsewhere) {
			level = slog.LevelInfo // nobody has to do anything
		}
		h.log.Log(h.ctx, level, "board not opened", "board", id, "room", room, "err", s.err)
		h.remove(id, s)
		close(s.ready)
		return
	}
	h.cfg.Observe.Boards(1)
	h.log.Info("board opened", "board", id, "room", room, "seq", s.b.tail.Load().last())
	close(s.ready)
	s.b.run()
	h.remove(id, s)
	close(s.b.done)
	h.cfg.Observe.Boards(-1)
	h.log.Info("board closed", "board", id, "seq", s.b.tail.Load().last())
}

func (h *Hub) remove(id ID, s *slot) {
	h.mu.Lock()
	if h.slots[id] == s {
		delete(h.slots, id)
	}
	h.mu.Unlock()
}

func (h *Hub) find(id ID) *Board {
	h.mu.Lock()
	s := h.slots[id]
	h.mu.Unlock()
	return s.opened()
}

func (h *Hub) open(room string) []*Board {
	h.mu.Lock()
	all := make([]*slot, 0, len(h.slots))
	for _, s := range h.slots {
		all = append(all, s)
	}
	h.mu.Unlock()
	var out []*Board
	for _, s := range all {
		// A board that is still opening asks the Authority itself when its first session joins.
		if b := s.opened(); b != nil && (room == "" || b.room == room) {
			out = append(out, b)
		}
	}
	return out
}

func (s *slot) opened() *Board {
	if s == nil {
		return nil
	}
	select {
	case <-s.ready:
		return s.b
	default:
		return nil
	}
}
