// Package server is Lectern's HTTP face: routes, pages, sessions, health and drain. It owns no board and no secret; it hands requests to the parts that
// do and turns their errors into answers.
package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/server/turn"
)

// Config are the parts the server stands on.
type Config struct {
	PublicURL      string
	ClientOrigins  []string
	TrustedProxies []netip.Prefix
	Version        string
	Companion      string // the companion's Matrix id
	ArchiveDays    int    // how long a board's history is kept; negative: for ever
	Dist           fs.FS  // the built front end

	Identity  *identity.Service
	Challenge bool // moderators' decisions need a challenge to be answered
	Encrypted func(room string) bool
	// Icons are the mxc addresses of the kinds' pictures, as far as they are there.
	Icons func() map[string]string
	// RoomName is a room's name as the companion sees it, "" where it has none.
	RoomName func(room string) string
	Boards   interface {
		Open(ctx context.Context, id board.ID) (board.Meta, error)
	}
	Snapshots interface {
		Ready(ctx context.Context, id board.ID, doc board.DocID, scene bool) (checkpoint.Ready, error)
	}
	// Scene answers what a page shows at this moment: all of it, or what has changed after an entry.
	Scene func(ctx context.Context, st identity.StoredSession, doc board.DocID, after *uint64) (any, error)
	// Rule is a moderator's decision on who may draw.
	Rule func(ctx context.Context, st identity.StoredSession, c board.RulesChange) error
	// Gather brings everybody on the board to a place.
	Gather func(ctx context.Context, st identity.StoredSession, at board.Place) error
	// Hand raises or lowers the person's hand.
	Hand func(ctx context.Context, st identity.StoredSession, up bool) error
	// LetErase lets a person remove more than the erase guard does, for a minute.
	LetErase func(ctx context.Context, st identity.StoredSession, person board.Person) error
	History  History
	// AddPage adds an empty page behind the others.
	AddPage func(ctx context.Context, st identity.StoredSession) (board.DocID, error)
	// Show puts a widget of ours above the messages of its room, for a person who may arrange it: "top", or "full", "level", "self" as in docs/protocol.md §8.
	Show  func(ctx context.Context, person, room, widget string) (string, error)
	Roles Roles
	Setup Setup
	Homes Homes
	// ICE makes credentials for one client at every call; nil where there is no TURN server.
	ICE     func() []turn.Credential
	Connect http.Handler // /v1/connect
	// Calls is the focus, nil where calls are not configured; ElementCall is where the classroom page finds an Element Call, "" for nowhere.
	Calls       Calls
	ElementCall string
	// Ready names what keeps the server from serving, nil when all is well.
	Ready    func() error
	Registry prometheus.Registerer
	Log      *slog.Logger
}

// Server answers HTTP. Immutable after New but for draining.
type Server struct {
	cfg      Config
	bundle   *bundle
	metrics  *metrics
	passes   *passes
	visits   visits
	draining atomic.Bool
}

// New builds the server. A missing front end is not fatal: pages then say so.
func New(cfg Config) (*Server, error) {
	b, err := openBundle(cfg.Dist)
	if errors.Is(err, errNotBuilt) {
		cfg.Log.Error("widgets cannot be shown", "err", err)
	} else if err != nil {
		return nil, err
	}
	if cfg.Icons == nil {
		cfg.Icons = func() map[string]string { return map[string]string{} }
	}
	if cfg.ICE == nil {
		cfg.ICE = func() []turn.Credential { return []turn.Credential{} }
	}
	if len(cfg.ClientOrigins) == 0 {
		cfg.Log.Error("client_origins is empty: no Matrix client can show a widget")
	}
	return &Server{cfg: cfg, bundle: b, metrics: newMetrics(cfg.Registry), passes: newPasses(), visits: visits{open: map[string]*setupVisit{}}}, nil
}

