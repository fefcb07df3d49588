package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/educationpub/lectern/crdt"
	boards "github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/schema"
	"github.com/educationpub/lectern/server/store"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// watcher is somebody who looks, and holds the document as it follows from what the server has sent.
type watcher struct {
	token string
	c     *client.Client

	mu sync.Mutex
	// Guarded by mu.
	ready  bool
	early  []wire.Entry // came before the document
	epoch  uint32
	base   []byte // document at the welcome, if the epoch is still that
	fresh  bool   // the epoch began while the watcher was there: base is its squash
	chunks [][]byte
}

// watch joins a board as a newcomer.
func watch(ctx context.Context, p *process, board int) (*watcher, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	w := &watcher{token: loadToken("watcher", board)}
	c, err := client.Join(ctx, p.URL, w.token, client.Options{Entries: func(_ uint64, list []wire.Entry, _ int) { w.take(list) }})
	if err != nil {
		return nil, err
	}
	w.c = c
	d, err := fetch(ctx, p, w.token, c.Welcome().Board, c.Welcome().Docs[0].Doc, "document")
	if err != nil {
		c.Kill()
		return nil, err
	}
	w.mu.Lock()
	w.epoch, w.base, w.ready = d.epoch, d.bytes, true
	early := w.early
	w.early = nil
	w.sort(early)
	w.mu.Unlock()
	return w, nil
}

// again comes back with what it has, as a client does after the server was gone.
func (w *watcher) again(ctx context.Context, p *process) error {
	seq, _, _ := w.c.State()
	c, err := client.Join(ctx, p.URL, w.token, client.Options{Log: w.c.Welcome().Log, Have: seq, Entries: func(_ uint64, list []wire.Entry, _ int) { w.take(list) }})
	if err != nil {
		return err
	}
	w.c = c
	if !c.Welcome().Resume {
		return errors.New("the server does not go on where it was")
	}
	return nil
}

func (w *watcher) take(list []wire.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ready {
		w.early = append(w.early, list...)
		return
	}
	w.sort(list)
}

// sort keeps what belongs to the present epoch. Called with mu held.
func (w *watcher) sort(list []wire.Entry) {
	for _, e := range list {
		switch {
		case e.Kind == epochKind && e.Epoch > w.epoch:
			w.epoch, w.base, w.fresh, w.chunks = e.Epoch, nil, true, nil
		case e.Epoch == w.epoch && len(e.Bytes) > 0 && e.Kind != epochKind:
			w.chunks = append(w.chunks, e.Bytes)
		}
	}
}

// document is what the watcher holds once it has everything.
func (w *watcher) document(ctx context.Context, p *process) (*crdt.Document, uint32, error) {
	for last := w.c.Welcome().Seq; ; {
		if seq, _, _ := w.c.State(); seq >= last {
			break
		}
		if err := wait(ctx, 2*time.Millisecond); err != nil {
			return nil, 0, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	base := w.base
	if base == nil {
		base = schema.Genesis(schema.KindWhiteboard)
	}
	chunks := w.chunks
	if w.fresh {
		now, err := fetch(ctx, p, w.token, w.c.Welcome().Board, w.c.Welcome().Docs[0].Doc, "document")
		if err != nil {
			return nil, 0, err
		}
		squash, err := squashOf(now.bytes)
		if err != nil {
			return nil, 0, err
		}
		chunks = append([][]byte{squash}, chunks...)
	}
	d, err := crdt.Load(base)
	if err != nil {
		return nil, 0, err
	}
	return d, w.epoch, d.Apply(chunks)
}

// look reads the log from the disk for everything that was noted on the board, then starts the server again: who was there comes back, a newcomer
// comes, and both must hold the same document.
func (c *crashing) look(ctx context.Context, there *watcher, board int, n *crashCount) error {
	have, err := logged(ctx, c.data, board)
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	for h := range c.want[board] {
		if !have[h] {
			n.missing++
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	begun := time.Now()
	p, err := start(ctx, "serve", "-full", "-data", c.data)
	if err != nil {
		return err
	}
	defer func() { _ = p.kill() }()
	if err := there.again(ctx, p); err != nil {
		return err
	}
	defer there.c.Kill()
	n.opened = time.Since(begun)
	c.ready = n.opened
	newcomer, err := watch(ctx, p, board)
	if err != nil {
		return err
	}
	defer newcomer.c.Kill()
	a, epoch, err := there.document(ctx, p)
	if err != nil {
		return fmt.Errorf("who was there: %w", err)
	}
	b, other, err := newcomer.document(ctx, p)
	if err != nil {
		return fmt.Errorf("newcomer: %w", err)
	}
	n.epoch = epoch
	va, err := a.Materialise()
	if err != nil {
		return err
	}
	vb, err := b.Materialise()
	if err != nil {
		return err
	}
	if epoch != other || !slices.Equal(a.Heads(), b.Heads()) || !reflect.DeepEqual(va, vb) {
		return fmt.Errorf("who was there (epoch %d, %d heads) and a newcomer (epoch %d, %d heads) hold different documents", epoch, len(a.Heads()), other, len(b.Heads()))
	}
	return nil
}

// logged are the hashes of a board's changes, of all epochs, as they lie on the disk; every row is verified.
func logged(ctx context.Context, data string, n int) (have map[string]bool, err error) {
	a, err := authenticate(ctx, loadToken("", n))
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, store.Options{Path: filepath.Join(data, "lectern.db"), KeyFile: filepath.Join(data, "key")})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	have = map[string]bool{}
	for after := uint64(0); ; {
		list, err := s.Read(ctx, a.Board, after, 1024, 8<<20)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return have, nil
		}
		for _, e := range list {
			if after = e.Seq; e.Kind == boards.KindChange || e.Kind == boards.KindLate || e.Kind == boards.KindCarry {
				h := client.Hash(e.Bytes)
				have[string(h[:])] = true
			}
		}
	}
}
