package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// about is a random time between half and one and a half of d.
func about(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// regular is somebody of a soak, until ctx ends: comes, draws, leaves when everything is acknowledged, comes again.
func (s *soaking) regular(ctx context.Context, board, i int) {
	n := &pen{p: s.p, token: loadToken(fmt.Sprintf("r%d-%d", board, i), board)}
	if wait(ctx, rand.N(s.away)) != nil {
		return
	}
	for ctx.Err() == nil {
		s.visits.Add(1)
		if err := s.visit(ctx, n); err != nil {
			s.fail(fmt.Errorf("person %d of board %d: %w", i, board, err))
			n.drop() // what was not acknowledged is gone with this visit
		}
		_ = wait(ctx, about(s.away))
	}
}

// visitEnd bounds joining and leaving.
const visitEnd = 20 * time.Second

func (s *soaking) visit(ctx context.Context, n *pen) error {
	join, cancel := context.WithTimeout(context.WithoutCancel(ctx), visitEnd)
	defer cancel()
	me := &self{}
	var history uint64 // seq at the welcome; both functions run under the client's lock
	o := client.Options{Actor: n.actor, Frame: func(f wire.Frame, _ int) {
		if w, ok := f.(wire.Welcome); ok {
			history = w.Seq
		}
	}}
	o.Entries = func(from uint64, list []wire.Entry, _ int) {
		for i, e := range list {
			if !n.sees(e) && from+uint64(i) > history { // what was there before is no news
				s.m.came(e.Bytes, me.is(e.Actor))
			}
		}
	}
	c, err := client.Join(join, s.p.URL, n.token, o)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	defer c.Close()
	s.here.Add(1)
	defer s.here.Add(-1)
	me.set(c.Welcome().Actor)
	if err := n.take(c); err != nil {
		return err
	}
	until, stop := context.WithTimeout(ctx, about(s.stay))
	defer stop()
	for leaving := false; !leaving; {
		move, cancel := context.WithTimeout(context.WithoutCancel(ctx), visitEnd)
		err := n.draw(move, s.size, s.m.send)
		cancel()
		if err != nil {
			return err
		}
		select {
		case <-time.After(about(s.pause)):
		case <-c.Done():
			return fmt.Errorf("closed: %w", c.Err())
		case <-until.Done():
			leaving = true
		}
	}
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), visitEnd)
	defer cancel()
	s.resets.Add(int64(c.Stats().Resets))
	return n.done(leave)
}
