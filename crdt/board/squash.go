package board

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

// When a document is squashed (SPEC EP4).
const (
	paysChanges = 1_000  // since the epoch began
	paysOps     = 20_000 // the same, if they are more than paysWaste times what a squash would keep
	paysWaste   = 2
	paysLeft    = 200 // changes, when the last person has left
	paysForced  = 5   // so many times over: while people draw

	squashQuiet = 10 * time.Second // nobody has changed it for so long
	squashGap   = 60 * time.Second // between two of one document
	squashRetry = 5 * time.Minute  // after one that failed
	squashBusy  = time.Second      // until asking again for a place
	squashTime  = time.Minute      // for making and verifying one
	squashSlots = 2                // at a time, of all boards
)

// squash is one in the making. Its first part is immutable and read by the goroutine that makes it, the rest is owned by Board.run.
type squash struct {
	p      *page
	epoch  uint32 // that it opens
	actor  ActorID
	still  *schema.Still
	at     uint64 // seq that the still was taken at
	began  time.Time
	cancel context.CancelFunc

	elements, files map[string]Person // what was touched since then, and by whom last
	made            *made             // nil: not ready
}

// made is a squash that has been written, read again and verified.
type made struct {
	chunk, document []byte
	hash            Hash
	live, carried   *schema.Page // both of the new epoch; they differ from now on
}

type (
	squashMsg struct {
		doc   DocID
		reply chan error
	}
	squashedMsg struct {
		q    *squash
		made *made
		err  error
	}
)

var errSquashValues = errors.New("the squash does not show what the page shows")

// Squash begins a document's next epoch now, whatever the rule says; it returns when that is durable.
func (h *Hub) Squash(ctx context.Context, id ID, doc DocID) error {
	return h.tell(ctx, id, func(b *Board) error {
		m := squashMsg{doc, make(chan error, 1)}
		err, closed := ask(ctx, b, m, m.reply)
		return errors.Join(err, closed)
	})
}

func (m squashMsg) handle(b *Board) {
	p := b.pages[m.doc]
	switch {
	case p == nil:
		m.reply <- ErrUnknownDoc
	case b.hub.cfg.Verify == nil:
		m.reply <- ErrUnavailable.Because("nothing verifies squashes here")
	default:
		p.asked = append(p.asked, m.reply)
		b.squashDue(time.Now())
		b.arm()
	}
}

// pays says whether a squash is worth its price so many times over.
func (p *page) pays(times int) bool {
	return p.made() >= times*paysChanges || p.Ops() >= times*paysOps && p.Ops() > times*paysWaste*p.Registers()
}

