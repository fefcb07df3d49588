package commands

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/educationpub/lectern/server/commands/phrase"
	"github.com/educationpub/lectern/server/identity"
)

// The setup page (SPEC SU): a person who may change a room's boards gets a link that is good once, and does there what commands do. Who may is asked again with
// everything that is done.

const (
	linkLife = 15 * time.Minute
	maxLinks = 1000 // that nobody has opened yet
	// shownWithin is how long the homeserver may take to tell what was changed.
	shownWithin = time.Second
)

// Visitor of the setup page.
type Visitor struct {
	Person, Room string
	German       bool
}

// RoomBoards is what the setup page shows of a room.
type RoomBoards struct {
	Room   string // its name
	Boards []identity.Widget
	Gone   []Removed // that can be put back
	// Refusal is why nothing can be changed, "" if it can.
	Refusal string
}

type links struct {
	mu   sync.Mutex
	open map[string]link // guarded by mu; by token
}

type link struct {
	Visitor
	until time.Time
}

// Link answers the address of a setup page for a person; "" where too many wait to be opened.
func (s *Service) Link(v Visitor) string {
	l, now := &s.links, time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= maxLinks {
		for token, o := range l.open {
			if now.After(o.until) {
				delete(l.open, token)
			}
		}
		if len(l.open) >= maxLinks {
			return ""
		}
	}
	token := rand.Text()
	l.open[token] = link{v, now.Add(linkLife)}
	return s.cfg.Base + "/setup?link=" + token
}

// OpenLink answers whose link it is, once.
func (s *Service) OpenLink(token string) (Visitor, bool) {
	l := &s.links
	l.mu.Lock()
	defer l.mu.Unlock()
	o, ok := l.open[token]
	delete(l.open, token)
	return o.Visitor, ok && time.Now().Before(o.until)
}

func (s *Service) setup(m Message, p *place) string {
	if !m.Direct {
		return p.say(phrase.SetupDirect, phrase.Args{"companion": s.cfg.Companion})
	}
	if no := s.refusal(p, p.me.Power); no != "" {
		return no
	}
	url := s.Link(Visitor{m.Sender, p.ID, p.lang == phrase.German})
	if url == "" {
		return p.say(phrase.Failed, nil)
	}
	return p.say(phrase.SetupLink, phrase.Args{"url": phrase.Lines{url}, "minutes": int(linkLife.Minutes())})
}

// Boards answers what there is in the visitor's room. Errors are *identity.Error.
func (s *Service) Boards(ctx context.Context, v Visitor) (RoomBoards, error) {
	p, no := s.visited(v)
	if no != "" {
		return RoomBoards{}, &identity.Error{Status: http.StatusForbidden, Code: "not_joined", Message: no}
	}
	gone, err := s.cfg.Memory.Removed(ctx, v.Room)
	if err != nil {
		return RoomBoards{}, err
	}
	gone = slices.DeleteFunc(gone, func(r Removed) bool { _, there := p.byID(r.Widget); return there })
	return RoomBoards{Room: p.shown, Boards: p.Widgets, Gone: gone, Refusal: s.refusal(&p, Needed(p.Room, p.levels))}, nil
}

// Change does what a command does, for the visitor, and answers its sentence.
func (s *Service) Change(ctx context.Context, v Visitor, cmd phrase.Command) string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, no := s.visited(v)
	if no != "" {
		return no
	}
	before := slices.Clone(p.Widgets)
	answer := strings.TrimSpace(s.change(ctx, &p, cmd))
	// The page that comes next shows the room as the companion has heard of it.
	for end := time.Now().Add(shownWithin); time.Now().Before(end); {
		if r, ok := s.cfg.Rooms.Room(v.Room); !ok || !slices.Equal(r.Widgets, before) {
			break
		}
		select {
		case <-ctx.Done():
			return answer
		case <-time.After(50 * time.Millisecond):
		}
	}
	return answer
}

func (s *Service) visited(v Visitor) (place, string) {
	lang := phrase.English
	if v.German {
		lang = phrase.German
	}
	r, ok := s.cfg.Rooms.Room(v.Room)
	if !ok {
		return place{}, phrase.Say(lang, phrase.Gone, phrase.Args{"room": v.Room, "companion": s.cfg.Companion})
	}
	return s.placed(r, v.Person, lang)
}
