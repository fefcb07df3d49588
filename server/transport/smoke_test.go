package transport

import (
	"testing"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

func TestDraw(t *testing.T) {
	h := newHouse(t, nil)
	ra, rb := newRecord(t), newRecord(t)
	a := h.join("ada", client.Options{Entries: ra.entries})
	b := h.join("bob", client.Options{Entries: rb.entries})
	w := mustAuthor(t, a)
	t.Run("WS10 the author's echo is the acknowledgement, everybody gets the same entries", func(t *testing.T) {
		for range 50 {
			a.Change(page(a), 0, w.Stroke(100))
		}
		eventually(t, "all acknowledged", func() bool { _, _, n := a.State(); return n == 0 })
		eventually(t, "all seen", func() bool { return rb.count() == 50 })
		if got := a.Stats(); got.Acked != 50 || got.Resets != 0 {
			t.Errorf("got %+v, want 50 acknowledged", got)
		}
	})
	t.Run("RT1 over the data channel too", func(t *testing.T) {
		for _, c := range []*client.Client{a, b} {
			if _, err := c.OpenChannel(h.ctx()); err != nil {
				t.Fatal(err)
			}
			c.Move(wire.LaneChannel)
			// The server has heard of the move: what the old lane may have swallowed comes again on the new one.
			eventually(t, "the lane moved", func() bool { return c.Stats().Frames[wire.LaneChannel] > 0 })
		}
		for range 50 {
			a.Change(page(a), 0, w.Stroke(100))
		}
		eventually(t, "all acknowledged", func() bool { _, _, n := a.State(); return n == 0 })
		eventually(t, "all seen", func() bool { return rb.count() == 100 })
		if got := b.Stats().Entries[wire.LaneChannel]; got != 50 {
			t.Errorf("entries over the channel: got %d, want 50", got)
		}
		if st := h.srv.Stats(); st.EntriesIn[1] != 50 || st.EntriesOut[1] != 100 || st.Channels != 2 {
			t.Errorf("server's counters: %+v", st)
		}
	})
}
