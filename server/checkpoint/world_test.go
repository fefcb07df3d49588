package checkpoint_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/crdt"
	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
	"github.com/educationpub/lectern/crdt/worker"
	"github.com/educationpub/lectern/server/checkpoint"
)

// TestMain is the merge worker's child as well.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "child-merge" {
		if err := worker.Main(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	testBoard = board.ID("aaaaaaaaaaaaaaaaaaaaaaaaaa")
	testRoom  = "!room:example.org"
	testKind  = "whiteboard"
	testHome  = "@lectern:example.org"
	testDoc   = board.DocID("01jd0000000000000000000000")
	testType  = "com.educationpub.whiteboard.content"
)

// engine merges in this process: virtual time, and none of the input is hostile. Real workers are in TestRoundTrip and TestRestore.
type engine struct {
	mu sync.Mutex
	// Guarded by mu.
	poison board.Hash
	most   int // changes in one merge; 0 for any number, negative for none
}

func (m *engine) Merge(_ context.Context, base []byte, changes [][]byte) (res worker.Result, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.most != 0 && len(changes) > m.most {
		return res, worker.ErrTimeout
	}
	d, err := crdt.Load(base)
	if err != nil {
		return res, err
	}
	for i, c := range changes {
		if h, _ := crdt.HashChange(c); board.Hash(h) == m.poison {
			res.Rejected = append(res.Rejected, worker.Rejected{Index: i, Reason: worker.ReasonPoison})
			changes = changes[:i]
			break
		}
	}
	if err := d.Apply(changes); err != nil {
		return res, err
	}
	res.Document, res.Heads, res.Scene = d.Save(), d.Heads(), []byte("[]")
	return res, nil
}

func (m *engine) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *engine) Changes(_ context.Context, document []byte) ([][]byte, []worker.Hash, error) {
	d, err := crdt.Load(document)
	if err != nil {
		return nil, nil, worker.ErrBase
	}
	changes, err := d.Changes()
	return changes, d.Heads(), err
}

// memory is a board.Log and checkpoint.Snapshots of one board. The real one is in TestRoundTrip.
type memory struct {
	mu        sync.Mutex
	meta      board.Meta
	entries   []board.Entry
	actors    map[board.ActorID]board.Person
	snapshot  checkpoint.Snapshot
	record    checkpoint.Record
	snapshots int
}

func (m *memory) Open(_ context.Context, id board.ID) (board.Meta, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id != m.meta.ID {
		return board.Meta{}, board.ErrUnknown
	}
	meta := m.meta
	meta.Seq = uint64(len(m.entries))
	meta.Docs = []board.DocInfo{{ID: testDoc, Epoch: m.snapshot.Epoch, Seq: m.snapshot.Seq}}
	return meta, nil
}

func (m *memory) Create(context.Context, board.Meta, []board.Entry, map[board.ActorID]board.Person) error {
	return board.ErrExists
}
func (m *memory) Append(board.ID, []board.Entry, func(error)) { panic("not used") }

func (m *memory) Read(_ context.Context, _ board.ID, after uint64, limit, maxBytes int) (out []board.Entry, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries[after:] {
		if len(out) == limit || maxBytes < 0 {
			break
		}
		out, maxBytes = append(out, e), maxBytes-len(e.Bytes)
	}
	return out, nil
}

func (m *memory) ReadDoc(_ context.Context, _ board.ID, doc board.DocID, epoch uint32, after uint64, limit, maxBytes int) (out []board.Entry, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries[min(after, uint64(len(m.entries))):] {
		if e.Doc != doc || e.Epoch != epoch {
			continue
		}
		if len(out) == limit || maxBytes < 0 {
			break
		}
		out, maxBytes = append(out, e), maxBytes-len(e.Bytes)
	}
	return out, nil
}

func (m *memory) Actors(context.Context, board.ID) (map[board.ActorID]board.Person, error) {
	return m.actors, nil
}

func (m *memory) IssueActor(context.Context, board.ID, board.ActorID, board.Person) error { return nil }

func (m *memory) Snapshot(context.Context, board.ID, board.DocID) (checkpoint.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.snapshot, nil
}

func (m *memory) PutSnapshot(_ context.Context, _ board.ID, s checkpoint.Snapshot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.snapshot = s
	m.snapshots++
	return nil
}

func (m *memory) Edition(context.Context, board.ID, board.DocID) (checkpoint.Edition, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return checkpoint.Edition{Log: m.meta.Log, Kind: m.meta.Kind, Epoch: m.snapshot.Epoch, Seq: m.snapshot.Seq, Upto: m.snapshot.Seq}, nil
}

func (m *memory) Checkpoint(context.Context, board.ID) (checkpoint.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.record, nil
}

