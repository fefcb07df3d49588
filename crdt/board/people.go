package board

import (
	"slices"
	"time"
)

// On the actor's goroutine: who is here, and what they may do.

func (s *Session) info() PersonInfo {
	return PersonInfo{Session: s.id, Person: s.person, Name: s.name, Role: s.Role(), Hand: s.hand}
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
	m.s.pushSaved(b.copyState())
	if r := m.s.answered; r != nil && !m.s.pushReset(*r) {
		b.bye(m.s, slow)
	}
}

func (recheckMsg) handle(b *Board) {
	for _, s := range slices.Clone(b.sessions) {
		b.evaluate(s)
	}
	b.recheckStorage()
}

func (m pauseMsg) handle(b *Board) {
	for _, s := range slices.Clone(b.sessions) {
		b.bye(s, m.bye)
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
		s.pushSaved(b.copyState())
	}
}

func (m sceneMsg) handle(b *Board) {
	p := b.pages[m.doc]
	switch {
	case p == nil:
		m.reply <- sceneReply{err: ErrUnknownDoc}
	case b.inFlight:
		b.parked = append(b.parked, m)
	default:
		v := SceneView{Log: b.logID, Seq: b.tail.Load().last(), Epoch: p.epoch, Full: true}
		if m.after != nil && *m.after <= v.Seq {
			if d, ok := p.Since(*m.after); ok {
				v.Full, v.Elements, v.Gone = false, d.Elements, d.Gone
			}
		}
		if v.Full {
			v.Elements = p.Scene()
		}
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
	b.mute(s)
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
