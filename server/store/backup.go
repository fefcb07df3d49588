package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"

	"github.com/educationpub/lectern/crdt/board"
)

// Backup copies a database that may be in use into a new file, as of one moment.
func Backup(ctx context.Context, from, to string) error {
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("back up the database: %s exists already", to)
	}
	if _, err := os.Stat(from); err != nil {
		return fmt.Errorf("back up the database: %w", err)
	}
	db, err := sql.Open("sqlite3", dsn(from, url.Values{"mode": {"ro"}, "_busy_timeout": {"5000"}}))
	if err != nil {
		return fmt.Errorf("back up the database: %w", err)
	}
	defer db.Close()
	if err := reserve(to); err != nil { // with its mode before there is anything in it; SQLite takes an empty file
		return err
	}
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, to); err != nil {
		return errors.Join(fmt.Errorf("back up the database: %w", err), os.Remove(to))
	}
	f, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("back up the database: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// settle leaves nothing of a database outside its one file.
func settle(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite3", dsn(path, url.Values{"_busy_timeout": {"5000"}}))
	if err != nil {
		return fmt.Errorf("settle the copy: %w", err)
	}
	defer db.Close()
	var mode string
	if err := db.QueryRowContext(ctx, `PRAGMA journal_mode=DELETE`).Scan(&mode); err != nil || mode != "delete" {
		return errors.Join(fmt.Errorf("settle the copy: it stays in mode %q", mode), err)
	}
	if err := os.Remove(path + ".lock"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("settle the copy: %w", err)
	}
	return nil
}

// Verified is what Verify found in order.
type Verified struct {
	Boards  int
	Entries uint64
}

// Verify opens a database that nobody uses and reads everything in it: SQLite's own check of the file, the instance key, every board's key, every entry and
// every merged document.
func Verify(ctx context.Context, path, keyFile string, log *slog.Logger) (v Verified, err error) {
	s, err := Open(ctx, Options{Path: path, KeyFile: keyFile, Logger: log})
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, s.Close(), settle(ctx, path)) }()
	var answer string
	if err := s.read.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&answer); err != nil || answer != "ok" {
		return v, errors.Join(fmt.Errorf("the file is damaged: %.200s", answer), err)
	}
	boards, err := s.Stored(ctx)
	if err != nil {
		return v, err
	}
	for _, b := range boards {
		for after := uint64(0); after < b.Seq; {
			entries, err := s.Read(ctx, b.ID, after, 1000, 4<<20)
			if err != nil {
				return v, err
			}
			if len(entries) == 0 {
				return v, board.ErrDamaged.Because("board %s ends at %d instead of %d", b.ID, after, b.Seq)
			}
			after = entries[len(entries)-1].Seq
		}
		meta, err := s.Open(ctx, b.ID)
		if err != nil {
			return v, err
		}
		for _, d := range meta.Docs {
			if _, err := s.Snapshot(ctx, b.ID, d.ID); err != nil {
				return v, err
			}
		}
		v.Boards++
		v.Entries += b.Seq
	}
	return v, nil
}
