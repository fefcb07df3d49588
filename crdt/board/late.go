package board

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

const (
	// lateEpochs is how many epochs a late change may be behind: all of them are in memory while it is carried over.
	lateEpochs  = 16
	archiveIdle = 10 * time.Minute // of the newest
	olderIdle   = time.Minute      // of those before it, so that a page that is squashed often is not in memory often
	// lateWaiting is how many late changes of a session may wait for an archive before its reader is slowed down.
	lateWaiting = 128
)

var errGone = errors.New("the archive is not there")

// archive is an epoch that is over: its page with everything that was ever made in it, late changes too, and the carried page, which has to
// show the same in the next epoch.
type archive struct {
	page, carried *schema.Page
	used          time.Time
}

// On the actor's goroutine.

// ready says that everything from an epoch up to the present one is in memory.
func (p *page) ready(epoch uint32) bool {
	for ; epoch < p.epoch; epoch++ {
		if p.archives[epoch] == nil {
			return false
		}
	}
	return true
}

// at is the index of an epoch, nil while that is not in memory.
func (p *page) at(epoch uint32) *schema.Page {
	if epoch == p.epoch {
		return p.Page
	}
	if a := p.archives[epoch]; a != nil {
		return a.page
	}
	return nil
}

// late judges a change for an epoch that is over, as of that epoch.
func (b *Board) late(sub *submission, p *page, actor ActorID) verdict {
	if p.epoch-sub.epoch > lateEpochs {
		return b.refuse(sub, actor, unknownEpoch, "The page was compacted too often since this was drawn.")
	}
	if len(p.waiting) > 0 || p.loading || !p.ready(sub.epoch) {
		p.waiting = append(p.waiting, sub)
		sub.s.wait()
		return waits
	}
	at := p.at(sub.epoch)
	if at.Has(sub.c.Hash) {
		return b.duplicate(sub)
	}
	if err := at.Check(&sub.c); err != nil {
		if err == schema.ErrSeqGap || err == schema.ErrDepUnknown {
			return hold
		}
		return b.refuse(sub, actor, change.Code(err), err.Error())
	}
	if b.guarded(sub.s.Role(), sub.s.person, p, at) {
		return b.refuse(sub, actor, errGuard.code, errGuard.text)
	}
	if err := b.carryOver(p, sub.epoch, actor, sub.s.person, &sub.c, sub.raw); err != nil {
		return b.refuse(sub, actor, change.Code(err), err.Error())
	}
	return taken
}

// carryOver takes a checked late change into its archive, and its effect from epoch to epoch into the present one (SPEC EP5). After an error nothing of
// it is in the batch or on the present page, or, where that holds a part of it already, that part is.
func (b *Board) carryOver(p *page, epoch uint32, actor ActorID, person Person, c *change.Change, raw []byte) error {
	start := len(b.batch)
	a := p.archives[epoch]
	a.page.Apply(c, raw)
	parts := a.page.Touched(c)
	b.batch = append(b.batch, Entry{
		Seq: b.next(), Doc: p.doc, Epoch: epoch, Kind: KindLate, Hash: Hash(c.Hash), Actor: actor, Person: person, At: time.Now(), Bytes: raw,
	})
	for ; epoch < p.epoch && len(parts.Elements)+len(parts.Files) > 0; epoch++ {
		a, next := p.archives[epoch], p.Page
		a.used = time.Now()
		if epoch+1 < p.epoch {
			next = p.archives[epoch+1].page
		}
		var err error
		if parts, err = b.carry(a, next, p.doc, epoch+1, parts, person); err == nil {
			continue
		}
		b.hub.log.Error("a late change is not carried over", "board", b.id, "doc", p.doc, "epoch", epoch, "present", p.epoch, "err", err)
		clear(p.archives) // they are ahead of the log; what is in it is read again
		if n := len(b.batch); next == p.Page && b.batch[n-1].Epoch == p.epoch && n > start+1 {
			return nil // in the present page already: it stays, as far as it goes
		}
		clear(b.batch[start:])
		b.batch = b.batch[:start]
		return err
	}
	b.hub.cfg.Observe.Late(1, len(b.batch)-start-1)
	return nil
}

// carry makes an archive's carried page show what the archive shows in the parts that were touched, and the next epoch's page take that in. It answers
// what that touched.
func (b *Board) carry(a *archive, next *schema.Page, doc DocID, epoch uint32, parts schema.Touched, person Person) (touched schema.Touched, err error) {
	if b.hub.cfg.NoCarry {
		return touched, nil
	}
	actor := b.carryActor(doc, epoch, person)
	chunks, err := a.carried.Follow(a.page, parts, actor)
	if err != nil {
		return touched, fmt.Errorf("follow epoch %d: %w", epoch-1, err)
	}
	for _, chunk := range chunks {
		var c change.Change
		if err := c.Parse(chunk, nil); err != nil {
			return touched, fmt.Errorf("carry into epoch %d: %w", epoch, err)
		}
		if err := next.Check(&c); err != nil {
			return touched, fmt.Errorf("carry into epoch %d: %w", epoch, err)
		}
		next.Stamp(b.next())
		next.Apply(&c, chunk)
		if p := b.pages[doc]; p.Page == next {
			b.touch(p, &c, person)
		}
		touched.Add(next.Touched(&c))
		b.batch = append(b.batch, Entry{
			Seq: b.next(), Doc: doc, Epoch: epoch, Kind: KindCarry, Hash: Hash(c.Hash), Actor: actor, Person: person, At: time.Now(), Bytes: chunk,
		})
	}
	return touched, nil
}

