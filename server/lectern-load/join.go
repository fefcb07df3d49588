package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// JoinResult is so many joiners of one board. Each opens the connection, asks for the scene and for the document at the same time, as the page
// does; bytes are as they travel, times from the beginning to the last byte. Joiners do not decode: what a browser does with it is not in here.
type JoinResult struct {
	What     string    `json:"what"` // "first", "one by one", "at once"
	Clients  int       `json:"clients"`
	Elements int       `json:"elements"`
	Updates  int       `json:"updates"` // of each element
	Tail     int       `json:"tail"`    // entries behind the snapshot
	SceneKB  float64   `json:"scene_kb"`
	DocKB    float64   `json:"document_kb"`
	TailKB   float64   `json:"tail_kb"`
	Scene    Quantiles `json:"scene_ms"`
	Document Quantiles `json:"document_ms"`
	Entries  Quantiles `json:"entries_ms"` // welcome and every entry up to it
	All      Quantiles `json:"all_ms"`
	Wall     float64   `json:"wall_ms"` // until the last of all has all
	CPU      float64   `json:"server_cpu_ms_per_join"`
	BeforeMB float64   `json:"rss_before_mb"`
	PeakMB   float64   `json:"rss_peak_mb"`
}

func join(ctx context.Context, b *bench, args []string) error {
	fs := b.flags("join")
	elements := fs.Int("elements", 5000, "on the board, at most 5,000 (a page holds no more)")
	updates := fs.Int("updates", 10, "writes of each element, at most 100")
	size := fs.Int("size", 100, "bytes of points in each, at most 2,000")
	tail := fs.Int("tail", 100, "changes after the snapshot, at most 250")
	clients := fs.Int("clients", 20, "who join, at most 500")
	if err := b.start(fs, args); err != nil {
		return err
	}
	if *elements < seeders || *elements > 5000 || *updates < 1 || *updates > 100 || *size < 4 || *size > 2000 || *tail < 0 || *tail > 250 || *clients < 1 || *clients > 500 {
		return errors.New("a flag is out of its range")
	}
	p, err := b.launch(ctx, laneSocket, "-full")
	if err != nil {
		return err
	}
	return cmp.Or(joins(ctx, b, p, JoinResult{Elements: *elements, Updates: *updates, Tail: *tail}, *size, *clients), p.stop())
}

func joins(ctx context.Context, b *bench, p *process, r JoinResult, size, clients int) error {
	begun := time.Now()
	first, err := seed(ctx, p, r.Elements, r.Updates, size)
	if err != nil {
		return fmt.Errorf("fill the board: %w", err)
	}
	if err := p.get(ctx, "/squash", nil); err != nil {
		return fmt.Errorf("squash: %w", err)
	}
	if r.Tail > 0 {
		if err := first.fill(ctx, r.Tail, size); err != nil {
			return fmt.Errorf("changes after the snapshot: %w", err)
		}
	}
	doc, err := firstDoc(ctx, p)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "a board of %d elements x %d updates, squashed, and %d more changes: made in %.1f s\n", r.Elements, r.Updates, r.Tail, time.Since(begun).Seconds())
	t := b.table("what      ", "clients", "scene/document/tail kB", "   scene ms 50/90/99/max", " document 50/90/99/max", "  entries 50/90/99/max", "wall ms", "CPU ms/join", "RSS before/peak MB")
	for _, part := range []struct {
		what   string
		n      int
		atOnce bool
	}{{"first", 1, false}, {"one by one", clients, false}, {"at once", clients, true}} {
		r.What, r.Clients = part.what, part.n
		r, err := entrances(ctx, p, r, doc, part.atOnce)
		if err != nil {
			return fmt.Errorf("%s: %w", part.what, err)
		}
		b.add("join", r)
		t.row(r.What, r.Clients, fmt.Sprintf("%.0f/%.0f/%.0f", r.SceneKB, r.DocKB, r.TailKB), r.Scene, r.Document, r.Entries, r.Wall, r.CPU, fmt.Sprintf("%.0f/%.0f", r.BeforeMB, r.PeakMB))
	}
	return nil
}

// seeders write a board together: a session may send 256 KiB/s.
const seeders = 10

// seed answers a pen of somebody who has elements on the board: it may be full.
func seed(ctx context.Context, p *process, elements, updates, size int) (*pen, error) {
	var wg sync.WaitGroup
	var first *pen
	errs := make([]error, seeders)
	for i := range seeders {
		each := elements/seeders + min(1, max(0, elements%seeders-i))
		n := &pen{p: p, token: loadToken(fmt.Sprintf("seed%d", i), 0), strokes: each}
		if i == 0 {
			first = n
		}
		wg.Go(func() { errs[i] = n.fill(ctx, each*updates, size) })
	}
	wg.Wait()
	return first, errors.Join(errs...)
}

