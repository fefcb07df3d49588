package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/server/store"
)

const (
	measured = board.ID("measuredmeasuredmeasured00")
	room     = "!measured:example.org"
)

// token is a made-up login: the server listens on loopback only.
var token = strings.Repeat("t", 43)

// rooms are one room where everybody is.
type rooms struct{ identity.Rooms }

func (rooms) Standing(string, string) (identity.Standing, bool) {
	return identity.Standing{Joined: true, Power: 100, Complete: true}, true
}
func (rooms) Age() time.Duration    { return 0 }
func (rooms) Encrypted(string) bool { return true }

// serveCommand serves the board of a folder over HTTP, and says on /usage what that has cost.
func serveCommand(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("serve", flag.ExitOnError)
	data := fs.String("data", "", "folder with a filled database")
	_ = fs.Parse(args) // exits
	s, err := store.Open(ctx, store.Options{Path: filepath.Join(*data, "lectern.db"), KeyFile: filepath.Join(*data, "key")})
	if err != nil {
		return err
	}
	f, err := newFiller(ctx, s, room, measured)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	now := time.Now()
	if err := s.PutSession(ctx, identity.StoredSession{TokenHash: sha256.Sum256([]byte(token)), Person: person, Room: room, Board: measured, Kind: f.meta.Kind, Issued: now, Expires: now.Add(identity.TokenIdle)}); err != nil {
		return errors.Join(err, s.Close())
	}
	log := slog.New(slog.DiscardHandler)
	web, err := server.New(server.Config{
		PublicURL: "http://localhost", Dist: fstest.MapFS{}, Identity: identity.New(identity.Config{Store: s, Rooms: rooms{}, Log: log}),
		Boards: s, Snapshots: f.joins, Connect: http.NotFoundHandler(), Ready: func() error { return nil }, Registry: prometheus.NewRegistry(), Log: log,
	})
	if err != nil {
		return errors.Join(err, s.Close())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, s.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/", web.Routes())
	mux.HandleFunc("/usage", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(usageNow(r.URL.Query().Has("reset")))
	})
	hs := server.Listener(mux)
	ended := make(chan error, 1)
	go func() { ended <- hs.Serve(l) }() // joined below
	docs := make([]board.DocID, len(f.meta.Docs))
	for i, d := range f.meta.Docs {
		docs[i] = d.ID
	}
	if err := json.NewEncoder(os.Stdout).Encode(serving{URL: "http://" + l.Addr().String(), Docs: docs}); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until whoever measures is gone
	err = hs.Close()
	if serr := <-ended; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return errors.Join(err, s.Close())
}

// serving is the first line of serve.
type serving struct {
	URL  string        `json:"url"`
	Docs []board.DocID `json:"docs"`
}

// usage of the serving process.
type usage struct {
	CPU  time.Duration `json:"cpu"`
	RSS  int           `json:"rss"`  // KiB now
	Peak int           `json:"peak"` // KiB since the last reset
}

func usageNow(reset bool) (u usage) {
	if reset {
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // VmHWM begins anew
	}
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err == nil {
		u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &u.RSS)
		_, _ = fmt.Sscanf(line, "VmHWM: %d kB", &u.Peak)
	}
	return u
}
