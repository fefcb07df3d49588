package board_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/educationpub/lectern/crdt"
	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
	"github.com/educationpub/lectern/crdt/schema"
)

const (
	testBoard = board.ID("aaaaaaaaaaaaaaaaaaaaaaaaaa")
	testRoom  = "!room:example.org"
	ada       = board.Person("@ada:example.org")
	bob       = board.Person("@bob:example.org")
	eve       = board.Person("@eve:example.org")
)

// rig is a hub over a log in memory, inside a synctest bubble.
type rig struct {
	t   testing.TB
	log *boardtest.Log
	hub *board.Hub

	mu sync.Mutex
	// Guarded by mu.
	roles         map[board.Person]board.Role
	names         map[board.Person]string
	commits       []int
	refused       []string
	dropped       map[string]int
	changed       []board.Changed
	squashes      []error
	late, carries int
	verify        func(ctx context.Context) error // before the engine is asked; may be nil
	restore       func() (*board.Restored, error)
	asked         int // calls of Restore
}

func (r *rig) authority(room string, p board.Person) (board.Role, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if room != testRoom {
		return board.RoleNone, ""
	}
	return r.roles[p], r.names[p]
}

func (r *rig) set(p board.Person, role board.Role) {
	r.mu.Lock()
	r.roles[p] = role
	r.mu.Unlock()
}

func (r *rig) Restore(context.Context, string, string, board.ID) (*board.Restored, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if r.restore == nil {
		return nil, nil
	}
	return r.restore()
}

func (r *rig) Changed(c board.Changed) {
	r.mu.Lock()
	r.changed = append(r.changed, c)
	r.mu.Unlock()
}

// Verify asks a real engine, in this process: none of the input is hostile.
func (r *rig) Verify(ctx context.Context, kind string, squash []byte, elements []board.Element) ([]byte, []board.Hash, error) {
	r.mu.Lock()
	verify := r.verify
	r.mu.Unlock()
	if verify != nil {
		if err := verify(ctx); err != nil {
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

func (r *rig) verifyBy(f func(context.Context) error) {
	r.mu.Lock()
	r.verify = f
	r.mu.Unlock()
}

func (r *rig) squashed() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.squashes)
}

// carried counts late changes and carries.
func (r *rig) carried() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint(r.late, r.carries)
}

func (r *rig) drops(reason string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped[reason]
}

func newRig(t testing.TB) *rig {
	r := &rig{
		t: t, log: boardtest.NewLog(), dropped: map[string]int{}, names: map[board.Person]string{ada: "Ada", bob: "Bob"},
		roles: map[board.Person]board.Role{ada: board.RoleParticipant, bob: board.RoleParticipant, eve: board.RoleViewer},
	}
	r.log.Latency = time.Millisecond
	r.start()
	t.Cleanup(func() { r.stop(); r.log.Close() })
	return r
}

func (r *rig) start() {
	r.hub = board.NewHub(board.Config{
		Log: r.log, Verify: r.Verify, Server: "@lectern:example.org", Checkpoints: r, Authority: r.authority, Storage: r.log.Storage,
		Encode: func(dst []byte, e board.Entry) []byte { return append(dst, e.Bytes...) },
		Observe: board.Observe{
			Commit:  func(n, _ int, _ time.Duration) { r.mu.Lock(); r.commits = append(r.commits, n); r.mu.Unlock() },
			Refused: func(code string) { r.mu.Lock(); r.refused = append(r.refused, code); r.mu.Unlock() },
			Squash:  func(_ time.Duration, err error) { r.mu.Lock(); r.squashes = append(r.squashes, err); r.mu.Unlock() },
			Late:    func(l, c int) { r.mu.Lock(); r.late += l; r.carries += c; r.mu.Unlock() },
			Dropped: func(reason string, n int) { r.mu.Lock(); r.dropped[reason] += n; r.mu.Unlock() },
		},
	})
}

func (r *rig) stop() {
	if err := r.hub.Drain(context.Background()); err != nil {
		r.t.Errorf("drain: %v", err)
	}
}

// client is a session that notes what it is sent.
type client struct {
	r       *rig
	s       *board.Session
	w       board.Welcome
	a       *boardtest.Author
	doc     board.DocID
	epoch   uint32 // that the client holds
	have    uint64
	entries map[uint64][]byte
	live    []board.LiveUpdate
	events  []board.Event
	n       int
}

func (r *rig) join(p board.Person, edit ...func(*board.Join)) *client {
	r.t.Helper()
	c, err := r.tryJoin(p, edit...)
	if err != nil {
		r.t.Fatalf("join %s: %v", p, err)
	}
	return c
}

func (r *rig) tryJoin(p board.Person, edit ...func(*board.Join)) (*client, error) {
	j := board.Join{Board: testBoard, Room: testRoom, Kind: "whiteboard", Person: p}
	for _, f := range edit {
		f(&j)
	}
	s, w, err := r.hub.Join(context.Background(), j)
	if err != nil {
		return nil, err
	}
	c := &client{r: r, s: s, w: w, a: boardtest.NewAuthor(w.Actor), doc: w.Meta.Docs[0].ID, epoch: w.Meta.Docs[0].Epoch, entries: map[uint64][]byte{}}
	if c.have = j.Have; !w.Resume {
		c.have = w.Meta.Docs[0].Seq
	}
	return c, nil
}

