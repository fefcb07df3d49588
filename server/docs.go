package server

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
)

// document answers the newest merged document (docs/protocol.md §1.3); 204 while it is still the genesis.
func (s *Server) document(w http.ResponseWriter, r *http.Request) error {
	snap, err := s.snapshot(w, r, false)
	if err != nil {
		return err
	}
	if len(snap.Document) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return send(w, r, "application/octet-stream", snap.Document)
}

// scene answers what a document shows: the newest snapshot's scene, ready made; with `after` what has changed since an entry, with `live` the
// page at this moment, deleted elements too.
func (s *Server) scene(w http.ResponseWriter, r *http.Request) error {
	if q := r.URL.Query(); q.Has("after") || q.Has("live") {
		return s.sceneNow(w, r, q.Get("after"), q.Has("after"))
	}
	snap, err := s.snapshot(w, r, true)
	if err != nil {
		return err
	}
	body := snap.Scene
	w.Header().Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
	} else if body, err = checkpoint.PlainScene(body); err != nil {
		return err
	}
	return send(w, r, "application/json; charset=utf-8", body)
}

func (s *Server) sceneNow(w http.ResponseWriter, r *http.Request, text string, since bool) error {
	st, doc, err := asked(r)
	if err != nil {
		return err
	}
	var after *uint64
	if since {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return refuse(http.StatusBadRequest, "bad_after", "The parameter after must be a number of an entry.")
		}
		after = &n
	}
	v, err := s.cfg.Scene(r.Context(), st, doc, after)
	if err != nil {
		return boardError(err)
	}
	writeJSON(w, http.StatusOK, v)
	return nil
}

// addPage adds an empty page behind the others and names it; everybody on the board hears of it by its entry in the log.
func (s *Server) addPage(w http.ResponseWriter, r *http.Request) error {
	st, _, err := asked(r)
	if err != nil {
		return err
	}
	if err := s.cfg.Identity.Commands(st.Person); err != nil {
		return err
	}
	doc, err := s.cfg.AddPage(r.Context(), st)
	if err != nil {
		return boardError(err)
	}
	writeJSON(w, http.StatusCreated, map[string]board.DocID{"doc": doc})
	return nil
}

// snapshot finds what is asked for and says which one it is.
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request, scene bool) (checkpoint.Ready, error) {
	st, doc, err := asked(r)
	if err != nil {
		return checkpoint.Ready{}, err
	}
	snap, err := s.cfg.Snapshots.Ready(r.Context(), st.Board, doc, scene)
	if err != nil {
		return snap, boardError(err)
	}
	h := w.Header()
	h.Set("X-Lectern-Log", snap.Log)
	h.Set("X-Lectern-Seq", fmt.Sprint(snap.Upto))
	h.Set("X-Lectern-Epoch", fmt.Sprint(snap.Epoch))
	h.Set("ETag", snap.Tag())
	return snap, nil
}

// asked names the document of a request; the session is for one board.
func asked(r *http.Request) (identity.StoredSession, board.DocID, error) {
	st := sessionOf(r)
	if board.ID(chi.URLParam(r, "board")) != st.Board {
		return st, "", errUnknownBoard
	}
	return st, board.DocID(chi.URLParam(r, "doc")), nil
}

// send copies bytes that are ready. no-store: nothing of a board stays in a cache; the tag spares who holds the same bytes already.
func send(w http.ResponseWriter, r *http.Request, kind string, body []byte) error {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if r.Header.Get("If-None-Match") == h.Get("ETag") {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body) // the client is gone if this fails
	return nil
}

var errUnknownBoard = refuse(http.StatusNotFound, "unknown_board", "This session belongs to another board.")

// boardError keeps the code and the sentence of a board's own refusal.
func boardError(err error) error {
	e, ok := errors.AsType[*board.Error](err)
	if !ok {
		return err
	}
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(e, board.ErrUnknown), errors.Is(e, board.ErrUnknownDoc):
		status = http.StatusNotFound
	case errors.Is(e, board.ErrReadOnly), errors.Is(e, board.ErrForbidden):
		status = http.StatusForbidden
	case errors.Is(e, board.ErrBadRules), errors.Is(e, board.ErrBadPlace):
		status = http.StatusBadRequest
	case errors.Is(e, board.ErrPagesFull):
		status = http.StatusConflict
	}
	return &identity.Error{Status: status, Code: e.Code(), Message: e.Public(), Cause: err}
}
