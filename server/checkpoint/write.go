package checkpoint

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// base is a file in the room's media with a document's save().
type base struct {
	File   json.RawMessage `json:"file"`
	Epoch  uint32          `json:"epoch"`
	Seq    uint64          `json:"seq"`
	SHA256 string          `json:"sha256"`
}

// perform does a job. It runs on its own goroutine and touches nothing of loop.
func (c *Checkpointer) perform(ctx context.Context, j job) result {
	r := result{job: j}
	start := time.Now()
	switch j.kind {
	case jobLoad:
		r.err = c.load(ctx, &r)
	case jobSnapshot:
		_, r.err = c.snapshots(ctx, &r)
	case jobWrite:
		r.err = c.write(ctx, &r)
	}
	c.config.Observe(j.kind.String(), time.Since(start), r.bytes, r.err)
	if stuck, ok := errors.AsType[*stuckError](r.err); ok {
		r.stuck = stuck.seq
	}
	if r.err != nil && ctx.Err() == nil {
		level := c.log.Warn
		if r.stuck > 0 || errors.Is(r.err, board.ErrDamaged) {
			level = c.log.Error
		}
		level("board is not saved to its room", "board", j.id, "room", j.room, "err", r.err)
		r.problem, r.since = problem(r.err), j.since
		if r.problem != j.problem || r.since.IsZero() {
			r.since = start
		}
		c.config.Saved(j.id, c.savedNow(ctx, j.id, r.problem, r.since))
	}
	if r.stuck > 0 {
		r.err = nil // told, and no use in trying again
	}
	return r
}

// savedNow is what the store remembers to be in the room, with the reason why it is not more.
func (c *Checkpointer) savedNow(ctx context.Context, id board.ID, problem string, since time.Time) board.Saved {
	r, err := c.config.Store.Checkpoint(ctx, id)
	if err != nil {
		return board.Saved{Problem: problem, Since: since}
	}
	return board.Saved{Seq: r.Seq, At: r.At, Problem: problem, Since: since}
}

