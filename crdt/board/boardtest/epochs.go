package boardtest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

// Epoch is one epoch of a document as the log has it.
type Epoch struct {
	Page    *schema.Page // with everything that was made in it
	Carried *schema.Page // with the squash and carries only; of the first one, nil
	Kinds   map[board.EntryKind]int
}

// Epochs replays a log as whoever opens the board does, and checks what SPEC EP promises of it: every epoch but the first begins with its one squash, carries
// depend on the squash and each other only, and the carried page of every epoch that is over shows what its archive shows.
func Epochs(entries []board.Entry) (map[board.DocID][]Epoch, error) {
	out := map[board.DocID][]Epoch{}
	for i := range entries {
		e := &entries[i]
		list := out[e.Doc]
		fresh := int(e.Epoch) == len(list)
		switch {
		case e.Kind == board.KindPage:
			if e.Epoch != 0 || !fresh {
				return nil, fmt.Errorf("entry %d: page %s begins twice", e.Seq, e.Doc)
			}
		case e.Kind == board.KindEpoch != (fresh && e.Epoch > 0) && !(e.Kind == board.KindEpoch && len(list) == 0):
			return nil, fmt.Errorf("entry %d: epoch %d of %s begins twice or without a squash", e.Seq, e.Epoch, e.Doc)
		case e.Kind == board.KindLate != (int(e.Epoch) < len(list)-1) && e.Kind != board.KindCarry:
			return nil, fmt.Errorf("entry %d: kind %d in epoch %d of %d", e.Seq, e.Kind, e.Epoch, len(list))
		}
		for int(e.Epoch) >= len(list) { // a restored board has the newest epoch only
			list = append(list, Epoch{Page: schema.NewPage(), Carried: schema.NewPage(), Kinds: map[board.EntryKind]int{}})
		}
		out[e.Doc] = list
		x := list[e.Epoch]
		x.Kinds[e.Kind]++
		if e.Kind == board.KindPage {
			continue
		}
		if server := e.Kind == board.KindEpoch || e.Kind == board.KindCarry; server && e.Actor[0] != 0 || e.Kind == board.KindChange && e.Actor[0] == 0 {
			return nil, fmt.Errorf("entry %d: kind %d by actor %x", e.Seq, e.Kind, e.Actor)
		} else if server {
			if err := apply(x.Carried, e); err != nil {
				return nil, fmt.Errorf("entry %d, carried page: %w", e.Seq, err)
			}
		}
		if err := apply(x.Page, e); err != nil {
			return nil, fmt.Errorf("entry %d: %w", e.Seq, err)
		}
	}
	for doc, list := range out {
		for i := range list[:len(list)-1] {
			if len(list[i].Kinds) == 0 {
				continue // before a restore
			}
			if err := Same(list[i].Page, list[i+1].Carried); err != nil {
				return nil, fmt.Errorf("%s: the carried page of epoch %d: %w", doc, i, err)
			}
		}
	}
	return out, nil
}

func apply(p *schema.Page, e *board.Entry) error {
	limits := &change.DefaultLimits
	if e.Kind == board.KindEpoch {
		limits = &change.SquashLimits
	}
	var c change.Change
	if err := c.Parse(e.Bytes, limits); err != nil {
		return err
	}
	if err := p.Check(&c); err != nil {
		return err
	}
	p.Apply(&c, e.Bytes)
	return nil
}

// Same says where two pages do not show the same.
func Same(want, got *schema.Page) error {
	a, b := want.Still(), got.Still()
	x, y := a.Elements(), b.Elements()
	for i := range min(len(x), len(y)) {
		if x[i].ID != y[i].ID || !slices.Equal(x[i].Properties, y[i].Properties) {
			return fmt.Errorf("shows %+v instead of %+v", y[i], x[i])
		}
	}
	if len(x) != len(y) {
		return fmt.Errorf("shows %d elements instead of %d", len(y), len(x))
	}
	if !maps.Equal(a.Files(), b.Files()) {
		return fmt.Errorf("shows other files")
	}
	return nil
}
