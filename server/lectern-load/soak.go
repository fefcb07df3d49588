package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// SoakResult is a soak: samples, slopes, and what was left when everybody had gone.
type SoakResult struct {
	Boards   int          `json:"boards"`
	People   int          `json:"people"` // on each board
	Seconds  float64      `json:"seconds"`
	Visits   int64        `json:"visits"`
	Resets   int64        `json:"resets"`
	Errors   []string     `json:"errors,omitempty"` // the first few
	Failures int64        `json:"failures"`         // visits that ended otherwise than planned
	Samples  []SoakSample `json:"samples"`
	Slopes   []Slope      `json:"slopes"`
	Before   SoakSample   `json:"before"` // nobody had come yet
	After    SoakSample   `json:"after"`  // everybody has left
}

// SoakSample is one look at the server.
type SoakSample struct {
	Seconds    float64      `json:"seconds"`
	Here       int64        `json:"here"`
	RSSMB      float64      `json:"rss_mb"`
	Files      int          `json:"files"`
	Deliveries int64        `json:"deliveries"` // since the last sample
	CPU        float64      `json:"server_cpu_us_per_delivery"`
	Visible    Quantiles    `json:"edit_to_visible_ms"`
	Server     commitReport `json:"server"`
	inside
}

func soak(ctx context.Context, b *bench, args []string) error {
	fs := b.flags("soak")
	var s soaking
	span := fs.Duration("time", time.Hour, "at most 24 h")
	every := fs.Duration("sample", 10*time.Second, "between samples")
	fs.IntVar(&s.boards, "boards", 20, "boards, 1 to 100")
	fs.IntVar(&s.people, "people", 10, "on each, 2 to 30")
	fs.DurationVar(&s.pause, "pause", 700*time.Millisecond, "between two changes of a person, at random half to one and a half of it")
	fs.DurationVar(&s.stay, "stay", 4*time.Minute, "how long a visit is, at random half to one and a half of it")
	fs.DurationVar(&s.away, "away", 20*time.Second, "how long somebody stays away, likewise")
	fs.IntVar(&s.size, "size", 200, "bytes of points in a change")
	fs.StringVar(&s.heap, "heap", "", "write a heap profile of the server here, before the last people leave")
	if err := b.start(fs, args); err != nil {
		return err
	}
	if *span > 24*time.Hour || *every < 100*time.Millisecond || *every > *span || s.boards < 1 || s.boards > 100 || s.people < 2 || s.people > 30 ||
		s.pause < 20*time.Millisecond || s.stay < time.Second || s.away < 10*time.Millisecond || s.size < 4 || s.size > 30000 {
		return errors.New("a flag is out of its range")
	}
	r, err := s.run(ctx, b, *span, *every)
	b.add("soak", r)
	if err != nil {
		return err
	}
	t := b.table("          quantity", "      mean", "  per hour", "  std.error", "     limit", "verdict")
	for _, l := range r.Slopes {
		t.row(l.Name, l.Mean, l.PerHour, l.Error, l.Limit, " "+l.Verdict)
	}
	last := r.Samples[len(r.Samples)-1]
	fmt.Fprintf(b.out, "%d visits, %d failures, %d resets, %d squashes (%d failed), %d late changes; before anybody came: RSS %.1f MB, %d goroutines, %d files; after all had left: RSS %.1f MB, heap %.1f MB, %d goroutines, %d files\n",
		r.Visits, r.Failures, r.Resets, last.Squashes, last.Failed, last.Late, r.Before.RSSMB, r.Before.Goroutines, r.Before.Files, r.After.RSSMB, r.After.HeapMB, r.After.Goroutines, r.After.Files)
	for _, e := range r.Errors {
		fmt.Fprintln(b.out, "  ", e)
	}
	if r.Failures > 0 || last.Failed > 0 {
		return errors.New("not everything went as planned")
	}
	return nil
}

// soaking is a soak under way.
type soaking struct {
	boards, people, size int
	pause, stay, away    time.Duration
	heap                 string // file for a profile, "" for none

	p *process
	m *meter

	here, visits, resets, failures atomic.Int64

	mu sync.Mutex
	// Guarded by mu.
	errs []string
}

func (s *soaking) fail(err error) {
	s.failures.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errs) < 10 {
		s.errs = append(s.errs, err.Error())
	}
}

