package board

import (
	"context"
	"time"

	"github.com/educationpub/lectern/crdt/schema"
)

// The erase guard (SPEC ER): a person who is no moderator cannot take most of what others drew away in a moment, by whatever program. A change that would is
// refused before it is committed, moderators hear of it, and may let that person.

const (
	guardFor   = 10 * time.Second // what is counted together
	guardLeast = 10               // so many elements always go
	guardShare = 4                // or this part of what the page showed at the beginning: a quarter
	guardOpen  = time.Minute      // a moderator's permission
	maxGuarded = 1_000            // people and pages remembered
)

var errGuard = &Error{code: "erase_guard", text: "This would remove so much of what others drew that a moderator is asked first."}

type eraser struct {
	person Person
	doc    DocID
}

// erasure is what a person took away on a page since a moment.
type erasure struct {
	from  time.Time
	limit int
	n     int
}

// HeldEvent tells moderators that somebody was not let.
type HeldEvent struct {
	Doc    DocID
	Person Person
	Count  int
}

func (HeldEvent) event() {}

// guarded says that a change, which the page `at` has just found good, takes away too much of what others drew, and tells the moderators; otherwise it is
// counted. What was made in an earlier epoch counts as others': the page has it from the squash.
func (b *Board) guarded(role Role, person Person, p *page, at *schema.Page) bool {
	if role >= RoleModerator {
		return false
	}
	n := at.Erases(func(actor string) bool { return b.actors[ActorID([]byte(actor))] == person })
	now := time.Now()
	if n == 0 || now.Before(b.erasers[person]) {
		return false
	}
	who := eraser{person, p.doc}
	e := b.erased[who]
	if e == nil || now.Sub(e.from) > guardFor {
		if len(b.erased) >= maxGuarded {
			clear(b.erased)
		}
		e = &erasure{from: now, limit: max(guardLeast, p.Visible()/guardShare)}
		b.erased[who] = e
	}
	if e.n+n <= e.limit {
		e.n += n
		return false
	}
	for _, s := range b.sessions {
		if s.Role() >= RoleModerator {
			s.push(func(in *inbox) { in.held = &HeldEvent{p.doc, person, n} })
		}
	}
	return true
}

type letEraseMsg struct {
	by, person Person
	reply      chan error
}

// LetErase is a moderator's permission: the guard does not stop that person for a minute.
func (h *Hub) LetErase(ctx context.Context, id ID, by, person Person) error {
	return h.order(ctx, id, func(reply chan error) message { return letEraseMsg{by, person, reply} })
}

func (m letEraseMsg) handle(b *Board) {
	if role, _ := b.hub.cfg.Authority(b.room, m.by); role < RoleModerator {
		m.reply <- ErrForbidden.Saying("Only moderators of this room can let people remove that much.")
		return
	}
	now := time.Now()
	for p, until := range b.erasers {
		if now.After(until) {
			delete(b.erasers, p)
		}
	}
	if len(b.erasers) < maxRuled {
		b.erasers[m.person] = now.Add(guardOpen)
	}
	m.reply <- nil
}
