package change_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/change/changetest"
)

// bombs are changes of about a hundred bytes that claim millions of entries.
func bombs() map[string][]byte {
	const n = 4_000_001
	ops := func(action, pred []byte) []byte {
		return chunk([]column{{0x15, cat(n, 1, 'a')}, {0x34, binary.AppendUvarint(nil, n)}, {0x42, action}, {0x56, cat(n, 0)}, {0x70, pred}})
	}
	keys := func(n int64) []byte {
		key := append(append(changetest.AppendSleb(nil, n), changetest.Uleb(256)...), bytes.Repeat([]byte("k"), 256)...)
		return chunk([]column{{0x15, key}, {0x34, binary.AppendUvarint(nil, uint64(n))}, {0x42, append(changetest.AppendSleb(nil, n), 1)}, {0x56, append(changetest.AppendSleb(nil, n), 0)}, {0x70, append(changetest.AppendSleb(nil, n), 0)}})
	}
	sl := func(v int64, x ...byte) []byte { return append(changetest.AppendSleb(nil, v), x...) }
	return map[string][]byte{
		"operations":             ops(sl(n, 1), sl(n, 0)),
		"a literal run":          ops(sl(-n, 1), sl(n, 0)),
		"operations over 63 bit": ops(sl(math.MaxInt64, 1), sl(math.MaxInt64, 0)),
		"literals over 63 bit":   ops(sl(math.MinInt64, 1), sl(math.MinInt64, 0)),
		"predecessors":           chunk([]column{{0x15, cat(2, 1, 'a')}, {0x34, []byte{2}}, {0x42, cat(2, 1)}, {0x56, cat(2, 0)}, {0x70, append(cat(2), changetest.Uleb(1<<31)...)}}),
		"predecessors over 64":   chunk([]column{{0x15, cat(2, 1, 'a')}, {0x34, []byte{2}}, {0x42, cat(2, 1)}, {0x56, cat(2, 0)}, {0x70, append(cat(2), changetest.Uleb(math.MaxUint64)...)}}),
		"keys":                   keys(5000),
	}
}

func TestParseBombs(t *testing.T) {
	for name, b := range bombs() {
		t.Run("CH3 a bomb of "+name+" is refused before anything is expanded", func(t *testing.T) {
			var c change.Change
			var d change.Decoder
			run := func() error {
				if err := c.Parse(b, nil); err != nil {
					return err
				}
				d.Reset(&c)
				for range d.Ops() {
				}
				return d.Err()
			}
			err := run()
			if code := change.Code(err); code != "too_many_ops" && code != "too_large" {
				t.Errorf("%d bytes: %v", len(b), err)
			}
			if n := testing.AllocsPerRun(100, func() { _ = c.Parse(b, nil) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
			if len(b) > 400 {
				t.Errorf("%d bytes", len(b))
			}
		})
	}
}

func BenchmarkParseBomb(b *testing.B) {
	for name, x := range bombs() {
		b.Run(fmt.Sprintf("%s %d bytes", name, len(x)), func(b *testing.B) {
			b.ReportAllocs()
			var c change.Change
			for b.Loop() {
				_ = c.Parse(x, nil)
			}
		})
	}
}

func TestParseAllocates(t *testing.T) {
	t.Run("CH3 parsing and walking honest changes allocates nothing", func(t *testing.T) {
		changes := corpus(t, "text")
		var c change.Change
		var d change.Decoder
		var op change.Op
		n := testing.AllocsPerRun(10, func() {
			for _, b := range changes {
				if c.Parse(b, nil) != nil {
					t.Fatal("refused")
				}
				d.Reset(&c)
				for d.Next(&op) {
				}
			}
		})
		if n != 0 {
			t.Errorf("%v allocations for %d changes", n, len(changes))
		}
	})
}

func deflated(t testing.TB, chunk []byte) []byte {
	t.Helper()
	_, n := binary.Uvarint(chunk[9:])
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, flate.BestCompression)
	if _, err := w.Write(chunk[9+n:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := append(slices.Clone(chunk[:8]), 2)
	return append(binary.AppendUvarint(b, uint64(z.Len())), z.Bytes()...)
}

func TestParseStored(t *testing.T) {
	good := corpus(t, "page")[10]
	t.Run("CH5 a stored chunk may be compressed and is kept plain", func(t *testing.T) {
		var c, want change.Change
		if err := want.Parse(good, nil); err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{good, deflated(t, good)} {
			plain, err := c.ParseStored(b, nil)
			if err != nil || !bytes.Equal(plain, good) || c.Hash != want.Hash {
				t.Errorf("%v, %d bytes", err, len(plain))
			}
		}
	})
	t.Run("CH5 damage is refused", func(t *testing.T) {
		var c change.Change
		z := deflated(t, good)
		for name, b := range map[string][]byte{
			"cut off":              z[:len(z)-2],
			"other checksum":       append(append(slices.Clone(z[:4]), 1, 2, 3, 4), z[8:]...),
			"not deflate":          changetest.Seal(2, []byte{0xff, 0xff, 0xff}),
			"bytes behind deflate": changetest.Seal(2, append(slices.Clone(z[11:]), 0)),
		} {
			if _, err := c.ParseStored(b, nil); change.Code(err) != "bad_change" {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("CH5 what inflates to more than 1 MiB is refused", func(t *testing.T) {
		b := deflated(t, changetest.Seal(1, make([]byte, change.MaxInflated+1)))
		if _, err := change.Inflate(b); !errors.Is(err, change.ErrTooLarge) || len(b) > 2000 {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	})
}

func TestChangeHandOver(t *testing.T) {
	t.Run("CH6 a parsed change is read by another goroutine", func(t *testing.T) {
		type parsed struct {
			c     *change.Change
			chunk []byte
		}
		ch := make(chan parsed, 16)
		go func() { // ends with the channel that the test drains
			defer close(ch)
			for _, b := range corpus(t, "page") {
				c := new(change.Change)
				if err := c.Parse(b, nil); err != nil {
					t.Error(err)
					return
				}
				ch <- parsed{c, b}
			}
		}()
		var d change.Decoder
		n := 0
		for x := range ch {
			d.Reset(x.c)
			for range d.Ops() {
				n++
			}
			if d.Err() != nil {
				t.Fatal(d.Err())
			}
		}
		if n == 0 {
			t.Error("no operations")
		}
	})
}
