package server

import (
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/educationpub/lectern/crdt/board"
)

// document answers the newest merged document (docs/protocol.md §1.3); 204 while it is still the genesis.
func (s *Server) document(w http.ResponseWriter, r *http.Request) error {
	st := sessionOf(r)
	id, doc := board.ID(chi.URLParam(r, "board")), board.DocID(chi.URLParam(r, "doc"))
	if id != st.Board {
		return errUnknownBoard
	}
	meta, err := s.cfg.Boards.Open(r.Context(), id)
	if err != nil {
		return fmt.Errorf("open board for a document: %w", err)
	}
	if !hasDoc(meta, doc) {
		return errUnknownBoard
	}
	snap, err := s.cfg.Snapshots.Snapshot(r.Context(), id, doc)
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Lectern-Log", meta.Log)
	h.Set("X-Lectern-Seq", fmt.Sprint(snap.Seq))
	h.Set("X-Lectern-Epoch", fmt.Sprint(snap.Epoch))
	if len(snap.Document) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", fmt.Sprint(len(snap.Document)))
	_, _ = w.Write(snap.Document)
	return nil
}

// scene answers the page index's reading of a document.
func (s *Server) scene(w http.ResponseWriter, r *http.Request) error {
	st := sessionOf(r)
	if board.ID(chi.URLParam(r, "board")) != st.Board {
		return errUnknownBoard
	}
	v, err := s.cfg.Scene(r.Context(), st, board.DocID(chi.URLParam(r, "doc")))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, v)
	return nil
}

var errUnknownBoard = refuse(http.StatusNotFound, "unknown_board", "This session belongs to another board.")

func hasDoc(m board.Meta, doc board.DocID) bool {
	for _, d := range m.Docs {
		if d.ID == doc {
			return true
		}
	}
	return false
}
