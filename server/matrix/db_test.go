package matrix

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDamagedDatabase(t *testing.T) {
	open := func(t *testing.T, dir string) error {
		t.Helper()
		c := &Companion{cfg: Config{DataDir: dir, PickleKeyFile: filepath.Join(dir, "companion.key")}}
		err := c.openDB(t.Context())
		if c.db != nil {
			if err := c.db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return err
	}
	t.Run("LG25 a companion.db that is damaged is named with the way back", func(t *testing.T) {
		dir := t.TempDir()
		if err := open(t, dir); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "companion.db")
		whole, err := os.ReadFile(file)
		if err != nil || len(whole) < 8192 {
			t.Fatalf("%d bytes, %v", len(whole), err)
		}
		for name, b := range map[string][]byte{
			"no database": bytes.Repeat([]byte("not a database "), 1000), "no schema": append(bytes.Clone(whole[:100]), make([]byte, len(whole)-100)...),
		} {
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := open(t, dir); err == nil || !strings.Contains(err.Error(), "move companion.db") {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(t, dir); err != nil {
			t.Fatal(err)
		}
	})
}
