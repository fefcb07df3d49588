package board

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/educationpub/lectern/crdt/change"
)

// How many refusals and acknowledgements may wait for a session that does not read.
const (
	maxResets = 64
	maxKnown  = 4096
)

// Session is one attached client: a cursor into the log and an inbox for rare events. One goroutine reads from the client and calls
// Submit, Live, Seek and Leave; another one writes to it and calls Next.
type Session struct {
	// Immutable after Join.
	b      *Board
	id     uint32
	person Person
	wake   chan struct{} // capacity 1
	done   chan struct{}
	end    func() // closes done, once

	// Owned by Board.run.
	name       string
	hand       bool    // raised
	actor      ActorID // leased; zero when the person may not write
	dead       map[ActorID]bool
	held       int
	issuing    bool // a new actor is on its way
	fresh      bool // the client got a new actor by a reset and has not used it yet
	attached   bool
	unstored   bool // has no actor, or changes that were dropped, because nothing could be stored
	resets     int  // refusals since resetsFrom
	resetsFrom time.Time
	answered   *ResetEvent // the last reset, sent again after a change of lanes until the client uses its actor

	late int // changes that wait for an archive

	role  atomic.Uint32                 // Role; written by Board.run
	muted atomic.Bool                   // may draw nowhere; written by Board.run
	gate  atomic.Pointer[chan struct{}] // closed to Submit while it is not nil; written by Board.run

	// Guarded by Board.live.mu.
	liveSeen uint64
	slots    [liveSlots]*liveSlot
	liveGone bool

	mu sync.Mutex
	// Guarded by mu.
	cursor uint64
	moves  uint64 // counts Seek and Hold, so that Next does not step over them
	hold   bool
	over   bool // bye was handed out
	inbox  inbox
}

// inbox holds rare events; what can be merged is.
type inbox struct {
	role   *RoleEvent
	full   bool // joined is everybody, left is void
	joined []PersonInfo
	left   []uint32
	known  []KnownEvent // one per document and epoch
	knowns int          // hashes in known
	resets []ResetEvent
	saved  *SavedEvent
	gather *GatherEvent // the newest
	held   *HeldEvent   // the newest
	bye    *ByeEvent
}

func newSession(b *Board, id uint32, p Person) *Session {
	s := &Session{b: b, id: id, person: p, wake: make(chan struct{}, 1), done: make(chan struct{}), dead: map[ActorID]bool{}}
	s.end = sync.OnceFunc(func() { close(s.done) })
	return s
}

// ID is the session's number on its board.
func (s *Session) ID() uint32 { return s.id }

// Role is what the person may do now.
func (s *Session) Role() Role { return Role(s.role.Load()) }

// Wake receives whenever Next may have something.
func (s *Session) Wake() <-chan struct{} { return s.wake }

// Done is closed when the session has ended: Next hands out the bye, if there is one, and then ErrClosed.
func (s *Session) Done() <-chan struct{} { return s.done }