func (c *Checkpointer) load(ctx context.Context, r *result) error {
	meta, err := c.config.Log.Open(ctx, r.job.id)
	if isUnknown(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	rec, err := c.config.Store.Checkpoint(ctx, r.job.id)
	if err != nil {
		return fmt.Errorf("read what was saved before: %w", err)
	}
	r.log, r.seq, r.saved, r.snapshot = meta.Log, meta.Seq, rec.Seq, oldest(meta)
	if r.bases = make(bases); len(rec.Base) > 0 {
		if err := json.Unmarshal(rec.Base, &r.bases); err != nil {
			return board.ErrDamaged.Because("record of the last save: %w", err)
		}
	}
	if rec.Seq > 0 || r.job.problem != "" {
		c.config.Saved(r.job.id, board.Saved{Seq: rec.Seq, At: rec.At, Problem: r.job.problem, Since: r.job.since})
	}
	return nil
}

// oldest is the seq that every document's snapshot has reached.
func oldest(meta board.Meta) uint64 {
	seq := meta.Seq
	for _, d := range meta.Docs {
		seq = min(seq, d.Seq)
	}
	return seq
}

// snapshots merges every document up to the end of the log. With a *stuckError the documents are as far as they go.
func (c *Checkpointer) snapshots(ctx context.Context, r *result) ([]Snapshot, error) {
	meta, err := c.config.Log.Open(ctx, r.job.id)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	var list []Snapshot
	var stuck error
	r.seq, r.snapshot = meta.Seq, meta.Seq
	for _, doc := range meta.Docs {
		s, err := c.advance(ctx, r.job.id, meta, doc)
		if _, ok := errors.AsType[*stuckError](err); ok {
			stuck = err
		} else if err != nil {
			r.snapshot = 0
			return nil, err
		}
		r.snapshot = min(r.snapshot, s.Seq)
		list = append(list, s)
	}
	return list, stuck
}

// write merges, then writes one state event.
func (c *Checkpointer) write(ctx context.Context, r *result) error {
	j := &r.job
	r.saved = j.saved
	meta, err := c.config.Log.Open(ctx, j.id)
	if isUnknown(err) {
		return nil // somebody overwrote the event of a board that is not held here
	}
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	if meta.Room != j.room || meta.Kind != j.board {
		c.log.Warn("an event with the id of another room's board is left alone", "board", j.id, "room", j.room)
		return nil
	}
	h, _, err := c.settle(ctx, j.room, j.board, j.id)
	if err != nil {
		return err
	}
	if !h.ours() { // nothing is written to the room any more, but what is owed
		r.seq, r.saved, r.snapshot = meta.Seq, meta.Seq, meta.Seq
		c.Written(j.room, stateType(j.board), string(j.id))
		return nil
	}
	if err := c.squash(ctx, j.id, h, meta.Docs); err != nil {
		return err
	}
	docs, stuck := c.snapshots(ctx, r)
	if stuck != nil && docs == nil {
		return stuck
	}
	if r.snapshot == 0 || r.snapshot <= j.saved && !j.rewrite {
		return stuck // nothing that is not in the room already
	}
	rec, err := c.config.Store.Checkpoint(ctx, j.id)
	if err != nil {
		return fmt.Errorf("read what was saved before: %w", err)
	}
	m := manifest{V: version, Board: j.id, Kind: meta.Kind, Home: c.config.Home, Term: h.claim(), Taken: h.from(), Carried: h.Carried, Log: meta.Log, Seq: r.snapshot, Files: map[string]json.RawMessage{}}
	if m.Authors, err = c.authors(ctx, j.id, rec, docs); err != nil {
		return err
	}
	rules, err := board.ReadRules(ctx, c.config.Log, j.id)
	if err != nil {
		return fmt.Errorf("read the rules: %w", err)
	}
	if !rules.IsZero() {
		m.Rules = &rules
	}
	r.bases = maps.Clone(j.bases)
	if r.bases == nil {
		r.bases = make(bases)
	}
	room := maxInline
	for _, s := range docs {
		d, err := c.document(ctx, r, s, room)
		if err != nil {
			return err
		}
		room -= len(d.Data)
		m.Docs = append(m.Docs, d)
	}
	whole, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	event, err := c.send(ctx, r, whole)
	if err != nil {
		return err
	}

	next := Record{Seq: m.Seq, At: time.Now().UTC().Truncate(time.Millisecond), EventID: event, Manifest: whole}
	for _, b := range r.bases {
		next.BaseSeq = max(next.BaseSeq, b.Seq)
	}
	if next.Base, err = json.Marshal(r.bases); err != nil {
		return fmt.Errorf("encode the record: %w", err)
	}
	r.saved = m.Seq
	if err := c.config.Store.PutCheckpoint(ctx, j.id, next); err != nil {
		return fmt.Errorf("remember what was saved: %w", err)
	}
	if err := c.taken(ctx, j, m.Term); err != nil {
		return err
	}
	if stuck == nil {
		c.config.Saved(j.id, board.Saved{Seq: m.Seq, At: next.At})
	}
	c.log.Debug("board saved to its room", "board", j.id, "room", j.room, "seq", m.Seq, "bytes", r.bytes)
	return stuck
}

// document puts a snapshot into its form: small enough to stand in the event; a base that is in the room already and the changes since; or a
// new base. While somebody is on the board a new base is made only when the tail does not fit; when the last has left, whenever there is a tail.
func (c *Checkpointer) document(ctx context.Context, r *result, s Snapshot, room int) (manifestDoc, error) {
	d := manifestDoc{Doc: s.Doc, Epoch: s.Epoch, Seq: s.Seq}
	for _, h := range s.Heads {
		d.Heads = append(d.Heads, hex.EncodeToString(h[:]))
	}
	if len(s.Document) <= room {
		delete(r.bases, s.Doc)
		d.SHA256, d.Data = hexSum(s.Document), s.Document
		return d, nil
	}
	if b, ok := r.bases[s.Doc]; ok && b.Epoch == s.Epoch && b.Seq <= s.Seq {
		if r.job.leaving {
			room = 0
		}
		tail, fits, err := c.tail(ctx, r.job.id, board.DocInfo{ID: s.Doc, Epoch: s.Epoch}, b.Seq, s.Seq, room)
		if err != nil {
			return d, err
		}
		if fits {
			d.SHA256, d.Base, d.Data = b.SHA256, b.File, tail
			return d, nil
		}
	}
	file, err := c.upload(ctx, r, s.Document)
	if err != nil {
		return d, fmt.Errorf("upload document %s: %w", s.Doc, err)
	}
	b := base{File: file, Epoch: s.Epoch, Seq: s.Seq, SHA256: hexSum(s.Document)}
	r.bases[s.Doc] = b
	d.SHA256, d.Base = b.SHA256, b.File
	return d, nil
}

// upload counts what a file costs the room.
func (c *Checkpointer) upload(ctx context.Context, r *result, data []byte) (json.RawMessage, error) {
	file, err := c.config.Room.Upload(ctx, data)
	if err == nil {
		r.bytes += len(data)
	}
	return file, err
}

// send writes the manifest: into the event, or where it is too big for that, into a file.
func (c *Checkpointer) send(ctx context.Context, r *result, whole []byte) (string, error) {
	return c.sendAs(ctx, r, stateType(r.job.board), string(r.job.id), whole)
}

func (c *Checkpointer) sendAs(ctx context.Context, r *result, typ, key string, whole []byte) (string, error) {
	for inline := len(whole) <= maxContent; ; inline = false {
		content := whole
		if !inline {
			file, err := c.upload(ctx, r, whole)
			if err != nil {
				return "", fmt.Errorf("upload the manifest: %w", err)
			}
			if content, err = json.Marshal(pointer{V: version, Board: r.job.id, File: file}); err != nil {
				return "", fmt.Errorf("encode the pointer: %w", err)
			}
		}
		event, err := c.config.Room.WriteState(ctx, r.job.room, typ, key, content)
		if refusal, ok := errors.AsType[*RoomError](err); ok && refusal.Kind == TooLarge && inline {
			continue // this homeserver takes less
		}
		if err != nil {
			return "", fmt.Errorf("write the state event: %w", err)
		}
		r.events++
		r.bytes += len(content) * 4 / 3
		return event, nil
	}
}

// authors are the actors of every change in the documents: those of the last manifest and of the log since. Where a document has begun another
// epoch since then, all are read anew: whoever has nothing in the present epochs is not named.
func (c *Checkpointer) authors(ctx context.Context, id board.ID, rec Record, docs []Snapshot) (map[string]board.Person, error) {
	var last manifest
	if len(rec.Manifest) > 0 {
		if err := json.Unmarshal(rec.Manifest, &last); err != nil {
			return nil, board.ErrDamaged.Because("record of the last save: %w", err)
		}
	}
	out, since := last.Authors, rec.Seq
	for _, d := range last.Docs {
		if !slices.ContainsFunc(docs, func(s Snapshot) bool { return s.Doc == d.Doc && s.Epoch == d.Epoch }) {
			out, since = nil, 0
		}
	}
	if out == nil {
		out = make(map[string]board.Person)
	}
	for _, d := range docs {
		for after := since; after < d.Seq; {
			entries, err := c.config.Log.ReadDoc(ctx, id, d.Doc, d.Epoch, after, mergeEntries, mergeBytes)
			if err != nil {
				return nil, fmt.Errorf("read the log after %d: %w", after, err)
			}
			if len(entries) == 0 {
				break
			}
			for _, e := range entries {
				if e.Seq <= d.Seq && content(e) {
					out[hex.EncodeToString(e.Actor[:])] = e.Person
				}
			}
			after = entries[len(entries)-1].Seq
		}
	}
	return out, nil
}
