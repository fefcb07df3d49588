package schema

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
)

func floatBits(f float64) uint64 { return math.Float64bits(f) }

var worlds = flag.Uint64("worlds", 60, "seeds of random pages over several epochs")

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
