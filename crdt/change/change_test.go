package change

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

func unzip(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("../schema/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var corpora = []string{"page", "text", "full"}

// corpus reads the changes of a log made by crdt/schema/testdata/gen.mjs.
func corpus(t testing.TB, name string) (list [][]byte) {
	t.Helper()
	b := unzip(t, name+".changes.gz")
	for len(b) > 0 {
		n := 4 + binary.LittleEndian.Uint32(b)
		list = append(list, b[4:n:n])
		b = b[n:]
	}
	return list
}

// decode reads a whole change; the operations' slices are copied.
func decode(c *Change, chunk []byte, limits *Limits) ([]Op, error) {
	if err := c.Parse(chunk, limits); err != nil {
		return nil, err
	}
	var d Decoder
	d.Reset(c)
	var ops []Op
	for op := range d.Ops() {
		x := *op
		x.Pred = slices.Clone(op.Pred)
		ops = append(ops, x)
	}
	return ops, d.Err()
}

// line is an operation as testdata/gen.mjs writes the engine's reading of it.
func line(c *Change, op *Op) string {
	id := func(i ID) string { return fmt.Sprintf("%d@%x", i.Ctr, c.Actors[i.Actor]) }
	action := [...]string{"makeMap", "set", "makeList", "del", "makeText", "inc", "makeTable", "markEnd"}[op.Action]
	if op.Mark != nil {
		action = "markBegin"
	}
	obj, key := "_root", "k:"+hex.EncodeToString(op.Key)
	if op.Obj.Ctr != 0 {
		obj = id(op.Obj)
	}
	if op.IsElem {
		if key = "e:_head"; op.Elem.Ctr != 0 {
			key = "e:" + id(op.Elem)
		}
	}
	insert, value := "-", "-"
	if op.Insert {
		insert = "i"
	}
	if op.Action == Put || op.Action == Increment || op.Mark != nil {
		switch op.Kind {
		case Null:
			value = "null"
		case False, True:
			value = fmt.Sprint(op.Kind == True)
		case Uint:
			value = fmt.Sprintf("uint:%d", op.Num)
		case Int:
			value = fmt.Sprintf("int:%d", int64(op.Num))
		case Float:
			value = fmt.Sprintf("n:%x", op.Num)
		case String:
			value = "str:" + hex.EncodeToString(op.Raw)
		case Bytes:
			value = "bytes:" + hex.EncodeToString(op.Raw)
		case Counter:
			value = fmt.Sprintf("counter:%d", int64(op.Num))
		case Time:
			value = fmt.Sprintf("timestamp:%d", int64(op.Num))
		}
	}
	preds := make([]string, len(op.Pred))
	for i, q := range op.Pred {
		preds[i] = id(q)
	}
	return strings.Join([]string{action, obj, key, insert, value, strings.Join(preds, ",")}, " ")
}

func TestParseEngine(t *testing.T) {
	for _, name := range corpora {
		t.Run("CH1 every operation is read as the engine reads it: "+name, func(t *testing.T) {
			want := bufio.NewScanner(bytes.NewReader(unzip(t, name+".ops.gz")))
			want.Buffer(nil, 1<<20)
			next := func() string { want.Scan(); return want.Text() }
			var c Change
			n := 0
			for _, b := range corpus(t, name) {
				ops, err := decode(&c, b, nil)
				if err != nil {
					t.Fatalf("%v: %v", c.Hash, err)
				}
				var deps []string
				for i := range c.Deps() {
					deps = append(deps, c.Dep(i).String())
				}
				if got, want := fmt.Sprintf("C %v %x %d %d %s %d", c.Hash, c.Author(), c.Seq, c.StartOp, strings.Join(deps, ","), c.Count), next(); got != want {
					t.Fatalf("got  %s\nwant %s", got, want)
				}
				for i := range ops {
					if got, want := line(&c, &ops[i]), next(); got != want {
						t.Fatalf("%v operation %d\ngot  %s\nwant %s", c.Hash, i, got, want)
					}
				}
				n += len(ops)
			}
			if want.Scan() {
				t.Errorf("the engine has more: %s", want.Text())
			}
			t.Logf("%d operations", n)
		})
	}
}

func TestParseRoundTrip(t *testing.T) {
	for _, name := range corpora {
		t.Run("CH4 what is accepted encodes anew to the same bytes: "+name, func(t *testing.T) {
			var c Change
			for _, b := range corpus(t, name) {
				ops, err := decode(&c, b, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got := encode(&c, ops); !bytes.Equal(got, b) {
					t.Fatalf("%v\ngot  %x\nwant %x", c.Hash, got, b)
				}
			}
		})
	}
}

// simple is a change of three puts at the root, as columns.
func simple() []column {
	return []column{
		{0x15, cat(-3, 1, 'a', 1, 'b', 1, 'c')}, {0x34, []byte{3}}, {0x42, cat(3, 1)}, {0x56, cat(2, 0, -1, 2)}, {0x70, cat(3, 0)},
	}
}

// cat writes small numbers as signed LEB128, which for values below 64 is also the unsigned form and a byte.
func cat(v ...int64) (b []byte) {
	for _, x := range v {
		if x >= 64 {
			b = binary.AppendUvarint(b, uint64(x))
		} else {
			b = appendSleb(b, x)
		}
	}
	return b
}

var me = []byte("author-of-change")

func with(spec uint64, data []byte) []column {
	l := slices.DeleteFunc(simple(), func(c column) bool { return c.spec == spec })
	l = append(l, column{spec, data})
	slices.SortFunc(l, func(a, b column) int { return int(a.spec) - int(b.spec) })
	return l
}

func change(cols []column) []byte {
	return build(chunkChange, nil, [][]byte{me}, 1, 1, 0, nil, cols, nil)
}

func TestParseCanonical(t *testing.T) {
	var c Change
	if _, err := decode(&c, change(simple()), nil); err != nil {
		t.Fatal("the plain form:", err)
	}
	other := [][]byte{me, []byte("other-other-othe")}
	del := []column{{0x15, cat(2, 1, 'a')}, {0x34, []byte{2}}, {0x42, cat(-2, 1, 3)}, {0x56, cat(2, 2)}, {0x70, cat(-2, 0, 1)}, {0x71, cat(-1, 0)}, {0x73, cat(-1, 1)}}
	overlong := append(append([]byte{}, cat(-3, 1, 'a', 1, 'b')...), 0x81, 0x00, 'c')
	cases := []struct {
		name string
		b    []byte
		want error
	}{
		{"repeats as literals", change(with(0x42, cat(-3, 1, 1, 1))), ErrNotCanonical},
		{"run of one", change(with(0x56, cat(2, 0, 1, 2))), ErrNotCanonical},
		{"one run cut in two", change(with(0x42, cat(2, 1, 1, 1))), ErrNotCanonical},
		{"two literal runs", change(with(0x15, cat(-1, 1, 'a', -2, 1, 'b', 1, 'c'))), ErrNotCanonical},
		{"a literal equal to the repeat before", change(with(0x70, cat(2, 0, -1, 0))), ErrNotCanonical},
		{"object columns of nulls", change(append([]column{{0x01, cat(0, 3)}, {0x02, cat(0, 3)}}, simple()...)), ErrNotCanonical},
		{"one key column of nulls", change(append([]column{{0x11, cat(0, 3)}}, simple()...)), ErrNotCanonical},
		{"expand all false", change(with(0x94, []byte{3})), ErrNotCanonical},
		{"insert column absent", change(with(0x34, nil)), ErrNotCanonical},
		{"insert with an empty run", change(with(0x34, []byte{1, 0, 2})), ErrNotCanonical},
		{"overlong number", change(with(0x15, overlong)), ErrNotCanonical},
		{"null with bytes", change(append(with(0x56, cat(2, 16, -1, 2)), column{})[:5]), ErrColumn},
		{"delete with a value", change(del), ErrNotCanonical},
		{"make with a value", change(with(0x42, cat(2, 1, -1, 0))), ErrNotCanonical},
		{"other actor named, not used", build(chunkChange, nil, other, 1, 1, 0, nil, simple(), nil), ErrNotCanonical},
		{"bytes after the columns", build(chunkChange, nil, [][]byte{me}, 1, 1, 0, nil, simple(), []byte("zz")), ErrColumns},
		{"unknown column", change(with(0xb2, cat(3, 1))), ErrColumns},
		{"compressed column", change(with(0x4a, cat(3, 1))), ErrColumns},
		{"column too short", change(with(0x56, cat(2, 0))), ErrColumn},
		{"column too long", change(with(0x56, cat(2, 0, -2, 2, 1))), ErrLength},
		{"insert column too long", change(with(0x34, []byte{4})), ErrLength},
		{"value bytes left over", change(with(0x57, []byte{1})), ErrLength},
		{"predecessor counts differ from operations", change(with(0x70, cat(2, 0))), ErrLength},
		{"unknown action", change(with(0x42, cat(3, 8))), ErrColumn},
		{"unknown kind of value", change(with(0x56, cat(2, 0, -1, 10))), ErrColumn},
		{"key not UTF-8", change(with(0x15, append(cat(-3, 1, 'a', 1, 'b', 1), 0xff))), ErrColumn},
		{"predecessor is itself", change(append(with(0x70, cat(2, 0, -1, 1)), column{0x71, cat(-1, 0)}, column{0x73, cat(-1, 3)})), ErrRef},
		{"predecessor by an actor not in the table", change(append(with(0x70, cat(2, 0, -1, 1)), column{0x71, cat(-1, 1)}, column{0x73, cat(-1, 1)})), ErrRef},
	}
	for _, x := range cases {
		t.Run("CH4 "+x.name, func(t *testing.T) {
			var c Change
			if _, err := decode(&c, x.b, nil); !errors.Is(err, x.want) {
				t.Errorf("got %v, want %v", err, x.want)
			}
		})
	}
}

func TestParseFrame(t *testing.T) {
	good := change(simple())
	edit := func(f func(b []byte)) []byte { b := slices.Clone(good); f(b); return b }
	two := [][]byte{me, []byte("bbbbbbbbbbbbbbbb"), []byte("aaaaaaaaaaaaaaaa")}
	cases := []struct {
		name string
		b    []byte
		want error
		code string
	}{
		{"nothing", nil, ErrFrame, "bad_change"},
		{"cut off", good[:len(good)-1], ErrFrame, "bad_change"},
		{"something behind", append(slices.Clone(good), 0), ErrFrame, "bad_change"},
		{"other magic", edit(func(b []byte) { b[0] = 0 }), ErrFrame, "bad_change"},
		{"document chunk", resign(edit(func(b []byte) { b[8] = 0 })), ErrType, "bad_change"},
		{"compressed chunk", resign(edit(func(b []byte) { b[8] = 2 })), ErrType, "bad_change"},
		{"bundle", resign(edit(func(b []byte) { b[8] = 3 })), ErrType, "bad_change"},
		{"checksum", edit(func(b []byte) { b[4] ^= 1 }), ErrChecksum, "bad_change"},
		{"content changed", edit(func(b []byte) { b[len(b)-1] ^= 1 }), ErrChecksum, "bad_change"},
		{"sequence 0", build(1, nil, [][]byte{me}, 0, 1, 0, nil, simple(), nil), ErrHeader, "bad_change"},
		{"first operation 0", build(1, nil, [][]byte{me}, 1, 0, 0, nil, simple(), nil), ErrHeader, "bad_change"},
		{"first operation over 32 bits", build(1, nil, [][]byte{me}, 1, 1<<32, 0, nil, simple(), nil), ErrHeader, "bad_change"},
		{"last operation over 32 bits", build(1, nil, [][]byte{me}, 1, 1<<32-2, 0, nil, simple(), nil), ErrHeader, "bad_change"},
		{"no author", build(1, nil, [][]byte{nil}, 1, 1, 0, nil, simple(), nil), ErrHeader, "bad_change"},
		{"actors out of order", build(1, nil, two, 1, 1, 0, nil, simple(), nil), ErrHeader, "bad_change"},
		{"author among the others", build(1, nil, [][]byte{me, me}, 1, 1, 0, nil, simple(), nil), ErrHeader, "bad_change"},
		{"dependencies out of order", build(1, []Hash{{2}, {1}}, [][]byte{me}, 1, 1, 0, nil, simple(), nil), ErrHeader, "bad_change"},
		{"message not UTF-8", build(1, nil, [][]byte{me}, 1, 1, 0, []byte{0xff}, simple(), nil), ErrHeader, "bad_change"},
		{"too many dependencies", build(1, make([]Hash, 65), [][]byte{me}, 1, 1, 0, nil, simple(), nil), ErrTooLarge, "too_large"},
		{"too many actors", build(1, nil, slices.Repeat([][]byte{me}, 257), 1, 1, 0, nil, simple(), nil), ErrTooLarge, "too_large"},
		{"message too long", build(1, nil, [][]byte{me}, 1, 1, 0, make([]byte, 257), simple(), nil), ErrTooLarge, "too_large"},
		{"chunk too long", build(1, nil, [][]byte{me}, 1, 1, 0, nil, append(simple(), column{0x57, make([]byte, 32<<10)}), nil), ErrTooLarge, "too_large"},
		{"key too long", change(with(0x15, append(cat(-3, 1, 'a', 1, 'b', 257), make([]byte, 257)...))), ErrColumn, "bad_change"},
	}
	for _, x := range cases {
		t.Run("CH2 "+x.name, func(t *testing.T) {
			var c Change
			_, err := decode(&c, x.b, nil)
			if !errors.Is(err, x.want) || Code(err) != x.code {
				t.Errorf("got %v (%s), want %v (%s)", err, Code(err), x.want, x.code)
			}
		})
	}
	t.Run("CH2 a change that is refused after its frame can be named", func(t *testing.T) {
		var c Change
		if err := c.Parse(build(1, nil, [][]byte{me}, 0, 1, 0, nil, simple(), nil), nil); err == nil || c.Hash == (Hash{}) {
			t.Errorf("err %v, hash %v", err, c.Hash)
		}
	})
	t.Run("CH2 an error of somebody else has no code", func(t *testing.T) {
		if Code(nil) != "" || Code(io.EOF) != "" || Code(fmt.Errorf("x: %w", ErrType)) != "bad_change" {
			t.Error("wrong codes")
		}
	})
}

// bombs are changes of about a hundred bytes that claim millions of entries.
func bombs() map[string][]byte {
	const n = 4_000_001
	ops := func(action, pred []byte) []byte {
		return change([]column{{0x15, cat(n, 1, 'a')}, {0x34, binary.AppendUvarint(nil, n)}, {0x42, action}, {0x56, cat(n, 0)}, {0x70, pred}})
	}
	keys := func(n int64) []byte {
		key := append(append(appendSleb(nil, n), uleb(256)...), bytes.Repeat([]byte("k"), 256)...)
		return change([]column{{0x15, key}, {0x34, binary.AppendUvarint(nil, uint64(n))}, {0x42, append(appendSleb(nil, n), 1)}, {0x56, append(appendSleb(nil, n), 0)}, {0x70, append(appendSleb(nil, n), 0)}})
	}
	sl := func(v int64, x ...byte) []byte { return append(appendSleb(nil, v), x...) }
	return map[string][]byte{
		"operations":             ops(sl(n, 1), sl(n, 0)),
		"a literal run":          ops(sl(-n, 1), sl(n, 0)),
		"operations over 63 bit": ops(sl(math.MaxInt64, 1), sl(math.MaxInt64, 0)),
		"literals over 63 bit":   ops(sl(math.MinInt64, 1), sl(math.MinInt64, 0)),
		"predecessors":           change([]column{{0x15, cat(2, 1, 'a')}, {0x34, []byte{2}}, {0x42, cat(2, 1)}, {0x56, cat(2, 0)}, {0x70, append(cat(2), uleb(1<<31)...)}}),
		"predecessors over 64":   change([]column{{0x15, cat(2, 1, 'a')}, {0x34, []byte{2}}, {0x42, cat(2, 1)}, {0x56, cat(2, 0)}, {0x70, append(cat(2), uleb(math.MaxUint64)...)}}),
		"keys":                   keys(5000),
	}
}

func TestParseBombs(t *testing.T) {
	for name, b := range bombs() {
		t.Run("CH3 a bomb of "+name+" is refused before anything is expanded", func(t *testing.T) {
			var c Change
			var d Decoder
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
			if code := Code(err); code != "too_many_ops" && code != "too_large" {
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
			var c Change
			for b.Loop() {
				_ = c.Parse(x, nil)
			}
		})
	}
}

func TestParseAllocates(t *testing.T) {
	t.Run("CH3 parsing and walking honest changes allocates nothing", func(t *testing.T) {
		changes := corpus(t, "text")
		var c Change
		var d Decoder
		var op Op
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
	r := cursor{b: chunk[9:]}
	r.uleb()
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, flate.BestCompression)
	if _, err := w.Write(r.b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := append(slices.Clone(chunk[:8]), chunkCompressed)
	return append(binary.AppendUvarint(b, uint64(z.Len())), z.Bytes()...)
}

func TestParseStored(t *testing.T) {
	good := corpus(t, "page")[10]
	t.Run("CH5 a stored chunk may be compressed and is kept plain", func(t *testing.T) {
		var c, want Change
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
		var c Change
		z := deflated(t, good)
		for name, b := range map[string][]byte{
			"cut off":              z[:len(z)-2],
			"other checksum":       append(append(slices.Clone(z[:4]), 1, 2, 3, 4), z[8:]...),
			"not deflate":          seal(chunkCompressed, []byte{0xff, 0xff, 0xff}),
			"bytes behind deflate": seal(chunkCompressed, append(slices.Clone(z[11:]), 0)),
		} {
			if _, err := c.ParseStored(b, nil); Code(err) != "bad_change" {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("CH5 what inflates to more than 1 MiB is refused", func(t *testing.T) {
		b := deflated(t, seal(chunkChange, make([]byte, MaxInflated+1)))
		if _, err := Inflate(b); !errors.Is(err, ErrTooLarge) || len(b) > 2000 {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	})
}

func TestChangeHandOver(t *testing.T) {
	t.Run("CH6 a parsed change is read by another goroutine", func(t *testing.T) {
		type parsed struct {
			c     *Change
			chunk []byte
		}
		ch := make(chan parsed, 16)
		go func() { // ends with the channel that the test drains
			defer close(ch)
			for _, b := range corpus(t, "page") {
				c := new(Change)
				if err := c.Parse(b, nil); err != nil {
					t.Error(err)
					return
				}
				ch <- parsed{c, b}
			}
		}()
		var d Decoder
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
