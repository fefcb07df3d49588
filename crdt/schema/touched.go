package schema

import "github.com/educationpub/lectern/crdt/change"

// Touched names elements and files by their ids.
type Touched struct{ Elements, Files map[string]struct{} }

// Add makes t the union of both.
func (t *Touched) Add(o Touched) {
	for id := range o.Elements {
		t.element(id)
	}
	for id := range o.Files {
		t.file(id)
	}
}

func (t *Touched) element(id string) {
	if t.Elements == nil {
		t.Elements = map[string]struct{}{}
	}
	t.Elements[id] = struct{}{}
}

func (t *Touched) file(id string) {
	if t.Files == nil {
		t.Files = map[string]struct{}{}
	}
	t.Files[id] = struct{}{}
}

// Touched says what a change writes. The change must have been applied.
func (p *Page) Touched(c *change.Change) (t Touched) {
	actors := make([]uint16, len(c.Actors))
	for i, a := range c.Actors {
		actors[i] = p.byActor[string(a)]
	}
	var d change.Decoder
	d.Reset(c)
	for op := range d.Ops() {
		switch o := p.objects[opid{op.Obj.Ctr, actors[op.Obj.Actor]}]; o.place {
		case inElements:
			t.element(string(op.Key))
		case inFiles:
			t.file(string(op.Key))
		case inElement:
			t.element(p.slots[p.els[o.index].slot].id)
		case inText:
			t.element(p.slots[p.els[p.texts[o.index].el].slot].id)
		}
	}
	return t
}

// All names everything that was ever on the page.
func (p *Page) All() (t Touched) {
	for i := range p.slots {
		t.element(p.slots[i].id)
	}
	for _, id := range p.fileIDs {
		t.file(id)
	}
	return t
}
