package checkpoint

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/educationpub/lectern/crdt/board"
)

const (
	shelfBytes  = 64 << 20         // of ready snapshots in memory, all boards together
	readyLimit  = 30 * time.Second // for making one
	readyFormat = "1"              // part of the tag; another way of packing needs another one
)

// Ready is a document as joiners get it: bytes that only need copying. Nobody writes to them.
type Ready struct {
	Edition
	Heads    []board.Hash
	Document []byte // save(); empty: the genesis
	Scene    []byte // gzip of docs/protocol.md §1.3; only where it was asked for, or is there anyhow
}

// Tag names the content for good (the HTTP header ETag).
func (r *Ready) Tag() string { return fmt.Sprintf(`"%s-%s-%d-%d"`, readyFormat, r.Log, r.Epoch, r.Seq) }

// shelf keeps ready snapshots, least recently used first out. Whoever takes one has looked up the edition, so nothing has to be told to the shelf.
type shelf struct {
	flights singleflight.Group
	limit   int // immutable

	// Guarded by mu.
	mu    sync.Mutex
	items map[place]*list.Element
	order list.List // of *shelved, newest use in front
	bytes int
}

type place struct {
	board board.ID
	doc   board.DocID
}

type shelved struct {
	at place
	*Ready
}

func newShelf(limit int) *shelf { return &shelf{limit: limit, items: make(map[place]*list.Element)} }

func (r *Ready) size() int { return len(r.Document) + len(r.Scene) }

// take answers what is there of an edition.
func (s *shelf) take(at place, m Edition) *Ready {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.items[at]
	if e == nil {
		return nil
	}
	r := e.Value.(*shelved).Ready
	if r.Log != m.Log || r.Epoch != m.Epoch || r.Seq != m.Seq {
		s.drop(e)
		return nil
	}
	s.order.MoveToFront(e)
	return r
}

func (s *shelf) put(at place, r *Ready) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.items[at]; e != nil {
		s.drop(e)
	}
	s.items[at] = s.order.PushFront(&shelved{at, r})
	s.bytes += r.size()
	for s.bytes > s.limit && s.order.Len() > 1 {
		s.drop(s.order.Back())
	}
}

// drop is called with mu held.
func (s *shelf) drop(e *list.Element) {
	v := s.order.Remove(e).(*shelved)
	s.bytes -= v.size()
	delete(s.items, v.at)
}

// forget drops a board that is gone.
func (s *shelf) forget(id board.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, e := range s.items {
		if at.board == id {
			s.drop(e)
		}
	}
}

// Ready answers the newest snapshot of a document, with its scene if that is asked for. Normally that is one small query and bytes that are in
// memory; the first to ask for a snapshot reads it for everybody who asks meanwhile. A damaged one is made anew from the log, a scene that is
// missing from the document. It works without Run.
func (c *Checkpointer) Ready(ctx context.Context, id board.ID, doc board.DocID, scene bool) (Ready, error) {
	m, err := c.config.Store.Edition(ctx, id, doc)
	if err != nil {
		if isUnknown(err) {
			c.shelf.forget(id)
		}
		return Ready{}, err
	}
	at := place{id, doc}
	r := c.shelf.take(at, m)
	if r == nil {
		if r, err = c.once(ctx, at, m, "document", func(ctx context.Context) (*Ready, error) { return c.fetch(ctx, at, m) }); err != nil {
			return Ready{}, err
		}
	}
	if scene && r.Scene == nil {
		if r, err = c.once(ctx, at, r.Edition, "scene", func(ctx context.Context) (*Ready, error) { return c.complete(ctx, at, r) }); err != nil {
			return Ready{}, err
		}
	}
	out := *r
	out.Upto = max(m.Upto, r.Seq) // r may be newer than m
	return out, nil
}

// once does something for everybody who wants it now, and puts the result on the shelf.
func (c *Checkpointer) once(ctx context.Context, at place, m Edition, what string, do func(context.Context) (*Ready, error)) (*Ready, error) {
	v, err, _ := c.shelf.flights.Do(fmt.Sprint(what, at, m.Log, m.Epoch, m.Seq), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyLimit) // others wait for it too
		defer cancel()
		r, err := do(ctx)
		if err == nil {
			c.shelf.put(at, r)
		}
		return r, err
	})
	if err != nil {
		return nil, err
	}
	return v.(*Ready), nil
}

// fetch reads a snapshot for the shelf.
func (c *Checkpointer) fetch(ctx context.Context, at place, m Edition) (*Ready, error) {
	s, err := c.config.Store.Snapshot(ctx, at.board, at.doc)
	switch {
	case errors.Is(err, board.ErrDamaged):
		s, err = c.rebuild(ctx, at)
	case err == nil && (len(s.Document) == 0 || s.Epoch != m.Epoch):
		if s, err = genesis(m.Kind, board.DocInfo{ID: at.doc, Epoch: m.Epoch}); err == nil {
			s.Document = nil // clients have it
			s.Scene, err = packScene(m.Log, &s, []byte("[]"))
		}
	}
	if err != nil {
		return nil, err
	}
	m.Seq, m.Epoch = s.Seq, s.Epoch
	return &Ready{Edition: m, Heads: s.Heads, Document: s.Document, Scene: s.Scene}, nil
}

// complete adds the scene.
func (c *Checkpointer) complete(ctx context.Context, at place, r *Ready) (*Ready, error) {
	s, err := c.draw(ctx, at.board, r.Log, Snapshot{Doc: at.doc, Epoch: r.Epoch, Seq: r.Seq, Heads: r.Heads, Document: r.Document})
	if err != nil {
		return nil, err
	}
	whole := *r
	whole.Scene = s.Scene
	return &whole, nil
}

// rebuild makes a snapshot that is damaged anew from the log.
func (c *Checkpointer) rebuild(ctx context.Context, at place) (Snapshot, error) {
	meta, err := c.config.Log.Open(ctx, at.board)
	if err != nil {
		return Snapshot{}, fmt.Errorf("open the log: %w", err)
	}
	for _, d := range meta.Docs {
		if d.ID != at.doc {
			continue
		}
		s, err := c.advance(ctx, at.board, meta, d)
		if stuck, ok := errors.AsType[*stuckError](err); ok {
			return s, board.ErrDamaged.Because("the snapshot of %s is damaged, and the log does not merge: %w", at.doc, stuck)
		}
		return s, err
	}
	return Snapshot{}, board.ErrUnknownDoc
}