// Routes are all addresses of the server.
func (s *Server) Routes() http.Handler {
	r := chi.NewRouter()
	r.Use(s.observe, s.recoverer, clientIP(s.cfg.TrustedProxies), secure(strings.HasPrefix(s.cfg.PublicURL, "https:")))
	r.NotFound(s.handle(func(http.ResponseWriter, *http.Request) error {
		return refuse(http.StatusNotFound, "not_found", "There is nothing at this address.")
	}))
	r.MethodNotAllowed(s.handle(func(http.ResponseWriter, *http.Request) error {
		return refuse(http.StatusMethodNotAllowed, "method", "This address does not take that method.")
	}))
	r.Get("/", s.handle(s.frontPage))
	r.Get("/trust", s.handle(s.trustPage))
	r.Get("/calls", s.handle(s.callsPage))
	r.Get("/setup", s.handle(s.setupPage))
	r.Post("/setup", s.handle(s.setupPost))
	r.Get("/front.css", s.handle(frontStyle))
	r.Get("/widgets/{kind}", s.handle(s.widgetPage))
	r.Get("/assets/*", s.bundle.ServeHTTP)
	r.Head("/assets/*", s.bundle.ServeHTTP)
	r.Get("/integrations/", s.handle(s.integrationsPage))
	r.Route("/integrations/api", func(r chi.Router) {
		r.Use(s.forClients)
		r.Post("/register", s.handle(s.register))
		r.Get("/account", s.handle(s.account))
		r.Post("/show", s.handle(s.show))
		r.Options("/*", http.NotFound) // answered by forClients
	})
	r.Get("/healthz", s.handle(s.healthz))
	r.Get("/readyz", s.handle(s.readyz))
	s.callRoutes(r)
	r.Route("/v1", func(r chi.Router) {
		r.Post("/sessions", s.handle(s.login))
		r.Post("/sessions/refresh", s.handle(s.refresh))
		r.Delete("/sessions", s.handle(s.logout))
		r.Post("/challenge", s.handle(s.signedIn(s.challenge)))
		r.Get("/challenge", s.handle(s.signedIn(s.proven)))
		r.Get("/sessions", s.handle(s.signedIn(s.ownSessions)))
		r.Delete("/sessions/{id}", s.handle(s.signedIn(s.endOwn)))
		r.Post("/boards/{board}/rules", s.handle(s.moderators(s.rule)))
		r.Post("/boards/{board}/gather", s.handle(s.moderators(s.gather)))
		r.Post("/boards/{board}/hand", s.handle(s.signedIn(s.hand)))
		r.Get("/boards/{board}/roles", s.handle(s.signedIn(s.roles)))
		r.Post("/boards/{board}/roles", s.handle(s.moderators(s.setRole)))
		r.Post("/boards/{board}/setup", s.handle(s.moderators(s.setupLink)))
		r.Post("/boards/{board}/erase", s.handle(s.moderators(s.letErase)))
		r.Get("/boards/{board}/docs/{doc}/versions", s.handle(s.moderators(s.versions)))
		r.Get("/boards/{board}/docs/{doc}/versions/{seq}", s.handle(s.moderators(s.version)))
		r.Get("/boards/{board}/docs/{doc}/elements/{element}", s.handle(s.signedIn(s.drew)))
		r.Post("/boards/{board}/docs", s.handle(s.signedIn(s.addPage)))
		r.Get("/boards/{board}/docs/{doc}/document", s.handle(s.signedIn(s.document)))
		r.Get("/boards/{board}/docs/{doc}/scene", s.handle(s.signedIn(s.scene)))
		r.Get("/boards/{board}/home", s.handle(s.signedIn(s.home)))
		r.Post("/boards/{board}/takeover", s.handle(s.moderators(s.takeOver)))
		r.Get("/connect", s.cfg.Connect.ServeHTTP)
	})
	return r
}

// healthz: the process answers.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// readyz: boards can be served now.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) error {
	if s.draining.Load() {
		return refuse(http.StatusServiceUnavailable, "draining", "Lectern is stopping.")
	}
	if err := s.cfg.Ready(); err != nil {
		return &identity.Error{Status: http.StatusServiceUnavailable, Code: "not_ready", Message: err.Error(), Cause: err}
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

// Serve answers on l until ctx ends; then it stops taking requests, lets drain say goodbye to the sessions, and waits for what is under way.
func (s *Server) Serve(ctx context.Context, l net.Listener, drain func(context.Context)) error {
	srv := Listener(s.Routes())
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }() // joined below: Serve returns after Shutdown
	select {
	case err := <-failed:
		return fmt.Errorf("http server: %w", err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	drain(stop)
	err := srv.Shutdown(stop)
	if serr := <-failed; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}

// Listener wraps a handler with the time and size limits of every HTTP server here.
func Listener(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
}
