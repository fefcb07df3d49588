package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// StormResult is one storm: everybody joins in the same moment. Done is, with the server, welcome and the board's first entry; with a relay, that
// the own first message has come back.
type StormResult struct {
	Lane      string         `json:"lane"`
	Clients   int            `json:"clients"`
	Boards    int            `json:"boards"`
	Done      Quantiles      `json:"done_ms"` // max is the time until all were there
	Errors    map[string]int `json:"errors,omitempty"`
	CPU       float64        `json:"server_cpu_ms_per_client"`
	IdleMB    float64        `json:"rss_idle_mb"`
	PeakMB    float64        `json:"rss_peak_mb"`
	PerClient float64        `json:"rss_kb_per_client"` // resident once all are there
}

func storm(ctx context.Context, b *bench, args []string) error {
	fs := b.flags("storm")
	clients := fs.Int("clients", 500, "who join at once, at most 1,500")
	people := fs.Int("people", 10, "on each board")
	lanes := fs.String("lanes", "relay,ws", "relay, durable or ws")
	runs := fs.Int("runs", 1, "so many storms, at most 20")
	if err := b.start(fs, args); err != nil {
		return err
	}
	if *clients < 1 || *clients > maxPeople || *people < 1 || *runs < 1 || *runs > 20 {
		return errors.New("-clients, -people or -runs is out of its range")
	}
	t := b.table("lane   ", "clients", "boards", "       done ms 50/90/99/max", "errors", "CPU ms/client", "RSS idle/peak MB", "kB/client")
	for range *runs {
		for lane := range strings.SplitSeq(*lanes, ",") {
			r, err := rush(ctx, b, lane, *clients, *people)
			if err != nil {
				return fmt.Errorf("storm over %s: %w", lane, err)
			}
			b.add("storm", r)
			failed := 0
			for _, n := range r.Errors {
				failed += n
			}
			t.row(r.Lane, r.Clients, r.Boards, r.Done, failed, r.CPU, fmt.Sprintf("%.0f/%.0f", r.IdleMB, r.PeakMB), r.PerClient)
			for text, n := range r.Errors {
				fmt.Fprintf(b.out, "  %d x %s\n", n, text)
			}
		}
	}
	return nil
}

// stormTime bounds a storm.
const stormTime = 30 * time.Second

func rush(ctx context.Context, b *bench, lane string, clients, people int) (r StormResult, err error) {
	r = StormResult{Lane: lane, Clients: clients, Boards: (clients + people - 1) / people, Errors: map[string]int{}}
	if lane == laneChannel {
		return r, errors.New("a storm is joins; they are all over WebSocket")
	}
	if err := enoughFiles(clients); err != nil {
		return r, err
	}
	p, err := b.launch(ctx, lane)
	if err != nil {
		return r, err
	}
	defer func() { err = cmp.Or(err, p.stop()) }()
	if !isRelay(lane) {
		for n := range r.Boards {
			if err := firstChange(ctx, p, n); err != nil {
				return r, fmt.Errorf("first change of board %d: %w", n, err)
			}
		}
	}
	_ = p.get(ctx, "/gc", nil)
	if r.IdleMB, err = p.rss(); err != nil {
		return r, err
	}
	if err := p.resetPeak(); err != nil {
		return r, err
	}
	cpu0, err := p.cpu()
	if err != nil {
		return r, err
	}
	limit, cancel := context.WithTimeout(ctx, stormTime)
	defer cancel()
	var mu sync.Mutex
	var took []time.Duration
	var leave []func()
	defer func() {
		for _, f := range leave {
			f()
		}
	}()
	begin := make(chan struct{})
	var begun time.Time
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			<-begin
			bye, err := arrive(limit, p, lane, i, i/people)
			d := time.Since(begun)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.Errors[err.Error()]++
				return
			}
			took, leave = append(took, d), append(leave, bye)
		})
	}
	begun = time.Now()
	close(begin)
	wg.Wait()
	cpu1, err := p.cpu()
	if err != nil {
		return r, err
	}
	r.Done, r.CPU = quantiles(took), (cpu1-cpu0).Seconds()*1000/float64(clients)
	if r.PeakMB, err = p.peak(); err != nil {
		return r, err
	}
	now, err := p.rss()
	r.PerClient = (now - r.IdleMB) * 1000 / float64(clients)
	return r, err
}

// firstChange makes a board with something on it.
func firstChange(ctx context.Context, p *process, board int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := client.Join(ctx, p.URL, loadToken("first", board), client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	a, err := client.NewAuthor(c.Welcome().Actor)
	if err != nil {
		return err
	}
	c.Change(c.Welcome().Docs[0].Doc, c.Welcome().Docs[0].Epoch, a.Stroke(100))
	return acknowledged(ctx, c)
}

// acknowledged waits until a client's changes are in the log.
func acknowledged(ctx context.Context, c *client.Client) error {
	for {
		if _, _, n := c.State(); n == 0 {
			return nil
		}
		select {
		case <-c.Done():
			return c.Err()
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// arrive joins and waits until the newcomer has what makes it one.
func arrive(ctx context.Context, p *process, lane string, i, board int) (leave func(), err error) {
	first := make(chan struct{})
	once := sync.OnceFunc(func() { close(first) })
	if isRelay(lane) {
		conn, _, err := websocket.Dial(ctx, fmt.Sprintf("%s?room=%d", p.URL, board), &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}, HTTPHeader: http.Header{}})
		if err != nil {
			return nil, err
		}
		own := fmt.Sprintf("hello of %d", i)
		if err := conn.Write(ctx, websocket.MessageBinary, []byte(own)); err != nil {
			return nil, err
		}
		for {
			_, b, err := conn.Read(ctx)
			if err != nil {
				return nil, err
			}
			if string(b) == own {
				return func() { _ = conn.CloseNow() }, nil
			}
		}
	}
	c, err := client.Join(ctx, p.URL, loadToken(fmt.Sprintf("s%d", i), board), client.Options{Entries: func(uint64, []wire.Entry, int) { once() }})
	if err != nil {
		return nil, err
	}
	select {
	case <-first:
		return c.Kill, nil
	case <-c.Done():
		return nil, cmp.Or(c.Err(), errors.New("closed"))
	case <-ctx.Done():
		c.Kill()
		return nil, errors.New("no entry came in time")
	}
}
