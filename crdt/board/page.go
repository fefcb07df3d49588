package board

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

// page is one document: its present epoch and the index that judges its changes. Owned by Board.run.
type page struct {
	*schema.Page // of the present epoch
	doc          DocID
	epoch        uint32

	changedAt time.Time    // last change of somebody's, or when the page was opened
	notBefore time.Time    // squashes wait until then (squash.go)
	asked     []chan error // who waits for a squash

	archives map[uint32]*archive // epochs that are over, as far as they are in memory (late.go)
	loading  bool
	waiting  []*submission // late changes that wait for an archive, in order
	imports  []carryMsg    // the same of Hub.Carry
}

func newPage(d DocInfo) *page {
	return &page{Page: schema.NewPage(), doc: d.ID, epoch: d.Epoch, changedAt: time.Now(), archives: map[uint32]*archive{}}
}

func newPages(kind string, docs []DocInfo) (map[DocID]*page, error) {
	if kind != schema.KindWhiteboard {
		return nil, fmt.Errorf("unknown kind %q", kind)
	}
	pages := make(map[DocID]*page, len(docs))
	for _, d := range docs {
		pages[d.ID] = newPage(d)
	}
	return pages, nil
}

// made is how many changes the page has had since its epoch began.
func (p *page) made() int {
	n := p.Changes() - 1 // the genesis
	if p.epoch > 0 {
		n-- // the squash
	}
	return n
}

var errHash = errors.New("the bytes have another hash")

// replay takes a stored entry in, judging it as a live one is. A hash that is missing is filled in.
func replay(p *schema.Page, e *Entry) error {
	limits := &change.StoredLimits
	switch e.Kind {
	case KindChange, KindCarry, KindLate:
	case KindEpoch:
		limits = &change.SquashLimits
	default:
		return nil // a new page has nothing to apply; others are of a later version
	}
	var c change.Change
	if err := c.Parse(e.Bytes, limits); err != nil {
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

// squashActor and carryActor are SPEC EP2.

func (b *Board) squashActor(doc DocID, epoch uint32) ActorID {
	return serverActor("lectern squash", b.logID, string(doc), strconv.FormatUint(uint64(epoch), 10))
}

func (b *Board) carryActor(doc DocID, epoch uint32, p Person) ActorID {
	return serverActor("lectern carry", b.logID, string(doc), strconv.FormatUint(uint64(epoch), 10), string(p))
}

// serverActor is 00 and the beginning of the hash of the fields, a zero byte behind each.
func serverActor(fields ...string) (a ActorID) {
	h := sha256.New()
	for _, f := range fields {
		h.Write([]byte(f))
		h.Write([]byte{0})
	}
	copy(a[1:], h.Sum(nil))
	return a
}

// ofServer says that nobody's client writes under the actor.
func (a ActorID) ofServer() bool { return a[0] == 0 }

// maxPages bounds the documents of a board.
const maxPages = 100

type addPageMsg struct {
	doc    DocID
	person Person
	reply  chan error
}

// AddPage adds an empty page behind the others, durable when it returns. The person must be allowed to write.
func (h *Hub) AddPage(ctx context.Context, id ID, person Person) (DocID, error) {
	doc := newDocID()
	return doc, h.order(ctx, id, func(reply chan error) message { return addPageMsg{doc, person, reply} })
}

func (m addPageMsg) handle(b *Board) {
	role, _ := b.hub.cfg.Authority(b.room, m.person)
	switch {
	case b.inFlight:
		b.parked = append(b.parked, m)
	case b.stopping:
		m.reply <- ErrDraining
	case b.pages[m.doc] != nil: // asked again, because the board closed before it could answer
		m.reply <- nil
	case role < RoleParticipant:
		m.reply <- ErrReadOnly
	case b.hub.cannotStore() != nil:
		m.reply <- ErrStorage
	case len(b.pages) >= maxPages:
		m.reply <- ErrPagesFull
	default:
		p := newPage(DocInfo{ID: m.doc})
		b.pages[m.doc] = p
		b.batch = append(b.batch, Entry{
			Seq: b.next(), Doc: m.doc, Kind: KindPage, Hash: Hash(p.Heads()[0]), Actor: b.squashActor(m.doc, 0), Person: m.person, At: time.Now(), Document: schema.Genesis(b.kind),
		})
		b.flush()
		b.parked = append(b.parked, afterCommit(func() { m.reply <- nil }))
	}
}
