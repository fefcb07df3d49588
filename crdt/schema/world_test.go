package schema

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
)

// world is a board's page over several epochs, with people who write, are away, and come back (SPEC EP): what the board does, without a board.
type world struct {
	t      testing.TB
	r      *rand.Rand
	epochs []*epoch
	people []*person
	late   int // changes that came late
	carry  int // changes that carried them
}

// epoch is one epoch of the page. The log begins with the genesis and, from the second epoch on, the squash.
type epoch struct {
	page    *Page // everything: the live page, later the archive
	log     [][]byte
	carried *Page // the next epoch's squash and carries
}

// person has a page of some epoch, as far as it was read, and changes of its own that the board has not got yet.
type person struct {
	n      int // of the epoch
	actor  []byte
	page   *Page
	read   int // of the epoch's log
	outbox [][]byte
	number int
}

func newWorld(t testing.TB, seed uint64, people int) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), epochs: []*epoch{{page: NewPage(), log: [][]byte{GenesisChange(KindWhiteboard)}}}}
	for i := range people {
		x := &person{number: i}
		w.people = append(w.people, x)
		w.enter(x)
	}
	return w
}

// enter moves a person to the present epoch under a new actor, as a reload does.
func (w *world) enter(x *person) {
	n := len(w.epochs) - 1
	x.n, x.page, x.read = n, NewPage(), 1
	x.actor = fmt.Appendf(nil, "%c-person-%02d-%04d", 'a'+w.r.IntN(26), x.number, w.r.IntN(10_000))
	w.pull(x, len(w.epochs[n].log))
}

// pull reads the log up to a change.
func (w *world) pull(x *person, upto int) {
	for ; x.read < upto; x.read++ {
		if b := w.epochs[x.n].log[x.read]; !x.page.Has(hash(w.t, b)) {
			take(w.t, x.page, b)
		}
	}
}

// send brings a person's next change to the board.
func (w *world) send(x *person) {
	chunk := x.outbox[0]
	x.outbox = x.outbox[1:]
	touched := w.commit(x.n, chunk)
	if x.n < len(w.epochs)-1 {
		w.late++
	}
	for n := x.n; n < len(w.epochs)-1; n++ {
		e := w.epochs[n]
		chunks, err := e.carried.Follow(e.page, touched, [16]byte{0, 'c', byte(n), byte(x.number)})
		if err != nil {
			w.t.Fatal(err)
		}
		sameStill(w.t, e.carried.Still(), e.page.Still())
		touched = Touched{}
		for _, b := range chunks {
			touched.Add(w.commit(n+1, b))
			w.carry++
		}
	}
}

func (w *world) commit(n int, chunk []byte) Touched {
	e := w.epochs[n]
	take(w.t, e.page, chunk)
	e.log = append(e.log, chunk)
	var c change.Change
	if err := c.Parse(chunk, nil); err != nil {
		w.t.Fatal(err)
	}
	return e.page.Touched(&c)
}

// squash opens the next epoch.
func (w *world) squash() {
	e := w.epochs[len(w.epochs)-1]
	s := e.page.Still()
	chunk := s.Squash([16]byte{0, 's', byte(len(w.epochs))})
	next := &epoch{page: NewPage(), log: [][]byte{GenesisChange(KindWhiteboard), chunk}}
	e.carried = NewPage()
	take(w.t, e.carried, chunk)
	take(w.t, next.page, chunk)
	sameStill(w.t, e.carried.Still(), s)
	w.epochs = append(w.epochs, next)
}

// run lets things happen in a random order, then everybody sends what is left.
func (w *world) run(steps int) {
	for range steps {
		x := w.people[w.r.IntN(len(w.people))]
		switch k := w.r.IntN(40); {
		case k < 16:
			x.outbox = append(x.outbox, w.write(x)...)
		case k < 28:
			if len(x.outbox) > 0 {
				w.send(x)
			}
		case k < 37:
			if n := len(w.epochs[x.n].log); n > x.read {
				w.pull(x, x.read+1+w.r.IntN(n-x.read))
			}
		case k < 39:
			if len(x.outbox) == 0 {
				w.enter(x)
			}
		case len(w.epochs) < 5:
			w.squash()
		}
	}
	for _, x := range w.people {
		for len(x.outbox) > 0 {
			w.send(x)
		}
	}
}

var (
	someIDs   = []string{"e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8"}
	someFiles = []string{"f1", "f2", "f3"}
)

// write is a change or two of random gestures on what the person sees.
func (w *world) write(x *person) [][]byte {
	f := follower{p: x.page, actor: [16]byte(x.actor), me: x.page.me(x.actor), start: x.page.next()}
	g := gestures{w.r, &f, map[string]bool{}}
	for range 1 + w.r.IntN(4) {
		g.some()
	}
	if len(f.ops) == 0 {
		return nil
	}
	if err := f.write(x.page.actorTable(x.actor), f.ops); err != nil {
		w.t.Fatal(err)
	}
	return f.chunks
}

