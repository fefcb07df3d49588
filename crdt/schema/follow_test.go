package schema

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
)

func floatBits(f float64) uint64 { return math.Float64bits(f) }

var worlds = flag.Uint64("worlds", 30, "seeds of random pages over several epochs")

func TestFollowWorlds(t *testing.T) {
	t.Run("EP5 after every late change each carried page shows what its archive shows", func(t *testing.T) {
		late, carries := 0, 0
		for seed := range *worlds {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				w := newWorld(t, seed, 4)
				w.run(600)
				late, carries = late+w.late, carries+w.carry
				for _, e := range w.epochs {
					inOrder(t, e.page)
					if e.carried == nil {
						continue
					}
					inOrder(t, e.carried)
					if more, err := e.carried.Follow(e.page, e.page.All(), [16]byte{0, 'm'}); err != nil || more != nil {
						t.Errorf("%d more changes wanted, %v", len(more), err)
					}
				}
			})
		}
		t.Logf("%d late changes, %d carries", late, carries)
		if late < 100 || carries < 100 {
			t.Error("too few")
		}
	})
}

func TestFollowOrder(t *testing.T) {
	t.Run("EP6 the squash, what people write on it, and carries give the same page in any order", func(t *testing.T) {
		for seed := range *worlds {
			w := newWorld(t, 1000+seed, 3)
			w.run(300)
			for n, e := range w.epochs {
				q := NewPage()
				for _, b := range shuffled(t, w.r, e.log)[1:] {
					take(t, q, b)
				}
				if got, want := dump(q), dump(e.page); got != want {
					t.Errorf("seed %d epoch %d", seed, n)
					compareLines(t, got, want)
				}
				if !bytes.Equal(q.Still().Squash(squasher), e.page.Still().Squash(squasher)) {
					t.Errorf("seed %d epoch %d: another squash", seed, n)
				}
			}
		}
	})
}

// shuffled is another order of changes that respects dependencies. The genesis stays first.
func shuffled(t testing.TB, r *rand.Rand, log [][]byte) [][]byte {
	p := NewPage()
	out, left := log[:1:1], slices.Clone(log[1:])
	for len(left) > 0 {
		i := r.IntN(len(left))
		var c change.Change
		if err := c.Parse(left[i], &change.StoredLimits); err != nil {
			t.Fatal(err)
		}
		switch err := p.Check(&c); err {
		case nil:
			p.Apply(&c, left[i])
			out, left = append(out, left[i]), slices.Delete(left, i, i+1)
		case ErrSeqGap, ErrDepUnknown:
		default:
			t.Fatal(err)
		}
	}
	return out
}

// epochs are the logs of worlds, each epoch's in the order it came and in another one.
func epochs(t testing.TB) (a accepted) {
	a.base = [][]byte{GenesisChange(KindWhiteboard)}
	for seed := range uint64(12) {
		w := newWorld(t, 2000+seed, 4)
		w.run(400)
		for _, e := range w.epochs {
			a.logs = append(a.logs, e.log, shuffled(t, w.r, e.log))
		}
	}
	own, other := stale(t)
	a.logs = append(a.logs, own, other)
	return a
}

// stale is an epoch in which somebody writes on the squash and a late change of the same register is carried, both under the same number, in both orders.
func stale(t testing.TB) (one, other [][]byte) {
	t.Helper()
	archive, _, head := board(t)
	squash := archive.Still().Squash(squasher)
	carried := replayed(t, GenesisChange(KindWhiteboard), squash)
	take(t, archive, seal(bob, 1, next, []change.Hash{head}, put(e1, "x", 111, id(opX, byAda))))
	carry, err := carried.Follow(archive, archive.All(), [16]byte{0, 0xff, 0xff})
	if err != nil || len(carry) != 1 {
		t.Fatal(len(carry), err)
	}
	live := replayed(t, GenesisChange(KindWhiteboard), squash)
	f := follower{p: live, actor: [16]byte{1}, start: live.next()}
	f.me = live.me(f.actor[:])
	e, _ := live.find("e1")
	f.put(f.id(e.made), e, byProperty["x"], &Value{Kind: change.Int, Num: 222})
	if err := f.write(live.actorTable(f.actor[:]), f.ops); err != nil {
		t.Fatal(err)
	}
	g := GenesisChange(KindWhiteboard)
	return [][]byte{g, squash, f.chunks[0], carry[0]}, [][]byte{g, squash, carry[0], f.chunks[0]}
}

func TestFollowStale(t *testing.T) {
	t.Run("EP2 of two writes with the same number the carried one loses", func(t *testing.T) {
		one, other := stale(t)
		for _, log := range [][][]byte{one, other} {
			p := replayed(t, log...)
			e, _ := p.find("e1")
			if v := p.win(e, byProperty["x"]); v.Num != 222 || len(p.Heads()) != 2 {
				t.Errorf("x is %d, %d heads", v.Num, len(p.Heads()))
			}
		}
	})
}

