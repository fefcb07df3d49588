package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"gopkg.in/yaml.v3"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server"
	"github.com/educationpub/lectern/server/config"
	"github.com/educationpub/lectern/server/devstack"
)

// DevOptions are the flags of `lectern dev`.
type DevOptions struct {
	Dir, ReadyFile                      string
	Port, ClassroomPort, HomeserverPort int
	Plain, Federation, SecondHomeserver bool
	NoKeysAtRest, NoDataChannel         bool
	Instance                            string        // another Lectern: its own account and data, beside the first one's
	RateLimits                          bool          // the homeserver's default limits
	Synapse                             string        // a folder of .ci/synapse: that homeserver instead of Dendrite
	Outage                              time.Duration // matrix.outage, which may be shorter here than an operator may set it; 0: the default
	Metrics                             string        // address of /metrics, "" for none
	StableWidgets                       bool          // as in the configuration
	ModeratorProof                      string        // as in the configuration
	Calls                               config.Calls  // as in the configuration
	LiveKit                             bool          // a LiveKit of its own, for calls
	Turn                                config.Turn   // as in the configuration; zero: built in, on any port
	Client                              string        // origin of another Matrix client that may show widgets, "" for none
	Version                             string
	Out                                 io.Writer             // progress for people
	Started                             func(*devstack.Stack) // told once the homeserver is up; tests add people
	Log                                 *slog.Logger
}

// Dev starts a homeserver, Lectern and the classroom page on loopback and stays until ctx ends. The classroom is on 127.0.0.1 and the widgets on
// localhost: different sites for the browser, as with Element (decision 24), and both secure contexts.
func Dev(ctx context.Context, o DevOptions) error {
	start := time.Now()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	ports := loadPorts(o)
	lectern, err := listen(ports.Lectern, o.Port)
	if err != nil {
		return err
	}
	defer lectern.Close()
	classroom, err := listen(ports.Classroom, o.ClassroomPort)
	if err != nil {
		return err
	}
	defer classroom.Close()
	lecternURL := fmt.Sprintf("http://localhost:%d", port(lectern))
	classroomURL := fmt.Sprintf("http://127.0.0.1:%d", port(classroom))
	if err := ports.save(o.Dir, port(lectern), port(classroom)); err != nil {
		return err
	}

	stack, err := devstack.Up(ctx, devstack.UpOptions{
		Dir: filepath.Join(o.Dir, "stack"), LecternURL: lecternURL, HTTPPort: o.HomeserverPort,
		Plain: o.Plain, Federation: o.Federation, Second: o.SecondHomeserver, Instance: o.Instance, RateLimits: o.RateLimits, Synapse: o.Synapse, Progress: o.Out,
	})
	if err != nil {
		return err
	}
	defer stack.Stop()
	if o.Started != nil {
		o.Started(stack)
	}
	if len(o.Turn.URLs) == 0 && o.Turn.Listen == "" {
		o.Turn.Listen = "127.0.0.1:0"
	}
	if o.LiveKit {
		sfu, err := devLiveKit(ctx, &o, lecternURL)
		if err != nil {
			return err
		}
		defer sfu.Stop()
	}
	cfg, err := devConfig(o, stack, lecternURL, classroomURL)
	if err != nil {
		return err
	}

	fmt.Fprintln(o.Out, "Lectern: starting")
	var boards atomic.Pointer[board.Hub]
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return Run(gctx, cfg, Options{Version: o.Version, Log: o.Log, Listener: lectern, Boards: boards.Store, Ready: func(s *server.Server) error {
			page := http.NewServeMux()
			page.Handle("/", s.Classroom(devClassroom(stack, cfg, o.Version)))
			page.HandleFunc("POST /dev/squash/{board}/{doc}", devSquash(&boards))
			srv := server.Listener(page)
			g.Go(func() error { return srv.Serve(classroom) })
			g.Go(func() error { <-gctx.Done(); return srv.Close() })
			if err := awaitCompanion(gctx, stack, lecternURL); err != nil {
				return err
			}
			if o.ReadyFile != "" {
				if err := devstack.WriteReady(o.ReadyFile, stack.Ready(lecternURL, classroomURL)); err != nil {
					return err
				}
			}
			fmt.Fprintf(o.Out, "\nReady after %s.\n\n  Open %s and sign in as Ms Rivera (teacher) with one click.\n  Open it in a second, private window as Ada (student).\n\nCtrl-C stops everything; what was drawn stays in %s.\n", time.Since(start).Round(time.Second/10), classroomURL, o.Dir)
			return nil
		}})
	})
	err = g.Wait()
	if errors.Is(err, context.Canceled) || ctx.Err() != nil && isClosed(err) {
		return nil
	}
	return err
}

