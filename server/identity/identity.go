// Package identity owns sessions and roles: it turns an OpenID token of somebody's homeserver into a short-lived bearer token for one widget in one
// room, and answers what a person may do. It never trusts what a widget says about itself, and it answers nothing about a room, not even whether
// a board exists, before the companion has confirmed that the person is joined.
package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// Lifetimes (security.md §1.4).
const (
	TokenIdle     = 15 * time.Minute
	TokenLife     = 12 * time.Hour
	refreshGrace  = 30 * time.Second
	slideEvery    = time.Minute // how often a use is written down
	openIDMemory  = 7 * 24 * time.Hour
	staleNew      = 30 * time.Second // no new sessions
	Outage        = 15 * time.Minute // default of Config.Outage
	verifyAtOnce  = 50
	maxTokenBytes = 4096
)

// ErrNoSession is what Store answers for a token it does not know or that has expired.
var ErrNoSession = errors.New("identity: no such session")

// Error is a refusal with its HTTP status and the protocol's code; Message is for people.
type Error struct {
	Status     int
	Code       string
	Message    string
	RetryAfter time.Duration
	Cause      error
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Code + ": " + e.Cause.Error()
	}
	return e.Code
}
func (e *Error) Unwrap() error { return e.Cause }

// Config are the parts of a Service.
type Config struct {
	Store    Store
	Rooms    Rooms
	Verifier Verifier
	Log      *slog.Logger
	// Revoked is told when a session ends before its time (kick, leave, logout).
	Revoked func(StoredSession)
	Schools []netip.Prefix // failures from here count a tenth
	// Outage is how long people who have been let in go on with the role last known while the homeserver does not answer. 0: 15 minutes.
	Outage time.Duration
	Now    func() time.Time
}

// Service hands out and checks sessions. Safe for concurrent use.
type Service struct {
	cfg      Config
	verify   chan struct{} // slots for look-ups at homeservers
	failures *failures
	people   *failures // logins per person
	asks     *failures // questions to the homeserver per person
	commands *failures // of moderators
	tokens   *failures // for calls, per person
	acts     *failures // of moderators, about calls

	challenges challenges
	proven     proven
}

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Revoked == nil {
		cfg.Revoked = func(StoredSession) {}
	}
	if cfg.Outage == 0 {
		cfg.Outage = Outage
	}
	return &Service{
		cfg:      cfg,
		verify:   make(chan struct{}, verifyAtOnce),
		failures: newFailures(60, time.Minute),
		people:   newFailures(30, time.Minute),
		asks:     newFailures(30, time.Minute),
		commands: newFailures(10, time.Minute),
		tokens:   newFailures(30, time.Minute),
		acts:     newFailures(60, time.Minute),

		challenges: challenges{open: map[string]challenge{}, proven: map[[32]byte]time.Time{}},
		proven:     proven{of: map[[32]byte]proof{}},
	}
}

// Login asks for a session (docs/protocol.md §1.1).
type Login struct {
	Proof
	Room   string // "": the one that has the widget
	Widget string
}

// Granted is a new session.
type Granted struct {
	Token   string
	Expires time.Duration
	Session StoredSession
	Role    board.Role
}

// Proof of who somebody is: an OpenID token of their homeserver.
type Proof struct {
	Server string // matrix_server_name
	Token  string // OpenID access_token
	From   netip.Addr
}

// Login verifies the token at its homeserver, then membership, then the widget, in this order.
func (s *Service) Login(ctx context.Context, l Login) (g Granted, err error) {
	if err := l.valid(); err != nil {
		return Granted{}, err
	}
	err = s.slowed(l.From, func() error {
		g, err = s.login(ctx, l)
		return err
	})
	return g, err
}

// Prove answers who somebody is, once for each proof; it gives access to nothing.
func (s *Service) Prove(ctx context.Context, p Proof) (user string, err error) {
	if err := p.valid(); err != nil {
		return "", err
	}
	err = s.slowed(p.From, func() error {
		user, err = s.prove(ctx, p)
		return err
	})
	return user, err
}

// ProveFor answers who somebody is, once for each purpose: a client that repeats a request whose answer it did not get may do so for five minutes, anything else
// with the same proof is refused. It gives access to nothing.
func (s *Service) ProveFor(ctx context.Context, p Proof, purpose string) (user string, err error) {
	if err := p.valid(); err != nil {
		return "", err
	}
	if user, ok := s.proven.find(p.hash(), purpose, s.cfg.Now()); ok {
		return user, nil
	}
	err = s.slowed(p.From, func() error {
		if user, err = s.prove(ctx, p); err == nil {
			s.proven.keep(p.hash(), purpose, user, s.cfg.Now())
		}
		return err
	})
	return user, err
}

