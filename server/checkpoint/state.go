package checkpoint

import (
	"math/rand/v2"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// When a board is saved.
const (
	firstInterval   = 30 * time.Second // while people draw, doubling
	longestInterval = 5 * time.Minute
	pause           = 5 * time.Second // after the last change
	snapshotAfter   = 300             // changes beyond the newest snapshot: merge without writing to the room, so that the tail of a joiner stays short
	snapshotGap     = 10 * time.Second
	snapshotShare   = 20 // merging for joiners takes at most one part in so many of the time
	leaveGap        = 10 * time.Second
	recheckGap      = 5 * time.Second // between attempts when the room changes
	firstRetry      = 2 * time.Second
	longestRetry    = 5 * time.Minute
	forget          = time.Hour // a saved board nobody is on is remembered so long, for its budget
)

type jobKind uint8

const (
	jobNone     jobKind = iota
	jobLoad             // read what was saved before
	jobSnapshot         // merge for joiners only
	jobWrite            // merge and write to the room
)

func (k jobKind) String() string { return [...]string{"none", "load", "snapshot", "write"}[k] }

// state is what is known of one board. Owned by Checkpointer.Run.
type state struct {
	id         board.ID
	room, kind string

	seq    uint64 // last committed
	people int
	left   bool // the last person has gone since the last write

	log      string // incarnation that was loaded
	loaded   bool
	saved    uint64 // in the room
	snapshot uint64 // merged
	rewrite  bool   // somebody overwrote it, or asked
	flush    bool   // now, whatever the budget says
	stuck    uint64 // the first entry that cannot be merged; 0: none

	changedAt  time.Time // last change
	dirtySince time.Time // first change that is not in the room
	writtenAt  time.Time
	interval   time.Duration
	budget     budget

	mergeAt  time.Time // not before then for joiners' sake
	running  jobKind
	began    time.Time
	void     bool      // what runs is about a log that is gone
	triedAt  time.Time // start of the last write
	failures int
	failed   jobKind // what has failed and not worked since
	retryAt  time.Time
	refused  bool // Forbidden or Revoked: what the room says may end the wait
	away     bool // the homeserver did not answer: its return ends the wait
	bases    bases
	problem  string    // why the last job failed, for whoever opens the board next
	since    time.Time // of the problem
}

// bases are files already uploaded, by document; they outlive a failed write of the event.
type bases map[board.DocID]base

func newState(c board.Changed, now time.Time) *state {
	return &state{id: c.ID, room: c.Room, kind: c.Kind, interval: firstInterval, budget: newBudget(now)}
}

// changed takes in what the board says.
func (s *state) changed(c board.Changed, now time.Time) {
	s.room, s.kind = c.Room, c.Kind // a rewrite may have named a wrong one
	if c.Seq > s.seq {
		if s.seq <= s.saved || s.dirtySince.IsZero() {
			s.dirtySince = now
		}
		if now.Sub(s.changedAt) > longestInterval {
			s.interval = firstInterval
		}
		s.seq, s.changedAt = c.Seq, now
	}
	if c.Epoch > s.stuck {
		s.stuck = 0 // the epoch that it was in is over
	}
	if c.People == 0 && s.people > 0 {
		s.left = true
	}
	s.people = c.People
	if s.people > 0 {
		s.left = false
	}
}

func (s *state) dirty() bool {
	return s.loaded && s.seq > s.saved && (s.stuck == 0 || s.saved+1 < s.stuck)
}

// next is what to do and when. The budget has been filled up to now.
func (s *state) next(now time.Time) (jobKind, time.Time) {
	switch {
	case s.running != jobNone:
		return jobNone, time.Time{}
	case !s.loaded:
		return jobLoad, later(now, s.retryAt)
	case s.flush && (s.dirty() || s.rewrite):
		return jobWrite, now
	}
	kind, at := s.write(now)
	if s.stuck == 0 && s.seq > s.snapshot+snapshotAfter {
		if merge := later(now, s.mergeAt); kind == jobNone || merge.Before(at) {
			return jobSnapshot, merge
		}
	}
	return kind, at
}

func (s *state) write(now time.Time) (jobKind, time.Time) {
	var at time.Time
	switch {
	case s.rewrite:
		at = later(now, s.writtenAt.Add(firstInterval))
	case !s.dirty():
		return jobNone, time.Time{}
	case s.left:
		at = later(now, s.writtenAt.Add(leaveGap))
	default:
		at = s.changedAt.Add(pause)
		since := s.dirtySince
		if s.writtenAt.After(since) {
			since = s.writtenAt
		}
		if due := since.Add(s.interval); due.Before(at) {
			at = due
		}
	}
	return jobWrite, later(later(at, s.budget.ready(s.left)), s.retryAt)
}

// begun notes that a job starts now.
func (s *state) begun(kind jobKind, now time.Time) {
	s.running, s.began = kind, now
	if kind == jobWrite {
		s.triedAt = now
		if now.Sub(s.changedAt) < pause && !s.left { // still drawing
			s.interval = min(2*s.interval, longestInterval)
		} else {
			s.interval = firstInterval
		}
	}
}

// merged sets when documents may be merged again for joiners; the room's troubles do not matter for that.
func (s *state) merged(r *result, now time.Time) {
	switch {
	case r.job.kind == jobLoad:
	case r.err != nil && r.snapshot < r.seq:
		s.mergeAt = s.retryAt
	case r.job.kind == jobSnapshot:
		s.mergeAt = now.Add(max(snapshotGap, snapshotShare*now.Sub(s.began)))
	default:
		s.mergeAt = now.Add(snapshotGap)
	}
}

// wait sets the time of the next attempt: random between half and all of the doubled delay, never before the homeserver allows.
func (s *state) wait(now time.Time, least time.Duration) {
	delay := longestRetry
	if s.failures < 8 {
		delay = min(firstRetry<<s.failures, longestRetry)
	}
	s.failures++
	delay = delay/2 + rand.N(delay/2)
	s.retryAt = now.Add(max(delay, least))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
