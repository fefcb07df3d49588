// Package app puts the parts together: store, companion, identity, boards, checkpoints, transport, HTTP. It holds no rule of its own.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/worker"
	"github.com/educationpub/lectern/server"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/config"
	"github.com/educationpub/lectern/server/focus"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/server/matrix"
	"github.com/educationpub/lectern/server/matrix/openid"
	"github.com/educationpub/lectern/server/store"
	"github.com/educationpub/lectern/server/transport"
	"github.com/educationpub/lectern/server/turn"
	"github.com/educationpub/lectern/server/upgrade"
	"github.com/educationpub/lectern/server/wire"
	"github.com/educationpub/lectern/web"
)

// Options are what a caller adds to the configuration.
type Options struct {
	Version  string
	Log      *slog.Logger
	Listener net.Listener               // nil: cfg.Listen
	Ready    func(*server.Server) error // called once everything is up
	Boards   func(*board.Hub)           // told of the boards before Ready; for development
	// Worker is the command of the merge worker; nil: this program with "merge-worker".
	Worker []string
}

// Run serves until ctx ends, then drains. When the companion's login is gone it begins anew with another one (renew.go).
func Run(ctx context.Context, cfg *config.Config, o Options) (err error) {
	l := o.Listener
	if l == nil {
		if l, err = net.Listen("tcp", cfg.Listen); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	if ready := o.Ready; ready != nil {
		var once sync.Once // not at every new login
		o.Ready = func(s *server.Server) (err error) { once.Do(func() { err = ready(s) }); return err }
	}
	for last := (time.Time{}); ; last = time.Now() {
		err := run(ctx, cfg, o, l)
		gone, ok := errors.AsType[*signedOut](err)
		if !ok || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(time.Until(last.Add(signInEvery))):
		case <-ctx.Done():
			return nil
		}
		if err := matrix.Renew(ctx, companionConfig(cfg, o.Log), gone.login); err != nil {
			return fmt.Errorf("begin anew with another login: %w", err)
		}
		if l, err = net.Listen("tcp", l.Addr().String()); err != nil {
			return fmt.Errorf("listen again: %w", err)
		}
	}
}

func run(ctx context.Context, cfg *config.Config, o Options, l net.Listener) error {
	defer l.Close()
	p, err := build(ctx, cfg, o)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.companion.Start(ctx); isRevoked(err) {
		return p.signInAnew(ctx, err)
	} else if err != nil {
		return fmt.Errorf("sign in to the homeserver: %w", err)
	}
	if aside, err := p.checkpoints.Behind(ctx, p.store, p.companion.Stands); err != nil {
		return fmt.Errorf("compare the boards with their rooms: %w", err)
	} else if aside > 0 {
		o.Log.Warn("the database is older than the rooms: an older copy of it was put back", "boards", aside)
	}
	admin, err := listenAdmin(cfg.Data)
	if err != nil {
		return err
	}

	// The companion and the checkpointer outlive the HTTP server: while it drains, boards are still written to their rooms.
	late, stopLate := context.WithCancel(context.WithoutCancel(ctx))
	var background errgroup.Group
	ended := make(chan error, 1)
	background.Go(func() error { ended <- ignoreCancel(p.companion.Run(late)); return nil })
	background.Go(func() error { return ignoreCancel(p.checkpoints.Run(late)) })
	background.Go(func() error { return ignoreCancel(p.commands.Run(late)) })
	background.Go(func() error { return ignoreCancel(p.upgrades.Run(late)) })
	if p.calls != nil {
		background.Go(func() error { return ignoreCancel(p.calls.Run(late)) })
	}

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.housekeeping(gctx) })
	g.Go(func() error { return p.serveAdmin(gctx, admin) })
	g.Go(func() error {
		select {
		case err := <-ended:
			if isRevoked(err) {
				return p.signInAnew(gctx, err)
			}
			return err
		case <-gctx.Done():
			return nil
		}
	})
	g.Go(func() error { return p.web.Serve(gctx, l, p.drain) })
	if cfg.Metrics.Listen != "" {
		g.Go(func() error { return serveMetrics(gctx, cfg.Metrics.Listen, p.registry) })
	}
	if o.Boards != nil {
		o.Boards(p.hub)
	}
	if o.Ready != nil {
		g.Go(func() error { return o.Ready(p.web) })
	}
	o.Log.Info("serving", "version", o.Version)
	err = g.Wait()
	stopLate()
	return errors.Join(ignoreCancel(err), background.Wait())
}

