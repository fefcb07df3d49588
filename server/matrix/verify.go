package matrix

import (
	"context"
	"errors"
	"fmt"

	"go.mau.fi/util/dbutil"
)

// VerifyDB checks a copy of companion.db that nobody uses: SQLite's own check, and that the key file opens what is sealed in it.
func VerifyDB(ctx context.Context, path, keyFile string) error {
	key, err := readPickleKey(keyFile)
	if err != nil {
		return err
	}
	db, err := dbutil.NewWithDialect("file:"+path+"?mode=ro", "sqlite3")
	if err != nil {
		return fmt.Errorf("matrix: open the copy of companion.db: %w", err)
	}
	defer db.Close()
	var answer string
	if err := db.QueryRow(ctx, "PRAGMA integrity_check").Scan(&answer); err != nil || answer != "ok" {
		return errors.Join(fmt.Errorf("matrix: the copy of companion.db is damaged: %.200s", answer), err)
	}
	c := &Companion{db: db}
	if c.seal, err = newSealer(key); err != nil {
		return err
	}
	_, err = c.meta(ctx, "account")
	return err
}
