package crdt

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestInterop passes documents back and forth between Automerge JS (the version of web/package.json) and this engine.
func TestInterop(t *testing.T) {
	dir := t.TempDir()
	runNode(t, "write", dir)

	names := []string{"genesis", "kinds", "conflicts", "page", "page2", "wide"}
	for _, name := range names {
		t.Run("EN1 engine loads and applies what JS wrote: "+name, func(t *testing.T) {
			want := readJSON(t, filepath.Join(dir, name+".json"))
			loaded, err := Load(readFile(t, filepath.Join(dir, name+".document")))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, loaded, want)

			applied := New()
			changes := readFrames(t, filepath.Join(dir, name+".changes"))
			if err := applied.Apply(changes); err != nil {
				t.Fatal(err)
			}
			compare(t, applied, want)

			backwards := New()
			slices.Reverse(changes)
			if err := backwards.Apply(changes); err != nil {
				t.Fatal(err)
			}
			compare(t, backwards, want)

			saved := applied.Save()
			again, err := Load(saved)
			if err != nil {
				t.Fatalf("load what was saved: %v", err)
			}
			compare(t, again, want)
			writeFile(t, filepath.Join(dir, name+".go.document"), saved)
		})
	}

	writeFile(t, filepath.Join(dir, "native.go.document"), nativeDocument(t))
	runNode(t, "read", dir)

	for _, name := range append(names, "native") {
		t.Run("EN1 JS loads and continues what the engine saved: "+name, func(t *testing.T) {
			d, err := Load(readFile(t, filepath.Join(dir, name+".go.document")))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, d, readJSON(t, filepath.Join(dir, name+".go.json")))
			if err := d.Apply(readFrames(t, filepath.Join(dir, name+".edit.changes"))); err != nil {
				t.Fatal(err)
			}
			compare(t, d, readJSON(t, filepath.Join(dir, name+".edit.json")))
		})
	}
}

// nativeDocument is a page written by the Go engine alone.
func nativeDocument(t *testing.T) []byte {
	t.Helper()
	d := New()
	if _, err := d.Author([16]byte{1}, Edit{Path: []string{"elements"}, Value: map[string]any{}}, Edit{Path: []string{"elements", "e1"}, Value: map[string]any{
		"x": 1.5, "y": int64(-3), "type": "text", "points": []byte{1, 2, 255}, "isDeleted": false, "link": nil, "originalText": Text("from Go: ü😀"),
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Author([16]byte{2}, Edit{Path: []string{"elements", "e1", "x"}, Value: int64(4)}, Edit{Path: []string{"elements", "e1", "link"}, Delete: true}); err != nil {
		t.Fatal(err)
	}
	return d.Save()
}

type described struct {
	Heads   []string
	Root    any
	Changes int
}

func compare(t *testing.T, d *Document, want described) {
	t.Helper()
	values, err := d.Materialise()
	if err != nil {
		t.Fatal(err)
	}
	changes, err := d.Changes()
	if err != nil {
		t.Fatal(err)
	}
	got := described{Root: typed(values), Changes: len(changes)}
	for _, h := range d.Heads() {
		got.Heads = append(got.Heads, hex.EncodeToString(h[:]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("JS (-) and Go (+) differ:\n%s", diff)
	}
}

// typed mirrors the function of the same name in testdata/interop.mjs. Whole numbers are compared as numbers: JS has one kind only.
func typed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for k, x := range v {
			m[k] = typed(x)
		}
		return map[string]any{"m": m}
	case []any:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = typed(x)
		}
		return list
	case string:
		return map[string]any{"s": v}
	case Text:
		return map[string]any{"t": string(v)}
	case int64:
		return map[string]any{"n": float64(v)}
	case uint64:
		return map[string]any{"n": float64(v)}
	case float64:
		return map[string]any{"n": v}
	case []byte:
		return map[string]any{"b": base64.StdEncoding.EncodeToString(v)}
	case time.Time:
		return map[string]any{"d": float64(v.UnixMilli())}
	case Counter:
		return map[string]any{"c": float64(v)}
	default:
		return v
	}
}

func runNode(t *testing.T, mode, dir string) {
	t.Helper()
	if _, err := os.Stat("../web/node_modules/@automerge/automerge"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("web/node_modules is missing: run npm ci in web")
		}
		t.Skip("needs web/node_modules: run npm ci in web")
	}
	cmd := exec.CommandContext(t.Context(), "node", "testdata/interop.mjs", mode, dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("node interop.mjs %s: %v\n%s", mode, err, out)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func readJSON(t *testing.T, path string) (d described) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, path), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func readFrames(t *testing.T, path string) (list [][]byte) {
	t.Helper()
	for b := readFile(t, path); len(b) > 0; {
		n := binary.LittleEndian.Uint32(b)
		list = append(list, b[4:4+n])
		b = b[4+n:]
	}
	return list
}