func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// parts of a running Lectern. Immutable after build.
type parts struct {
	cfg         *config.Config
	log         *slog.Logger
	registry    *prometheus.Registry
	store       *store.Store
	companion   *matrix.Companion
	commands    *commands.Service
	upgrades    *upgrade.Follower
	calls       *focus.Service // nil: not configured
	identity    *identity.Service
	hub         *board.Hub
	checkpoints *checkpoint.Checkpointer
	transport   *transport.Server
	credentials *turn.Credentials // nil: no TURN server for clients
	turn        *turn.Server      // nil: none is built in
	web         *server.Server
	faults      chan struct{} // storing has begun to fail, or works again
	rooms       chan string   // rooms whose members changed, for the slower part of the reaction
	silent      silence       // owned by housekeeping
	expired     time.Time     // when archives were last looked through; owned by housekeeping
}

func build(ctx context.Context, cfg *config.Config, o Options) (_ *parts, err error) {
	p := &parts{cfg: cfg, log: o.Log, registry: prometheus.NewRegistry(), rooms: make(chan string, 256), faults: make(chan struct{}, 1)}
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	m := newMetrics(p.registry)
	p.store, err = store.Open(ctx, store.Options{
		Path: filepath.Join(cfg.Data, "lectern.db"), KeyFile: cfg.Storage.KeyFile, PlainAtRest: !*cfg.Storage.KeysAtRest,
		UnsafeNoSync: strings.EqualFold(cfg.Storage.Synchronous, "OFF"), Logger: o.Log, Committed: m.committed,
		OnFault: func(f *store.Fault) {
			m.fault(f)
			select {
			case p.faults <- struct{}{}:
			default: // boards will look anyway
			}
		},
	})
	if err != nil {
		return nil, err
	}
	mc := companionConfig(cfg, o.Log)
	mc.OnRoom = p.roomChanged
	mc.OnOverwritten = func(room, typ, key string) { p.checkpoints.Overwritten(room, typ, key) }
	mc.OnWritten = func(room, typ, key string) { p.checkpoints.Written(room, typ, key) }
	mc.OnNeedsRewrite = mc.OnOverwritten
	mc.OnMessage = func(m commands.Message) { p.commands.Heard(m) }
	mc.OnProof = func(sender, nonce string) { p.identity.Answered(sender, nonce) }
	mc.OnVisit = func() { p.commands.Look() }
	mc.OnCall = p.callChanged
	mc.OnAsked = p.asked
	p.companion, err = matrix.New(mc)
	if err != nil {
		return nil, err
	}
	var mirrors commands.Mirrors
	if cfg.Matrix.StableWidgets {
		mirrors = p.companion
	}
	p.commands = commands.New(commands.Config{
		Mirrors: mirrors,
		Rooms:   p.companion, Talk: p.companion, Memory: p.companion, Greetings: p.companion,
		Companion: cfg.Matrix.UserID, Base: strings.TrimRight(cfg.PublicURL, "/"), Icon: p.companion.Icon, Calls: cfg.Calls.LiveKitURL != "", Log: o.Log, Observe: m.command,
	})
	verifier, err := openid.New(openid.Config{
		ServerName: p.companion.ServerName(), BaseURL: cfg.Matrix.Homeserver, Allowed: cfg.OpenID.AllowedServers, Denied: cfg.OpenID.DeniedServers,
		AllowCIDRs: config.Prefixes(cfg.OpenID.AllowCIDRs), InsecureTLS: cfg.OpenID.InsecureTLS,
	})
	if err != nil {
		return nil, err
	}
	p.identity = identity.New(identity.Config{Store: p.store, Rooms: p.companion, Verifier: verifier, Log: o.Log, Schools: config.Prefixes(cfg.SchoolRanges), Outage: time.Duration(cfg.Matrix.Outage), Revoked: p.revoked})
	if err := p.boards(o, m); err != nil {
		return nil, err
	}
	if err := p.focus(ctx, m); err != nil {
		return nil, err
	}
	if err := p.openTURN(); err != nil {
		return nil, err
	}
	p.upgrades = upgrade.New(upgrade.Config{Rooms: p.companion, Boards: p.store, Mover: p.checkpoints, Log: o.Log})
	p.web, err = server.New(server.Config{
		PublicURL: cfg.PublicURL, ClientOrigins: cfg.ClientOrigins, TrustedProxies: config.Prefixes(cfg.TrustedProxies), Version: o.Version,
		Companion: cfg.Matrix.UserID, ArchiveDays: cfg.Storage.ArchiveDays, Dist: web.Files(), Identity: p.identity, Challenge: cfg.ModeratorProof == "challenge", Encrypted: p.companion.Encrypted, RoomName: p.roomName, Icons: p.companion.Icons, Boards: p.store, Snapshots: p.checkpoints,
		Scene: p.scene, AddPage: p.addPage, Rule: p.rule, Gather: p.gather, Hand: p.hand, LetErase: p.letErase, History: history{p.hub}, Show: p.commands.Show, Roles: p.commands, Setup: p.commands, Homes: p.checkpoints, Calls: p.callsForWeb(), ElementCall: cfg.Calls.ElementCallURL, Connect: p.transport, ICE: p.iceServers, Ready: p.ready, Registry: p.registry, Log: o.Log,
	})
	return p, err
}

