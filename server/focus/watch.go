package focus

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/educationpub/lectern/server/focus/livekit"
	"github.com/educationpub/lectern/server/identity"
)

const (
	lookEvery  = 5 * time.Second // at calls and memberships, besides what webhooks tell
	maxDevices = 5               // of one person in one call
)

// watched is a room whose list somebody has waited for since the start.
type watched struct {
	revision uint64
	changed  chan struct{} // closed at the next revision
}

// Run looks after calls until ctx ends, once the companion knows its rooms: at once when LiveKit or the companion tell of a change, and every few seconds because webhooks get lost.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	s.findCalls(ctx)
	s.markAll()
	for {
		for _, room := range s.takeDirty() {
			s.lookAfter(ctx, room)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		case <-tick.C:
			s.findCalls(ctx)
			s.markAll()
		}
	}
}

// RoomChanged: members or power levels of a room have changed. It returns at once.
func (s *Service) RoomChanged(room string) {
	s.mu.Lock()
	_, call := s.calls[Alias(room, Slot)]
	if call = call || s.watched[room] != nil; call {
		s.dirty[room] = true
	}
	s.mu.Unlock()
	if call {
		s.poke()
	}
}

// Webhook takes what LiveKit tells. The body's signature has been asked for here; errors are *identity.Error.
func (s *Service) Webhook(authorization string, body []byte) error {
	e, err := s.cfg.SFU.Credentials().Webhook(authorization, body, s.cfg.Now())
	if err != nil {
		s.cfg.Observe(Observation{"webhook", "unsigned"})
		return &identity.Error{Status: 401, Code: "webhook_unsigned", Message: "This webhook is not signed by our call server.", Cause: err}
	}
	s.cfg.Observe(Observation{"webhook", "ok"})
	s.mu.Lock()
	room, known := s.calls[e.Room.Name]
	if !known {
		if room, known = s.seals.room(e.Room.Name, e.Room.Metadata); known {
			s.calls[e.Room.Name] = room
		}
	}
	if known {
		s.dirty[room] = true
	}
	s.mu.Unlock()
	if known {
		s.poke()
	}
	return nil
}

func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake, or will be
	}
}

func (s *Service) takeDirty() (rooms []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for room := range s.dirty {
		rooms = append(rooms, room)
	}
	clear(s.dirty)
	return rooms
}

