package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/store"
	"github.com/educationpub/lectern/server/transport"
	"github.com/educationpub/lectern/server/wire"
)

// ready is what serve and relay print on their first line, as JSON.
type ready struct {
	URL string `json:"url"` // ws://…
	Ops string `json:"ops"` // http://… for /commits, /gc and, with -pprof, /debug/pprof/
	PID int    `json:"pid"`
}

// loadToken is a made-up login: "load:<person>:<board number>".
func loadToken(person string, n int) string { return fmt.Sprintf("load:%s:%d", person, n) }

func authenticate(_ context.Context, token string) (transport.Auth, error) {
	parts := strings.Split(token, ":")
	if len(parts) != 3 || parts[0] != "load" {
		return transport.Auth{}, errors.New("not a token of lectern-load")
	}
	return transport.Auth{
		Person: board.Person("@" + parts[1] + ":load.example"), Room: "!" + parts[2] + ":load.example", Kind: "whiteboard",
		Board: board.ID(fmt.Sprintf("load%022s", parts[2])),
	}, nil
}

// serve runs real parts behind made-up logins. It refuses to listen anywhere but on loopback.
func serve(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("serve", flag.ExitOnError)
	data := fs.String("data", "", "folder for the database (required)")
	listen := fs.String("listen", "127.0.0.1:0", "address on loopback")
	profile := fs.Bool("pprof", false, "serve /debug/pprof/")
	_ = fs.Parse(args) // exits
	if *data == "" {
		return errors.New("serve needs -data")
	}
	st, err := store.Open(ctx, store.Options{Path: filepath.Join(*data, "lectern.db"), KeyFile: filepath.Join(*data, "key")})
	if err != nil {
		return err
	}
	seen := &commits{Log: st, at: map[board.ID]commitTimes{}}
	hub := board.NewHub(board.Config{
		Log:       seen,
		Authority: func(string, board.Person) (board.Role, string) { return board.RoleParticipant, "" },
		Encode:    wire.AppendEntry,
	})
	srv, err := transport.New(transport.Config{
		Hub: hub, Authenticate: authenticate, ServerName: "load.example", Companion: "@lectern:load.example",
		RTC: transport.RTC{Listen: "127.0.0.1:0", Loopback: true}, Trace: seen.sent,
		Limits: transport.Limits{PerAddress: 1000, Unauthorized: 1000},
	})
	if err != nil {
		return errors.Join(err, st.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/connect", srv)
	mux.HandleFunc("/commits", seen.report)
	mux.HandleFunc("/stats", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(srv.Stats()) })
	err = listenLoopback(ctx, *listen, mux, *profile)
	end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(err, srv.Shutdown(end), hub.Close(end), st.Close())
}

// listenLoopback serves until ctx ends and prints the ready line.
func listenLoopback(ctx context.Context, addr string, mux *http.ServeMux, profile bool) error {
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
	if err := json.NewEncoder(os.Stdout).Encode(ready{URL: "ws://" + l.Addr().String() + "/v1/connect", Ops: "http://" + l.Addr().String(), PID: os.Getpid()}); err != nil {
		return err
	}
	if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// commits notes when entries became durable, before anybody hears of them, and when they were handed to each socket.
type commits struct {
	board.Log
	mu sync.Mutex
	// Guarded by mu.
	at    map[board.ID]commitTimes
	lags  []time.Duration // commit to socket, one per frame of entries and receiver
	disks []time.Duration // Append to durable
}

// commitTimes are the commit times of a board's newest entries.
type commitTimes struct {
	first uint64 // seq of times[0]
	times []time.Time
}

const keepCommits = 4096

// Append implements board.Log.
func (c *commits) Append(id board.ID, entries []board.Entry, done func(error)) {
	first, n, start := entries[0].Seq, len(entries), time.Now()
	c.Log.Append(id, entries, func(err error) {
		now := time.Now()
		c.mu.Lock()
		t := c.at[id]
		if len(t.times) == 0 {
			t.first = first
		}
		for range n {
			t.times = append(t.times, now)
		}
		if extra := len(t.times) - keepCommits; extra > 0 {
			t.first, t.times = t.first+uint64(extra), append([]time.Time(nil), t.times[extra:]...)
		}
		c.at[id] = t
		c.disks = append(c.disks, now.Sub(start))
		c.mu.Unlock()
		done(err)
	})
}

func (c *commits) sent(id board.ID, from uint64, n int) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.at[id]
	if from < t.first || from-t.first >= uint64(len(t.times)) {
		return // from the store: a joiner's history is not a broadcast
	}
	c.lags = append(c.lags, now.Sub(t.times[from-t.first]))
}

// report answers and forgets what was measured.
func (c *commits) report(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	lags, disks := c.lags, c.disks
	c.lags, c.disks = nil, nil
	c.mu.Unlock()
	_ = json.NewEncoder(w).Encode(commitReport{Broadcast: quantiles(lags), Commit: quantiles(disks), Commits: len(disks), Frames: len(lags)})
}

type commitReport struct {
	Broadcast Quantiles `json:"commit_to_broadcast_ms"`
	Commit    Quantiles `json:"append_to_durable_ms"`
	Commits   int       `json:"commits"`
	Frames    int       `json:"frames"`
}

// Quantiles of durations in milliseconds.
type Quantiles struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func quantiles(d []time.Duration) Quantiles {
	if len(d) == 0 {
		return Quantiles{}
	}
	d = slices.Clone(d)
	slices.Sort(d)
	q := func(p float64) float64 { return d[int(p*float64(len(d)-1))].Seconds() * 1000 }
	return Quantiles{N: len(d), P50: q(.5), P95: q(.95), P99: q(.99), Max: q(1)}
}

// relay fans out and does nothing else: no check, no order, no disk. One writer goroutine per socket, a bounded queue.
func relay(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("relay", flag.ExitOnError)
	listen := fs.String("listen", "127.0.0.1:0", "address on loopback")
	_ = fs.Parse(args) // exits
	var mu sync.Mutex
	rooms := map[string]map[chan []byte]bool{}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/connect", func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{wire.Subprotocol}})
		if err != nil {
			return
		}
		defer conn.CloseNow()
		room, q := r.URL.Query().Get("room"), make(chan []byte, 1024)
		mu.Lock()
		if rooms[room] == nil {
			rooms[room] = map[chan []byte]bool{}
		}
		rooms[room][q] = true
		mu.Unlock()
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case b := <-q:
					if conn.Write(context.Background(), websocket.MessageBinary, b) != nil {
						return
					}
				case <-done:
					return
				}
			}
		})
		for {
			_, b, err := conn.Read(context.Background())
			if err != nil {
				break
			}
			mu.Lock()
			for to := range rooms[room] {
				select {
				case to <- b:
				default: // a yardstick may drop; the count of deliveries shows it
				}
			}
			mu.Unlock()
		}
		mu.Lock()
		delete(rooms[room], q)
		mu.Unlock()
		close(done)
		wg.Wait()
	})
	return listenLoopback(ctx, *listen, mux, false)
}
