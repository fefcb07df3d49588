package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
	"github.com/educationpub/lectern/server/checkpoint"
)

// TestWorlds lives through one world per seed. LECTERN_SIM_SEEDS=FROM-TO chooses others (make sim: 10,000).
func TestWorlds(t *testing.T) {
	from, to := uint64(0), uint64(200)
	if s := os.Getenv("LECTERN_SIM_SEEDS"); s != "" {
		a, b, ok := strings.Cut(s, "-")
		var err1, err2 error
		from, err1 = strconv.ParseUint(a, 10, 64)
		to, err2 = strconv.ParseUint(b, 10, 64)
		if !ok || err1 != nil || err2 != nil || from >= to {
			t.Fatalf("LECTERN_SIM_SEEDS=%q is not FROM-TO", s)
		}
	}
	var sum tally
	t.Run("worlds", func(t *testing.T) {
		for seed := from; seed < to; seed++ {
			t.Run(fmt.Sprintf("SM1 seed %d", seed), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) { live(t, dir, seed, false, &sum) })
			})
		}
	})
	t.Log(sum.String())
}

// TestWithoutCarries takes out the carries of late changes: worlds that pass with them must fail.
func TestWithoutCarries(t *testing.T) {
	var failed int
	for seed := range uint64(12) {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			p := &probe{TB: t}
			func() {
				defer func() { _ = recover() }() // how a probe's FailNow ends
				live(p, dir, seed, true, &tally{})
			}()
			if p.failed {
				failed++
			}
		})
	}
	if failed == 0 {
		t.Fatal("SM5 12 worlds without carries passed: the simulation does not notice")
	}
	t.Logf("%d of 12 worlds without carries fail", failed)
}

// probe notes failures instead of failing.
type probe struct {
	testing.TB
	failed bool
}

func (p *probe) Errorf(string, ...any) { p.failed = true }
func (p *probe) Logf(string, ...any)   {}
func (p *probe) Fatalf(string, ...any) { p.FailNow() }
func (p *probe) Fatal(...any)          { p.FailNow() }
func (p *probe) FailNow()              { p.failed = true; panic(p) }

// tally says how much happened, so that worlds in which nothing does are noticed.
type tally struct{ worlds, wishes, acked, changes, late, carries, epochs, takeovers, rules, resets atomic.Int64 }

func (n *tally) String() string {
	return fmt.Sprintf("%d worlds: %d gestures, %d changes acknowledged; in the logs %d changes, %d late, %d carries, %d epochs; %d take-overs, %d decisions on who draws, %d resets",
		n.worlds.Load(), n.wishes.Load(), n.acked.Load(), n.changes.Load(), n.late.Load(), n.carries.Load(), n.epochs.Load(), n.takeovers.Load(), n.rules.Load(), n.resets.Load())
}

// world is everything that exists for one seed. Owned by the test's goroutine.
type world struct {
	t         testing.TB
	rnd       *rand.Rand
	fabric    *fabric
	instances []*instance
	clients   []*client

	squashes  atomic.Int64
	takeovers atomic.Int64
	rules     atomic.Int64
}

func live(t testing.TB, dir string, seed uint64, mute bool, sum *tally) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	w := &world{t: t, rnd: rnd, fabric: newFabric(rand.New(rand.NewPCG(seed, 8)))}
	for i := range 1 + min(1, seed%3) { // two worlds of three have two homes
		in := &instance{t: t, rnd: rand.New(rand.NewPCG(seed, 9+i)), dir: filepath.Join(dir, fmt.Sprint(i)), view: w.fabric.views[i], mute: mute}
		w.instances = append(w.instances, in)
		in.start()
		defer func() {
			if !in.dead { // the world failed
				in.stop(true)
			}
		}()
	}
	for i := range 3 + rnd.IntN(3) {
		w.clients = append(w.clients, newClient(t, i, len(w.instances), rand.New(rand.NewPCG(seed, uint64(20+i)))))
	}
	for range 80 + rnd.IntN(80) {
		w.step()
	}
	home := w.settle()
	w.check(home, sum)
	for _, in := range w.instances {
		in.stop(false)
	}
}

