package server

import (
	"net/http"
	"time"

	"github.com/educationpub/lectern/server/identity"
)

const (
	answerWait = 20 * time.Second // of one request; the page asks again
	answerLook = 50 * time.Millisecond
)

var errProof = refuse(http.StatusForbidden, "proof_needed", "For what moderators decide, Lectern asks your Matrix client for another proof of who you are.")

// challenge tells the page what its client has to send to the companion (docs/protocol.md §1.9).
func (s *Server) challenge(w http.ResponseWriter, r *http.Request) error {
	st := sessionOf(r)
	if err := s.cfg.Identity.Commands(st.Person); err != nil {
		return err
	}
	nonce, err := s.cfg.Identity.Challenge(st)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]string{"to": s.cfg.Companion, "type": identity.ProofType, "nonce": nonce})
	return nil
}

// proven waits for the answer, which comes by way of homeservers.
func (s *Server) proven(w http.ResponseWriter, r *http.Request) error {
	st := sessionOf(r)
	for end := time.Now().Add(answerWait); !s.cfg.Identity.Proven(st) && time.Now().Before(end); {
		select {
		case <-r.Context().Done():
			return nil
		case <-time.After(answerLook):
		}
	}
	writeJSON(w, http.StatusOK, map[string]bool{"proven": s.cfg.Identity.Proven(st)})
	return nil
}

// moderators asks for the proof before what moderators decide, where the operator wants it.
func (s *Server) moderators(next handler) handler {
	return s.signedIn(func(w http.ResponseWriter, r *http.Request) error {
		if s.cfg.Challenge && !s.cfg.Identity.Proven(sessionOf(r)) {
			return errProof
		}
		return next(w, r)
	})
}
