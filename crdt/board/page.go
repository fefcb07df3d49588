package board

import (
	"errors"
	"fmt"

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

// page is one document: its present epoch and the index that judges its changes. Owned by Board.run.
type page struct {
	*schema.Page
	epoch uint32
}

func newPages(kind string, docs []DocInfo) (map[DocID]*page, error) {
	if kind != schema.KindWhiteboard {
		return nil, fmt.Errorf("unknown kind %q", kind)
	}
	pages := make(map[DocID]*page, len(docs))
	for _, d := range docs {
		pages[d.ID] = &page{schema.NewPage(), d.Epoch}
	}
	return pages, nil
}

var errHash = errors.New("the bytes have another hash")

// replay takes in a stored entry of the page's epoch.
func (p *page) replay(e *Entry) error { return replay(p.Page, e) }

// replay takes a stored entry in, judging it as a live one is. A hash that is missing is filled in.
func replay(p *schema.Page, e *Entry) error {
	switch e.Kind {
	case KindChange, KindEpoch, KindCarry, KindLate:
	default:
		return nil // a new page has nothing to apply; others are of a later version
	}
	var c change.Change
	if err := c.Parse(e.Bytes, &change.StoredLimits); err != nil {
		return err
	}
	if e.Hash == (Hash{}) {
		e.Hash = Hash(c.Hash)
	}
	if e.Hash != Hash(c.Hash) {
		return errHash
	}
	if err := p.Check(&c); err != nil {
		return err
	}
	p.Stamp(e.Seq)
	p.Apply(&c, e.Bytes)
	return nil
}
