package worker

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt"
)

// TestMain is the child as well: the first argument says which. An argument and not the environment, because children get none.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || !strings.HasPrefix(os.Args[1], "child-") {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "child-merge":
		if err := Main(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
	case "child-hang":
		select {}
	case "child-garbage":
		fmt.Print("\x00\x00\x00\x00\x00\x00\x00\x04good morning")
	case "child-silent":
	case "child-flood":
		for {
			if _, err := os.Stdout.Write(make([]byte, 64<<10)); err != nil {
				os.Exit(1)
			}
		}
	case "child-dies":
		io.Copy(io.Discard, os.Stdin)
		os.Exit(7)
	case "child-writes":
		if err := confine(addressSpace(), 1<<30); err != nil {
			os.Exit(9)
		}
		_ = os.WriteFile(os.Args[2], []byte("content of a board"), 0o600)
	case "child-env":
		reply(os.Stdout, response{Code: codeLimit, Detail: fmt.Sprintf("env %d", len(os.Environ()))})
	}
	os.Exit(0)
}

func newPool(t testing.TB, child string, change ...func(*Config)) *Pool {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Command: []string{exe, child}, Timeout: 20 * time.Second}
	for _, f := range change {
		f(&c)
	}
	return New(c)
}

// board returns a page document of n elements and, apart from it, further changes by several actors.
func board(t testing.TB, elements, further int) (base []byte, changes [][]byte) {
	t.Helper()
	d := crdt.New()
	author := func(actor byte, edits ...crdt.Edit) []byte {
		c, err := d.Author([16]byte{actor}, edits...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	author(1, crdt.Edit{Path: []string{"elements"}, Value: map[string]any{}})
	for i := range elements {
		author(byte(1+i%5), crdt.Edit{Path: []string{"elements", fmt.Sprintf("element-%04d", i)}, Value: map[string]any{
			"type": "freedraw", "x": float64(i) / 8, "y": int64(-i), "width": 12.5, "height": int64(3), "angle": 0.25, "strokeColor": "#1e1e1e", "backgroundColor": "transparent",
			"fillStyle": "solid", "strokeWidth": int64(2), "opacity": int64(100), "isDeleted": false, "link": nil, "index": fmt.Sprintf("a%04d", i), "seed": int64(i * 7919),
			"points": noise(200),
		}})
	}
	base = d.Save()
	for i := range further {
		changes = append(changes, author(byte(1+i%5), crdt.Edit{Path: []string{"elements", fmt.Sprintf("element-%04d", i%elements), "x"}, Value: float64(i) + 0.3}))
	}
	return base, changes
}

var random = rand.New(rand.NewPCG(1, 2))

// noise does not compress, like strokes.
func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.IntN(128))
	}
	return b
}

func TestMerge(t *testing.T) {
	pool := newPool(t, "child-merge")
	base, changes := board(t, 20, 100)

	want, err := crdt.Load(base)
	if err != nil {
		t.Fatal(err)
	}
	if err := want.Apply(changes); err != nil {
		t.Fatal(err)
	}

	t.Run("EN4 the child answers the merged document, heads and scene", func(t *testing.T) {
		got, err := pool.Merge(t.Context(), base, changes)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Heads, want.Heads()) || len(got.Rejected) != 0 {
			t.Fatalf("got heads %x and %v rejected, want %x", got.Heads, got.Rejected, want.Heads())
		}
		if _, err := crdt.Load(got.Document); err != nil {
			t.Fatal(err)
		}
		var scene []struct {
			ID string
			X  float64
		}
		if err := json.Unmarshal(got.Scene, &scene); err != nil {
			t.Fatal(err)
		}
		if len(scene) != 20 || scene[3].ID != "element-0003" || scene[3].X != 83.3 {
			t.Fatalf("got scene %v", scene)
		}

		list, heads, err := pool.Changes(t.Context(), got.Document)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 1+20+100 || !slices.Equal(heads, got.Heads) {
			t.Fatalf("got %d changes and heads %x", len(list), heads)
		}
		again, err := pool.Merge(t.Context(), nil, list)
		if err != nil || !slices.Equal(again.Heads, got.Heads) || string(again.Scene) != string(got.Scene) {
			t.Fatalf("merging the listed changes: %v", err)
		}
	})
	t.Run("EN6 a change without its dependency is left out and named, with what depends on it", func(t *testing.T) {
		got, err := pool.Merge(t.Context(), base, changes[1:])
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Rejected) != 99 || got.Rejected[0] != (Rejected{0, ReasonMissing}) {
			t.Fatalf("got %v rejected", got.Rejected)
		}
	})
	t.Run("EN6 what is no change is left out and named", func(t *testing.T) {
		got, err := pool.Merge(t.Context(), base, append([][]byte{[]byte("0123456789")}, changes...))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Heads, want.Heads()) || len(got.Rejected) != 1 || got.Rejected[0] != (Rejected{0, ReasonFrame}) {
			t.Fatalf("got %v", got.Rejected)
		}
	})
	t.Run("EN5 a damaged base is an error", func(t *testing.T) {
		broken := append([]byte{}, base...)
		broken[len(broken)/2] ^= 1
		if _, err := pool.Merge(t.Context(), broken, changes); !errors.Is(err, ErrBase) {
			t.Fatalf("got %v, want ErrBase", err)
		}
		if _, _, err := pool.Changes(t.Context(), broken); !errors.Is(err, ErrBase) {
			t.Fatalf("got %v, want ErrBase", err)
		}
	})
	t.Run("EN5 too much is refused before a child starts", func(t *testing.T) {
		if _, err := pool.Merge(t.Context(), make([]byte, maxDocument+1), nil); !errors.Is(err, ErrLimit) {
			t.Fatalf("got %v, want ErrLimit", err)
		}
	})
}

