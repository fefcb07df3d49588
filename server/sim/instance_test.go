package sim

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt"
	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
	"github.com/educationpub/lectern/crdt/worker"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/store"
)

const (
	testBoard = board.ID("aaaaaaaaaaaaaaaaaaaaaaaaaa")
	testRoom  = "!room:example.org"
)

// instance is one Lectern: its real store, hub and checkpointer. It can be killed and started again.
type instance struct {
	t    testing.TB
	rnd  *rand.Rand
	dir  string
	view *view
	mute bool // late changes have no effect

	disk   *disk
	hub    *board.Hub
	cp     *checkpoint.Checkpointer
	dead   bool
	ctx    context.Context // lifetime of the instance
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

func (in *instance) start() {
	s, err := store.Open(context.Background(), store.Options{
		Path: filepath.Join(in.dir, "lectern.db"), KeyFile: filepath.Join(in.dir, "instance.key"), UnsafeNoSync: true, // no power cuts here: those are server/store's tests
	})
	if err != nil {
		in.t.Fatalf("open store: %v", err)
	}
	in.disk = &disk{Store: s, rnd: in.rnd}
	in.dead = false
	in.cp = checkpoint.New(checkpoint.Config{
		Home: in.view.user, Room: in.view, Store: in.disk, Log: in.disk, Merger: engine{},
		Saved: func(id board.ID, v board.Saved) { in.hub.Saved(id, v) },
		Homes: in.disk, Boards: func() checkpoint.Boards { return in.hub }, Accepting: true,
	})
	in.hub = board.NewHub(board.Config{
		Log: in.disk, Checkpoints: in.cp, Encode: encode, Idle: time.Minute, NoCarry: in.mute, Verify: verify, Server: board.Person(in.view.user),
		Authority: func(_ string, p board.Person) (board.Role, string) {
			if p == head {
				return board.RoleModerator, ""
			}
			return board.RoleParticipant, ""
		},
	})
	in.ctx, in.cancel = context.WithCancel(context.Background())
	in.ended.Go(func() { _ = in.cp.Run(in.ctx) })
	in.view.fabric.mu.Lock()
	in.view.told = func(typ, key string) { in.cp.Written(testRoom, typ, key) }
	missed := slices.Collect(maps.Values(in.view.events)) // a first /sync shows the whole state
	in.view.fabric.mu.Unlock()
	for _, e := range missed {
		if e.sender != in.view.user {
			in.cp.Written(testRoom, e.typ, e.key)
		}
	}
}

// stop ends the instance: in good order, or killed, after which nothing of it reaches its disk or the room any more.
func (in *instance) stop(killed bool) {
	in.view.fabric.mu.Lock()
	in.view.told = nil
	in.view.fabric.mu.Unlock()
	if killed {
		in.disk.kill()
		in.cancel()
	}
	in.dead = true
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := in.hub.Drain(ctx); err != nil {
		in.t.Fatalf("drain: %v", err)
	}
	if !killed {
		_ = in.cp.Flush(ctx) // what the room refuses now is saved after the next start
		in.cancel()
	}
	in.ended.Wait()
	if err := in.disk.Close(); err != nil {
		in.t.Fatalf("close store: %v", err)
	}
}

// fail makes one call of the disk in n fail; 0: none.
func (in *instance) fail(n int) {
	in.disk.mu.Lock()
	in.disk.faults = n
	in.disk.mu.Unlock()
}

// disk is a store that fails on demand, before or after the fact, and that a kill cuts off.
type disk struct {
	*store.Store

	mu sync.Mutex
	// Guarded by mu.
	rnd    *rand.Rand
	faults int // one call in so many fails; 0: none
	killed bool
}

var (
	errFault  = errors.New("sim: the disk failed")
	errKilled = errors.New("sim: killed")
)

func (d *disk) kill() {
	d.mu.Lock()
	d.killed = true
	d.mu.Unlock()
}

// fate of one call: its error, and whether it happens all the same.
func (d *disk) fate() (err error, happens bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.killed:
		return errKilled, false
	case d.faults > 0 && d.rnd.IntN(d.faults) == 0:
		return errFault, d.rnd.IntN(2) == 0
	}
	return nil, true
}

