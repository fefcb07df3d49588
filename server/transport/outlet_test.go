package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/coder/websocket"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

func TestOutlet(t *testing.T) {
	t.Run("WS4 a message of any length leaves with one write and the header of its length", func(t *testing.T) {
		for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536} {
			here, there := net.Pipe() // a read takes at most what one write brought
			o := &outlet{Conn: here}
			want := bytes.Repeat([]byte{7}, n)
			sent := make(chan error, 1)
			go func() { sent <- o.message(append(make([]byte, headRoom), want...)) }()
			got := make([]byte, n+headRoom)
			m, err := there.Read(got)
			if err != nil {
				t.Fatal(err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			got = got[:m]
			if got[0] != 0x82 {
				t.Fatalf("%d bytes: first byte %#x, want a whole binary message", n, got[0])
			}
			length, head := uint64(got[1]), 2
			switch length {
			case 126:
				length, head = uint64(binary.BigEndian.Uint16(got[2:])), 4
			case 127:
				length, head = binary.BigEndian.Uint64(got[2:]), 10
			}
			if length != uint64(n) || !bytes.Equal(got[head:], want) || head > 2 && n < 126 || head > 4 && n < 65536 {
				t.Errorf("%d bytes: header of %d bytes says %d, %d bytes follow", n, head, length, len(got)-head)
			}
		}
	})
	t.Run("WS4 nothing follows a close frame", func(t *testing.T) {
		here, there := net.Pipe()
		o := &outlet{Conn: here}
		go func() { _, _ = io.Copy(io.Discard, there) }() // ends with the pipe
		if _, err := o.Write([]byte{finClose, 0}); err != nil {
			t.Fatal(err)
		}
		if err := o.message(make([]byte, headRoom+1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want %v", err, net.ErrClosed)
		}
		_ = there.Close()
	})
	t.Run("WS4 control frames of the library stand between messages, never in them", func(t *testing.T) {
		h := newHouse(t, nil)
		const changes = 300
		conn := h.raw(wire.Auth{Token: token("eva")}.Append(nil), wire.Hello{}.Append(nil))
		came := make(chan error, 1)
		go func() { // ends with the connection
			for n := 0; n < changes; {
				kind, b, err := conn.Read(h.ctx())
				if err != nil || kind != websocket.MessageBinary {
					came <- errors.Join(errors.New("the stream of messages broke"), err)
					return
				}
				f, err := wire.DecodeServer(b)
				if err != nil {
					came <- err
					return
				}
				if e, ok := f.(wire.Entries); ok {
					n += len(e.Entries)
				}
			}
			came <- nil
		}()
		ada := h.join("ada", client.Options{})
		a, err := client.NewAuthor(ada.Welcome().Actor)
		if err != nil {
			t.Fatal(err)
		}
		for i := range changes {
			ada.Change(ada.Welcome().Docs[0].Doc, 0, a.Stroke(4+i%300))
			if i%3 == 0 {
				if err := conn.Ping(h.ctx()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := <-came; err != nil {
			t.Fatal(err)
		}
	})
}
