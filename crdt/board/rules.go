package board

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Who may draw, for Rules.Draw.
const (
	DrawAll        = ""
	DrawChosen     = "chosen"
	DrawModerators = "moderators"
)

// RulesDoc names the part of the log that holds the rules; it is no document.
const RulesDoc DocID = "rules"

const (
	maxRuled     = 500      // people that rules name
	maxRulesSize = 32 << 10 // as JSON: an entry and a welcome fit a frame
)

// Rules say who may draw where, within what the room's power levels let them do. The zero value: everybody who may write. Moderators always may.
type Rules struct {
	Draw   string   `json:"draw,omitempty"`   // DrawAll, DrawChosen or DrawModerators
	Chosen []Person `json:"chosen,omitempty"` // who draws under DrawChosen
	Barred []Person `json:"barred,omitempty"` // may only watch, whatever Draw says
	Pages  []DocID  `json:"pages,omitempty"`  // locked
}

// RulesChange is one thing that a moderator decides; exactly one field is set.
type RulesChange struct {
	Draw *string `json:"draw,omitempty"`
	Page *struct {
		Doc    DocID `json:"doc"`
		Locked bool  `json:"locked"`
	} `json:"page,omitempty"`
	Person *struct {
		ID  Person `json:"user_id"`
		May string `json:"may"` // "draw": chosen; "watch": barred; "": neither
	} `json:"person,omitempty"`
}

// Errors of changes to rules.
var (
	ErrForbidden = &Error{code: "forbidden", text: "Only moderators of this room can decide who draws."}
	ErrBadRules  = &Error{code: "bad_rules", text: "This cannot be a rule of the board."}
	errLocked    = &Error{code: "locked", text: "A moderator has decided that you do not draw here now."}
)

// MayDraw says whether somebody with that role may draw on a page, or with doc "" on any.
func (r *Rules) MayDraw(role Role, p Person, doc DocID) bool {
	switch {
	case role >= RoleModerator:
		return true
	case role < RoleParticipant, r.Draw == DrawModerators, slices.Contains(r.Barred, p), slices.Contains(r.Pages, doc):
		return false
	default:
		return r.Draw == DrawAll || slices.Contains(r.Chosen, p)
	}
}

// IsZero says that everybody who may write draws everywhere.
func (r *Rules) IsZero() bool {
	return r.Draw == DrawAll && len(r.Chosen)+len(r.Barred)+len(r.Pages) == 0
}

// with answers the rules after a change.
func (r *Rules) with(c RulesChange, pages map[DocID]*page) (Rules, error) {
	n := Rules{Draw: r.Draw, Chosen: slices.Clone(r.Chosen), Barred: slices.Clone(r.Barred), Pages: slices.Clone(r.Pages)}
	switch {
	case c.Draw != nil && c.Page == nil && c.Person == nil:
		if n.Draw = *c.Draw; n.Draw != DrawChosen {
			n.Chosen = nil // so that a pen that is given later is given to nobody else
		}
	case c.Page != nil && c.Draw == nil && c.Person == nil:
		if pages[c.Page.Doc] == nil {
			return n, ErrUnknownDoc
		}
		n.Pages = set(n.Pages, c.Page.Doc, c.Page.Locked)
	case c.Person != nil && c.Draw == nil && c.Page == nil:
		if may := c.Person.May; may != "" && may != "draw" && may != "watch" {
			return n, ErrBadRules
		}
		n.Chosen = set(n.Chosen, c.Person.ID, c.Person.May == "draw")
		n.Barred = set(n.Barred, c.Person.ID, c.Person.May == "watch")
	default:
		return n, ErrBadRules
	}
	if n.check() != nil {
		return n, ErrBadRules
	}
	return n, nil
}

// set adds to a sorted list or takes out of it.
func set[T ~string](list []T, v T, in bool) []T {
	at, found := slices.BinarySearch(list, v)
	switch {
	case in && !found:
		return slices.Insert(list, at, v)
	case !in && found:
		return slices.Delete(list, at, at+1)
	}
	return list
}

