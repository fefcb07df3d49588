package checkpoint_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/crdt"
	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
	"github.com/educationpub/lectern/crdt/schema"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/store"
)

// lectern is one instance: what it has on disk outlives its starts.
type lectern struct {
	t     *testing.T
	seat  *seat
	dir   string
	after time.Duration // takeover_after

	store  *store.Store
	hub    *board.Hub
	engine *engine
	log    *strings.Builder
	logMu  sync.Mutex
	verify func() error // may be nil
	cancel context.CancelFunc
	done   chan struct{}

	mu sync.Mutex
	c  *checkpoint.Checkpointer // guarded by mu; nil: it does not run
}

func (l *lectern) current() *checkpoint.Checkpointer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.c
}

// Write keeps the log lines of this instance.
func (l *lectern) Write(b []byte) (int, error) {
	l.logMu.Lock()
	defer l.logMu.Unlock()
	if l.log == nil {
		l.log = &strings.Builder{}
	}
	l.log.Write(b)
	return len(b), nil
}

// logged says whether a line holds all of these.
func (l *lectern) logged(parts ...string) bool {
	l.logMu.Lock()
	defer l.logMu.Unlock()
	if l.log == nil {
		return false
	}
	for line := range strings.Lines(l.log.String()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			return true
		}
	}
	return false
}

func (l *lectern) openStore() {
	l.t.Helper()
	var err error
	l.store, err = store.Open(context.Background(), store.Options{Path: filepath.Join(l.dir, "lectern.db"), KeyFile: filepath.Join(l.dir, "key"), UnsafeNoSync: true})
	if err != nil {
		l.t.Fatal(err)
	}
}

// head moderates; everybody else is a participant.
const head = board.Person("@head:a.example")

