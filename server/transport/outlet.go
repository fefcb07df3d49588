package transport

import (
	"encoding/binary"
	"net"
	"sync"
)

// outlet is the sending side of a WebSocket. Messages leave here with one write each, past the library's message writer, which costs more than
// building the frame; its control frames (pong, close) come through Write, also whole, so under one lock frames never mix.
type outlet struct {
	net.Conn

	mu sync.Mutex
	// Guarded by mu.
	closing bool // a close frame is out: nothing follows it
}

// headRoom is what a message leaves free in front of itself for its WebSocket header (RFC 6455 §5.2: a server's frames are not masked).
const headRoom = 10

const (
	finBinary = 0x82
	finClose  = 0x88
)

// message sends what stands in b behind headRoom as one binary message.
func (o *outlet) message(b []byte) error {
	n, at := len(b)-headRoom, 0
	switch {
	case n < 126:
		at = headRoom - 2
		b[at+1] = byte(n)
	case n < 1<<16:
		at = headRoom - 4
		b[at+1] = 126
		binary.BigEndian.PutUint16(b[at+2:], uint16(n))
	default:
		b[1] = 127
		binary.BigEndian.PutUint64(b[2:], uint64(n))
	}
	b[at] = finBinary
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closing {
		return net.ErrClosed
	}
	_, err := o.Conn.Write(b[at:])
	return err
}

// Write is the library's: handshake done, it writes control frames and the farewell to whom has no writer.
func (o *outlet) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closing = o.closing || len(b) > 0 && b[0] == finClose
	return o.Conn.Write(b)
}
