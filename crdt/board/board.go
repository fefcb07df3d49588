// Package board is the heart of a board: one actor per open board checks, orders and commits changes and tells its sessions.
//
// The order is commit, then broadcast: what any session has been sent is on disk. The actor never blocks on the network, on the disk or on a
// session; sessions are cursors into the log, so a slow one costs nothing. It knows no wire format and no database (Log, Config.Encode).
package board

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

// Element is one element of a scene with its winning values.
type Element = schema.Element

// Hash is compared with change.Hash by conversion.
var _ = Hash(change.Hash{})

const (
	mailboxSize = 256     // control messages
	changesSize = 256     // changes: a full mailbox slows their senders down
	batchCount  = 256     // changes judged between two commits
	batchSize   = 1 << 20 // bytes of the same
	heldMax     = 64      // held changes per session
	heldFor     = 10 * time.Second
)

// Board is one open board.
type Board struct {
	// Immutable after load.
	hub     *Hub
	log     Log
	id      ID
	room    string
	kind    string
	logID   string // incarnation
	mail    chan message
	changes chan *submission
	done    chan struct{} // closed after run has returned
	stored  chan error    // answer of Log.Append; capacity 1, one is on its way at most

	tail atomic.Pointer[tail] // written by run, read by sessions
	live liveTable            // has its own lock: live updates do not pass run

	// Owned by run.
	pages     map[DocID]*page
	actors    map[ActorID]Person
	dead      map[ActorID]bool // refused in this incarnation: never leased again
	leases    map[ActorID]*Session
	sessions  []*Session
	lastID    uint32
	saved     Saved
	rules     Rules
	erased    map[eraser]*erasure  // what people removed lately
	erasers   map[Person]time.Time // until when they may remove all they want
	readOnly  bool                 // sessions have been told that nothing can be stored
	held      []*submission
	parked    []message // wait for the append on its way, because pages are ahead of the disk
	squash    *squash   // in the making, nil without
	notBefore time.Time // squashes wait until then
	epochAt   uint64    // the newest entry that began an epoch
	timer     *time.Timer
	idle      time.Time // since when nobody is here

	batch    []Entry // judged and applied, not yet durable
	inFlight bool
	began    time.Time
	stopping bool
	gone     *Error // stopping because another Lectern is the home now
}

func newBoard(h *Hub, m Meta, pages map[DocID]*page, actors map[ActorID]Person) *Board {
	b := &Board{
		hub: h, log: h.cfg.Log, id: m.ID, room: m.Room, kind: m.Kind, logID: m.Log,
		mail: make(chan message, mailboxSize), changes: make(chan *submission, changesSize), done: make(chan struct{}), stored: make(chan error, 1),
		pages: pages, actors: actors, dead: map[ActorID]bool{}, leases: map[ActorID]*Session{}, erased: map[eraser]*erasure{}, erasers: map[Person]time.Time{}, idle: time.Now(),
	}
	if b.actors == nil {
		b.actors = map[ActorID]Person{}
	}
	b.tail.Store(&tail{first: m.Seq + 1})
	b.live.init(h.cfg.Observe.Dropped)
	return b
}

// message is what the actor is told; see messages.go.
type message interface{ handle(b *Board) }

// post puts a message into the mailbox; false when the board has closed. The actor never waits for anybody, so this is short.
func (b *Board) post(m message) bool {
	select {
	case b.mail <- m:
		return true
	case <-b.done:
		return false
	}
}

// run is the actor. It returns when the board has been idle, its log failed or the hub drains.
func (b *Board) run() {
	b.timer = time.NewTimer(b.hub.cfg.Idle)
	defer b.timer.Stop()
	defer func() {
		if b.squash != nil {
			b.squash.cancel()
		}
	}()
	b.arm()
	stop := b.hub.stop
	for {
		changes := b.changes
		if b.inFlight || b.stopping {
			changes = nil // they wait for the next batch; judged when dequeued, so a kick overtakes them
		}
		select {
		case m := <-b.mail:
			m.handle(b)
		case sub := <-changes:
			b.judge(sub)
		case err := <-b.stored:
			if !b.committed(err) {
				return
			}
		case <-b.timer.C:
			if b.expire() {
				return
			}
			b.arm()
		case <-stop:
			stop = nil
			b.stop()
			b.byeAll(ByeEvent{Close: 1001, Code: ErrDraining.code, Message: ErrDraining.text, Retry: time.Second})
		}
		if b.stopping && !b.inFlight {
			return
		}
	}
}

// stop takes nothing more; run returns once what is on its way to the disk is there.
func (b *Board) stop() {
	b.stopping = true
	if b.squash != nil {
		b.squash.cancel()
	}
}

// Called by run: judging changes.

// judge takes the change and all others that wait, and hands what is good to the store in one append.
func (b *Board) judge(sub *submission) {
	size := b.take(sub)
more:
	for range batchCount - 1 {
		if size > batchSize {
			break
		}
		select {
		case sub = <-b.changes:
			size += b.take(sub)
		default:
			break more
		}
	}
	if len(b.batch) > 0 {
		b.retry()
	}
	b.flush()
	b.proceed()
}

