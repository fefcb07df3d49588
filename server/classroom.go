package server

import (
	"io"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/educationpub/lectern/templates"
)

// ClassroomConfig is what the classroom page is told.
type ClassroomConfig struct {
	Homeservers []Homeserver `json:"homeservers"`
	Lectern     string       `json:"lectern"`   // origin of the widgets
	Companion   string       `json:"companion"` // Lectern's own account, shown as such
	DemoUsers   []DemoUser   `json:"demoUsers"` // development only
	Version     string       `json:"version"`
	// Icons are set by the server: the pictures of widgets, by kind.
	Icons map[string]string `json:"icons"`
	// Kinds are set by the server: those that can be added.
	Kinds []string `json:"kinds"`
	// ElementCall is where an Element Call lies that the page opens for a room's call; "" for none.
	ElementCall string `json:"elementCall"`
	// RTCTransport is the address of the token service, for calls on a homeserver that names none (MSC4143).
	RTCTransport string `json:"rtcTransport"`
}

// Homeserver is one that people can sign in to.
type Homeserver struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// DemoUser signs in with one click.
type DemoUser struct {
	UserID   string `json:"user_id"`
	Password string `json:"password"`
	Name     string `json:"name"`
	Role     string `json:"role"`
}

// Classroom serves Lectern's own host page. It must have another site than the widgets (decision 24), so it is a handler for its own listener.
func (s *Server) Classroom(cfg ClassroomConfig) http.Handler {
	servers := make([]string, len(cfg.Homeservers))
	for i, h := range cfg.Homeservers {
		servers[i] = h.URL
	}
	frames := []string{cfg.Lectern}
	if cfg.ElementCall != "" {
		frames = append(frames, originOf(cfg.ElementCall))
	}
	if cfg.RTCTransport != "" {
		servers = append(servers, originOf(cfg.RTCTransport)) // asked why somebody is not let into a call
	}
	policy := classroomPolicy(servers, frames)
	r := chi.NewRouter()
	r.Use(s.observe, s.recoverer, secure(false), func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Del("Permissions-Policy") // the host decides for its frames
			next.ServeHTTP(w, r)
		})
	})
	r.Get("/", s.handle(func(w http.ResponseWriter, _ *http.Request) error {
		e, err := s.bundle.entry("src/entry/classroom.tsx")
		if err != nil {
			return refuse(http.StatusServiceUnavailable, "not_built", "This build has no front end: run make build.")
		}
		cfg := cfg
		cfg.Icons, cfg.Kinds = s.cfg.Icons(), s.offered()
		return page(w, policy, func(b io.Writer) error {
			return templates.App(b, templates.Page{NoScript: "The classroom needs JavaScript. Das Klassenzimmer braucht JavaScript.", Title: "Classroom", Lang: "en", Script: e.script, Styles: e.styles, Ahead: e.ahead, Config: cfg})
		})
	}))
	r.Get("/assets/*", s.bundle.ServeHTTP)
	return r
}
