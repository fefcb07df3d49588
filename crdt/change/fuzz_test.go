package change_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/change/changetest"
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
		copy(b, "\x85\x6f\x4a\x83")
		b[8] = 1
		var c change.Change
		ops, err := decode(&c, changetest.Resign(b), nil)
		if err != nil {
			if change.Code(err) == "" {
				t.Errorf("no code: %v", err)
			}
			return
		}
		if got := encode(&c, ops); !bytes.Equal(got, b) {
			t.Errorf("accepted  %x\nencodes as %x", b, got)
		}
	})
}
