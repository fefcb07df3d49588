package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// LiveResult is one run of live: everybody moves a cursor. What is lost on the way, or overwritten by a newer one of its sender, does not come;
// so latency is read together with the share that came and with the pauses a watcher sees between two positions of the same cursor.
type LiveResult struct {
	Lane    string    `json:"lane"`
	Loss    int       `json:"loss_percent"`
	People  int       `json:"people"`
	Hz      int       `json:"hz"`
	Sent    int64     `json:"sent"`
	Share   float64   `json:"share_that_came"`
	Latency Quantiles `json:"latency_ms"`
	Pause   Quantiles `json:"pause_ms"`
	Dropped int       `json:"packets_dropped"`
}

// cursors measures live updates.
type cursors struct {
	start time.Time
	open  atomic.Bool
	sent  atomic.Int64

	mu sync.Mutex
	// Guarded by mu.
	latency, pause []time.Duration
	last           map[[2]uint32]time.Duration // when watcher saw sender, both by session
}

func (c *cursors) payload(size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint64(b, uint64(time.Since(c.start)))
	return b
}

func (c *cursors) came(watcher uint32, f wire.LiveUpdates) {
	now := time.Since(c.start)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range f.Updates {
		if len(u.Payload) < 8 {
			continue
		}
		at, pair := time.Duration(binary.BigEndian.Uint64(u.Payload)), [2]uint32{watcher, u.Session}
		if c.open.Load() {
			c.latency = append(c.latency, now-at)
			if before, ok := c.last[pair]; ok {
				c.pause = append(c.pause, now-before)
			}
		}
		c.last[pair] = now
	}
}

func live(ctx context.Context, b *bench, args []string) error {
	fs := b.flags("live")
	lanes := fs.String("lanes", "ws,dc", "ws or dc")
	losses := fs.String("loss", "0", "percent of the packets of the server's ports that are dropped, for instance 0,5; needs root and nft")
	people := fs.Int("people", 10, "on one board, 2 to 100")
	hz := fs.Int("hz", 20, "updates per second and person, at most 30")
	size := fs.Int("size", 120, "bytes of an update, 8 to 4,000")
	span := fs.Duration("time", 10*time.Second, "time of each run, at most 10 m")
	if err := b.start(fs, args); err != nil {
		return err
	}
	if *people < 2 || *people > 100 || *hz < 1 || *hz > 30 || *size < 8 || *size > 4000 || *span > 10*time.Minute {
		return errors.New("-people, -hz, -size or -time is out of its range")
	}
	t := b.table("lane", "loss %", "people", "  hz", "came %", "   latency ms 50/90/99/max", "      pause ms 50/90/99/max", "packets dropped")
	for text := range strings.SplitSeq(*losses, ",") {
		loss, err := strconv.Atoi(text)
		if err != nil || loss < 0 || loss > 50 {
			return fmt.Errorf("-loss %q is not a percentage up to 50", text)
		}
		for lane := range strings.SplitSeq(*lanes, ",") {
			r, err := wave(ctx, b, LiveResult{Lane: lane, Loss: loss, People: *people, Hz: *hz}, *size, *span)
			if err != nil {
				return fmt.Errorf("live over %s: %w", lane, err)
			}
			b.add("live", r)
			t.row(r.Lane, r.Loss, r.People, r.Hz, r.Share*100, r.Latency, r.Pause, r.Dropped)
		}
	}
	return nil
}

// wave measures one lane under one loss.
func wave(ctx context.Context, b *bench, r LiveResult, size int, span time.Duration) (_ LiveResult, err error) {
	if isRelay(r.Lane) {
		return r, fmt.Errorf("no lane for live is called %q", r.Lane)
	}
	p, err := b.launch(ctx, r.Lane)
	if err != nil {
		return r, err
	}
	defer func() { err = cmp.Or(err, p.stop()) }()
	c := &cursors{start: time.Now(), last: map[[2]uint32]time.Duration{}}
	api := client.NewAPI()
	moving, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	var moves []func()
	for i := range r.People {
		join, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		var me atomic.Uint32
		x, err := client.Join(join, p.URL, loadToken(fmt.Sprintf("p%d", i), 0), client.Options{API: api, Frame: func(f wire.Frame, _ int) {
			switch f := f.(type) {
			case wire.Welcome:
				me.Store(f.Session)
			case wire.LiveUpdates:
				c.came(me.Load(), f)
			}
		}})
		if err != nil {
			return r, err
		}
		defer x.Close()
		send := func(f wire.Live) { x.Send(wire.LaneSocket, f) }
		if r.Lane == laneChannel {
			ch, err := x.OpenChannel(join)
			if err != nil {
				return r, err
			}
			x.Move(wire.LaneChannel)
			send = func(f wire.Live) { _ = ch.Live(f.Append(nil)) } // what the channel does not take is lost
		}
		moves = append(moves, func() {
			if c.open.Load() {
				c.sent.Add(1)
			}
			send(wire.Live{Slot: 0, Payload: c.payload(size)})
		})
	}
	var bad *lossy
	if r.Loss > 0 {
		if bad, err = lose(p, r.Loss); err != nil {
			return r, err
		}
		defer func() { _ = bad.stop() }()
	}
	for _, move := range moves {
		wg.Go(func() { paint(moving, r.Hz, move) })
	}
	if err := wait(ctx, time.Second); err != nil { // warm up
		return r, err
	}
	c.open.Store(true)
	if err := wait(ctx, span); err != nil {
		return r, err
	}
	c.open.Store(false)
	if bad != nil {
		if r.Dropped, err = bad.end(); err != nil {
			return r, err
		}
	}
	stop()
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Sent, r.Latency, r.Pause = c.sent.Load(), quantiles(c.latency), quantiles(c.pause)
	r.Share = float64(len(c.latency)) / float64(max(1, r.Sent*int64(r.People-1)))
	return r, nil
}
