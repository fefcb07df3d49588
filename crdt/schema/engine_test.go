package schema

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/educationpub/lectern/crdt"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/change/changetest"
)

// The engines are the referees: whatever this package lets through must apply, save, load and read the same in both.

// accepted are changes that a page takes next: honest ones, every allowed form of forms(), and mutants of honest changes.
// And whole logs, each from the genesis on.
type accepted struct {
	base  [][]byte // with the genesis
	tried [][]byte
	logs  [][][]byte
}

func replayed(t testing.TB, log ...[]byte) *Page {
	p := NewPage()
	for _, b := range log[1:] {
		take(t, p, b)
	}
	return p
}

func (a *accepted) page(t testing.TB) *Page { return replayed(t, a.base...) }

// pages are what the engines should read, one after the other.
func (a *accepted) pages(t testing.TB) iter.Seq[*Page] {
	return func(yield func(*Page) bool) {
		for _, b := range a.tried {
			p := a.page(t)
			take(t, p, b)
			if !yield(p) {
				return
			}
		}
		for _, log := range a.logs {
			if !yield(replayed(t, log...)) {
				return
			}
		}
	}
}

func handmade(t testing.TB) (a accepted) {
	p, base, head := board(t)
	a.base = append([][]byte{GenesisChange(KindWhiteboard)}, base...)
	for _, x := range forms() {
		if b := seal(bob, 1, next, []change.Hash{head}, x.ops...); try(p, b) == nil {
			a.tried = append(a.tried, b)
		}
	}
	return a
}

func mutants(t testing.TB, name string, base, want int) (a accepted) {
	changes := corpus(t, name)
	a.base = append([][]byte{GenesisChange(KindWhiteboard)}, changes[:base]...)
	p := a.page(t)
	for _, b := range changes[base:] {
		if len(a.tried) < 60 && try(p, b) == nil {
			a.tried = append(a.tried, b)
		}
	}
	honest := len(a.tried)
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[change.Hash]bool{}
	var c change.Change
	mutated := 0
	for mutated = 0; len(a.tried) < honest+want && mutated < 400_000; mutated++ {
		b := bytes.Clone(a.tried[r.IntN(honest)])
		from := 60 // leave the frame, and mostly the dependencies and the author, alone
		for range 1 + r.IntN(3) {
			i := from + r.IntN(len(b)-from)
			switch r.IntN(3) {
			case 0:
				b[i] = byte(r.IntN(256))
			case 1:
				b[i] += byte(r.IntN(3)) - 1
			case 2:
				j := from + r.IntN(len(b)-from)
				b[i], b[j] = b[j], b[i]
			}
		}
		if c.Parse(changetest.Resign(b), nil) == nil && !seen[c.Hash] && p.Check(&c) == nil {
			seen[c.Hash] = true
			a.tried = append(a.tried, b)
		}
	}
	t.Logf("%d honest changes and %d accepted of %d mutants", honest, len(a.tried)-honest, mutated)
	if len(a.tried) < honest+want {
		t.Errorf("only %d mutants accepted, want %d", len(a.tried)-honest, want)
	}
	return a
}

var mutantCount = flag.Int("mutants", 60, "accepted mutants per set that the engines are asked about")

func sets(t *testing.T) map[string]accepted {
	n := *mutantCount
	return map[string]accepted{
		"handmade": handmade(t), "page": mutants(t, "page", 60, n), "late page": mutants(t, "page", 150, n), "text": mutants(t, "text", 100, n),
		"EP1 squashes": squashes(t), "EP6 epochs": epochs(t),
	}
}

func frame(list [][]byte) (b []byte) {
	for _, x := range list {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(x))), x...)
	}
	return b
}

func unframe(b []byte) (list [][]byte) {
	for len(b) > 0 {
		n := 4 + binary.LittleEndian.Uint32(b)
		list = append(list, b[4:n:n])
		b = b[n:]
	}
	return list
}

