package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/server/store"
)

// deed is one thing that a store was asked to keep.
type deed struct {
	Op    string // "create", "append", "actor", "snapshot", "record", "session", "spend"
	Board board.ID
	Seq   uint64       // append: the first one's
	Hash  []board.Hash // append: the entries'
	Key   [32]byte     // actor (its first half), session, spend
	Epoch bool         // append: the entry begins an epoch
}

// life remembers what a store was asked to keep and what it has promised, and can tell whether a store is one that could have come out of it.
type life struct {
	tried map[board.ID]map[board.Hash]uint64 // entries by hash: the highest number they were tried under
	last  map[board.ID]uint64                // promised
	kept  []deed
	hash  map[board.ID]map[uint64]board.Hash // promised
	high  map[string]uint64                  // promised seq of snapshots and records
	asked map[string]uint64                  // the highest that was tried
}

func newLife() *life {
	return &life{
		tried: map[board.ID]map[board.Hash]uint64{}, last: map[board.ID]uint64{}, hash: map[board.ID]map[uint64]board.Hash{},
		high: map[string]uint64{}, asked: map[string]uint64{},
	}
}

func (l *life) try(d deed) {
	if l.tried[d.Board] == nil {
		l.tried[d.Board], l.hash[d.Board] = map[board.Hash]uint64{}, map[uint64]board.Hash{}
	}
	for i, h := range d.Hash {
		l.tried[d.Board][h] = d.Seq + uint64(i)
	}
	l.asked[d.Op+string(d.Board)] = max(l.asked[d.Op+string(d.Board)], d.Seq)
}

func (l *life) promised(d deed) {
	switch d.Op {
	case "append", "create":
		for i, h := range d.Hash {
			l.hash[d.Board][d.Seq+uint64(i)] = h
			l.last[d.Board] = max(l.last[d.Board], d.Seq+uint64(i))
		}
	case "snapshot", "record":
		l.high[d.Op+string(d.Board)] = max(l.high[d.Op+string(d.Board)], d.Seq)
	}
	l.kept = append(l.kept, d)
}

// check reads everything back: what was promised is there and opens, and what else is there had been asked for.
func (l *life) check(ctx context.Context, s *store.Store) error {
	boards := map[board.ID]bool{}
	for _, d := range l.kept {
		if d.Op == "create" || d.Op == "append" {
			boards[d.Board] = true
		}
	}
	for id := range boards {
		m, err := s.Open(ctx, id)
		if err != nil {
			return fmt.Errorf("board %s: %w", id, err)
		}
		list, err := s.Read(ctx, id, 0, 1_000_000, 1<<30)
		if err != nil {
			return err
		}
		if uint64(len(list)) != m.Seq || m.Seq < l.last[id] {
			return fmt.Errorf("board %s has %d entries, its head says %d, promised were %d", id, len(list), m.Seq, l.last[id])
		}
		for i, e := range list {
			seq := uint64(i) + 1
			if want, ok := l.hash[id][seq]; ok && want != e.Hash || e.Seq != seq {
				return fmt.Errorf("board %s: entry %d is not what was promised", id, seq)
			}
			if l.tried[id][e.Hash] < seq {
				return fmt.Errorf("board %s: entry %d was never asked for", id, seq)
			}
		}
		snap, err := s.Snapshot(ctx, id, doc)
		if err != nil {
			return err
		}
		if snap.Seq < l.high["snapshot"+string(id)] || snap.Seq > 0 && string(snap.Document) != document(id, snap.Seq) {
			return fmt.Errorf("board %s: snapshot at %d, promised was %d", id, snap.Seq, l.high["snapshot"+string(id)])
		}
		r, err := s.Checkpoint(ctx, id)
		if err != nil {
			return err
		}
		if r.Seq < l.high["record"+string(id)] || r.Seq > 0 && string(r.Manifest) != document(id, r.Seq) {
			return fmt.Errorf("board %s: record at %d, promised was %d", id, r.Seq, l.high["record"+string(id)])
		}
	}
	for _, d := range l.kept {
		switch d.Op {
		case "actor":
			list, err := s.Actors(ctx, d.Board)
			if err != nil {
				return err
			}
			if list[board.ActorID(d.Key[:16])] != ada {
				return fmt.Errorf("board %s: an actor is gone", d.Board)
			}
		case "session":
			if _, err := s.Session(ctx, d.Key); err != nil {
				return err
			}
		case "spend":
			if fresh, err := s.SpendOpenID(ctx, d.Key, time.Now().Add(time.Hour)); err != nil || fresh {
				return fmt.Errorf("a spent token is fresh again: %w", err)
			}
		}
	}
	return nil
}

func document(id board.ID, seq uint64) string {
	return fmt.Sprintf("%s %d %x", id, seq, make([]byte, 3000))
}