// due is when a page is to be squashed, if at all.
func (b *Board) due(p *page) (at time.Time, ok bool) {
	switch {
	case len(p.asked) > 0:
		return b.notBefore, true
	case len(b.sessions) == 0 && p.made() >= paysLeft, p.pays(paysForced):
	case p.pays(1):
		at = p.changedAt.Add(squashQuiet)
	default:
		return at, false
	}
	return later(at, later(p.notBefore, b.notBefore)), true
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// nextSquash is the page whose turn comes first.
func (b *Board) nextSquash() (next *page, at time.Time) {
	if b.hub.cfg.Verify == nil || b.squash != nil || b.stopping || b.hub.cannotStore() != nil {
		return nil, at
	}
	for _, p := range b.pages {
		if t, ok := b.due(p); ok && (next == nil || t.Before(at)) {
			next, at = p, t
		}
	}
	return next, at
}

// squashDue begins a squash if it is time for one and a place is free.
func (b *Board) squashDue(now time.Time) {
	p, at := b.nextSquash()
	if p == nil || at.After(now) {
		return
	}
	select {
	case b.hub.squashes <- struct{}{}:
	default:
		b.notBefore = now.Add(squashBusy)
		return
	}
	ctx, cancel := context.WithTimeout(b.hub.ctx, squashTime)
	q := &squash{
		p: p, epoch: p.epoch + 1, actor: b.squashActor(p.doc, p.epoch+1), still: p.Still(), at: b.next() - 1, began: now, cancel: cancel,
		elements: map[string]Person{}, files: map[string]Person{},
	}
	b.squash = q
	b.hub.boards.Go(func() { // ends with ctx
		m, err := q.make(ctx, b.kind, b.hub.cfg.Verify)
		cancel()
		<-b.hub.squashes
		b.post(squashedMsg{q, m, err})
	})
}

// make writes the squash, reads it as whoever opens the board will, and has it verified. Runs on its own goroutine.
func (q *squash) make(ctx context.Context, kind string, verify Verify) (*made, error) {
	chunk, elements := q.still.Squash(q.actor), q.still.Elements()
	var c change.Change
	if err := c.Parse(chunk, &change.SquashLimits); err != nil {
		return nil, fmt.Errorf("read the squash: %w", err)
	}
	m := &made{chunk: chunk, hash: Hash(c.Hash), live: schema.NewPage(), carried: schema.NewPage()}
	for _, p := range []*schema.Page{m.live, m.carried} {
		if err := p.Check(&c); err != nil {
			return nil, fmt.Errorf("read the squash: %w", err)
		}
		p.Stamp(q.at)
		p.Apply(&c, chunk)
	}
	if !slices.EqualFunc(m.live.Scene(), elements, sameElement) || !maps.Equal(m.live.Files(), q.still.Files()) {
		return nil, errSquashValues
	}
	document, heads, err := verify(ctx, kind, chunk, elements)
	if err != nil {
		return nil, fmt.Errorf("verify the squash: %w", err)
	}
	if len(heads) != 1 || heads[0] != m.hash {
		return nil, fmt.Errorf("verify the squash: the merged document has %d other heads", len(heads))
	}
	m.document = document
	return m, nil
}

func sameElement(a, b Element) bool { return a.ID == b.ID && slices.Equal(a.Properties, b.Properties) }

// On the actor's goroutine from here on.

func (m squashedMsg) handle(b *Board) {
	if m.err != nil {
		b.squashed(m.q, m.err)
		return
	}
	m.q.made = m.made
	b.proceed()
}

// touch notes what a change wrote to a page that is being squashed.
func (b *Board) touch(p *page, c *change.Change, person Person) {
	if b.squash == nil || b.squash.p != p {
		return
	}
	t := p.Touched(c)
	for id := range t.Elements {
		b.squash.elements[id] = person
	}
	for id := range t.Files {
		b.squash.files[id] = person
	}
}

// begin opens the epoch: its first entry, then the carries of what came while the squash was made. Nothing is on its way to the disk.
func (b *Board) begin(q *squash) {
	p, m := q.p, q.made
	over := &archive{page: p.Page, carried: m.carried, used: time.Now()}
	b.batch = append(b.batch, Entry{
		Seq: b.next(), Doc: p.doc, Epoch: q.epoch, Kind: KindEpoch, Hash: m.hash, Actor: q.actor, Person: b.hub.cfg.Server, At: time.Now(), Bytes: m.chunk, Document: m.document,
	})
	m.live.Begin(b.batch[0].Seq)
	touched := map[Person]*schema.Touched{}
	of := func(person Person) *schema.Touched {
		if touched[person] == nil {
			touched[person] = &schema.Touched{Elements: map[string]struct{}{}, Files: map[string]struct{}{}}
		}
		return touched[person]
	}
	for id, person := range q.elements {
		of(person).Elements[id] = struct{}{}
	}
	for id, person := range q.files {
		of(person).Files[id] = struct{}{}
	}
	for _, person := range slices.Sorted(maps.Keys(touched)) {
		if _, err := b.carry(over, m.live, p.doc, q.epoch, *touched[person], person); err != nil {
			clear(b.batch)
			b.batch = b.batch[:0]
			b.squashed(q, err) // the page is as it was
			return
		}
	}
	b.hub.cfg.Observe.Late(0, len(b.batch)-1)
	b.epochAt = b.batch[0].Seq
	p.archives[p.epoch] = over
	p.Page, p.epoch = m.live, q.epoch
	b.flush()
	b.parked = append(b.parked, afterCommit(func() { b.squashed(q, nil) }))
}

// squashed ends a squash, for good or ill.
func (b *Board) squashed(q *squash, err error) {
	p, took := q.p, time.Since(q.began)
	b.squash = nil
	p.notBefore = time.Now().Add(squashGap)
	if err != nil {
		p.notBefore = time.Now().Add(squashRetry)
		b.hub.log.Error("squash failed", "board", b.id, "doc", p.doc, "epoch", q.epoch, "err", err)
		err = ErrUnavailable.Because("squash of %s: %w", p.doc, err)
	} else {
		b.hub.log.Info("epoch begins", "board", b.id, "doc", p.doc, "epoch", q.epoch, "took", took)
	}
	b.hub.cfg.Observe.Squash(took, err)
	for _, reply := range p.asked {
		reply <- err
	}
	p.asked = nil
	b.arm()
}