// markAll has every call looked after, and every room that says it has one.
func (s *Service) markAll() {
	var said []string
	for _, room := range s.cfg.Rooms.Rooms() {
		if len(s.cfg.Rooms.Memberships(room)) > 0 {
			said = append(said, room)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, room := range s.calls {
		s.dirty[room] = true
	}
	for _, room := range said {
		s.dirty[room] = true
	}
}

// findCalls asks LiveKit which calls there are: after a start, and in case it has started anew.
func (s *Service) findCalls(ctx context.Context) {
	rooms, err := s.cfg.SFU.ListRooms(ctx)
	if s.asked(err) != nil {
		return
	}
	now := map[string]string{}
	for _, r := range rooms {
		if room, ok := s.seals.room(r.Name, r.Metadata); ok {
			now[r.Name] = room
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for alias := range s.calls {
		if _, there := now[alias]; !there {
			delete(s.calls, alias) // the next token or webhook brings it back
		}
	}
	maps.Copy(s.calls, now)
}

// lookAfter sees to it that nobody is in a call who may not be, that everybody may publish what they may and no more, and that the room does not list devices that are gone.
func (s *Service) lookAfter(ctx context.Context, room string) {
	alias := Alias(room, Slot)
	people, err := s.cfg.SFU.ListParticipants(ctx, alias)
	if s.asked(err) != nil {
		s.bump(room)
		return
	}
	devices := map[string]int{}
	for _, p := range people {
		d, ok := s.seals.device(alias, p.Identity, p.Metadata)
		if !ok {
			continue // an operator's recorder; the list marks it
		}
		devices[d.Person]++
		if err := s.enforce(ctx, room, alias, p, d, devices[d.Person]); err != nil && !livekit.IsNotFound(err) && ctx.Err() == nil {
			s.cfg.Log.Warn("a participant's rights could not be enforced; trying again", "err", err)
			s.again(room)
		}
	}
	s.tidy(ctx, room, alias, people)
	s.bump(room)
}

// again looks after a room once more, a moment later.
func (s *Service) again(room string) {
	time.AfterFunc(time.Second, func() {
		s.mu.Lock()
		s.dirty[room] = true
		s.mu.Unlock()
		s.poke()
	})
}

// enforce removes a participant who may not be in the call, or sets what it may publish.
func (s *Service) enforce(ctx context.Context, room, alias string, p livekit.Participant, d Device, nth int) error {
	st, _ := s.cfg.Rooms.Standing(room, d.Person)
	why := ""
	switch {
	case !st.Joined || !st.Complete:
		why = "not_joined"
	case s.decision(room, d.Person).Removed:
		why = "call_removed"
	case s.endedFor(room) > 0:
		why = "call_ended"
	case nth > maxDevices:
		why = "too_many_devices"
	}
	if why != "" {
		s.cfg.Observe(Observation{"removed", why})
		return s.asked(s.cfg.SFU.RemoveParticipant(ctx, alias, p.Identity))
	}
	want := permissionOf(s.sources(room, d.Person, st))
	if permits(p.Permission, want) {
		return nil
	}
	return s.asked(s.cfg.SFU.SetPermission(ctx, alias, p.Identity, want))
}

// permits compares what a participant may publish.
func permits(have, want livekit.Permission) bool {
	if have.CanPublish != want.CanPublish || have.CanPublishData != want.CanPublishData {
		return false
	}
	if !want.CanPublish {
		return true
	}
	a := map[livekit.Source]bool{}
	for _, src := range have.Sources {
		a[src] = true
	}
	for _, src := range want.Sources {
		if !a[src] {
			return false
		}
	}
	return len(a) == len(want.Sources)
}

// --- stale memberships ---

// devices notes when those who say they are in a call were last seen there.
type devices struct {
	seen   map[string]bool      // event of the membership: its device was connected
	absent map[string]time.Time // event of the membership: since when it is not
}

func newDevices() devices {
	return devices{seen: map[string]bool{}, absent: map[string]time.Time{}}
}

const (
	goneAfterSeen = 15 * time.Second // a device that was connected may be reconnecting
	goneAfter     = time.Minute      // one that never was may have a slow line, or be in doubt about its camera
)

// tidy empties memberships whose device is not connected to LiveKit: a browser that crashed would stand there for four hours.
func (s *Service) tidy(ctx context.Context, room, alias string, people []livekit.Participant) {
	here := map[Device]bool{}
	for _, p := range people {
		if d, ok := s.seals.device(alias, p.Identity, p.Metadata); ok {
			here[d] = true
		}
	}
	now := s.cfg.Now()
	for _, m := range s.cfg.Rooms.Memberships(room) {
		if !s.ours(m.Focus) {
			continue
		}
		if here[Device{m.Person, m.Device}] {
			s.devices.seen[m.Event] = true
			delete(s.devices.absent, m.Event)
			continue
		}
		since, known := s.devices.absent[m.Event]
		if !known {
			s.devices.absent[m.Event] = now
			continue
		}
		limit := goneAfter
		if s.devices.seen[m.Event] {
			limit = goneAfterSeen
		}
		if now.Sub(since) < limit {
			continue
		}
		delete(s.devices.absent, m.Event)
		delete(s.devices.seen, m.Event)
		if err := s.cfg.Rooms.SetState(ctx, room, MembershipType, m.Key, struct{}{}); err != nil {
			s.cfg.Log.Warn("a device that is gone still stands in the room as being in the call", "room", room, "err", err)
			continue
		}
		s.cfg.Observe(Observation{"membership_cleared", "ok"})
	}
	if len(s.devices.seen)+len(s.devices.absent) > 4*maxDecisions { // of memberships that were replaced or left
		s.devices = newDevices()
	}
}

// ours tells whether a membership's focus is this one.
func (s *Service) ours(focus string) bool {
	return strings.TrimRight(focus, "/") == s.cfg.Own
}

// --- waiting for changes ---

// bump tells those who wait that a room's list may have changed.
func (s *Service) bump(room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.watched[room]; w != nil {
		w.revision++
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

// wait answers a room's revision as soon as it is another than the given one, or when ctx ends.
func (s *Service) wait(ctx context.Context, room string, revision uint64) uint64 {
	s.mu.Lock()
	w := s.watched[room]
	if w == nil {
		// Revisions begin at the time: a page that saw an earlier Lectern is told at once.
		w = &watched{revision: uint64(s.cfg.Now().UnixMilli()), changed: make(chan struct{})}
		s.watched[room] = w
	}
	now, changed := w.revision, w.changed
	s.mu.Unlock()
	if now != revision {
		return now
	}
	select {
	case <-changed:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return w.revision
}