// liver lives on a store.
type liver struct {
	s    *store.Store
	l    *life
	rnd  *rand.Rand
	next map[board.ID]uint64 // as the board's actor believes; absent: to be read from the store
	a    *boardtest.Author
	n    int
	told func(verb string, d deed) // "try" and "kept"; may be nil
}

func newLiver(s *store.Store, seed uint64) *liver {
	return &liver{s: s, l: newLife(), rnd: rand.New(rand.NewPCG(seed, 1)), next: map[board.ID]uint64{}, a: boardtest.NewAuthor(board.ActorID{1})}
}

func lifeBoard(i int) board.ID { return board.ID(fmt.Sprintf("board%021d", i)) }

// step asks for one thing. The answer is the store's error.
func (v *liver) step(ctx context.Context) error {
	v.n++
	id := lifeBoard(v.rnd.IntN(2))
	if _, ok := v.next[id]; !ok {
		m, err := v.s.Open(ctx, id)
		if err != nil && !errors.Is(err, board.ErrUnknown) {
			return err
		}
		if err != nil {
			return v.create(ctx, id)
		}
		v.next[id] = m.Seq + 1
	}
	d := deed{Op: "append", Board: id, Seq: v.next[id], Key: sha256.Sum256(fmt.Append(nil, v.rnd.Uint64()))}
	switch v.rnd.IntN(8) {
	case 0:
		d.Op, d.Seq = "actor", 0
		return v.do(d, func() error { return v.s.IssueActor(ctx, id, board.ActorID(d.Key[:16]), ada) })
	case 1:
		d.Op, d.Seq = "snapshot", d.Seq-1
		return v.do(d, func() error {
			return v.s.PutSnapshot(ctx, id, checkpoint.Snapshot{Doc: doc, Seq: d.Seq, Document: []byte(document(id, d.Seq))})
		})
	case 2:
		d.Op, d.Seq = "record", d.Seq-1
		return v.do(d, func() error {
			return v.s.PutCheckpoint(ctx, id, checkpoint.Record{Seq: d.Seq, At: time.UnixMilli(int64(v.n)), Base: json.RawMessage(`{}`), Manifest: []byte(document(id, d.Seq))})
		})
	case 3:
		d.Op, d.Seq = "session", 0
		return v.do(d, func() error {
			return v.s.PutSession(ctx, identity.StoredSession{TokenHash: d.Key, Person: ada, Room: "!r", Board: id, Kind: "whiteboard", Issued: time.Now(), Expires: time.Now().Add(time.Hour)})
		})
	case 4:
		d.Op, d.Seq = "spend", 0
		return v.do(d, func() error {
			fresh, err := v.s.SpendOpenID(ctx, d.Key, time.Now().Add(time.Hour))
			if err == nil && !fresh {
				return errors.New("a new token was spent before")
			}
			return err
		})
	}
	return v.append(d)
}

// append asks for some entries under the number that d has.
func (v *liver) append(d deed) error {
	id, list := d.Board, v.entries(d.Seq, 1+v.rnd.IntN(20))
	for _, e := range list {
		d.Hash = append(d.Hash, e.Hash)
	}
	err := v.do(d, func() error {
		c := make(chan error, 1)
		v.s.Append(id, list, func(err error) { c <- err })
		return <-c
	})
	if v.next[id] += uint64(len(list)); err != nil {
		delete(v.next, id) // the board opens again
	}
	return err
}

func (v *liver) create(ctx context.Context, id board.ID) error {
	m := meta
	m.ID = id
	list := v.entries(1, v.rnd.IntN(30)) // as after a restore
	d := deed{Op: "create", Board: id, Seq: 1}
	for _, e := range list {
		d.Hash = append(d.Hash, e.Hash)
	}
	return v.do(d, func() error { return v.s.Create(ctx, m, list, map[board.ActorID]board.Person{{1}: ada}) })
}

func (v *liver) entries(seq uint64, n int) (list []board.Entry) {
	for i := range n {
		v.n++
		list = append(list, boardtest.NewEntry(seq+uint64(i), doc, v.a, v.a.Make(fmt.Sprint("e", v.n)), ada))
	}
	return list
}

func (v *liver) do(d deed, f func() error) error {
	if v.l.try(d); v.told != nil {
		v.told("try", d)
	}
	err := f()
	if err == nil {
		v.l.promised(d)
		inMemory := (d.Op == "session" || d.Op == "spend") && v.s.Fault() != nil // LG24: until storing works again
		if v.told != nil && !inMemory {
			v.told("kept", d)
		}
	}
	return err
}

func snapshotAt(seq uint64) checkpoint.Snapshot {
	return checkpoint.Snapshot{Doc: doc, Seq: seq, Document: []byte(document(id, seq))}
}