type poisons struct {
	Base    []byte
	Honest  [][]byte
	Poison  map[string][]byte
	Follows map[string][]byte
}

func readPoisons(t *testing.T) (p poisons) {
	t.Helper()
	b, err := os.ReadFile("testdata/poison.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPoison(t *testing.T) {
	pool := newPool(t, "child-merge")
	p := readPoisons(t)
	clean, err := pool.Merge(t.Context(), p.Base, p.Honest)
	if err != nil || len(clean.Rejected) != 0 {
		t.Fatalf("honest changes: %v, %v", err, clean.Rejected)
	}
	for name, poison := range p.Poison {
		t.Run("EN7 found by save and load, honest work stays: "+name, func(t *testing.T) {
			if raceEnabled && name != "property in a text" {
				t.Skip("the race detector makes every child take a second to exit: one poison is enough there")
			}
			res, err := pool.job(t.Context(), request{Op: opMerge, Base: p.Base, Changes: [][]byte{poison}})
			if !spoiled(res, err) {
				t.Fatalf("the fixture does no harm: %q %v", res.Code, err)
			}
			t.Logf("alone: %q %s %v", res.Code, res.Detail, err)
			const at = 11
			changes := slices.Insert(slices.Clone(p.Honest), at, poison)
			changes = append(changes, p.Follows[name])
			got, err := pool.Merge(t.Context(), p.Base, changes)
			if err != nil {
				t.Fatal(err)
			}
			want := []Rejected{{at, ReasonPoison}, {len(changes) - 1, ReasonMissing}}
			if !slices.Equal(got.Rejected, want) || !slices.Equal(got.Heads, clean.Heads) || string(got.Scene) != string(clean.Scene) {
				t.Fatalf("got %v rejected, want %v; heads %x, want %x", got.Rejected, want, got.Heads, clean.Heads)
			}
		})
	}
	t.Run("EN7 more poison than rounds is an error", func(t *testing.T) {
		if raceEnabled {
			t.Skip("the race detector makes every child take a second to exit")
		}
		changes := slices.Clone(p.Honest)
		for range maxPoison {
			changes = append(changes, p.Poison["delete without predecessors"])
		}
		if _, err := pool.Merge(t.Context(), p.Base, changes); !errors.Is(err, ErrPoison) {
			t.Fatalf("got %v, want ErrPoison", err)
		}
	})
}

func TestChildFailures(t *testing.T) {
	base, changes := board(t, 50, 10)
	merge := func(t *testing.T, p *Pool) error {
		t.Helper()
		_, err := p.Merge(t.Context(), base, changes)
		return err
	}
	short := func(c *Config) { c.Timeout = 100 * time.Millisecond }

	t.Run("EN5 a child that hangs is killed at the deadline", func(t *testing.T) {
		if err := merge(t, newPool(t, "child-hang", short)); !errors.Is(err, ErrTimeout) {
			t.Fatalf("got %v, want ErrTimeout", err)
		}
	})
	t.Run("EN5 a merge that takes too long is killed at the deadline", func(t *testing.T) {
		p := newPool(t, "child-merge", func(c *Config) { c.Timeout = time.Millisecond })
		if err := merge(t, p); !errors.Is(err, ErrTimeout) {
			t.Fatalf("got %v, want ErrTimeout", err)
		}
	})
	t.Run("EN5 the caller's end ends the child", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := newPool(t, "child-hang").Merge(ctx, base, changes); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want DeadlineExceeded", err)
		}
	})
	t.Run("EN5 a child beyond its memory dies alone", func(t *testing.T) {
		if raceEnabled {
			t.Skip("no memory limit under the race detector: it does not start with one")
		}
		base, changes := board(t, 1000, 10)
		p := newPool(t, "child-merge", func(c *Config) { c.Memory = 4 << 20 })
		if _, err := p.Merge(t.Context(), base, changes); !errors.Is(err, ErrMemory) {
			t.Fatalf("got %v, want ErrMemory", err)
		}
		if err := merge(t, newPool(t, "child-merge")); err != nil {
			t.Fatalf("afterwards: %v", err)
		}
	})
	t.Run("EN5 a child that dies on everything is an error", func(t *testing.T) {
		if err := merge(t, newPool(t, "child-dies")); !errors.Is(err, ErrBase) {
			t.Fatalf("got %v, want ErrBase", err)
		}
		if _, _, err := newPool(t, "child-dies").Changes(t.Context(), base); !errors.Is(err, ErrCrashed) {
			t.Fatalf("got %v, want ErrCrashed", err)
		}
	})
	t.Run("EN5 nonsense, silence and floods are errors", func(t *testing.T) {
		for _, child := range []string{"child-garbage", "child-silent", "child-flood"} {
			p := newPool(t, child)
			p.output = 1 << 20
			if err := merge(t, p); !errors.Is(err, ErrAnswer) {
				t.Errorf("%s: got %v, want ErrAnswer", child, err)
			}
		}
	})
	t.Run("EN5 a program that is not there is an error", func(t *testing.T) {
		if err := merge(t, New(Config{Command: []string{"/nonexistent"}})); err == nil {
			t.Fatal("got nil")
		}
	})
	t.Run("EN5 the engine's own abort is an error", func(t *testing.T) {
		_, _, err := newPool(t, "child-merge").Changes(t.Context(), abortingDocument(t))
		if !errors.Is(err, ErrCrashed) {
			t.Fatalf("got %v, want ErrCrashed", err)
		}
		t.Log(err)
		if _, err := newPool(t, "child-merge").Merge(t.Context(), abortingDocument(t), nil); !errors.Is(err, ErrBase) {
			t.Fatalf("got %v, want ErrBase", err)
		}
	})
	t.Run("EN4 the child has no environment", func(t *testing.T) {
		t.Setenv("LECTERN_SECRET", "x")
		if err := merge(t, newPool(t, "child-env")); err == nil || !strings.Contains(err.Error(), "env 0") {
			t.Fatalf("got %v, want an environment of 0", err)
		}
	})
	t.Run("EN4 the child can write no file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "out")
		err := exec.CommandContext(t.Context(), os.Args[0], "child-writes", path).Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 9 {
			t.Fatal("limits were not set")
		}
		if b, _ := os.ReadFile(path); len(b) != 0 {
			t.Fatalf("it wrote %d bytes", len(b))
		}
	})
	t.Run("EN4 a child whose parent is gone ends by itself", func(t *testing.T) {
		base, changes := board(t, 1000, 2000)
		in, err := encodeMessage(request{Op: opMerge, Base: base, Changes: changes, Watchdog: 1})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "child-merge")
		cmd.Stdin = bytes.NewReader(in)
		err = cmd.Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 3 {
			t.Fatalf("got %v, want exit status 3", err)
		}
	})
	t.Run("EN4 no more children at a time than the pool allows", func(t *testing.T) {
		p := newPool(t, "child-hang", func(c *Config) { c.Timeout = 300 * time.Millisecond })
		start := time.Now()
		first := make(chan error, 2)
		for range 2 {
			go func() { first <- merge(t, p) }()
		}
		<-first
		<-first
		if took := time.Since(start); took < 600*time.Millisecond {
			t.Fatalf("two jobs of 300 ms took %v in a pool of one", took)
		}
	})
}

