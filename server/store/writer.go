package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// maxGroup bounds how many requests share one transaction, so that the first of them does not wait for ever.
const maxGroup = 512

// writer is the only goroutine that writes. Everything that waits goes into one transaction: one fsync for all boards.
type writer struct {
	// Immutable after newWriter.
	s     *Store
	log   *slog.Logger
	ended chan struct{} // closed when run returns
	wake  chan struct{} // capacity 1

	fault atomic.Pointer[Fault] // written by run

	mu sync.Mutex
	// Guarded by mu.
	queue  []job
	closed bool

	// Owned by run.
	db    *sql.DB // nil: closed by a fault and not open again yet
	tx    tx
	last  map[board.ID]uint64 // last seq of boards written to; emptied by every rollback
	retry *time.Timer         // runs while there is a fault
	tries int                 // in vain, of the present fault
}

// job is one request. do may run twice (again, alone, after another request of its group failed), so it must not keep state.
type job struct {
	do   func(*tx) error
	done func(error) // exactly once, in the order of the requests
}

// tx is the open transaction with its prepared statements. Owned by writer.run.
type tx struct {
	conn   *sql.Conn
	stmts  map[string]*sql.Stmt
	insert *sql.Stmt
	begin  *sql.Stmt
	commit *sql.Stmt
	pages  *sql.Stmt // how long the write-ahead log is and how much of it has been moved
	last   map[board.ID]uint64

	vault    *vault
	truncate bool // empty the write-ahead log after this transaction
}

const insertEntry = `INSERT INTO entries (board, seq, doc, epoch, kind, hash, actor, person, ts, key_id, bytes) VALUES (?,?,?,?,?,?,?,?,?,?,?)`

func newWriter(ctx context.Context, db *sql.DB, s *Store) (*writer, error) {
	w := &writer{s: s, log: s.log, ended: make(chan struct{}), wake: make(chan struct{}, 1), last: map[board.ID]uint64{}, retry: time.NewTimer(time.Hour)}
	w.retry.Stop()
	if err := w.use(ctx, db); err != nil {
		return nil, err
	}
	go w.run() // ends in close
	return w, nil
}

// use takes a connection of its own from a newly opened database. Checkpoints are the writer's: SQLite's own would keep their errors to
// themselves.
func (w *writer) use(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("open connection for writing: %w", err)
	}
	clear(w.last)
	t := tx{conn: conn, stmts: map[string]*sql.Stmt{}, last: w.last, vault: w.s.vault}
	if _, err := conn.ExecContext(ctx, "PRAGMA wal_autocheckpoint = 0"); err != nil {
		return errors.Join(fmt.Errorf("open connection for writing: %w", err), conn.Close())
	}
	for q, p := range map[string]**sql.Stmt{"BEGIN IMMEDIATE": &t.begin, "COMMIT": &t.commit, insertEntry: &t.insert, "PRAGMA wal_checkpoint(NOOP)": &t.pages} {
		if *p, err = t.prepare(q); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	w.db, w.tx = db, t
	return nil
}

// drop closes the writer's connection and its database.
func (w *writer) drop() error {
	if w.db == nil {
		return nil
	}
	for _, s := range w.tx.stmts {
		_ = s.Close() // the connection goes next
	}
	err := errors.Join(w.tx.conn.Close(), w.db.Close())
	w.db, w.tx = nil, tx{}
	return err
}

// add queues a request; it never blocks on the disk.
func (w *writer) add(j job) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		j.done(ErrClosed)
		return
	}
	w.queue = append(w.queue, j)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	w.mu.Unlock()
}

