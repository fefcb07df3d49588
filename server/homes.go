package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
)

// Homes is whose boards are. Implemented by checkpoint.Checkpointer.
type Homes interface {
	Whose(ctx context.Context, room, kind string, id board.ID) (checkpoint.Whose, error)
	TakeOver(ctx context.Context, room, kind string, id board.ID) (saved bool, err error)
}

// home tells who keeps the board, for people whom their connection has told "board_elsewhere" (docs/protocol.md §1.5).
func (s *Server) home(w http.ResponseWriter, r *http.Request) error {
	st := sessionOf(r)
	if board.ID(chi.URLParam(r, "board")) != st.Board {
		return errUnknownBoard
	}
	if err := s.cfg.Identity.Asks(st.Person); err != nil {
		return err
	}
	who, err := s.cfg.Homes.Whose(r.Context(), st.Room, st.Kind, st.Board)
	if err != nil {
		return homeError(err)
	}
	answer := struct {
		Ours    bool   `json:"ours"`
		Home    string `json:"home"`
		Since   int64  `json:"since"` // Unix ms; 0: unknown
		MayTake bool   `json:"may_take_over"`
	}{Ours: who.Ours, Home: who.Home}
	if !who.Since.IsZero() {
		answer.Since = who.Since.UnixMilli()
	}
	role, _ := s.cfg.Identity.Role(st.Room, st.Person)
	answer.MayTake = !who.Ours && role == board.RoleModerator
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// takeOver makes this Lectern the board's home. Only moderators may say so; the limits are per person.
func (s *Server) takeOver(w http.ResponseWriter, r *http.Request) error {
	st := sessionOf(r)
	if board.ID(chi.URLParam(r, "board")) != st.Board {
		return errUnknownBoard
	}
	if role, _ := s.cfg.Identity.Role(st.Room, st.Person); role != board.RoleModerator {
		return refuse(http.StatusForbidden, "forbidden", "Only moderators of this room can take a board over.")
	}
	if err := s.cfg.Identity.Commands(st.Person); err != nil {
		return err
	}
	// Whoever asked may close the page: what was begun is finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Minute)
	defer cancel()
	saved, err := s.cfg.Homes.TakeOver(ctx, st.Room, st.Kind, st.Board)
	if err != nil {
		return homeError(err)
	}
	writeJSON(w, http.StatusOK, struct {
		Home  string `json:"home"`
		Saved bool   `json:"saved"`
	}{s.cfg.Companion, saved})
	return nil
}

// homeError gives the refusals of boards and checkpoints their HTTP form.
func homeError(err error) error {
	e := &identity.Error{Status: http.StatusServiceUnavailable, Code: board.Code(err), Message: "The board cannot be read from its room at the moment. Please try again.", RetryAfter: 5 * time.Second, Cause: err}
	switch own, coded := errors.AsType[*board.Error](err); {
	case errors.Is(err, checkpoint.ErrOurs):
		return refuse(http.StatusConflict, "ours", "This Lectern keeps the board already. Reload the widget.")
	case errors.Is(err, checkpoint.ErrOwed):
		return refuse(http.StatusConflict, "owed", "This Lectern still holds work that the board's present home has not taken in. Taking the board back now would lose it. Please try again when that Lectern has been running for a minute.")
	case errors.Is(err, checkpoint.ErrNone):
		return refuse(http.StatusNotFound, "unknown_board", "The room has no copy of this board.")
	case errors.Is(err, board.ErrDamaged), errors.Is(err, board.ErrElsewhere):
		return &identity.Error{Status: http.StatusConflict, Code: own.Code(), Message: own.Public(), Cause: err}
	case coded:
		e.Message = own.Public()
	}
	return e
}