// next is the number of the next entry.
func (b *Board) next() uint64 { return b.tail.Load().last() + uint64(len(b.batch)) + 1 }

// take judges one change and answers its size.
func (b *Board) take(sub *submission) int {
	if b.try(sub) == hold {
		b.hold(sub)
	}
	return len(sub.raw)
}

// flush hands the batch to the store. Called only while nothing is in flight.
func (b *Board) flush() {
	if len(b.batch) == 0 {
		return
	}
	b.inFlight, b.began = true, time.Now()
	b.log.Append(b.id, b.batch, func(err error) { b.stored <- err })
}

type verdict uint8

const (
	over  verdict = iota // ignored or refused
	taken                // in the batch
	hold
	waits // for an archive
)

// try judges a change: removed? already in? may write? own actor? known document? then the page's grammar.
func (b *Board) try(sub *submission) verdict {
	s := sub.s
	observe := &b.hub.cfg.Observe
	role := b.evaluate(s)
	if role == RoleNone {
		observe.Dropped("change_removed", 1)
		return over
	}
	actor, known := sub.author()
	p := b.pages[sub.doc]
	if p != nil && sub.err == nil {
		if at := p.at(sub.epoch); at != nil && at.Has(sub.c.Hash) {
			return b.duplicate(sub)
		}
	}
	if b.unstored(s) {
		return over
	}
	// What follows a refused change depends on it; the client learns everything from the one reset.
	if known && s.dead[actor] || !known && (s.fresh || s.issuing) {
		observe.Dropped("change_dead_actor", 1)
		return over
	}
	own := known && sub.err == nil && b.actors[actor] == s.person && !actor.ofServer()
	if own && p != nil && sub.epoch < p.epoch && p.epoch-sub.epoch <= lateEpochs && p.at(sub.epoch) == nil {
		return b.late(sub, p, actor) // it waits for its archive: whatever may be said against it, it may be in the log already
	}
	switch {
	case role < RoleParticipant:
		return b.refuse(sub, actor, ErrReadOnly.code, ErrReadOnly.text)
	case sub.err != nil:
		return b.refuse(sub, actor, change.Code(sub.err), sub.err.Error())
	case !own:
		return b.refuse(sub, actor, "wrong_actor", "The change was made under an actor that was not issued to you on this board.")
	case b.dead[actor]:
		return b.refuse(sub, actor, "gap", "The change builds on one that was refused.")
	case p == nil:
		return b.refuse(sub, actor, ErrUnknownDoc.code, ErrUnknownDoc.text)
	case sub.epoch > p.epoch:
		return b.refuse(sub, actor, unknownEpoch, "The page has not had this epoch.")
	case !b.rules.MayDraw(role, s.person, sub.doc):
		return b.refuse(sub, actor, errLocked.code, errLocked.text)
	}
	if sub.epoch < p.epoch {
		if v := b.late(sub, p, actor); v != taken {
			return v
		}
	} else {
		if err := p.Check(&sub.c); err != nil {
			if err == schema.ErrSeqGap || err == schema.ErrDepUnknown {
				return hold
			}
			return b.refuse(sub, actor, change.Code(err), err.Error())
		}
		if b.guarded(role, s.person, p, p.Page) {
			return b.refuse(sub, actor, errGuard.code, errGuard.text)
		}
		b.accept(p, actor, s.person, &sub.c, sub.raw)
	}
	if actor == s.actor {
		s.fresh, s.answered = false, nil
	}
	return taken
}

// accept takes a checked change of the present epoch.
func (b *Board) accept(p *page, actor ActorID, person Person, c *change.Change, raw []byte) {
	seq, now := b.next(), time.Now()
	p.Stamp(seq)
	p.Apply(c, raw)
	p.changedAt = now
	b.touch(p, c, person)
	kind := KindChange
	if actor.ofServer() {
		kind = KindCarry // another server's
	}
	b.batch = append(b.batch, Entry{Seq: seq, Doc: p.doc, Epoch: p.epoch, Kind: kind, Hash: Hash(c.Hash), Actor: actor, Person: person, At: now, Bytes: raw})
}

// duplicate: the change is in the log, or on its way to it.
func (b *Board) duplicate(sub *submission) verdict {
	b.hub.cfg.Observe.Dropped("change_duplicate", 1)
	fresh := func(e Entry) bool { return e.Hash == Hash(sub.c.Hash) && e.Doc == sub.doc && e.Epoch == sub.epoch }
	if s := sub.s; s.attached && !slices.ContainsFunc(b.batch, fresh) && !s.pushKnown(sub.doc, sub.epoch, Hash(sub.c.Hash)) {
		b.bye(s, slow)
	}
	return over
}

