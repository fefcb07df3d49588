package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/server/store"
)

// files are all files of a store's folders.
func files(t testing.TB, o store.Options) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, p := range []string{o.Path, o.Path + "-wal", o.Path + "-shm", o.KeyFile} {
		b, err := os.ReadFile(p)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err == nil {
			out[strings.TrimPrefix(p, filepath.Dir(filepath.Dir(p)))] = b
		}
	}
	return out
}

// lay writes files into a new folder.
func lay(t testing.TB, list map[string][]byte) store.Options {
	t.Helper()
	dir := t.TempDir()
	for name, b := range list {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return store.Options{Path: filepath.Join(dir, "data", "lectern.db"), KeyFile: filepath.Join(dir, "keys", "instance.key")}
}

// TestDamage flips bytes in every file, in rest and in the middle of work. What is answered afterwards is right, or an error.
func TestDamage(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.CheckpointPages = 150
	s := newStore(t, o)
	v := newLiver(s, 9)
	for range 120 {
		if err := v.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	working := files(t, o)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	resting := files(t, o)
	rounds := 40
	if full {
		rounds = 1500
	}
	for name, state := range map[string]map[string][]byte{"after a clean stop": resting, "after a kill": working} {
		for file := range state {
			t.Run("LG25 "+file+" "+name, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(1, uint64(len(state[file]))))
				refused, closed, right := 0, 0, 0
				for range rounds {
					list := maps.Clone(state)
					bad := slices.Clone(list[file])
					for range 1 + rnd.IntN(20) {
						bad[rnd.IntN(len(bad))] ^= byte(1 + rnd.IntN(255))
					}
					list[file] = bad
					s, err := store.Open(t.Context(), lay(t, list))
					if err != nil {
						refused++
						continue
					}
					damaged, err := wrong(t.Context(), s, v.l, file)
					s.Close()
					if err != nil {
						t.Fatal(err)
					}
					if damaged {
						closed++
					} else {
						right++
					}
				}
				t.Logf("%d rounds: %d not started, %d with a board closed or people signed out, %d read right", rounds, refused, closed, right)
			})
		}
	}
}

// wrong answers an error when the store says anything that is not true; damaged: it said that something is damaged, or has forgotten people.
func wrong(ctx context.Context, s *store.Store, l *life, file string) (damaged bool, err error) {
	for id := range l.last {
		m, err := s.Open(ctx, id)
		if err == nil && (m.Room != meta.Room || m.Kind != meta.Kind || m.Log != meta.Log || len(m.Docs) != 1 || m.Docs[0].Epoch != 0) {
			return damaged, errors.New("a board is not what it was")
		}
		if err == nil {
			err = readAs(ctx, s, l, m, file)
		}
		if errors.Is(err, errWrong) {
			return damaged, err
		}
		if errors.Is(err, board.ErrUnknown) && !strings.HasSuffix(file, "-wal") {
			return damaged, errors.New("a board is unknown")
		}
		damaged = damaged || err != nil
		snap, err := s.Snapshot(ctx, id, doc)
		if err == nil && (snap.Seq > 0 && string(snap.Document) != document(id, snap.Seq)) {
			return damaged, errors.New("a snapshot is wrong")
		}
		r, err := s.Checkpoint(ctx, id)
		if err == nil && r.Seq > 0 && string(r.Manifest) != document(id, r.Seq) {
			return damaged, errors.New("a record is wrong")
		}
		actors, err := s.Actors(ctx, id)
		if err == nil {
			for _, p := range actors {
				if p != ada {
					return damaged, errors.New("an actor is somebody else's")
				}
			}
		}
	}
	for _, d := range l.kept {
		if d.Op != "session" {
			continue
		}
		st, err := s.Session(ctx, d.Key)
		if err == nil && (st.Person != ada || st.Room != "!r" || st.Board != d.Board) {
			return damaged, errors.New("a session is wrong")
		}
		damaged = damaged || err != nil
	}
	return damaged, nil
}

var errWrong = errors.New("wrong")

