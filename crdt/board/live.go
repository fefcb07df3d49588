package board

import "sync"

const (
	liveSlots   = 4
	livePayload = 8192
)

// liveTable holds the newest payload per session and slot, in the order in which they came. Sessions read it behind a cursor of their
// own, so a slow one costs nothing and gets only the newest.
type liveTable struct {
	dropped func(reason string, n int) // immutable

	mu sync.Mutex
	// Guarded by mu; liveSeen of the sessions too.
	version   uint64
	receivers []*Session
	head      liveSlot // ring: head.next is the oldest, head.prev the newest
}

type liveSlot struct {
	prev, next *liveSlot
	version    uint64
	update     LiveUpdate
}

func (t *liveTable) init(dropped func(string, int)) {
	t.dropped = dropped
	t.head.next, t.head.prev = &t.head, &t.head
}

func (s *liveSlot) unlink() { s.prev.next, s.next.prev = s.next, s.prev }

func (t *liveTable) attach(s *Session) {
	t.mu.Lock()
	t.receivers = append(t.receivers, s)
	t.mu.Unlock()
}

// detach forgets a session and its slots; the others learn it from the list of people.
func (t *liveTable) detach(s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, r := range t.receivers {
		if r == s {
			last := len(t.receivers) - 1
			t.receivers[i], t.receivers[last] = t.receivers[last], nil
			t.receivers = t.receivers[:last]
			break
		}
	}
	for i := range s.slots {
		if l := s.slots[i]; l != nil {
			l.unlink()
			s.slots[i] = nil
		}
	}
	s.liveGone = true
}

// set replaces a slot's payload. Never blocks on anybody.
func (t *liveTable) set(s *Session, slot uint8, payload []byte) {
	if slot >= liveSlots || len(payload) > livePayload {
		t.dropped("live_refused", 1)
		return
	}
	update := LiveUpdate{Session: s.id, Slot: slot, Payload: append([]byte(nil), payload...)}
	t.mu.Lock()
	if s.liveGone {
		t.mu.Unlock()
		return
	}
	l := s.slots[slot]
	old := ^uint64(0)
	if l == nil {
		l = &liveSlot{}
		s.slots[slot] = l
	} else {
		old = l.version
		l.unlink()
	}
	t.version++
	l.version, l.update = t.version, update
	l.prev, l.next = t.head.prev, &t.head
	l.prev.next, t.head.prev = l, l
	overwritten := 0
	for _, r := range t.receivers {
		if r == s {
			continue
		}
		if old != ^uint64(0) && r.liveSeen < old {
			overwritten++
		}
		r.notify()
	}
	t.mu.Unlock()
	if overwritten > 0 {
		t.dropped("live_overwritten", overwritten)
	}
}

// hush clears a session's slots but the cursor's.
func (t *liveTable) hush(s *Session) {
	for slot := uint8(1); slot < liveSlots; slot++ {
		t.mu.Lock()
		l := s.slots[slot]
		shown := l != nil && len(l.update.Payload) > 0
		t.mu.Unlock()
		if shown {
			t.set(s, slot, nil)
		}
	}
}

// collect appends what is new for a session, the oldest first, about batchBytes at most.
func (t *liveTable) collect(s *Session, out []LiveUpdate) []LiveUpdate {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.head.prev
	for l != &t.head && l.version > s.liveSeen {
		l = l.prev
	}
	size := 0
	for l = l.next; l != &t.head; l = l.next {
		if l.update.Session != s.id {
			if size += len(l.update.Payload) + 16; size > batchBytes && len(out) > 0 {
				return out
			}
			out = append(out, l.update)
		}
		s.liveSeen = l.version
	}
	return out
}
