package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// What other companions write is looked at one event after the other, away from saving: they are rare. An error is tried again, because what another
// home wrote must neither be missed nor be overwritten.

// noticed is an event of another companion that is to be looked at.
type noticed struct {
	typ, key string
}

// notice is what is known of it.
type notice struct {
	room     string
	at       time.Time
	failures int
}

// handover is the queue. Its methods may be called from anywhere.
type handover struct {
	wake chan struct{} // capacity 1

	mu sync.Mutex
	// Guarded by mu. At most one entry per event.
	queue map[noticed]notice
	locks map[board.ID]*boardLock
}

// boardLock is held while it is decided whose a board is, and while it is written.
type boardLock struct {
	held  chan struct{} // capacity 1; a channel and no mutex, because it is held across requests, and waiting for it must not stop virtual time
	users int           // guarded by handover.mu
}

func (h *handover) init() {
	h.wake, h.queue, h.locks = make(chan struct{}, 1), make(map[noticed]notice), make(map[board.ID]*boardLock)
}

// lock holds a board until the answer is called.
func (c *Checkpointer) lock(id board.ID) (unlock func()) {
	h := &c.handover
	h.mu.Lock()
	l := h.locks[id]
	if l == nil {
		l = &boardLock{held: make(chan struct{}, 1)}
		h.locks[id] = l
	}
	l.users++
	h.mu.Unlock()
	l.held <- struct{}{}
	return func() {
		<-l.held
		h.mu.Lock()
		defer h.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(h.locks, id)
		}
	}
}

// Written says that another companion, which is accepted, has written an event, or somebody has overwritten one of leftovers. Types that are not ours are ignored. It never blocks.
func (c *Checkpointer) Written(room, typ, key string) {
	if c.config.Homes == nil || kindOf(typ) == "" && leftoversKind(typ) == "" {
		return
	}
	c.handover.add(noticed{typ, key}, notice{room: room})
}

func (h *handover) add(e noticed, n notice) {
	h.mu.Lock()
	h.queue[e] = n
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// take answers an event whose time has come, or when the next one's comes.
func (h *handover) take(now time.Time) (e noticed, n notice, ok bool, wait time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wait = time.Hour
	for e, n := range h.queue {
		if d := n.at.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		delete(h.queue, e)
		return e, n, true, 0
	}
	return e, n, false, wait
}

// handOver looks at what others wrote, until ctx ends.
func (c *Checkpointer) handOver(ctx context.Context) {
	h := &c.handover
	for ctx.Err() == nil {
		e, n, ok, wait := h.take(time.Now())
		if !ok {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-h.wake:
			case <-timer.C:
			}
			timer.Stop()
			continue
		}
		err := c.look(ctx, n.room, e)
		if err == nil || ctx.Err() != nil {
			continue
		}
		delay := longestRetry
		if n.failures < 8 {
			delay = min(firstRetry<<n.failures, longestRetry)
		}
		_, least := verdict(err)
		delay = max(delay/2+rand.N(delay/2), least)
		c.log.Warn("what another Lectern wrote about a board cannot be dealt with now", "room", n.room, "type", e.typ, "again_in", delay.Round(time.Millisecond), "err", err)
		n.at, n.failures = time.Now().Add(delay), n.failures+1
		h.mu.Lock()
		if _, newer := h.queue[e]; !newer {
			h.queue[e] = n
		}
		h.mu.Unlock()
	}
}

// look deals with one event.
func (c *Checkpointer) look(ctx context.Context, room string, e noticed) error {
	if kind := leftoversKind(e.typ); kind != "" {
		id, log, _ := strings.Cut(e.key, ".")
		if err := c.lost(ctx, room, kind, board.ID(id), log); err != nil {
			return err
		}
		return c.takeIn(ctx, room, kind, board.ID(id), log)
	}
	id, kind := board.ID(e.key), kindOf(e.typ)
	h, rewrite, err := c.settle(ctx, room, kind, id)
	switch {
	case err != nil:
		return err
	case rewrite:
		c.Overwritten(room, stateType(kind), string(id))
	case h.Owed != nil:
		return c.leave(ctx, room, kind, id)
	}
	return nil
}

// settle decides whose the board is, by what stands in its room now, and yields where it is another's. A board that is not stored here is nobody's
// business until it is opened. It is called for every event of another companion and, where others are accepted, before every write. rewrite: the
// board is ours and the room should show it again.
func (c *Checkpointer) settle(ctx context.Context, room, kind string, id board.ID) (h Home, rewrite bool, err error) {
	if c.config.Homes == nil {
		return Home{Term: 1}, false, nil
	}
	defer c.lock(id)()
	if h, err = c.home(ctx, id); err != nil || !c.config.Accepting && h.ours() {
		return h, false, err
	}
	meta, err := c.config.Log.Open(ctx, id)
	if isUnknown(err) {
		return h, false, nil
	}
	if err != nil {
		return h, false, fmt.Errorf("open the log: %w", err)
	}
	if meta.Room != room || meta.Kind != kind {
		c.log.Warn("an event with the id of another room's board is left alone", "board", id, "room", room)
		return h, false, nil
	}
	m, st, err := c.readRoom(ctx, room, kind, id)
	switch {
	case errors.Is(err, ErrNoState) || err == nil && m.Home == c.config.Home:
		return h, false, nil
	case errors.Is(err, ErrNoKey):
		return h, false, fmt.Errorf("another home's event is neither used nor overwritten: %w", err)
	case errors.Is(err, board.ErrDamaged):
		c.log.Error("what stands in the room for a board is refused", "board", id, "room", room, "err", err)
		return h, h.ours(), nil
	case err != nil:
		return h, false, err
	}
	if !h.ours() {
		if err := c.vacate(ctx, id, h); err != nil { // the last time it may have failed, or the note of it may have been thought lost
			return h, false, err
		}
		h, err = c.watch(ctx, room, kind, id, h, &m, st)
		return h, false, err
	}
	if t := h.Taking; t != nil && t.Home == m.Home && t.Log == m.Log && m.Term <= h.Term {
		return h, false, nil // what is being taken over still stands there
	}
	if err := h.believes(&m, c.config.Home, meta); err != nil {
		c.log.Error("what another Lectern wrote about a board is refused", "board", id, "room", room, "home", m.Home, "err", err)
		return h, true, nil
	}
	unused := meta.Seq == 0 && h.claim() == 1 // made here before the other's first event had come: there is nothing to lose
	if !unused && !wins(m.Term, m.Home, h.claim(), c.config.Home) {
		c.log.Warn("another Lectern has written a board that is ours", "board", id, "room", room, "home", m.Home, "its_term", m.Term, "our_term", h.claim())
		return h, true, nil
	}
	h, err = c.yield(ctx, room, kind, id, h, &m, st)
	return h, false, err
}

