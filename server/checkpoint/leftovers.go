package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
)

// Leftovers are what a Lectern that is no longer a board's home had committed and the new home does not have. The old home writes them into the room,
// the new one takes them in like late changes of the epoch in which it took the board over (SPEC HO5, HO6).

const (
	maxLeftovers  = 16 << 20 // bytes of all changes
	maxLeftChange = 100_000  // how many
)

// leftovers are the content of the event.
type leftovers struct {
	V       int                     `json:"v"`
	Board   board.ID                `json:"board"`
	Kind    string                  `json:"kind"`
	Home    string                  `json:"home"` // who writes this
	Log     string                  `json:"log"`
	Term    uint64                  `json:"term"` // of the home that they are for
	From    uint64                  `json:"from"` // what came after it in the log
	Seq     uint64                  `json:"seq"`  // up to here
	Docs    []leftDoc               `json:"docs"`
	Authors map[string]board.Person `json:"authors"` // by actor, 32 hex digits
}

// leftDoc are changes of one document for an epoch that is over at the new home, one after the other.
type leftDoc struct {
	Doc   board.DocID     `json:"doc"`
	Epoch uint32          `json:"epoch"`
	Data  []byte          `json:"data,omitempty"`
	File  json.RawMessage `json:"file,omitempty"` // EncryptedFile of the same, where it is large
}

// leftoversType is the type of the event; its state key is the board's id, a dot, and the name of the log they come from.
func leftoversType(kind string) string { return "com.educationpub." + kind + ".leftovers" }

// leftoversKind reads a leftoversType back, "" for any other type.
func leftoversKind(typ string) string {
	kind, ok := strings.CutPrefix(typ, "com.educationpub.")
	if kind, ok2 := strings.CutSuffix(kind, ".leftovers"); ok && ok2 {
		return kind
	}
	return ""
}

func leftoversKey(id board.ID, log string) string { return string(id) + "." + log }

// --- the new home ---

// takeIn reads what another home left and has it carried into the board, if the board is ours and it is not in it yet.
func (c *Checkpointer) takeIn(ctx context.Context, room, kind string, id board.ID, log string) error {
	defer c.lock(id)()
	h, err := c.home(ctx, id)
	if err != nil || !h.ours() || c.config.Boards == nil {
		return err
	}
	meta, err := c.config.Log.Open(ctx, id)
	if isUnknown(err) || err == nil && (meta.Room != room || meta.Kind != kind) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	l, err := c.readLeftovers(ctx, room, kind, id, log)
	if errors.Is(err, ErrNoState) || err == nil && (l.Home == c.config.Home || h.carried(l.mark())) {
		return nil
	}
	var list []imported
	if err == nil {
		list, err = c.judge(ctx, id, h, meta, &l)
	}
	for i := 0; err == nil && i < len(list); i++ {
		err = c.config.Boards().Carry(ctx, id, list[i].doc, list[i].epoch, list[i].changes)
	}
	switch {
	case err == nil:
	case passing(err):
		return fmt.Errorf("take in what another home left: %w", err)
	default:
		c.log.Error("what another Lectern left of a board is refused; it keeps it", "board", id, "room", room, "home", l.Home, "err", err)
		return nil
	}
	h.Carried = append(h.Carried, l.mark())
	if n := len(h.Carried); n > maxCarried {
		h.Carried = h.Carried[n-maxCarried:]
	}
	if err := c.putHome(ctx, id, room, kind, h); err != nil {
		return err
	}
	c.log.Warn("what another Lectern had left of a board was taken in", "board", id, "room", room, "home", l.Home, "changes", count(list))
	c.Overwritten(room, stateType(kind), string(id)) // so that the room says so
	return nil
}

