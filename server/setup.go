package server

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/commands/phrase"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/templates"
	"github.com/educationpub/lectern/widgets"
)

// The setup page (docs/SPEC.md SU): plain forms, no script. A link that is good once becomes a cookie that is good for this page and half an hour.

// Setup is what the page does. Implemented by commands.Service.
type Setup interface {
	Link(v commands.Visitor) string
	OpenLink(token string) (commands.Visitor, bool)
	Boards(ctx context.Context, v commands.Visitor) (commands.RoomBoards, error)
	Change(ctx context.Context, v commands.Visitor, cmd phrase.Command) string
}

const (
	setupCookie = "lectern_setup"
	visitLife   = 30 * time.Minute
	maxVisits   = 1000
	maxForm     = 4 << 10
	setupPolicy = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)

// visits are the open setup pages.
type visits struct {
	mu   sync.Mutex
	open map[string]*setupVisit // guarded by mu; by cookie
}

type setupVisit struct {
	who   commands.Visitor // immutable
	until time.Time        // immutable
	said  string           // guarded by visits.mu; shown once
}

func (v *visits) begin(who commands.Visitor) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	for id, o := range v.open {
		if now.After(o.until) || len(v.open) >= maxVisits {
			delete(v.open, id)
		}
	}
	id := rand.Text()
	v.open[id] = &setupVisit{who: who, until: now.Add(visitLife)}
	return id
}

// of answers the visit of a request, nil where there is none.
func (v *visits) of(r *http.Request) *setupVisit {
	c, err := r.Cookie(setupCookie)
	if err != nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	o := v.open[c.Value]
	if o == nil || time.Now().After(o.until) {
		return nil
	}
	return o
}

// say keeps what is to be shown on the page next; it answers what was.
func (v *visits) say(o *setupVisit, text string) (before string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before, o.said = o.said, text
	return before
}

// setupPage shows the boards of the visitor's room; before that, the button that uses the link. Opening the link alone does not: programs that look at links, to show
// a preview, would use it up.
func (s *Server) setupPage(w http.ResponseWriter, r *http.Request) error {
	german := strings.HasPrefix(r.Header.Get("Accept-Language"), "de")
	w.Header().Set("Referrer-Policy", "same-origin") // with none at all browsers send forms without their origin
	if token := r.URL.Query().Get("link"); token != "" {
		return page(w, setupPolicy, func(b io.Writer) error { return templates.SetupPage(b, templates.Setup{German: german, Link: token}) })
	}
	v := s.visits.of(r)
	if v == nil {
		return pageAs(w, http.StatusUnauthorized, setupPolicy, func(b io.Writer) error {
			return templates.SetupPage(b, templates.Setup{German: german, Ended: true, Companion: s.cfg.Companion})
		})
	}
	t := templates.Setup{German: v.who.German, Said: s.visits.say(v, ""), Person: v.who.Person, Max: phrase.MaxTitle}
	all, err := s.cfg.Setup.Boards(r.Context(), v.who)
	if e, ok := errors.AsType[*identity.Error](err); ok {
		t.Refusal = e.Message
	} else if err != nil {
		return err
	} else {
		t.Room, t.Refusal, t.Ready = all.Room, all.Refusal, true
		for _, b := range all.Boards {
			t.Boards = append(t.Boards, templates.SetupBoard{ID: b.ID, Name: b.Name})
		}
		for _, g := range all.Gone {
			t.Gone = append(t.Gone, templates.SetupBoard{ID: g.Widget, Name: g.Name})
		}
		for _, k := range widgets.Offered(s.cfg.Calls != nil) {
			t.Kinds = append(t.Kinds, templates.SetupKind{Name: k.Name, Title: t.T(k.Title, k.German)})
		}
	}
	return page(w, setupPolicy, func(b io.Writer) error { return templates.SetupPage(b, t) })
}

