package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/educationpub/lectern/crdt"
	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/schema"
)

// outgoing is an unacknowledged change with the wish behind it.
type outgoing struct {
	doc   board.DocID
	epoch uint32
	actor board.ActorID
	chunk []byte
	hash  board.Hash
	wish  wish
}

// client is one person's browser: what the outbox keeps survives everything, the tab does not. It goes by docs/protocol.md, as web/src does.
type client struct {
	t      testing.TB
	name   string
	person board.Person
	rnd    *rand.Rand
	homes  int

	wishes int
	outbox []outgoing
	acked  map[board.Hash]wish
	hid    map[string]bool // elements that this person ever deleted or brought back
	tab    *tab
	resets map[string]int
}

// tab is what a reload loses.
type tab struct {
	log   string
	have  uint64
	actor board.ActorID
	mine  []outgoing // made here, in this log

	doc     board.DocID
	epoch   uint32
	newest  uint32       // that the log has told of
	page    *schema.Page // nil: not fetched yet
	frozen  bool         // the page misses entries: nothing more can be applied to it
	moving  bool         // a document is to be fetched
	offer   bool         // and what it lacks of ours is to be offered: the log is another one
	fetched *fetched
	kept    []entry // for the document that is to come
	waiting []wish  // made while own changes of the old epoch are waited for
	redo    []wish  // refused with the document they stood in

	in   *instance
	s    *board.Session
	sent int // of the outbox, in this session
}

type fetched struct {
	epoch uint32
	seq   uint64
	page  *schema.Page
}

// entry is what the wire would carry.
type entry struct {
	Seq   uint64 `json:"-"`
	Doc   board.DocID
	Epoch uint32
	Kind  board.EntryKind
	Bytes []byte
}

func encode(dst []byte, e board.Entry) []byte {
	w := entry{Doc: e.Doc, Epoch: e.Epoch, Kind: e.Kind, Bytes: e.Bytes}
	if e.Kind == board.KindEpoch {
		w.Bytes = nil
	}
	j, err := json.Marshal(w)
	must(err)
	return append(dst, j...)
}

func newClient(t testing.TB, n, homes int, rnd *rand.Rand) *client {
	name := string(rune('a' + n))
	return &client{t: t, name: name, person: board.Person("@" + name + ":example.org"), rnd: rnd, homes: homes, acked: map[board.Hash]wish{}, hid: map[string]bool{}, resets: map[string]int{}, tab: &tab{}}
}

// connect joins the board at an instance; failing is an ordinary thing.
func (c *client) connect(in *instance) error {
	c.disconnect()
	t := c.tab
	s, w, err := in.hub.Join(context.Background(), board.Join{Board: testBoard, Room: testRoom, Kind: schema.KindWhiteboard, Person: c.person, Log: t.log, Have: t.have, Actor: t.actor})
	if err != nil {
		return err
	}
	foreign := t.log != "" && t.log != w.Meta.Log
	t.in, t.s, t.sent, t.log, t.actor = in, s, 0, w.Meta.Log, w.Actor
	t.doc = w.Meta.Docs[0].ID
	if w.Resume {
		if t.page == nil {
			t.moving = true
		}
		return nil
	}
	t.have, t.kept, t.newest = w.Meta.Docs[0].Seq, nil, 0
	t.frozen, t.moving, t.offer = true, true, t.offer || foreign
	return nil
}

// disconnect loses the connection without a word; what waited for the new epoch is made in the old one.
func (c *client) disconnect() {
	t := c.tab
	if t.s == nil {
		return
	}
	if !t.in.dead {
		t.s.Leave()
	}
	t.in, t.s = nil, nil
	t.fetched = nil
	c.release()
}

// reload loses the tab.
func (c *client) reload() {
	c.disconnect()
	c.tab = &tab{}
}

// gesture is one wish of the person.
func (c *client) gesture() {
	t := c.tab
	if t.page == nil {
		return
	}
	c.wishes++
	w := draw(c.rnd, c.name, c.wishes, t.page)
	if _, ok := w.props["isDeleted"]; ok {
		c.hid[w.id] = true
	}
	if t.fetched != nil {
		t.waiting = append(t.waiting, w)
		return
	}
	c.author(w)
}