// believes checks what another home says of us.
func (h Home) believes(m *manifest, us string, meta board.Meta) error {
	for t := m.Taken; t != nil && t.Home == us; t = nil {
		known := t.Log == meta.Log
		for _, log := range h.Logs {
			known = known || t.Log == log
		}
		switch {
		case !known:
			return fmt.Errorf("it claims to have taken the board over from a log of ours that there never was")
		case t.Log == meta.Log && t.Seq > meta.Seq:
			return fmt.Errorf("it claims to have taken the board over from us as of %d, our log ends at %d", t.Seq, meta.Seq)
		case m.Term > h.claim()+1:
			return fmt.Errorf("it claims term %d, which does not follow our %d", m.Term, h.claim())
		}
	}
	return nil
}

// yield gives the board to another home: that is durable first, then people are told, then nothing is committed any more.
func (c *Checkpointer) yield(ctx context.Context, room, kind string, id board.ID, h Home, m *manifest, st State) (Home, error) {
	next := Home{Home: m.Home, Term: m.Term, Since: st.At, Taken: m.Taken, Carried: m.Carried, Logs: h.Logs, Owed: owed(h, m, c.config.Home)}
	if err := c.config.Homes.PutHome(ctx, id, room, kind, next); err != nil {
		return h, fmt.Errorf("remember whose the board is: %w", err)
	}
	c.log.Warn("another Lectern has taken a board over", "board", id, "room", room, "home", m.Home, "term", m.Term)
	if err := c.vacate(ctx, id, next); err != nil {
		return next, err
	}
	if meta, err := c.config.Log.Open(ctx, id); err != nil || meta.Seq > 0 {
		return next, nil // what is owed is looked through in leave
	}
	next.Owed = nil
	return next, c.putHome(ctx, id, room, kind, next)
}

// vacate closes a board that is another home's. Of one that is closed nothing happens.
func (c *Checkpointer) vacate(ctx context.Context, id board.ID, h Home) error {
	if c.config.Boards == nil {
		return nil
	}
	if err := c.config.Boards().Leave(ctx, id, elsewhere(h.Home, h.Since)); err != nil {
		return fmt.Errorf("close the board: %w", err)
	}
	return nil
}

// owed is from where on our log holds what the new home does not have. Where it was not taken from us, what both took it over from is common ground;
// otherwise all of it, for whatever the new home can make of it.
func owed(h Home, m *manifest, us string) *Taken {
	if m.Taken != nil && m.Taken.Home == us {
		return m.Taken
	}
	if from := h.from(); from != nil && m.Taken != nil && from.Log == m.Taken.Log {
		return &Taken{Mark: Mark{Home: us}, Docs: common(from.Docs, m.Taken.Docs)}
	}
	return &Taken{Mark: Mark{Home: us}}
}

// common are the documents that were taken over in the same epoch, from their beginning: our log numbers them anew.
func common(ours, theirs []TakenDoc) (out []TakenDoc) {
	for _, d := range ours {
		for _, t := range theirs {
			if t.Doc == d.Doc && t.Epoch == d.Epoch {
				out = append(out, TakenDoc{Doc: d.Doc, Epoch: d.Epoch})
			}
		}
	}
	return out
}

// watch follows a home that has the board: when it wrote last, what it took in of ours, and whether it is another one by now.
func (c *Checkpointer) watch(ctx context.Context, room, kind string, id board.ID, h Home, m *manifest, st State) (Home, error) {
	if m.Home != h.Home && !wins(m.Term, m.Home, h.Term, h.Home) || m.Home == h.Home && m.Term < h.Term {
		return h, nil // the better claim will be written again by its owner
	}
	h.Home, h.Term, h.Since, h.Taken, h.Carried = m.Home, m.Term, st.At, m.Taken, m.Carried
	if h.Owed != nil {
		meta, err := c.config.Log.Open(ctx, id)
		if err != nil {
			return h, fmt.Errorf("open the log: %w", err)
		}
		for _, mark := range m.Carried {
			if mark.Home == c.config.Home && mark.Log == meta.Log && mark.Seq >= meta.Seq {
				c.log.Info("what was left here of a board has been taken in by its home", "board", id, "room", room, "home", m.Home, "seq", mark.Seq)
				h.Owed = nil
			}
		}
	}
	if err := c.config.Homes.PutHome(ctx, id, room, kind, h); err != nil {
		return h, fmt.Errorf("remember whose the board is: %w", err)
	}
	return h, nil
}