// folder writes a set for a child process.
func (a *accepted) folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	var logs [][]byte
	for _, log := range a.logs {
		logs = append(logs, frame(log))
	}
	for name, list := range map[string][][]byte{"base.changes": a.base, "tried.changes": a.tried, "logs.changes": logs} {
		if err := os.WriteFile(filepath.Join(dir, name), frame(list), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// missing skips with a reason; where everything has been installed (CI) nothing may be skipped.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func TestRefereeJavaScript(t *testing.T) {
	if testing.Short() {
		t.Skip("short: Automerge JS was not asked whether it loads what the grammar accepts")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "no node: Automerge JS was not asked whether it loads what the grammar accepts")
	}
	if _, err := os.Stat("../../web/node_modules/@automerge/automerge"); err != nil {
		missing(t, "no web/node_modules: Automerge JS was not asked whether it loads what the grammar accepts")
	}
	for name, a := range sets(t) {
		t.Run("CH19 Automerge JS applies, saves, loads and reads what is accepted: "+name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), node, "testdata/referee.mjs", a.folder(t)).Output()
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(bytes.NewReader(out))
			n := 0
			for p := range a.pages(t) {
				if !lines.Scan() {
					t.Fatal("the referee ended early")
				}
				if got, want := lines.Text(), fmt.Sprintf("ok %x", sha256.Sum256([]byte(dump(p)))); got != want {
					t.Errorf("page %d, heads %v\ngot  %s\nwant %s", n, p.Heads(), got, want)
				}
				n++
			}
		})
	}
}

func TestRefereeGo(t *testing.T) {
	if testing.Short() {
		t.Skip("short: automerge-go was not asked whether it loads what the grammar accepts")
	}
	for name, a := range sets(t) {
		t.Run("CH19 automerge-go applies, saves, loads and reads what is accepted: "+name, func(t *testing.T) {
			// a process of its own, since the engine may abort it
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRefereeGoChild$", "-test.v")
			child.Env = append(os.Environ(), refereeFolder+"="+a.folder(t))
			out, err := child.CombinedOutput()
			if n := strings.Count(string(out), "applied "); err != nil || n != len(a.tried)+len(a.logs) {
				t.Errorf("%d of %d, then: %v\n%.2000s", n, len(a.tried)+len(a.logs), err, out[max(0, len(out)-2000):])
			}
		})
	}
}

const refereeFolder = "LECTERN_TEST_REFEREE"

// TestRefereeGoChild is the child process of TestRefereeGo.
func TestRefereeGoChild(t *testing.T) {
	dir := os.Getenv(refereeFolder)
	if dir == "" {
		t.Skip("only as the child of TestRefereeGo")
	}
	var a accepted
	var logs [][]byte
	for name, list := range map[string]*[][]byte{"base.changes": &a.base, "tried.changes": &a.tried, "logs.changes": &logs} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		*list = unframe(b)
	}
	d := crdt.New()
	if err := d.Apply(a.base); err != nil {
		t.Fatal(err)
	}
	base := d.Save()
	for _, b := range logs {
		a.logs = append(a.logs, unframe(b))
	}
	n := 0
	for p := range a.pages(t) {
		d, list := crdt.New(), [][]byte(nil)
		if n < len(a.tried) {
			var err error
			if d, err = crdt.Load(base); err != nil {
				t.Fatal(err)
			}
			list = a.tried[n : n+1]
		} else {
			list = a.logs[n-len(a.tried)]
		}
		if err := d.Apply(list); err != nil {
			t.Fatalf("page %d: %v", n, err)
		}
		d, err := crdt.Load(d.Save())
		if err != nil {
			t.Fatalf("page %d: load: %v", n, err)
		}
		var heads []crdt.Hash
		for _, h := range p.Heads() {
			heads = append(heads, crdt.Hash(h))
		}
		if got := d.Heads(); !sameHeads(got, heads) {
			t.Fatalf("page %d: heads %x, want %x", n, got, heads)
		}
		got, err := d.Materialise()
		if err != nil {
			t.Fatal(err)
		}
		if want := plain(p); !reflect.DeepEqual(got, want) {
			t.Fatalf("page %d\ngot  %v\nwant %v", n, got, want)
		}
		n++
		fmt.Printf("applied %d\n", n)
	}
}

func sameHeads(a, b []crdt.Hash) bool {
	m := map[crdt.Hash]bool{}
	for _, h := range a {
		m[h] = true
	}
	for _, h := range b {
		if !m[h] {
			return false
		}
	}
	return len(a) == len(b)
}

// plain is the page as crdt.Document.Materialise gives it.
func plain(p *Page) map[string]any {
	elements, files := map[string]any{}, map[string]any{}
	for _, e := range p.Scene() {
		m := map[string]any{}
		for _, x := range e.Properties {
			m[x.Name] = x.Value.Any()
			if table[byProperty[x.Name]].kinds == kText {
				m[x.Name] = crdt.Text(x.Value.Str)
			}
		}
		elements[e.ID] = m
	}
	for id, v := range p.Files() {
		files[id] = v
	}
	return map[string]any{"v": int64(1), "elements": elements, "files": files}
}
