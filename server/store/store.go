// Package store keeps boards, sessions and spent tokens in one SQLite file. It owns durability: whoever is told "done" by it can be
// shown to others, because fsync has returned. Content is encrypted with a key per board; bytes that do not verify are never served.
// It refuses to open with another instance's key.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "github.com/mattn/go-sqlite3" // driver "sqlite3"
	"go.mau.fi/util/dbutil"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
)

var (
	_ board.Log            = (*Store)(nil)
	_ checkpoint.Snapshots = (*Store)(nil)
	_ identity.Store       = (*Store)(nil)
)

// ErrClosed is what every call answers after Close.
var ErrClosed = errors.New("store: closed")

//go:embed upgrades/*.sql
var upgrades embed.FS

// Options say where the database is and how it is kept.
type Options struct {
	// Path of the SQLite file, created with its folder if missing.
	Path string
	// KeyFile holds the 32 bytes of the instance key, created with mode 0600 if missing. Whoever has it and the database reads every board.
	KeyFile string
	// PlainAtRest creates new boards without encryption. Only for the test that proves that the scan for readable text finds some.
	PlainAtRest bool
	// UnsafeNoSync is SQLite's synchronous=OFF. Only for the test that proves that the check of the order of fsync and broadcast can fail.
	UnsafeNoSync bool
	Logger       *slog.Logger
	// Committed is told of each transaction: how many requests shared it and how long BEGIN to COMMIT took. May be nil.
	Committed func(requests int, took time.Duration)
	// OnFault is told when storing begins to fail, fails for another reason, and works again (nil), on the writer's goroutine: it must not
	// block. May be nil.
	OnFault func(*Fault)
	// CheckpointPages is how many pages of the write-ahead log are moved into the database at a time; 0 means 1,000.
	CheckpointPages int
}

// Store is safe for concurrent use. All writes go through one goroutine, reads through their own read-only connections.
type Store struct {
	// Immutable after Open.
	opts   Options
	log    *slog.Logger
	locked *os.File
	read   *reader
	write  *writer
	vault  *vault
	memory memory // what sign-ins need while nothing can be stored

	keysMu sync.RWMutex
	// Guarded by keysMu.
	keys map[board.ID]*sealer
}

// Open opens or creates the database, brings its schema up to date, checks it and starts the writer. A key file that does not fit is
// ErrWrongKey, a file that SQLite cannot trust ErrDamagedFile.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CheckpointPages == 0 {
		o.CheckpointPages = 1000
	}
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return nil, fmt.Errorf("create folder of the database: %w", err)
	}
	locked, err := lock(o.Path)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, o, locked)
	if err != nil {
		if f := faultOf(err); f != nil {
			err = fmt.Errorf("%w: %s", err, f.Advice())
		}
		return nil, errors.Join(err, locked.Close())
	}
	return s, nil
}

func open(ctx context.Context, o Options, locked *os.File) (_ *Store, err error) {
	if err := reserve(o.Path); err != nil {
		return nil, err
	}
	all := unclean(o.Path)
	wdb, rdb, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, rdb.Close(), wdb.Close())
		}
	}()
	if all {
		if err := checkStructure(ctx, wdb, o.Logger); err != nil {
			return nil, err
		}
	}
	if err := upgrade(ctx, wdb); err != nil {
		return nil, err
	}
	v, err := openVault(ctx, wdb, o.KeyFile)
	if err != nil {
		return nil, err
	}
	if err := checkTables(ctx, wdb); err != nil {
		return nil, err
	}
	s := &Store{opts: o, log: o.Logger, locked: locked, read: &reader{db: rdb}, vault: v, memory: newMemory(), keys: map[board.ID]*sealer{}}
	s.write, err = newWriter(ctx, wdb, s)
	return s, err
}

// connect opens the database for writing and for reading, from nothing but what is on the disk. The start and the way back from a fault are
// this one function.
func connect(o Options) (wdb, rdb *sql.DB, err error) {
	if err := healing(o.Path); err != nil {
		return nil, nil, err
	}
	sync := "FULL"
	if o.UnsafeNoSync {
		sync = "OFF"
	}
	wdb, err = sql.Open("sqlite3", dsn(o.Path, url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {sync}, "_busy_timeout": {"5000"}, "_foreign_keys": {"on"}, "_secure_delete": {"on"},
	}))
	if err != nil {
		return nil, nil, fmt.Errorf("open database: %w", err)
	}
	wdb.SetMaxOpenConns(1)
	rdb, err = sql.Open("sqlite3", dsn(o.Path, url.Values{"mode": {"ro"}, "_query_only": {"true"}, "_busy_timeout": {"5000"}}))
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open database for reading: %w", err), wdb.Close())
	}
	rdb.SetMaxOpenConns(4)
	rdb.SetMaxIdleConns(4)
	return wdb, rdb, nil
}

func upgrade(ctx context.Context, wdb *sql.DB) error {
	db, err := dbutil.NewWithDB(wdb, "sqlite3")
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	db.Owner = "lectern"
	db.UpgradeTable = dbutil.BuildUpgradeTable().WithFSPath(upgrades, "upgrades").Finish()
	if err := db.Upgrade(ctx); err != nil {
		return fmt.Errorf("bring the database's schema up to date: %w", err)
	}
	return nil
}

func dsn(path string, q url.Values) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// Fault answers why nothing can be stored now (board.ErrStorage), nil when all is well. It never blocks.
func (s *Store) Fault() error {
	if f := s.write.fault.Load(); f != nil {
		return f.refusal()
	}
	return nil
}

// Close commits what is queued and closes the database.
func (s *Store) Close() error {
	err := s.write.close()
	_ = s.locked.Close() // ends the lock; a second time is harmless
	return err
}