// boards builds the merge worker, checkpoints, the hub and its connections.
func (p *parts) boards(o Options, m *appMetrics) (err error) {
	command := o.Worker
	if command == nil {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the merge worker: %w", err)
		}
		command = []string{self, "merge-worker"}
	}
	pool := worker.New(worker.Config{Command: command, Timeout: time.Duration(p.cfg.Worker.Timeout), Parallel: p.cfg.Worker.Parallel})
	p.checkpoints = checkpoint.New(checkpoint.Config{
		Home: p.cfg.Matrix.UserID, Room: p.companion, Store: p.store, Log: p.store, Merger: pool,
		Homes: p.store, Moves: p.store, Boards: func() checkpoint.Boards { return p.hub }, Accepting: len(p.cfg.Matrix.AcceptCompanions) > 0, TakeoverAfter: time.Duration(p.cfg.TakeoverAfter),
		Saved: func(id board.ID, s board.Saved) { p.hub.Saved(id, s) }, Observe: m.checkpoint, Logger: o.Log,
	})
	p.hub = board.NewHub(board.Config{
		Log: p.store, Checkpoints: p.checkpoints, Authority: p.identity.Role, Storage: p.store.Fault, Encode: wire.AppendEntry, Verify: p.checkpoints.Verify,
		Server: board.Person(p.cfg.Matrix.UserID), Logger: o.Log, Observe: m.observe(),
	})
	p.transport, err = transport.New(transport.Config{
		Hub: p.hub, Authenticate: p.authenticate, Origins: []string{p.cfg.PublicURL}, ServerName: p.companion.ServerName(), Companion: p.cfg.Matrix.UserID,
		ClientIP: server.ClientIP,
		RTC:      transport.RTC{Listen: p.cfg.RTC.Listen, PublicIP: p.cfg.RTC.PublicIP, Loopback: p.cfg.RTC.Loopback, LogPeople: p.cfg.RTC.LogPeople},
		Logger:   o.Log,
	})
	if err != nil {
		return err
	}
	m.transport(p.registry, p.transport.Stats)
	return nil
}

