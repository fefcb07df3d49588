package change

import "encoding/binary"

// fault collects what went wrong while a column was read; checked once per operation instead of after every number.
type fault uint8

const (
	damaged fault = 1 << iota // cannot be read
	odd                       // can be read, but Automerge writes it otherwise
)

// err is nil without a fault, ErrNotCanonical where only the form is wrong, else the reason given.
func (f fault) err(otherwise *Error) error {
	switch {
	case f&damaged != 0:
		return otherwise
	case f&odd != 0:
		return ErrNotCanonical
	}
	return nil
}

// or is the reason why an entry that must be there is not: not canonical where only the form is wrong, else the reason given.
func (f fault) or(e *Error) error {
	if f == odd {
		return ErrNotCanonical
	}
	return e
}

// cursor reads numbers and bytes from the front of b. After a fault it stays where it is and answers zeros.
type cursor struct {
	b     []byte
	fault fault
}

// uleb reads an unsigned LEB128 number of at most 64 bits.
func (c *cursor) uleb() uint64 {
	b := c.b
	if len(b) > 0 && b[0] < 0x80 {
		c.b = b[1:]
		return uint64(b[0])
	}
	v, n := binary.Uvarint(b)
	switch {
	case n <= 0:
		c.fault |= damaged
		return 0
	case b[n-1] == 0: // n > 1 here
		c.fault |= odd
		return 0
	}
	c.b = b[n:]
	return v
}

// sleb reads a signed LEB128 number of at most 64 bits.
func (c *cursor) sleb() int64 {
	b := c.b
	if len(b) > 0 && b[0] < 0x80 {
		c.b = b[1:]
		return int64(int8(b[0]<<1)) >> 1
	}
	var v int64
	for i, x := range b[:min(len(b), 10)] {
		v |= int64(x&0x7f) << (7 * i)
		if x >= 0x80 {
			continue
		}
		if i == 9 && x != 0 && x != 0x7f {
			break // more than 64 bits
		}
		if x == 0 && b[i-1]&0x40 == 0 || x == 0x7f && b[i-1]&0x40 != 0 { // i > 0 here
			c.fault |= odd
			return 0
		}
		if s := 7 * (i + 1); s < 64 && x&0x40 != 0 {
			v |= -1 << s
		}
		c.b = b[i+1:]
		return v
	}
	c.fault |= damaged
	return 0
}

// take reads n bytes; the result aliases the input.
func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.fault |= damaged
		return nil
	}
	x := c.b[:n:n]
	c.b = c.b[n:]
	return x
}
