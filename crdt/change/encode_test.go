package change_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/change/changetest"
)

func TestDraftTrim(t *testing.T) {
	t.Run("CH4 a trimmed draft names the actors it needs in the order of the wire", func(t *testing.T) {
		actors := [][]byte{[]byte("m"), []byte("z"), []byte("unused"), []byte("a"), []byte("m"), []byte("k")}
		id := func(ctr, actor uint32) change.ID { return change.ID{Ctr: ctr, Actor: actor} }
		d := change.Draft{Actors: actors, Seq: 1, StartOp: 100, Ops: []change.Op{
			{Obj: id(1, 1), Key: []byte("x"), Action: change.Put, Kind: change.True, Pred: []change.ID{id(5, 3), id(5, 1)}},
			{Obj: id(2, 3), Elem: id(7, 5), IsElem: true, Insert: true, Action: change.Put, Kind: change.String, Raw: []byte("c")},
			{Obj: id(100, 0), Elem: change.ID{}, IsElem: true, Insert: true, Action: change.Put, Kind: change.String, Raw: []byte("c")},
		}}
		name := func(i change.ID) string { return fmt.Sprintf("%d@%s", i.Ctr, d.Actors[i.Actor]) }
		want := []string{"1@z", "5@a", "5@z", "2@a", "7@k", "100@m"}
		for range 2 { // trimming again changes nothing
			d.Trim()
			if got := string(bytes.Join(d.Actors, []byte(" "))); got != "m a k z" {
				t.Errorf("actors %s", got)
			}
			got := []string{name(d.Ops[0].Obj), name(d.Ops[0].Pred[0]), name(d.Ops[0].Pred[1]), name(d.Ops[1].Obj), name(d.Ops[1].Elem), name(d.Ops[2].Obj)}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		var c change.Change
		if ops, err := decode(&c, d.Encode(), nil); err != nil || len(ops) != 3 {
			t.Errorf("%d operations, %v", len(ops), err)
		}
	})
}

func TestSquashLimits(t *testing.T) {
	puts := func(n int) []byte {
		var e change.Encoder
		for range n {
			e.Add(&change.Op{Key: []byte("k"), Action: change.Put})
		}
		return e.Chunk(&change.Draft{Actors: [][]byte{{0}}, Seq: 1, StartOp: 1})
	}
	most := puts(change.SquashLimits.Ops)
	var c change.Change
	t.Run("EP1 2,000,000 operations are the most", func(t *testing.T) {
		if err := c.Parse(most, &change.SquashLimits); err != nil || c.Count != change.SquashLimits.Ops {
			t.Error(c.Count, err)
		}
		if err := c.Parse(puts(change.SquashLimits.Ops+1), &change.SquashLimits); err != change.ErrTooManyOps {
			t.Error(err)
		}
	})
	t.Run("CH3 parsing and walking them allocates nothing, whatever a number on the wire says", func(t *testing.T) {
		var d change.Decoder
		var op change.Op
		n := testing.AllocsPerRun(1, func() {
			if c.Parse(most, &change.SquashLimits) != nil {
				t.Fatal("refused")
			}
			d.Reset(&c)
			for d.Next(&op) {
			}
		})
		if n != 0 || d.Err() != nil {
			t.Errorf("%v allocations for %d bytes, %v", n, len(most), d.Err())
		}
		for name, b := range bombs() {
			if n := testing.AllocsPerRun(10, func() { _ = c.Parse(b, &change.SquashLimits) }); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
	t.Run("EP1 32 MiB are the most", func(t *testing.T) {
		b := changetest.Seal(1, make([]byte, change.SquashLimits.Chunk))
		if err := c.Parse(b, &change.SquashLimits); err != change.ErrTooLarge {
			t.Error(err)
		}
	})
}

// BenchmarkEncode writes changes as long as the squash of a full page.
func BenchmarkEncode(b *testing.B) {
	const n = 200_000
	keys := [][]byte{[]byte("type"), []byte("x"), []byte("y"), []byte("strokeColor"), []byte("points")}
	draft := change.Draft{Actors: [][]byte{[]byte("author"), []byte("other")}, Seq: 1, StartOp: 4}
	b.ReportAllocs()
	var chunk []byte
	for b.Loop() {
		var e change.Encoder
		for i := range n {
			op := change.Op{Obj: change.ID{Ctr: uint32(4 + i - i%25)}, Key: keys[i%len(keys)], Action: change.Put, Kind: change.Float, Num: uint64(i) << 20}
			if i%3 == 0 {
				op.Kind, op.Raw = change.String, keys[i%5]
			}
			e.Add(&op)
		}
		chunk = e.Chunk(&draft)
	}
	size, _ := binary.Uvarint(chunk[9:])
	b.ReportMetric(float64(size), "chunk-B")
}
