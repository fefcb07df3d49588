package devstack

import (
	"context"
	"errors"
	"io"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// Pair is two homeservers that federate with each other over TLS on loopback.
type Pair struct{ A, B *Homeserver }

// StartPair starts both below dir. Server names are "localhost:<port>", so nothing is looked up in DNS or well-known files.
func StartPair(ctx context.Context, dir string, progress io.Writer) (*Pair, error) {
	// Built once, before both start.
	if _, err := Binary(ctx, progress); err != nil {
		return nil, err
	}
	var pair Pair
	var group errgroup.Group
	for name, h := range map[string]**Homeserver{"a": &pair.A, "b": &pair.B} {
		group.Go(func() (err error) {
			*h, err = StartHomeserver(ctx, Options{Dir: filepath.Join(dir, name), Federation: true, Progress: progress})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		pair.Stop()
		return nil, errors.Join(errors.New("start a federating pair"), err)
	}
	return &pair, nil
}

// Stop ends both.
func (p *Pair) Stop() {
	for _, h := range []*Homeserver{p.A, p.B} {
		if h != nil {
			h.Stop()
		}
	}
}
