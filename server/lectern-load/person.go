package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/webrtc/v4"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// person draws. leave ends its connection.
type person struct {
	draw  func()
	leave func()
}

// enter connects a person over a lane.
func enter(ctx context.Context, p *process, m *meter, lane string, board, i, size int, api *webrtc.API) (person, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if isRelay(lane) {
		return enterRelay(ctx, p, m, board, i, size)
	}
	var mine atomic.Pointer[[]byte] // actor, once known
	o := client.Options{API: api, Entries: func(_ uint64, list []wire.Entry, _ int) {
		a := mine.Load()
		for _, e := range list {
			m.came(e.Bytes, a != nil && string(e.Actor) == string(*a))
		}
	}}
	c, err := client.Join(ctx, p.URL, loadToken(fmt.Sprintf("p%d-%d", board, i), board), o)
	if err != nil {
		return person{}, err
	}
	w := c.Welcome()
	mine.Store(&w.Actor)
	if lane == "dc" {
		if _, err := c.OpenChannel(ctx); err != nil {
			c.Close()
			return person{}, err
		}
		c.Move(wire.LaneChannel)
	}
	author, err := client.NewAuthor(w.Actor)
	if err != nil {
		c.Close()
		return person{}, err
	}
	doc := w.Docs[0].Doc
	return person{leave: c.Close, draw: func() {
		raw := author.Stroke(size)
		m.send(raw)
		c.Change(doc, 0, raw)
	}}, nil
}

// enterRelay connects a person to the yardstick with frames of the same size.
func enterRelay(ctx context.Context, p *process, m *meter, board, i, size int) (person, error) {
	conn, _, err := websocket.Dial(ctx, fmt.Sprintf("%s?room=%d", p.URL, board), &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}, HTTPHeader: http.Header{}})
	if err != nil {
		return person{}, err
	}
	conn.SetReadLimit(wire.MaxFrame)
	actor := make([]byte, 16)
	binary.BigEndian.PutUint64(actor, uint64(1+board)<<32|uint64(i))
	author, err := client.NewAuthor(actor)
	if err != nil {
		return person{}, err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			_, b, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			f, err := wire.DecodeServer(b)
			e, ok := f.(wire.Entries)
			if err != nil || !ok {
				return
			}
			for _, x := range e.Entries {
				m.came(x.Bytes, string(x.Actor) == string(actor))
			}
		}
	})
	return person{
		leave: func() { _ = conn.CloseNow(); wg.Wait() },
		draw: func() {
			raw := author.Stroke(size)
			m.send(raw)
			f := wire.Entries{From: 1, Entries: []wire.Entry{{Doc: "01hzx3v9k2m8q4w6y7r5t1n0bc", Kind: 1, Actor: actor, Bytes: raw}}}
			_ = conn.Write(context.Background(), websocket.MessageBinary, f.Append(nil)) // a lost relay shows as missing
		},
	}, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// paint calls draw so often per second, from a random moment on, until ctx ends.
func paint(ctx context.Context, hz int, draw func()) {
	every := time.Second / time.Duration(hz)
	if wait(ctx, rand.N(every)) != nil {
		return
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		draw()
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}