// carried is a page with the given operations by bob come late: the archive, the carried page, and the carries' operations as text.
func carried(t *testing.T, ops ...change.Op) (archive, k *Page, carries [][]byte, wrote []string) {
	t.Helper()
	archive, _, head := board(t)
	k = squashed(t, archive.Still())
	b := seal(bob, 1, next, []change.Hash{head}, ops...)
	take(t, archive, b)
	var c change.Change
	if err := c.Parse(b, nil); err != nil {
		t.Fatal(err)
	}
	carries, err := k.Follow(archive, archive.Touched(&c), [16]byte{0, 'c'})
	if err != nil {
		t.Fatal(err)
	}
	sameStill(t, k.Still(), archive.Still())
	for _, b := range carries {
		if err := c.Parse(b, nil); err != nil {
			t.Fatal(err)
		}
		var d change.Decoder
		d.Reset(&c)
		for op := range d.Ops() {
			s := []string{"make", "put", "", "delete", "text"}[op.Action]
			if op.IsElem {
				s += " character"
			} else {
				s += " " + string(op.Key)
			}
			if op.Action == change.Put {
				s += fmt.Sprintf(" %d %q", op.Num, op.Raw)
				if op.Kind == change.False || op.Kind == change.True {
					s = fmt.Sprint("put ", string(op.Key), " ", op.Kind == change.True)
				}
			}
			wrote = append(wrote, fmt.Sprintf("%s over %d", s, len(op.Pred)))
		}
	}
	return archive, k, carries, wrote
}

func TestFollowRules(t *testing.T) {
	l := func(ops ...change.Op) []change.Op { return ops }
	gone := change.Op{Obj: e1, Key: []byte("isDeleted"), Action: change.Put, Kind: change.True}
	x := id(opX, byAda)
	me := func(n int) change.ID { return id(next+n, byMe) }
	for _, c := range []struct {
		name string
		ops  []change.Op
		want []string
	}{
		{"a property", l(put(e1, "x", 9, x)), []string{`put x 9 "" over 1`}},
		{"a new property", l(putString(e1, "type", "line", id(opType, byAda)), put(e1, "angle", 1)), []string{`put angle 1 "" over 0`, `put type 0 "line" over 1`}},
		{"a property deleted", l(del(e1, "x", x)), []string{"delete x over 1"}},
		{"the same value again has no effect", l(put(e1, "x", 1, x)), nil},
		{"a write under a deletion has no effect", l(gone, put(e1, "x", 9, x), del(elements, "e1", e1)), []string{"put isDeleted true over 0"}},
		{"an element marked as deleted", l(gone), []string{"put isDeleted true over 0"}},
		{"an element deleted", l(del(elements, "e1", e1)), []string{"put isDeleted true over 0"}},
		{"an element made and deleted has no effect", l(makes(change.MakeMap, elements, "n"), put(me(0), "x", 1), del(elements, "n", me(0))), nil},
		{"an element made", l(makes(change.MakeMap, elements, "n"), put(me(0), "x", 1), putString(me(0), "type", "line")), []string{"make n over 0", `put type 0 "line" over 0`, `put x 1 "" over 0`}},
		{"an element made over another", l(makes(change.MakeMap, elements, "e2", id(opE2, byAda)), put(me(0), "y", 1)), []string{"delete x over 1", `put y 1 "" over 0`}},
		{"a character in the middle", l(insert(e1Text, id(opA, byAda), "ü")), []string{`put character 0 "ü" over 0`}},
		{"a character like its neighbour", l(insert(e1Text, id(opA, byAda), "a")), []string{`put character 0 "a" over 0`}},
		{"characters replaced", l(cut(e1Text, id(opB, byAda)), insert(e1Text, id(opA, byAda), "1"), insert(e1Text, me(1), "2")), []string{`put character 0 "1" over 0`, `put character 0 "2" over 0`, "delete character over 1"}},
		{"a text emptied", l(cut(e1Text, id(opA, byAda)), cut(e1Text, id(opB, byAda)), cut(e1Text, id(opC, byAda))), []string{"delete character over 1", "delete character over 1", "delete character over 1"}},
		{"a text made over another is spliced", l(makes(change.MakeText, e1, "originalText", e1Text), insert(me(0), change.ID{}, "a"), insert(me(0), me(1), "c")), []string{"delete character over 1"}},
		{"a text deleted", l(del(e1, "originalText", e1Text)), []string{"delete originalText over 1"}},
		{"a text where there was none", l(makes(change.MakeText, id(opE2, byAda), "originalText"), insert(me(0), change.ID{}, "n")), []string{"text originalText over 0", `put character 0 "n" over 0`}},
		{"a file", l(putString(files, "f2", "mxc://example.org/2"), putString(files, "f1", "mxc://example.org/3", id(opF1, byAda))), []string{`put f1 0 "mxc://example.org/3" over 1`, `put f2 0 "mxc://example.org/2" over 0`}},
		{"a file deleted", l(del(files, "f1", id(opF1, byAda))), []string{"delete f1 over 1"}},
	} {
		t.Run("EP6 what a carry writes: "+c.name, func(t *testing.T) {
			_, _, _, wrote := carried(t, c.ops...)
			if !slices.Equal(wrote, c.want) {
				t.Errorf("got  %q\nwant %q", wrote, c.want)
			}
		})
	}
	t.Run("EP6 an element that comes back is not made again", func(t *testing.T) {
		archive, k, _, _ := carried(t, gone)
		take(t, archive, seal(cleo, 1, next+1, archive.Heads(), change.Op{Obj: e1, Key: []byte("isDeleted"), Action: change.Put, Kind: change.False}))
		if _, shown := archive.find("e1"); !shown {
			t.Fatal("cleo's write should win")
		}
		made, _ := k.find("e1")
		before := made.made
		if _, err := k.Follow(archive, archive.All(), [16]byte{0, 'd'}); err != nil {
			t.Fatal(err)
		}
		sameStill(t, k.Still(), archive.Still())
		if again, _ := k.find("e1"); again.made != before {
			t.Error("made again")
		}
	})
	t.Run("EP6 carries build on the squash, then on the last carry", func(t *testing.T) {
		archive, k, carries, _ := carried(t, gone)
		if _, err := k.Follow(archive, archive.All(), [16]byte{0, 'c'}); err != nil {
			t.Fatal(err)
		}
		take(t, archive, seal(bob, 2, next+1, archive.Heads(), put(id(opE2, byAda), "x", 6, id(opX2, byAda))))
		more, err := k.Follow(archive, archive.All(), [16]byte{0, 'd'})
		if err != nil || len(more) != 1 {
			t.Fatal(len(more), err)
		}
		var c change.Change
		if err := c.Parse(more[0], nil); err != nil {
			t.Fatal(err)
		}
		if c.Deps() != 1 || c.Dep(0) != hash(t, carries[0]) || len(k.Heads()) != 1 {
			t.Errorf("%d dependencies, %d heads", c.Deps(), len(k.Heads()))
		}
	})
}