func (s *soaking) run(ctx context.Context, b *bench, span, every time.Duration) (r SoakResult, err error) {
	r = SoakResult{Boards: s.boards, People: s.people}
	if err := enoughFiles(s.boards * s.people); err != nil {
		return r, err
	}
	s.m = newMeter()
	s.m.open.Store(true)
	more := []string{"-full"}
	if s.heap != "" {
		more = append(more, "-pprof")
	}
	if s.p, err = b.launch(ctx, laneSocket, more...); err != nil {
		return r, err
	}
	defer func() { err = cmp.Or(err, s.p.stop()) }()
	_ = s.p.get(ctx, "/gc", nil)
	if r.Before, err = s.sample(ctx, 0, 0); err != nil {
		return r, err
	}
	coming, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for board := range s.boards {
		for i := range s.people {
			wg.Go(func() { s.regular(coming, board, i) })
		}
	}
	begun := time.Now()
	before, err := s.p.cpu()
	if err != nil {
		return r, err
	}
	t := time.NewTicker(every)
	defer t.Stop()
	rows := b.table("   s", "here", "RSS MB", "heap MB", "goroutines", "files", "  db MB", "wal MB", "squashes", " deliv/s", "us/del", "   visible ms 50/90/99/max", "commit p99")
	for at := time.Duration(0); at < span; {
		select {
		case <-t.C:
		case <-ctx.Done():
			return r, ctx.Err()
		}
		at = time.Since(begun)
		now, err := s.p.cpu()
		if err != nil {
			return r, err
		}
		x, err := s.sample(ctx, at, now-before)
		if err != nil {
			return r, err
		}
		before = now
		r.Samples = append(r.Samples, x)
		if len(r.Samples)%6 == 1 {
			rows.row(int(x.Seconds), x.Here, x.RSSMB, x.HeapMB, x.Goroutines, x.Files, x.DBMB, x.WALMB, x.Squashes, int(float64(x.Deliveries)/every.Seconds()), x.CPU, x.Visible, x.Server.Commit.P99)
		}
	}
	if s.heap != "" {
		s.p.keep(ctx, "/debug/pprof/heap?gc=1", s.heap)
	}
	stop()
	wg.Wait()
	r.Seconds = time.Since(begun).Seconds()
	if err := s.empty(ctx); err != nil {
		return r, err
	}
	_ = s.p.get(ctx, "/gc", nil)
	if r.After, err = s.sample(ctx, time.Since(begun), 0); err != nil {
		return r, err
	}
	r.Visits, r.Resets, r.Failures, r.Errors = s.visits.Load(), s.resets.Load(), s.failures.Load(), s.errs
	r.Slopes = slopes(r.Samples)
	return r, nil
}

// empty waits until the server has noticed that all have left.
func (s *soaking) empty(ctx context.Context) error {
	for end := time.Now().Add(10 * time.Second); ; {
		var st struct{ Sockets int }
		if err := s.p.get(ctx, "/stats", &st); err != nil {
			return err
		}
		if st.Sockets == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d sockets are still open after everybody has left", st.Sockets)
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

func (s *soaking) sample(ctx context.Context, at, cpu time.Duration) (x SoakSample, err error) {
	x = SoakSample{Seconds: at.Seconds(), Here: s.here.Load()}
	x.Visible, _, x.Deliveries = s.m.cut()
	x.CPU = float64(cpu.Microseconds()) / float64(max(1, x.Deliveries))
	var e1, e2 error
	x.RSSMB, e1 = s.p.rss()
	x.Files, e2 = s.p.files()
	return x, errors.Join(e1, e2, s.p.get(ctx, "/inside", &x.inside), s.p.get(ctx, "/commits", &x.Server))
}

// slopes of everything that must not grow, over the samples behind the first fifth, in which caches fill and boards get their elements.
func slopes(samples []SoakSample) []Slope {
	samples = samples[len(samples)/5:]
	of := func(f func(SoakSample) float64) (y []float64) {
		for _, x := range samples {
			y = append(y, f(x))
		}
		return y
	}
	x := of(func(x SoakSample) float64 { return x.Seconds / 3600 })
	return []Slope{
		slope("RSS MB", x, of(func(x SoakSample) float64 { return x.RSSMB }), 1),
		slope("live heap MB", x, of(func(x SoakSample) float64 { return x.HeapMB }), 1),
		slope("goroutines", x, of(func(x SoakSample) float64 { return float64(x.Goroutines) }), 5),
		slope("files", x, of(func(x SoakSample) float64 { return float64(x.Files) }), 5),
		slope("db MB", x, of(func(x SoakSample) float64 { return x.DBMB }), 0), // a log grows until its retention ends
		slope("wal MB", x, of(func(x SoakSample) float64 { return x.WALMB }), 1),
		slope("CPU us/delivery", x, of(func(x SoakSample) float64 { return x.CPU }), 2),
		slope("visible p50 ms", x, of(func(x SoakSample) float64 { return x.Visible.P50 }), 0.2),
		slope("visible p99 ms", x, of(func(x SoakSample) float64 { return x.Visible.P99 }), 1),
		slope("commit p99 ms", x, of(func(x SoakSample) float64 { return x.Server.Commit.P99 }), 1),
	}
}