// committed publishes what has become durable. false: the log failed, and nobody may see or be told anything of the batch.
func (b *Board) committed(err error) bool {
	b.inFlight = false
	if err != nil {
		b.hub.log.Error("append failed, board closes", "board", b.id, "entries", len(b.batch), "err", err)
		b.hub.cfg.Observe.Failed()
		b.byeAll(failedBye(err))
		return false
	}
	encoded := make([][]byte, len(b.batch))
	size := 0
	for i := range b.batch {
		size += len(b.batch[i].Bytes)
	}
	buf := make([]byte, 0, size+64*len(b.batch))
	for i := range b.batch {
		start := len(buf)
		buf = b.hub.cfg.Encode(buf, b.batch[i])
		encoded[i] = slices.Clip(buf[start:])
	}
	b.hub.cfg.Observe.Commit(len(b.batch), size, time.Since(b.began))
	clear(b.batch)
	b.batch = b.batch[:0]
	b.tail.Store(b.tail.Load().with(encoded))
	for _, s := range b.sessions {
		s.notify()
	}
	b.changed()
	b.proceed()
	b.arm()
	return true
}

// afterCommit runs once everything that is on its way is on disk.
type afterCommit func()

func (f afterCommit) handle(*Board) { f() }

// proceed does what had to wait until nothing is on its way to the disk.
func (b *Board) proceed() {
	if b.inFlight {
		return
	}
	parked := b.parked
	b.parked = nil
	for _, m := range parked {
		if b.inFlight {
			b.parked = append(b.parked, m)
		} else {
			m.handle(b)
		}
	}
	if b.inFlight || b.stopping {
		return
	}
	if b.squash != nil && b.squash.made != nil {
		b.begin(b.squash)
	}
	if !b.inFlight {
		b.settleLate()
	}
}

// changed tells the checkpointer.
func (b *Board) changed() {
	if c := b.hub.cfg.Checkpoints; c != nil {
		c.Changed(Changed{ID: b.id, Room: b.room, Kind: b.kind, Seq: b.tail.Load().last(), People: len(b.sessions), Epoch: b.epochAt, At: time.Now()})
	}
}

// Called by run: held changes.

func (b *Board) hold(sub *submission) {
	if i := slices.IndexFunc(b.held, func(h *submission) bool { return h.c.Hash == sub.c.Hash && h.doc == sub.doc }); i >= 0 {
		if b.held[i].s == sub.s {
			return // the same again, on another lane
		}
		b.held[i].s.held-- // the person came back with it: who is here now hears what becomes of it
		b.held = slices.Delete(b.held, i, i+1)
	}
	if sub.s.held >= heldMax {
		b.expired(sub)
		return
	}
	sub.s.held++
	sub.since = time.Now()
	b.held = append(b.held, sub)
	b.arm()
}

// retry asks again for held changes, until no more of them fits.
func (b *Board) retry() {
	for again := true; again && len(b.held) > 0; {
		again = false
		held := b.held
		b.held = nil // refusing looks into it
		for _, sub := range held {
			switch b.try(sub) {
			case hold:
				b.held = append(b.held, sub)
				continue
			case taken:
				again = true
			}
			sub.s.held--
		}
	}
}

func (b *Board) expired(sub *submission) {
	if actor, _ := sub.author(); !sub.s.dead[actor] && !b.unstored(sub.s) {
		b.refuse(sub, actor, "gap", "A change that this one builds on did not arrive.")
	}
}

// expire handles the timer; true: nobody was here for long enough.
func (b *Board) expire() bool {
	now := time.Now()
	for len(b.held) > 0 && now.Sub(b.held[0].since) >= heldFor { // oldest first
		sub := b.held[0]
		b.held = b.held[1:]
		sub.s.held--
		b.expired(sub)
	}
	b.squashDue(now)
	busy := b.inFlight || b.squash != nil || len(b.held)+len(b.changes) > 0
	for _, p := range b.pages {
		p.forget(now)
		busy = busy || p.loading
	}
	return len(b.sessions) == 0 && !busy && now.Sub(b.idle) >= b.hub.cfg.Idle
}

// arm sets the timer to what comes first.
func (b *Board) arm() {
	next := time.Duration(1<<63 - 1)
	if len(b.held) > 0 {
		next = time.Until(b.held[0].since.Add(heldFor))
	}
	if len(b.sessions) == 0 {
		next = min(next, time.Until(b.idle.Add(b.hub.cfg.Idle)))
	}
	if p, at := b.nextSquash(); p != nil {
		next = min(next, time.Until(at))
	}
	for _, p := range b.pages {
		if len(p.archives) > 0 {
			next = min(next, p.forget(time.Now()))
		}
	}
	b.timer.Reset(max(next, time.Millisecond))
}

// readBack answers encoded entries after a cursor from the store, none behind the newest that was published. Called by sessions.
func (b *Board) readBack(ctx context.Context, cursor, last uint64) ([][]byte, error) {
	entries, err := b.log.Read(ctx, b.id, cursor, int(min(last-cursor, readEntries)), batchBytes)
	if err != nil {
		return nil, refusal(err, "read board %s: %w", b.id, err)
	}
	if len(entries) == 0 || entries[0].Seq != cursor+1 {
		return nil, ErrDamaged.Because("board %s: entry %d is missing", b.id, cursor+1)
	}
	out := make([][]byte, 0, len(entries))
	size := 0
	for i := range entries {
		e := b.hub.cfg.Encode(nil, entries[i])
		if size += len(e); i > 0 && size > batchBytes {
			break
		}
		out = append(out, e)
	}
	return out, nil
}
