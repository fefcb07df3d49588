package checkpoint

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// loop is the state of Checkpointer.Run. Everything in it is owned by that goroutine; jobs get copies and answer through Checkpointer.results.
type loop struct {
	c       *Checkpointer
	states  map[board.ID]*state
	running int
	flushes []*flush
	jobs    *sync.WaitGroup
	swept   time.Time
}

// job is what one goroutine does for one board.
type job struct {
	kind    jobKind
	id      board.ID
	room    string
	board   string // kind of the board
	leaving bool
	rewrite bool
	bases   bases
	saved   uint64
	problem string    // why the last job failed
	since   time.Time // of the first time in a row
}

// result of a job.
type result struct {
	job      job
	err      error
	seq      uint64 // last committed, as the log says
	saved    uint64
	snapshot uint64
	stuck    uint64
	log      string // incarnation, of a load
	bases    bases
	bytes    int
	events   int
	problem  string
	since    time.Time
}

// dirty takes up boards that were not saved before the last stop, spread over the first interval.
func (l *loop) dirty(ctx context.Context) {
	boards, err := l.c.config.Store.Dirty(ctx)
	if err != nil {
		l.c.log.Error("unsaved boards of the last run are not known and are saved only when they are opened again", "err", err)
		return
	}
	now := time.Now()
	for _, b := range boards {
		s := newState(b, now)
		s.changed(b, now)
		s.left = true
		s.retryAt = now.Add(rand.N(firstInterval))
		l.states[b.ID] = s
	}
}

// collect takes in what boards and rooms said.
func (l *loop) collect() {
	c := l.c
	c.mu.Lock()
	pending, rewrites, rechecks, anew, back := c.pending, c.rewrites, c.rechecks, c.anew, c.back
	c.back = false
	c.pending, c.rewrites, c.rechecks, c.anew = make(map[board.ID]board.Changed), make(map[board.ID]board.Changed), make(map[string]bool), make(map[board.ID]bool)
	c.mu.Unlock()

	now := time.Now()
	for id := range anew {
		if s := l.states[id]; s != nil {
			*s = state{id: id, room: s.room, kind: s.kind, interval: firstInterval, budget: s.budget, running: s.running, void: s.running != jobNone}
		}
	}
	for id, b := range pending {
		s := l.state(id, b, now)
		if s.loaded && s.people == 0 && b.People > 0 && s.running == jobNone {
			s.loaded = false // the board has been opened again and does not know how far its copy is
		}
		s.changed(b, now)
	}
	for id, b := range rewrites {
		if s := l.state(id, b, now); s.room == b.Room && s.kind == b.Kind {
			s.rewrite = true
		}
	}
	for _, s := range l.states {
		if s.refused && rechecks[s.room] {
			s.refused, s.failures, s.retryAt = false, 0, s.triedAt.Add(recheckGap)
		}
		if s.away && back {
			s.away, s.failures, s.retryAt = false, 0, time.Time{}
		}
	}
}

func (l *loop) state(id board.ID, b board.Changed, now time.Time) *state {
	s := l.states[id]
	if s == nil {
		s = newState(b, now)
		l.states[id] = s
	}
	return s
}

// start starts what is due, the longest overdue first, and answers when to look again; zero: when something comes in.
func (l *loop) start(ctx context.Context) time.Time {
	now := time.Now()
	l.sweep(now)
	for l.running < l.c.config.Parallel {
		var chosen *state
		var kind jobKind
		var due time.Time
		for _, s := range l.states {
			s.budget.fill(now)
			if k, at := s.next(now); k != jobNone && (chosen == nil || at.Before(due)) {
				chosen, kind, due = s, k, at
			}
		}
		if chosen == nil || due.After(now) {
			l.settle()
			return due
		}
		l.begin(ctx, chosen, kind, now)
	}
	return time.Time{} // a result comes
}

func (l *loop) begin(ctx context.Context, s *state, kind jobKind, now time.Time) {
	j := job{kind: kind, id: s.id, room: s.room, board: s.kind, leaving: s.left || s.people == 0, rewrite: s.rewrite, bases: s.bases, saved: s.saved, problem: s.problem, since: s.since}
	s.begun(kind, now)
	l.running++
	l.jobs.Go(func() {
		r := l.c.perform(ctx, j)
		select {
		case l.c.results <- r:
		case <-ctx.Done():
		}
	})
}