// devSquash begins a document's next epoch at once, so that tests in browsers need not draw a thousand strokes first.
func devSquash(boards *atomic.Pointer[board.Hub]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := boards.Load().Squash(r.Context(), board.ID(r.PathValue("board")), board.DocID(r.PathValue("doc"))); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func isClosed(err error) bool { return err == nil || strings.Contains(err.Error(), "Server closed") }

// awaitCompanion waits until the companion has joined the demo room and Lectern knows it, so that the widget lets people in: the teacher signs in.
func awaitCompanion(ctx context.Context, s *devstack.Stack, lectern string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	teacher := s.Client("teacher")
	if err := teacher.AwaitMembership(ctx, s.RoomID, s.Companion.UserID, "join"); err != nil {
		return fmt.Errorf("the Lectern account did not join the demo room: %w", err)
	}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := signInAndOut(ctx, teacher, s, lectern)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody can sign in to the whiteboard: %w", err)
		case <-time.After(wait):
		}
	}
}

// signInAndOut does what a widget does first and last.
func signInAndOut(ctx context.Context, c *devstack.Client, s *devstack.Stack, lectern string) error {
	id, err := c.OpenID(ctx)
	if err != nil {
		return err
	}
	widget := &devstack.Client{BaseURL: lectern}
	var session struct {
		Token string `json:"token"`
	}
	body := map[string]any{"openid": id, "room_id": s.RoomID, "widget_id": s.Widgets[0].ID}
	if err := widget.Do(ctx, http.MethodPost, "/v1/sessions", body, &session); err != nil {
		return err
	}
	widget.AccessToken = session.Token
	return widget.Do(ctx, http.MethodDelete, "/v1/sessions", nil, nil)
}

func devConfig(o DevOptions, s *devstack.Stack, lectern, classroom string) (*config.Config, error) {
	data := filepath.Join(o.Dir, "lectern")
	if o.Instance != "" {
		data += "-" + o.Instance
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	pw := filepath.Join(data, "companion-password")
	if err := os.WriteFile(pw, []byte(s.Companion.Password), 0o600); err != nil {
		return nil, err
	}
	clients := []string{classroom}
	if o.Client != "" {
		clients = append(clients, o.Client)
	}
	cfg := &config.Config{
		PublicURL: lectern, Data: data, ClientOrigins: clients, ModeratorProof: o.ModeratorProof, Calls: o.Calls,
		Matrix:  config.Matrix{Homeserver: s.Homeserver.URL(), UserID: s.Companion.UserID, PasswordFile: pw, AcceptCompanions: s.Others, StableWidgets: o.StableWidgets},
		OpenID:  config.OpenID{AllowCIDRs: []string{"127.0.0.0/8", "::1/128"}, InsecureTLS: true},
		RTC:     config.RTC{Listen: "127.0.0.1:0", Loopback: true},
		Turn:    o.Turn,
		Storage: config.Storage{KeysAtRest: new(!o.NoKeysAtRest)},
		Metrics: config.Metrics{Listen: o.Metrics},
	}
	if o.NoDataChannel {
		cfg.RTC.Listen, cfg.Turn = "", config.Turn{}
	}
	cfg.Defaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := writeConfig(filepath.Join(o.Dir, "lectern.yaml"), cfg); err != nil {
		return nil, err
	}
	if o.Outage > 0 {
		cfg.Matrix.Outage = config.Duration(o.Outage)
	}
	return cfg, nil
}

// writeConfig lets the operator's commands be tried on the development stack: lectern backup -config .dev/lectern.yaml …
func writeConfig(path string, cfg *config.Config) error {
	b, err := yaml.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.WriteFile(path, b, 0o600)
}

func devClassroom(s *devstack.Stack, cfg *config.Config, version string) server.ClassroomConfig {
	c := server.ClassroomConfig{Lectern: cfg.PublicURL, Companion: s.Companion.UserID, Version: version, ElementCall: strings.TrimRight(cfg.Calls.ElementCallURL, "/")}
	if cfg.Calls.LiveKitURL != "" { // the homeserver of this stack does not name it (MSC4143)
		c.RTCTransport = cfg.PublicURL + "/livekit/jwt"
	}
	for _, h := range s.Homeservers() { // people sign in at the one that their user id names
		c.Homeservers = append(c.Homeservers, server.Homeserver{Name: h.Name(), URL: h.URL()})
	}
	for i, u := range s.Users {
		role := "student"
		if i == 0 {
			role = "teacher"
		}
		c.DemoUsers = append(c.DemoUsers, server.DemoUser{UserID: u.UserID, Password: u.Password, Name: u.Name, Role: role})
	}
	return c
}

// ports of the last start are used again if free: browsers keep their sign-in and consent per origin.
type ports struct {
	Lectern   int `json:"lectern"`
	Classroom int `json:"classroom"`
}

const portsFile = "ports.json"

func loadPorts(o DevOptions) (p ports) {
	if b, err := os.ReadFile(filepath.Join(o.Dir, portsFile)); err == nil {
		_ = json.Unmarshal(b, &p) // a spoilt file only costs the old ports
	}
	return p
}

func (p ports) save(dir string, lectern, classroom int) error {
	b, err := json.Marshal(ports{lectern, classroom})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, portsFile), b, 0o600)
}

// listen takes the wanted port, else the last one if it is free, else any.
func listen(last, wanted int) (net.Listener, error) {
	if wanted != 0 {
		return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", wanted))
	}
	if last != 0 {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", last)); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