// settleLate judges late changes whose archives are there, and has missing ones loaded, which is done only while the log has everything that
// is in memory. Nothing is on its way to the disk.
func (b *Board) settleLate() {
	for _, p := range b.pages {
		if p.loading || len(p.waiting)+len(p.imports) == 0 {
			continue
		}
		if from := p.wanted(); !p.ready(from) {
			if len(b.batch) == 0 {
				b.load(p, from)
			}
			continue
		}
		waiting, imports := p.waiting, p.imports
		p.waiting, p.imports = nil, nil
		for _, sub := range waiting {
			sub.s.proceed()
		}
		for _, sub := range waiting {
			if b.try(sub) == hold {
				b.hold(sub)
			}
		}
		for _, m := range imports {
			b.bringIn(p, m)
		}
	}
	if len(b.batch) > 0 {
		b.retry()
		b.flush()
	} else if len(b.parked) > 0 { // nothing new, and somebody waits to be told
		b.proceed()
	}
}

// wanted is the oldest epoch that somebody waits for.
func (p *page) wanted() uint32 {
	from := p.epoch
	for _, sub := range p.waiting {
		from = min(from, sub.epoch)
	}
	for i := range p.imports {
		from = min(from, p.imports[i].epoch)
	}
	return from
}

// load reads the missing archives, the newest first, up to the first that is not there.
func (b *Board) load(p *page, from uint32) {
	p.loading = true
	have, present := map[uint32]bool{}, p.epoch
	for epoch := range p.archives {
		have[epoch] = true
	}
	b.hub.boards.Go(func() { // ends with the context
		ctx, cancel := context.WithTimeout(b.hub.ctx, openTimeout)
		defer cancel()
		m := loadedMsg{p: p, archives: map[uint32]*archive{}}
		for m.from = present; m.from > from; m.from-- {
			if have[m.from-1] {
				continue
			}
			a, err := b.hub.readArchive(ctx, b.id, p.doc, m.from-1, b.squashActor(p.doc, m.from))
			if err != nil {
				m.err = err
				break
			}
			m.archives[m.from-1] = a
		}
		b.post(m)
	})
}

// readArchive reads an epoch that is over, and what was carried into the one after it, which opened names: a log that has not opened that one itself,
// because it was restored there, does not have the archive.
func (h *Hub) readArchive(ctx context.Context, id ID, doc DocID, epoch uint32, opened ActorID) (*archive, error) {
	a, here := &archive{page: schema.NewPage(), carried: schema.NewPage(), used: time.Now()}, false
	into := func(p *schema.Page, e *Entry) error {
		if e.Kind == KindErased {
			return errGone
		}
		return replay(p, e)
	}
	err := readDoc(ctx, h.cfg.Log, id, doc, epoch+1, func(e *Entry) error {
		here = here || e.Kind == KindEpoch && e.Actor == opened
		if !here || e.Kind != KindEpoch && e.Kind != KindCarry {
			return nil
		}
		return into(a.carried, e)
	})
	if err == nil && !here {
		err = errGone
	}
	if err != nil {
		return nil, err
	}
	return a, readDoc(ctx, h.cfg.Log, id, doc, epoch, func(e *Entry) error { return into(a.page, e) })
}

type loadedMsg struct {
	p        *page
	archives map[uint32]*archive
	from     uint32 // nothing before it, for the reason in err
	err      error
}

func (m loadedMsg) handle(b *Board) {
	p := m.p
	p.loading = false
	for epoch, a := range m.archives {
		p.archives[epoch] = a
	}
	if m.err != nil {
		m.unload(b)
	}
	b.arm()
	b.proceed()
}

// unload answers what waited for an archive that has not come. One that is gone refuses; one that could not be read now sends people away and back again:
// a refusal would have their clients make anew what may be in the log already.
func (m loadedMsg) unload(b *Board) {
	p, gone := m.p, errors.Is(m.err, errGone)
	b.hub.log.Warn("archive not loaded", "board", b.id, "doc", p.doc, "epoch", m.from-1, "gone", gone, "err", m.err)
	waiting, imports := p.waiting, p.imports
	p.waiting, p.imports = nil, nil
	for _, sub := range waiting {
		if sub.epoch >= m.from {
			p.waiting = append(p.waiting, sub)
			continue
		}
		sub.s.proceed()
		if gone {
			actor, _ := sub.author()
			b.refuse(sub, actor, unknownEpoch, "The part of the page's history that this was drawn in is not here any more.")
			continue
		}
		b.bye(sub.s, ByeEvent{Close: 4410, Code: ErrUnavailable.code, Message: "An older part of the board cannot be read now. What was not acknowledged is sent again.", Retry: 2 * time.Second})
	}
	for _, i := range imports {
		switch {
		case i.epoch >= m.from:
			p.imports = append(p.imports, i)
		case gone:
			i.reply <- ErrUnknownEpoch.Because("epoch %d of %s: %w", i.epoch, p.doc, m.err)
		default:
			i.reply <- ErrUnavailable.Because("epoch %d of %s: %w", i.epoch, p.doc, m.err)
		}
	}
}

// forget drops archives that nobody needed for a while, and answers when to look again.
func (p *page) forget(now time.Time) (next time.Duration) {
	next = archiveIdle
	for epoch, a := range p.archives {
		idle := archiveIdle
		if epoch+1 < p.epoch {
			idle = olderIdle
		}
		if left := idle - now.Sub(a.used); left > 0 || p.loading {
			next = min(next, max(left, time.Second))
		} else {
			delete(p.archives, epoch)
		}
	}
	return next
}
