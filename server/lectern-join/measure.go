package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/store"
)

// measureCommand fills a board in a folder of its own and joins it in another process.
func measureCommand(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("measure", flag.ExitOnError)
	squash := fs.Bool("squash", false, "begin another epoch on every page first, as the rule (EP4) would")
	_ = fs.Parse(args) // exits
	dir, err := os.MkdirTemp("", "lectern-join-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	if err := prepare(ctx, dir, fs.Args(), *squash); err != nil {
		return err
	}
	fmt.Printf("filled and merged in %v\n", time.Since(began).Round(time.Millisecond))
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.CommandContext(ctx, self, "serve", "-data", dir)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		return err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	var s serving
	if err := json.NewDecoder(out).Decode(&s); err != nil {
		return errors.Join(err, child.Wait())
	}
	err = report(ctx, s)
	return errors.Join(err, in.Close(), child.Wait())
}

func prepare(ctx context.Context, dir string, files []string, squash bool) error {
	s, err := store.Open(ctx, store.Options{Path: filepath.Join(dir, "lectern.db"), KeyFile: filepath.Join(dir, "key")})
	if err != nil {
		return err
	}
	f, err := newFiller(ctx, s, room, measured)
	if err == nil {
		err = f.fill(ctx, files)
	}
	if err == nil {
		err = f.settle(ctx, squash)
	}
	return errors.Join(err, s.Close())
}

func report(ctx context.Context, s serving) error {
	j := &joiner{url: s.URL}
	fmt.Printf("%-34s %10s %10s %10s\n", "", "bytes", "ms", "CPU ms")
	first, all := s.Docs[:1], s.Docs
	for _, c := range []struct {
		what  string
		docs  []board.DocID
		times int
	}{{"first page, nothing in memory", first, 1}, {"first page", first, 50}, {"all pages, rest not in memory", all, 1}, {"all pages", all, 20}} {
		if err := j.row(ctx, c.what, c.docs, c.times); err != nil {
			return err
		}
	}
	return errors.Join(j.crowd(ctx, "first page, 20 at once", first), j.crowd(ctx, "all pages, 20 at once", all))
}

type joiner struct{ url string }

// join fetches scenes and documents one after the other; answers their sizes.
func (j *joiner) join(ctx context.Context, docs []board.DocID) (scenes, documents int, err error) {
	for _, d := range docs {
		n, err := j.get(ctx, "/v1/boards/"+string(measured)+"/docs/"+string(d)+"/scene")
		if err != nil {
			return 0, 0, err
		}
		scenes += n
		if n, err = j.get(ctx, "/v1/boards/"+string(measured)+"/docs/"+string(d)+"/document"); err != nil {
			return 0, 0, err
		}
		documents += n
	}
	return scenes, documents, nil
}

func (j *joiner) get(ctx context.Context, path string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, j.url+path, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept-Encoding", "gzip") // set by hand, it is not unpacked
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, resp.Status)
	}
	return int(n), err
}

func (j *joiner) usage(ctx context.Context, reset string) (u usage, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, j.url+"/usage"+reset, nil)
	if err != nil {
		return u, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return u, err
	}
	defer resp.Body.Close()
	return u, json.NewDecoder(resp.Body).Decode(&u)
}

func (j *joiner) row(ctx context.Context, what string, docs []board.DocID, times int) error {
	before, err := j.usage(ctx, "")
	if err != nil {
		return err
	}
	var took []time.Duration
	var scenes, documents int
	for range times {
		start := time.Now()
		if scenes, documents, err = j.join(ctx, docs); err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	after, err := j.usage(ctx, "")
	if err != nil {
		return err
	}
	slices.Sort(took)
	fmt.Printf("%-34s %10d %10.2f %10.2f   (scenes %d, documents %d; slowest %.2f ms of %d)\n", what, scenes+documents, ms(took[len(took)/2]), ms(after.CPU-before.CPU)/float64(times),
		scenes, documents, ms(took[len(took)-1]), times)
	return nil
}

// crowd is twenty people at the same moment.
func (j *joiner) crowd(ctx context.Context, what string, docs []board.DocID) error {
	before, err := j.usage(ctx, "?reset")
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	errs := make([]error, 20)
	start := time.Now()
	for i := range errs {
		all.Go(func() { _, _, errs[i] = j.join(ctx, docs) })
	}
	all.Wait()
	took := time.Since(start)
	after, err := j.usage(ctx, "")
	if err != nil {
		return err
	}
	fmt.Printf("%-34s %10s %10.2f %10.2f   (memory at most %d KiB more than the %d KiB before)\n", what, "", ms(took), ms(after.CPU-before.CPU), after.Peak-before.RSS, before.RSS)
	return errors.Join(errs...)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