// authenticate answers what the first frame's token stands for. Membership is the companion's view (SPEC AU9).
func (p *parts) authenticate(ctx context.Context, token string) (transport.Auth, error) {
	st, err := p.identity.Authenticate(ctx, token)
	if err != nil {
		return transport.Auth{}, refusal(err)
	}
	return transport.Auth{
		Person: st.Person, Room: st.Room, Kind: st.Kind, Board: st.Board, SessionKey: st.Key(), Encrypted: p.companion.Encrypted(st.Room),
		Expires: st.Issued.Add(identity.TokenLife),
	}, nil
}

// refusal turns identity's answer into the WebSocket's (docs/protocol.md §6).
func refusal(err error) error {
	e, ok := errors.AsType[*identity.Error](err)
	if !ok {
		return err
	}
	r := &transport.Refusal{Close: wire.CloseBoardFailed, Code: e.Code, Message: e.Message, Retry: e.RetryAfter}
	switch e.Status {
	case 401:
		r.Close = wire.CloseUnauthorized
	case 403:
		r.Close, r.Retry = wire.CloseRemoved, -1
	case 409:
		r.Retry = -1
	}
	return r
}

// roomChanged runs on the companion's goroutine: boards re-evaluate at once, tokens are revoked a moment later.
func (p *parts) roomChanged(room string) {
	p.hub.Recheck(room)
	p.checkpoints.Recheck(room)
	p.upgrades.Look()
	p.commands.Changed()
	select {
	case p.rooms <- room:
	default: // full: Authenticate checks membership anyway, only the token's death is late
		p.log.Warn("many rooms change at once; sessions of people who left are refused but not yet deleted")
	}
}

func (p *parts) revoked(st identity.StoredSession) {
	p.transport.Revoke(st.Key(), "session_unknown", "This session has ended.")
}

const staleReady = 30 * time.Second

func (p *parts) ready() error {
	if f, ok := errors.AsType[*store.Fault](p.store.Fault()); ok {
		return errors.New("nothing can be stored, boards are read-only: " + f.Advice())
	}
	if p.companion.Age() > staleReady {
		return errors.New("no touch with the homeserver for more than 30 s")
	}
	return nil
}

// housekeeping revokes tokens, sweeps what has expired, and reacts to the homeserver's silence and return.
func (p *parts) housekeeping(ctx context.Context) error {
	sweep, watch := time.NewTicker(10*time.Minute), time.NewTicker(2*time.Second)
	defer sweep.Stop()
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case room := <-p.rooms:
			if err := p.identity.RoomChanged(ctx, room); err != nil && ctx.Err() == nil {
				p.log.Error("sessions of people who left could not be deleted", "err", err)
			}
		case <-p.faults:
			p.hub.Recheck("")
		case <-sweep.C:
			if err := p.sweep(ctx, time.Now()); err != nil && ctx.Err() == nil && p.store.Fault() == nil {
				p.log.Warn("sweep", "err", err)
			}
		case <-watch.C:
			p.touch()
		}
	}
}

// drain: sessions are told to come back, boards are written to their rooms.
func (p *parts) drain(ctx context.Context) {
	p.transport.Shutdown(ctx)
	if err := p.hub.Drain(ctx); err != nil {
		p.log.Error("drain boards", "err", err)
	}
	if err := p.checkpoints.Flush(ctx); err != nil {
		p.log.Warn("some boards were not written to their rooms; the next start does it", "err", err)
	}
}

func (p *parts) close() {
	if p.turn != nil {
		if err := p.turn.Close(); err != nil {
			p.log.Warn("close TURN", "err", err)
		}
	}
	if p.companion != nil {
		if err := p.companion.Close(); err != nil {
			p.log.Warn("close companion", "err", err)
		}
	}
	if p.store != nil {
		if err := p.store.Close(); err != nil {
			p.log.Error("close store", "err", err)
		}
	}
}
