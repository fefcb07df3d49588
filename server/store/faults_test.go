package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/store"
)

func diskOptions(dir string) store.Options {
	return store.Options{
		Path: filepath.Join(dir, "data", "lectern.db"), KeyFile: filepath.Join(dir, "keys", "instance.key"),
		CheckpointPages: 24, UnsafeNoSync: os.Getenv("NO_SYNC") != "",
	}
}

// stale: what failed is in the log after all, and the board was opened before that could be known.
func stale(err error) bool {
	return errors.Is(err, board.ErrExists) || strings.Contains(err.Error(), "does not follow")
}

// eventually waits for something that a store does by itself.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// TestFailing lets every single write and sync of a store's life fail once, or from then on, in every way, on the real store.
func TestFailing(t *testing.T) {
	if os.Getenv(childRole) == "failing" {
		failingChild(t)
		return
	}
	t.Parallel()
	t.Run("LG20 LG21 after the n-th sync or write fails: nothing promised is lost, reading goes on, storing comes back by itself", func(t *testing.T) {
		child(t, "failing", "TestFailing")
	})
}

func failingChild(t *testing.T) {
	dir, c, _ := diskOf(t)
	steps := 30
	if full {
		steps = 60
	}
	for _, fault := range []struct {
		name             string
		sync             bool
		how, stays, most int64
		kind             store.FaultKind
	}{
		{"a sync fails once", true, 0, 0, 1 << 40, store.Failing},
		{"syncs fail from then on", true, 0, 1, 1 << 40, store.Failing},
		{"no room once", false, noRoom, 0, 1 << 40, store.Full},
		{"no room from then on", false, noRoom, 1, 1 << 40, store.Full},
		{"half a write, then no room", false, halfThenNo, 1, 1 << 40, store.Full},
		{"a write fails once", false, ioError, 0, 1 << 40, store.Failing},
		{"short writes", false, alwaysHalf, 1, 40, ""},
	} {
		rounds, hit, promised, stride := 0, 0, 0, int64(1)
		switch {
		case !full && fault.sync:
			stride = 5
		case !full:
			stride = 41
		case !fault.sync:
			stride = 3
		}
		for n := int64(1); n < fault.most; n += stride {
			where := fmt.Sprintf("%s, n %d", fault.name, n)
			o := diskOptions(filepath.Join(dir, fmt.Sprintf("%d-%d", rounds, time.Now().UnixNano())))
			s, err := store.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			v := newLiver(s, uint64(n))
			if fault.sync {
				c.arm(n, 0, 0, fault.stays)
			} else {
				c.arm(0, n, fault.how, fault.stays)
			}
			for range steps {
				err := v.step(t.Context())
				if err == nil {
					continue
				}
				if stale(err) {
					continue
				}
				if !errors.Is(err, board.ErrStorage) {
					t.Fatalf("%s: %v", where, err)
				}
				if f, ok := errors.AsType[*store.Fault](err); !ok || fault.kind == store.Full && f.Kind != store.Full || f.Advice() == "" {
					t.Fatalf("%s: %v", where, err)
				}
				if err := v.l.check(t.Context(), s); err != nil { // reading goes on
					t.Fatalf("%s: while nothing can be stored: %v", where, err)
				}
			}
			failed := c.disarm()
			eventually(t, where+": storing works again", func() bool { return s.Fault() == nil })
			for range 10 {
				if err := v.step(t.Context()); err != nil && !stale(err) {
					t.Fatalf("%s: afterwards: %v", where, err)
				}
			}
			if err := v.l.check(t.Context(), s); err != nil {
				t.Fatalf("%s: afterwards: %v", where, err)
			}
			if err := s.Close(); err != nil {
				t.Fatalf("%s: close: %v", where, err)
			}
			s, err = store.Open(t.Context(), o)
			if err != nil {
				t.Fatalf("%s: open again: %v", where, err)
			}
			if err := v.l.check(t.Context(), s); err != nil {
				t.Fatalf("%s: opened again: %v", where, err)
			}
			s.Close()
			rounds, promised = rounds+1, promised+len(v.l.kept)
			if failed > 0 {
				hit++
			} else {
				break // the life has fewer of them
			}
			if err := os.RemoveAll(filepath.Dir(filepath.Dir(o.Path))); err != nil {
				t.Fatal(err)
			}
		}
		if hit == 0 {
			t.Fatalf("%s: nothing failed", fault.name)
		}
		report(os.Stdout, "%s: %d rounds, %d hit, %d promises kept", fault.name, rounds, hit, promised)
	}
}

// TestForgetful cuts the power at random points of a store's life, on a disk that keeps nothing that was not synced, or parts of it.
func TestForgetful(t *testing.T) {
	if os.Getenv(childRole) == "forgetful" {
		forgetfulChild(t)
		return
	}
	t.Parallel()
	cuts := 100
	if full {
		cuts = 800
	}
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("LG22 after a power cut everything promised is there and opens; syncs fail meanwhile: %v", fails), func(t *testing.T) {
			env := []string{}
			if fails {
				env = append(env, "FAILS=1")
			}
			dir, journal := child(t, "forgetful", "TestForgetful", env...)
			at := afterStarts(journal, 5)
			maps.Copy(at, randomly(len(journal), cuts))
			n, err := cutPower(t, dir, journal, at, false)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d power cuts in a journal of %d records; %d promises held", len(at), len(journal), n)
		})
	}
	fails := func(t *testing.T, dir string, journal []record, at map[int]bool) {
		t.Helper()
		if _, err := cutPower(t, dir, journal, at, true); err == nil {
			t.Fatal("the check cannot fail")
		} else {
			t.Logf("as it must: %v", err)
		}
	}
	t.Run("LG22 the same check fails with synchronous=OFF", func(t *testing.T) {
		dir, journal := child(t, "forgetful", "TestForgetful", "NO_SYNC=1")
		fails(t, dir, journal, randomly(len(journal), cuts))
	})
	t.Run("LG22 the same check fails when the write-ahead log is not written anew at the start", func(t *testing.T) {
		dir, journal := child(t, "forgetful", "TestForgetful", "FAILS=1", "NO_HEALING=1")
		fails(t, dir, journal, afterStarts(journal, 1))
	})
}

