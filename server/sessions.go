package server

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/server/turn"
)

const maxLogin = 16 << 10

// openID is the answer of a homeserver's request_token, as clients pass it on.
type openID struct {
	AccessToken      string `json:"access_token"`
	TokenType        string `json:"token_type"`
	MatrixServerName string `json:"matrix_server_name"`
	ExpiresIn        int64  `json:"expires_in"` // not believed: Dendrite sends an absolute time
}

func (o openID) proof(r *http.Request) identity.Proof {
	return identity.Proof{Server: o.MatrixServerName, Token: o.AccessToken, From: clientAddr(r.Context())}
}

type loginRequest struct {
	OpenID   openID `json:"openid"`
	RoomID   string `json:"room_id"`
	WidgetID string `json:"widget_id"`
}

type loginAnswer struct {
	Token     string            `json:"token"`
	ExpiresMS int64             `json:"expires_in_ms"`
	UserID    string            `json:"user_id"`
	Role      string            `json:"role"`
	Board     boardAnswer       `json:"board"`
	Companion string            `json:"companion"`
	Encrypted bool              `json:"encrypted"`
	Docs      []docAnswer       `json:"docs"`
	ICE       []turn.Credential `json:"ice_servers"`
}

type boardAnswer struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
}

// docAnswer is a document that can be fetched already, before the connection is there.
type docAnswer struct {
	Doc   string `json:"doc"`
	Epoch uint32 `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	var q loginRequest
	if err := readJSON(w, r, maxLogin, &q); err != nil {
		return err
	}
	g, err := s.cfg.Identity.Login(r.Context(), identity.Login{Proof: q.OpenID.proof(r), Room: q.RoomID, Widget: q.WidgetID})
	if err != nil {
		return err
	}
	s.metrics.logins.Inc()
	docs := []docAnswer{}
	if meta, err := s.cfg.Boards.Open(r.Context(), g.Session.Board); err == nil {
		for _, d := range meta.Docs {
			docs = append(docs, docAnswer{string(d.ID), d.Epoch, d.Seq})
		}
	} else if !errors.Is(err, board.ErrUnknown) { // nobody has opened it yet
		s.cfg.Log.Warn("the documents of a board are not known at sign-in", "board", g.Session.Board, "err", err)
	}
	writeJSON(w, http.StatusOK, loginAnswer{
		Token: g.Token, ExpiresMS: g.Expires.Milliseconds(), UserID: string(g.Session.Person), Role: g.Role.String(),
		Board:     boardAnswer{string(g.Session.Board), g.Session.Kind},
		Companion: s.cfg.Companion, Encrypted: s.cfg.Encrypted(g.Session.Room), Docs: docs, ICE: s.cfg.ICE(),
	})
	return nil
}

func (s *Server) refresh(w http.ResponseWriter, r *http.Request) error {
	token, life, err := s.cfg.Identity.Refresh(r.Context(), bearer(r))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		Token     string            `json:"token"`
		ExpiresMS int64             `json:"expires_in_ms"`
		ICE       []turn.Credential `json:"ice_servers"`
	}{token, life.Milliseconds(), s.cfg.ICE()})
	return nil
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.cfg.Identity.Authenticate(context.WithoutCancel(r.Context()), bearer(r)); err != nil {
		return err
	}
	if err := s.cfg.Identity.Logout(r.Context(), bearer(r)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ownSessions lists where the person is signed in (docs/protocol.md §1.2).
func (s *Server) ownSessions(w http.ResponseWriter, r *http.Request) error {
	st := sessionOf(r)
	if err := s.cfg.Identity.Asks(st.Person); err != nil {
		return err
	}
	list, err := s.cfg.Identity.Own(r.Context(), st)
	if err != nil {
		return err
	}
	type signIn struct {
		ID    string `json:"id"`
		Room  string `json:"room"`
		Board string `json:"board"`
		Since int64  `json:"since"` // Unix ms
		Until int64  `json:"until"`
		This  bool   `json:"this"`
	}
	out := make([]signIn, len(list))
	for i, o := range list {
		out[i] = signIn{ID: o.ID, Room: s.cfg.RoomName(o.Room), Board: s.cfg.Identity.WidgetName(o.Room, o.Widget), Since: o.Since.UnixMilli(), Until: o.Until.UnixMilli(), This: o.This}
	}
	writeJSON(w, http.StatusOK, map[string]any{"sessions": out})
	return nil
}

// endOwn ends one of the person's own sign-ins, or "others": all but the one that asks.
func (s *Server) endOwn(w http.ResponseWriter, r *http.Request) error {
	st := sessionOf(r)
	if err := s.cfg.Identity.Asks(st.Person); err != nil {
		return err
	}
	if err := s.cfg.Identity.EndOwn(r.Context(), st, chi.URLParam(r, "id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func bearer(r *http.Request) string {
	t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	return t
}

type sessionKey struct{}

// signedIn lets only live sessions through; the board in the path must be the session's own.
func (s *Server) signedIn(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		st, err := s.cfg.Identity.Authenticate(r.Context(), bearer(r))
		if err != nil {
			return err
		}
		return next(w, r.WithContext(context.WithValue(r.Context(), sessionKey{}, st)))
	}
}

func sessionOf(r *http.Request) identity.StoredSession {
	return r.Context().Value(sessionKey{}).(identity.StoredSession)
}
