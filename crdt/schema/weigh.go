package schema

import "github.com/educationpub/lectern/crdt/change"

// Registers is the number of operations that a squash of the page would have, the losers of conflicts counted in. With Ops it tells whether a squash
// pays (SPEC EP4).
func (p *Page) Registers() int { return p.registers }

// Ops is the number of operations taken in since the page began: with the genesis, or with the squash on it.
func (p *Page) Ops() int { return p.ops }

// weight is what an element adds to Registers.
func (p *Page) weight(n uint32) int {
	if !p.slots[n].shown {
		return 0
	}
	e := p.winner(n)
	w := 1 + len(e.live)
	for i := range e.vals {
		if t := e.vals[i].text; t != 0 {
			w += p.texts[t-1].live
		}
	}
	return w
}

// begins says whether a change is the one that the page begins with: the squash.
func (p *Page) begins(c *change.Change) bool { return len(p.changes) == 1 && ofServer(c) }

// count counts a change's operations.
func (p *Page) count(c *change.Change) {
	if p.begins(c) {
		p.begun = p.stamp
		return
	}
	p.ops += c.Count
}