func (c *client) author(w wish) {
	t := c.tab
	chunks, err := w.grant(t.page, t.actor)
	if err != nil {
		c.t.Fatalf("%s: a wish could not be written: %v", c.name, err)
	}
	for _, chunk := range chunks {
		o := outgoing{t.doc, t.epoch, t.actor, chunk, hashOf(chunk), w}
		c.outbox, t.mine = append(c.outbox, o), append(t.mine, o)
	}
	c.flush()
}

func (c *client) release() {
	t := c.tab
	waiting := t.waiting
	t.waiting = nil
	for _, w := range waiting {
		c.author(w)
	}
}

// flush sends what has not been sent in this session.
func (c *client) flush() {
	t := c.tab
	for t.s != nil && t.sent < len(c.outbox) {
		o := c.outbox[t.sent]
		if err := t.s.Submit(context.Background(), o.doc, o.epoch, o.chunk); err != nil {
			return // its end is read next
		}
		t.sent++
	}
}

// pump reads everything there is.
func (c *client) pump() {
	t := c.tab
	var b board.Batch
	for t.s != nil {
		more, err := t.s.Next(context.Background(), &b)
		for _, e := range b.Events {
			c.event(e)
		}
		if t.s == nil { // a reset ended it
			return
		}
		for i, raw := range b.Entries {
			var e entry
			must(json.Unmarshal(raw, &e))
			if e.Seq = b.From + uint64(i); e.Seq != t.have+1 {
				c.t.Fatalf("SM2 %s: entry %d after %d", c.name, e.Seq, t.have)
			}
			t.have = e.Seq
			c.entry(e)
		}
		switch {
		case errors.Is(err, board.ErrClosed):
			c.disconnect()
		case err != nil: // reading back failed
			c.disconnect()
		case !more:
			c.advance()
			return
		}
	}
}

func (c *client) entry(e entry) {
	t := c.tab
	if e.Kind == board.KindChange || e.Kind == board.KindLate {
		c.ack(hashOf(e.Bytes))
	}
	switch {
	case e.Doc != t.doc:
	case e.Kind == board.KindEpoch:
		t.newest = max(t.newest, e.Epoch)
		t.moving = t.moving || e.Epoch > t.epoch
	case e.Kind != board.KindChange && e.Kind != board.KindCarry && e.Kind != board.KindLate:
	case t.page == nil || t.frozen || e.Epoch > t.epoch:
		t.kept = append(t.kept, e)
	case e.Epoch == t.epoch:
		if err := apply(t.page, e.Bytes); err != nil {
			c.t.Fatalf("SM3 %s: entry %d does not apply: %v", c.name, e.Seq, err)
		}
	}
}

func (c *client) ack(h board.Hash) {
	if i := slices.IndexFunc(c.outbox, func(o outgoing) bool { return o.hash == h }); i >= 0 {
		c.acked[h] = c.outbox[i].wish
		c.outbox = slices.Delete(c.outbox, i, i+1)
		if i < c.tab.sent {
			c.tab.sent--
		}
	}
}

func (c *client) event(e board.Event) {
	t := c.tab
	switch e := e.(type) {
	case board.KnownEvent:
		for _, h := range e.Hashes {
			c.ack(h)
		}
	case board.ResetEvent:
		c.resets[e.Code]++
		c.t.Logf("%s: reset %s (%s) of %x", c.name, e.Code, e.Message, e.Hash[:4])
		switch {
		case e.Code == "gap", e.Code == "unknown_epoch", e.Code == "locked":
		case e.Code == "wrong_actor" && c.homes > 1: // issued by the other home, and nothing of it in the room yet
		default:
			c.t.Fatalf("%s: an honest change was refused: %s %s", c.name, e.Code, e.Message)
		}
		// Of the refused actor everything before the refused change has been taken; the rest is made again. Whatever else is under way is sent anew in a new
		// session, and is known there, or taken, or refused by itself: this one drops what comes under dead actors.
		if at := slices.IndexFunc(c.outbox, func(o outgoing) bool { return o.hash == e.Hash }); at >= 0 {
			actor := c.outbox[at].actor
			var kept []outgoing
			for i, o := range c.outbox {
				if o.actor == actor && i >= at {
					c.again(o.wish)
				} else {
					kept = append(kept, o)
				}
			}
			c.outbox = kept
		}
		t.redo = append(t.redo, t.waiting...)
		t.waiting, t.page, t.kept, t.mine, t.log, t.actor = nil, nil, nil, nil, "", board.ActorID{}
		c.disconnect()
	case board.ByeEvent:
	}
}

