package boardtest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// ErrInjected is the failure that was asked for.
var ErrInjected = errors.New("boardtest: injected failure")

// Step is a durable step that can be made to fail.
type Step string

// Steps of Log.
const (
	Open    Step = "open"
	Create  Step = "create"
	Append  Step = "append"
	Read    Step = "read"
	ReadDoc Step = "read doc"
	Actors  Step = "actors"
	Issue   Step = "issue"
)

// Log is a board.Log in memory, which keeps what a disk would keep. Close ends its goroutine.
type Log struct {
	// Latency of an append; set before use.
	Latency time.Duration
	// OnRead runs at the beginning of every Read; set before use.
	OnRead func()

	queue chan func()
	ended chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	boards map[board.ID]*stored
	faults map[Step]fault
	gate   chan struct{} // not nil: appends wait until it is closed
	reads  int
	onDoc  func()
	full   bool
}

type stored struct {
	meta    board.Meta
	entries []board.Entry
	actors  map[board.ActorID]board.Person
	seen    map[key]bool
}

// key names a change within a board, as the store's unique index does.
type key struct {
	doc   board.DocID
	epoch uint32
	hash  board.Hash
}

type fault struct {
	after   int
	applied bool
}

// NewLog is an empty log.
func NewLog() *Log {
	l := &Log{queue: make(chan func(), 1024), ended: make(chan struct{}), boards: map[board.ID]*stored{}, faults: map[Step]fault{}}
	go func() { // ends in Close
		defer close(l.ended)
		for f := range l.queue {
			time.Sleep(l.Latency)
			l.mu.Lock()
			gate := l.gate
			l.mu.Unlock()
			if gate != nil {
				<-gate
			}
			f()
		}
	}()
	return l
}

// Close ends the log's goroutine.
func (l *Log) Close() { close(l.queue); <-l.ended }

// Pause keeps appends from finishing until the answer is called.
func (l *Log) Pause() (resume func()) {
	gate := make(chan struct{})
	l.mu.Lock()
	l.gate = gate
	l.mu.Unlock()
	return func() {
		l.mu.Lock()
		l.gate = nil
		l.mu.Unlock()
		close(gate)
	}
}

// OnReadDoc makes f run at the beginning of every ReadDoc; nil: nothing.
func (l *Log) OnReadDoc(f func()) {
	l.mu.Lock()
	l.onDoc = f
	l.mu.Unlock()
}

// Reads counts calls of Read.
func (l *Log) Reads() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reads
}

// Fail makes a step fail once after it has succeeded n times, with or without having happened.
func (l *Log) Fail(s Step, n int, applied bool) {
	l.mu.Lock()
	l.faults[s] = fault{n, applied}
	l.mu.Unlock()
}

// Fill makes every write fail with board.ErrStorage as long as it is on.
func (l *Log) Fill(on bool) {
	l.mu.Lock()
	l.full = on
	l.mu.Unlock()
}

// Storage is what board.Config wants to know.
func (l *Log) Storage() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full {
		return board.ErrStorage
	}
	return nil
}

// Entries are the stored entries of a board.
func (l *Log) Entries(id board.ID) []board.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.boards[id]; b != nil {
		return slices.Clone(b.entries)
	}
	return nil
}

// Snapshot pretends that a document was merged up to seq.
func (l *Log) Snapshot(id board.ID, doc board.DocID, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	docs := slices.Clone(l.boards[id].meta.Docs)
	for i := range docs {
		if docs[i].ID == doc {
			docs[i].Seq = seq
		}
	}
	l.boards[id].meta.Docs = docs
}

// step runs a step under the lock, or fails as asked.
func (l *Log) step(s Step, do func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full && (s == Create || s == Append || s == Issue) {
		return board.ErrStorage
	}
	if f, ok := l.faults[s]; ok {
		if f.after == 0 {
			delete(l.faults, s)
			if f.applied {
				if err := do(); err != nil {
					return err
				}
			}
			return ErrInjected
		}
		f.after--
		l.faults[s] = f
	}
	return do()
}

func (l *Log) Open(_ context.Context, id board.ID) (m board.Meta, err error) {
	err = l.step(Open, func() error {
		b := l.boards[id]
		if b == nil {
			return board.ErrUnknown
		}
		m = b.meta
		m.Seq = uint64(len(b.entries))
		m.Docs = slices.Clone(m.Docs)
		for i := range m.Docs {
			m.Docs[i].Seq = b.upto(m.Docs[i])
		}
		return nil
	})
	return m, err
}

// upto is the last seq before the first entry that a document's snapshot lacks.
func (b *stored) upto(d board.DocInfo) uint64 {
	for _, e := range b.entries {
		if e.Doc == d.ID && e.Epoch == d.Epoch && e.Seq > d.Seq {
			return e.Seq - 1
		}
	}
	return uint64(len(b.entries))
}

