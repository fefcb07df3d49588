package change

import (
	"bytes"
	"slices"
	"testing"
)

// FuzzParse corrects the checksum of what it is given, so that mutations reach the inside. Whatever is accepted must encode anew to the same bytes.
func FuzzParse(f *testing.F) {
	for _, name := range corpora {
		changes := corpus(f, name)
		for i := 0; i < len(changes); i += 1 + len(changes)/20 {
			f.Add(changes[i])
		}
	}
	for _, b := range bombs() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 10 {
			return
		}
		b = slices.Clone(b)
		copy(b, magic[:])
		b[8] = chunkChange
		var c Change
		ops, err := decode(&c, resign(b), nil)
		if err != nil {
			if Code(err) == "" {
				t.Errorf("no code: %v", err)
			}
			return
		}
		if got := encode(&c, ops); !bytes.Equal(got, b) {
			t.Errorf("accepted  %x\nencodes as %x", b, got)
		}
	})
}
