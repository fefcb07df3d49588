package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/educationpub/lectern/server/transport"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// SlowResult is one run of slow. All of it is on one board.
type SlowResult struct {
	People     int       `json:"people"`
	Hz         int       `json:"hz"`
	ChangeSize int       `json:"change_bytes"`
	Before     Quantiles `json:"visible_before_ms"` // without the slow ones
	Beside     Quantiles `json:"visible_beside_ms"` // with them
	BeforeMB   float64   `json:"rss_before_mb"`     // most seen without them
	BesideMB   float64   `json:"rss_beside_mb"`
	Offered    float64   `json:"offered_mb"` // to each of the slow ones, while they were there
	Missing    int64     `json:"missing"`
	// ClosedAfter is when the server closed somebody for slowness, in seconds, while the others drew.
	ClosedAfter []float64  `json:"closed_after_s"`
	Stopped     SlowEnding `json:"stopped"` // reads nothing
	Slow        SlowEnding `json:"slow"`    // reads slowly while the others draw, then as fast as it can
}

// SlowEnding is how it ended for one who does not keep up.
type SlowEnding struct {
	ReadMB  float64 `json:"read_mb"`
	Seconds float64 `json:"seconds"` // until it was closed, or had everything
	End     string  `json:"end"`     // "caught up", or how it was closed
	Gaps    int     `json:"gaps"`
}

func slow(ctx context.Context, b *bench, args []string) error {
	fs := b.flags("slow")
	people := fs.Int("people", 49, "who draw and read, 2 to 200")
	hz := fs.Int("hz", 5, "changes per second and person")
	size := fs.Int("size", 2000, "bytes of points in a change, at most 30,000: large ones fill the kernel's buffers sooner")
	rate := fs.Int("rate", 64<<10, "bytes per second that the slow one reads")
	before := fs.Duration("before", 20*time.Second, "time without the slow ones, at most 5 m")
	beside := fs.Duration("beside", 100*time.Second, "time with them, at most 5 m; the server closes whoever takes nothing for 30 s")
	if err := b.start(fs, args); err != nil {
		return err
	}
	if *people < 2 || *people > 200 || *hz < 1 || *hz > 40 || *size < 4 || *size > 30000 || *rate < 1 || *before > 5*time.Minute || *beside > 5*time.Minute {
		return errors.New("a flag is out of its range")
	}
	r, err := drag(ctx, b, SlowResult{People: *people, Hz: *hz, ChangeSize: *size}, *rate, *before, *beside)
	if err != nil {
		return err
	}
	b.add("slow", r)
	t := b.table("people", "   visible ms 50/90/99/max", "p99 x before", "RSS MB", "offered MB", "missing")
	t.row(r.People, r.Before, "", r.BeforeMB, "", "")
	t.row("+ 2", r.Beside, ratio(r.Beside.P99, r.Before.P99), r.BesideMB, r.Offered, r.Missing)
	fmt.Fprintf(b.out, "the server closed for slowness after (s): %.1f\n", r.ClosedAfter)
	for name, e := range map[string]SlowEnding{"who stopped reading": r.Stopped, "who reads slowly": r.Slow} {
		fmt.Fprintf(b.out, "%s: read %.1f MB in %.1f s, %d gaps, %s\n", name, e.ReadMB, e.Seconds, e.Gaps, e.End)
	}
	return nil
}

func drag(ctx context.Context, b *bench, r SlowResult, rate int, before, beside time.Duration) (_ SlowResult, err error) {
	p, err := b.launch(ctx, laneSocket)
	if err != nil {
		return r, err
	}
	defer func() { err = cmp.Or(err, p.stop()) }()
	m := newMeter()
	api := client.NewAPI()
	drawing, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for i := range r.People {
		x, err := enter(ctx, p, m, laneSocket, 0, i, r.ChangeSize, api)
		if err != nil {
			return r, err
		}
		defer x.leave()
		wg.Go(func() { paint(drawing, r.Hz, x.draw) })
	}
	if err := wait(ctx, time.Second); err != nil { // warm up
		return r, err
	}
	m.open.Store(true)
	if r.BeforeMB, err = p.most(ctx, before, nil); err != nil {
		return r, err
	}
	m.open.Store(false)
	if err := wait(ctx, time.Second); err != nil { // what is on its way belongs to this part
		return r, err
	}
	r.Before, _, _ = m.cut()
	m.clear()

	var quiet atomic.Bool // the others have stopped drawing
	var last atomic.Uint64
	type outcome struct {
		SlowEnding
		err error
	}
	ends := [2]chan outcome{make(chan outcome, 1), make(chan outcome, 1)}
	limit, cancel := context.WithTimeout(ctx, beside+2*time.Minute)
	defer cancel()
	for i, bytes := range []int{0, rate} {
		s, err := dialSlow(limit, p, fmt.Sprintf("slow%d", i))
		if err != nil {
			return r, err
		}
		defer func() { _ = s.conn.CloseNow() }()
		go func() { // ends with limit; joined by the channel below
			e, err := s.run(limit, bytes, &quiet, &last)
			ends[i] <- outcome{e, err}
		}()
	}
	m.open.Store(true)
	begun := time.Now()
	closed := func() error { // a client that does not read cannot see when it is closed
		var st transport.Stats
		err := p.get(ctx, "/stats", &st)
		for len(r.ClosedAfter) < int(st.SlowClosed) {
			r.ClosedAfter = append(r.ClosedAfter, time.Since(begun).Seconds())
		}
		return err
	}
	if r.BesideMB, err = p.most(ctx, beside, closed); err != nil {
		return r, err
	}
	m.open.Store(false)
	stop()
	wg.Wait()
	sent, missing, err := m.settle(ctx, r.People-1)
	if err != nil {
		return r, err
	}
	r.Missing = missing
	r.Beside, _, _ = m.cut()
	r.Offered = float64(sent) * float64(r.ChangeSize) / 1e6
	reader, err := client.Join(limit, p.URL, loadToken("last", 0), client.Options{})
	if err != nil {
		return r, err
	}
	last.Store(reader.Welcome().Seq)
	quiet.Store(true)
	reader.Kill() // whose leaving is a frame for the slow one: it looks up
	for i, e := range []*SlowEnding{&r.Stopped, &r.Slow} {
		o := <-ends[i]
		if *e = o.SlowEnding; o.err != nil {
			return r, o.err
		}
	}
	return r, nil
}

