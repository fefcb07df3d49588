package change_test

import (
	"bufio"
	"bytes"
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

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/change/changetest"
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
func decode(c *change.Change, chunk []byte, limits *change.Limits) ([]change.Op, error) {
	if err := c.Parse(chunk, limits); err != nil {
		return nil, err
	}
	var d change.Decoder
	d.Reset(c)
	var ops []change.Op
	for op := range d.Ops() {
		x := *op
		x.Pred = slices.Clone(op.Pred)
		ops = append(ops, x)
	}
	return ops, d.Err()
}

// line is an operation as testdata/gen.mjs writes the engine's reading of it.
func line(c *change.Change, op *change.Op) string {
	id := func(i change.ID) string { return fmt.Sprintf("%d@%x", i.Ctr, c.Actors[i.Actor]) }
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
	if op.Action == change.Increment || op.Mark != nil && op.Kind == change.Float { // the engine's own reading leaves the type out
		if value = fmt.Sprintf("?:%v", math.Float64frombits(op.Num)); op.Kind == change.Int {
			value = fmt.Sprintf("?:%d", int64(op.Num))
		}
	} else if op.Action == change.Put || op.Mark != nil {
		switch op.Kind {
		case change.Null:
			value = "null"
		case change.False, change.True:
			value = fmt.Sprint(op.Kind == change.True)
		case change.Uint:
			value = fmt.Sprintf("uint:%d", op.Num)
		case change.Int:
			value = fmt.Sprintf("int:%d", int64(op.Num))
		case change.Float:
			value = fmt.Sprintf("n:%x", op.Num)
		case change.String:
			value = "str:" + hex.EncodeToString(op.Raw)
		case change.Bytes:
			value = "bytes:" + hex.EncodeToString(op.Raw)
		case change.Counter:
			value = fmt.Sprintf("counter:%d", int64(op.Num))
		case change.Time:
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
			var c change.Change
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
			var c change.Change
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

// encode writes what decode read.
func encode(c *change.Change, ops []change.Op) []byte {
	x := change.Draft{Actors: c.Actors, Seq: c.Seq, StartOp: uint64(c.StartOp), Time: c.Time, Message: c.Message, Ops: ops}
	for i := range c.Deps() {
		x.Deps = append(x.Deps, c.Dep(i))
	}
	return x.Encode()
}

// build frames columns with any header.
func build(deps []change.Hash, actors [][]byte, seq, start uint64, message []byte, cols []column, extra []byte) []byte {
	c := change.Draft{Deps: deps, Actors: actors, Seq: seq, StartOp: start, Message: message}
	var l []changetest.Column
	for _, x := range cols {
		l = append(l, changetest.Column{Spec: x.spec, Data: x.data})
	}
	return changetest.Build(c, l, extra)
}

type column struct {
	spec uint64
	data []byte
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
			b = changetest.AppendSleb(b, x)
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

func chunk(cols []column) []byte {
	return build(nil, [][]byte{me}, 1, 1, nil, cols, nil)
}

func TestParseCanonical(t *testing.T) {
	var c change.Change
	if _, err := decode(&c, chunk(simple()), nil); err != nil {
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
		{"repeats as literals", chunk(with(0x42, cat(-3, 1, 1, 1))), change.ErrNotCanonical},
		{"run of one", chunk(with(0x56, cat(2, 0, 1, 2))), change.ErrNotCanonical},
		{"one run cut in two", chunk(with(0x42, cat(2, 1, 1, 1))), change.ErrNotCanonical},
		{"two literal runs", chunk(with(0x15, cat(-1, 1, 'a', -2, 1, 'b', 1, 'c'))), change.ErrNotCanonical},
		{"a literal equal to the repeat before", chunk(with(0x70, cat(2, 0, -1, 0))), change.ErrNotCanonical},
		{"object columns of nulls", chunk(append([]column{{0x01, cat(0, 3)}, {0x02, cat(0, 3)}}, simple()...)), change.ErrNotCanonical},
		{"one key column of nulls", chunk(append([]column{{0x11, cat(0, 3)}}, simple()...)), change.ErrNotCanonical},
		{"expand all false", chunk(with(0x94, []byte{3})), change.ErrNotCanonical},
		{"insert column absent", chunk(with(0x34, nil)), change.ErrNotCanonical},
		{"insert with an empty run", chunk(with(0x34, []byte{1, 0, 2})), change.ErrNotCanonical},
		{"overlong number", chunk(with(0x15, overlong)), change.ErrNotCanonical},
		{"null with bytes", chunk(append(with(0x56, cat(2, 16, -1, 2)), column{})[:5]), change.ErrColumn},
		{"delete with a value", chunk(del), change.ErrNotCanonical},
		{"make with a value", chunk(with(0x42, cat(2, 1, -1, 0))), change.ErrNotCanonical},
		{"other actor named, not used", build(nil, other, 1, 1, nil, simple(), nil), change.ErrNotCanonical},
		{"bytes after the columns", build(nil, [][]byte{me}, 1, 1, nil, simple(), []byte("zz")), change.ErrColumns},
		{"unknown column", chunk(with(0xb2, cat(3, 1))), change.ErrColumns},
		{"compressed column", chunk(with(0x4a, cat(3, 1))), change.ErrColumns},
		{"column too short", chunk(with(0x56, cat(2, 0))), change.ErrColumn},
		{"column too long", chunk(with(0x56, cat(2, 0, -2, 2, 1))), change.ErrLength},
		{"insert column too long", chunk(with(0x34, []byte{4})), change.ErrLength},
		{"value bytes left over", chunk(with(0x57, []byte{1})), change.ErrLength},
		{"predecessor counts differ from operations", chunk(with(0x70, cat(2, 0))), change.ErrLength},
		{"unknown action", chunk(with(0x42, cat(3, 8))), change.ErrColumn},
		{"unknown kind of value", chunk(with(0x56, cat(2, 0, -1, 10))), change.ErrColumn},
		{"key not UTF-8", chunk(with(0x15, append(cat(-3, 1, 'a', 1, 'b', 1), 0xff))), change.ErrColumn},
		{"predecessor is itself", chunk(append(with(0x70, cat(2, 0, -1, 1)), column{0x71, cat(-1, 0)}, column{0x73, cat(-1, 3)})), change.ErrRef},
		{"predecessor by an actor not in the table", chunk(append(with(0x70, cat(2, 0, -1, 1)), column{0x71, cat(-1, 1)}, column{0x73, cat(-1, 1)})), change.ErrRef},
	}
	for _, x := range cases {
		t.Run("CH4 "+x.name, func(t *testing.T) {
			var c change.Change
			if _, err := decode(&c, x.b, nil); !errors.Is(err, x.want) {
				t.Errorf("got %v, want %v", err, x.want)
			}
		})
	}
}

func TestParseFrame(t *testing.T) {
	good := chunk(simple())
	edit := func(f func(b []byte)) []byte { b := slices.Clone(good); f(b); return b }
	two := [][]byte{me, []byte("bbbbbbbbbbbbbbbb"), []byte("aaaaaaaaaaaaaaaa")}
	cases := []struct {
		name string
		b    []byte
		want error
		code string
	}{
		{"nothing", nil, change.ErrFrame, "bad_change"},
		{"cut off", good[:len(good)-1], change.ErrFrame, "bad_change"},
		{"something behind", append(slices.Clone(good), 0), change.ErrFrame, "bad_change"},
		{"other magic", edit(func(b []byte) { b[0] = 0 }), change.ErrFrame, "bad_change"},
		{"document chunk", changetest.Resign(edit(func(b []byte) { b[8] = 0 })), change.ErrType, "bad_change"},
		{"compressed chunk", changetest.Resign(edit(func(b []byte) { b[8] = 2 })), change.ErrType, "bad_change"},
		{"bundle", changetest.Resign(edit(func(b []byte) { b[8] = 3 })), change.ErrType, "bad_change"},
		{"checksum", edit(func(b []byte) { b[4] ^= 1 }), change.ErrChecksum, "bad_change"},
		{"content changed", edit(func(b []byte) { b[len(b)-1] ^= 1 }), change.ErrChecksum, "bad_change"},
		{"sequence 0", build(nil, [][]byte{me}, 0, 1, nil, simple(), nil), change.ErrHeader, "bad_change"},
		{"first operation 0", build(nil, [][]byte{me}, 1, 0, nil, simple(), nil), change.ErrHeader, "bad_change"},
		{"first operation over 32 bits", build(nil, [][]byte{me}, 1, 1<<32, nil, simple(), nil), change.ErrHeader, "bad_change"},
		{"last operation over 32 bits", build(nil, [][]byte{me}, 1, 1<<32-2, nil, simple(), nil), change.ErrHeader, "bad_change"},
		{"no author", build(nil, [][]byte{nil}, 1, 1, nil, simple(), nil), change.ErrHeader, "bad_change"},
		{"actors out of order", build(nil, two, 1, 1, nil, simple(), nil), change.ErrHeader, "bad_change"},
		{"author among the others", build(nil, [][]byte{me, me}, 1, 1, nil, simple(), nil), change.ErrHeader, "bad_change"},
		{"dependencies out of order", build([]change.Hash{{2}, {1}}, [][]byte{me}, 1, 1, nil, simple(), nil), change.ErrHeader, "bad_change"},
		{"message not UTF-8", build(nil, [][]byte{me}, 1, 1, []byte{0xff}, simple(), nil), change.ErrHeader, "bad_change"},
		{"too many dependencies", build(make([]change.Hash, 65), [][]byte{me}, 1, 1, nil, simple(), nil), change.ErrTooLarge, "too_large"},
		{"too many actors", build(nil, slices.Repeat([][]byte{me}, 257), 1, 1, nil, simple(), nil), change.ErrTooLarge, "too_large"},
		{"message too long", build(nil, [][]byte{me}, 1, 1, make([]byte, 257), simple(), nil), change.ErrTooLarge, "too_large"},
		{"chunk too long", build(nil, [][]byte{me}, 1, 1, nil, append(simple(), column{0x57, make([]byte, 32<<10)}), nil), change.ErrTooLarge, "too_large"},
		{"key too long", chunk(with(0x15, append(cat(-3, 1, 'a', 1, 'b', 257), make([]byte, 257)...))), change.ErrColumn, "bad_change"},
	}
	for _, x := range cases {
		t.Run("CH2 "+x.name, func(t *testing.T) {
			var c change.Change
			_, err := decode(&c, x.b, nil)
			if !errors.Is(err, x.want) || change.Code(err) != x.code {
				t.Errorf("got %v (%s), want %v (%s)", err, change.Code(err), x.want, x.code)
			}
		})
	}
	t.Run("CH2 a change that is refused after its frame can be named", func(t *testing.T) {
		var c change.Change
		if err := c.Parse(build(nil, [][]byte{me}, 0, 1, nil, simple(), nil), nil); err == nil || c.Hash == (change.Hash{}) {
			t.Errorf("err %v, hash %v", err, c.Hash)
		}
	})
	t.Run("CH2 an error of somebody else has no code", func(t *testing.T) {
		if change.Code(nil) != "" || change.Code(io.EOF) != "" || change.Code(fmt.Errorf("x: %w", change.ErrType)) != "bad_change" {
			t.Error("wrong codes")
		}
	})
}
