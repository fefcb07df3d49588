package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/educationpub/lectern/server/transport/client"
)

// shape is a load: boards with people, some of whom draw so often per second.
type shape struct{ boards, people, drawing, hz int }

func (s shape) String() string {
	if s.drawing < s.people {
		return fmt.Sprintf("%dx%d/%d@%d", s.boards, s.people, s.drawing, s.hz)
	}
	return fmt.Sprintf("%dx%d@%d", s.boards, s.people, s.hz)
}

// maxPeople in all: one machine runs them and the server.
const maxPeople = 1500

func parseShape(text string) (s shape, err error) {
	if n, _ := fmt.Sscanf(text, "%dx%d/%d@%d", &s.boards, &s.people, &s.drawing, &s.hz); n != 4 {
		n, _ = fmt.Sscanf(text, "%dx%d@%d", &s.boards, &s.people, &s.hz)
		if s.drawing = s.people; n != 3 {
			return s, fmt.Errorf("shape %q is not like 20x10@5 or 1x1000/10@5", text)
		}
	}
	if s.boards < 1 || s.people < 2 || s.drawing < 1 || s.drawing > s.people || s.hz < 1 || s.hz > 40 || s.boards > maxPeople || s.people > maxPeople || s.boards*s.people > maxPeople {
		return s, fmt.Errorf("shape %q: 2 people to a board at least, %d in all at most, 1 to 40 changes per second", text, maxPeople)
	}
	return s, nil
}

// Lanes of load: two yardsticks and the server over its two transports.
const (
	laneRelay   = "relay"
	laneDurable = "durable"
	laneSocket  = "ws"
	laneChannel = "dc"
)

func isRelay(lane string) bool { return lane == laneRelay || lane == laneDurable }

// Result is one run of load.
type Result struct {
	Shape      string       `json:"shape"`
	Lane       string       `json:"lane"`
	Seconds    float64      `json:"seconds"`
	ChangeSize int          `json:"change_bytes"`
	Sent       int          `json:"sent"`
	Deliveries int64        `json:"deliveries"` // to others than the author
	Missing    int64        `json:"missing"`
	Visible    Quantiles    `json:"edit_to_visible_ms"`
	Ack        Quantiles    `json:"ack_ms"`
	Server     commitReport `json:"server"`
	CPU        float64      `json:"server_cpu_us_per_delivery"`
	ClientCPU  float64      `json:"client_cpu_us_per_delivery"`
	ToRelay    float64      `json:"cpu_ratio_to_relay,omitempty"`
	ToDurable  float64      `json:"cpu_ratio_to_durable_relay,omitempty"`
	IdleMB     float64      `json:"rss_idle_mb"`
	RSSMB      float64      `json:"rss_mb"`
	Setup      float64      `json:"setup_ms_per_client"`
}

// loading are the flags of load that a run needs.
type loading struct {
	span    time.Duration
	size    int
	profile string
}

func load(ctx context.Context, b *bench, args []string) error {
	fs := b.flags("load")
	var l loading
	lanes := fs.String("lanes", "relay,durable,ws,dc", "what to measure, in this order")
	shapes := fs.String("shapes", "1x10@10,1x50@5,20x10@5", "boards x people [/ who draw] @ changes per second and person")
	runs := fs.Int("runs", 1, "measure everything so many times, at most 20; other work on the machine shows as a spread")
	fs.DurationVar(&l.span, "time", 8*time.Second, "time of each run, at most 10 m")
	fs.IntVar(&l.size, "size", 200, "bytes of points in a change, at most 30,000")
	fs.StringVar(&l.profile, "profile", "", "write a CPU profile of the last run's server here")
	if err := b.start(fs, args); err != nil {
		return err
	}
	if l.span > 10*time.Minute || l.size < 4 || l.size > 30000 || *runs < 1 || *runs > 20 {
		return fmt.Errorf("-time, -size or -runs is out of its range")
	}
	var all []shape
	for text := range strings.SplitSeq(*shapes, ",") {
		s, err := parseShape(text)
		if err != nil {
			return err
		}
		all = append(all, s)
	}
	t := b.table("shape       ", "lane   ", "deliv/s", "missing", "  visible ms 50/90/99/max", "      ack ms 50/90/99/max", "commit-bcast 50/99", "us/del", "x relay", "x durable", "client us", "RSS idle/run MB")
	for range *runs {
		for _, s := range all {
			var bare, durable float64
			for lane := range strings.SplitSeq(*lanes, ",") {
				r, err := measure(ctx, b, s, lane, l)
				if err != nil {
					return fmt.Errorf("%v over %s: %w", s, lane, err)
				}
				switch lane {
				case laneRelay:
					bare = r.CPU
				case laneDurable:
					durable = r.CPU
				}
				r.ToRelay, r.ToDurable = ratio(r.CPU, bare), ratio(r.CPU, durable)
				b.add("load", r)
				t.row(r.Shape, r.Lane, int(float64(r.Deliveries)/r.Seconds), r.Missing, r.Visible, r.Ack, fmt.Sprintf("%.2f/%.2f", r.Server.Broadcast.P50, r.Server.Broadcast.P99),
					r.CPU, r.ToRelay, r.ToDurable, r.ClientCPU, fmt.Sprintf("%.0f/%.0f", r.IdleMB, r.RSSMB))
			}
		}
	}
	return nil
}