// lives is how often a store is opened on what the one before left. All but the last end without a word, as by kill -9.
const lives = 3

func forgetfulChild(t *testing.T) {
	dir, c, note := diskOf(t)
	now, _ := strconv.Atoi(os.Getenv("LIFE"))
	steps := 150
	if full {
		steps = 600
	}
	o := diskOptions(dir)
	if os.Getenv("NO_HEALING") != "" {
		store.NoHealing()
		o.CheckpointPages = 1_000_000 // there is a write-ahead log to be trusted
	}
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	v := newLiver(s, uint64(now))
	v.n = now * 1_000_000
	v.told = func(verb string, d deed) {
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		note("%s %s", verb, b)
	}
	for i := range 2 { // whatever is there after the start is shown to people: from now on it is promised
		list, err := s.Read(t.Context(), lifeBoard(i), 0, 1_000_000, 1<<30)
		if err != nil && !errors.Is(err, board.ErrUnknown) {
			t.Fatal(err)
		}
		d := deed{Op: "append", Board: lifeBoard(i), Seq: 1}
		for _, e := range list {
			d.Hash = append(d.Hash, e.Hash)
		}
		if len(list) > 0 {
			v.told("kept", d)
		}
	}
	note("shown")
	fails, rnd := os.Getenv("FAILS") != "", rand.New(rand.NewPCG(4, uint64(now)))
	for i := range steps {
		if fails && i%25 == 10 {
			c.arm(1+rnd.Int64N(6), 0, 0, 0)
		}
		if fails && i == steps-1 && now < lives-1 { // what people draw at the end fails, and all that is tried afterwards
			eventually(t, "storing works again", func() bool { return s.Fault() == nil })
			c.arm(1, 0, 0, 1)
			m, err := s.Open(t.Context(), lifeBoard(0))
			if err != nil {
				t.Fatal(err)
			}
			if err := v.append(deed{Op: "append", Board: m.ID, Seq: m.Seq + 1}); !errors.Is(err, board.ErrStorage) {
				t.Fatalf("got %v", err)
			}
			<-time.After(20 * time.Millisecond)
			break
		}
		if err := v.step(t.Context()); err != nil && !errors.Is(err, board.ErrStorage) && !stale(err) {
			t.Fatal(err)
		}
		if s.Fault() != nil && rnd.IntN(3) == 0 {
			eventually(t, "storing works again", func() bool { return s.Fault() == nil })
		}
	}
	if c.disarm(); now < lives-1 {
		t.Setenv("LIFE", fmt.Sprint(now+1))
		t.Fatal(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
	}
	eventually(t, "storing works again", func() bool { return s.Fault() == nil })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// afterStarts are moments soon after people were shown what a start had found.
func afterStarts(journal []record, stride int) map[int]bool {
	at := map[int]bool{}
	for i, r := range journal {
		if r.op == '!' && r.path == "shown" {
			for j := 0; j < 30; j += stride {
				at[i+j] = true
			}
		}
	}
	return at
}

func randomly(n, cuts int) map[int]bool {
	rnd, at := rand.New(rand.NewPCG(1, 3)), map[int]bool{}
	for range cuts {
		at[rnd.IntN(n)] = true
	}
	return at
}

// cutPower rebuilds the disk as of some records, opens the store on it, and looks for everything that had been promised by then.
func cutPower(t *testing.T, dir string, journal []record, at map[int]bool, stingy bool) (promises int, err error) {
	rnd := rand.New(rand.NewPCG(1, 2))
	d, l := newForgetful(), newLife()
	d.stingy = stingy
	for i, r := range journal {
		if r.op == '!' && r.path != "shown" {
			verb, text, _ := strings.Cut(r.path, " ")
			var v deed
			if err := json.Unmarshal([]byte(text), &v); err != nil {
				t.Fatal(err)
			}
			if verb == "try" {
				l.try(v)
			} else {
				l.promised(v)
			}
		} else {
			d.do(r, rnd)
		}
		if !at[i] {
			continue
		}
		to := t.TempDir()
		if err := d.crash(dir, to, rnd); err != nil {
			t.Fatal(err)
		}
		o := diskOptions(to)
		s, err := store.Open(t.Context(), o)
		if err != nil {
			return promises, fmt.Errorf("power cut after record %d of %d (%d promises): open: %w", i, len(journal), len(l.kept), err)
		}
		err = l.check(t.Context(), s)
		s.Close()
		if err != nil {
			return promises, fmt.Errorf("power cut after record %d of %d (%d promises): %w", i, len(journal), len(l.kept), err)
		}
		promises += len(l.kept)
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
	}
	return promises, nil
}
