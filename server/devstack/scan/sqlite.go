package scan

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	_ "github.com/mattn/go-sqlite3" // the driver
)

// database looks at every value of every table. The raw bytes were looked at before, deleted rows included; but a value longer
// than a page lies there in pieces, which no decompressor can follow. Works on a copy, so that a running server is not disturbed.
func (s *scanner) database(path string) (err error) {
	dir, err := os.MkdirTemp("", "scan-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	name := filepath.Join(dir, "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(name+suffix, data, 0o600)
		}
		if err != nil {
			return err
		}
	}
	db, err := sql.Open("sqlite3", "file:"+name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tables, err := tableNames(db)
	if err != nil {
		s.incomplete("not readable as a database: %v", err)
		return nil
	}
	for _, table := range tables {
		if err := s.table(db, table); err != nil {
			s.incomplete("table %s: %v", table, err)
		}
	}
	return nil
}

func tableNames(db *sql.DB) (names []string, err error) {
	rows, err := db.Query("SELECT name FROM sqlite_master WHERE type = 'table'")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

func (s *scanner) table(db *sql.DB, table string) error {
	rows, err := db.Query(fmt.Sprintf(`SELECT * FROM "%s"`, strings.ReplaceAll(table, `"`, `""`)))
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]sql.RawBytes, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		for i, v := range values {
			if len(v) >= minCanary {
				s.look(v, []string{"sqlite " + table + "." + columns[i]})
			}
		}
	}
	return rows.Err()
}
