package store

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/educationpub/lectern/crdt/board"
)

// What happens when the disk fails. While there is a Fault every write is refused with board.ErrStorage and reading goes on.
//
//   - No room: nothing of the failed transaction counts. As soon as room bytes can be written and synced again, writing goes on.
//   - Anything else, a failing fsync above all: the kernel may have thrown away what it could not write and calls it clean, so that reading
//     it, or syncing it again, proves nothing. All connections are closed, what SQLite will read is written over itself and synced (heal),
//     and the database is opened again from that. What was acknowledged had been synced before and is in it.
//   - A damaged file is not written to any more before a restart, which checks it.

// FaultKind says why nothing can be stored.
type FaultKind string

// Kinds of faults.
const (
	Full    FaultKind = "full"
	Failing FaultKind = "failing"
	Damaged FaultKind = "damaged"
)

// Fault is why nothing can be stored now. Immutable.
type Fault struct {
	Kind  FaultKind
	Since time.Time
	Err   error
}

// Error implements error.
func (f *Fault) Error() string { return fmt.Sprintf("store: disk %s: %v", f.Kind, f.Err) }

// Unwrap answers the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Advice says what the operator can do.
func (f *Fault) Advice() string {
	switch f.Kind {
	case Full:
		return "make room on the disk that holds lectern.db; Lectern goes on by itself"
	case Failing:
		return "look into the kernel's log and check the disk that holds lectern.db; Lectern tries again by itself; if that does not end, stop it and move the data folder to another disk"
	default:
		return wayBack
	}
}

const wayBack = "stop Lectern and put the newest backup of lectern.db in place, or move lectern.db, lectern.db-wal and lectern.db-shm away: boards then come back from their rooms as of their newest checkpoint"

func (f *Fault) refusal() error { return board.ErrStorage.Because("%w", f) }

// faultOf tells errors of the disk from those of one request; nil for the latter.
func faultOf(err error) *Fault {
	e, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return nil
	}
	f := &Fault{Since: time.Now(), Err: err}
	noRoom := e.SystemErrno == syscall.ENOSPC || e.SystemErrno == syscall.EDQUOT
	synced := e.ExtendedCode == sqlite3.ErrIoErrFsync || e.ExtendedCode == sqlite3.ErrIoErrDirFsync // ENOSPC there has cost pages
	switch e.Code {
	case sqlite3.ErrFull:
		f.Kind = Full
	case sqlite3.ErrIoErr, sqlite3.ErrCantOpen:
		f.Kind = Failing
		if noRoom && !synced {
			f.Kind = Full
		}
	case sqlite3.ErrReadonly, sqlite3.ErrProtocol: // a disk that the kernel made read-only
		f.Kind = Failing
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		f.Kind = Damaged
	default:
		return nil
	}
	return f
}