// advance is the client's part of moving to another document: fetch, wait for one's own, take.
func (c *client) advance() {
	t := c.tab
	if t.s == nil || !t.moving {
		return
	}
	if t.fetched == nil {
		if c.rnd.IntN(3) > 0 { // it takes its time
			return
		}
		f, err := c.fetch()
		if err != nil {
			return
		}
		t.fetched = f
		return
	}
	f := t.fetched
	if t.page != nil && slices.ContainsFunc(c.outbox, func(o outgoing) bool { return o.doc == t.doc && o.epoch < f.epoch }) {
		return
	}
	if f.seq > t.have { // what is between is in the document, but its acknowledgements are not
		return
	}
	kept := t.kept
	t.page, t.epoch, t.frozen, t.moving, t.fetched, t.kept = f.page, f.epoch, false, t.newest > f.epoch, nil, nil
	for _, e := range kept {
		switch {
		case e.Epoch > t.epoch:
			t.kept = append(t.kept, e)
		case e.Epoch == t.epoch:
			if err := apply(t.page, e.Bytes); err != nil {
				c.t.Fatalf("SM3 %s: kept entry %d does not apply: %v", c.name, e.Seq, err)
			}
		}
	}
	if t.offer {
		t.offer = false
		c.reoffer()
	}
	for i, o := range c.outbox { // our own that are under way
		if o.epoch != t.epoch || o.doc != t.doc {
			continue
		}
		// Two homes may each have opened an epoch of that number: what hangs on the other one is refused, and made again then. So is what another tab
		// of the person's built on a change that a rule forbade.
		if err := apply(t.page, o.chunk); err != nil && c.homes == 1 && c.resets["locked"]+c.resets["gap"] == 0 {
			c.t.Fatalf("SM3 %s: own change %d does not apply: %v", c.name, i, err)
		}
	}
	redo := t.redo
	t.redo = nil
	for _, w := range redo {
		c.author(w)
	}
	c.release()
}

// reoffer: the log is another one. Own changes that the document lacks are offered again, where they attach. Of those that do not, what is not
// acknowledged is made anew; what is comes from the old home.
func (c *client) reoffer() {
	t := c.tab
	for _, o := range t.mine {
		if o.epoch != t.epoch || o.doc != t.doc || slices.ContainsFunc(c.outbox, func(x outgoing) bool { return x.hash == o.hash }) {
			continue
		}
		if err := apply(t.page, o.chunk); err == nil {
			c.outbox = append(c.outbox, o)
		}
	}
	t.sent, t.mine = 0, nil
	var out []outgoing
	for _, o := range c.outbox {
		if o.epoch == t.epoch && apply(t.page, o.chunk) != nil {
			c.again(o.wish)
			continue
		}
		out = append(out, o)
	}
	c.outbox = out
}

// again: the wish is to be made once more. Where the old home had taken it too, without having said so, what it leaves makes the same element a second time:
// one of the two wins whole, and SM4 says nothing of it.
func (c *client) again(w wish) {
	c.tab.redo = append(c.tab.redo, w)
	if c.homes > 1 && w.make {
		c.hid[w.id] = true
	}
}

// fetch reads the newest snapshot, as the HTTP endpoint answers it.
func (c *client) fetch() (*fetched, error) {
	snap, err := c.tab.in.disk.Snapshot(context.Background(), testBoard, c.tab.doc)
	if err != nil {
		return nil, err
	}
	f := &fetched{epoch: snap.Epoch, seq: snap.Seq, page: schema.NewPage()}
	if len(snap.Document) == 0 {
		return f, nil
	}
	d, err := crdt.Load(snap.Document)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	chunks, err := d.Changes()
	if err != nil {
		return nil, err
	}
	for _, stored := range chunks {
		if err := applyStored(f.page, stored); err != nil {
			c.t.Fatalf("SM3 a snapshot's change does not apply: %v", err)
		}
	}
	return f, nil
}