// finish takes in what a job answers.
func (l *loop) finish(r result) {
	now := time.Now()
	l.running--
	s := l.states[r.job.id]
	s.running = jobNone
	s.budget.fill(now)
	s.budget.spend(r.events, r.bytes)
	if s.void {
		s.void = false
		for _, f := range l.flushes {
			if _, ok := f.left[s.id]; ok {
				s.flush, f.left[s.id] = true, 0
			}
		}
		return
	}
	if r.bases != nil && (r.job.kind == jobWrite || s.bases == nil) {
		s.bases = r.bases
	}
	if r.job.kind >= s.failed && r.job.kind != jobLoad {
		s.problem, s.since = r.problem, r.since
	}
	s.snapshot, s.stuck = max(s.snapshot, r.snapshot), max(s.stuck, r.stuck)
	if r.err == nil {
		if r.job.kind >= s.failed { // a merge for joiners says nothing of a room that does not answer
			s.failed, s.failures, s.retryAt, s.refused, s.away = jobNone, 0, time.Time{}, false, false
		}
		l.succeeded(s, r, now)
	} else {
		s.failed = max(s.failed, r.job.kind)
		refused, least := verdict(r.err)
		s.refused, s.away = refused, unreachable(r.err)
		s.wait(now, least)
	}
	s.merged(&r, now)
	for _, f := range l.flushes {
		target, ok := f.left[s.id]
		switch {
		case !ok:
		case r.err != nil:
			delete(f.left, s.id)
			f.errs = append(f.errs, r.err)
			s.flush = false
		case r.job.kind == jobWrite && s.saved >= target:
			delete(f.left, s.id)
		default: // what was running had begun before the last changes
			s.flush = true
		}
	}
	l.settle()
}

func (l *loop) succeeded(s *state, r result, now time.Time) {
	s.seq = max(s.seq, r.seq)
	switch r.job.kind {
	case jobLoad:
		if s.log != "" && s.log != r.log { // numbers of the old log mean nothing in the new one
			s.seq, s.snapshot, s.stuck, s.bases = r.seq, r.snapshot, 0, r.bases
		}
		s.log = r.log
		s.loaded = true
		s.saved = r.saved
		if s.seq > s.saved && s.dirtySince.IsZero() {
			s.dirtySince, s.changedAt = now, now
		}
	case jobWrite:
		s.saved, s.rewrite, s.flush, s.writtenAt = r.saved, false, false, now
		s.dirtySince = now // of what came in the meantime, if any
		if s.seq <= s.saved {
			s.left, s.dirtySince = false, time.Time{}
		}
	}
}

// flush marks what is to be saved now.
func (l *loop) flush(f *flush) {
	for id, s := range l.states {
		if f.only != "" && f.only != id {
			continue
		}
		if !s.loaded || s.dirty() || s.running == jobWrite {
			s.flush, f.left[id] = true, s.seq
			s.retryAt = time.Time{}
		}
	}
	l.flushes = append(l.flushes, f)
	l.settle()
}

// settle answers the flushes that have nothing left to wait for.
func (l *loop) settle() {
	kept := l.flushes[:0]
	for _, f := range l.flushes {
		for id := range f.left {
			if s := l.states[id]; s == nil {
				delete(f.left, id)
			} else if s.running == jobNone && s.loaded && !s.dirty() && !s.rewrite {
				s.flush = false
				delete(f.left, id)
			}
		}
		if len(f.left) > 0 {
			kept = append(kept, f)
			continue
		}
		f.done <- errors.Join(f.errs...)
	}
	clear(l.flushes[len(kept):])
	l.flushes = kept
}

// sweep forgets boards that are saved and that nobody has been on for a while.
func (l *loop) sweep(now time.Time) {
	if now.Sub(l.swept) < time.Minute {
		return
	}
	l.swept = now
	for id, s := range l.states {
		if s.running == jobNone && s.people == 0 && s.loaded && !s.dirty() && !s.rewrite && now.Sub(later(s.writtenAt, s.changedAt)) > forget {
			delete(l.states, id)
		}
	}
}
