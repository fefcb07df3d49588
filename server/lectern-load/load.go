package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/webrtc/v4"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// shape is a load: boards with people who each draw so often per second.
type shape struct{ boards, people, hz int }

func (s shape) String() string { return fmt.Sprintf("%dx%d@%d", s.boards, s.people, s.hz) }

// Result is one run. Latencies are from the moment before the sender's write, on one clock: all clients live in this process.
type Result struct {
	Shape      string       `json:"shape"`
	Lane       string       `json:"lane"` // "relay", "ws" or "dc"
	Seconds    float64      `json:"seconds"`
	Sent       int          `json:"sent"`
	Deliveries int64        `json:"deliveries"` // to others than the author
	Missing    int64        `json:"missing"`
	Visible    Quantiles    `json:"edit_to_visible_ms"`
	Ack        Quantiles    `json:"ack_ms"`
	Server     commitReport `json:"server"`
	CPU        float64      `json:"server_cpu_us_per_delivery"`
	ClientCPU  float64      `json:"client_cpu_us_per_delivery"`
	Ratio      float64      `json:"cpu_ratio_to_relay"`
	IdleMB     float64      `json:"rss_idle_mb"`
	RSSMB      float64      `json:"rss_mb"`
	Setup      float64      `json:"setup_ms_per_client"`
}

// Report is what -out gets.
type Report struct {
	Go         string    `json:"go"`
	CPUs       int       `json:"cpus"`
	FileSystem string    `json:"file_system"`
	Fsync      Quantiles `json:"fsync_ms"`
	Load1      string    `json:"load_average"` // of the machine before the runs: other work disturbs p99
	ChangeSize int       `json:"change_bytes"`
	Results    []Result  `json:"results"`
}

func load(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("load", flag.ExitOnError)
	lanes := fs.String("lanes", "ws,dc", "lanes to measure; the relay is always measured first")
	shapes := fs.String("shapes", "1x10@10,1x50@5,20x10@5", "boards x people @ changes per second and person")
	span := fs.Duration("time", 8*time.Second, "time of each run, at most 10 m")
	size := fs.Int("size", 200, "bytes of points in a change")
	out := fs.String("out", "", "write the report as JSON here")
	dir := fs.String("dir", "", "where databases are made (default: folder for temporary files)")
	profile := fs.String("profile", "", "write a CPU profile of the last run's server here")
	_ = fs.Parse(args) // exits
	if *span > 10*time.Minute {
		return fmt.Errorf("-time %v is longer than 10 m", *span)
	}
	work, err := workdir(*dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	rep := Report{Go: runtime.Version(), CPUs: runtime.NumCPU(), ChangeSize: *size}
	if rep.FileSystem, rep.Fsync, err = disk(work); err != nil {
		return err
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		rep.Load1 = strings.TrimSpace(string(b))
	}
	fmt.Printf("%s, %d CPUs, %s, fsync p50 %.2f p99 %.2f ms, load %s\n", rep.Go, rep.CPUs, rep.FileSystem, rep.Fsync.P50, rep.Fsync.P99, rep.Load1)
	fmt.Printf("%-9s %-5s %9s %8s %22s %15s %18s %8s %6s %8s %13s\n", "shape", "lane", "deliv./s", "missing", "visible p50/95/99 ms", "ack p50/99", "commit->bcast 50/99", "us/del.", "ratio", "cl. us", "RSS idle/run")
	for text := range strings.SplitSeq(*shapes, ",") {
		var s shape
		if n, err := fmt.Sscanf(text, "%dx%d@%d", &s.boards, &s.people, &s.hz); n != 3 || err != nil || s.boards < 1 || s.people < 2 || s.hz < 1 || s.boards*s.people > 500 {
			return fmt.Errorf("shape %q is not like 20x10@5 with at most 500 people", text)
		}
		yard := 0.0
		for lane := range strings.SplitSeq("relay,"+*lanes, ",") {
			r, err := run(ctx, work, s, lane, *span, *size, *profile)
			if err != nil {
				return fmt.Errorf("%v over %s: %w", s, lane, err)
			}
			if lane == "relay" {
				yard = r.CPU
			}
			r.Ratio = r.CPU / yard
			rep.Results = append(rep.Results, r)
			fmt.Printf("%-9s %-5s %9.0f %8d %8.2f/%6.2f/%6.2f %7.2f/%7.2f %8.2f/%9.2f %8.1f %6.2f %8.1f %6.1f/%6.1f\n", r.Shape, r.Lane, float64(r.Deliveries)/r.Seconds, r.Missing,
				r.Visible.P50, r.Visible.P95, r.Visible.P99, r.Ack.P50, r.Ack.P99, r.Server.Broadcast.P50, r.Server.Broadcast.P99, r.CPU, r.Ratio, r.ClientCPU, r.IdleMB, r.RSSMB)
		}
	}
	if *out == "" {
		return nil
	}
	b, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, append(b, '\n'), 0o644)
}

