package checkpoint

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

// --- the old home ---

// leave writes what our log has beyond what was taken over into the room, once. The board is closed here, so the log does not grow any more.
func (c *Checkpointer) leave(ctx context.Context, room, kind string, id board.ID) error {
	defer c.lock(id)()
	h, err := c.home(ctx, id)
	if err != nil || h.ours() || h.Owed == nil {
		return err
	}
	meta, err := c.config.Log.Open(ctx, id)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	if h.Left >= meta.Seq {
		return nil // waits for the home to say that it has them
	}
	l := leftovers{V: version, Board: id, Kind: kind, Home: c.config.Home, Log: meta.Log, Term: h.Term, Seq: meta.Seq, Authors: map[string]board.Person{}}
	if h.Owed.Log == meta.Log {
		l.From = h.Owed.Seq
	}
	inline, changes, size := maxInline, 0, 0
	for _, doc := range h.Owed.docs(meta) {
		list, err := c.leftOf(ctx, id, kind, meta, doc)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			continue
		}
		d := leftDoc{Doc: doc.Doc, Epoch: doc.Epoch}
		for _, i := range list {
			d.Data = append(d.Data, i.Bytes...)
			l.Authors[hex.EncodeToString(i.Actor[:])] = i.Person
		}
		changes, size = changes+len(list), size+len(d.Data)
		if len(d.Data) > inline {
			if d.File, err = c.config.Room.Upload(ctx, d.Data); err != nil {
				return fmt.Errorf("upload what is left of %s: %w", doc.Doc, err)
			}
			d.Data = nil
		}
		inline -= len(d.Data)
		l.Docs = append(l.Docs, d)
	}
	switch {
	case changes == 0:
		h.Owed = nil
		return c.putHome(ctx, id, room, kind, h)
	case changes > maxLeftChange || size > maxLeftovers:
		c.log.Error("what is left here of a board is too much to be taken in by its new home; it stays in this database", "board", id, "room", room, "changes", changes, "bytes", size)
		h.Owed = nil
		return c.putHome(ctx, id, room, kind, h)
	}
	whole, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode the leftovers: %w", err)
	}
	r := result{job: job{id: id, room: room, board: kind}}
	if _, err := c.sendAs(ctx, &r, leftoversType(kind), leftoversKey(id, meta.Log), whole); err != nil {
		return err
	}
	c.log.Warn("what is left here of a board was written to its room for its new home", "board", id, "room", room, "home", h.Home, "changes", changes, "bytes", size)
	h.Left = meta.Seq
	return c.putHome(ctx, id, room, kind, h)
}

// lost writes our leftovers again, if they are not in the room any more and are still waited for.
func (c *Checkpointer) lost(ctx context.Context, room, kind string, id board.ID, log string) error {
	gone, err := c.gone(ctx, room, kind, id, log)
	if err != nil || !gone {
		return err
	}
	return c.leave(ctx, room, kind, id)
}

func (c *Checkpointer) gone(ctx context.Context, room, kind string, id board.ID, log string) (bool, error) {
	defer c.lock(id)()
	h, err := c.home(ctx, id)
	if err != nil || h.ours() || h.Owed == nil || h.Left == 0 {
		return false, err
	}
	if meta, err := c.config.Log.Open(ctx, id); err != nil || meta.Log != log || meta.Room != room || meta.Kind != kind {
		return false, nil
	}
	st, err := c.config.Room.ReadState(ctx, room, leftoversType(kind), leftoversKey(id, log))
	switch {
	case err == nil && st.Sender == c.config.Home:
		return false, nil
	case err != nil && !errors.Is(err, ErrNoState) && !errors.Is(err, ErrUntrusted):
		return false, fmt.Errorf("read our leftovers: %w", err)
	}
	h.Left = 0
	return true, c.putHome(ctx, id, room, kind, h)
}

// docs are the documents to look through: as they were taken over; of what is in no log of ours that is still here, from the beginning of the epoch.
func (t *Taken) docs(meta board.Meta) (out []TakenDoc) {
	for _, d := range t.Docs {
		if t.Log != meta.Log {
			d.Seq = 0
		}
		out = append(out, d)
	}
	if len(t.Docs) == 0 {
		for _, d := range meta.Docs {
			out = append(out, TakenDoc{Doc: d.ID, Epoch: d.Epoch})
		}
	}
	return out
}

