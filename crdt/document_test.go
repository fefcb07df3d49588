package crdt

import (
	"bytes"
	"errors"
	"testing"
)

func TestDocumentRefusals(t *testing.T) {
	d := New()
	one, err := d.Author([16]byte{1}, Edit{Path: []string{"a"}, Value: int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	two, err := d.Author([16]byte{1}, Edit{Path: []string{"a"}, Value: int64(2)})
	if err != nil {
		t.Fatal(err)
	}
	saved := d.Save()

	t.Run("EN2 only exactly one document chunk loads", func(t *testing.T) {
		flipped := bytes.Clone(saved)
		flipped[len(flipped)-1] ^= 1
		for name, b := range map[string][]byte{"nothing": nil, "a change": one, "two documents": append(bytes.Clone(saved), saved...), "cut": saved[:len(saved)-1], "flipped": flipped} {
			if _, err := Load(b); !errors.Is(err, ErrDocument) {
				t.Errorf("%s: got %v, want ErrDocument", name, err)
			}
		}
	})
	t.Run("EN2 only change chunks apply", func(t *testing.T) {
		for name, b := range map[string][]byte{"nothing": nil, "a document": saved, "two changes": append(bytes.Clone(one), two...), "cut": one[:len(one)-1]} {
			if err := New().Apply([][]byte{b}); !errors.Is(err, ErrFrame) {
				t.Errorf("%s: got %v, want ErrFrame", name, err)
			}
		}
	})
	t.Run("EN3 a change without its dependencies is reported, not queued in silence", func(t *testing.T) {
		missing, ok := errors.AsType[*MissingError](New().Apply([][]byte{two}))
		if !ok || len(missing.Indexes) != 1 || missing.Indexes[0] != 0 {
			t.Fatalf("got %v, want change 0 missing", missing)
		}
	})
	t.Run("EN3 a change applied twice does nothing", func(t *testing.T) {
		d := New()
		if err := d.Apply([][]byte{two, one, one, two}); err != nil {
			t.Fatal(err)
		}
		if err := d.Apply([][]byte{one}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(d.Save(), saved) {
			t.Fatal("saved bytes differ")
		}
	})
}
