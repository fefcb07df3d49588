package server

import (
	"context"
	"net/http"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/identity"
)

// What moderators decide on a board, and who asks them for something (docs/protocol.md §1.6).

const maxCommand = 4 << 10

// rule takes a decision on who may draw; everybody on the board hears of it by its entry in the log.
func (s *Server) rule(w http.ResponseWriter, r *http.Request) error {
	return command(s, w, r, s.cfg.Rule)
}

// gather brings everybody who is on the board to a place.
func (s *Server) gather(w http.ResponseWriter, r *http.Request) error {
	return command(s, w, r, s.cfg.Gather)
}

// hand raises or lowers the person's own hand.
func (s *Server) hand(w http.ResponseWriter, r *http.Request) error {
	return command(s, w, r, func(ctx context.Context, st identity.StoredSession, h struct {
		Up bool `json:"up"`
	},
	) error {
		return s.cfg.Hand(ctx, st, h.Up)
	})
}

// letErase lets a person remove more than the erase guard does.
func (s *Server) letErase(w http.ResponseWriter, r *http.Request) error {
	return command(s, w, r, func(ctx context.Context, st identity.StoredSession, c struct {
		Person board.Person `json:"user_id"`
	},
	) error {
		if len(c.Person) < 2 || len(c.Person) > 255 || c.Person[0] != '@' {
			return board.ErrBadRules
		}
		return s.cfg.LetErase(ctx, st, c.Person)
	})
}

// command reads one object and hands it to the board; 204 when that is done.
func command[T any](s *Server, w http.ResponseWriter, r *http.Request, do func(context.Context, identity.StoredSession, T) error) error {
	st, _, err := asked(r)
	if err != nil {
		return err
	}
	var what T
	if err := readJSON(w, r, maxCommand, &what); err != nil {
		return err
	}
	if err := s.cfg.Identity.Asks(st.Person); err != nil {
		return err
	}
	if err := do(r.Context(), st, what); err != nil {
		return boardError(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
