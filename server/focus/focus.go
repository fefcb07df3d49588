package focus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/educationpub/lectern/server/focus/livekit"
	"github.com/educationpub/lectern/server/identity"
)

// Config of a Service.
type Config struct {
	SFU      SFU
	Rooms    Rooms
	Store    Store
	Identity Identity
	Log      *slog.Logger
	// URL is where clients reach LiveKit, "wss://livekit.school.example".
	URL string
	// Own is the address of this token service, as clients are told and name it in their memberships.
	Own string
	// Server is the name of the companion's homeserver. Admits says which others' people may come, as far as they are joined; nil: all.
	Server string
	Admits func(server string) bool
	// Students are the sources that people below moderators may publish where their room has decided nothing.
	Students Sources
	// MaxParticipants of one call. 0: 150.
	MaxParticipants int
	// Observe is told of every token and act; nil: nobody is.
	Observe func(Observation)
	Now     func() time.Time
}

// Observation is one thing that happened, for metrics: without people or rooms.
type Observation struct {
	What    string // "token", "act", "asked", "webhook", "removed", "membership_cleared"
	Outcome string // "ok", or a code
}

// Service is the focus. Safe for concurrent use after Open.
type Service struct {
	cfg   Config
	seals seals

	mu        sync.Mutex
	decisions map[string]map[string]Decision // guarded by mu; by room and person
	ended     map[string]time.Time           // guarded by mu; by room
	calls     map[string]string              // guarded by mu; alias of LiveKit's room -> room, of the calls that may be going on
	watched   map[string]*watched            // guarded by mu; by room
	dirty     map[string]bool                // guarded by mu; rooms to look after
	down      error                          // guarded by mu; why LiveKit did not answer last
	others    others                         // guarded by mu
	wake      chan struct{}
	devices   devices // owned by Run
}

// New returns a Service. It asks nothing.
func New(cfg Config) (*Service, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Observation) {}
	}
	if cfg.MaxParticipants == 0 {
		cfg.MaxParticipants = 150
	}
	s, err := newSeals(cfg.SFU.Credentials().Secret)
	if err != nil {
		return nil, err
	}
	return &Service{
		cfg: cfg, seals: s, decisions: map[string]map[string]Decision{}, ended: map[string]time.Time{}, calls: map[string]string{},
		watched: map[string]*watched{}, dirty: map[string]bool{}, wake: make(chan struct{}, 1), devices: newDevices(),
		others: others{map[string]time.Time{}, map[string]*rate.Limiter{}},
	}, nil
}

// Open reads what moderators have decided.
func (s *Service) Open(ctx context.Context) error {
	decisions, err := s.cfg.Store.Decisions(ctx)
	if err != nil {
		return fmt.Errorf("read decisions about calls: %w", err)
	}
	ended, err := s.cfg.Store.Ended(ctx)
	if err != nil {
		return fmt.Errorf("read ended calls: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for room, people := range decisions {
		s.decisions[room] = people
	}
	for room, at := range ended {
		s.ended[room] = at
	}
	return nil
}

// Problem is why LiveKit does not answer, nil when it does.
func (s *Service) Problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// asked notes whether LiveKit answered, and passes the answer on.
func (s *Service) asked(err error) error {
	if errors.Is(err, context.Canceled) {
		return err // who asked has gone away; that says nothing about LiveKit
	}
	s.mu.Lock()
	was := s.down
	if s.down = nil; errors.Is(err, livekit.ErrDown) {
		s.down = err
	}
	now := s.down
	s.mu.Unlock()
	switch {
	case was == nil && now != nil:
		s.cfg.Log.Warn("the call server does not answer; boards are not concerned", "err", now)
	case was != nil && now == nil:
		s.cfg.Log.Info("the call server answers again")
	}
	return err
}

// refusals that several callers give.

func refuse(status int, code, message string) error {
	return &identity.Error{Status: status, Code: code, Message: message}
}

func isDown(err error) error {
	return &identity.Error{Status: 503, Code: "call_server_down", Message: "The call server does not answer. Boards are not concerned. Try again in a moment.", RetryAfter: 5 * time.Second, Cause: err}
}

// --- decisions ---

// decision answers what moderators have decided about a person, as far as it still holds.
func (s *Service) decision(room, person string) Decision {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.decisions[room][person]; ok && s.cfg.Now().Before(d.Until) {
		return d
	}
	return Decision{Sources: Everything}
}

// decide keeps a decision, in memory also where it cannot be stored: a removed person stays out, and the moderator is told (kept is false) that a restart would
// forget it.
func (s *Service) decide(ctx context.Context, room, person string, d Decision) (kept bool, err error) {
	forget := !d.Removed && d.Sources == Everything
	s.mu.Lock()
	if s.decisions[room] == nil {
		s.decisions[room] = map[string]Decision{}
	}
	if len(s.decisions[room]) >= maxDecisions && !forget {
		s.mu.Unlock()
		return false, refuse(409, "too_many", "Decisions about too many people stand in this room already.")
	}
	if s.decisions[room][person] = d; forget {
		delete(s.decisions[room], person)
		d = Decision{}
	}
	s.mu.Unlock()
	return s.kept(s.cfg.Store.Decide(ctx, room, person, d)), nil
}

func (s *Service) kept(err error) bool {
	if err != nil {
		s.cfg.Log.Error("a decision about a call holds until the next start only", "err", err)
	}
	return err == nil
}

const (
	maxDecisions = 1000 // about people in one room
	decisionLife = 12 * time.Hour
	endedLife    = 10 * time.Minute
)

// endedFor answers for how much longer a call that was ended for all stays ended.
func (s *Service) endedFor(room string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.ended[room]
	if !ok {
		return 0
	}
	return max(0, at.Add(endedLife).Sub(s.cfg.Now()))
}

func (s *Service) setEnded(ctx context.Context, room string, at time.Time) (kept bool) {
	s.mu.Lock()
	if s.ended[room] = at; at.IsZero() {
		delete(s.ended, room)
	}
	s.mu.Unlock()
	return s.kept(s.cfg.Store.SetEnded(ctx, room, at))
}

// sources are what a person may publish now.
func (s *Service) sources(room, person string, st identity.Standing) Sources {
	if moderates(st) {
		return Everything
	}
	allowed := s.cfg.Students
	if p := s.cfg.Rooms.Policy(room); p.Set {
		allowed = p.Sources
	}
	return allowed.and(s.decision(room, person).Sources)
}

func moderates(st identity.Standing) bool {
	return st.Joined && st.Complete && st.Power >= st.Levels.Moderator()
}