func (d *disk) do(f func() error) error {
	err, happens := d.fate()
	if !happens {
		return err
	}
	return errors.Join(f(), err)
}

func (d *disk) Append(id board.ID, entries []board.Entry, done func(error)) {
	err, happens := d.fate()
	if !happens {
		go done(err) // the board has room for the one answer it waits for
		return
	}
	d.Store.Append(id, entries, func(own error) {
		time.Sleep(time.Millisecond)
		done(errors.Join(own, err))
	})
}

func (d *disk) Create(ctx context.Context, m board.Meta, entries []board.Entry, actors map[board.ActorID]board.Person) error {
	return d.do(func() error { return d.Store.Create(ctx, m, entries, actors) })
}

func (d *disk) IssueActor(ctx context.Context, id board.ID, a board.ActorID, p board.Person) error {
	return d.do(func() error { return d.Store.IssueActor(ctx, id, a, p) })
}

func (d *disk) PutSnapshot(ctx context.Context, id board.ID, s checkpoint.Snapshot) error {
	return d.do(func() error { return d.Store.PutSnapshot(ctx, id, s) })
}

func (d *disk) PutCheckpoint(ctx context.Context, id board.ID, r checkpoint.Record) error {
	return d.do(func() error { return d.Store.PutCheckpoint(ctx, id, r) })
}

func (d *disk) PutHome(ctx context.Context, id board.ID, room, kind string, h checkpoint.Home) error {
	return d.do(func() error { return d.Store.PutHome(ctx, id, room, kind, h) })
}

func (d *disk) Read(ctx context.Context, id board.ID, after uint64, limit, maxBytes int) (out []board.Entry, err error) {
	err = d.do(func() (err error) { out, err = d.Store.Read(ctx, id, after, limit, maxBytes); return err })
	return out, err
}

func (d *disk) ReadDoc(ctx context.Context, id board.ID, doc board.DocID, epoch uint32, after uint64, limit, maxBytes int) (out []board.Entry, err error) {
	err = d.do(func() (err error) {
		out, err = d.Store.ReadDoc(ctx, id, doc, epoch, after, limit, maxBytes)
		return err
	})
	return out, err
}

// engine merges in this process: virtual time, and none of the input is hostile.
type engine struct{}

func (engine) Merge(_ context.Context, base []byte, changes [][]byte) (res worker.Result, err error) {
	d, err := crdt.Load(base)
	if err != nil {
		return res, worker.ErrBase
	}
	if err := d.Apply(changes); err != nil {
		return res, err
	}
	res.Document, res.Heads, res.Scene = d.Save(), d.Heads(), []byte("[]") // nobody here looks at scenes
	return res, nil
}

// verify is what the merge worker does to a squash.
func verify(ctx context.Context, kind string, chunk []byte, _ []board.Element) ([]byte, []board.Hash, error) {
	time.Sleep(300 * time.Millisecond) // people go on drawing
	res, err := engine{}.Merge(ctx, schema.Genesis(kind), [][]byte{chunk})
	heads := make([]board.Hash, len(res.Heads))
	for i, h := range res.Heads {
		heads[i] = board.Hash(h)
	}
	return res.Document, heads, err
}

func (engine) Changes(_ context.Context, document []byte) ([][]byte, []worker.Hash, error) {
	d, err := crdt.Load(document)
	if err != nil {
		return nil, nil, worker.ErrBase
	}
	changes, err := d.Changes()
	return changes, d.Heads(), err
}

func applyStored(p *schema.Page, stored []byte) error {
	plain, err := change.Inflate(stored)
	if err != nil {
		return err
	}
	return apply(p, plain)
}