// do queues a request and waits until it is on disk. A caller that gives up does not take the request back.
func (w *writer) do(ctx context.Context, f func(*tx) error) error {
	c := make(chan error, 1)
	w.add(job{do: f, done: func(err error) { c <- err }})
	select {
	case err := <-c:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close ends run after what is queued, then closes the connections; the writer's is the last, because only it can leave nothing in the
// write-ahead log.
func (w *writer) close() error {
	w.mu.Lock()
	again := w.closed
	if w.closed = true; !again {
		close(w.wake)
	}
	w.mu.Unlock()
	<-w.ended
	if again {
		return nil
	}
	return errors.Join(w.s.read.close(), w.drop())
}

// run

func (w *writer) run() {
	defer close(w.ended)
	defer w.retry.Stop()
	var group []job
	for {
		open := true
		select {
		case _, open = <-w.wake:
		case <-w.retry.C:
			w.recover()
		}
		for {
			w.mu.Lock()
			n := min(len(w.queue), maxGroup)
			group = append(group[:0], w.queue[:n]...)
			rest := copy(w.queue, w.queue[n:])
			clear(w.queue[rest:])
			w.queue = w.queue[:rest]
			w.mu.Unlock()
			if n == 0 {
				break
			}
			w.commit(group)
			clear(group)
		}
		if !open {
			return
		}
	}
}

// commit makes a group durable together; when one of it fails, each is tried alone, so that nobody fails for another's fault.
func (w *writer) commit(group []job) {
	if f := w.fault.Load(); f != nil {
		for i := range group {
			group[i].done(f.refusal())
		}
		return
	}
	start := time.Now()
	err := w.transact(group)
	if observe := w.s.opts.Committed; observe != nil {
		observe(len(group), time.Since(start))
	}
	if f := faultOf(err); f != nil {
		w.failed(f)
		w.commit(group) // refuses
		return
	}
	if _, own := errors.AsType[*jobError](err); own && len(group) > 1 {
		for i := range group {
			w.commit(group[i : i+1])
		}
		return
	}
	for i := range group {
		group[i].done(unwrapJob(err))
	}
	if err == nil && w.fault.Load() == nil {
		w.checkpoint()
	}
}

// jobError marks an error of one request, before COMMIT: nothing of the group is on disk.
type jobError struct{ err error }

func (e *jobError) Error() string { return e.err.Error() }
func (e *jobError) Unwrap() error { return e.err }

func unwrapJob(err error) error {
	var own *jobError
	if errors.As(err, &own) {
		return own.err
	}
	return err
}

func (w *writer) transact(group []job) error {
	bg := context.Background()
	if _, err := w.tx.begin.ExecContext(bg); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	for i := range group {
		if err := group[i].do(&w.tx); err != nil {
			w.rollback()
			return &jobError{err}
		}
	}
	if _, err := w.tx.commit.ExecContext(bg); err != nil {
		// Whether it is on disk is not known: callers must read again before they go on.
		w.rollback()
		w.log.Error("commit failed", "requests", len(group), "err", err)
		return fmt.Errorf("commit: %w", err)
	}
	if w.tx.truncate {
		w.tx.truncate = false
		var busy, pages, done int
		err := w.tx.conn.QueryRowContext(bg, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &done)
		if err != nil || busy != 0 {
			w.log.Warn("write-ahead log not emptied", "busy", busy, "err", err)
		}
		if f := faultOf(err); f != nil {
			w.failed(f) // what was asked for is on disk nevertheless
		}
	}
	return nil
}

// checkpoint moves the write-ahead log into the database when it has grown, after everybody has been answered.
func (w *writer) checkpoint() {
	var busy, pages, done int
	err := w.tx.pages.QueryRowContext(context.Background()).Scan(&busy, &pages, &done)
	if err == nil && pages-done >= w.s.opts.CheckpointPages {
		err = w.tx.conn.QueryRowContext(context.Background(), `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &pages, &done)
	}
	if err == nil {
		return
	}
	if f := faultOf(err); f != nil {
		w.failed(f)
		return
	}
	w.log.Warn("write-ahead log not moved into the database", "err", err)
}

func (w *writer) rollback() {
	clear(w.last)
	if _, err := w.tx.conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
		w.log.Debug("rollback", "err", err) // SQLite has rolled back by itself
	}
}

func (t *tx) prepare(q string) (*sql.Stmt, error) {
	if s, ok := t.stmts[q]; ok {
		return s, nil
	}
	s, err := t.conn.PrepareContext(context.Background(), q)
	if err != nil {
		return nil, fmt.Errorf("prepare %.40q: %w", q, err)
	}
	t.stmts[q] = s
	return s, nil
}

func (t *tx) exec(q string, args ...any) (int64, error) {
	s, err := t.prepare(q)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t *tx) row(q string, args ...any) *sql.Row {
	s, err := t.prepare(q)
	if err != nil {
		return t.conn.QueryRowContext(context.Background(), q, args...) // answers the same error
	}
	return s.QueryRowContext(context.Background(), args...)
}
