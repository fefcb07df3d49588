package checkpoint

import (
	"fmt"
	"testing"

	"github.com/educationpub/lectern/crdt/board"
)

func TestShelf(t *testing.T) {
	t.Run("SN1 the shelf is bounded; what was used least recently goes first", func(t *testing.T) {
		s := newShelf(1000)
		put := func(n, size int) {
			s.put(place{board.ID(fmt.Sprint(n)), "d"}, &Ready{Edition: Edition{Log: "l", Seq: 1}, Document: make([]byte, size)})
		}
		has := func(n int) bool { return s.take(place{board.ID(fmt.Sprint(n)), "d"}, Edition{Log: "l", Seq: 1}) != nil }
		put(1, 400)
		put(2, 400)
		has(1)
		put(3, 400)
		if !has(1) || has(2) || !has(3) || s.bytes != 800 {
			t.Fatalf("got %v %v %v, %d bytes", has(1), has(2), has(3), s.bytes)
		}
		put(4, 5000) // larger than the shelf: it alone, so that it is not read for everybody
		if !has(4) || has(1) || s.order.Len() != 1 {
			t.Fatalf("%d left", s.order.Len())
		}
		put(4, 300)
		if s.bytes != 300 {
			t.Fatalf("got %d bytes", s.bytes)
		}
	})
	t.Run("SN3 another snapshot is asked for than the one that is there", func(t *testing.T) {
		s := newShelf(1000)
		at := place{"b", "d"}
		for _, m := range []Edition{{Log: "l2", Seq: 1}, {Log: "l", Seq: 2}, {Log: "l", Seq: 1, Epoch: 1}} {
			s.put(at, &Ready{Edition: Edition{Log: "l", Seq: 1}})
			if s.take(at, m) != nil || s.order.Len() != 0 {
				t.Fatalf("%+v: the old one was answered or kept", m)
			}
		}
	})
}