// Submit hands a change chunk to the board. It parses on the caller's goroutine and blocks while the board's mailbox is full: that is the
// back-pressure on the client. Whether the change is taken comes back through Next: the entry itself or a ResetEvent. raw is copied.
func (s *Session) Submit(ctx context.Context, doc DocID, epoch uint32, raw []byte) error {
	sub := &submission{s: s, doc: doc, epoch: epoch, raw: bytes.Clone(raw)}
	sub.err = sub.c.Parse(sub.raw, nil)
	select {
	case <-s.done:
		return ErrClosed
	default:
	}
	if gate := s.gate.Load(); gate != nil {
		select {
		case <-*gate:
		case <-s.done:
			return ErrClosed
		case <-s.b.done:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case s.b.changes <- sub:
		return nil
	case <-s.done:
		return ErrClosed
	case <-s.b.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Live replaces the session's payload in a slot. Never blocks; too long payloads, unknown slots and drawings of viewers are dropped and counted. payload is copied.
func (s *Session) Live(slot uint8, payload []byte) {
	if r := s.Role(); r == RoleNone || slot != 0 && (r < RoleParticipant || s.muted.Load()) {
		s.b.hub.cfg.Observe.Dropped("live_refused", 1)
		return
	}
	s.b.live.set(s, slot, payload)
}

// Next fills out with what the client gets next: events, live updates and at most about 48 KiB of entries. false: nothing now, wait for
// Wake. ErrClosed: the session is over. Only a session that has fallen behind the tail in memory reads the store here.
func (s *Session) Next(ctx context.Context, out *Batch) (bool, error) {
	clear(out.Entries)
	clear(out.Live)
	clear(out.Events)
	out.From, out.Entries, out.Live, out.Events = 0, out.Entries[:0], out.Live[:0], out.Events[:0]
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return false, ErrClosed
	}
	out.Events = s.inbox.drain(out.Events, s.hold)
	if n := len(out.Events); n > 0 {
		_, s.over = out.Events[n-1].(ByeEvent)
	}
	cursor, moves, hold, over := s.cursor, s.moves, s.hold, s.over
	s.mu.Unlock()
	if over {
		return true, nil
	}
	select {
	case <-s.done: // left
		return len(out.Events) > 0, ErrClosed
	default:
	}
	out.Live = s.b.live.collect(s, out.Live)
	if !hold {
		if err := s.entries(ctx, out, cursor, moves); err != nil {
			return false, err
		}
	}
	return len(out.Events)+len(out.Live)+len(out.Entries) > 0, nil
}

func (s *Session) entries(ctx context.Context, out *Batch, cursor, moves uint64) error {
	t := s.b.tail.Load()
	entries, ok := t.after(cursor)
	if !ok {
		var err error
		if entries, err = s.b.readBack(ctx, cursor, t.last()); err != nil {
			return err
		}
	}
	if len(entries) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moves != moves { // moved meanwhile: the next call begins there
		s.notify()
		return nil
	}
	s.cursor = cursor + uint64(len(entries))
	out.From, out.Entries = cursor+1, append(out.Entries, entries...)
	if s.cursor < t.last() {
		s.notify()
	}
	return nil
}

// Seek goes on with the entry after have: a change of lanes or a resynchronisation on the same log. Ends Hold. What had been handed out
// for the lane that is left may be lost, so people, state of the copy and an unanswered reset come again.
func (s *Session) Seek(have uint64) error {
	if have > s.b.tail.Load().last() {
		return ErrSeek
	}
	s.mu.Lock()
	s.cursor, s.hold = have, false
	s.moves++
	s.mu.Unlock()
	s.b.post(againMsg{s})
	s.notify()
	return nil
}

// Hold stops everything of the log (entries and events but bye) until Seek or Hold(false); live updates go on.
func (s *Session) Hold(on bool) {
	s.mu.Lock()
	s.hold = on
	s.moves++
	s.mu.Unlock()
	s.notify()
}

// Leave detaches the session. Changes that were submitted before are still judged and committed.
func (s *Session) Leave() {
	s.end()
	s.b.post(leaveMsg{s})
}

func (s *Session) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Called by Board.run: back-pressure on late changes.

func (s *Session) wait() {
	if s.late++; s.late == lateWaiting {
		gate := make(chan struct{})
		s.gate.Store(&gate)
	}
}

func (s *Session) proceed() {
	s.late--
	if gate := s.gate.Load(); gate != nil && s.late == 0 {
		s.gate.Store(nil)
		close(*gate)
	}
}

// Called by Board.run: events for the inbox.

func (s *Session) push(f func(*inbox)) {
	s.mu.Lock()
	f(&s.inbox)
	s.mu.Unlock()
	s.notify()
}

func (s *Session) pushRole(r Role, reason string) {
	s.push(func(in *inbox) { in.role = &RoleEvent{r, reason} })
}

func (s *Session) pushSaved(v Saved) {
	s.push(func(in *inbox) { in.saved = &SavedEvent{v} })
}

// pushKnown answers false when the client has not read for so long that it must go.
func (s *Session) pushKnown(doc DocID, epoch uint32, h Hash) (ok bool) {
	s.push(func(in *inbox) {
		if ok = in.knowns < maxKnown; !ok {
			return
		}
		in.knowns++
		i := slices.IndexFunc(in.known, func(k KnownEvent) bool { return k.Doc == doc && k.Epoch == epoch })
		if i < 0 {
			i, in.known = len(in.known), append(in.known, KnownEvent{Doc: doc, Epoch: epoch})
		}
		in.known[i].Hashes = append(in.known[i].Hashes, h)
	})
	return ok
}

// pushReset answers false when the client has not read for so long that it must go.
func (s *Session) pushReset(e ResetEvent) (ok bool) {
	s.push(func(in *inbox) {
		if ok = len(in.resets) < maxResets; ok {
			in.resets = append(in.resets, e)
		}
	})
	return ok
}

func (s *Session) pushPeople(all []PersonInfo) {
	s.push(func(in *inbox) { in.full, in.joined, in.left = true, all, nil })
}

func (s *Session) pushJoined(p PersonInfo) {
	s.push(func(in *inbox) {
		in.joined = append(slices.DeleteFunc(in.joined, func(q PersonInfo) bool { return q.Session == p.Session }), p)
	})
}

func (s *Session) pushLeft(id uint32) {
	s.push(func(in *inbox) {
		in.joined = slices.DeleteFunc(in.joined, func(q PersonInfo) bool { return q.Session == id })
		if !in.full {
			in.left = append(in.left, id)
		}
	})
}

// pushBye ends the session.
func (s *Session) pushBye(e ByeEvent) {
	s.push(func(in *inbox) {
		if in.bye == nil {
			in.bye = &e
		}
	})
	s.end()
	s.notify()
}

// drain moves events out; while held only bye.
func (in *inbox) drain(out []Event, held bool) []Event {
	if !held {
		if in.role != nil {
			out = append(out, *in.role)
		}
		if in.full || len(in.joined)+len(in.left) > 0 {
			out = append(out, PeopleEvent{Full: in.full, Joined: in.joined, Left: in.left})
		}
		for _, k := range in.known {
			out = append(out, k)
		}
		for _, r := range in.resets {
			out = append(out, r)
		}
		if in.saved != nil {
			out = append(out, *in.saved)
		}
		if in.gather != nil {
			out = append(out, *in.gather)
		}
		if in.held != nil {
			out = append(out, *in.held)
		}
		*in = inbox{bye: in.bye}
	}
	if in.bye != nil {
		out = append(out, *in.bye)
		in.bye = nil
	}
	return out
}

// submission is a change on its way to the board; parsed by the session's reader, judged by Board.run.
type submission struct {
	s     *Session
	doc   DocID
	epoch uint32
	raw   []byte
	c     change.Change
	err   error     // of parsing
	since time.Time // when it was held first
}

// author answers the actor that the change names, as far as it could be read.
func (sub *submission) author() (a ActorID, ok bool) {
	if len(sub.c.Actors) == 0 || len(sub.c.Actors[0]) != len(a) {
		return a, false
	}
	return ActorID(sub.c.Actors[0]), true
}