// readAs reads a board as its actor does, page by page at its opening, which looks whether the indexes agree, and then as its sessions do, in the order of
// the log: of a board that does not open nobody reads the log.
func readAs(ctx context.Context, s *store.Store, l *life, m board.Meta, file string) error {
	for _, as := range []struct {
		name string
		read func(after uint64) ([]board.Entry, error)
	}{
		{"page", func(after uint64) ([]board.Entry, error) { return s.ReadDoc(ctx, m.ID, doc, 0, after, 100, 1<<20) }},
		{"log", func(after uint64) ([]board.Entry, error) { return s.Read(ctx, m.ID, after, 100, 1<<20) }},
	} {
		name, after := as.name, uint64(0)
		for {
			list, err := as.read(after)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				break
			}
			for _, e := range list {
				if l.hash[m.ID][e.Seq] != e.Hash || e.Seq != after+1 {
					return fmt.Errorf("%w %s: entry %d after %d", errWrong, name, e.Seq, after)
				}
				after++
			}
		}
		if name == "log" && after < m.Seq {
			return board.ErrDamaged // as sessions see it, who know the board's head
		}
		// A damaged write-ahead log ends before the damage: SQLite cannot tell that from a write that was cut off.
		if after < l.last[m.ID] && !strings.HasSuffix(file, "-wal") {
			return fmt.Errorf("%w %s: %d of %d entries", errWrong, name, after, l.last[m.ID])
		}
	}
	return nil
}

func TestClock(t *testing.T) {
	t.Run("LG27 a clock that steps back and forth changes no order, and nothing is unsaved for ever", func(t *testing.T) {
		o := options(t)
		s := newStore(t, o)
		list := someEntries(4)
		now := time.Now().UTC().Truncate(time.Millisecond)
		for i, step := range []time.Duration{0, -48 * time.Hour, 48 * time.Hour, -time.Second} {
			list[i].At = now.Add(step)
		}
		create(t, s, list)
		got, err := s.Read(t.Context(), id, 0, 10, 1<<20)
		if d := cmp.Diff(list, got); err != nil || d != "" {
			t.Fatalf("%v %s", err, d)
		}
		for _, at := range []time.Time{now.Add(-24 * time.Hour), now.Add(24 * time.Hour), now} {
			if err := s.PutCheckpoint(t.Context(), id, checkpoint.Record{Seq: 4, At: at}); err != nil {
				t.Fatal(err)
			}
			if r, err := s.Checkpoint(t.Context(), id); err != nil || !r.At.Equal(at) {
				t.Fatalf("%+v, %v", r, err)
			}
		}
		if d, err := s.Dirty(t.Context()); err != nil || len(d) != 0 {
			t.Fatalf("%v, %v", d, err)
		}
	})
	t.Run("LG27 a session ends by the wall clock", func(t *testing.T) {
		s := newStore(t, options(t))
		for n, left := range map[byte]time.Duration{1: time.Hour, 2: -time.Hour} { // as after a step forward: what was given out before is over
			v := identity.StoredSession{TokenHash: [32]byte{n}, Person: ada, Room: "!r", Board: id, Issued: time.Now(), Expires: time.Now().Add(left)}
			if err := s.PutSession(t.Context(), v); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Session(t.Context(), v.TokenHash); (err == nil) != (left > 0) {
				t.Fatalf("%v left: %v", left, err)
			}
		}
	})
}

func TestOneAtATime(t *testing.T) {
	t.Run("LG23 a second Lectern on the same files is refused, and may come when the first has gone", func(t *testing.T) {
		o := options(t)
		s := newStore(t, o)
		if _, err := store.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "another Lectern") {
			t.Fatalf("got %v", err)
		}
		create(t, s, someEntries(1))
		s.Close()
		newStore(t, o)
	})
}

