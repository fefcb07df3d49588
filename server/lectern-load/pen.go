package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// epochKind is the entry that begins an epoch (docs/protocol.md §2.2).
const epochKind = 2

// pen draws on a board that goes through epochs, and moves on as the protocol says: when a new epoch begins it waits until what it has drawn is
// acknowledged, fetches the document and goes on there. It outlives connections. Owned by one goroutine but for newest.
type pen struct {
	p       *process
	token   string
	strokes int // elements before it redraws, 0: the author's default

	actor  []byte // nil before the first connection
	author *client.Author
	epoch  uint32 // that author writes in
	newest atomic.Uint32

	c *client.Client
	w wire.Welcome
}

// sees takes note of an entry; true for one that begins an epoch. It may be called under the client's lock.
func (n *pen) sees(e wire.Entry) bool {
	if e.Kind != epochKind {
		return false
	}
	n.newest.Store(max(n.newest.Load(), e.Epoch))
	return true
}

// take puts the pen to use on a connection.
func (n *pen) take(c *client.Client) (err error) {
	n.c, n.w = c, c.Welcome()
	if n.author == nil || string(n.w.Actor) != string(n.actor) {
		if n.author, err = client.NewAuthor(n.w.Actor); err != nil {
			return err
		}
		if n.strokes > 0 {
			n.author.Strokes = n.strokes
		}
		n.actor, n.epoch = n.w.Actor, 0
	}
	n.newest.Store(max(n.newest.Load(), n.w.Docs[0].Epoch))
	return nil
}

// drop forgets what was drawn: the next connection begins anew.
func (n *pen) drop() { n.author, n.actor = nil, nil }

// draw sends the next change; noted is told of it just before.
func (n *pen) draw(ctx context.Context, size int, noted func(raw []byte)) error {
	if n.newest.Load() > n.epoch {
		if err := n.move(ctx); err != nil {
			return fmt.Errorf("move to epoch %d: %w", n.newest.Load(), err)
		}
	}
	raw := n.author.Stroke(size)
	noted(raw)
	n.c.Change(n.w.Docs[0].Doc, n.epoch, raw)
	return nil
}

func (n *pen) move(ctx context.Context) error {
	if err := acknowledged(ctx, n.c); err != nil {
		return err
	}
	d, err := fetch(ctx, n.p, n.token, n.w.Board, n.w.Docs[0].Doc, "document")
	if err != nil {
		return err
	}
	squash, err := squashOf(d.bytes)
	if err != nil {
		return err
	}
	if squash == nil {
		return errors.New("the document is still the genesis")
	}
	if err := n.author.Adopt(squash); err != nil {
		return err
	}
	n.epoch = d.epoch
	n.newest.Store(max(n.newest.Load(), d.epoch))
	return nil
}

// done waits until everything is acknowledged; a refusal is an error.
func (n *pen) done(ctx context.Context) error {
	err := acknowledged(ctx, n.c)
	if r := n.c.Stats().Resets; r > 0 {
		return fmt.Errorf("%d changes were refused", r)
	}
	return err
}
