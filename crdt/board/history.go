package board

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

// errEnough ends readDoc: nothing behind the entry is wanted.
var errEnough = errors.New("enough")

// What a page was, and who made what is on it: answered from the log, which nobody can write but through the checks of a commit (SPEC ER). It reads beside the
// board and does not wait for it.

const (
	versionPause  = 10 * time.Minute // nobody drew for so long: what was there then is a version
	versionBurst  = time.Minute      // what one person removes with shorter pauses is one removal
	versionLeast  = 3                // elements removed
	versionEpochs = 8                // looked through, the newest
	maxVersions   = 30
)

// Version is a moment to go back to: everything up to the entry Seq.
type Version struct {
	Seq uint64
	At  time.Time // of what came next: the removal, or of the last change before a pause
	// Why: VersionRemoved or VersionPause.
	Why   string
	By    Person // who removed
	Count int    // elements removed
}

// Reasons of versions.
const (
	VersionRemoved = "removed"
	VersionPause   = "pause"
)

// Versions lists moments of a page, the newest first: before much was removed, and before nobody drew for a while. The room's moderators may ask.
func (h *Hub) Versions(ctx context.Context, room string, by Person, id ID, doc DocID) ([]Version, error) {
	epoch, done, err := h.history(ctx, room, by, id, doc)
	if err != nil {
		return nil, err
	}
	defer done()
	var out []Version
	for n := 0; n < versionEpochs && len(out) < maxVersions; n++ {
		found, err := h.versions(ctx, id, doc, epoch)
		if err != nil && !errors.Is(err, errGone) {
			return nil, err
		}
		out = append(found, out...)
		if epoch == 0 || err != nil {
			break
		}
		epoch--
	}
	slices.Reverse(out)
	return out[:min(len(out), maxVersions)], nil
}

// versions are those of one epoch, in order.
func (h *Hub) versions(ctx context.Context, id ID, doc DocID, epoch uint32) (out []Version, err error) {
	var last Entry // without bytes
	p := schema.NewPage()
	open := -1 // the removal that goes on, in out
	var upto time.Time
	err = readDoc(ctx, h.cfg.Log, id, doc, epoch, func(e *Entry) error {
		if e.Kind == KindErased {
			return errGone
		}
		before := p.Visible()
		if err := replay(p, e); err != nil {
			return err
		}
		if e.Kind != KindEpoch {
			if last.Seq > 0 && last.Kind != KindEpoch && e.At.Sub(last.At) > versionPause {
				out = append(out, Version{Seq: last.Seq, At: last.At, Why: VersionPause})
				open = -1
			}
			if n := before - p.Visible(); n > 0 {
				if open >= 0 && out[open].By == e.Person && e.At.Sub(upto) < versionBurst {
					out[open].Count += n
				} else {
					out = append(out, Version{Seq: e.Seq - 1, At: e.At, Why: VersionRemoved, By: e.Person, Count: n})
					open = len(out) - 1
				}
				upto = e.At
			}
		}
		last = Entry{Seq: e.Seq, At: e.At, Kind: e.Kind}
		return nil
	})
	few := func(v Version) bool { return v.Why == VersionRemoved && v.Count < versionLeast }
	return slices.DeleteFunc(out, few), err
}

// Version answers what a page showed after an entry. ErrUnknownEpoch: that part of its history is not kept any more.
func (h *Hub) Version(ctx context.Context, room string, by Person, id ID, doc DocID, seq uint64) ([]Element, error) {
	epoch, done, err := h.history(ctx, room, by, id, doc)
	if err != nil {
		return nil, err
	}
	defer done()
	for ; ; epoch-- {
		p := schema.NewPage()
		began := epoch == 0
		err := readDoc(ctx, h.cfg.Log, id, doc, epoch, func(e *Entry) error {
			switch {
			case e.Kind == KindErased:
				return errGone
			case e.Seq > seq:
				return errEnough
			}
			began = true
			return replay(p, e)
		})
		switch {
		case errors.Is(err, errGone):
			return nil, ErrUnknownEpoch
		case err != nil:
			return nil, err
		case began:
			return p.Still().Elements(), nil
		}
	}
}

// Drew answers who made an element, and when: the first of whoever's change made it, in whichever epoch that was. ErrUnknownEpoch: the log does not tell, because
// the board was restored, or that part of its history is not kept any more.
func (h *Hub) Drew(ctx context.Context, id ID, doc DocID, element string) (who Person, at time.Time, err error) {
	meta, done, err := h.reading(ctx, id, doc)
	if err != nil {
		return "", at, err
	}
	defer done()
	for epoch := uint32(0); epoch <= meta.Epoch; epoch++ {
		err := readDoc(ctx, h.cfg.Log, id, doc, epoch, func(e *Entry) error {
			if e.Kind != KindEpoch && makes(e.Bytes, element) {
				who, at = e.Person, e.At
				return errEnough
			}
			return nil
		})
		if err != nil || who != "" {
			return who, at, err
		}
	}
	return "", at, ErrUnknownEpoch
}

// makes says whether a change makes the element of that id.
func makes(chunk []byte, id string) bool {
	var c change.Change
	if !bytes.Contains(chunk, []byte(id)) || c.Parse(chunk, &change.StoredLimits) != nil { // keys stand in a chunk as they are, so most need not be read
		return false
	}
	var d change.Decoder
	d.Reset(&c)
	for op := range d.Ops() {
		if op.Action == change.MakeMap && string(op.Key) == id {
			return true
		}
	}
	return false
}

// history is for moderators; it answers the page's present epoch.
func (h *Hub) history(ctx context.Context, room string, by Person, id ID, doc DocID) (epoch uint32, done func(), err error) {
	if role, _ := h.cfg.Authority(room, by); role < RoleModerator {
		return 0, nil, ErrForbidden.Saying("Only moderators of this room can go back in a page's history.")
	}
	info, done, err := h.reading(ctx, id, doc)
	return info.Epoch, done, err
}

// reading waits for its turn: one history is read at a time, because it takes a while of one CPU.
func (h *Hub) reading(ctx context.Context, id ID, doc DocID) (DocInfo, func(), error) {
	select {
	case h.histories <- struct{}{}:
	case <-ctx.Done():
		return DocInfo{}, nil, ctx.Err()
	}
	done := func() { <-h.histories }
	meta, err := h.cfg.Log.Open(ctx, id)
	if err == nil {
		for _, d := range meta.Docs {
			if d.ID == doc {
				return d, done, nil
			}
		}
		err = ErrUnknownDoc
	}
	done()
	return DocInfo{}, nil, err
}