func (l *lectern) start() {
	l.t.Helper()
	l.openStore()
	logger := slog.New(slog.NewTextHandler(l, nil)).With("lectern", l.seat.user)
	l.engine = &engine{}
	c := checkpoint.New(checkpoint.Config{
		Home: l.seat.user, Room: l.seat, Store: l.store, Log: l.store, Merger: l.engine, Logger: logger,
		Homes: l.store, Boards: func() checkpoint.Boards { return l.hub }, Accepting: true, TakeoverAfter: l.after,
		Saved: func(id board.ID, s board.Saved) { l.hub.Saved(id, s) },
	})
	l.hub = board.NewHub(board.Config{
		Log: l.store, Checkpoints: c, Server: board.Person(l.seat.user), Verify: l.check, Logger: logger,
		Authority: func(_ string, p board.Person) (board.Role, string) {
			if p == head {
				return board.RoleModerator, ""
			}
			return board.RoleParticipant, ""
		},
		Encode: func(dst []byte, e board.Entry) []byte { return append(dst, e.Hash[:]...) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.done = cancel, make(chan struct{})
	go func() {
		defer close(l.done)
		_ = c.Run(ctx)
	}()
	l.mu.Lock()
	l.c = c
	l.mu.Unlock()
	// The first /sync tells what stands in the room.
	l.seat.hall.mu.Lock()
	events := slices.Collect(maps.Values(l.seat.state))
	l.seat.hall.mu.Unlock()
	for _, e := range events {
		l.seat.sees(e)
	}
	synctest.Wait()
}

// check stands for the merge worker, in this process: none of the input is hostile.
func (l *lectern) check(_ context.Context, kind string, squash []byte, elements []board.Element) ([]byte, []board.Hash, error) {
	if l.verify != nil {
		if err := l.verify(); err != nil {
			return nil, nil, err
		}
	}
	d, err := crdt.Load(schema.Genesis(kind))
	if err == nil {
		err = d.Apply([][]byte{squash})
	}
	if err != nil {
		return nil, nil, err
	}
	root, err := d.Materialise()
	if n := len(root["elements"].(map[string]any)); err != nil || n != len(elements) {
		return nil, nil, fmt.Errorf("the engine sees %d elements instead of %d, %w", n, len(elements), err)
	}
	var heads []board.Hash
	for _, h := range d.Heads() {
		heads = append(heads, board.Hash(h))
	}
	return d.Save(), heads, nil
}

// stop is a stop in the middle of whatever is going on: nothing is saved to the room.
func (l *lectern) stop() {
	l.mu.Lock()
	running := l.c != nil
	l.c = nil
	l.mu.Unlock()
	if !running {
		return
	}
	l.cancel()
	<-l.done
	if err := l.hub.Close(context.Background()); err != nil {
		l.t.Error(err)
	}
	if err := l.store.Close(); err != nil {
		l.t.Error(err)
	}
}

// takeOver is a moderator's word.
func (l *lectern) takeOver() (bool, error) {
	return l.current().TakeOver(l.t.Context(), testRoom, testKind, testBoard)
}

func (l *lectern) mustTakeOver() {
	l.t.Helper()
	if saved, err := l.takeOver(); err != nil || !saved {
		l.t.Fatalf("%s takes over: saved %v, %v\n%s", l.seat.user, saved, err, l.log)
	}
	synctest.Wait()
}

func (l *lectern) entries() []board.Entry {
	l.t.Helper()
	all, err := l.store.Read(context.Background(), testBoard, 0, 1<<20, 1<<30)
	if err != nil {
		l.t.Fatal(err)
	}
	return all
}

func (l *lectern) home() checkpoint.Home {
	l.t.Helper()
	h, err := l.store.Home(context.Background(), testBoard)
	if err != nil {
		l.t.Fatal(err)
	}
	return h
}

// save writes the board to the room now.
func (l *lectern) save() {
	l.t.Helper()
	if err := l.current().Save(context.Background(), testBoard); err != nil {
		l.t.Fatal(err)
	}
	synctest.Wait()
}

func (l *lectern) squash() {
	l.t.Helper()
	meta, err := l.store.Open(context.Background(), testBoard)
	if err == nil {
		err = l.hub.Squash(context.Background(), testBoard, meta.Docs[0].ID)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// scene is what the board shows: x of each element that is shown.
func (l *lectern) scene() map[string]int64 {
	l.t.Helper()
	meta, err := l.store.Open(context.Background(), testBoard)
	if err != nil {
		l.t.Fatal(err)
	}
	v, err := l.hub.Scene(context.Background(), testBoard, meta.Docs[0].ID, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	out := map[string]int64{}
	for _, e := range v.Elements {
		x, hidden := int64(0), false
		for _, p := range e.Properties {
			switch p.Name {
			case "x":
				x = int64(p.Value.Num)
			case "isDeleted":
				hidden = p.Value.Any() == true
			}
		}
		if !hidden {
			out[e.ID] = x
		}
	}
	return out
}

// whole checks what every log has to keep, and that nothing is in it twice.
func (l *lectern) whole() {
	l.t.Helper()
	entries := l.entries()
	if _, err := boardtest.Epochs(entries); err != nil {
		l.t.Errorf("%s: %v", l.seat.user, err)
	}
	seen := map[board.Hash]uint64{}
	for _, e := range entries {
		if at, ok := seen[e.Hash]; ok && e.Kind != board.KindPage {
			l.t.Errorf("%s: entries %d and %d are the same", l.seat.user, at, e.Seq)
		}
		seen[e.Hash] = e.Seq
	}
}

// pen is one person on one Lectern's board.
type pen struct {
	l       *lectern
	person  board.Person
	session *board.Session
	doc     board.DocID
	epoch   uint32
	actor   board.ActorID
	author  *boardtest.Author
	read    uint64
}

func (l *lectern) join(p board.Person) (*pen, error) {
	s, w, err := l.hub.Join(context.Background(), board.Join{Board: testBoard, Room: testRoom, Kind: testKind, Person: p})
	if err != nil {
		return nil, err
	}
	synctest.Wait()
	return &pen{l: l, person: p, session: s, doc: w.Meta.Docs[0].ID, epoch: ^uint32(0), actor: w.Actor}, nil
}

func (l *lectern) mustJoin(p board.Person) *pen {
	l.t.Helper()
	pen, err := l.join(p)
	if err != nil {
		l.t.Fatalf("%s joins %s: %v\n%s", p, l.seat.user, err, l.log)
	}
	return pen
}

// see takes in what others did, and moves to the present epoch.
func (p *pen) see() *pen {
	p.l.t.Helper()
	meta, err := p.l.store.Open(context.Background(), testBoard)
	if err != nil {
		p.l.t.Fatal(err)
	}
	if p.epoch != meta.Docs[0].Epoch {
		p.epoch, p.author, p.read = meta.Docs[0].Epoch, boardtest.NewAuthor(p.actor), 0
	}
	for _, e := range p.l.entries() {
		if e.Seq > p.read && e.Epoch == p.epoch && e.Kind != board.KindPage {
			p.author.See(e.Bytes)
			p.read = e.Seq
		}
	}
	return p
}

func (p *pen) submit(chunk []byte) {
	p.l.t.Helper()
	if err := p.session.Submit(context.Background(), p.doc, p.epoch, chunk); err != nil {
		p.l.t.Fatal(err)
	}
	synctest.Wait()
	if !slices.ContainsFunc(p.l.entries(), func(e board.Entry) bool { return e.Hash == boardtest.HashOf(chunk) }) {
		p.l.t.Fatalf("%s: the change is not in the log", p.person)
	}
}

// put makes elements, if they are not there, and writes their x.
func (p *pen) put(x int64, ids ...string) {
	p.l.t.Helper()
	p.see()
	for _, id := range ids {
		if !slices.Contains(p.author.Elements(), id) {
			p.submit(p.author.Make(id))
		}
		p.submit(p.author.Move(id, x))
	}
}

func (p *pen) hide(id string) {
	p.l.t.Helper()
	p.see()
	p.submit(p.author.Hide(id))
}

// bye is how the session ended.
func (p *pen) bye() board.ByeEvent {
	p.l.t.Helper()
	var b board.Batch
	for {
		ok, err := p.session.Next(context.Background(), &b)
		for _, e := range b.Events {
			if bye, is := e.(board.ByeEvent); is {
				return bye
			}
		}
		if !ok || err != nil {
			return board.ByeEvent{}
		}
	}
}

func sameScene(t *testing.T, got, want map[string]int64) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", sorted(got), sorted(want))
	}
}

func sorted(m map[string]int64) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s=%d", k, m[k]))
	}
	return out
}

// wantElsewhere checks a refusal that names a home.
func wantElsewhere(t *testing.T, err error, home string) {
	t.Helper()
	own, ok := errors.AsType[*board.Error](err)
	if !ok || !errors.Is(err, board.ErrElsewhere) || !strings.Contains(own.Public(), home) || !strings.Contains(own.Public(), "UTC") {
		t.Errorf("got %v (%s), want board_elsewhere naming %s and when it last wrote", err, cmp.Or(own, board.ErrUnknown).Public(), home)
	}
}
