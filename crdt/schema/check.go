package schema

import (
	"fmt"

	"github.com/educationpub/lectern/crdt/change"
)

// plan is what Check found out about a change, for the Apply that follows it. Numbers that it gives to new actors, ids and objects are those they get then.
type plan struct {
	hash    change.Hash // of the change that was found good; zero: none
	changes int         // of the page at that time
	actors  []uint16    // the page's numbers of the change's actors
	steps   []step
	ids     map[string]uint32   // new keys of elements
	files   map[string]uint16   // new keys of files
	last    map[register]uint32 // newest operation of this change on a register
	texts   map[uint32]textPlan
	els     int      // elements made
	made    int      // texts made
	chars   int      // characters inserted
	shown   int      // elements that may become visible
	erased  []uint16 // who made the shown elements that go
	dec     change.Decoder
}

// step is one operation: the register it works on, and the element, text or character it makes or deletes there.
type step struct {
	reg    register
	wrote  bool // false for a delete
	object object
}

type textPlan struct{ inserted, deleted int }

const keepScratch = 256 // entries; larger scratch maps are dropped, since clearing costs their size

func (s *plan) init() {
	s.ids, s.files = map[string]uint32{}, map[string]uint16{}
	s.last, s.texts = map[register]uint32{}, map[uint32]textPlan{}
}

func (s *plan) reset() {
	if cap(s.steps) > 16*keepScratch { // after a squash or a long paste
		s.steps = nil
	}
	if len(s.last) > keepScratch || len(s.ids) > keepScratch || len(s.files) > keepScratch || len(s.texts) > keepScratch {
		s.init()
	} else {
		clear(s.ids)
		clear(s.files)
		clear(s.last)
		clear(s.texts)
	}
	s.hash, s.actors, s.steps = change.Hash{}, s.actors[:0], s.steps[:0]
	s.els, s.made, s.chars, s.shown, s.erased = 0, 0, 0, 0, s.erased[:0]
}

// Check decides whether a parsed change may be committed to this page; ask Has first. nil: yes, and Apply must be the next call with this change before
// another one is checked. ErrSeqGap, ErrDepUnknown: hold it. Anything else refuses it, with a code (change.Code). A refused change leaves no trace.
func (p *Page) Check(c *change.Change) error {
	s := &p.plan
	s.reset()
	if err := p.checkHeader(c); err != nil {
		return err
	}
	s.dec.Reset(c)
	var op change.Op
	for s.dec.Next(&op) {
		if err := p.checkOp(c, &op); err != nil {
			return fmt.Errorf("operation %d of %d: %w", len(s.steps)+1, c.Count, err)
		}
	}
	if err := s.dec.Err(); err != nil {
		return err
	}
	if !ofServer(c) {
		if err := p.checkRoom(); err != nil {
			return err
		}
	}
	s.hash, s.changes = c.Hash, len(p.changes)
	return nil
}

// ofServer says whether a change is the server's own: no person's actor begins with 00. How much fits on a page was asked when the person's change came
// that it carries or squashes; asking again, on a page that has filled up since, would lose that person's work.
func ofServer(c *change.Change) bool { return c.Author()[0] == 0 }

// checkRoom judges how full the change makes the page.
func (p *Page) checkRoom() error {
	s := &p.plan
	if p.visible+s.shown > MaxElements || len(p.els)+len(p.texts)+s.els+s.made > MaxObjects || len(p.fileIDs)+len(s.files) > MaxFiles {
		return ErrPageFull
	}
	return p.checkTexts()
}

