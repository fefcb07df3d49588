package server

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/identity"
)

// Roles are power levels in words (docs/protocol.md §1.8). Implemented by commands.Service.
type Roles interface {
	Roles(person, room, kind string) (commands.Roles, error)
	SetRole(ctx context.Context, person, room, kind, target string, role board.Role) (content json.RawMessage, err error)
}

// roles lists who may do what in the session's room, for moderators.
func (s *Server) roles(w http.ResponseWriter, r *http.Request) error {
	st, _, err := s.askedOften(r)
	if err != nil {
		return err
	}
	all, err := s.cfg.Roles.Roles(string(st.Person), st.Room, st.Kind)
	if err != nil {
		return err
	}
	type person struct {
		ID       string `json:"user_id"`
		Name     string `json:"name"`
		External string `json:"external"`
		Role     string `json:"role"`
		May      bool   `json:"may_change"`
	}
	people := make([]person, len(all.People))
	for i, p := range all.People {
		_, external := s.cfg.Identity.NameOf(st.Room, board.Person(p.ID))
		people[i] = person{p.ID, p.Name, external, p.Role.String(), p.May}
	}
	writeJSON(w, http.StatusOK, map[string]any{"draw": all.Draw, "moderate": all.Moderate, "people": people, "more": all.More})
	return nil
}

// setRole changes a person's power level: 204 when it is done; 200 with the content of the event that the person's own client is to send.
func (s *Server) setRole(w http.ResponseWriter, r *http.Request) error {
	st, _, err := s.askedOften(r)
	if err != nil {
		return err
	}
	var q struct {
		Person string `json:"user_id"`
		Role   string `json:"role"`
	}
	if err := readJSON(w, r, maxCommand, &q); err != nil {
		return err
	}
	role, ok := map[string]board.Role{"viewer": board.RoleViewer, "participant": board.RoleParticipant, "moderator": board.RoleModerator}[q.Role]
	if !ok || len(q.Person) > 255 {
		return &identity.Error{Status: http.StatusBadRequest, Code: "bad_role", Message: "There is no such role."}
	}
	content, err := s.cfg.Roles.SetRole(r.Context(), string(st.Person), st.Room, st.Kind, q.Person, role)
	switch {
	case err != nil:
		return err
	case content != nil:
		writeJSON(w, http.StatusOK, map[string]any{"content": content})
	default:
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}
