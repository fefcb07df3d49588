package app

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// class registers n people on the demo homeserver and brings them into the demo room.
func (w *world) class(n int) []*devstack.Client {
	w.t.Helper()
	ctx := w.t.Context()
	teacher := w.user(0)
	out := make([]*devstack.Client, n)
	for i := range out {
		c, err := w.hs.NewUser(ctx, fmt.Sprintf("pupil%d", i), fmt.Sprintf("Pupil %d", i))
		if err != nil {
			w.t.Fatal(err)
		}
		if err := teacher.Invite(ctx, w.ready.RoomID, c.UserID); err != nil {
			w.t.Fatal(err)
		}
		if err := c.Join(ctx, w.ready.RoomID); err != nil {
			w.t.Fatal(err)
		}
		out[i] = c
	}
	return out
}

// TestThirtyBehindOneAddress: a class opens the board at the same moment from one address.
func TestThirtyBehindOneAddress(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	w := newWorld(t)
	people := w.class(30)
	t.Run("AU5 thirty people sign in and draw", func(t *testing.T) {
		start := time.Now()
		var g errgroup.Group
		took := make([]time.Duration, len(people))
		for i, c := range people {
			g.Go(func() error {
				d, err := w.open(t.Context(), c, client.Options{})
				if err != nil {
					return fmt.Errorf("person %d: %w", i, err)
				}
				defer d.Close()
				d.stroke()
				err = d.settled(t.Context())
				took[i] = time.Since(start)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		slices.Sort(took)
		t.Logf("OpenID, sign-in, WebSocket, first acknowledged stroke of 30 people behind one address: median %s, last %s", took[15].Round(time.Millisecond), took[29].Round(time.Millisecond))
		if took[29] > 10*time.Second {
			t.Errorf("the last one drew after %s, want within 10 s", took[29])
		}
	})
}

// TestKick measures from the homeserver's 200 until a kicked person has received the last frame, while everybody draws, on both lanes.
func TestKick(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	const n = 50
	w := newWorld(t)
	people := w.class(n)
	teacher := w.user(0)

	type seat struct {
		*draw
		last atomic.Int64 // when a frame of the board came last, Unix ns
		lane int
	}
	api := client.NewAPI()
	seats := make([]*seat, n)
	var open errgroup.Group
	open.SetLimit(10)
	for i, c := range people {
		s := &seat{lane: i % 2}
		seats[i] = s
		seen := func() { s.last.Store(time.Now().UnixNano()) }
		open.Go(func() (err error) {
			s.draw, err = w.open(t.Context(), c, client.Options{API: api, Entries: func(uint64, []wire.Entry, int) { seen() }, Frame: func(f wire.Frame, _ int) {
				if _, bye := f.(wire.Bye); !bye {
					seen()
				}
			}})
			if err == nil && s.lane == 1 {
				if _, err = s.OpenChannel(t.Context()); err == nil {
					s.Move(wire.LaneChannel)
				}
			}
			return err
		})
	}
	if err := open.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range seats {
			s.Close()
		}
	})

	// Everybody draws twice a second until kicked, so that frames never pause for long.
	ctx, stop := context.WithCancel(t.Context())
	var drawing sync.WaitGroup
	for _, s := range seats {
		drawing.Go(func() {
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-s.Done():
					return
				case <-tick.C:
					s.stroke()
				}
			}
		})
	}

	var cut [2][]time.Duration
	for i := range n - 2 { // two stay, so that there is always something to receive
		s := seats[i]
		if _, lane, _ := s.State(); lane != s.lane {
			t.Fatalf("person %d is on lane %d, want %d", i, lane, s.lane)
		}
		if err := teacher.Kick(t.Context(), w.ready.RoomID, people[i].UserID, ""); err != nil {
			t.Fatal(err)
		}
		kicked := time.Now()
		select {
		case <-s.Done():
		case <-time.After(5 * time.Second):
			t.Fatalf("person %d still has a session 5 s after the kick", i)
		}
		last := time.Unix(0, s.last.Load()).Sub(kicked)
		cut[s.lane] = append(cut[s.lane], max(0, last))
		if bye, ok := asBye(s.Err()); !ok || bye.Close != 4403 {
			t.Errorf("person %d: got %v, want close 4403", i, s.Err())
		}
		if status, a, err := w.signIn(t.Context(), people[i], w.ready.RoomID, w.ready.Widgets[0].ID); err != nil || status != 403 || a["code"] != "not_joined" {
			t.Errorf("person %d signs in again: %d %v %v", i, status, a, err)
		}
	}
	stop()
	drawing.Wait()
	t.Run("AU7 a kick ends the session within two seconds on both lanes", func(t *testing.T) {
		for lane, list := range cut {
			slices.Sort(list)
			p99 := list[int(math.Ceil(.99*float64(len(list))))-1]
			t.Logf("lane %d: kick to last frame received, %d kicks: p50 %s, p99 %s", lane, len(list), list[len(list)/2].Round(time.Millisecond), p99.Round(time.Millisecond))
			if p99 > 2*time.Second {
				t.Errorf("lane %d: p99 %s, want at most 2 s", lane, p99)
			}
		}
	})
	t.Run("AU8 demotion and promotion reach a live session", func(t *testing.T) {
		roles := make(chan string, 8)
		watch, err := w.open(t.Context(), people[n-1], client.Options{Frame: func(f wire.Frame, _ int) {
			if r, ok := f.(wire.Role); ok {
				roles <- r.Role
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer watch.Close()
		for _, step := range []struct {
			level int
			role  string
		}{{-1, "viewer"}, {0, "participant"}, {50, "moderator"}} {
			if err := teacher.SetPower(t.Context(), w.ready.RoomID, people[n-1].UserID, step.level); err != nil {
				t.Fatal(err)
			}
			from := time.Now()
			select {
			case got := <-roles:
				if got != step.role {
					t.Fatalf("power %d: got %s, want %s", step.level, got, step.role)
				}
				t.Logf("power level %d effective after %s", step.level, time.Since(from).Round(time.Millisecond))
			case <-time.After(2 * time.Second):
				t.Fatalf("power %d did not take effect within 2 s", step.level)
			}
			if step.level == -1 {
				before := w.scene(watch).Seq
				watch.stroke() // a viewer writes all the same
				for deadline := time.Now().Add(5 * time.Second); watch.Stats().Resets == 0 && time.Now().Before(deadline); {
					time.Sleep(5 * time.Millisecond) // the answer comes over a real socket
				}
				if after := w.scene(watch).Seq; after != before || watch.Stats().Resets != 1 {
					t.Errorf("a viewer's change: seq %d, then %d, %d resets", before, after, watch.Stats().Resets)
				}
			}
		}
	})
}
