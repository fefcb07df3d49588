package server

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/templates"
)

// The integration manager: how Matrix clients' "Add extensions" leads here (docs/protocol.md §8).

var errNoPass = refuse(http.StatusUnauthorized, "unknown_token", "You were signed in here too long ago. Close this window and open it again.")

// register gives a client a pass for the person whose OpenID token it sends.
func (s *Server) register(w http.ResponseWriter, r *http.Request) error {
	var q openID
	// Fields that clients add some day are no reason to refuse them: this address is theirs as much as ours.
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLogin)).Decode(&q); err != nil {
		return refuse(http.StatusBadRequest, "bad_json", "The request is not an OpenID token of a homeserver.")
	}
	person, err := s.cfg.Identity.Prove(r.Context(), q.proof(r))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]string{"scalar_token": s.passes.give(person)})
	return nil
}

// account says whose pass it is.
func (s *Server) account(w http.ResponseWriter, r *http.Request) error {
	person, ok := s.passes.person(r.URL.Query().Get("scalar_token"))
	if !ok {
		return errNoPass
	}
	writeJSON(w, http.StatusOK, map[string]string{"user_id": person})
	return nil
}

// show puts a widget above the messages of its room, which clients do not do for an integration manager.
func (s *Server) show(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Pass   string `json:"scalar_token"`
		Room   string `json:"room_id"`
		Widget string `json:"widget_id"`
	}
	if err := readJSON(w, r, maxCommand, &q); err != nil {
		return err
	}
	person, ok := s.passes.person(q.Pass)
	if !ok {
		return errNoPass
	}
	if err := s.cfg.Identity.Commands(board.Person(person)); err != nil {
		return err
	}
	where, err := s.cfg.Show(r.Context(), person, q.Room, q.Widget)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]string{"shown": where})
	return nil
}

// managerConfig is what the page knows before it talks to anybody.
type managerConfig struct {
	widgetConfig
	Icons map[string]string `json:"icons"` // mxc addresses of widgets' pictures, by kind
	Kinds []string          `json:"kinds"` // that can be added
}

// integrationsPage is what clients open in a frame of theirs, with the pass in its address.
func (s *Server) integrationsPage(w http.ResponseWriter, _ *http.Request) error {
	e, err := s.bundle.entry("src/entry/integrations.tsx")
	if err != nil {
		return refuse(http.StatusServiceUnavailable, "not_built", "This build has no front end: run make build.")
	}
	p := templates.Page{
		Title: "Boards", Lang: "en", Script: e.script, Styles: e.styles, Ahead: e.ahead, NoScript: "This page needs JavaScript. Diese Seite braucht JavaScript.",
		Config: managerConfig{widgetConfig{ClientOrigins: s.cfg.ClientOrigins, Companion: s.cfg.Companion, Version: s.cfg.Version}, s.cfg.Icons(), s.offered()},
	}
	return page(w, widgetPolicy(s.cfg.PublicURL, s.cfg.ClientOrigins), func(b io.Writer) error { return templates.App(b, p) })
}

// forClients lets pages of the configured clients, and nobody else's, read the answers.
func (s *Server) forClients(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); slices.Contains(s.cfg.ClientOrigins, origin) {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", "Content-Type")
			h.Set("Access-Control-Max-Age", "3600")
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
