package store

import (
	"context"
	"database/sql"
	"sync"
)

// reader are the read-only connections. After a fault they are exchanged for new ones; who reads meanwhile waits.
type reader struct {
	mu sync.RWMutex
	// Guarded by mu.
	db *sql.DB
}

// QueryContext is sql.DB's.
func (r *reader) QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.db.QueryContext(ctx, q, args...)
}

// QueryRowContext is sql.DB's.
func (r *reader) QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.db.QueryRowContext(ctx, q, args...)
}

func (r *reader) close() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.db.Close()
}
