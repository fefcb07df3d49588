package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/worker"
	"github.com/educationpub/lectern/server"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/server/store"
	"github.com/educationpub/lectern/server/transport"
	"github.com/educationpub/lectern/server/wire"
)

// ready is what serve and relay print on their first line, as JSON.
type ready struct {
	URL string `json:"url"` // ws://…
	Ops string `json:"ops"` // http://… for /commits, /inside, /gc and, with -pprof, /debug/pprof/
	UDP int    `json:"udp"` // port of the data channels, 0 without
	PID int    `json:"pid"`
}

// serve runs real parts behind made-up logins. It refuses to listen anywhere but on loopback.
func serve(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("serve", flag.ExitOnError)
	data := fs.String("data", "", "folder for the database (required)")
	listen := fs.String("listen", "127.0.0.1:0", "address on loopback")
	profile := fs.Bool("pprof", false, "serve /debug/pprof/")
	full := fs.Bool("full", false, "with epochs, snapshots for joiners and saving to rooms; without, hub, log and transport alone")
	_ = fs.Parse(args) // exits
	if *data == "" {
		return errors.New("serve needs -data")
	}
	st, err := store.Open(ctx, store.Options{Path: filepath.Join(*data, "lectern.db"), KeyFile: filepath.Join(*data, "key")})
	if err != nil {
		return err
	}
	var done epochs
	seen := &commits{Log: st, at: map[board.ID]commitTimes{}}
	cfg := board.Config{
		Log:       seen,
		Authority: func(string, board.Person) (board.Role, string) { return board.RoleParticipant, "" },
		Encode:    wire.AppendEntry,
		Server:    companion,
		Observe:   board.Observe{Squash: done.squash, Late: done.late},
	}
	var hub *board.Hub
	var saver *checkpoint.Checkpointer
	saving, stopSaving := context.WithCancel(context.Background())
	defer stopSaving()
	saved := make(chan error, 1)
	if *full {
		self, err := os.Executable()
		if err != nil {
			return errors.Join(err, st.Close())
		}
		saver = checkpoint.New(checkpoint.Config{
			Home: companion, Room: &attic{state: map[[3]string]checkpoint.State{}}, Store: st, Log: st,
			Merger: worker.New(worker.Config{Command: []string{self, "merge-worker"}}),
			Saved:  func(id board.ID, s board.Saved) { hub.Saved(id, s) },
		})
		cfg.Verify, cfg.Checkpoints = saver.Verify, saver
	}
	hub = board.NewHub(cfg)
	if *full {
		go func() { saved <- saver.Run(saving) }() // joined below
	} else {
		saved <- nil
	}
	srv, err := transport.New(transport.Config{
		Hub: hub, Authenticate: authenticate, ServerName: "load.example", Companion: companion,
		RTC: transport.RTC{Listen: "127.0.0.1:0", Loopback: true}, Trace: seen.sent,
		Limits: transport.Limits{PerAddress: maxPeople, Unauthorized: maxPeople},
	})
	if err != nil {
		return errors.Join(err, st.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/connect", srv)
	mux.HandleFunc("/commits", seen.report)
	mux.HandleFunc("/stats", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(srv.Stats()) })
	mux.HandleFunc("/inside", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(inspect(*data, &done)) })
	if *full {
		face, err := documents(st, saver, srv)
		if err != nil {
			return errors.Join(err, st.Close())
		}
		mux.Handle("/v1/boards/", face)
		mux.HandleFunc("/squash", onBoard(func(ctx context.Context, id board.ID) error {
			m, err := st.Open(ctx, id)
			if err != nil {
				return err
			}
			return hub.Squash(ctx, id, m.Docs[0].ID)
		}))
		mux.HandleFunc("/save", onBoard(saver.Save))
	}
	err = listenLoopback(ctx, *listen, mux, ready{UDP: srv.UDPAddr().(*net.UDPAddr).Port}, *profile)
	end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = errors.Join(err, srv.Shutdown(end), hub.Close(end))
	stopSaving()
	if serr := <-saved; !errors.Is(serr, context.Canceled) {
		err = errors.Join(err, serr)
	}
	return errors.Join(err, st.Close())
}

// onBoard does something to the board that `board` numbers, 0 without.
func onBoard(do func(context.Context, board.ID) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("board"))
		a, err := authenticate(r.Context(), loadToken("", n))
		if err == nil {
			err = do(r.Context(), a.Board)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

// documents is the real HTTP server in front of the real snapshots; only signing in is made up.
func documents(st *store.Store, saver *checkpoint.Checkpointer, connect http.Handler) (http.Handler, error) {
	people, quiet := &logins{Store: st, seen: map[[32]byte]identity.StoredSession{}}, slog.New(slog.DiscardHandler)
	face, err := server.New(server.Config{
		Companion: companion, Dist: embed.FS{}, Boards: st, Snapshots: saver, Connect: connect,
		Identity:  identity.New(identity.Config{Store: people, Rooms: everywhere{}, Log: quiet}),
		Encrypted: everywhere{}.Encrypted, Ready: func() error { return nil }, Registry: prometheus.NewRegistry(), Log: quiet,
	})
	if err != nil {
		return nil, err
	}
	return people.admit(face.Routes()), nil
}

// listenLoopback serves until ctx ends and prints the ready line.
func listenLoopback(ctx context.Context, addr string, mux *http.ServeMux, me ready, profile bool) error {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%s is not a loopback address; logins are made up here", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	mux.HandleFunc("/gc", func(http.ResponseWriter, *http.Request) { runtime.GC(); debug.FreeOSMemory() })
	if profile {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	}
	hs := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { // ends with ctx, which the caller outlives
		<-ctx.Done()
		_ = hs.Close()
	}()
	me.URL, me.Ops, me.PID = "ws://"+l.Addr().String()+"/v1/connect", "http://"+l.Addr().String(), os.Getpid()
	if err := json.NewEncoder(os.Stdout).Encode(me); err != nil {
		return err
	}
	if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
