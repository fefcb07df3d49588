package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// ErrDamagedFile: the structure of the database file is not what SQLite wrote. Damage to content alone is not found here but by the seals of
// its rows, and closes that board only.
var ErrDamagedFile = errors.New("store: the database file is damaged")

// checkTime bounds the check after an unclean stop: a database of many gigabytes must not keep a school waiting.
const checkTime = 5 * time.Second

// unclean says whether the last process had no time to close the database: closing removes the write-ahead log.
func unclean(path string) bool {
	i, err := os.Stat(path + "-wal")
	return err == nil && i.Size() > 0
}

// checkStructure looks at the structure of the whole file, after an unclean stop, before anything else touches it.
func checkStructure(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	short, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	start := time.Now()
	err := finding(short, db, `PRAGMA quick_check(1)`)
	if short.Err() != nil && ctx.Err() == nil {
		log.Warn("the database is too large to be checked whole after an unclean stop; rows are checked when they are read", "took", time.Since(start))
		return nil
	}
	log.Info("database checked after an unclean stop", "took", time.Since(start), "err", err)
	return err
}

// checkTables looks into the small tables with their indexes at every start: a row that an index hides is as good as lost.
func checkTables(ctx context.Context, db *sql.DB) error {
	for _, table := range []string{"instance", "boards", "board_keys", "docs", "checkpoints"} {
		if err := finding(ctx, db, `PRAGMA integrity_check(`+table+`)`); err != nil {
			return err
		}
	}
	return nil
}

// finding answers the first thing that a check finds.
func finding(ctx context.Context, db *sql.DB, pragma string) error {
	var text string
	err := db.QueryRowContext(ctx, pragma).Scan(&text)
	if err != nil {
		if f := faultOf(err); f == nil || f.Kind != Damaged {
			return fmt.Errorf("check database: %w", err)
		}
		text = err.Error()
	}
	if text != "ok" {
		return fmt.Errorf("%w (%s): %s", ErrDamagedFile, text, wayBack)
	}
	return nil
}
