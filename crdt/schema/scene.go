package schema

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/educationpub/lectern/crdt/change"
)

// Element is one element of a scene with the winning value of each property. As JSON it is one flat object (docs/protocol.md §1.3).
type Element struct {
	ID         string
	Properties []Property // ascending by name
}

// Property is one property of an element. A text is a Value of kind String.
type Property struct {
	Name  string
	Value Value
}

// Scene lists every element, deleted ones too, in drawing order: by `index`, elements without one last, then by id.
func (p *Page) Scene() []Element {
	var list []Element
	for n := range p.slots {
		if e := p.winner(uint32(n)); e != nil {
			list = append(list, p.read(e, make([]Property, 0, len(e.live))))
		}
	}
	return inDrawingOrder(list)
}

// inDrawingOrder sorts a copy.
func inDrawingOrder(list []Element) []Element {
	type entry struct {
		index string
		at    int
	}
	order := make([]entry, len(list))
	for i := range list {
		order[i] = entry{"~", i} // after every letter
		if v, ok := list[i].Get("index"); ok {
			if s, ok := v.(string); ok {
				order[i].index = s
			}
		}
	}
	slices.SortFunc(order, func(a, b entry) int {
		return cmp.Or(strings.Compare(a.index, b.index), strings.Compare(list[a.at].ID, list[b.at].ID))
	})
	sorted := make([]Element, len(list))
	for i, x := range order {
		sorted[i] = list[x.at]
	}
	return sorted
}

// read collects the winning values of an element, appending them to a list.
func (p *Page) read(e *element, list []Property) Element {
	var best [64]int // 1 + position in live, by property
	for i, w := range e.live {
		if b := best[w.prop]; b == 0 || p.less(e.live[b-1].id(), w.id()) {
			best[w.prop] = i + 1
		}
	}
	for prop := range table {
		if b := best[prop]; b != 0 {
			v := e.vals[b-1]
			if v.text != 0 {
				v = Value{Kind: change.String, Str: p.content(&p.texts[v.text-1])}
			}
			list = append(list, Property{table[prop].name, v})
		}
	}
	return Element{p.slots[e.slot].id, list}
}

// Files are the winning values under `files`.
func (p *Page) Files() map[string]string {
	m := make(map[string]string, len(p.fileIDs))
	for i, id := range p.fileIDs {
		if v := p.win(&p.files, uint16(i)); v != nil {
			m[id] = v.Str
		}
	}
	return m
}

// Get is a property's value as JSON would have it (nil, bool, int64, float64, string, []byte), ok false when the element does not have it.
func (e *Element) Get(name string) (value any, ok bool) {
	i, ok := slices.BinarySearchFunc(e.Properties, name, func(p Property, name string) int { return strings.Compare(p.Name, name) })
	if !ok {
		return nil, false
	}
	return e.Properties[i].Value.Any(), true
}

// Any is the value in Go's types: nil, bool, int64, float64, string, []byte.
func (v Value) Any() any {
	switch v.Kind {
	case change.False, change.True:
		return v.Kind == change.True
	case change.Int:
		return int64(v.Num)
	case change.Float:
		return math.Float64frombits(v.Num)
	case change.String:
		return v.Str
	case change.Bytes:
		return []byte(v.Str)
	}
	return nil
}

// MarshalJSON writes {"id": …, property: value…}; bytes as base64.
func (e Element) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`{"id":`)
	write := func(v any) error {
		j, err := json.Marshal(v)
		b.Write(j)
		return err
	}
	if err := write(e.ID); err != nil {
		return nil, err
	}
	for _, p := range e.Properties {
		b.WriteString(`,"` + p.Name + `":`) // names of the table need no escapes
		if p.Value.Kind == change.Bytes {
			b.WriteByte('"')
			b.WriteString(base64.StdEncoding.EncodeToString([]byte(p.Value.Str)))
			b.WriteByte('"')
		} else if err := write(p.Value.Any()); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
