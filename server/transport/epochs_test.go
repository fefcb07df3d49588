package transport

import (
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// story is every entry that a client was sent, in order.
type story struct {
	mu   sync.Mutex
	list []wire.Entry
}

func (s *story) entries(_ uint64, list []wire.Entry, _ int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range list {
		e.Actor, e.Bytes = slices.Clone(e.Actor), slices.Clone(e.Bytes)
		s.list = append(s.list, e)
	}
}

func (s *story) get() []wire.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

func TestEpochs(t *testing.T) {
	for _, lanes := range [][2]int{{wire.LaneSocket, wire.LaneChannel}, {wire.LaneChannel, wire.LaneSocket}} {
		name := map[int]string{wire.LaneSocket: "WebSocket", wire.LaneChannel: "data channel"}
		t.Run("EP3 EP5 EP8 two clients go through a squash: who moves over by "+name[lanes[0]]+", who is late by "+name[lanes[1]], func(t *testing.T) {
			h := newHouse(t, nil)
			var seen [2]story
			var cs [2]*client.Client
			for i := range cs {
				cs[i] = h.join([]string{"ada", "bob"}[i], client.Options{Entries: seen[i].entries})
				if lanes[i] == wire.LaneChannel {
					if _, err := cs[i].OpenChannel(h.ctx()); err != nil {
						t.Fatal(err)
					}
					cs[i].Move(wire.LaneChannel)
				}
			}
			a, b := cs[0], cs[1]
			doc := page(a)
			acked := func() {
				t.Helper()
				for _, c := range cs {
					eventually(t, "all acknowledged", func() bool { _, _, n := c.State(); return n == 0 })
				}
			}
			wa, wb := mustAuthor(t, a), mustAuthor(t, b)
			var first []byte
			for range 20 {
				first = wa.Stroke(100)
				a.Change(doc, 0, first)
			}
			b.Change(doc, 0, wb.Stroke(100))
			acked()
			if err := h.hub.Squash(h.ctx(), "aaaaaaaaaaaaaaaaaaaaaaaaaa", board.DocID(doc)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "both hear of the epoch", func() bool { return len(seen[0].get()) == 22 && len(seen[1].get()) == 22 })
			if e := seen[0].get()[21]; e.Kind != uint8(board.KindEpoch) || e.Epoch != 1 || len(e.Bytes) != 0 || e.Doc != doc {
				t.Fatalf("got %+v", e)
			}
			wa = mustAuthor(t, a) // strokes need nothing of what is there
			for range 10 {
				a.Change(doc, 1, wa.Stroke(100))
				b.Change(doc, 0, wb.Stroke(100))
			}
			a.Change(doc, 0, first) // as after a lost acknowledgement
			acked()
			if n := a.Stats().Known; n != 1 {
				t.Errorf("%d known", n)
			}
			eventually(t, "both have everything", func() bool { return len(seen[0].get()) == 52 && len(seen[1].get()) == 52 })
			if d := cmp.Diff(seen[0].get(), seen[1].get()); d != "" {
				t.Error(d)
			}
			count := map[uint8]int{}
			for _, e := range seen[0].get() {
				count[e.Kind]++
			}
			if d := cmp.Diff(map[uint8]int{1: 31, 2: 1, 3: 10, 4: 10}, count); d != "" {
				t.Error(d)
			}
			for i, c := range cs {
				if st := c.Stats(); st.Resets != 0 || lanes[i] == wire.LaneChannel && st.Entries[1] == 0 {
					t.Errorf("client %d: %+v", i, st)
				}
			}
			late := h.join("eve", client.Options{})
			if d := late.Welcome().Docs[0]; d.Doc != doc || d.Epoch != 1 || d.Seq < 22 {
				t.Errorf("a late joiner is told %+v", d)
			}
		})
	}
}
