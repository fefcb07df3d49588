package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/identity"
)

// History is a page's past (docs/protocol.md §1.7). Implemented over board.Hub.
type History interface {
	Versions(ctx context.Context, st identity.StoredSession, doc board.DocID) ([]board.Version, error)
	Version(ctx context.Context, st identity.StoredSession, doc board.DocID, seq uint64) ([]board.Element, error)
	Drew(ctx context.Context, st identity.StoredSession, doc board.DocID, element string) (board.Person, time.Time, error)
}

// versions lists moments of a page to go back to, for moderators.
func (s *Server) versions(w http.ResponseWriter, r *http.Request) error {
	st, doc, err := s.askedOften(r)
	if err != nil {
		return err
	}
	list, err := s.cfg.History.Versions(r.Context(), st, doc)
	if err != nil {
		return historyError(err)
	}
	type version struct {
		Seq   uint64       `json:"seq"`
		At    int64        `json:"at"` // Unix ms
		Why   string       `json:"why"`
		By    board.Person `json:"by,omitempty"`
		Count int          `json:"count,omitempty"`
	}
	out := make([]version, len(list))
	for i, v := range list {
		out[i] = version{v.Seq, v.At.UnixMilli(), v.Why, v.By, v.Count}
	}
	writeJSON(w, http.StatusOK, map[string]any{"versions": out})
	return nil
}

// version is what a page showed at such a moment.
func (s *Server) version(w http.ResponseWriter, r *http.Request) error {
	st, doc, err := s.askedOften(r)
	if err != nil {
		return err
	}
	seq, err := strconv.ParseUint(chi.URLParam(r, "seq"), 10, 63)
	if err != nil {
		return refuse(http.StatusBadRequest, "bad_seq", "A version is named by the number of an entry.")
	}
	elements, err := s.cfg.History.Version(r.Context(), st, doc, seq)
	if err != nil {
		return historyError(err)
	}
	if elements == nil {
		elements = []board.Element{}
	}
	writeJSON(w, http.StatusOK, map[string]any{"elements": elements})
	return nil
}

// drew answers who made an element, for everybody on the board.
func (s *Server) drew(w http.ResponseWriter, r *http.Request) error {
	st, doc, err := s.askedOften(r)
	if err != nil {
		return err
	}
	person, at, err := s.cfg.History.Drew(r.Context(), st, doc, chi.URLParam(r, "element"))
	if err != nil {
		return historyError(err)
	}
	name, external := s.cfg.Identity.NameOf(st.Room, person)
	writeJSON(w, http.StatusOK, map[string]any{"user_id": person, "name": name, "external": external, "at": at.UnixMilli()})
	return nil
}

// askedOften is asked, for what costs the server something: each person may ask a few times a minute.
func (s *Server) askedOften(r *http.Request) (identity.StoredSession, board.DocID, error) {
	st, doc, err := asked(r)
	if err == nil {
		err = s.cfg.Identity.Asks(st.Person)
	}
	return st, doc, err
}

// historyError: what is not kept is not there.
func historyError(err error) error {
	if errors.Is(err, board.ErrUnknownEpoch) {
		return &identity.Error{Status: http.StatusNotFound, Code: "not_kept", Message: "The board's history does not tell: it is not kept that long, or the board was restored from its room.", Cause: err}
	}
	return boardError(err)
}