// step is one thing that happens.
func (w *world) step() {
	c := w.clients[w.rnd.IntN(len(w.clients))]
	in := w.instances[w.rnd.IntN(len(w.instances))]
	switch k := w.rnd.IntN(48); {
	case k < 20:
		for range 1 + w.rnd.IntN(5) {
			c.gesture()
		}
	case k < 26:
		if c.tab.s == nil && in.known() {
			_ = c.connect(in)
		}
	case k < 28:
		c.disconnect()
	case k == 28:
		c.reload()
	case k == 29:
		time.Sleep(time.Duration(w.rnd.IntN(400)) * time.Second)
	case k == 30:
		in.stop(w.rnd.IntN(4) > 0)
		for _, c := range w.clients {
			if c.tab.in == in {
				c.disconnect()
			}
		}
		in.start()
	case k == 31:
		in.fail([]int{0, 0, 10, 40}[w.rnd.IntN(4)])
	case k == 32:
		w.fabric.mu.Lock()
		in.view.down = w.rnd.IntN(2) == 0
		w.fabric.mu.Unlock()
	case k < 36:
		w.squash(in)
	case k == 36 && len(w.instances) > 1:
		w.fabric.split(w.rnd.IntN(2) == 0)
	case k == 37 && len(w.instances) > 1:
		w.takeOver(in)
	case k == 38:
		w.rule(in)
	case k < 41: // long enough to be saved to the room
		time.Sleep(time.Duration(w.rnd.IntN(60)) * time.Second)
	default:
		time.Sleep(time.Duration(w.rnd.IntN(3000)) * time.Millisecond)
	}
	w.pump()
}

func (w *world) pump() {
	for _, c := range w.clients {
		synctest.Wait()
		c.pump()
	}
}

// known says that people have a reason to go there: a second Lectern is told of a board that is in the room.
func (in *instance) known() bool {
	in.view.fabric.mu.Lock()
	defer in.view.fabric.mu.Unlock()
	return in.view.side == 0 || len(in.view.events) > 0
}

// squash begins one; people go on meanwhile.
func (w *world) squash(in *instance) {
	doc := w.clients[0].tab.doc
	if doc == "" {
		return
	}
	in.ended.Go(func() { // ends with the squash, or with the hub
		if err := in.hub.Squash(context.Background(), testBoard, doc); err == nil {
			w.squashes.Add(1)
		}
	})
}

// head moderates, and draws nothing.
const head = board.Person("@head:sim.example")

// rule is a moderator's decision at an instance: somebody, or everybody, is not to draw for a while.
func (w *world) rule(in *instance) {
	draw := []string{board.DrawAll, board.DrawModerators}[w.rnd.IntN(2)]
	c := board.RulesChange{Draw: &draw}
	if w.rnd.IntN(2) == 0 {
		c = board.RulesChange{Person: &struct {
			ID  board.Person `json:"user_id"`
			May string       `json:"may"`
		}{w.clients[w.rnd.IntN(len(w.clients))].person, []string{"", "watch"}[w.rnd.IntN(2)]}}
	}
	ctx, cancel := context.WithTimeout(in.ctx, time.Minute)
	in.ended.Go(func() {
		defer cancel()
		if err := in.hub.ChangeRules(ctx, testBoard, head, c); err == nil {
			w.rules.Add(1)
		}
	})
}

// free lets everybody draw again, wherever the board is.
func (w *world) free() {
	all := board.DrawAll
	for _, in := range w.instances {
		_ = in.hub.ChangeRules(context.Background(), testBoard, head, board.RulesChange{Draw: &all})
		for _, c := range w.clients {
			_ = in.hub.ChangeRules(context.Background(), testBoard, head, board.RulesChange{Person: &struct {
				ID  board.Person `json:"user_id"`
				May string       `json:"may"`
			}{c.person, ""}})
		}
	}
}

// takeOver is a moderator's word at an instance.
func (w *world) takeOver(in *instance) {
	ctx, cancel := context.WithTimeout(in.ctx, time.Minute)
	in.ended.Go(func() {
		defer cancel()
		_, err := in.cp.TakeOver(ctx, testRoom, schema.KindWhiteboard, testBoard)
		if !errors.Is(err, checkpoint.ErrOurs) && !errors.Is(err, checkpoint.ErrNone) {
			w.takeovers.Add(1) // one that failed half-way is finished later
		}
	})
}

