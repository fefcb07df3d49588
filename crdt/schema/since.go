package schema

// Stamp gives a number to what is applied from now on, such as its seq in the log. Numbers must not descend.
func (p *Page) Stamp(n uint64) { p.stamp = n }

// Begin says that the page takes another one's place at a stamp, later than its squash was applied: what came and went on the other meanwhile is not
// known here.
func (p *Page) Begin(n uint64) { p.begun = n }

// Delta is how what a page shows differs from what it showed at some stamp, or more: an element that was changed and changed back is in it too.
type Delta struct {
	Elements []Element         // shown now, whole, in drawing order
	Gone     []string          // ids of elements that are not shown now
	Files    map[string]string // values now; one that is gone does no harm and is not told
}

// Since collects what was written after a stamp (SPEC CH21). false: the page began later, with a squash, and does not know what that left out: show all of it.
func (p *Page) Since(n uint64) (d Delta, ok bool) {
	if n < p.begun {
		return Delta{}, false
	}
	for i := range p.slots {
		s := &p.slots[i]
		switch {
		case s.stamp <= n:
		case s.shown:
			e := p.winner(uint32(i))
			d.Elements = append(d.Elements, p.read(e, make([]Property, 0, len(e.live))))
		default:
			d.Gone = append(d.Gone, s.id)
		}
	}
	d.Elements = inDrawingOrder(d.Elements)
	d.Files = map[string]string{}
	for i, id := range p.fileIDs {
		if v := p.win(&p.files, uint16(i)); v != nil && p.stamps[i] > n {
			d.Files[id] = v.Str
		}
	}
	return d, true
}
