package rescue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/educationpub/lectern/server/config"
	"github.com/educationpub/lectern/server/matrix"
	"github.com/educationpub/lectern/server/store"
)

// Backup says where to put a copy of both databases.
type Backup struct {
	Dir  string // must not exist yet
	Keys bool   // the keys as well: then whoever has the folder can read every board
	Log  *slog.Logger
}

// MakeBackup copies lectern.db and companion.db while serve uses them, each as of one moment, checks the copies to the last byte, and only then gives the folder its
// name. Keys stay behind unless asked for: a backup that is stolen shows nothing.
func MakeBackup(ctx context.Context, cfg *config.Config, o Backup, out io.Writer) (err error) {
	if o.Dir == "" {
		return errors.New("backup: where to? -out names a folder that does not exist yet")
	}
	if _, err := os.Stat(o.Dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup: %s exists already", o.Dir)
	}
	temp, err := os.MkdirTemp(filepath.Dir(o.Dir), "."+filepath.Base(o.Dir)+"-") // mode 0700
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	db := filepath.Join(temp, "lectern.db")
	if err := store.Backup(ctx, filepath.Join(cfg.Data, "lectern.db"), db); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	v, err := store.Verify(ctx, db, cfg.Storage.KeyFile, o.Log)
	if err != nil {
		return fmt.Errorf("backup: the copy of lectern.db does not pass its check: %w", err)
	}
	companionKey := filepath.Join(cfg.Data, "companion.key")
	there, err := matrix.CopyDB(ctx, cfg.Data, filepath.Join(temp, "companion.db"))
	if err == nil && there {
		err = matrix.VerifyDB(ctx, filepath.Join(temp, "companion.db"), companionKey)
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	keys := map[string]string{"instance.key": cfg.Storage.KeyFile, "companion.key": companionKey, "recovery-key.txt": cfg.Matrix.RecoveryKeyFile}
	if o.Keys {
		for name, from := range keys {
			if err := copyKey(from, filepath.Join(temp, name)); err != nil {
				return fmt.Errorf("backup: %w", err)
			}
		}
	}
	if err := os.Rename(temp, o.Dir); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	fmt.Fprintf(out, "%s: %d boards, %d entries, every one read back and verified\n", o.Dir, v.Boards, v.Entries)
	if o.Keys {
		fmt.Fprintln(out, "The keys are in it: whoever has this folder can read every board and sign in as the Lectern account.")
	} else {
		fmt.Fprintf(out, "The keys are not in it. Without %s and %s it is of no use: keep copies of them, and of %s, somewhere else.\n", keys["instance.key"], keys["companion.key"], keys["recovery-key.txt"])
	}
	return nil
}

// copyKey leaves out a key that does not exist: an account that never had to make one, or a recovery key that was moved to a safe place.
func copyKey(from, to string) error {
	b, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return writeNew(to, b)
}
