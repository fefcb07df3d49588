package board

import (
	"context"
	"time"
)

// maxRefusals bounds how often a session may be refused in a minute: every actor is a row for ever.
const maxRefusals = 20

var tooMany = ByeEvent{Close: 4429, Code: "rate", Message: "Too many changes of this connection were refused.", Retry: time.Minute}

// On the actor's goroutine.

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
	if now := time.Now(); now.Sub(s.resetsFrom) > time.Minute {
		s.resetsFrom, s.resets = now, 0
	}
	if s.resets++; s.resets > maxRefusals {
		b.bye(s, tooMany)
		return over
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