func (m *memory) PutCheckpoint(_ context.Context, _ board.ID, r checkpoint.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.record = r
	return nil
}

func (m *memory) Dirty(context.Context) ([]board.Changed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq := uint64(len(m.entries)); seq > m.record.Seq {
		return []board.Changed{{ID: testBoard, Room: testRoom, Kind: testKind, Seq: seq}}, nil
	}
	return nil, nil
}

// room keeps one state event and its files, counts, and fails on demand. The real one is in server/matrix.
type room struct {
	mu     sync.Mutex
	state  json.RawMessage
	files  map[string][]byte
	writes []time.Time
	bytes  int
	tries  int
	writer string                      // "": this Lectern's companion
	fail   func(endpoint string) error // "write", "upload", "read", "download"; may be nil
}

func newRoom() *room { return &room{files: make(map[string][]byte)} }

func (r *room) failing(endpoint string) error {
	if r.fail == nil {
		return nil
	}
	return r.fail(endpoint)
}

func (r *room) UserID() string        { return "@lectern:example.org" }
func (r *room) Encrypted(string) bool { return true }

func (r *room) WriteState(_ context.Context, name, typ, key string, content json.RawMessage) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	if err := r.failing("write"); err != nil {
		return "", err
	}
	if name != testRoom || typ != testType || key != string(testBoard) {
		return "", fmt.Errorf("written to %s %s %s", name, typ, key)
	}
	if len(content) > 48_000 {
		return "", &checkpoint.RoomError{Kind: checkpoint.TooLarge, Err: fmt.Errorf("%d bytes", len(content))}
	}
	r.state = bytes.Clone(content)
	r.writes = append(r.writes, time.Now())
	r.bytes += len(content) * 4 / 3
	return fmt.Sprintf("$event%d", len(r.writes)), nil
}

func (r *room) ReadState(_ context.Context, _, typ, key string) (checkpoint.State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.failing("read"); err != nil {
		return checkpoint.State{}, err
	}
	if r.state == nil || typ != testType || key != string(testBoard) {
		return checkpoint.State{}, checkpoint.ErrNoState
	}
	return checkpoint.State{EventID: "$event", Sender: cmp.Or(r.writer, r.UserID()), Content: r.state, At: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}, nil
}

func (r *room) Upload(_ context.Context, data []byte) (json.RawMessage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.failing("upload"); err != nil {
		return nil, err
	}
	name := hexSum(data)
	r.files[name] = bytes.Clone(data)
	r.bytes += len(data)
	return json.Marshal(map[string]string{"url": "mxc://example.org/" + name, "v": "v2"})
}

func (r *room) Download(_ context.Context, file json.RawMessage, limit int64) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.failing("download"); err != nil {
		return nil, err
	}
	var f struct{ URL string }
	if err := json.Unmarshal(file, &f); err != nil {
		return nil, err
	}
	data, ok := r.files[f.URL[max(0, len(f.URL)-64):]]
	if !ok || int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: no such file", checkpoint.ErrUntrusted)
	}
	return data, nil
}

func (r *room) count() (events, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.writes), r.bytes
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// drawer authors changes of a whiteboard page as several people.
type drawer struct {
	t      testing.TB
	doc    *crdt.Document
	random *rand.Rand
	made   int
}

func newDrawer(t testing.TB) *drawer {
	t.Helper()
	d, err := crdt.Load(schema.Genesis(testKind))
	if err != nil {
		t.Fatal(err)
	}
	return &drawer{t: t, doc: d, random: rand.New(rand.NewPCG(1, 2))}
}

func testActor(n int) board.ActorID { return board.ActorID{0xa0, 15: byte(n)} }

func testPerson(a board.ActorID) board.Person {
	return board.Person(fmt.Sprintf("@pupil%d:example.org", a[15]))
}