func TestFollowLong(t *testing.T) {
	t.Run("EP6 long carries are cut to the limits of people's changes", func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 5))
		s := &Still{}
		long := make([]byte, 31_000)
		for i := range long {
			long[i] = byte('a' + r.IntN(26))
		}
		text := make([]rune, MaxText)
		for i := range text {
			text[i] = rune('a' + r.IntN(1000))
		}
		for i := range 500 {
			e := Element{ID: fmt.Sprintf("%064d", r.Uint64())}
			if i%50 == 0 {
				e.Properties = append(e.Properties, Property{"originalText", Value{Kind: change.String, Str: string(text)}},
					Property{"pressures", Value{Kind: change.Bytes, Str: string(long)}}, Property{"text", Value{Kind: change.String, Str: string(long[:20_000])}})
			}
			e.Properties = append(e.Properties, Property{"x", Value{Kind: change.Int, Num: uint64(i)}})
			s.elements = append(s.elements, e)
		}
		archive := squashed(t, s)
		k := squashed(t, NewPage().Still())
		carries, err := k.Follow(archive, archive.All(), [16]byte{0, 'c'})
		if err != nil {
			t.Fatal(err)
		}
		sameStill(t, k.Still(), s)
		size, ops := 0, 0
		for _, b := range carries {
			var c change.Change
			if err := c.Parse(b, &change.DefaultLimits); err != nil {
				t.Fatal(err)
			}
			size, ops = size+len(b), ops+c.Count
		}
		t.Logf("%d operations, %d bytes, %d changes", ops, size, len(carries))
		if n := len(carries); n < size/change.DefaultLimits.Chunk || n > 6*max(size/change.DefaultLimits.Chunk, ops/change.DefaultLimits.Ops) {
			t.Errorf("%d changes", n)
		}
	})
	t.Run("CH14 a full page takes a carry, and no person's element", func(t *testing.T) {
		s := &Still{}
		for i := range MaxElements {
			s.elements = append(s.elements, Element{ID: fmt.Sprint("full", i), Properties: []Property{}})
		}
		live := squashed(t, s)
		archive := squashed(t, s)
		k := squashed(t, s)
		take(t, archive, seal(squasher[:], 2, uint64(archive.next()), archive.Heads(), makes(change.MakeMap, elements, "n")))
		list, err := k.Follow(archive, archive.All(), [16]byte{0, 'c'})
		if err != nil || len(list) != 1 {
			t.Fatal(len(list), err)
		}
		take(t, live, list[0])
		if live.Visible() != MaxElements+1 {
			t.Errorf("%d shown", live.Visible())
		}
		if err := try(live, seal(bob, 1, uint64(live.next()), live.Heads(), makes(change.MakeMap, elements, "m"))); err != ErrPageFull {
			t.Errorf("a person's: %v", err)
		}
	})
}
