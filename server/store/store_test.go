package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
	"github.com/educationpub/lectern/server/store"
)

func options(t testing.TB) store.Options {
	dir := t.TempDir()
	return store.Options{Path: filepath.Join(dir, "data", "lectern.db"), KeyFile: filepath.Join(dir, "keys", "instance.key")}
}

func newStore(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestLogContract(t *testing.T) {
	for name, plain := range map[string]bool{"encrypted": false, "plain": true} {
		t.Run(name, func(t *testing.T) {
			boardtest.TestLog(t, func(t *testing.T) (board.Log, func() board.Log) {
				o := options(t)
				o.PlainAtRest = plain
				s := newStore(t, o)
				return s, func() board.Log {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					return newStore(t, o)
				}
			})
		})
	}
}

func TestInstanceKey(t *testing.T) {
	o := options(t)
	s := newStore(t, o)
	t.Run("LG6 the database's files are for their owner only", func(t *testing.T) {
		for _, f := range []string{o.Path, o.Path + "-wal", o.Path + "-shm"} {
			if i, err := os.Stat(f); err != nil || i.Mode().Perm() != 0o600 {
				t.Fatalf("%s: %v, %v", f, i, err)
			}
		}
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(o.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("LG6 the key file is made for its owner only", func(t *testing.T) {
		for _, f := range []string{o.KeyFile, o.Path} {
			if i, err := os.Stat(f); err != nil || i.Mode().Perm() != 0o600 {
				t.Fatalf("%s: mode %v, %v", f, i.Mode(), err)
			}
		}
		if len(key) != 32 {
			t.Fatalf("got %d bytes", len(key))
		}
	})
	for name, breakIt := range map[string]func() error{
		"another key":   func() error { return os.WriteFile(o.KeyFile, make([]byte, 32), 0o600) },
		"no key":        func() error { return os.Remove(o.KeyFile) },
		"a flipped bit": func() error { return os.WriteFile(o.KeyFile, append([]byte{key[0] ^ 1}, key[1:]...), 0o600) },
	} {
		t.Run("LG6 opening is refused with "+name, func(t *testing.T) {
			if err := breakIt(); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Open(t.Context(), o); !errors.Is(err, store.ErrWrongKey) {
				t.Fatalf("got %v, want ErrWrongKey", err)
			}
			if err := os.WriteFile(o.KeyFile, key, 0o600); err != nil {
				t.Fatal(err)
			}
			newStore(t, o).Close()
		})
	}
	t.Run("LG6 a short key is refused", func(t *testing.T) {
		if err := os.WriteFile(o.KeyFile, key[:31], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), o); err == nil {
			t.Fatal("opened")
		}
	})
}
