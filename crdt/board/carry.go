package board

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/educationpub/lectern/crdt/change"
)

type carryMsg struct {
	doc   DocID
	epoch uint32
	list  []imported
	reply chan error
}

type imported struct {
	Imported
	c *change.Change
}

// Carry takes changes in that were made for an epoch of a document, another server's too, in causal order, and carries their effect over where that epoch is over. Nobody's role
// is asked. What is in already is passed over. It returns when all others are durable; the error names those that are refused.
func (h *Hub) Carry(ctx context.Context, id ID, doc DocID, epoch uint32, changes []Imported) error {
	var refused []error
	list := make([]imported, 0, len(changes))
	for i, v := range changes {
		v.Bytes = bytes.Clone(v.Bytes)
		c := &change.Change{}
		err := c.Parse(v.Bytes, nil)
		if err == nil && (!bytes.Equal(c.Author(), v.Actor[:]) || v.Person == "") {
			err = errImportActor
		}
		if err != nil {
			refused = append(refused, fmt.Errorf("change %d: %w", i, err))
			continue
		}
		list = append(list, imported{v, c})
	}
	for part := range slices.Chunk(list, batchCount) {
		err := h.tell(ctx, id, func(b *Board) error {
			if err := h.issue(ctx, id, part); err != nil {
				return err
			}
			m := carryMsg{doc, epoch, part, make(chan error, 1)}
			err, closed := ask(ctx, b, m, m.reply)
			return errors.Join(err, closed)
		})
		refused = append(refused, err)
	}
	return errors.Join(refused...)
}

var errImportActor = errors.New("the change is not of the actor and person named with it")

// issue records the actors of changes that were made elsewhere, durable before the changes are.
func (h *Hub) issue(ctx context.Context, id ID, list []imported) error {
	known, err := h.cfg.Log.Actors(ctx, id)
	if err != nil {
		return refusal(err, "actors of board %s: %w", id, err)
	}
	for _, v := range list {
		if v.Actor.ofServer() || known[v.Actor] != "" {
			continue // that it is not somebody else's is seen below
		}
		if err := h.cfg.Log.IssueActor(ctx, id, v.Actor, v.Person); err != nil {
			return refusal(err, "actors of board %s: %w", id, err)
		}
		known[v.Actor] = v.Person
	}
	return nil
}

// On the actor's goroutine.

func (m carryMsg) handle(b *Board) {
	p := b.pages[m.doc]
	switch {
	case p == nil:
		m.reply <- ErrUnknownDoc
	case m.epoch > p.epoch || p.epoch-m.epoch > lateEpochs:
		m.reply <- ErrUnknownEpoch
	default:
		p.imports = append(p.imports, m)
		b.proceed()
	}
}

// bringIn judges imported changes whose archives are there.
func (b *Board) bringIn(p *page, m carryMsg) {
	var refused []error
	for _, v := range m.list {
		if err := b.bringInOne(p, m.epoch, v); err != nil {
			refused = append(refused, fmt.Errorf("%x: %w", v.c.Hash[:4], err))
		}
	}
	b.parked = append(b.parked, afterCommit(func() { m.reply <- errors.Join(refused...) }))
}

func (b *Board) bringInOne(p *page, epoch uint32, v imported) error {
	switch whose := b.actors[v.Actor]; {
	case v.Actor.ofServer(): // another server's: nobody here writes under it
	case whose == "":
		b.actors[v.Actor] = v.Person
	case whose != v.Person:
		return errImportActor
	}
	if !p.ready(epoch) {
		return ErrUnavailable.Because("archives were dropped")
	}
	at := p.at(epoch)
	if at.Has(v.c.Hash) {
		return nil
	}
	if err := at.Check(v.c); err != nil {
		return err
	}
	if epoch < p.epoch {
		return b.carryOver(p, epoch, v.Actor, v.Person, v.c, v.Bytes)
	}
	b.accept(p, v.Actor, v.Person, v.c, v.Bytes)
	return nil
}