// leftOf answers what a document has that was not taken over, as changes of the epoch in which it was taken over: those of that epoch as they are, and
// the effect of those of later epochs, per person who was the last to touch something.
func (c *Checkpointer) leftOf(ctx context.Context, id board.ID, kind string, meta board.Meta, doc TakenDoc) ([]board.Imported, error) {
	now := slices.IndexFunc(meta.Docs, func(d board.DocInfo) bool { return d.ID == doc.Doc })
	if now < 0 || meta.Docs[now].Epoch < doc.Epoch {
		c.log.Error("a page was taken over that there is not", "board", id, "doc", doc.Doc, "epoch", doc.Epoch)
		return nil, nil
	}
	archive := schema.NewPage()
	var out []board.Imported
	err := c.replay(ctx, id, doc.Doc, doc.Epoch, archive, func(e *board.Entry, _ *change.Change) {
		if e.Seq > doc.Seq && e.Kind != board.KindEpoch {
			out = append(out, board.Imported{Actor: e.Actor, Person: e.Person, Bytes: e.Bytes})
		}
	})
	if err != nil || meta.Docs[now].Epoch == doc.Epoch {
		return out, err
	}

	touched := make(map[string]board.Person) // "e" or "f" and the id: who was the last
	var present *schema.Page
	for epoch := doc.Epoch + 1; epoch <= meta.Docs[now].Epoch; epoch++ {
		present = schema.NewPage()
		err := c.replay(ctx, id, doc.Doc, epoch, present, func(e *board.Entry, ch *change.Change) {
			if e.Kind == board.KindEpoch {
				return
			}
			t := present.Touched(ch)
			for name := range t.Elements {
				touched["e"+name] = e.Person
			}
			for name := range t.Files {
				touched["f"+name] = e.Person
			}
		})
		if err != nil {
			return nil, err
		}
	}
	parts := make(map[board.Person]*schema.Touched)
	for name, person := range touched {
		p := parts[person]
		if p == nil {
			p = &schema.Touched{Elements: map[string]struct{}{}, Files: map[string]struct{}{}}
			parts[person] = p
		}
		if name[0] == 'e' {
			p.Elements[name[1:]] = struct{}{}
		} else {
			p.Files[name[1:]] = struct{}{}
		}
	}
	for _, person := range slices.SortedFunc(maps.Keys(parts), cmp.Compare) {
		actor := leftActor(meta.Log, doc.Doc, doc.Epoch, person)
		chunks, err := archive.Follow(present, *parts[person], actor)
		if err != nil {
			return nil, board.ErrDamaged.Because("what is left of %s: %w", doc.Doc, err)
		}
		for _, chunk := range chunks {
			out = append(out, board.Imported{Actor: actor, Person: person, Bytes: chunk})
		}
	}
	return out, nil
}

// leftActor is the server's actor under which a person's leftovers are written (SPEC EP2): another one than that of carries, which may stand on the page.
func leftActor(log string, doc board.DocID, epoch uint32, person board.Person) (a board.ActorID) {
	h := sha256.New()
	for _, part := range []string{"lectern leftovers", log, string(doc), strconv.FormatUint(uint64(epoch), 10), string(person)} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		h.Write([]byte(part))
	}
	copy(a[1:], h.Sum(nil))
	return a
}

// replay reads a document's entries of an epoch into a page and shows each to see, after it was applied.
func (c *Checkpointer) replay(ctx context.Context, id board.ID, doc board.DocID, epoch uint32, to *schema.Page, see func(*board.Entry, *change.Change)) error {
	for after := uint64(0); ; {
		entries, err := c.config.Log.ReadDoc(ctx, id, doc, epoch, after, mergeEntries, mergeBytes)
		if err != nil {
			return fmt.Errorf("read the log after %d: %w", after, err)
		}
		if len(entries) == 0 {
			return nil
		}
		for i := range entries {
			e := &entries[i]
			after = e.Seq
			if !content(*e) {
				continue
			}
			var ch change.Change
			if err := ch.Parse(e.Bytes, &change.StoredLimits); err != nil {
				return board.ErrDamaged.Because("entry %d: %w", e.Seq, err)
			}
			if err := to.Check(&ch); err != nil {
				return board.ErrDamaged.Because("entry %d: %w", e.Seq, err)
			}
			to.Apply(&ch, e.Bytes)
			see(e, &ch)
		}
	}
}
