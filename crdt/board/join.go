package board

import (
	"context"
	"errors"
)

// Messages to the actor. Each handles itself on the actor's goroutine.
type (
	joinMsg struct {
		Join
		docs   []DocInfo
		issued ActorID // durable and meant for this person, zero when the asked one may do
		look   bool    // none can be issued, because nothing can be stored
		reply  chan joinReply
	}
	joinReply struct {
		s       *Session
		w       Welcome
		err     error
		noActor bool // issue one and ask again
		stale   bool // read again what the log says of documents
	}
	leaveMsg      struct{ s *Session }
	againMsg      struct{ s *Session }
	recheckMsg    struct{}
	pauseMsg      struct{ bye ByeEvent }
	disconnectMsg struct{ p Person }
	savedMsg      struct{ v Saved }
	sceneMsg      struct {
		doc   DocID
		after *uint64 // nil: all
		reply chan sceneReply
	}
	sceneReply struct {
		view SceneView
		err  error
	}
	// issuedMsg says that the actor of a reset is durable.
	issuedMsg struct {
		s     *Session
		reset ResetEvent
		err   error
	}
)

// ask posts a message and waits for its answer. ErrClosed: the board closed without one.
func ask[T any](ctx context.Context, b *Board, m message, reply <-chan T) (none T, err error) {
	if !b.post(m) {
		return none, ErrClosed
	}
	select {
	case r := <-reply:
		return r, nil
	case <-ctx.Done():
		return none, ctx.Err()
	case <-b.done:
		select {
		case r := <-reply:
			return r, nil
		default:
			return none, ErrClosed
		}
	}
}

// join runs on the caller's goroutine: what touches the disk happens here, not in the actor.
func (b *Board) join(ctx context.Context, j Join) (*Session, Welcome, error) {
	meta, err := b.log.Open(ctx, b.id) // for the newest snapshots
	if err != nil {
		return nil, Welcome{}, refusal(err, "join board %s: %w", b.id, err)
	}
	m := joinMsg{Join: j, docs: meta.Docs, reply: make(chan joinReply, 1)}
	for {
		r, err := ask(ctx, b, m, m.reply)
		switch {
		case err != nil:
			forget(b, m.reply)
			return nil, Welcome{}, err
		case r.stale:
			if meta, err = b.log.Open(ctx, b.id); err != nil {
				return nil, Welcome{}, refusal(err, "join board %s: %w", b.id, err)
			}
			m.docs = meta.Docs
			continue
		case r.err != nil:
			return nil, Welcome{}, r.err
		case !r.noActor:
			return r.s, r.w, nil
		}
		m.issued = newActor()
		err = b.log.IssueActor(ctx, b.id, m.issued, j.Person)
		if errors.Is(err, ErrStorage) {
			m.issued, m.look = ActorID{}, true
			continue
		}
		if err != nil {
			return nil, Welcome{}, refusal(err, "join board %s: %w", b.id, err)
		}
	}
}

// forget leaves a session that the actor may have made, or may still make, after its caller gave up. The actor answers at once or has ended.
func forget(b *Board, reply <-chan joinReply) {
	select {
	case r := <-reply:
		if r.s != nil {
			r.s.Leave()
		}
	case <-b.done:
	}
}

// On the actor's goroutine from here on.

func (m joinMsg) handle(b *Board) {
	role, name := b.hub.cfg.Authority(b.room, m.Person)
	switch {
	case b.gone != nil:
		m.reply <- joinReply{err: b.gone}
		return
	case b.stopping:
		m.reply <- joinReply{err: ErrDraining}
		return
	case role == RoleNone:
		m.reply <- joinReply{err: ErrNotJoined}
		return
	}
	if !b.current(m.docs) {
		if b.inFlight { // the log does not know yet what the pages have begun
			b.parked = append(b.parked, m)
		} else {
			m.reply <- joinReply{stale: true}
		}
		return
	}
	if len(b.sessions) == 0 {
		b.readOnly = b.hub.cannotStore() != nil
	}
	actor := m.issued
	if actor != (ActorID{}) {
		b.actors[actor] = m.Person
	} else if actor = m.Actor; m.look && b.hub.cannotStore() != nil {
		actor = ActorID{}
	} else if actor.ofServer() || b.actors[actor] != m.Person || b.dead[actor] || m.Log != "" && m.Log != b.logID {
		m.reply <- joinReply{noActor: true}
		return
	}
	if old := b.leases[actor]; old != nil {
		b.bye(old, ByeEvent{Close: 4409, Code: "replaced", Message: "This board was opened again with the same session.", Retry: -1})
	}
	b.lastID++
	s := newSession(b, b.lastID, m.Person)
	s.name, s.actor, s.attached, s.unstored = name, actor, true, actor == (ActorID{})
	s.role.Store(uint32(role))
	b.mute(s)
	if actor != (ActorID{}) {
		b.leases[actor] = s
	}
	last := b.tail.Load().last()
	w := Welcome{
		Session: s.id, Role: role, Actor: actor, Saved: b.copyState(), Rules: b.rules,
		Meta: Meta{ID: b.id, Room: b.room, Kind: b.kind, Log: b.logID, Seq: last, Docs: m.docs},
	}
	s.cursor, w.Resume = b.start(&m, last)
	b.sessions = append(b.sessions, s)
	b.live.attach(s)
	b.hub.cfg.Observe.Sessions(1)
	info := s.info()
	for _, o := range b.sessions {
		if o != s {
			o.pushJoined(info)
		}
	}
	s.pushPeople(b.everybody())
	m.reply <- joinReply{s: s, w: w}
	b.changed()
}

// current says whether a list of documents names all pages in their present epochs.
func (b *Board) current(docs []DocInfo) bool {
	for _, d := range docs {
		if p := b.pages[d.ID]; p == nil || p.epoch != d.Epoch {
			return false
		}
	}
	return len(docs) == len(b.pages)
}

// resumeGap is how many entries a client may be behind the newest snapshot and still get them one by one.
const resumeGap = 4096

// start decides where a session's cursor stands: behind what the client has, or behind the oldest of the snapshots it will fetch.
func (b *Board) start(m *joinMsg, last uint64) (cursor uint64, resume bool) {
	oldest := last
	for i := range m.docs {
		d := &m.docs[i]
		d.Seq = min(d.Seq, last) // the disk may be ahead of what was published
		oldest = min(oldest, d.Seq)
	}
	if m.Log == b.logID && m.Have <= last && (m.Have >= oldest || last-m.Have <= resumeGap) {
		return m.Have, true
	}
	return oldest, false
}
