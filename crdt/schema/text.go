package schema

import (
	"slices"
	"unicode/utf8"

	"github.com/educationpub/lectern/crdt/change"
)

// textObject is a text: every character ever inserted, in the order of the log. The order in the text is found when it is read (SPEC CH16).
type textObject struct {
	made  opid
	el    uint32 // its element
	chars []char
	live  int // characters not deleted
	read  string
	fresh bool // read is up to date
}

// char is one character and the one it was inserted after.
type char struct {
	ctr   uint32
	after uint32 // 1 + index of the character before, 0: the beginning
	r     rune   // its complement once deleted
	actor uint16
}

// checkSplice judges an operation on a text: insert one character after a known one, or delete a known one.
func (p *Page) checkSplice(c *change.Change, op *change.Op, index uint32) error {
	s := &p.plan
	if !op.IsElem {
		return ErrShape
	}
	var elem uint32 // 1 + index
	if op.Elem.Ctr != 0 {
		var ok bool
		if elem, ok = p.character(c, op.Elem, index); !ok {
			return ErrPred
		}
		elem++
	}
	t := s.texts[index]
	st := step{object: object{index: elem}}
	switch {
	case op.Action == change.Put && op.Insert && op.Kind == change.String && len(op.Pred) == 0:
		if _, n := utf8.DecodeRune(op.Raw); n == 0 || n != len(op.Raw) {
			return ErrValue
		}
		st.wrote = true
		st.reg = at(inText, index, uint32(p.length(index)+t.inserted))
		t.inserted++
		s.chars++
	case op.Action == change.Delete && !op.Insert && len(op.Pred) == 1 && elem > 0 && op.Pred[0] == op.Elem:
		st.reg = at(inText, index, elem-1)
		if _, twice := s.last[st.reg]; twice {
			return ErrPred
		}
		s.last[st.reg] = op.ID.Ctr
		if int(elem) > p.length(index) || p.texts[index].chars[elem-1].r >= 0 {
			t.deleted++
		}
	default:
		return ErrShape
	}
	s.texts[index] = t
	s.steps = append(s.steps, st)
	return nil
}

// length is the number of characters ever inserted into a text before this change.
func (p *Page) length(index uint32) int {
	if int(index) < len(p.texts) {
		return len(p.texts[index].chars)
	}
	return 0
}

// character finds the index of a character of one text, of the page or inserted earlier in this change.
func (p *Page) character(c *change.Change, id change.ID, index uint32) (uint32, bool) {
	var r register
	if id.Actor == 0 && id.Ctr >= c.StartOp {
		if st := p.plan.steps[id.Ctr-c.StartOp]; st.wrote {
			r = st.reg
		}
	} else {
		r = p.wrote(p.plan.id(id))
	}
	return r.key(), r.place() == inText && r.object() == index
}

// checkTexts judges the lengths the change leads to.
func (p *Page) checkTexts() error {
	s := &p.plan
	if p.chars+s.chars > MaxPageText {
		return ErrTextTooLarge
	}
	for index, t := range s.texts {
		live := t.inserted - t.deleted
		if int(index) < len(p.texts) {
			live += p.texts[index].live
		}
		if live > MaxText || p.length(index)+t.inserted > MaxTextOps {
			return ErrTextTooLarge
		}
	}
	return nil
}

func (p *Page) applySplice(op *change.Op, st step, self opid) {
	t := &p.texts[st.reg.object()]
	t.fresh = false
	if st.wrote {
		r, _ := utf8.DecodeRune(op.Raw)
		t.chars = append(t.chars, char{self.ctr, st.object.index, r, self.actor})
		p.chars++
		p.lengthen(t, 1)
		return
	}
	if c := &t.chars[st.reg.key()]; c.r >= 0 {
		c.r = ^c.r
		p.lengthen(t, -1)
	}
}

// lengthen counts characters.
func (p *Page) lengthen(t *textObject, n int) {
	slot := p.els[t.el].slot
	before := p.weight(slot)
	t.live += n
	p.settle(slot, before)
}

// content is what a text reads.
func (p *Page) content(t *textObject) string {
	if !t.fresh {
		b := make([]byte, 0, t.live)
		for _, i := range p.order(t) {
			b = utf8.AppendRune(b, t.chars[i].r)
		}
		t.read, t.fresh = string(b), true
	}
	return t.read
}

// order puts a text's characters in order, without the deleted ones: a character stands after the one it was inserted after, and of several with the
// same predecessor the one with the highest id comes first, together with all that was inserted after it.
func (p *Page) order(t *textObject) []uint32 {
	order := make([]uint32, len(t.chars)) // ascending by id
	for i := range order {
		order[i] = uint32(i)
	}
	id := func(i uint32) opid { return opid{t.chars[i].ctr, t.chars[i].actor} }
	compare := func(a, b uint32) int { return p.compare(id(a), id(b)) }
	if !slices.IsSortedFunc(order, compare) {
		slices.SortFunc(order, compare)
	}
	// first[i] is the first character after i-1, next[i] the sibling that follows i; both 1 + index, 0 for none
	first, next := make([]uint32, len(t.chars)+1), make([]uint32, len(t.chars))
	for _, i := range order {
		after := t.chars[i].after
		next[i] = first[after]
		first[after] = i + 1
	}
	text := order[:0]  // read to the end above
	var later []uint32 // siblings to come back to
	for at := first[0]; at != 0; {
		if t.chars[at-1].r >= 0 {
			text = append(text, at-1)
		}
		if n := next[at-1]; n != 0 {
			later = append(later, n)
		}
		if at = first[at]; at == 0 && len(later) > 0 {
			at = later[len(later)-1]
			later = later[:len(later)-1]
		}
	}
	return text
}