func TestWholeFileDamaged(t *testing.T) {
	t.Run("LG25 a file whose structure is damaged stops the start with the way back", func(t *testing.T) {
		o := options(t)
		s := newStore(t, o)
		create(t, s, someEntries(200))
		state := files(t, o)
		s.Close()
		whole := files(t, o)["/data/lectern.db"]
		for name, b := range map[string][]byte{
			"cut off":         whole[:len(whole)/2],
			"pages zeroed":    slices.Concat(whole[:8192], make([]byte, len(whole)-8192)),
			"no database":     []byte(strings.Repeat("not a database ", 1000)),
			"header damaged":  slices.Concat(make([]byte, 30), whole[30:]),
			"another's pages": slices.Concat(whole[:4096], whole[8192:12288], whole[4096:8192], whole[12288:]),
		} {
			list := map[string][]byte{"/data/lectern.db": b, "/data/lectern.db-wal": {}, "/keys/instance.key": state["/keys/instance.key"]}
			list["/data/lectern.db-wal"] = state["/data/lectern.db-wal"][:32] // an unclean stop: there is a write-ahead log
			_, err := store.Open(t.Context(), lay(t, list))
			if err == nil || !strings.Contains(err.Error(), "boards then come back from their rooms") {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

// The full disk itself is in TestFailing.
func TestFull(t *testing.T) {
	o := options(t)
	faults := make(chan *store.Fault, 10)
	o.OnFault = func(f *store.Fault) { faults <- f }
	s := newStore(t, o)
	create(t, s, someEntries(3))
	ctx := t.Context()
	st := func(n byte) identity.StoredSession {
		return identity.StoredSession{TokenHash: [32]byte{n}, Person: ada, Room: "!r", Board: id, Kind: "whiteboard", Issued: time.Now(), Expires: time.Now().Add(time.Hour)}
	}
	for n := byte(1); n < 4; n++ {
		if err := s.PutSession(ctx, st(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.SpendOpenID(ctx, [32]byte{1}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	store.RetryAfter(time.Hour)
	defer store.RetryAfter(time.Second)
	s.FailWith(store.Full)
	t.Run("LG20 on a full disk writes are refused with a sentence, and reading goes on", func(t *testing.T) {
		if f := <-faults; f.Kind != store.Full || !strings.Contains(f.Advice(), "make room") {
			t.Fatalf("got %+v", f)
		}
		for name, err := range map[string]error{
			"actor":    s.IssueActor(ctx, id, board.ActorID{7}, ada),
			"fault":    s.Fault(),
			"snapshot": s.PutSnapshot(ctx, id, snapshotAt(3)),
		} {
			if !errors.Is(err, board.ErrStorage) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if list, err := s.Read(ctx, id, 0, 10, 1<<20); err != nil || len(list) != 3 {
			t.Fatalf("%d, %v", len(list), err)
		}
	})
	t.Run("LG24 people sign in and out meanwhile, a token still only once", func(t *testing.T) {
		for i, want := range map[byte]bool{1: false, 2: true} {
			if fresh, err := s.SpendOpenID(ctx, [32]byte{i}, time.Now().Add(time.Hour)); err != nil || fresh != want {
				t.Fatalf("token %d: fresh %v, %v", i, fresh, err)
			}
		}
		if fresh, err := s.SpendOpenID(ctx, [32]byte{2}, time.Now().Add(time.Hour)); err != nil || fresh {
			t.Fatalf("again: fresh %v, %v", fresh, err)
		}
		longer := st(1)
		longer.Expires = longer.Expires.Add(time.Hour)
		if err := errors.Join(s.PutSession(ctx, st(9)), s.PutSession(ctx, longer), s.DeleteSession(ctx, [32]byte{2})); err != nil {
			t.Fatal(err)
		}
		signedIn(t, s, longer)
	})
	t.Run("LG24 when storing works again all that is on disk", func(t *testing.T) {
		s.TryAgain()
		eventually(t, "storing works again", func() bool { return s.Fault() == nil })
		if f := <-faults; f != nil {
			t.Fatalf("got %+v", f)
		}
		longer, err := s.Session(ctx, [32]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s := newStore(t, o)
		signedIn(t, s, longer)
		if fresh, err := s.SpendOpenID(ctx, [32]byte{2}, time.Now().Add(time.Hour)); err != nil || fresh {
			t.Fatalf("fresh %v, %v", fresh, err)
		}
	})
}

func signedIn(t *testing.T, s *store.Store, longer identity.StoredSession) {
	t.Helper()
	ctx := t.Context()
	for n, want := range map[byte]bool{1: true, 2: false, 3: true, 9: true} {
		if got, err := s.Session(ctx, [32]byte{n}); (err == nil) != want || n == 1 && got.Expires.UnixMilli() != longer.Expires.UnixMilli() {
			t.Errorf("session %d: %+v, %v", n, got, err)
		}
	}
	for name, list := range map[string]func() ([]identity.StoredSession, error){
		"person": func() ([]identity.StoredSession, error) { return s.Sessions(ctx, ada) },
		"room":   func() ([]identity.StoredSession, error) { return s.RoomSessions(ctx, "!r") },
	} {
		if l, err := list(); err != nil || len(l) != 3 || !slices.IsSortedFunc(l, func(a, b identity.StoredSession) int { return a.Issued.Compare(b.Issued) }) {
			t.Errorf("%s: %d, %v", name, len(l), err)
		}
	}
}

func TestReadWhileWriting(t *testing.T) {
	t.Run("LG25 a board that grows while it is read is not taken for damaged", func(t *testing.T) {
		s := newStore(t, options(t))
		list := someEntries(8000)
		create(t, s, list[:5000])
		stop, done := make(chan struct{}), make(chan error, 1)
		go func() { // joined below
			for i := 5000; i < len(list); i++ {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				c := make(chan error, 1)
				s.Append(id, list[i:i+1], func(err error) { c <- err })
				if err := <-c; err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for range 300 {
			if _, err := s.ReadDoc(t.Context(), id, doc, 0, 0, 1, 1); err != nil {
				t.Fatal(err)
			}
		}
		close(stop)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}
