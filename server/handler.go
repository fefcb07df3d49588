package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/educationpub/lectern/server/identity"
)

// handler is an HTTP handler that may refuse: the one place where errors become answers is answer.
type handler func(w http.ResponseWriter, r *http.Request) error

// problem is every answer that is not 2xx (docs/protocol.md §1).
type problem struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	RetryAfter int64  `json:"retry_after_ms,omitempty"`
}

func refuse(status int, code, message string) error {
	return &identity.Error{Status: status, Code: code, Message: message}
}

func (s *Server) handle(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		e := s.refusal(r, err)
		setRetry(w, e)
		writeJSON(w, e.Status, problem{e.Code, e.Message, e.RetryAfter.Milliseconds()})
	}
}

// refusal is the answer that an error becomes, logged where it is our fault.
func (s *Server) refusal(r *http.Request, err error) *identity.Error {
	e, ok := errors.AsType[*identity.Error](err)
	if !ok {
		e = &identity.Error{Status: 500, Code: "internal", Message: "Something went wrong inside Lectern. Nothing of your work is lost; try again.", Cause: err}
	}
	if e.Status >= 500 {
		s.cfg.Log.Warn("request failed", "route", chi.RouteContext(r.Context()).RoutePattern(), "code", e.Code, "err", e.Cause)
	}
	s.metrics.refused.WithLabelValues(e.Code).Inc()
	return e
}

func setRetry(w http.ResponseWriter, e *identity.Error) {
	w.Header().Set("Cache-Control", "no-store")
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int64((e.RetryAfter+time.Second-1)/time.Second)))
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone if this fails
}

// readJSON decodes one object of at most limit bytes with no unknown fields.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("more than one value")
		}
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return refuse(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("The request is larger than %d bytes.", limit))
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "bad_json", "The request is not the JSON this address expects.")
	}
	return nil
}

// observe logs and counts a request by its route pattern, never by its path, query or person.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(ww, r)
		route := chi.RouteContext(r.Context()).RoutePattern()
		status := ww.Status()
		if status == 0 {
			status = http.StatusOK
		}
		took := time.Since(start)
		s.metrics.requests.WithLabelValues(route, fmt.Sprint(status)).Observe(took.Seconds())
		s.cfg.Log.LogAttrs(r.Context(), slog.LevelDebug, "request", slog.String("method", r.Method), slog.String("route", route), slog.Int("status", status), slog.Duration("took", took))
	})
}

// recoverer turns a panic of one request into a 500 and an error line; the process and everybody else go on.
func (s *Server) recoverer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				s.cfg.Log.Error("request panicked", "route", chi.RouteContext(r.Context()).RoutePattern(), "panic", fmt.Sprint(p))
				writeJSON(w, 500, problem{Code: "internal", Message: "Something went wrong inside Lectern. Nothing of your work is lost; try again."})
			}
		}()
		next.ServeHTTP(w, r)
	})
}