// most answers the largest resident memory seen within a time; each, if there is one, is called whenever it looks.
func (p *process) most(ctx context.Context, span time.Duration, each func() error) (mb float64, err error) {
	for end := time.Now().Add(span); time.Now().Before(end); {
		now, err := p.rss()
		if err != nil {
			return mb, err
		}
		mb = max(mb, now)
		if each != nil {
			if err := each(); err != nil {
				return mb, err
			}
		}
		if err := wait(ctx, min(200*time.Millisecond, span)); err != nil {
			return mb, err
		}
	}
	return mb, nil
}

// sluggard is a connection that takes little: small buffers of its own, so that what it does not read waits at the server's side.
type sluggard struct {
	conn *websocket.Conn
	seq  uint64 // last entry seen
	SlowEnding
}

func dialSlow(ctx context.Context, p *process, name string) (*sluggard, error) {
	dialer := &net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10) })
		return errors.Join(cerr, err)
	}}
	conn, _, err := websocket.Dial(ctx, p.URL, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}}, Subprotocols: []string{wire.Subprotocol}, HTTPHeader: http.Header{"Origin": {p.Ops}},
	})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(wire.MaxFrame)
	s := &sluggard{conn: conn}
	for _, f := range []wire.Frame{wire.Auth{Token: loadToken(name, 0)}, wire.Hello{}} {
		if err := conn.Write(ctx, websocket.MessageBinary, f.Append(nil)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// run reads so many bytes per second, none for 0, until the others are quiet; then all there is. It ends when it is closed or has entry last.
func (s *sluggard) run(ctx context.Context, rate int, quiet *atomic.Bool, last *atomic.Uint64) (SlowEnding, error) {
	begun := time.Now()
	defer func() { s.Seconds = time.Since(begun).Seconds() }()
	for rate == 0 && !quiet.Load() {
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return s.SlowEnding, err
		}
	}
	var bye string
	for {
		if quiet.Load() && s.seq >= last.Load() && last.Load() > 0 {
			s.End, s.Seconds = "caught up", time.Since(begun).Seconds()
			return s.SlowEnding, nil
		}
		_, b, err := s.conn.Read(ctx)
		if err != nil {
			s.End, s.Seconds = fmt.Sprintf("closed: bye %q, close code %d (%v)", bye, websocket.CloseStatus(err), err), time.Since(begun).Seconds()
			return s.SlowEnding, ctx.Err()
		}
		s.ReadMB += float64(len(b)) / 1e6
		f, err := wire.DecodeServer(b)
		if err != nil {
			return s.SlowEnding, err
		}
		switch f := f.(type) {
		case wire.Welcome:
			s.seq = 0 // no snapshots here: entries come from the beginning
		case wire.Entries:
			if f.From != s.seq+1 {
				s.Gaps++
			}
			s.seq = f.From + uint64(len(f.Entries)) - 1
		case wire.Ping:
			_ = s.conn.Write(ctx, websocket.MessageBinary, wire.Pong(f).Append(nil)) // the end shows at the next read
		case wire.Bye:
			bye = f.Code
		}
		for due := time.Now().Add(time.Duration(len(b)) * time.Second / time.Duration(max(1, rate))); rate > 0 && !quiet.Load() && time.Now().Before(due); {
			if err := wait(ctx, 10*time.Millisecond); err != nil {
				return s.SlowEnding, err
			}
		}
	}
}
