// Package matrix is the companion: the ordinary Matrix account through which Lectern is a member of rooms. It owns companion.db (its device, its
// own Megolm keys, its access token), its own view of rooms from /sync (the only source of authorisation), and the encrypted state events that keep
// boards in rooms. It does not read chat: room keys that it did not create never reach its disk, except where it is spoken to (reading.go). It refuses to write encrypted state under
// a key that is not in the key backup, and to read state that fails any check of SPEC MX.
//
// This package and its openid package are the only importers of mautrix.
package matrix

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.mau.fi/util/dbutil"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/focus"
	"github.com/educationpub/lectern/server/identity"
)

// Config of the companion. Callbacks may be nil; they run on the companion's goroutines and must return at once.
type Config struct {
	// Homeserver is the client-server base URL.
	Homeserver string
	// UserID is the companion's full Matrix id.
	UserID string
	// PasswordFile holds its password; read for the first login, and when the homeserver wants it again to replace cross-signing keys.
	PasswordFile string
	// DataDir holds companion.db. Created with mode 0700.
	DataDir string
	// PickleKeyFile holds the secret that encrypts key material in companion.db. Made (mode 0600) where it does not exist. Default DataDir/companion.key.
	PickleKeyFile string
	// RecoveryKeyFile receives the recovery key at first start (mode 0600) and is read when companion.db is new. Default DataDir/recovery-key.txt.
	RecoveryKeyFile string
	// AllowInviters are globs over Matrix ids ("@*:school.example") or server names ("*.school.example"). Default: the companion's own server.
	AllowInviters []string
	// WidgetBases are Lectern's own base URLs ("https://lectern.school.example"); a widget is ours when its URL is base + "/widgets/" + kind.
	WidgetBases []string
	// Accepts are senders of checkpoints that are believed besides the companion itself.
	Accepts []string
	// AllowNoBackup lets encrypted state be written while no key backup exists.
	AllowNoBackup bool

	// OnRoom: membership, power levels, encryption or widgets of a room have changed, or the companion came or went. The view shows it already.
	OnRoom func(room string)
	// OnCall: a device came to a room's call or left it, or the room's policy for calls has changed.
	OnCall func(room string)
	// OnOverwritten: a content event of ours was redacted or written by somebody who is not accepted.
	OnOverwritten func(room, typ, key string)
	// OnWritten: another companion that is accepted has written an event of these types, or had when this one started.
	OnWritten func(room, typ, key string)
	// OnNeedsRewrite: somebody new cannot read a content event and its saved key is gone; only writing it again helps.
	OnNeedsRewrite func(room, typ, key string)

	// OnMessage: somebody has written where the companion may read (reading.go).
	OnMessage func(commands.Message)
	// OnProof: somebody has answered a challenge by a to-device message; the homeserver says who.
	OnProof func(sender, nonce string)
	// OnAsked: an accepted companion asks for something; the answer goes back. It may take a few seconds.
	OnAsked func(ctx context.Context, companion string, q focus.Question) focus.Answer
	// OnVisit: a greeting may be due.
	OnVisit func()

	Logger *slog.Logger
}

// Companion implements identity.Rooms, checkpoint.Room and what commands need. Its methods are safe for concurrent use after Start.
type Companion struct {
	// Immutable after New.
	cfg    Config
	log    *slog.Logger
	user   id.UserID
	server string
	accept map[string]bool

	// Immutable after Start.
	db       *dbutil.Database
	seal     sealer
	client   *mautrix.Client
	syncHTTP *http.Client
	keys     *ownKeys
	machine  *crypto.OlmMachine

	view     view
	since    string                    // owned by Start, then by the syncer
	lastSync atomic.Pointer[time.Time] // when the last /sync completed, monotonic: a step of the clock makes nobody's rights older or younger
	inbox    chan cryptoBatch
	invites  chan invite
	late     lateKeys
	asking   asking
	held     held
	visits   visits
	icons    icons
	saved    time.Time // when the position in the stream was last kept; owned like since

	// Guarded by writeMu: one lock per room that has been written to. Bounded by the rooms the companion is in.
	writeMu sync.Mutex
	writing map[string]*sync.Mutex
	media   mediaLimit
	backup  atomic.Pointer[keyBackup] // nil until the key backup exists
	ready   atomic.Bool               // setUpKeys is done
}

var (
	_ identity.Rooms  = (*Companion)(nil)
	_ checkpoint.Room = (*Companion)(nil)

	_ commands.Rooms     = (*Companion)(nil)
	_ commands.Talk      = (*Companion)(nil)
	_ commands.Memory    = (*Companion)(nil)
	_ commands.Greetings = (*Companion)(nil)
)