func (l *Log) Create(_ context.Context, m board.Meta, entries []board.Entry, actors map[board.ActorID]board.Person) error {
	return l.step(Create, func() error {
		if l.boards[m.ID] != nil {
			return board.ErrExists
		}
		b := &stored{meta: m, actors: map[board.ActorID]board.Person{}, seen: map[key]bool{}}
		maps.Copy(b.actors, actors)
		if err := b.add(entries); err != nil {
			return err
		}
		l.boards[m.ID] = b
		return nil
	})
}

func (b *stored) add(entries []board.Entry) error {
	fresh := map[key]bool{}
	for i, e := range entries {
		c := key{e.Doc, e.Epoch, e.Hash}
		switch {
		case e.Seq != uint64(len(b.entries)+i)+1:
			return errors.New("boardtest: entries are not dense")
		case b.seen[c] || fresh[c]:
			return errors.New("boardtest: the same change twice")
		}
		fresh[c] = true
	}
	docs := slices.Clone(b.meta.Docs)
	for _, e := range entries {
		i := slices.IndexFunc(docs, func(d board.DocInfo) bool { return d.ID == e.Doc })
		switch {
		case (e.Kind == board.KindEpoch || e.Kind == board.KindPage) && len(e.Document) == 0:
			return errors.New("boardtest: no document for what begins here")
		case e.Kind == board.KindPage && i < 0:
			docs = append(docs, board.DocInfo{ID: e.Doc, Epoch: e.Epoch, Seq: e.Seq})
		case e.Kind == board.KindEpoch && i >= 0 && docs[i].Epoch <= e.Epoch:
			docs[i].Epoch, docs[i].Seq = e.Epoch, e.Seq
		case e.Kind == board.KindPage || e.Kind == board.KindEpoch:
			return errors.New("boardtest: the document does not go on there")
		}
	}
	b.meta.Docs = docs
	maps.Copy(b.seen, fresh)
	for _, e := range entries {
		e.Bytes, e.Document = slices.Clone(e.Bytes), nil
		e.At = e.At.Truncate(time.Millisecond).UTC()
		b.entries = append(b.entries, e)
	}
	return nil
}

func (l *Log) Append(id board.ID, entries []board.Entry, done func(error)) {
	l.queue <- func() {
		done(l.step(Append, func() error {
			b := l.boards[id]
			if b == nil {
				return board.ErrUnknown
			}
			return b.add(entries)
		}))
	}
}

func (l *Log) Read(_ context.Context, id board.ID, after uint64, limit, maxBytes int) (out []board.Entry, err error) {
	if l.OnRead != nil {
		l.OnRead()
	}
	err = l.step(Read, func() error {
		l.reads++
		b := l.boards[id]
		if b == nil {
			return board.ErrUnknown
		}
		size := 0
		for _, e := range b.entries[min(after, uint64(len(b.entries))):] {
			if len(out) == limit || size >= maxBytes {
				break
			}
			size += len(e.Bytes)
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

func (l *Log) ReadDoc(_ context.Context, id board.ID, doc board.DocID, epoch uint32, after uint64, limit, maxBytes int) (out []board.Entry, err error) {
	l.mu.Lock()
	first := l.onDoc
	l.mu.Unlock()
	if first != nil {
		first()
	}
	err = l.step(ReadDoc, func() error {
		b := l.boards[id]
		if b == nil {
			return board.ErrUnknown
		}
		size := 0
		for _, e := range b.entries[min(after, uint64(len(b.entries))):] {
			if len(out) == limit || size >= maxBytes {
				break
			}
			if e.Doc == doc && e.Epoch == epoch {
				size += len(e.Bytes)
				out = append(out, e)
			}
		}
		return nil
	})
	return out, err
}

func (l *Log) Actors(_ context.Context, id board.ID) (out map[board.ActorID]board.Person, err error) {
	err = l.step(Actors, func() error {
		out = map[board.ActorID]board.Person{}
		if b := l.boards[id]; b != nil {
			maps.Copy(out, b.actors)
		}
		return nil
	})
	return out, err
}

func (l *Log) IssueActor(_ context.Context, id board.ID, a board.ActorID, p board.Person) error {
	return l.step(Issue, func() error {
		b := l.boards[id]
		if b == nil {
			return board.ErrUnknown
		}
		if _, ok := b.actors[a]; ok {
			return errors.New("boardtest: actor exists")
		}
		b.actors[a] = p
		return nil
	})
}

// Erase ends the retention of an epoch of a document: its entries keep their numbers only.
func (l *Log) Erase(id board.ID, doc board.DocID, epoch uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.boards[id].entries {
		if e := &l.boards[id].entries[i]; e.Doc == doc && e.Epoch == epoch {
			e.Kind, e.Bytes = board.KindErased, nil
		}
	}
}
