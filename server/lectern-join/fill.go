package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
	"github.com/educationpub/lectern/crdt/worker"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/store"
	"github.com/educationpub/lectern/server/wire"
)

const (
	person = board.Person("@ada:example.org")
	batch  = 1000 // entries per transaction
)

func fillCommand(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("fill", flag.ExitOnError)
	db, key := fs.String("db", "", "lectern.db, its Lectern stopped"), fs.String("key", "", "its instance key")
	room, id := fs.String("room", "", "the board's room"), fs.String("board", "", "the board's id")
	squash := fs.Bool("squash", false, "begin another epoch on every page afterwards")
	_ = fs.Parse(args) // exits
	if *db == "" || *key == "" || *room == "" || *id == "" {
		return errors.New("fill needs -db, -key, -room and -board")
	}
	s, err := store.Open(ctx, store.Options{Path: *db, KeyFile: *key})
	if err != nil {
		return err
	}
	f, err := newFiller(ctx, s, *room, board.ID(*id))
	if err == nil {
		err = f.fill(ctx, fs.Args())
	}
	if err == nil {
		err = f.settle(ctx, *squash)
	}
	if f != nil {
		fmt.Printf("board %s: %d pages, %d entries\n", *id, len(f.meta.Docs), f.meta.Seq)
	}
	return errors.Join(err, s.Close())
}

// filler writes a board's log as the hub would have.
type filler struct {
	store  *store.Store
	joins  *checkpoint.Checkpointer
	meta   board.Meta
	actors map[board.ActorID]bool
}

func newFiller(ctx context.Context, s *store.Store, room string, id board.ID) (*filler, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	pool := worker.New(worker.Config{Command: []string{self, "merge-worker"}, Timeout: time.Minute})
	f := &filler{store: s, actors: map[board.ActorID]bool{}}
	f.joins = checkpoint.New(checkpoint.Config{
		Home: "@lectern:example.org", Room: noRoom{}, Store: s, Log: s, Merger: pool, Logger: slog.New(slog.DiscardHandler),
	})
	f.meta, err = s.Open(ctx, id)
	if errors.Is(err, board.ErrUnknown) {
		f.meta = board.Meta{ID: id, Room: room, Kind: schema.KindWhiteboard, Log: "corpus", Docs: []board.DocInfo{{ID: pageID(0)}}}
		err = s.Create(ctx, f.meta, nil, nil)
	}
	return f, err
}

func pageID(n int) board.DocID { return board.DocID(fmt.Sprintf("01corpus%018d", n)) }

// fill appends the changes of each file to a page of its own; pages that are missing are begun.
func (f *filler) fill(ctx context.Context, files []string) error {
	for n, name := range files {
		if n == len(f.meta.Docs) {
			if err := f.begin(pageID(n)); err != nil {
				return err
			}
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := f.page(ctx, f.meta.Docs[n], raw); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (f *filler) begin(doc board.DocID) error {
	genesis := schema.Genesis(f.meta.Kind)
	var c change.Change
	if err := c.Parse(schema.GenesisChange(f.meta.Kind), nil); err != nil {
		return err
	}
	f.meta.Docs = append(f.meta.Docs, board.DocInfo{ID: doc})
	return f.append([]board.Entry{{Doc: doc, Kind: board.KindPage, Hash: board.Hash(c.Hash), Document: genesis}})
}

func (f *filler) page(ctx context.Context, doc board.DocInfo, raw []byte) error {
	var entries []board.Entry
	for len(raw) > 4 {
		n := binary.BigEndian.Uint32(raw)
		chunk := raw[4 : 4+n]
		raw = raw[4+n:]
		var c change.Change
		if err := c.Parse(chunk, &change.DefaultLimits); err != nil {
			return err
		}
		actor := board.ActorID(c.Author())
		if !f.actors[actor] {
			f.actors[actor] = true
			if err := f.store.IssueActor(ctx, f.meta.ID, actor, person); err != nil {
				return err
			}
		}
		entries = append(entries, board.Entry{Doc: doc.ID, Epoch: doc.Epoch, Kind: board.KindChange, Hash: board.Hash(c.Hash), Actor: actor, Person: person, Bytes: chunk})
		if len(entries) == batch || len(raw) <= 4 {
			if err := f.append(entries); err != nil {
				return err
			}
			entries = entries[:0]
		}
	}
	return nil
}

func (f *filler) append(entries []board.Entry) error {
	for i := range entries {
		f.meta.Seq++
		entries[i].Seq, entries[i].At = f.meta.Seq, time.Now()
	}
	done := make(chan error, 1)
	f.store.Append(f.meta.ID, entries, func(err error) { done <- err })
	return <-done
}

// settle merges every page for joiners, and squashes it if asked to.
func (f *filler) settle(ctx context.Context, squash bool) error {
	if squash {
		hub := board.NewHub(board.Config{
			Log: f.store, Encode: wire.AppendEntry, Verify: f.joins.Verify,
			Authority: func(string, board.Person) (board.Role, string) { return board.RoleModerator, "" },
		})
		for _, d := range f.meta.Docs {
			if err := hub.Squash(ctx, f.meta.ID, d.ID); err != nil {
				return fmt.Errorf("squash %s: %w", d.ID, err)
			}
		}
		if err := hub.Close(ctx); err != nil {
			return err
		}
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.joins.Run(running) }()
	defer func() { stop(); <-ended }()
	f.joins.Changed(board.Changed{ID: f.meta.ID, Room: f.meta.Room, Kind: f.meta.Kind, Seq: f.meta.Seq, At: time.Now()})
	if err := f.joins.Flush(ctx); err != nil && !errors.Is(err, errNoRoom) { // documents are merged before the room is tried
		return err
	}
	meta, err := f.store.Open(ctx, f.meta.ID)
	if err != nil {
		return err
	}
	f.meta = meta
	for _, d := range meta.Docs {
		snap, err := f.store.Snapshot(ctx, meta.ID, d.ID)
		if err != nil {
			return err
		}
		if d.Seq < meta.Seq || snap.Scene == nil {
			return fmt.Errorf("page %s is merged up to %d of %d, scene of %d bytes", d.ID, d.Seq, meta.Seq, len(snap.Scene))
		}
	}
	return nil
}

// noRoom is a room that cannot be reached.
type noRoom struct{}

var errNoRoom = &checkpoint.RoomError{Kind: checkpoint.Unreachable, Err: errors.New("there is no room here")}

func (noRoom) UserID() string        { return "@lectern:example.org" }
func (noRoom) Encrypted(string) bool { return false }
func (noRoom) WriteState(context.Context, string, string, string, json.RawMessage) (string, error) {
	return "", errNoRoom
}

func (noRoom) ReadState(context.Context, string, string, string) (checkpoint.State, error) {
	return checkpoint.State{}, checkpoint.ErrNoState
}
func (noRoom) Upload(context.Context, []byte) (json.RawMessage, error) { return nil, errNoRoom }
func (noRoom) Download(context.Context, json.RawMessage, int64) ([]byte, error) {
	return nil, errNoRoom
}