// check looks at rules that were made here or come from a stored log or a room.
func (r *Rules) check() error {
	switch {
	case r.Draw != DrawAll && r.Draw != DrawChosen && r.Draw != DrawModerators:
		return fmt.Errorf("%.40q may draw", r.Draw)
	case len(r.Chosen) > maxRuled || len(r.Barred) > maxRuled || len(r.Pages) > maxPages:
		return errors.New("too many people or pages")
	case len(r.Bytes()) > maxRulesSize:
		return errors.New("rules are too large")
	case !sorted(r.Chosen) || !sorted(r.Barred) || !sorted(r.Pages):
		return errors.New("people or pages are not in order")
	}
	for _, list := range [][]Person{r.Chosen, r.Barred} {
		for _, p := range list {
			if len(p) < 2 || len(p) > 255 || p[0] != '@' {
				return fmt.Errorf("%.40q is nobody", p)
			}
		}
	}
	return nil
}

// sorted: ascending, nothing twice.
func sorted[T ~string](list []T) bool {
	for i := 1; i < len(list); i++ {
		if list[i-1] >= list[i] {
			return false
		}
	}
	return true
}

// Bytes is the form in the log, on the wire and in the room: JSON.
func (r *Rules) Bytes() []byte {
	b, _ := json.Marshal(r) // cannot fail
	return b
}

// ParseRules reads Bytes back and checks it.
func ParseRules(b []byte) (r Rules, err error) {
	if len(b) > maxRulesSize {
		return r, errors.New("rules are too large")
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, err
	}
	return r, r.check()
}

// RulesEntry is the entry that puts rules in force.
func RulesEntry(seq uint64, r *Rules, by Person, at time.Time) Entry {
	b := r.Bytes()
	return Entry{Seq: seq, Doc: RulesDoc, Kind: KindRules, Hash: sha256.Sum256(binary.BigEndian.AppendUint64(b[:len(b):len(b)], seq)), Person: by, At: at, Bytes: b}
}

// ReadRules answers the rules that are in force.
func ReadRules(ctx context.Context, log Log, id ID) (r Rules, err error) {
	err = readDoc(ctx, log, id, RulesDoc, 0, func(e *Entry) (err error) {
		if e.Kind == KindRules {
			r, err = ParseRules(e.Bytes)
		}
		return err
	})
	return r, err
}

type rulesMsg struct {
	person Person
	change RulesChange
	reply  chan error
}

// ChangeRules is a moderator's decision, durable when it returns. It is in force from the moment the board hears of it, for every lane.
func (h *Hub) ChangeRules(ctx context.Context, id ID, person Person, c RulesChange) error {
	return h.order(ctx, id, func(reply chan error) message { return rulesMsg{person, c, reply} })
}

func (m rulesMsg) handle(b *Board) {
	role, _ := b.hub.cfg.Authority(b.room, m.person)
	if b.inFlight {
		b.parked = append(b.parked, m)
		return
	}
	next, err := b.rules.with(m.change, b.pages)
	switch {
	case b.stopping:
		m.reply <- ErrDraining
	case role < RoleModerator:
		m.reply <- ErrForbidden
	case b.hub.cannotStore() != nil:
		m.reply <- ErrStorage
	case err != nil:
		m.reply <- err
	case slices.Equal(next.Bytes(), b.rules.Bytes()):
		m.reply <- nil
	default:
		b.rules = next
		b.batch = append(b.batch, RulesEntry(b.next(), &next, m.person, time.Now()))
		b.flush()
		b.parked = append(b.parked, afterCommit(func() { m.reply <- nil }))
		for _, s := range b.sessions {
			b.mute(s)
		}
		if p := m.change.Person; p != nil && p.May == "draw" {
			b.setHand(p.ID, false)
		}
	}
}

// mute closes the live lane to who draws nowhere, and takes back what is in progress.
func (b *Board) mute(s *Session) {
	muted := !b.rules.MayDraw(s.Role(), s.person, "")
	s.muted.Store(muted)
	if muted {
		b.live.hush(s)
	}
}