// stroke is one element of about the given number of points.
func (d *drawer) stroke(who, points int) []byte {
	d.t.Helper()
	packed := make([]byte, 2*max(points, 1))
	for i := range packed {
		packed[i] = byte(d.random.IntN(128))
	}
	d.made++
	c, err := d.doc.Author(testActor(who), crdt.Edit{Path: []string{"elements", fmt.Sprintf("element-%05d", d.made)}, Value: map[string]any{
		"type": "freedraw", "x": float64(d.random.IntN(8000)) / 8, "y": float64(d.random.IntN(8000)) / 8, "width": int64(10), "height": int64(20), "angle": int64(0),
		"strokeColor": "#1e1e1e", "backgroundColor": "transparent", "fillStyle": "solid", "strokeWidth": int64(2), "opacity": int64(100), "isDeleted": false, "locked": false,
		"link": nil, "groupIds": "\x00[]", "seed": int64(d.random.IntN(1 << 30)), "points": packed,
	}})
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func entry(t testing.TB, seq uint64, c []byte) board.Entry {
	t.Helper()
	var parsed change.Change
	if err := parsed.Parse(c, nil); err != nil {
		t.Fatal(err)
	}
	a := board.ActorID(parsed.Author())
	return board.Entry{Seq: seq, Doc: testDoc, Kind: board.KindChange, Hash: board.Hash(parsed.Hash), Actor: a, Person: testPerson(a), At: time.Now(), Bytes: c}
}

// world is a board with a Checkpointer, in virtual time.
type world struct {
	*checkpoint.Checkpointer
	t      *testing.T
	memory *memory
	room   *room
	drawer *drawer
	engine *engine
	people int

	mu    sync.Mutex
	saved []board.Saved
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, room: newRoom(), drawer: newDrawer(t), engine: &engine{}, people: 3}
	w.memory = &memory{meta: board.Meta{ID: testBoard, Room: testRoom, Kind: testKind, Log: "log1"}, actors: make(map[board.ActorID]board.Person)}
	w.start()
	return w
}

func (w *world) start() {
	c := checkpoint.New(checkpoint.Config{
		Home: testHome, Room: w.room, Store: w.memory, Log: w.memory, Merger: w.engine, Logger: slog.New(slog.NewTextHandler(w.t.Output(), nil)),
		Saved: func(_ board.ID, s board.Saved) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.saved = append(w.saved, s)
		},
	})
	w.Checkpointer = c
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Run(ctx)
	}()
	w.t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
}

// failing makes the room fail from now on; nil: it works again.
func (w *world) failing(f func(endpoint string) error) {
	w.room.mu.Lock()
	defer w.room.mu.Unlock()
	w.room.fail = f
}

// sleep passes virtual time, and afterwards the test may look at what the other goroutines did.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// draw commits n strokes now.
func (w *world) draw(n, points int) {
	w.t.Helper()
	for range n {
		c := w.drawer.stroke(w.drawer.random.IntN(5), points)
		w.memory.mu.Lock()
		w.memory.entries = append(w.memory.entries, entry(w.t, uint64(len(w.memory.entries)+1), c))
		w.memory.mu.Unlock()
	}
	w.tell()
}

func (w *world) tell() {
	w.Changed(board.Changed{ID: testBoard, Room: testRoom, Kind: testKind, Seq: uint64(len(w.memory.entries)), People: w.people, At: time.Now()})
	synctest.Wait()
}

func (w *world) events() int {
	synctest.Wait()
	n, _ := w.room.count()
	return n
}

// said is the newest word about the copy in the room.
func (w *world) said() board.Saved {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.saved) == 0 {
		return board.Saved{}
	}
	return w.saved[len(w.saved)-1]
}

// content is the manifest in the room as plain JSON.
func (w *world) content() map[string]any { return manifestOf(w.t, w.room) }

func manifestOf(t testing.TB, r *room) map[string]any {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var m map[string]any
	if err := json.Unmarshal(r.state, &m); err != nil {
		t.Fatal(err)
	}
	if file, ok := m["file"].(map[string]any); ok {
		url := file["url"].(string)
		m = nil
		if err := json.Unmarshal(r.files[url[len(url)-64:]], &m); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// checkRoom restores from the room and compares with the log: the one invariant of every test that writes.
func (w *world) checkRoom(upto int) {
	w.t.Helper()
	c := checkpoint.New(checkpoint.Config{Home: testHome, Room: w.room, Store: &memory{}, Log: &memory{}, Merger: w.engine})
	got, err := c.Restore(w.t.Context(), testRoom, testKind, testBoard)
	if err != nil {
		w.t.Fatal(err)
	}
	compareEntries(w.t, got, w.memory.entries[:upto])
}

func compareEntries(t testing.TB, got *board.Restored, want []board.Entry) {
	t.Helper()
	if got == nil || len(got.Entries) != len(want) {
		t.Fatalf("got %+v, want %d entries", got, len(want))
	}
	byHash := make(map[board.Hash]board.Entry)
	for _, e := range want {
		byHash[e.Hash] = e
	}
	for i, e := range got.Entries {
		w, ok := byHash[e.Hash]
		if !ok || !bytes.Equal(w.Bytes, e.Bytes) || e.Person != w.Person || e.Actor != w.Actor || e.Doc != w.Doc || e.Seq != uint64(i+1) {
			t.Fatalf("entry %d: got %+v, want %+v", i, e, w)
		}
		delete(byHash, e.Hash)
	}
}

func intervals(times []time.Time) (out []time.Duration) {
	for i := range times[1:] {
		out = append(out, times[i+1].Sub(times[i]).Round(5*time.Second))
	}
	return slices.Clip(out)
}