// checkHeader judges the change's place in the history.
func (p *Page) checkHeader(c *change.Change) error {
	s := &p.plan
	if len(c.Author()) != 16 {
		return ErrActor
	}
	if c.Count == 0 || c.Deps() == 0 {
		return ErrEmpty
	}
	me, known := p.byActor[string(c.Author())]
	var seq uint64
	var own uint32
	if known {
		seq, own = p.actors[me].seq, p.actors[me].end
	} else {
		me = uint16(len(p.actors))
	}
	switch {
	case c.Seq > seq+1:
		return ErrSeqGap
	case c.Seq <= seq:
		return ErrSeqUsed
	}
	var end uint32
	for i := range c.Deps() {
		e, ok := p.changes[c.Dep(i)]
		if !ok {
			return ErrDepUnknown
		}
		end = max(end, e)
	}
	if c.StartOp != end+1 || c.StartOp <= own {
		return ErrStartOp
	}
	if me == maxActors {
		return ErrPageFull
	}
	s.actors = append(s.actors, me)
	for _, a := range c.Actors[1:] {
		x, ok := p.byActor[string(a)]
		if !ok {
			return ErrActor
		}
		s.actors = append(s.actors, x)
	}
	return nil
}

func (s *plan) id(i change.ID) opid { return opid{i.Ctr, s.actors[i.Actor]} }

// checkOp judges one operation and notes its step.
func (p *Page) checkOp(c *change.Change, op *change.Op) error {
	s := &p.plan
	obj, ok := p.object(c, op.Obj)
	if !ok {
		return ErrObject
	}
	if op.Expand || op.Mark != nil {
		return ErrShape
	}
	if obj.place == inText {
		return p.checkSplice(c, op, obj.index)
	}
	if op.IsElem || op.Insert || op.Action == change.Delete && len(op.Pred) == 0 {
		return ErrShape
	}
	st := step{wrote: op.Action != change.Delete}
	var err error
	switch obj.place {
	case inElements:
		err = p.checkElements(op, &st)
	case inFiles:
		err = p.checkFile(op, &st)
	case inElement:
		err = p.checkProperty(op, &st, obj.index)
	default: // the root, after the genesis
		err = ErrShape
	}
	if err != nil {
		return err
	}
	if !p.checkPreds(c, op, st.reg) {
		return ErrPred
	}
	s.last[st.reg] = op.ID.Ctr
	s.steps = append(s.steps, st)
	return nil
}

// object finds what an operation works on: of the page, or made earlier in this change.
func (p *Page) object(c *change.Change, id change.ID) (object, bool) {
	if id.Ctr == 0 {
		return object{place: inRoot}, true
	}
	if id.Actor == 0 && id.Ctr >= c.StartOp {
		o := p.plan.steps[id.Ctr-c.StartOp].object
		return o, o.place != nowhere
	}
	o, ok := p.objects[p.plan.id(id)]
	return o, ok
}

func (p *Page) checkElements(op *change.Op, st *step) error {
	s := &p.plan
	if !validID(op.Key) {
		return ErrID
	}
	n, ok := p.byID[string(op.Key)]
	if !ok {
		if n, ok = s.ids[string(op.Key)]; !ok {
			n = uint32(len(p.slots) + len(s.ids))
			s.ids[string(op.Key)] = n
		}
	}
	st.reg = at(inElements, 0, n)
	switch op.Action {
	case change.MakeMap:
		st.object = object{inElement, uint32(len(p.els) + s.els)}
		s.els++
		if s.last[st.reg] == 0 && !p.shown(n) {
			s.shown++
		}
	case change.Delete:
		s.erase(p, n, s.last[st.reg] == 0)
	default:
		return ErrShape
	}
	return nil
}

func (p *Page) checkFile(op *change.Op, st *step) error {
	s := &p.plan
	if !validID(op.Key) {
		return ErrID
	}
	n, ok := p.byFile[string(op.Key)]
	if !ok {
		if n, ok = s.files[string(op.Key)]; !ok {
			n = uint16(len(p.fileIDs) + len(s.files))
			s.files[string(op.Key)] = n
		}
	}
	st.reg = at(inFiles, 0, uint32(n))
	switch op.Action {
	case change.Put:
		if op.Kind != change.String {
			return ErrKind
		}
		if len(op.Raw) > MaxFileValue {
			return ErrValueTooLarge
		}
	case change.Delete:
	default:
		return ErrShape
	}
	return nil
}

