package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/educationpub/lectern/server/focus"
	"github.com/educationpub/lectern/server/focus/livekit"
	"github.com/educationpub/lectern/server/identity"
)

// Calls: the focus' token service, as Matrix clients ask it, and the launcher's list and acts (docs/protocol.md §9).

// Calls is the focus. Implemented by focus.Service; nil where calls are not configured.
type Calls interface {
	Admit(ctx context.Context, q focus.Request) (focus.Token, error)
	Webhook(authorization string, body []byte) error
	List(ctx context.Context, room, person string, revision uint64) (focus.Call, error)
	Do(ctx context.Context, room, by string, a focus.Act) (focus.Result, error)
	Problem() error
}

// CallService is the path of the token service; with the public URL before it, its address in memberships.
const CallService = "/livekit/jwt"

// longPoll is how long a list waits for a change; below the time limit of reading a request.
const longPoll = 20 * time.Second

var (
	errCallsOff     = refuse(http.StatusNotFound, "calls_off", "Calls are not set up on this Lectern.")
	errNoDelegation = refuse(http.StatusNotFound, "not_offered", "This focus does not send delayed events for others.")
)

func (s *Server) callRoutes(r chi.Router) {
	for _, version := range []string{"unstable/org.matrix.msc4143", "v1"} {
		path := "/_matrix/client/" + version + "/rtc/transports"
		r.Get(path, forEverybody(s.transports))
		r.Options(path, forEverybody(nothing))
	}
	r.Route("/livekit", func(r chi.Router) {
		r.Post("/sfu_webhook", s.handle(s.sfuWebhook))
		r.Get("/healthz", s.handle(s.callHealth))
		for path, read := range map[string]func([]byte) (focus.Request, openID, error){"/jwt/sfu/get": readSFUGet, "/jwt/get_token": readGetToken} {
			r.Post(path, forEverybody(s.callToken(read)))
			r.Options(path, forEverybody(nothing))
		}
		// Clients ask whether this is offered, from their own origins: they should be able to read that it is not.
		r.Post("/jwt/delegate_delayed_leave", forEverybody(func(w http.ResponseWriter, r *http.Request) { s.matrixError(w, r, errNoDelegation) }))
		r.Options("/jwt/delegate_delayed_leave", forEverybody(nothing))
	})
	r.Get("/v1/call", s.handle(s.signedIn(s.call)))
	r.Post("/v1/call/acts", s.handle(s.moderators(s.callAct)))
}

// forEverybody: the answers are for pages of any Matrix client, and say nothing to whoever has no proof of identity.
func forEverybody(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Accept, Content-Type, Authorization, X-Requested-With")
		h.Set("Access-Control-Max-Age", "3600")
		next(w, r)
	}
}

func nothing(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// transports tells clients of the homeserver where its calls are.
func (s *Server) transports(w http.ResponseWriter, _ *http.Request) {
	list := []map[string]string{}
	if s.cfg.Calls != nil {
		list = append(list, map[string]string{"type": "livekit", "livekit_service_url": s.cfg.PublicURL + CallService})
	}
	writeJSON(w, http.StatusOK, map[string]any{"rtc_transports": list})
}

// readSFUGet reads the request of clients of today.
func readSFUGet(body []byte) (q focus.Request, id openID, err error) {
	var in struct {
		Room   string `json:"room"`
		OpenID openID `json:"openid_token"`
		Device string `json:"device_id"`
	}
	err = json.Unmarshal(body, &in)
	return focus.Request{Room: in.Room, Slot: focus.Slot, Device: in.Device}, in.OpenID, err
}

// readGetToken reads the request of MSC4195.
func readGetToken(body []byte) (q focus.Request, id openID, err error) {
	var in struct {
		Room   string `json:"room_id"`
		Slot   string `json:"slot_id"`
		OpenID openID `json:"openid_token"`
		Member struct {
			ID     string `json:"id"`
			User   string `json:"claimed_user_id"`
			Device string `json:"claimed_device_id"`
		} `json:"member"`
	}
	err = json.Unmarshal(body, &in)
	return focus.Request{Room: in.Room, Slot: in.Slot, Device: in.Member.Device, Member: in.Member.ID, User: in.Member.User, Hashed: true}, in.OpenID, err
}

// callToken gives a token for LiveKit. Errors are in Matrix's form.
func (s *Server) callToken(read func([]byte) (focus.Request, openID, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, err := s.admit(w, r, read)
		if err != nil {
			s.matrixError(w, r, err)
			return
		}
		writeJSON(w, http.StatusOK, token)
	}
}

func (s *Server) admit(w http.ResponseWriter, r *http.Request, read func([]byte) (focus.Request, openID, error)) (focus.Token, error) {
	if s.cfg.Calls == nil {
		return focus.Token{}, errCallsOff
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLogin))
	if err != nil {
		return focus.Token{}, refuse(http.StatusRequestEntityTooLarge, "too_large", "The request is larger than 16384 bytes, or broke off.")
	}
	if !json.Valid(body) {
		return focus.Token{}, refuse(http.StatusBadRequest, "not_json", "The request is not JSON.")
	}
	q, id, err := read(body)
	if err != nil {
		return focus.Token{}, refuse(http.StatusBadRequest, "bad_request", "The request does not have the fields that this address expects.")
	}
	q.Proof = id.proof(r)
	return s.cfg.Calls.Admit(r.Context(), q)
}