// setupPost does what a form of the page asks for, then shows the page anew.
func (s *Server) setupPost(w http.ResponseWriter, r *http.Request) error {
	own, err := url.Parse(s.cfg.PublicURL)
	if err != nil || r.Header.Get("Origin") != own.Scheme+"://"+own.Host {
		return refuse(http.StatusForbidden, "origin", "This form was not sent from Lectern's own page.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return refuse(http.StatusBadRequest, "bad_form", "The form cannot be read.")
	}
	again := func() error {
		http.Redirect(w, r, "/setup", http.StatusSeeOther)
		return nil
	}
	if token := r.PostForm.Get("link"); token != "" {
		who, ok := s.cfg.Setup.OpenLink(token)
		if !ok {
			http.SetCookie(w, &http.Cookie{Name: setupCookie, Path: "/setup", MaxAge: -1, HttpOnly: true, Secure: own.Scheme == "https", SameSite: http.SameSiteStrictMode})
			return again()
		}
		http.SetCookie(w, &http.Cookie{Name: setupCookie, Value: s.visits.begin(who), Path: "/setup", MaxAge: int(visitLife.Seconds()), HttpOnly: true, Secure: own.Scheme == "https", SameSite: http.SameSiteStrictMode})
		return again()
	}
	v := s.visits.of(r)
	if v == nil {
		return again() // which says that the visit is over
	}
	if err := s.cfg.Identity.Commands(board.Person(v.who.Person)); err != nil {
		if e, ok := errors.AsType[*identity.Error](err); ok {
			s.visits.say(v, e.Message)
			return again()
		}
		return err
	}
	cmd, ok := setupCommand(r.PostForm, v.who.German)
	if !ok {
		return refuse(http.StatusBadRequest, "bad_form", "This page has no such form.")
	}
	s.visits.say(v, s.cfg.Setup.Change(r.Context(), v.who, cmd))
	return again()
}

// setupCommand reads a form as a command.
func setupCommand(f url.Values, german bool) (c phrase.Command, ok bool) {
	if german {
		c.Lang = phrase.German
	} else {
		c.Lang = phrase.English
	}
	name := phrase.Clean(f.Get("name"))
	c.Widget = f.Get("widget")
	if utf8.RuneCountInString(name) > phrase.MaxTitle || len(c.Widget) > 255 {
		return c, false
	}
	switch c.Verb = phrase.Verb(f.Get("do")); c.Verb {
	case phrase.Add:
		kind, known := widgets.Find(f.Get("kind"))
		if c.Kind, c.Name = kind.Name, name; name == "" {
			if c.Name = kind.Title; german {
				c.Name = kind.German
			}
		}
		return c, known
	case phrase.Rename:
		c.New = name
		return c, c.Widget != "" && name != ""
	case phrase.Remove, phrase.Restore:
		return c, c.Widget != ""
	}
	return c, false
}

// setupLink gives a moderator, or whoever may change the room's boards, the address of the page, from the board.
func (s *Server) setupLink(w http.ResponseWriter, r *http.Request) error {
	st, _, err := asked(r)
	if err != nil {
		return err
	}
	if err := s.cfg.Identity.Commands(st.Person); err != nil {
		return err
	}
	var q struct {
		Lang string `json:"lang"`
	}
	if err := readJSON(w, r, maxCommand, &q); err != nil {
		return err
	}
	v := commands.Visitor{Person: string(st.Person), Room: st.Room, German: q.Lang == "de"}
	all, err := s.cfg.Setup.Boards(r.Context(), v)
	if err != nil {
		return err
	}
	if all.Refusal != "" {
		return &identity.Error{Status: http.StatusForbidden, Code: "forbidden", Message: all.Refusal}
	}
	link := s.cfg.Setup.Link(v)
	if link == "" {
		return &identity.Error{Status: http.StatusServiceUnavailable, Code: "overloaded", Message: "Too many people are setting up rooms at this moment. Try again.", RetryAfter: time.Minute}
	}
	writeJSON(w, http.StatusOK, map[string]string{"url": link})
	return nil
}