func (p *Page) checkProperty(op *change.Op, st *step, el uint32) error {
	s := &p.plan
	n, ok := byProperty[string(op.Key)]
	if !ok {
		return fmt.Errorf("%w: %.40q", ErrProperty, op.Key)
	}
	r := &table[n]
	st.reg = at(inElement, el, uint32(n))
	switch op.Action {
	case change.Put:
		if err := r.accepts(op.Kind, op.Num, op.Raw); err != nil {
			return fmt.Errorf("%w: %s", err, r.name)
		}
	case change.MakeText:
		if r.kinds&kText == 0 {
			return fmt.Errorf("%w: %s", ErrKind, r.name)
		}
		st.object = object{inText, uint32(len(p.texts) + s.made)}
		s.made++
	case change.Delete:
	default:
		return ErrShape
	}
	if n == propIsDeleted && op.Kind != change.True && int(el) < len(p.els) && s.last[st.reg] == 0 && !p.shown(p.els[el].slot) {
		s.shown++
	}
	if n == propIsDeleted && op.Kind == change.True && op.Action == change.Put && int(el) < len(p.els) {
		s.erase(p, p.els[el].slot, s.last[st.reg] == 0)
	}
	return nil
}

// erase notes who made a shown element that goes, the first time an operation says so.
func (s *plan) erase(p *Page, n uint32, first bool) {
	if first && int(n) < len(p.slots) && p.slots[n].shown {
		s.erased = append(s.erased, p.winner(n).made.actor)
	}
}

// Erases counts the elements that are shown and go by the change which Check has just found good, but for those that an actor of the author's own made.
func (p *Page) Erases(own func(actor string) bool) (n int) {
	for _, a := range p.plan.erased {
		if !own(p.actors[a].id) {
			n++
		}
	}
	return n
}

// checkPreds: every predecessor is a write of the same register, and a new write leaves none of its author's own standing beside it, so that a few bytes
// cannot pile up conflicts. An honest author names all it sees: at least its own writes, and after writing a register in this change nothing but that.
// A delete may leave something: Automerge writes a value that already wins a conflict as a delete of the others.
func (p *Page) checkPreds(c *change.Change, op *change.Op, reg register) bool {
	s := &p.plan
	last, again := s.last[reg]
	if again && s.steps[last-c.StartOp].wrote {
		return len(op.Pred) == 1 && op.Pred[0] == change.ID{Ctr: last}
	}
	for _, q := range op.Pred {
		if q.Actor == 0 && q.Ctr >= c.StartOp || p.wrote(s.id(q)) != reg {
			return false
		}
	}
	if again || op.Action == change.Delete {
		return true
	}
	for own := range p.live(reg, s.actors[0]) {
		if !named(op.Pred, own) {
			return false
		}
	}
	return true
}

func named(preds []change.ID, own uint32) bool {
	for _, q := range preds {
		if q.Actor == 0 && q.Ctr == own {
			return true
		}
	}
	return false
}

// live yields the numbers of an actor's live writes of a register.
func (p *Page) live(reg register, actor uint16) func(yield func(uint32) bool) {
	return func(yield func(uint32) bool) {
		if reg.place() == inElements {
			if int(reg.key()) < len(p.slots) {
				for _, m := range p.slots[reg.key()].makes {
					if m.actor == actor && !yield(m.ctr) {
						return
					}
				}
			}
			return
		}
		e := &p.files
		if reg.place() == inElement {
			if int(reg.object()) >= len(p.els) {
				return
			}
			e = &p.els[reg.object()]
		}
		for _, w := range e.live {
			if w.actor == actor && w.prop == uint16(reg.key()) && !yield(w.ctr) {
				return
			}
		}
	}
}