// slowed does nothing for an address from which too many proofs of identity have failed. Only these count: somebody who proved who they are and may not
// enter counts by person, so that a class whose room has closed does not lock out the school.
func (s *Service) slowed(from netip.Addr, do func() error) error {
	where := s.address(from)
	if wait := s.failures.blocked(where, s.cfg.Now()); wait > 0 {
		return &Error{Status: 429, Code: "rate_limited", Message: "Too many failed sign-ins from this network. Wait a moment and try again.", RetryAfter: wait}
	}
	err := do()
	if e, ok := errors.AsType[*Error](err); ok && e.Status == 401 {
		s.failures.add(where, s.weight(from), s.cfg.Now())
	}
	return err
}

func (s *Service) prove(ctx context.Context, p Proof) (string, error) {
	select {
	case s.verify <- struct{}{}:
		defer func() { <-s.verify }()
	default:
		return "", &Error{Status: 503, Code: "overloaded", Message: "Too many people are signing in at this moment. Trying again.", RetryAfter: time.Second}
	}
	user, err := s.cfg.Verifier.Verify(ctx, p.Server, p.Token)
	if err != nil {
		return "", verifyError(err)
	}
	if wait := s.people.blocked(user, s.cfg.Now()); wait > 0 {
		return "", &Error{Status: 429, Code: "rate_limited", Message: "You signed in many times within a minute. Wait a moment.", RetryAfter: wait}
	}
	s.people.add(user, 1, s.cfg.Now())
	fresh, err := s.cfg.Store.SpendOpenID(ctx, p.hash(), s.cfg.Now().Add(openIDMemory))
	if err != nil {
		return "", internal(err)
	}
	if !fresh {
		return "", &Error{Status: 401, Code: "openid_replayed", Message: "This proof of identity has been used before. Reload the widget to get a new one."}
	}
	return user, nil
}

func (s *Service) login(ctx context.Context, l Login) (Granted, error) {
	if age := s.cfg.Rooms.Age(); age > staleNew {
		return Granted{}, stale(age)
	}
	user, err := s.prove(ctx, l.Proof)
	if err != nil {
		return Granted{}, err
	}
	if l.Room == "" {
		var ok bool
		if l.Room, ok = s.cfg.Rooms.RoomOf(user, l.Widget); !ok {
			return Granted{}, &Error{Status: 404, Code: "no_widget", Message: "Your Matrix client does not say which room this is, and no single room that you and Lectern are members of has this widget."}
		}
	}
	joined, err := s.cfg.Rooms.Confirm(ctx, l.Room, user)
	if err != nil {
		return Granted{}, &Error{Status: 503, Code: "homeserver_unreachable", Message: "Lectern's homeserver does not answer, so membership of this room cannot be checked. Trying again.", RetryAfter: 5 * time.Second, Cause: err}
	}
	standing, known := s.cfg.Rooms.Standing(l.Room, user)
	if !joined || !known || !standing.Joined {
		return Granted{}, &Error{Status: 403, Code: "not_joined", Message: "You are not a member of this room, or Lectern is not. A moderator can invite the Lectern account."}
	}
	if _, replaced := s.cfg.Rooms.Successor(l.Room); replaced {
		return Granted{}, errReplaced()
	}
	w, ok := s.cfg.Rooms.Widget(l.Room, l.Widget)
	if !ok {
		return Granted{}, &Error{Status: 404, Code: "no_widget", Message: "This room has no such Lectern widget. It may have been removed or edited; a moderator can add it again."}
	}
	bound, err := s.cfg.Store.BindBoard(ctx, w.Board, s.cfg.Rooms.Origin(l.Room, w.Board), w.Kind)
	if err != nil {
		return Granted{}, internal(err)
	}
	if next, _ := s.cfg.Rooms.Successor(bound); bound != l.Room && next == l.Room {
		return Granted{}, &Error{Status: 503, Code: "board_moving", Message: "The board is on its way from the room that this one replaces. Trying again.", RetryAfter: time.Second}
	}
	if bound != l.Room {
		return Granted{}, &Error{Status: 409, Code: "board_elsewhere", Message: "This widget points to a board of another room. Remove it and add a new one."}
	}
	now := s.cfg.Now()
	st := StoredSession{Person: board.Person(user), Room: l.Room, Widget: l.Widget, Board: w.Board, Kind: w.Kind, Issued: now, Expires: now.Add(TokenIdle)}
	token, err := s.issue(ctx, &st)
	if err != nil {
		return Granted{}, err
	}
	role, _ := s.Role(l.Room, st.Person)
	return Granted{Token: token, Expires: TokenIdle, Session: st, Role: role}, nil
}

