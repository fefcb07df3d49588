package main

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"os"
	"sync"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"

	"github.com/educationpub/lectern/server/wire"
)

// The yardsticks fan out and do nothing else: no check, no order, no sign-in. One writer goroutine per socket, a bounded queue. The bare one
// keeps nothing; the durable one appends to one file for all rooms and sends after fdatasync, and what arrives meanwhile is the next batch.

// yard is the rooms of a relay.
type yard struct {
	mu sync.Mutex
	// Guarded by mu.
	rooms map[string]map[chan []byte]bool
}

func (y *yard) enter(room string, q chan []byte) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.rooms[room] == nil {
		y.rooms[room] = map[chan []byte]bool{}
	}
	y.rooms[room][q] = true
}

func (y *yard) leave(room string, q chan []byte) {
	y.mu.Lock()
	defer y.mu.Unlock()
	delete(y.rooms[room], q)
}

func (y *yard) send(m message) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for to := range y.rooms[m.room] {
		select {
		case to <- m.bytes:
		default: // a yardstick may drop; the count of deliveries shows it
		}
	}
}

type message struct {
	room  string
	bytes []byte
}

func relay(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("relay", flag.ExitOnError)
	listen := fs.String("listen", "127.0.0.1:0", "address on loopback")
	file := fs.String("durable", "", "append to this file and fdatasync before sending")
	_ = fs.Parse(args) // exits
	y := &yard{rooms: map[string]map[chan []byte]bool{}}
	take := y.send
	ended := make(chan error, 1)
	if *file == "" {
		ended <- nil
	} else {
		f, err := os.OpenFile(*file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		queue := make(chan message, 4096)
		take = func(m message) {
			select {
			case queue <- m:
			case <-ctx.Done():
			}
		}
		go func() { ended <- journal(ctx, f, queue, y.send) }() // joined below
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/connect", func(w http.ResponseWriter, r *http.Request) { y.serve(w, r, take) })
	err := listenLoopback(ctx, *listen, mux, ready{}, false)
	return errors.Join(err, <-ended)
}

// journal writes what waits with one write and one fdatasync, then sends it.
func journal(ctx context.Context, f *os.File, queue <-chan message, send func(message)) error {
	defer f.Close()
	var batch []message
	var text []byte
	for {
		select {
		case m := <-queue:
			batch = append(batch[:0], m)
		case <-ctx.Done():
			return nil
		}
	more:
		for len(batch) < cap(queue) {
			select {
			case m := <-queue:
				batch = append(batch, m)
			default:
				break more
			}
		}
		text = text[:0]
		for _, m := range batch {
			text = append(text, m.bytes...)
		}
		if _, err := f.Write(text); err != nil {
			return err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
		for _, m := range batch {
			send(m)
		}
	}
}

func (y *yard) serve(w http.ResponseWriter, r *http.Request, take func(message)) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	room, q, done := r.URL.Query().Get("room"), make(chan []byte, 1024), make(chan struct{})
	y.enter(room, q)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case b := <-q:
				if conn.Write(context.Background(), websocket.MessageBinary, b) != nil {
					return
				}
			case <-done:
				return
			}
		}
	})
	for {
		_, b, err := conn.Read(context.Background())
		if err != nil {
			break
		}
		take(message{room, b})
	}
	y.leave(room, q)
	close(done)
	wg.Wait()
}
