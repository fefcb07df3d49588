package board

import (
	"context"
	"slices"
	"time"
)

// Messages to the actor. Each handles itself on the actor's goroutine.
type (
	joinMsg struct {
		Join
		docs   []DocInfo
		issued ActorID // durable and meant for this person, zero when the asked one may do
		reply  chan joinReply
	}
	joinReply struct {
		s       *Session
		w       Welcome
		err     error
		noActor bool // issue one and ask again
	}
	leaveMsg      struct{ s *Session }
	againMsg      struct{ s *Session }
	recheckMsg    struct{}
	disconnectMsg struct{ p Person }
	savedMsg      struct{ v Saved }
	sceneMsg      struct {
		doc   DocID
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
		case r.err != nil:
			return nil, Welcome{}, r.err
		case !r.noActor:
			return r.s, r.w, nil
		}
		m.issued = newActor()
		if err := b.log.IssueActor(ctx, b.id, m.issued, j.Person); err != nil {
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
	case b.stopping:
		m.reply <- joinReply{err: ErrDraining}
		return
	case role == RoleNone:
		m.reply <- joinReply{err: ErrNotJoined}
		return
	}
	actor := m.issued
	if actor != (ActorID{}) {
		b.actors[actor] = m.Person
	} else if actor = m.Actor; actor == (ActorID{}) || b.actors[actor] != m.Person || b.dead[actor] {
		m.reply <- joinReply{noActor: true}
		return
	}
	if old := b.leases[actor]; old != nil {
		b.bye(old, ByeEvent{Close: 4409, Code: "replaced", Message: "This board was opened again with the same session.", Retry: -1})
	}
	b.lastID++
	s := newSession(b, b.lastID, m.Person)
	s.name, s.actor, s.attached = name, actor, true
	s.role.Store(uint32(role))
	b.leases[actor] = s
	last := b.tail.Load().last()
	w := Welcome{
		Session: s.id, Role: role, Actor: actor, Saved: b.saved,
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

// resumeGap is how many entries a client may be behind the newest snapshot and still get them one by one.
const resumeGap = 4096

// start decides where a session's cursor stands: behind what the client has, or behind the oldest of the snapshots it will fetch.
func (b *Board) start(m *joinMsg, last uint64) (cursor uint64, resume bool) {
	oldest := last
	for _, d := range m.docs {
		oldest = min(oldest, d.Seq)
	}
	if m.Log == b.logID && m.Have <= last && (m.Have >= oldest || last-m.Have <= resumeGap) {
		return m.Have, true
	}
	return oldest, false
}

func (s *Session) info() PersonInfo {
	return PersonInfo{Session: s.id, Person: s.person, Name: s.name, Role: s.Role()}
}

func (b *Board) everybody() []PersonInfo {
	all := make([]PersonInfo, len(b.sessions))
	for i, s := range b.sessions {
		all[i] = s.info()
	}
	return all
}

func (m leaveMsg) handle(b *Board) { b.detach(m.s) }

// detach forgets a session. What it submitted stays in the mailbox and is judged as ever.
func (b *Board) detach(s *Session) {
	if !s.attached {
		return
	}
	s.attached = false
	b.live.detach(s)
	b.sessions = slices.DeleteFunc(b.sessions, func(o *Session) bool { return o == s })
	if b.leases[s.actor] == s {
		delete(b.leases, s.actor)
	}
	for _, o := range b.sessions {
		o.pushLeft(s.id)
	}
	b.hub.cfg.Observe.Sessions(-1)
	if len(b.sessions) == 0 {
		b.idle = time.Now()
		b.arm()
	}
	b.changed()
}

func (b *Board) bye(s *Session, e ByeEvent) {
	if s.attached {
		s.pushBye(e)
		b.detach(s)
	}
}

func (b *Board) byeAll(e ByeEvent) {
	for _, s := range slices.Clone(b.sessions) {
		s.pushBye(e)
		s.attached = false
		b.live.detach(s)
		b.hub.cfg.Observe.Sessions(-1)
	}
	b.sessions = nil
	b.changed()
}

func (m againMsg) handle(b *Board) {
	if !m.s.attached {
		return
	}
	m.s.pushPeople(b.everybody())
	m.s.pushSaved(b.saved)
	if r := m.s.answered; r != nil && !m.s.pushReset(*r) {
		b.bye(m.s, slow)
	}
}

func (recheckMsg) handle(b *Board) {
	for _, s := range slices.Clone(b.sessions) {
		b.evaluate(s)
	}
}

func (m disconnectMsg) handle(b *Board) {
	for _, s := range slices.Clone(b.sessions) {
		if s.person == m.p {
			b.remove(s, "Your session has ended.")
		}
	}
}

func (m savedMsg) handle(b *Board) {
	b.saved = m.v
	for _, s := range b.sessions {
		s.pushSaved(m.v)
	}
}

func (m sceneMsg) handle(b *Board) {
	p := b.pages[m.doc]
	switch {
	case p == nil:
		m.reply <- sceneReply{err: ErrUnknownDoc}
	case b.inFlight:
		b.scenes = append(b.scenes, m)
	default:
		v := SceneView{Log: b.logID, Seq: b.tail.Load().last(), Epoch: p.epoch, Elements: p.Scene()}
		for _, h := range p.Heads() {
			v.Heads = append(v.Heads, Hash(h))
		}
		m.reply <- sceneReply{view: v}
	}
}

// evaluate asks what a person may do now and tells the session when that has changed. It runs for every change that is dequeued, so a
// change never counts on a role that is gone.
func (b *Board) evaluate(s *Session) Role {
	role, name := b.hub.cfg.Authority(b.room, s.person)
	was := s.Role()
	if !s.attached || role == was && (name == s.name || name == "") {
		return role
	}
	if role == RoleNone {
		b.remove(s, "You are not a member of this room any more.")
		return role
	}
	s.role.Store(uint32(role))
	s.name = name
	if role != was {
		s.pushRole(role, "power_level")
	}
	for _, o := range b.sessions {
		o.pushJoined(s.info())
	}
	return role
}

func (b *Board) remove(s *Session, why string) {
	s.role.Store(uint32(RoleNone))
	b.bye(s, ByeEvent{Close: 4403, Code: "removed", Message: why, Retry: -1})
}

var slow = ByeEvent{Close: 4408, Code: "slow", Message: "The connection did not keep up with the board.", Retry: time.Second}

// refuse answers a change with a reset. Its actor is dead from now on, because the client's next changes under it build on the refused one.
func (b *Board) refuse(sub *submission, actor ActorID, code, message string) verdict {
	s := sub.s
	if code == "" {
		code = "bad_change"
	}
	b.hub.cfg.Observe.Refused(code)
	if actor != (ActorID{}) {
		s.dead[actor] = true
		if b.actors[actor] == s.person {
			b.dead[actor] = true
		}
	}
	if s.actor != (ActorID{}) {
		s.dead[s.actor], b.dead[s.actor] = true, true
		if b.leases[s.actor] == s {
			delete(b.leases, s.actor)
		}
		s.actor = ActorID{}
	}
	if !s.attached {
		return over
	}
	reset := ResetEvent{Doc: sub.doc, Hash: Hash(sub.c.Hash), Code: code, Message: message}
	if s.Role() < RoleParticipant {
		b.reset(s, reset)
		return over
	}
	if s.issuing {
		return over // the reset on its way covers it
	}
	s.issuing = true
	reset.Actor = newActor()
	b.hub.boards.Go(func() { // the disk is not waited for here; ends with IssueActor
		ctx, cancel := context.WithTimeout(b.hub.ctx, openTimeout)
		defer cancel()
		b.post(issuedMsg{s, reset, b.log.IssueActor(ctx, b.id, reset.Actor, s.person)})
	})
	return over
}

func (m issuedMsg) handle(b *Board) {
	s := m.s
	s.issuing = false
	if m.err == nil {
		b.actors[m.reset.Actor] = s.person
	}
	switch {
	case !s.attached:
	case m.err != nil:
		b.hub.log.Error("actor not issued", "board", b.id, "session", s.id, "err", m.err)
		b.bye(s, ByeEvent{Close: 4410, Code: ErrUnavailable.code, Message: ErrUnavailable.text, Retry: time.Second})
	case s.Role() < RoleParticipant: // demoted meanwhile
		m.reset.Actor = ActorID{}
		b.reset(s, m.reset)
	default:
		s.actor = m.reset.Actor
		b.leases[s.actor] = s
		b.reset(s, m.reset)
	}
}

func (b *Board) reset(s *Session, e ResetEvent) {
	s.fresh, s.answered = true, &e
	if !s.pushReset(e) {
		b.bye(s, slow)
	}
}
