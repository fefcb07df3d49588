package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// firstRetry is how soon after a fault the store tries again; doubling up to 32 times that. Tests shorten it.
var firstRetry = time.Second

// On the writer's goroutine: from a fault back to storing.

// failed stops all writing until recover.
func (w *writer) failed(f *Fault) {
	if was := w.fault.Load(); was == nil || was.Kind != f.Kind {
		w.fault.Store(f)
		w.tries = 0
		w.log.Error("nothing can be stored: boards are read-only", "why", string(f.Kind), "err", f.Err, "do", f.Advice())
		w.tell(f)
	}
	if f.Kind != Damaged {
		w.retry.Reset(firstRetry << min(w.tries, 5))
	}
}

func (w *writer) tell(f *Fault) {
	if w.s.opts.OnFault != nil {
		w.s.opts.OnFault(f)
	}
}

// recover looks whether storing works again, and proves it before anybody is told.
func (w *writer) recover() {
	was := w.fault.Load()
	if was == nil || was.Kind == Damaged {
		return
	}
	err := w.tryAgain(was.Kind)
	if err == nil {
		w.log.Warn("storing works again", "why", string(was.Kind), "after", time.Since(was.Since))
		w.tell(nil)
		return
	}
	if w.tries++; w.tries%30 == 0 {
		w.log.Error("still nothing can be stored", "why", string(was.Kind), "since", was.Since, "err", err, "do", was.Advice())
	}
	f := faultOf(err)
	switch {
	case errors.Is(err, ErrDamagedFile):
		f = &Fault{Kind: Damaged, Since: was.Since, Err: err}
	case f == nil, f.Kind == Full: // not to be taken for less than it was: connections may still have to be opened
		f = was
	}
	w.failed(f)
}

// tryAgain needs room, connections that know nothing but the disk, and one commit that reaches it.
func (w *writer) tryAgain(kind FaultKind) error {
	if err := hasRoom(w.s.opts.Path); err != nil {
		return err
	}
	if kind == Failing {
		if err := w.s.reopen(); err != nil {
			return err
		}
	}
	err := w.transact([]job{{do: func(t *tx) error {
		_, err := t.exec(`UPDATE instance SET one = 1`)
		return err
	}}})
	if err != nil {
		return err
	}
	return w.resume()
}

// drainTime is how long reads that have begun may take before a reopening is put off.
const drainTime = 2 * time.Second

// reopen closes every connection, so that SQLite keeps nothing of what it believed to be on disk, and connects anew. Called by writer.run.
func (s *Store) reopen() error {
	s.read.mu.Lock()
	defer s.read.mu.Unlock()
	if err := s.read.db.Close(); err != nil {
		s.log.Warn("close database after a fault", "err", err)
	}
	for end := time.Now().Add(drainTime); s.read.db.Stats().OpenConnections > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("reads are still under way")
		}
	}
	// The last to close moves what was committed into the database and removes the write-ahead log, and with it what failed. Where that fails
	// too, what failed may turn up as committed: nobody was told, and boards that were opened meanwhile find out at their next append.
	if err := s.write.drop(); err != nil {
		s.log.Warn("close database after a fault", "err", err)
	}
	wdb, rdb, err := connect(s.opts)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err = checkStructure(ctx, wdb, s.log); err == nil {
		err = rdb.PingContext(ctx)
	}
	if err == nil {
		err = s.write.use(ctx, wdb)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open database again: %w", err), rdb.Close(), wdb.Close())
	}
	s.read.db = rdb
	return nil
}