// settle ends every trouble, lets everybody catch up, and answers the board's home.
func (w *world) settle() *instance {
	for _, in := range w.instances {
		in.fail(0)
	}
	w.fabric.mu.Lock()
	for _, v := range w.fabric.views {
		v.down = false
	}
	w.fabric.mu.Unlock()
	w.fabric.split(false)
	time.Sleep(15 * time.Minute) // every retry has come round
	for n := range 300 {
		w.free()
		done := true
		for _, c := range w.clients {
			if c.tab.s == nil {
				if in := w.instances[n%len(w.instances)]; in.known() { // not ours, says one of them
					_ = c.connect(in)
				}
			}
			c.flush()
			done = done && c.tab.s != nil && len(c.outbox) == 0 && c.tab.page != nil && !c.tab.moving && len(c.tab.redo)+len(c.tab.waiting) == 0
		}
		if done {
			time.Sleep(10 * time.Minute)
			w.pump()
			home := w.clients[0].tab.in
			for _, c := range w.clients {
				done = done && c.tab.in == home && home != nil && !c.tab.moving && len(c.outbox) == 0
			}
			if done {
				return home
			}
		}
		time.Sleep(time.Second)
		w.pump()
	}
	for _, c := range w.clients {
		w.t.Errorf("SM1 %s: %d unacknowledged, moving %v, page %v, connected %v", c.name, len(c.outbox), c.tab.moving, c.tab.page != nil, c.tab.s != nil)
	}
	for _, c := range w.clients {
		for _, o := range c.outbox {
			w.t.Logf("%s: %x of %x in epoch %d; the tab is in %d as %x", c.name, o.hash[:4], o.actor[:4], o.epoch, c.tab.epoch, c.tab.actor[:4])
		}
	}
	w.t.FailNow()
	return nil
}

// check is what must hold in every world.
func (w *world) check(home *instance, sum *tally) {
	log := map[board.Hash]board.Entry{}
	var inOrder []board.Entry
	var after uint64
	for {
		entries, err := home.disk.Store.Read(context.Background(), testBoard, after, 1000, 1<<20)
		must(err)
		if len(entries) == 0 {
			break
		}
		inOrder = append(inOrder, entries...)
		for _, e := range entries {
			switch e.Kind {
			case board.KindChange:
				sum.changes.Add(1)
			case board.KindLate:
				sum.late.Add(1)
			case board.KindCarry:
				sum.carries.Add(1)
			case board.KindEpoch:
				sum.epochs.Add(1)
			}
			log[e.Hash] = e
			after = e.Seq
		}
	}
	sum.worlds.Add(1)
	sum.takeovers.Add(w.takeovers.Load())
	sum.rules.Add(w.rules.Load())
	for _, c := range w.clients {
		sum.wishes.Add(int64(c.wishes))
		sum.acked.Add(int64(len(c.acked)))
		for _, n := range c.resets {
			sum.resets.Add(int64(n))
		}
	}
	scene := w.scene(home)
	hid := map[string]bool{}
	for _, c := range w.clients {
		maps.Copy(hid, c.hid)
	}
	for _, c := range w.clients {
		if got := shown(c.tab.page); got != scene.json {
			w.t.Errorf("SM3 %s shows something else than the server:\n%s\nserver:\n%s", c.name, got, scene.json)
			w.t.Logf("%s: epoch %d have %d changes %d", c.name, c.tab.epoch, c.tab.have, c.tab.page.Changes())
			for _, e := range inOrder {
				if e.Epoch == c.tab.epoch && !c.tab.page.Has(change.Hash(e.Hash)) {
					w.t.Logf("  lacks %d kind %d epoch %d %x of %s", e.Seq, e.Kind, e.Epoch, e.Hash[:4], e.Person)
				}
			}
		}
		for h, wish := range c.acked {
			// What one home squashed before another took over comes as its effect, under other hashes.
			if _, ok := log[h]; !ok && w.takeovers.Load() == 0 {
				w.t.Errorf("SM1 %s: an acknowledged change is not in the log", c.name)
			}
			if hid[wish.id] {
				continue
			}
			text, ok := scene.texts[wish.id]
			if !ok {
				w.t.Errorf("SM4 %s: element %s, which nobody deleted, is gone", c.name, wish.id)
			}
			if n := strings.Count(text, wish.mark()); wish.token != "" && n != 1 && (n == 0 || w.takeovers.Load() == 0) {
				w.t.Errorf("SM4 %s: what was written into %s stands there %d times: %q", c.name, wish.id, n, text)
			}
		}
	}
}

// scene is what an instance says that the page shows.
func (w *world) scene(in *instance) (out struct {
	json  string
	texts map[string]string
},
) {
	v, err := in.hub.Scene(context.Background(), testBoard, w.clients[0].tab.doc, nil)
	must(err)
	out.texts = map[string]string{}
	var b strings.Builder
	for _, e := range v.Elements {
		if d, _ := e.Get("isDeleted"); d == true {
			continue
		}
		j, err := e.MarshalJSON()
		must(err)
		b.Write(j)
		b.WriteByte('\n')
		text, _ := e.Get("originalText")
		out.texts[e.ID], _ = text.(string)
	}
	out.json = b.String()
	return out
}
