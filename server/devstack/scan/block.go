package scan

import (
	"encoding/binary"
	"math/bits"
)

// blockStart tells whether the first block of a DEFLATE stream (RFC 1951 §3.2.3) may begin here.
func blockStart(data []byte) bool {
	if len(data) < 5 {
		return false
	}
	switch data[0] >> 1 & 3 {
	case 0: // stored: the length stands there twice, once inverted
		return binary.LittleEndian.Uint16(data[1:]) == ^binary.LittleEndian.Uint16(data[3:])
	case 1:
		return fixedStart(data)
	case 2:
		return dynamicStart(data)
	default:
		return false
	}
}

// dynamicStart tells whether the header of a block with dynamic codes is possible: the code for the code lengths must be complete.
func dynamicStart(data []byte) bool {
	b := bitReader{data: data, at: 3}
	literals, distances, lengths := b.take(5), b.take(5), b.take(4)+4
	if literals > 29 || distances > 29 {
		return false
	}
	codes, sum := 0, 0
	for range lengths {
		if length := b.take(3); length > 0 {
			codes++
			sum += 128 >> length
		}
	}
	return !b.short && (sum == 128 || codes == 1)
}

// fixedStart decodes the first symbols of a block with fixed codes (RFC 1951 §3.2.6). Random bytes soon point back before their beginning.
func fixedStart(data []byte) bool {
	b := bitReader{data: data, at: 3}
	last := data[0]&1 == 1
	out := 0
	for range 32 {
		symbol := b.fixedSymbol()
		switch {
		case b.short:
			return out >= minCanary
		case symbol < 256:
			out++
		case symbol == 256:
			return !last || out >= minCanary
		case symbol > 285:
			return false
		default:
			length := symbol - 254
			if symbol > 264 && symbol < 285 {
				extra := (symbol - 261) / 4
				length = 3 + (4+(symbol-261)%4)<<extra + b.take(extra)
			} else if symbol == 285 {
				length = 258
			}
			code := int(bits.Reverse8(uint8(b.take(5))) >> 3)
			distance := code + 1
			if code > 3 {
				extra := code/2 - 1
				distance = 1 + (2+code%2)<<extra + b.take(extra)
			}
			if code > 29 || distance > out {
				return false
			}
			out += length
		}
	}
	return true
}

// bitReader reads bits from the lowest of the first byte upwards.
type bitReader struct {
	data  []byte
	at    int  // in bits
	short bool // the data ended too early
}

// take answers the next n bits, n <= 16, as a number whose lowest bit comes first.
func (b *bitReader) take(n int) int {
	first := b.at >> 3
	if b.at+n > 8*len(b.data) {
		b.short = true
		return 0
	}
	var word uint32
	for i := min(2, len(b.data)-1-first); i >= 0; i-- {
		word = word<<8 | uint32(b.data[first+i])
	}
	word >>= b.at & 7
	b.at += n
	return int(word & (1<<n - 1))
}

// fixedSymbol reads a literal or length symbol; its code's highest bit comes first.
func (b *bitReader) fixedSymbol() int {
	code := int(bits.Reverse8(uint8(b.take(7))) >> 1)
	if code <= 0b0010111 {
		return 256 + code
	}
	code = code<<1 | b.take(1)
	switch {
	case code <= 0b10111111:
		return code - 0b00110000
	case code <= 0b11000111:
		return 280 + code - 0b11000000
	default:
		return 144 + (code<<1 | b.take(1)) - 0b110010000
	}
}
