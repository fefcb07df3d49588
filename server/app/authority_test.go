package app

import (
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

var decisions = flag.Int("decisions", 1, "how often each decision is taken in TestAuthority")

// pupil draws once a second whatever anybody decides.
type pupil struct {
	user *devstack.Client
	lane int

	mu    sync.Mutex
	d     *draw     // guarded by mu
	actor []byte    // guarded by mu; a new one, after a refusal
	mute  bool      // guarded by mu; refused without one
	last  time.Time // guarded by mu; when a frame of the board came
	told  time.Time // guarded by mu; when a decision (role, rules) came
}

// note writes down when something happened.
func (p *pupil) note(f func(p *pupil)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *pupil) times() (last, told time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.told
}

// options: the callbacks run under the client's lock and must not call it.
func (p *pupil) options() client.Options {
	return client.Options{
		Entries: func(_ uint64, list []wire.Entry, _ int) {
			p.note(func(p *pupil) {
				p.last = time.Now()
				if slices.ContainsFunc(list, func(e wire.Entry) bool { return e.Kind == uint8(board.KindRules) }) {
					p.told = p.last
				}
			})
		},
		Frame: func(f wire.Frame, _ int) {
			p.note(func(p *pupil) {
				switch f := f.(type) {
				case wire.Bye:
				case wire.Reset:
					p.actor, p.mute = f.Actor, len(f.Actor) == 0
				case wire.Role:
					p.told = time.Now()
				default:
					p.last = time.Now()
				}
			})
		},
	}
}

// scribble draws in one session until it ends.
func (p *pupil) scribble(d *draw, own func(actor []byte), stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	d.author.Strokes = 2
	for {
		select {
		case <-stop:
			return
		case <-d.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		actor, mute := p.actor, p.mute
		p.actor = nil
		p.mu.Unlock()
		if mute {
			return // without an actor there is nothing to draw with until they come again
		}
		if len(actor) > 0 {
			if a, err := client.NewAuthor(actor); err == nil {
				d.author, a.Strokes = a, 2
				own(actor)
			}
		}
		d.stroke()
	}
}

// watched is what the teacher sees of the pupils' changes.
type watched struct {
	mu     sync.Mutex
	owner  map[string]int    // guarded by mu; which pupil an actor is
	seen   map[int]time.Time // guarded by mu; when a change of a pupil came last
	locked bool              // guarded by mu; as the log says
	broken []string          // guarded by mu; changes of pupils behind a lock
	any    time.Time         // guarded by mu
}

func (o *watched) entries(_ uint64, list []wire.Entry, _ int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range list {
		if e.Kind == uint8(board.KindRules) {
			o.locked = !o.locked
			continue
		}
		if i, ok := o.owner[string(e.Actor)]; ok {
			o.seen[i], o.any = time.Now(), time.Now()
			if o.locked {
				o.broken = append(o.broken, fmt.Sprint("pupil ", i))
			}
		}
	}
}

func (o *watched) own(actor []byte, pupil int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owner[string(actor)] = pupil
}

func (o *watched) lastOf(i int) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i < 0 {
		return o.any
	}
	return o.seen[i]
}

// TestAuthority takes every decision of a moderator while 50 people draw, on both lanes, and measures from the homeserver's (or, for locks, Lectern's) answer
// until it holds. -decisions 20 is `make authority`.
func TestAuthority(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	const n = 50
	w := newWorld(t)
	ctx, room := t.Context(), w.ready.RoomID
	users, teacher := w.class(n), w.user(0)
	eye := &watched{owner: map[string]int{}, seen: map[int]time.Time{}}
	desk := w.mustOpen(teacher, client.Options{Entries: eye.entries})
	api, stop := client.NewAPI(), make(chan struct{})
	var drawing sync.WaitGroup
	pupils := make([]*pupil, n)

	sit := func(i int) error {
		p := pupils[i]
		o := p.options()
		o.API = api
		d, err := w.open(ctx, p.user, o)
		if err != nil {
			return err
		}
		if p.lane == wire.LaneChannel {
			if _, err := d.OpenChannel(ctx); err != nil {
				d.Close()
				return err
			}
			d.Move(wire.LaneChannel)
		}
		own := func(actor []byte) { eye.own(actor, i) }
		own(d.Welcome().Actor)
		p.note(func(p *pupil) { p.d, p.actor, p.mute = d, nil, false })
		drawing.Go(func() { p.scribble(d, own, stop) })
		return nil
	}
	var opening errgroup.Group
	opening.SetLimit(10)
	for i, u := range users {
		pupils[i] = &pupil{user: u, lane: i % 2}
		opening.Go(func() error { return sit(i) })
	}
	if err := opening.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(stop)
		drawing.Wait()
		for _, p := range pupils {
			p.d.Close()
		}
	})
	time.Sleep(1500 * time.Millisecond) // everybody has drawn

	result := map[string][]time.Duration{}
	add := func(what string, d time.Duration) { result[what] = append(result[what], max(0, d)) }
	const settle = 750 * time.Millisecond // nothing that was on its way comes later; and a moderator has 30 decisions a minute

	removal := func(what string, i int, do func() error) {
		t.Helper()
		p := pupils[i]
		if err := do(); err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		select {
		case <-p.d.Done():
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: pupil %d still has a session after 5 s", what, i)
		}
		time.Sleep(settle)
		last, _ := p.times()
		add(what+": last frame to the person", last.Sub(at))
		add(what+": last change of theirs that others saw", eye.lastOf(i).Sub(at))
	}
	power := func(what string, i, level int) {
		t.Helper()
		p := pupils[i]
		if err := teacher.SetPower(ctx, room, p.user.UserID, level); err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		time.Sleep(settle)
		_, told := p.times()
		if told.Before(at.Add(-settle)) {
			t.Fatalf("%s: pupil %d was not told within %v", what, i, settle)
		}
		add(what+": the person's page knows", told.Sub(at))
		if level >= 0 {
			p.d.Close()
			if err := sit(i); err != nil {
				t.Fatal(err)
			}
			return
		}
		add(what+": last change of theirs that others saw", eye.lastOf(i).Sub(at))
	}
	rule := func(what, body string) {
		t.Helper()
		if got := w.do(desk.token, "POST", "/v1/boards/"+desk.Welcome().Board+"/rules", body); got != "204" && got != "200" {
			t.Fatalf("%s: %s", what, got)
		}
		at := time.Now()
		time.Sleep(settle)
		for i, p := range pupils {
			select {
			case <-p.d.Done():
				continue
			default:
			}
			_, told := p.times()
			if told.Before(at.Add(-settle)) {
				t.Errorf("%s: pupil %d was not told within %v", what, i, settle)
			}
			add(what+": every page knows", told.Sub(at))
		}
		if body != `{"draw":""}` {
			add(what+": last change of a pupil that others saw", eye.lastOf(-1).Sub(at))
		}
	}
	for k := range *decisions {
		removal("kick", k, func() error { return teacher.Kick(ctx, room, users[k].UserID, "") })
		removal("ban", 20+k, func() error { return teacher.Ban(ctx, room, users[20+k].UserID, "") })
		power("demote", 40+k%10, -1)
		power("promote", 40+k%10, 0)
		rule("moderators only", `{"draw":"moderators"}`)
		rule("everybody again", `{"draw":""}`)
	}
	eye.mu.Lock()
	defer eye.mu.Unlock()
	if len(eye.broken) > 0 {
		t.Errorf("RU2 changes behind a lock: %v", eye.broken)
	}
	if eye.any.IsZero() || time.Since(eye.any) > 5*time.Second {
		t.Errorf("nobody has drawn at the end: the last change came %v ago", time.Since(eye.any))
	}
	names := make([]string, 0, len(result))
	for k := range result {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		l := result[k]
		slices.Sort(l)
		p99 := l[(len(l)*99+99)/100-1]
		t.Logf("%-48s n %4d  p50 %4d ms  p99 %4d ms", k, len(l), l[len(l)/2].Milliseconds(), p99.Milliseconds())
		if p99 > 2*time.Second {
			t.Errorf("AU7 %s: p99 %v, want at most 2 s", k, p99)
		}
	}
}