func (s *Service) issue(ctx context.Context, st *StoredSession) (string, error) {
	var b [32]byte
	rand.Read(b[:])
	token := base64.RawURLEncoding.EncodeToString(b[:])
	st.TokenHash = tokenHash(token)
	if err := s.cfg.Store.PutSession(ctx, *st); err != nil {
		return "", internal(err)
	}
	return token, nil
}

func tokenHash(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// stale: who is in a room is not known well enough.
func stale(age time.Duration) *Error {
	return &Error{
		Status: 503, Code: "sync_stale", RetryAfter: 5 * time.Second, Cause: fmt.Errorf("last sync %s ago", age.Round(time.Second)),
		Message: "Lectern has lost touch with its homeserver and cannot check who is in this room. It keeps trying.",
	}
}

// Stale says whether the homeserver has been silent for so long that nobody may go on.
func (s *Service) Stale() bool { return s.cfg.Rooms.Age() > s.cfg.Outage }

var errUnknown = &Error{Status: 401, Code: "session_unknown", Message: "This session has ended. Reload the widget."}

// Authenticate answers the session of a token and slides its expiry. A person who is no longer joined has no session. While the homeserver does not
// answer, whoever was let in may come back for a while: it can remove nobody then, and their network may well break at the same time.
func (s *Service) Authenticate(ctx context.Context, token string) (StoredSession, error) {
	if len(token) != 43 {
		return StoredSession{}, errUnknown
	}
	st, err := s.cfg.Store.Session(ctx, tokenHash(token))
	if errors.Is(err, ErrNoSession) {
		return StoredSession{}, errUnknown
	}
	if err != nil {
		return StoredSession{}, internal(err)
	}
	now := s.cfg.Now()
	if !now.Before(st.Expires) || !now.Before(st.Issued.Add(TokenLife)) {
		return StoredSession{}, errUnknown
	}
	if age := s.cfg.Rooms.Age(); age > s.cfg.Outage {
		return StoredSession{}, stale(age)
	}
	if _, replaced := s.cfg.Rooms.Successor(st.Room); replaced {
		return StoredSession{}, errReplaced()
	}
	if role, _ := s.Role(st.Room, st.Person); role == board.RoleNone {
		return StoredSession{}, &Error{Status: 403, Code: "not_joined", Message: "You are no longer a member of this room."}
	}
	if until := slide(st, now); until.Sub(st.Expires) >= slideEvery {
		st.Expires = until
		if err := s.cfg.Store.PutSession(ctx, st); err != nil {
			return StoredSession{}, internal(err)
		}
	}
	return st, nil
}

func errReplaced() *Error {
	return &Error{Status: 409, Code: board.ErrUpgraded.Code(), Message: board.ErrUpgraded.Public()}
}

func slide(st StoredSession, now time.Time) time.Time {
	until, last := now.Add(TokenIdle), st.Issued.Add(TokenLife)
	if until.After(last) {
		return last
	}
	return until
}

// Refresh gives a new token for the same session; the old one lives on for half a minute so that requests on their way do not fail.
func (s *Service) Refresh(ctx context.Context, token string) (string, time.Duration, error) {
	st, err := s.Authenticate(ctx, token)
	if err != nil {
		return "", 0, err
	}
	now := s.cfg.Now()
	old := st
	st.Expires = slide(st, now)
	fresh, err := s.issue(ctx, &st)
	if err != nil {
		return "", 0, err
	}
	if until := now.Add(refreshGrace); until.Before(old.Expires) {
		old.Expires, old.Issued = until, until.Add(-TokenLife) // using it must not make it live longer
		if err := s.cfg.Store.PutSession(ctx, old); err != nil {
			return "", 0, internal(err)
		}
	}
	return fresh, st.Expires.Sub(now), nil
}

// Logout ends a session.
func (s *Service) Logout(ctx context.Context, token string) error {
	ctx = context.WithoutCancel(ctx) // the page that signs out is closing and does not wait for the answer
	h := tokenHash(token)
	st, err := s.cfg.Store.Session(ctx, h)
	if errors.Is(err, ErrNoSession) {
		return nil
	}
	if err == nil {
		err = s.cfg.Store.DeleteSession(ctx, h)
	}
	if err != nil && !errors.Is(err, ErrNoSession) {
		return internal(err)
	}
	s.cfg.Revoked(st)
	return nil
}

// RoomChanged ends the sessions of everybody who is no longer joined. Called after the companion has applied a change of the room.
func (s *Service) RoomChanged(ctx context.Context, room string) error {
	list, err := s.cfg.Store.RoomSessions(ctx, room)
	if err != nil {
		return fmt.Errorf("sessions of a changed room: %w", err)
	}
	for _, st := range list {
		if role, _ := s.Role(room, st.Person); role != board.RoleNone {
			continue
		}
		if err := s.cfg.Store.DeleteSession(ctx, st.TokenHash); err != nil && !errors.Is(err, ErrNoSession) {
			return fmt.Errorf("end the session of somebody who left: %w", err)
		}
		s.cfg.Revoked(st)
	}
	return nil
}

// Role is the board.Authority: from power levels as in docs/ARCHITECTURE.md, as last known; none where anything is missing. That it may be too old to
// go on with is Stale's answer: a lesser role would throw away what people are writing.
func (s *Service) Role(room string, p board.Person) (board.Role, string) {
	st, ok := s.cfg.Rooms.Standing(room, string(p))
	if !ok || !st.Joined {
		return board.RoleNone, ""
	}
	return RoleOf(st, "whiteboard"), st.Name
}

// NameOf answers a person's display name in a room, "" where they are not in it, and the server's name for people of other homeservers.
func (s *Service) NameOf(room string, p board.Person) (name, external string) {
	if st, ok := s.cfg.Rooms.Standing(room, string(p)); ok && st.Joined {
		name = st.Name
	}
	_, own, _ := strings.Cut(s.cfg.Rooms.UserID(), ":")
	if _, server, _ := strings.Cut(string(p), ":"); server != own {
		external = server
	}
	return name, external
}

// RoleOf maps power levels to a role (security.md §2.2). An incomplete view fails closed to viewing.
func RoleOf(st Standing, kind string) board.Role {
	if !st.Joined {
		return board.RoleNone
	}
	if !st.Complete {
		return board.RoleViewer
	}
	switch {
	case st.Power == math.MaxInt || st.Power >= st.Levels.Moderator():
		return board.RoleModerator
	case st.Power >= st.Levels.Draw(kind):
		return board.RoleParticipant
	default:
		return board.RoleViewer
	}
}

func (p Proof) valid() error {
	switch {
	case p.Token == "" || len(p.Token) > maxTokenBytes:
		return malformed("openid.access_token")
	case p.Server == "" || len(p.Server) > 255:
		return malformed("openid.matrix_server_name")
	}
	return nil
}

func (l Login) valid() error {
	switch {
	case l.Room != "" && !strings.HasPrefix(l.Room, "!") || len(l.Room) > 255:
		return malformed("room_id")
	case l.Widget == "" || len(l.Widget) > 255:
		return malformed("widget_id")
	}
	return l.Proof.valid()
}

func malformed(what string) error {
	return &Error{Status: 400, Code: "bad_json", Message: "The sign-in request is malformed: " + what + "."}
}

func internal(err error) error {
	if errors.Is(err, board.ErrStorage) {
		return &Error{Status: 503, Code: "storage", Message: "Lectern cannot store anything now, so this board cannot begin. Trying again.", RetryAfter: 10 * time.Second, Cause: err}
	}
	return &Error{Status: 500, Code: "internal", Message: "Something went wrong inside Lectern. Nothing of your work is lost; try again.", RetryAfter: 2 * time.Second, Cause: err}
}

// coded is an error that carries a code of the protocol; server/matrix/openid answers such errors.
type coded interface{ Code() string }

func verifyError(err error) error {
	e := &Error{Status: 503, Code: "homeserver_unreachable", Message: "Your homeserver could not be asked who you are. Trying again.", RetryAfter: 5 * time.Second, Cause: err}
	c, ok := errors.AsType[interface {
		error
		coded
	}](err)
	if !ok {
		return e
	}
	switch c.Code() {
	case "openid_invalid":
		return &Error{Status: 401, Code: "openid_invalid", Message: "Your homeserver does not accept this proof of identity. Reload the widget.", Cause: err}
	case "openid_server":
		return &Error{Status: 401, Code: "openid_server", Message: "The proof of identity names a homeserver that cannot vouch for you.", Cause: err}
	case "server_denied":
		return &Error{Status: 403, Code: "server_denied", Message: "People of your homeserver are not admitted here.", Cause: err}
	case "rate_limited":
		return &Error{Status: 429, Code: "rate_limited", Message: "Many people of your homeserver are signing in. Trying again.", RetryAfter: 2 * time.Second, Cause: err}
	}
	return e
}