// gestures writes random operations of every kind that the grammar knows, each register at most once per change.
type gestures struct {
	r    *rand.Rand
	f    *follower
	done map[string]bool
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func (g *gestures) once(key string) bool {
	defer func() { g.done[key] = true }()
	return !g.done[key]
}

func (g *gestures) some() {
	id := pick(g.r, someIDs)
	e, _ := g.f.p.find(id)
	elements := g.f.id(opid{ctr: origin.elements})
	var makes []change.ID
	if n, ok := g.f.p.byID[id]; ok {
		list := slices.Clone(g.f.p.slots[n].makes)
		slices.SortFunc(list, g.f.p.compare)
		for _, o := range list {
			makes = append(makes, g.f.id(o))
		}
	}
	k := g.r.IntN(20)
	switch {
	case k == 0:
		g.file()
	case !g.once(id):
	case e == nil || k == 1: // new, or made anew over it
		obj := g.f.add(change.Op{Obj: elements, Key: []byte(id), Action: change.MakeMap, Pred: makes})
		for range g.r.IntN(5) {
			g.property(id, obj, &element{}, uint16(g.r.IntN(len(table))))
		}
		if g.r.IntN(2) == 0 {
			g.property(id, obj, &element{}, byProperty["originalText"])
		}
	case k == 2:
		g.f.add(change.Op{Obj: elements, Key: []byte(id), Action: change.Delete, Pred: makes})
	case k < 6:
		g.property(id, g.f.id(e.made), e, propIsDeleted)
	case k < 12:
		g.property(id, g.f.id(e.made), e, byProperty["originalText"])
	default:
		for range 1 + g.r.IntN(3) {
			g.property(id, g.f.id(e.made), e, pick(g.r, []uint16{byProperty["x"], byProperty["points"], propIndex, uint16(g.r.IntN(len(table)))}))
		}
	}
}

func (g *gestures) property(id string, obj change.ID, e *element, prop uint16) {
	r := &table[prop]
	if !g.once(id + "/" + r.name) {
		return
	}
	preds := g.f.preds(e, prop)
	if len(preds) > 0 && g.r.IntN(8) == 0 {
		g.f.add(change.Op{Obj: obj, Key: []byte(r.name), Action: change.Delete, Pred: preds})
		return
	}
	if r.kinds == kText {
		g.text(obj, e, prop, preds)
		return
	}
	for range 20 {
		v := g.value(r)
		if r.accepts(v.Kind, v.Num, []byte(v.Str)) == nil {
			g.f.put(obj, e, prop, &v)
			return
		}
	}
}

func (g *gestures) value(r *property) (v Value) {
	var all []change.Kind
	for k := change.Null; k <= change.Time; k++ {
		if r.kinds.has(k) {
			all = append(all, k)
		}
	}
	v.Kind = pick(g.r, all)
	switch v.Kind {
	case change.Int:
		v.Num = uint64(int64(g.r.IntN(20) - 5))
	case change.Float:
		v.Num = floatBits(pick(g.r, []float64{0, 1, 2.5, -3, 1e8}))
	case change.String:
		v.Str = pick(g.r, append([]string{"a1", "a2", "b0V", "\x00{}", "\x00[1]", "#fff", "https://example.org/", "text"}, r.words...))
	case change.Bytes:
		v.Str = pick(g.r, []string{"\x01\x02", "\x00\x00\x04\x06", "\x81\x01\x02"})
	}
	return v
}

// text cuts, inserts, or makes the text anew.
func (g *gestures) text(obj change.ID, e *element, prop uint16, preds []change.ID) {
	insert := func(text, after change.ID) {
		insertText(g.f.add, text, after, pick(g.r, []string{"a", "bc", "ünï", "😀", "\n", "long enough to be cut in the middle"}))
	}
	v := g.f.p.win(e, prop)
	if v == nil || g.r.IntN(6) == 0 {
		insert(g.f.add(change.Op{Obj: obj, Key: []byte(table[prop].name), Action: change.MakeText, Pred: preds}), change.ID{})
		return
	}
	t := &g.f.p.texts[v.text-1]
	order := g.f.p.order(t)
	name := func(i int) change.ID { c := t.chars[order[i]]; return g.f.id(opid{c.ctr, c.actor}) }
	for range 1 + g.r.IntN(2) {
		if len(order) > 0 && g.r.IntN(3) > 0 {
			insert(g.f.id(t.made), name(g.r.IntN(len(order))))
		} else {
			insert(g.f.id(t.made), change.ID{})
		}
	}
	if len(order) > 0 {
		from := g.r.IntN(len(order))
		for i := from; i < min(len(order), from+g.r.IntN(4)); i++ {
			g.f.add(change.Op{Obj: g.f.id(t.made), Elem: name(i), IsElem: true, Action: change.Delete, Pred: []change.ID{name(i)}})
		}
	}
}

func (g *gestures) file() {
	id := pick(g.r, someFiles)
	if !g.once("file " + id) {
		return
	}
	var preds []change.ID
	if n, ok := g.f.p.byFile[id]; ok {
		preds = g.f.preds(&g.f.p.files, n)
	}
	op := change.Op{Obj: g.f.id(opid{ctr: origin.files}), Key: []byte(id), Action: change.Put, Kind: change.String, Raw: fmt.Appendf(nil, "mxc://example.org/%d", g.r.IntN(9)), Pred: preds}
	if len(preds) > 0 && g.r.IntN(3) == 0 {
		op.Action, op.Kind, op.Raw = change.Delete, change.Null, nil
	}
	g.f.add(op)
}