// fill connects, makes so many changes, and waits until the log has them.
func (n *pen) fill(ctx context.Context, changes, size int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	c, err := client.Join(ctx, n.p.URL, n.token, client.Options{Actor: n.actor, Entries: func(_ uint64, list []wire.Entry, _ int) {
		for _, e := range list {
			n.sees(e)
		}
	}})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := n.take(c); err != nil {
		return err
	}
	for range changes {
		if err := n.draw(ctx, size, func([]byte) {}); err != nil {
			return err
		}
		if _, _, waiting := c.State(); waiting >= 256 {
			if err := n.done(ctx); err != nil {
				return err
			}
		}
	}
	return n.done(ctx)
}

// firstDoc is what sign-in tells a page (docs/protocol.md §1.1): it asks for scene and document before its connection is there.
func firstDoc(ctx context.Context, p *process) (string, error) {
	c, err := client.Join(ctx, p.URL, loadToken("asks", 0), client.Options{})
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.Welcome().Docs[0].Doc, nil
}

// entrances lets joiners in, one after the other or all at once.
func entrances(ctx context.Context, p *process, r JoinResult, doc string, atOnce bool) (_ JoinResult, err error) {
	_ = p.get(ctx, "/gc", nil)
	if r.BeforeMB, err = p.rss(); err != nil {
		return r, err
	}
	if err := p.resetPeak(); err != nil {
		return r, err
	}
	cpu0, err := p.cpu()
	if err != nil {
		return r, err
	}
	came := make([]entrance, r.Clients)
	errs := make([]error, r.Clients)
	begun := time.Now()
	var wg sync.WaitGroup
	for i := range r.Clients {
		wg.Go(func() { came[i], errs[i] = comeIn(ctx, p, loadToken(fmt.Sprintf("j%d", i), 0), doc) })
		if !atOnce {
			wg.Wait()
		}
	}
	wg.Wait()
	r.Wall = time.Since(begun).Seconds() * 1000
	if err := errors.Join(errs...); err != nil {
		return r, err
	}
	cpu1, err := p.cpu()
	if err != nil {
		return r, err
	}
	r.CPU = (cpu1 - cpu0).Seconds() * 1000 / float64(r.Clients)
	if r.PeakMB, err = p.peak(); err != nil {
		return r, err
	}
	of := func(f func(entrance) time.Duration) Quantiles {
		var d []time.Duration
		for _, e := range came {
			d = append(d, f(e))
		}
		return quantiles(d)
	}
	r.Scene, r.Document, r.Entries = of(func(e entrance) time.Duration { return e.scene }), of(func(e entrance) time.Duration { return e.document }), of(func(e entrance) time.Duration { return e.entries })
	r.All = of(func(e entrance) time.Duration { return max(e.scene, e.document, e.entries) })
	r.SceneKB, r.DocKB, r.TailKB = float64(came[0].sceneBytes)/1000, float64(came[0].documentBytes)/1000, float64(came[0].tailBytes)/1000
	return r, nil
}

// entrance is one joiner's.
type entrance struct {
	scene, document, entries             time.Duration
	sceneBytes, documentBytes, tailBytes int64
}

func comeIn(ctx context.Context, p *process, token, doc string) (e entrance, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	a, err := authenticate(ctx, token)
	if err != nil {
		return e, err
	}
	web := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer web.CloseIdleConnections()
	begun := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, 3)
	wg.Go(func() {
		e.scene, e.sceneBytes, errs[0] = download(ctx, web, p, token, string(a.Board), doc, "scene", begun)
	})
	wg.Go(func() {
		e.document, e.documentBytes, errs[1] = download(ctx, web, p, token, string(a.Board), doc, "document", begun)
	})
	wg.Go(func() { e.entries, e.tailBytes, errs[2] = catchUp(ctx, p, token, begun) })
	wg.Wait()
	return e, errors.Join(errs...)
}

// catchUp joins and waits for the entry that welcome named as the last.
func catchUp(ctx context.Context, p *process, token string, begun time.Time) (took time.Duration, bytes int64, err error) {
	there := make(chan struct{})
	once := sync.OnceFunc(func() { took = time.Since(begun); close(there) })
	var last uint64
	o := client.Options{Frame: func(f wire.Frame, _ int) {
		if w, ok := f.(wire.Welcome); ok {
			last = w.Seq
			if w.Docs[0].Seq >= w.Seq {
				once()
			}
		}
	}}
	o.Entries = func(from uint64, list []wire.Entry, _ int) {
		for _, x := range list {
			bytes += int64(len(x.Bytes))
		}
		if from+uint64(len(list))-1 >= last {
			once()
		}
	}
	c, err := client.Join(ctx, p.URL, token, o)
	if err != nil {
		return 0, 0, err
	}
	defer c.Kill()
	select {
	case <-there:
		return took, bytes, nil
	case <-c.Done():
		return 0, 0, c.Err()
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
}

// download reads to the last byte and throws it away.
func download(ctx context.Context, web *http.Client, p *process, token, board, doc, what string, begun time.Time) (took time.Duration, n int64, err error) {
	r, err := asking(ctx, p, token, board, doc, what)
	if err != nil {
		return 0, 0, err
	}
	r.Header.Set("Accept-Encoding", "gzip")
	resp, err := web.Do(r)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		return 0, 0, fmt.Errorf("%s: %s", what, resp.Status)
	}
	n, err = io.Copy(io.Discard, resp.Body)
	return time.Since(begun), n, err
}
