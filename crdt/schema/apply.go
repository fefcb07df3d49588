package schema

import (
	"slices"

	"github.com/educationpub/lectern/crdt/change"
)

// Effect is what a change did, for the erase guard and for metrics.
type Effect struct {
	Ops    int // operations
	Made   int // elements made
	Shown  int // times an element became visible
	Erased int // times an element became invisible
}

// Apply takes a change in. It must be the change for which Check just answered nil; a change that Check would refuse is a bug of the caller and
// panics before anything is touched. The second parameter is the chunk; nothing of it is kept.
func (p *Page) Apply(c *change.Change, _ []byte) Effect {
	s := &p.plan
	if s.hash != c.Hash || s.changes != len(p.changes) {
		if err := p.Check(c); err != nil {
			panic("schema: applied without a check: " + err.Error())
		}
	}
	p.count(c)
	author := p.actor(c.Author())
	p.record(c, author)
	f := Effect{Ops: c.Count}
	s.dec.Reset(c)
	var op change.Op
	for i := 0; s.dec.Next(&op); i++ {
		st := s.steps[i]
		self := opid{op.ID.Ctr, author}
		wrote := st.reg
		if !st.wrote {
			wrote = 0
		}
		p.actors[author].regs = append(p.actors[author].regs, wrote)
		if st.object.place != nowhere {
			p.objects[self] = st.object
		}
		switch st.reg.place() {
		case inElements:
			p.applyElement(&op, st, self, &f)
		case inFiles:
			if int(st.reg.key()) == len(p.fileIDs) {
				id := string(op.Key)
				p.byFile[id] = uint16(len(p.fileIDs))
				p.fileIDs = append(p.fileIDs, id)
				p.stamps = append(p.stamps, 0)
			}
			p.stamps[st.reg.key()] = p.stamp
			before := len(p.files.live)
			p.applyWrite(&p.files, &op, st, self)
			p.registers += len(p.files.live) - before
		case inElement:
			e := &p.els[st.reg.object()]
			before := p.weight(e.slot)
			p.applyWrite(e, &op, st, self)
			if uint16(st.reg.key()) == propIsDeleted {
				p.see(e.slot, &f)
			}
			p.settle(e.slot, before)
		case inText:
			p.applySplice(&op, st, self)
		}
	}
	p.visible += f.Shown - f.Erased
	s.hash = change.Hash{}
	return f
}

// see notes whether an element is shown after a write that can change it.
func (p *Page) see(n uint32, f *Effect) {
	s, now := &p.slots[n], p.shown(n)
	switch {
	case now && !s.shown:
		f.Shown++
	case !now && s.shown:
		f.Erased++
	}
	s.shown = now
}

// settle ends a write to an element; before is its weight until then.
func (p *Page) settle(n uint32, before int) {
	p.slots[n].stamp = p.stamp
	p.registers += p.weight(n) - before
}

// applyElement makes or deletes an element.
func (p *Page) applyElement(op *change.Op, st step, self opid, f *Effect) {
	n := st.reg.key()
	if int(n) == len(p.slots) {
		id := string(op.Key)
		p.byID[id] = n
		p.slots = append(p.slots, slot{id: id})
	}
	before := p.weight(n)
	sl := &p.slots[n]
	for _, q := range op.Pred {
		if i := slices.Index(sl.makes, p.plan.id(q)); i >= 0 {
			sl.makes = slices.Delete(sl.makes, i, i+1)
		}
	}
	if op.Action == change.MakeMap {
		f.Made++
		sl.makes = append(sl.makes, self)
		p.els = append(p.els, element{slot: n, made: self})
	}
	p.see(n, f)
	p.settle(n, before)
}

// applyWrite replaces the named writes of a property by the new one, if there is one.
func (p *Page) applyWrite(e *element, op *change.Op, st step, self opid) {
	prop := uint16(st.reg.key())
	for _, q := range op.Pred {
		o := p.plan.id(q)
		i := slices.Index(e.live, write{o.ctr, o.actor, prop})
		if i < 0 {
			continue // overwritten before, by somebody else
		}
		last := len(e.live) - 1
		e.live[i], e.vals[i] = e.live[last], e.vals[last]
		e.vals[last] = Value{}
		e.live, e.vals = e.live[:last], e.vals[:last]
	}
	if !st.wrote {
		return
	}
	v := Value{Kind: op.Kind, Num: op.Num}
	switch {
	case st.object.place == inText:
		v.text = int32(st.object.index) + 1
		p.texts = append(p.texts, textObject{made: self, el: st.reg.object()})
	case len(op.Raw) > 0:
		v.Str = keep(st.reg, op.Raw)
	}
	e.live, e.vals = append(e.live, write{self.ctr, self.actor, prop}), append(e.vals, v)
}

// keep copies a value, or finds it among the words of its property.
func keep(reg register, b []byte) string {
	if reg.place() == inElement {
		for _, w := range table[reg.key()].words {
			if w == string(b) {
				return w
			}
		}
	}
	return string(b)
}

// winner is the live make of a key with the highest id, nil when there is none.
func (p *Page) winner(n uint32) *element {
	if int(n) >= len(p.slots) || len(p.slots[n].makes) == 0 {
		return nil
	}
	best := p.slots[n].makes[0]
	for _, o := range p.slots[n].makes[1:] {
		if p.less(best, o) {
			best = o
		}
	}
	return &p.els[p.objects[best].index]
}

// win is the winning value of a property.
func (p *Page) win(e *element, prop uint16) (v *Value) {
	var best opid
	for i, w := range e.live {
		if w.prop == prop && (v == nil || p.less(best, w.id())) {
			best, v = w.id(), &e.vals[i]
		}
	}
	return v
}

// shown says whether the element under a key is there and not deleted.
func (p *Page) shown(n uint32) bool {
	e := p.winner(n)
	if e == nil {
		return false
	}
	v := p.win(e, propIsDeleted)
	return v == nil || v.Kind != change.True
}