// abortingDocument is a document with one byte changed and its checksum repaired, on which the engine aborts the process.
func abortingDocument(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/abort.base64")
	if err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMessages(t *testing.T) {
	t.Run("EN4 a malformed request is answered, not obeyed", func(t *testing.T) {
		for name, in := range map[string]string{"nothing": "", "short": "\x00\x00", "huge": "\xff\xff\xff\xff\xff\xff\xff\xff", "cut": "\x00\x00\x00\x00\x00\x00\x00\x05ab", "no CBOR": "\x00\x00\x00\x00\x00\x00\x00\x01\xff", "more": "\x00\x00\x00\x00\x00\x00\x00\x01\xa0\xa0"} {
			var out strings.Builder
			if err := Main(strings.NewReader(in), &out); !errors.Is(err, ErrFrame) {
				t.Errorf("%s: got %v, want ErrFrame", name, err)
			}
			var res response
			if err := readMessage(strings.NewReader(out.String()), &res); err != nil || res.Code != codeRequest {
				t.Errorf("%s: got answer %q, %v", name, res.Code, err)
			}
		}
	})
	t.Run("EN4 an unknown operation is answered", func(t *testing.T) {
		if res := do(&request{Op: "squash"}); res.Code != codeRequest {
			t.Fatalf("got %q", res.Code)
		}
	})
}

func BenchmarkMerge(b *testing.B) {
	for _, size := range []struct{ elements, further int }{{100, 100}, {1000, 100}, {1000, 2000}} {
		base, changes := board(b, size.elements, size.further)
		b.Run(fmt.Sprintf("elements=%d/changes=%d", size.elements, size.further), func(b *testing.B) {
			pool := newPool(b, "child-merge")
			for b.Loop() {
				if _, err := pool.Merge(b.Context(), base, changes); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(base)), "base-bytes")
		})
	}
}