// errcodes of Matrix, by status.
var errcodes = map[int]string{
	http.StatusBadRequest: "M_BAD_JSON", http.StatusUnauthorized: "M_UNAUTHORIZED", http.StatusForbidden: "M_FORBIDDEN", http.StatusNotFound: "M_NOT_FOUND",
	http.StatusRequestEntityTooLarge: "M_TOO_LARGE", http.StatusTooManyRequests: "M_LIMIT_EXCEEDED",
}

func (s *Server) matrixError(w http.ResponseWriter, r *http.Request, err error) {
	e := s.refusal(r, err)
	errcode := errcodes[e.Status]
	switch {
	case e.Code == "not_json":
		errcode = "M_NOT_JSON"
	case errcode == "":
		errcode = "M_UNKNOWN"
	}
	setRetry(w, e)
	writeJSON(w, e.Status, struct {
		Errcode    string `json:"errcode"`
		Error      string `json:"error"`
		Code       string `json:"code"`
		RetryAfter int64  `json:"retry_after_ms,omitempty"`
	}{errcode, e.Message, e.Code, e.RetryAfter.Milliseconds()})
}

// sfuWebhook takes what LiveKit tells.
func (s *Server) sfuWebhook(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Calls == nil {
		return errCallsOff
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, livekit.MaxWebhook))
	if err != nil {
		return refuse(http.StatusRequestEntityTooLarge, "too_large", "The webhook is larger than it ever should be, or broke off.")
	}
	if err := s.cfg.Calls.Webhook(r.Header.Get("Authorization"), body); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) callHealth(w http.ResponseWriter, _ *http.Request) error {
	if s.cfg.Calls == nil {
		return errCallsOff
	}
	if err := s.cfg.Calls.Problem(); err != nil {
		return &identity.Error{Status: http.StatusServiceUnavailable, Code: "call_server_down", Message: "The call server does not answer.", Cause: err}
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// call answers who is in the room's call, as soon as that has changed.
func (s *Server) call(w http.ResponseWriter, r *http.Request) error {
	st := sessionOf(r)
	if s.cfg.Calls == nil {
		writeJSON(w, http.StatusOK, map[string]bool{"configured": false})
		return nil
	}
	if st.Kind != "call" {
		return refuse(http.StatusForbidden, "forbidden", "This widget is no call.")
	}
	var seen struct {
		Revision uint64 `json:"seen"`
	}
	if q := r.URL.Query().Get("seen"); q != "" && json.Unmarshal([]byte(q), &seen.Revision) != nil {
		return refuse(http.StatusBadRequest, "bad_seen", "The revision is not a number.")
	}
	ctx, cancel := context.WithTimeout(r.Context(), longPoll)
	defer cancel()
	c, err := s.cfg.Calls.List(ctx, st.Room, string(st.Person), seen.Revision)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		Configured  bool   `json:"configured"`
		ElementCall string `json:"element_call"`
		UserID      string `json:"user_id"`
		RoomName    string `json:"room_name"`
		focus.Call
	}{true, s.cfg.ElementCall, string(st.Person), s.cfg.RoomName(st.Room), c})
	return nil
}

// callAct carries out what a moderator decides about the call.
func (s *Server) callAct(w http.ResponseWriter, r *http.Request) error {
	st := sessionOf(r)
	if s.cfg.Calls == nil {
		return errCallsOff
	}
	if st.Kind != "call" {
		return refuse(http.StatusForbidden, "forbidden", "This widget is no call.")
	}
	var a focus.Act
	if err := readJSON(w, r, maxCommand, &a); err != nil {
		return err
	}
	if err := s.cfg.Identity.CallActs(st.Person); err != nil {
		return err
	}
	result, err := s.cfg.Calls.Do(r.Context(), st.Room, string(st.Person), a)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, result)
	return nil
}
