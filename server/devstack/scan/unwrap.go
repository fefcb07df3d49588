package scan

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/binary"
	"io"
	"iter"
)

// piece is something unwrapped by one step.
type piece struct {
	wrapping string
	data     []byte
	// deeper is false for what is almost certainly chance: random bytes that happened to decode. It is searched, not unwrapped again.
	deeper bool
}

// unwrap yields everything in data that can be unwrapped by one step.
func (s *scanner) unwrap(data []byte, depth int) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		for inner := range base64Runs(data) {
			if !yield(piece{"base64", inner, true}) {
				return
			}
		}
		for at := range data {
			name, skip := streamStart(data[at:])
			if name == "" {
				continue
			}
			stream := s.inflater.inflate(data[at+skip:], s.maxInflated)
			if stream.tooLong {
				s.incomplete("a %s stream at byte %d is longer than %d bytes", name, at, s.maxInflated)
			}
			// Random bytes decode for a few symbols and then point before the beginning: the chance to come through 128 bytes, or to
			// the end of a stream that holds 16, is below one in a thousand.
			deeper := stream.ended && len(stream.data) >= 16 || stream.consumed >= 128 && depth == 0
			if !yield(piece{name, stream.data, deeper}) {
				return
			}
		}
	}
}

// base64Runs yields what runs of base64 characters decode to: standard and URL alphabet, with padding or without, wrapped in lines or not.
// Where a run begins is not known (a letter may stand before it), so each is decoded at all four alignments.
func base64Runs(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var run []byte
		flush := func() bool {
			defer func() { run = run[:0] }()
			if len(run) < minInput {
				return true
			}
			for offset := range 4 {
				text := run[offset:]
				if len(text)%4 == 1 {
					text = text[:len(text)-1]
				}
				out := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
				n, err := base64.RawStdEncoding.Decode(out, text)
				if err == nil && !yield(out[:n]) {
					return false
				}
			}
			return true
		}
		for _, c := range data {
			switch {
			case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '+', c == '/':
				run = append(run, c)
			case c == '-':
				run = append(run, '+')
			case c == '_':
				run = append(run, '/')
			case c == '\n', c == '\r':
			default:
				if !flush() {
					return
				}
			}
		}
		flush()
	}
}

// streamStart tells whether a DEFLATE stream may begin here: its kind, and the length of its header. Cheap, as it is asked for
// every byte; it may say yes too often, never no to a stream that a usual encoder writes.
func streamStart(data []byte) (name string, skip int) {
	if len(data) < minInput {
		return "", 0
	}
	if data[0] == 0x1f && data[1] == 0x8b && data[2] == 8 {
		if skip := gzipHeader(data); skip > 0 {
			return "gzip", skip
		}
	}
	if data[0]&0x0f == 8 && data[0]>>4 <= 7 && data[1]&0x20 == 0 && binary.BigEndian.Uint16(data)%31 == 0 && blockStart(data[2:]) {
		return "zlib", 2
	}
	if blockStart(data) {
		return "deflate", 0
	}
	return "", 0
}

func gzipHeader(data []byte) int {
	const extra, name, comment, crc = 4, 8, 16, 2
	flags, at := data[3], 10
	if flags&extra != 0 && at+2 <= len(data) {
		at += 2 + int(binary.LittleEndian.Uint16(data[at:]))
	}
	for _, flag := range []byte{name, comment} {
		if flags&flag == 0 || at >= len(data) {
			continue
		}
		end := bytes.IndexByte(data[at:], 0)
		if end < 0 {
			return 0
		}
		at += end + 1
	}
	if flags&crc != 0 {
		at += 2
	}
	if at >= len(data) {
		return 0
	}
	return at
}

// inflater reuses its memory from stream to stream.
type inflater struct {
	source bytes.Reader
	reader io.ReadCloser
	buffer bytes.Buffer
}

// stream is what a raw DEFLATE stream holds up to its end, its first error or the limit.
type stream struct {
	data     []byte // valid until the next call
	consumed int    // input bytes
	ended    bool   // properly, by a last block
	tooLong  bool
}

func (f *inflater) inflate(data []byte, limit int64) stream {
	f.source.Reset(data)
	if f.reader == nil {
		f.reader = flate.NewReader(&f.source)
	} else {
		_ = f.reader.(flate.Resetter).Reset(&f.source, nil) // never fails
	}
	f.buffer.Reset()
	// A stream that is cut off or followed by something else still shows its beginning, so an error is only a sign of chance.
	n, err := io.CopyN(&f.buffer, f.reader, limit+1)
	return stream{data: f.buffer.Bytes(), consumed: len(data) - f.source.Len(), ended: err == io.EOF, tooLong: n > limit}
}