// New checks the configuration; it opens and asks nothing.
func New(cfg Config) (*Companion, error) {
	user := id.UserID(cfg.UserID)
	_, server, err := user.ParseAndValidateRelaxed()
	if err != nil {
		return nil, fmt.Errorf("matrix: user id %q: %w", cfg.UserID, err)
	}
	if cfg.Homeserver == "" || cfg.DataDir == "" {
		return nil, errors.New("matrix: homeserver and data folder are needed")
	}
	if cfg.RecoveryKeyFile == "" {
		cfg.RecoveryKeyFile = filepath.Join(cfg.DataDir, "recovery-key.txt")
	}
	if cfg.PickleKeyFile == "" {
		cfg.PickleKeyFile = filepath.Join(cfg.DataDir, "companion.key")
	}
	if len(cfg.AllowInviters) == 0 {
		cfg.AllowInviters = []string{server}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	for i, b := range cfg.WidgetBases {
		cfg.WidgetBases[i] = strings.TrimRight(b, "/")
	}
	c := &Companion{
		cfg: cfg, log: cfg.Logger, user: user, server: server,
		accept:  map[string]bool{cfg.UserID: true},
		inbox:   make(chan cryptoBatch, 1024),
		invites: make(chan invite, 1024),
		writing: map[string]*sync.Mutex{},
	}
	for _, a := range cfg.Accepts {
		c.accept[a] = true
	}
	c.view.rooms = map[string]*room{}
	c.view.me = cfg.UserID
	c.view.bases = cfg.WidgetBases
	c.late.init()
	c.asking.init()
	c.held.invited = map[string]invitedBy{}
	return c, nil
}

// UserID is the companion's own Matrix id.
func (c *Companion) UserID() string { return c.cfg.UserID }

// ServerName is the name of the companion's homeserver.
func (c *Companion) ServerName() string { return c.server }

// Start opens companion.db, logs in or resumes, sets up cross-signing and key backup, and returns after the first complete /sync. While the
// homeserver cannot be reached it keeps trying until ctx ends. A *checkpoint.RoomError of kind Revoked means that the stored access token is gone.
func (c *Companion) Start(ctx context.Context) error {
	if err := os.MkdirAll(c.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("matrix: data folder: %w", err)
	}
	if err := c.openDB(ctx); err != nil {
		return err
	}
	if err := c.retry(ctx, "log in", c.login); err != nil {
		return err
	}
	if err := c.retry(ctx, "upload device keys", c.loadMachine); err != nil {
		return err
	}
	if err := c.retry(ctx, "set up cross-signing and key backup", c.setUpKeys); err != nil {
		if ctx.Err() != nil || isKind(err, checkpoint.Revoked) {
			return err
		}
		c.log.Error("encrypted rooms cannot be written to: no key backup; trying again every minute", "err", err)
	}
	// mautrix fills this cache on first use without a lock; from here on it is only read.
	if _, err := c.machine.GetOwnCrossSigningPublicKeys(ctx); err != nil {
		c.log.Warn("own cross-signing keys", "err", requestError("keys/query", err))
	}
	return c.retry(ctx, "first sync", c.firstSync)
}

// Run keeps the companion going until ctx ends (then it answers nil). It returns an error only when an operator must act: a *checkpoint.RoomError
// of kind Revoked.
func (c *Companion) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.syncLoop(ctx) })
	g.Go(func() error { c.cryptoLoop(ctx); return nil })
	g.Go(func() error { c.lateLoop(ctx); return nil })
	g.Go(func() error { c.inviteLoop(ctx); return nil })
	g.Go(func() error { c.answerLoop(ctx); return nil })
	g.Go(func() error { c.keysLoop(ctx); return nil })
	g.Go(func() error { c.iconLoop(ctx); return nil })
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Close closes companion.db. Run must have returned.
func (c *Companion) Close() error {
	if c.machine != nil {
		c.machine.Destroy()
	}
	if c.db == nil {
		return nil
	}
	return c.db.Close()
}

// retry repeats f while the homeserver cannot be reached or asks for patience.
func (c *Companion) retry(ctx context.Context, what string, f func(context.Context) error) error {
	wait := 250 * time.Millisecond
	for {
		err := f(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		var re *checkpoint.RoomError
		if !errors.As(err, &re) || !passing(err) {
			return fmt.Errorf("matrix: %s: %w", what, err)
		}
		c.log.Warn("homeserver not reachable, trying again", "doing", what, "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(wait, re.RetryAfter)):
		}
		wait = min(2*wait, 10*time.Second)
	}
}

// keysLoop finishes what setUpKeys could not do at start.
func (c *Companion) keysLoop(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for !c.ready.Load() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := c.setUpKeys(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("encrypted rooms cannot be written to: no key backup", "err", err)
		}
	}
}
