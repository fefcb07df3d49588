package board

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

const (
	// openTimeout bounds reading and restoring a board; the homeserver may be slow.
	openTimeout = 60 * time.Second
	readEntries = 1024
	readBytes   = 1 << 20
)

// load opens a board: from the store, else from its room, else as a new board with one page. It runs on the hub's goroutine for this board.
func (h *Hub) load(ctx context.Context, id ID, room, kind string) (*Board, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	meta, err := h.cfg.Log.Open(ctx, id)
	var saved Saved // otherwise the checkpointer tells
	if errors.Is(err, ErrUnknown) || err == nil && meta.Home != "" {
		meta, saved, err = h.create(ctx, id, room, kind)
	}
	if err != nil {
		return nil, refusal(err, "open board %s: %w", id, err)
	}
	if meta.Room != room || meta.Kind != kind {
		return nil, ErrElsewhere.Because("board %s belongs to room %s (%s)", id, meta.Room, meta.Kind)
	}
	actors, err := h.cfg.Log.Actors(ctx, id)
	if err != nil {
		return nil, refusal(err, "open board %s: %w", id, err)
	}
	pages, err := newPages(meta.Kind, meta.Docs)
	if err != nil {
		return nil, ErrDamaged.Because("board %s: %w", id, err)
	}
	for doc, p := range pages {
		err := readDoc(ctx, h.cfg.Log, id, doc, p.epoch, func(e *Entry) error { return replay(p.Page, e) })
		if err != nil {
			return nil, refusal(err, "open board %s: %w", id, err)
		}
	}
	rules, err := ReadRules(ctx, h.cfg.Log, id)
	if err != nil {
		return nil, refusal(err, "open board %s: %w", id, err)
	}
	b := newBoard(h, meta, pages, actors)
	b.saved, b.rules = saved, rules
	return b, nil
}

// readDoc hands every entry of an epoch of a document to f; what f refuses makes the board damaged.
func readDoc(ctx context.Context, log Log, id ID, doc DocID, epoch uint32, f func(*Entry) error) error {
	for after := uint64(0); ; {
		entries, err := log.ReadDoc(ctx, id, doc, epoch, after, readEntries, readBytes)
		if err != nil || len(entries) == 0 {
			return err
		}
		for i := range entries {
			if err := f(&entries[i]); errors.Is(err, errEnough) {
				return nil
			} else if errors.Is(err, errGone) {
				return err
			} else if err != nil {
				return ErrDamaged.Because("board %s: entry %d of %s: %w", id, entries[i].Seq, doc, err)
			}
		}
		after = entries[len(entries)-1].Seq
	}
}

// create makes a board that the store does not know. What is in the room is checked by the same rules as live changes before it is stored;
// all of it is in the room already, since the time that is answered with it.
func (h *Hub) create(ctx context.Context, id ID, room, kind string) (Meta, Saved, error) {
	m := Meta{ID: id, Room: room, Kind: kind, Log: randomName()}
	var r *Restored
	if h.cfg.Checkpoints != nil {
		var err error
		if r, err = h.cfg.Checkpoints.Restore(ctx, room, kind, id); err != nil {
			return Meta{}, Saved{}, err
		}
	}
	if r == nil {
		m.Docs = []DocInfo{{ID: newDocID()}}
		h.log.Info("new board", "board", id, "room", room)
		return m, Saved{}, h.cfg.Log.Create(ctx, m, nil, nil)
	}
	m.Docs = r.Docs
	pages, err := newPages(kind, r.Docs)
	for i := range r.Entries {
		if err != nil {
			break
		}
		e := &r.Entries[i]
		if p := pages[e.Doc]; p == nil || p.epoch != e.Epoch {
			err = ErrUnknownDoc
		} else {
			err = replay(p.Page, e)
		}
	}
	if err != nil {
		return Meta{}, Saved{}, ErrDamaged.Because("restore board %s: %w", id, err)
	}
	if err := r.Rules.check(); err != nil {
		return Meta{}, Saved{}, ErrDamaged.Because("restore board %s: %w", id, err)
	} else if !r.Rules.IsZero() {
		r.Entries = append(r.Entries, RulesEntry(uint64(len(r.Entries)+1), &r.Rules, "", r.SavedAt))
	}
	m.Seq = uint64(len(r.Entries))
	h.log.Warn("board restored from its room", "board", id, "room", room, "seq", m.Seq, "saved_at", r.SavedAt)
	return m, Saved{Seq: m.Seq, At: r.SavedAt}, h.cfg.Log.Create(ctx, m, r.Entries, r.Actors)
}

// refusal keeps an error's own code if it has one; everything else may pass.
func refusal(err error, format string, args ...any) error {
	var own *Error
	if errors.As(err, &own) && own.code != ErrUnknown.code {
		return own
	}
	var coded interface{ Code() string }
	if errors.As(err, &coded) {
		return err
	}
	return ErrUnavailable.Because(format, args...)
}

func newDocID() DocID { return DocID(strings.ToLower(ulid.Make().String())) }

// randomName names a log: 128 random bits as 26 characters.
func randomName() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// newActor draws an actor id. 00 at the front is the server's own.
func newActor() (a ActorID) {
	for a[0] == 0 {
		_, _ = rand.Read(a[:])
	}
	return a
}