// meter notes when changes were sent and when they came.
type meter struct {
	start      time.Time
	open       atomic.Bool // measuring
	deliveries atomic.Int64
	mu         sync.Mutex
	// Guarded by mu.
	sent     map[uint64]time.Duration
	measured int
	visible  []time.Duration
	ack      []time.Duration
}

// key of a change: the start of its hash is enough here.
func key(chunk []byte) uint64 {
	h := client.Hash(chunk)
	return binary.LittleEndian.Uint64(h[:])
}

func (m *meter) send(chunk []byte) {
	k := key(chunk)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open.Load() {
		m.sent[k] = time.Since(m.start)
		m.measured++
	}
}

func (m *meter) came(chunk []byte, own bool) {
	now, k := time.Since(m.start), key(chunk)
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.sent[k]
	switch {
	case !ok: // of the time before or after
	case own:
		m.ack = append(m.ack, now-at)
	default:
		m.visible = append(m.visible, now-at)
		m.deliveries.Add(1)
	}
}

// person draws. leave ends its connection.
type person struct {
	draw  func()
	leave func()
}

// run measures one shape over one lane on a fresh server.
func run(ctx context.Context, work string, s shape, lane string, span time.Duration, size int, profile string) (r Result, err error) {
	r = Result{Shape: s.String(), Lane: lane, Seconds: span.Seconds()}
	args := []string{"relay"}
	if lane != "relay" {
		dir, err := os.MkdirTemp(work, "data-")
		if err != nil {
			return r, err
		}
		args = []string{"serve", "-data", dir}
		if profile != "" {
			args = append(args, "-pprof")
		}
	}
	p, err := start(ctx, args...)
	if err != nil {
		return r, err
	}
	defer func() { err = cmp.Or(err, p.stop()) }()
	_ = p.get(ctx, "/gc", nil)
	if r.IdleMB, err = p.rss(); err != nil {
		return r, err
	}
	m := &meter{start: time.Now(), sent: map[uint64]time.Duration{}}
	api := client.NewAPI()
	var people []person
	defer func() {
		for _, x := range people {
			x.leave()
		}
	}()
	setup := time.Now()
	for b := range s.boards {
		for i := range s.people {
			x, err := join(ctx, p, m, lane, b, i, size, api)
			if err != nil {
				return r, fmt.Errorf("person %d of board %d: %w", i, b, err)
			}
			people = append(people, x)
		}
	}
	r.Setup = time.Since(setup).Seconds() * 1000 / float64(len(people))

	drawing, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for _, x := range people {
		wg.Go(func() {
			every := time.Second / time.Duration(s.hz)
			select {
			case <-time.After(rand.N(every)):
			case <-drawing.Done():
				return
			}
			t := time.NewTicker(every)
			defer t.Stop()
			for {
				x.draw()
				select {
				case <-t.C:
				case <-drawing.Done():
					return
				}
			}
		})
	}
	if err := wait(ctx, time.Second); err != nil { // warm up
		return r, err
	}
	if lane != "relay" {
		_ = p.get(ctx, "/commits", nil)
	}
	cpu0, err := p.cpu()
	if err != nil {
		return r, err
	}
	own0 := ownCPU()
	m.open.Store(true)
	if profile != "" && lane != "relay" {
		wg.Go(func() { p.profile(ctx, profile, span) })
	}
	if err := wait(ctx, span); err != nil {
		return r, err
	}
	m.open.Store(false)
	cpu1, err := p.cpu()
	if err != nil {
		return r, err
	}
	own1 := ownCPU()
	if r.RSSMB, err = p.rss(); err != nil {
		return r, err
	}
	if lane != "relay" {
		if err := p.get(ctx, "/commits", &r.Server); err != nil {
			return r, err
		}
	}
	stop()
	wg.Wait()
	m.mu.Lock()
	r.Sent = m.measured
	m.mu.Unlock()
	want := int64(r.Sent) * int64(s.people-1)
	for end := time.Now().Add(5 * time.Second); m.deliveries.Load() < want && time.Now().Before(end); {
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return r, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r.Deliveries, r.Visible, r.Ack = m.deliveries.Load(), quantiles(m.visible), quantiles(m.ack)
	r.Missing = want - r.Deliveries
	n := float64(max(r.Deliveries, 1))
	r.CPU, r.ClientCPU = float64((cpu1-cpu0).Microseconds())/n, float64((own1-own0).Microseconds())/n
	return r, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func ownCPU() time.Duration {
	d, _ := (&process{ready: ready{PID: os.Getpid()}}).cpu() // zero differences would show in the table
	return d
}

// join connects a person over a lane.
func join(ctx context.Context, p *process, m *meter, lane string, board, i, size int, api *webrtc.API) (person, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if lane == "relay" {
		return joinRelay(ctx, p, m, board, i, size)
	}
	var mine atomic.Pointer[[]byte] // actor, once known
	o := client.Options{API: api, Entries: func(_ uint64, list []wire.Entry, _ int) {
		a := mine.Load()
		for _, e := range list {
			m.came(e.Bytes, a != nil && string(e.Actor) == string(*a))
		}
	}}
	c, err := client.Join(ctx, p.URL, loadToken(fmt.Sprintf("p%d-%d", board, i), board), o)
	if err != nil {
		return person{}, err
	}
	w := c.Welcome()
	mine.Store(&w.Actor)
	if lane == "dc" {
		if _, err := c.OpenChannel(ctx); err != nil {
			c.Close()
			return person{}, err
		}
		c.Move(wire.LaneChannel)
	}
	author, err := client.NewAuthor(w.Actor)
	if err != nil {
		c.Close()
		return person{}, err
	}
	doc := w.Docs[0].Doc
	return person{leave: c.Close, draw: func() {
		raw := author.Stroke(size)
		m.send(raw)
		c.Change(doc, 0, raw)
	}}, nil
}

// joinRelay connects a person to the yardstick with frames of the same size.
func joinRelay(ctx context.Context, p *process, m *meter, board, i, size int) (person, error) {
	conn, _, err := websocket.Dial(ctx, fmt.Sprintf("%s?room=%d", p.URL, board), &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}, HTTPHeader: http.Header{}})
	if err != nil {
		return person{}, err
	}
	conn.SetReadLimit(wire.MaxFrame)
	actor := make([]byte, 16)
	binary.BigEndian.PutUint64(actor, uint64(1+board)<<32|uint64(i))
	author, err := client.NewAuthor(actor)
	if err != nil {
		return person{}, err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			_, b, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			f, err := wire.DecodeServer(b)
			e, ok := f.(wire.Entries)
			if err != nil || !ok {
				return
			}
			for _, x := range e.Entries {
				m.came(x.Bytes, string(x.Actor) == string(actor))
			}
		}
	})
	return person{
		leave: func() { _ = conn.CloseNow(); wg.Wait() },
		draw: func() {
			raw := author.Stroke(size)
			m.send(raw)
			f := wire.Entries{From: 1, Entries: []wire.Entry{{Doc: "01hzx3v9k2m8q4w6y7r5t1n0bc", Kind: 1, Actor: actor, Bytes: raw}}}
			_ = conn.Write(context.Background(), websocket.MessageBinary, f.Append(nil)) // a lost relay shows as missing
		},
	}, nil
}