// ratio is 0 where there is nothing to compare with.
func ratio(x, to float64) float64 {
	if to == 0 {
		return 0
	}
	return x / to
}

// launch starts what a lane measures.
func (b *bench) launch(ctx context.Context, lane string, more ...string) (*process, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	switch lane {
	case laneRelay:
		return start(ctx, "relay")
	case laneDurable:
		return start(ctx, "relay", "-durable", dir+"/journal")
	case laneSocket, laneChannel:
		return start(ctx, append([]string{"serve", "-data", dir}, more...)...)
	}
	return nil, fmt.Errorf("no lane is called %q", lane)
}

// measure runs one shape over one lane on a fresh server.
func measure(ctx context.Context, b *bench, s shape, lane string, l loading) (r Result, err error) {
	r = Result{Shape: s.String(), Lane: lane, Seconds: l.span.Seconds(), ChangeSize: l.size}
	if err := enoughFiles(s.boards * s.people); err != nil {
		return r, err
	}
	var more []string
	if l.profile != "" {
		more = []string{"-pprof"}
	}
	p, err := b.launch(ctx, lane, more...)
	if err != nil {
		return r, err
	}
	defer func() { err = cmp.Or(err, p.stop()) }()
	_ = p.get(ctx, "/gc", nil)
	if r.IdleMB, err = p.rss(); err != nil {
		return r, err
	}
	m := newMeter()
	api := client.NewAPI()
	var people, painters []person
	defer func() {
		for _, x := range people {
			x.leave()
		}
	}()
	setup := time.Now()
	for board := range s.boards {
		for i := range s.people {
			x, err := enter(ctx, p, m, lane, board, i, l.size, api)
			if err != nil {
				return r, fmt.Errorf("person %d of board %d: %w", i, board, err)
			}
			people = append(people, x)
			if i < s.drawing {
				painters = append(painters, x)
			}
		}
	}
	r.Setup = time.Since(setup).Seconds() * 1000 / float64(len(people))

	drawing, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for _, x := range painters {
		wg.Go(func() { paint(drawing, s.hz, x.draw) })
	}
	if err := wait(ctx, time.Second); err != nil { // warm up
		return r, err
	}
	_ = p.get(ctx, "/commits", nil) // a relay has none
	cpu0, err := p.cpu()
	if err != nil {
		return r, err
	}
	own0 := ownCPU()
	m.open.Store(true)
	if l.profile != "" && !isRelay(lane) {
		wg.Go(func() { p.profile(ctx, l.profile, l.span) })
	}
	if err := wait(ctx, l.span); err != nil {
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
	if !isRelay(lane) {
		if err := p.get(ctx, "/commits", &r.Server); err != nil {
			return r, err
		}
	}
	stop()
	wg.Wait()
	if r.Sent, r.Missing, err = m.settle(ctx, s.people-1); err != nil {
		return r, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r.Deliveries, r.Visible, r.Ack = m.deliveries.Load(), quantiles(m.visible), quantiles(m.ack)
	n := float64(max(r.Deliveries, 1))
	r.CPU, r.ClientCPU = float64((cpu1-cpu0).Microseconds())/n, float64((own1-own0).Microseconds())/n
	return r, nil
}
