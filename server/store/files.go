package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// lock keeps a second Lectern off the database: two processes that number the same log would overwrite each other. The kernel ends the lock
// with the process, however it dies.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock database: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("another Lectern is running on %s", path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock database: %w", err), f.Close())
	}
	return f, nil
}

// reserve makes the database's file readable by its owner only; SQLite gives the files beside it the same mode.
func reserve(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	trace("create", path, 0, nil)
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return fmt.Errorf("protect database: %w", err)
	}
	return nil
}

// heal writes the write-ahead log over itself and syncs it, before SQLite reads it. After a crash, or an fsync that failed, the kernel may
// hold pages that it calls clean and that are not on disk: whatever is read from now on has been written again. Bytes that are torn by a
// power cut here are the same before and after. Nobody may have the database open.
func heal(path string) error {
	f, err := os.OpenFile(path+"-wal", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open write-ahead log: %w", err)
	}
	buf := make([]byte, 1<<20)
	for at := int64(0); err == nil; {
		var n int
		if n, err = f.ReadAt(buf, at); n > 0 {
			if _, werr := f.WriteAt(buf[:n], at); werr != nil {
				err = werr
			}
			trace("write", f.Name(), at, buf[:n])
			at += int64(n)
		}
	}
	if err == io.EOF {
		if err = f.Sync(); err == nil {
			trace("sync", f.Name(), 0, nil)
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("make the write-ahead log durable: %w", err)
	}
	return nil
}

var healing = heal // taken out by the test that proves that it is needed

// room is what must fit before a full disk counts as usable again: less would be full at once.
const room = 4 << 20

// hasRoom writes and syncs a file of that size beside the database and removes it.
func hasRoom(path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "room-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.Write(make([]byte, room)); err != nil {
		return err
	}
	return f.Sync()
}

// syncDir makes a new file's name durable: a key that is gone after a power cut would take every board with it.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = errors.Join(d.Sync(), d.Close())
	if err == nil {
		trace("sync", dir, 0, nil)
	}
	return err
}

// trace tells the test's fake disk what is done to files without SQLite: "create", "write", "sync", "link" (b is the new name).
var trace = func(op, path string, at int64, b []byte) {}