// passing: the same may go well later.
func passing(err error) bool {
	for _, e := range []error{board.ErrUnavailable, board.ErrDraining, board.ErrClosed, ErrNoKey, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	_, room := errors.AsType[*RoomError](err)
	return room
}

func (l *leftovers) mark() Mark { return Mark{Home: l.Home, Log: l.Log, Seq: l.Seq} }

func (h Home) carried(m Mark) bool {
	for _, c := range h.Carried {
		if c.Home == m.Home && c.Log == m.Log && c.Seq >= m.Seq {
			return true
		}
	}
	return false
}

// imported are the changes of one document.
type imported struct {
	doc     board.DocID
	epoch   uint32
	changes []board.Imported
}

func count(list []imported) (n int) {
	for _, i := range list {
		n += len(i.changes)
	}
	return n
}

// readLeftovers reads the event and looks at everything that can be judged without the changes.
func (c *Checkpointer) readLeftovers(ctx context.Context, room, kind string, id board.ID, log string) (l leftovers, err error) {
	st, err := c.config.Room.ReadState(ctx, room, leftoversType(kind), leftoversKey(id, log))
	if err != nil {
		return l, err
	}
	content, err := c.content(ctx, st.Content, id)
	if err != nil {
		return l, err
	}
	if err := readStrict(content, &l); err != nil {
		return l, board.ErrDamaged.Because("leftovers: %w", err)
	}
	switch {
	case l.Board != id || l.Kind != kind || l.Log != log:
		err = fmt.Errorf("they are of board %.40q (%.40q), log %.64q", l.Board, l.Kind, l.Log)
	case l.Home != st.Sender:
		err = fmt.Errorf("they name %.200q as their home, but were written by %.200q", l.Home, st.Sender)
	case !l.mark().ok() || l.From > l.Seq:
		err = errors.New("their place in the log is malformed")
	case len(l.Docs) == 0 || len(l.Docs) > maxDocs || len(l.Authors) > maxAuthors:
		err = fmt.Errorf("they have %d documents and %d authors, at most %d and %d are allowed", len(l.Docs), len(l.Authors), maxDocs, maxAuthors)
	default:
		return l, nil
	}
	return l, board.ErrDamaged.Because("leftovers: %w", err)
}

// judge checks the leftovers against what is known of the board, all of them before any is taken in: the term, the epochs, every change, every author.
func (c *Checkpointer) judge(ctx context.Context, id board.ID, h Home, meta board.Meta, l *leftovers) ([]imported, error) {
	refuse := func(format string, args ...any) ([]imported, error) {
		return nil, board.ErrDamaged.Because("leftovers: "+format, args...)
	}
	if l.Term > h.claim() {
		return refuse("they are for term %d, ours is %d", l.Term, h.claim())
	}
	authors, err := readActors(l.Authors)
	if err != nil {
		return refuse("%w", err)
	}
	known, err := c.config.Log.Actors(ctx, id)
	if err != nil {
		return nil, board.ErrUnavailable.Because("actors: %w", err)
	}
	for a, p := range authors {
		if k, ok := known[a]; ok && k != p {
			return refuse("actor %x belongs to another person here", a)
		}
	}
	var list []imported
	room, left := maxLeftovers, maxLeftChange
	for _, d := range l.Docs {
		if !docName.MatchString(string(d.Doc)) || (len(d.Data) == 0) == (len(d.File) == 0) {
			return refuse("document %.40q is malformed", d.Doc)
		}
		now := slices.IndexFunc(meta.Docs, func(m board.DocInfo) bool { return m.ID == d.Doc })
		if now < 0 || d.Epoch > meta.Docs[now].Epoch {
			return refuse("document %s has no epoch %d here", d.Doc, d.Epoch)
		}
		data := d.Data
		if len(d.File) > 0 {
			if data, err = c.config.Room.Download(ctx, d.File, int64(room)); err != nil {
				return nil, restoreError(fmt.Sprintf("fetch what was left of %s", d.Doc), err)
			}
		}
		chunks, err := splitChunks(data)
		if err != nil {
			return refuse("document %s: %w", d.Doc, err)
		}
		room, left = room-len(data), left-len(chunks)
		if room < 0 || left < 0 {
			return refuse("they are more than %d changes or %d bytes", maxLeftChange, maxLeftovers)
		}
		in := imported{doc: d.Doc, epoch: d.Epoch}
		for i, chunk := range chunks {
			var ch change.Change
			if err := ch.Parse(chunk, nil); err != nil {
				return refuse("document %s, change %d: %w", d.Doc, i, err)
			}
			if len(ch.Author()) != len(board.ActorID{}) {
				return refuse("document %s, change %d: its actor is none of ours", d.Doc, i)
			}
			a := board.ActorID(ch.Author())
			p, ok := authors[a]
			if !ok {
				return refuse("document %s, change %d: they do not say whose actor %x is", d.Doc, i, a)
			}
			in.changes = append(in.changes, board.Imported{Actor: a, Person: p, Bytes: chunk})
		}
		list = append(list, in)
	}
	return list, nil
}
