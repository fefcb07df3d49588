package checkpoint_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/store"
)

const ada, bob = board.Person("@ada:example.org"), board.Person("@bob:example.org")

// instance is a whole Lectern but for its connections: store, boards, checkpoints, merge worker.
type instance struct {
	t     testing.TB
	store *store.Store
	hub   *board.Hub
	*checkpoint.Checkpointer
}

func newInstance(t testing.TB, r *room) *instance {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	x := &instance{t: t, store: realStore(t)}
	x.Checkpointer = checkpoint.New(checkpoint.Config{Home: testHome, Room: r, Store: x.store, Log: x.store, Merger: realPool(t), Logger: log})
	x.hub = board.NewHub(board.Config{
		Log: x.store, Checkpoints: x.Checkpointer, Verify: x.Verify, Server: board.Person(r.UserID()), Logger: log,
		Authority: func(string, board.Person) (board.Role, string) { return board.RoleParticipant, "" },
		Encode:    func(dst []byte, e board.Entry) []byte { return append(dst, e.Bytes...) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	t.Cleanup(func() {
		if err := x.hub.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		cancel()
		<-done
	})
	return x
}

// pupil is a session that waits for its acknowledgements.
type pupil struct {
	x *instance
	s *board.Session
	w board.Welcome
	*boardtest.Author
}

func (x *instance) join(p board.Person) *pupil {
	x.t.Helper()
	s, w, err := x.hub.Join(x.t.Context(), board.Join{Board: testBoard, Room: testRoom, Kind: testKind, Person: p})
	if err != nil {
		x.t.Fatal(err)
	}
	return &pupil{x, s, w, boardtest.NewAuthor(w.Actor)}
}

func (p *pupil) submit(epoch uint32, chunks ...[]byte) {
	p.x.t.Helper()
	wait := map[board.Hash]bool{}
	for _, c := range chunks {
		wait[boardtest.HashOf(c)] = true
		if err := p.s.Submit(p.x.t.Context(), p.w.Meta.Docs[0].ID, epoch, c); err != nil {
			p.x.t.Fatal(err)
		}
	}
	var b board.Batch
	for len(wait) > 0 {
		more, err := p.s.Next(p.x.t.Context(), &b)
		if err != nil {
			p.x.t.Fatal(err)
		}
		for _, e := range b.Entries {
			if len(e) > 8 {
				delete(wait, boardtest.HashOf(e))
			}
		}
		for _, e := range b.Events {
			if r, ok := e.(board.ResetEvent); ok {
				p.x.t.Fatalf("refused: %s", r.Message)
			}
		}
		if !more && len(wait) > 0 {
			select {
			case <-p.s.Wake():
			case <-time.After(20 * time.Second):
				p.x.t.Fatalf("%d changes are not acknowledged", len(wait))
			}
		}
	}
}

func (x *instance) scene(doc board.DocID) board.SceneView {
	x.t.Helper()
	v, err := x.hub.Scene(x.t.Context(), testBoard, doc, nil)
	if err != nil {
		x.t.Fatal(err)
	}
	return v
}

// log is checked whenever it is read.
func (x *instance) log() []board.Entry {
	x.t.Helper()
	var all []board.Entry
	for {
		list, err := x.store.Read(x.t.Context(), testBoard, uint64(len(all)), 1000, 1<<24)
		if err != nil {
			x.t.Fatal(err)
		}
		if all = append(all, list...); len(list) == 0 {
			break
		}
	}
	if _, err := boardtest.Epochs(all); err != nil {
		x.t.Fatal(err)
	}
	return all
}

func (x *instance) squash(doc board.DocID) {
	x.t.Helper()
	if err := x.hub.Squash(x.t.Context(), testBoard, doc); err != nil {
		x.t.Fatal(err)
	}
}

func TestEpochs(t *testing.T) {
	for _, size := range []struct {
		name     string
		elements int
		text     int
	}{{"in the event", 20, 0}, {"in a file", 400, 200}, {"of more than a mebibyte", 2000, 900}} {
		t.Run("CP7 EP2 EP10 a board in its second epoch goes through the room into an empty installation, and on from there: "+size.name, func(t *testing.T) {
			r := newRoom()
			x := newInstance(t, r)
			a, b := x.join(ada), x.join(bob)
			doc := a.w.Meta.Docs[0].ID
			var list [][]byte
			for i := range size.elements {
				list = append(list, a.Make(fmt.Sprint("e", i)))
				if size.text > 0 {
					list = append(list, a.Draw(fmt.Sprint("e", i), size.text))
				}
			}
			a.submit(0, append(list, a.Hide("e3"))...)
			if err := x.Flush(t.Context()); err != nil { // a base of the first epoch is of no use for the second
				t.Fatal(err)
			}
			x.squash(doc)
			b.See(list[0])
			late := b.Move("e0", 77)
			b.submit(0, late, b.Make("late"))
			a.Author = boardtest.NewAuthor(a.Actor) // needs nothing of the squash
			a.submit(1, a.Make("new"))
			want := x.scene(doc)
			if want.Epoch != 1 || len(want.Elements) != size.elements+1 {
				t.Fatalf("epoch %d with %d elements", want.Epoch, len(want.Elements))
			}
			snap, err := x.store.Snapshot(t.Context(), testBoard, doc)
			if err != nil || snap.Epoch != 1 || snap.Seq != uint64(len(list))+2 {
				t.Fatalf("snapshot of epoch %d at %d, %v", snap.Epoch, snap.Seq, err)
			}
			if err := x.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if snap, err = x.store.Snapshot(t.Context(), testBoard, doc); err != nil || snap.Epoch != 1 || snap.Seq != uint64(len(x.log())) || !cmp.Equal(snap.Heads, want.Heads) {
				t.Fatalf("merged snapshot of epoch %d at %d, %v", snap.Epoch, snap.Seq, err)
			}
			t.Logf("squash %d bytes, document %d bytes", len(x.log()[len(list)+1].Bytes), len(snap.Document))
			if got := len(manifestOf(t, r)["authors"].(map[string]any)); got != 3 {
				t.Fatalf("CP1 %d authors, want the squash, bob's carry and ada", got)
			}

			y := newInstance(t, r)
			c := y.join(ada)
			if d := cmp.Diff([]board.DocInfo{{ID: doc, Epoch: 1, Seq: 1}}, c.w.Meta.Docs); d != "" {
				t.Fatal(d)
			}
			got := y.scene(doc)
			if g, w := asJSON(t, got.Elements), asJSON(t, want.Elements); g != w {
				t.Fatalf("restored: %.300s, want %.300s", g, w)
			}
			c.submit(1, c.Make("after"))
			c2 := y.join(bob)
			if c2.w.Actor[0] == 0 {
				t.Fatal("a server's actor was given to a person")
			}
			y.squash(doc)
			c.Author = boardtest.NewAuthor(c.Actor)
			c.submit(2, c.Make("third"))
			c2.submit(1, c2.Make("late-again"))
			if err := y.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			y.log()
			want = y.scene(doc)
			z := newInstance(t, r)
			z.join(ada)
			if g, w := asJSON(t, z.scene(doc).Elements), asJSON(t, want.Elements); g != w {
				t.Fatalf("restored twice: %.300s, want %.300s", g, w)
			}
		})
	}
}

// squash begins the next epoch, as a board does.
func (w *world) squash() {
	w.t.Helper()
	page := schema.NewPage()
	var c change.Change
	for _, e := range w.memory.entries {
		if err := c.Parse(e.Bytes, nil); err != nil {
			w.t.Fatal(err)
		}
		page.Apply(&c, e.Bytes)
	}
	seq, chunk := uint64(len(w.memory.entries)+1), page.Still().Squash(board.ActorID{1: 5})
	merged, err := w.engine.Merge(w.t.Context(), schema.Genesis(testKind), [][]byte{chunk})
	if err != nil {
		w.t.Fatal(err)
	}
	w.memory.mu.Lock()
	w.memory.entries = append(w.memory.entries, board.Entry{
		Seq: seq, Doc: testDoc, Epoch: 1, Kind: board.KindEpoch, Hash: board.Hash(merged.Heads[0]), Actor: board.ActorID{1: 5}, Person: "@lectern:example.org", At: time.Now(), Bytes: chunk,
	})
	w.memory.snapshot = checkpoint.Snapshot{Doc: testDoc, Epoch: 1, Seq: seq, Heads: []board.Hash{board.Hash(merged.Heads[0])}, Document: merged.Document}
	w.memory.mu.Unlock()
	w.Changed(board.Changed{ID: testBoard, Room: testRoom, Kind: testKind, Seq: seq, People: w.people, Epoch: seq, At: time.Now()})
	synctest.Wait()
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