func (c *client) submit(chunks ...[]byte) {
	c.r.t.Helper()
	for _, b := range chunks {
		if err := c.s.Submit(context.Background(), c.doc, c.epoch, b); err != nil && !errors.Is(err, board.ErrClosed) {
			c.r.t.Fatalf("submit: %v", err)
		}
	}
}

// move goes over to the document's newest epoch that the client has read of, as of what it has read.
func (c *client) move() {
	c.r.t.Helper()
	c.a = boardtest.NewAuthor(c.a.Actor)
	log := c.r.log.Entries(testBoard)[:c.have]
	for _, e := range log {
		if e.Doc == c.doc {
			c.epoch = max(c.epoch, e.Epoch)
		}
	}
	for _, e := range log {
		if e.Doc == c.doc && e.Epoch == c.epoch && e.Kind != board.KindPage {
			c.a.See(e.Bytes)
		}
	}
}

// draw makes n elements.
func (c *client) draw(n int) (chunks [][]byte) {
	c.r.t.Helper()
	for range n {
		c.n++
		chunks = append(chunks, c.a.Make(fmt.Sprintf("s%d-%d", c.s.ID(), c.n)))
	}
	c.submit(chunks...)
	return chunks
}

// read takes in everything there is and checks that numbers are dense.
func (c *client) read() {
	c.r.t.Helper()
	synctest.Wait()
	var b board.Batch
	for {
		more, err := c.s.Next(context.Background(), &b)
		size := 0
		for i, e := range b.Entries {
			if seq := b.From + uint64(i); seq != c.have+1 {
				c.r.t.Fatalf("session %d: got entry %d after %d", c.s.ID(), seq, c.have)
			}
			c.have++
			c.entries[c.have] = e
			size += len(e)
		}
		if size > 48<<10 && len(b.Entries) > 1 {
			c.r.t.Fatalf("a batch of %d bytes", size)
		}
		c.live = append(c.live, b.Live...)
		c.events = append(c.events, b.Events...)
		if !more || err != nil {
			return
		}
	}
}

// settle lets appends finish, then reads.
func (c *client) settle() {
	c.r.t.Helper()
	time.Sleep(100 * time.Millisecond)
	c.read()
}

func events[T board.Event](c *client) (out []T) {
	for _, e := range c.events {
		if v, ok := e.(T); ok {
			out = append(out, v)
		}
	}
	return out
}

func (c *client) saw(chunk []byte) bool {
	for _, e := range c.entries {
		if string(e) == string(chunk) {
			return true
		}
	}
	return false
}

// check is every invariant of a board: dense numbers, no change twice, the log replays, and whatever anybody was sent is in the log.
func (r *rig) check(clients ...*client) []board.Entry {
	r.t.Helper()
	log := r.log.Entries(testBoard)
	seen := map[string]uint64{}
	for i, e := range log {
		if e.Seq != uint64(i)+1 {
			r.t.Fatalf("entry %d has seq %d", i+1, e.Seq)
		}
		key := fmt.Sprintf("%s %d %x", e.Doc, e.Epoch, e.Hash)
		if was := seen[key]; was != 0 {
			r.t.Fatalf("entries %d and %d are the same change", was, e.Seq)
		}
		seen[key] = e.Seq
		if e.Kind != board.KindPage && boardtest.HashOf(e.Bytes) != e.Hash {
			r.t.Fatalf("entry %d: wrong hash", e.Seq)
		}
	}
	epochs, err := boardtest.Epochs(log)
	if err != nil {
		r.t.Fatal(err)
	}
	for doc, list := range epochs {
		v, err := r.hub.Scene(context.Background(), testBoard, doc, nil)
		if errors.Is(err, board.ErrDraining) {
			break
		}
		if err != nil {
			r.t.Fatal(err)
		}
		if d := cmp.Diff(list[len(list)-1].Page.Scene(), v.Elements, cmpopts.EquateComparable(schema.Value{})); d != "" || v.Epoch != uint32(len(list)-1) {
			r.t.Fatalf("%s, epoch %d: the board does not show what its log says (-want +got):\n%s", doc, v.Epoch, d)
		}
	}
	for _, c := range clients {
		for seq, b := range c.entries {
			if seq > uint64(len(log)) || string(log[seq-1].Bytes) != string(b) {
				r.t.Fatalf("session %d was sent entry %d, which is not in the log", c.s.ID(), seq)
			}
		}
	}
	return log
}

func inBubble(t *testing.T, name string, f func(t *testing.T, r *rig)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, newRig(t)) })
	})
}

func actorOf(p board.Entry) board.ActorID { return p.Actor }

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func codes(list []board.ResetEvent) (out []string) {
	for _, r := range list {
		out = append(out, r.Code)
	}
	return out
}

func wantCodes(t testing.TB, c *client, want ...string) {
	t.Helper()
	if got := codes(events[board.ResetEvent](c)); !slices.Equal(got, want) {
		t.Fatalf("resets: got %v, want %v", got, want)
	}
}
