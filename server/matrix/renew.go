package matrix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.mau.fi/util/dbutil"
)

// Login is a login that Renew puts in place of one that is gone.
type Login struct{ account account }

// SignIn logs in with the password, as a new device. (With the old device's id the homeserver would keep its old keys, and the two would not fit.)
func SignIn(ctx context.Context, cfg Config) (*Login, error) {
	c, err := New(cfg)
	if err != nil {
		return nil, err
	}
	if err := c.connect(); err != nil {
		return nil, err
	}
	a, err := c.passwordLogin(ctx, "Lectern")
	if err != nil {
		return nil, fmt.Errorf("matrix: %w", err)
	}
	return &Login{a}, nil
}

// aside is where the database of the device that is gone goes; an older one is replaced.
const aside = dbName + ".signed-out"

// Renew puts a new companion.db with a new login in place of the one whose token is gone. What a new device needs comes along: the key of the key backup, from
// which the room keys are restored at the next Start, which rooms are encrypted, and what is remembered of them. The companion must be closed. The old file stays beside it.
func Renew(ctx context.Context, cfg Config, login *Login) (err error) {
	old, err := New(cfg)
	if err != nil {
		return err
	}
	if err := old.openDB(ctx); err != nil {
		return err
	}
	backupKey, err := old.meta(ctx, "backup_key")
	rooms := old.view.sticky
	var visits func(context.Context, *Companion) error
	if err == nil {
		visits, err = copyVisits(ctx, old)
	}
	if err = errors.Join(err, old.Close()); err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		from, to := filepath.Join(cfg.DataDir, dbName+suffix), filepath.Join(cfg.DataDir, aside+suffix)
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("matrix: remove an old companion.db: %w", err)
		}
		if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("matrix: put companion.db aside: %w", err)
		}
	}
	c, err := New(cfg)
	if err != nil {
		return err
	}
	if err := c.openDB(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return c.db.DoTxn(ctx, &dbutil.TxnOptions{}, func(ctx context.Context) error {
		if err := c.keepAccount(ctx, login.account); err != nil {
			return err
		}
		if backupKey != nil {
			if err := c.setMeta(ctx, "backup_key", backupKey); err != nil {
				return err
			}
			if err := c.setMeta(ctx, metaRenewed, []byte{1}); err != nil {
				return err
			}
		}
		for room := range rooms {
			if _, err := c.db.Exec(ctx, "INSERT INTO lectern_encrypted_room (room) VALUES ($1) ON CONFLICT DO NOTHING", room); err != nil {
				return err
			}
		}
		return visits(ctx, c)
	})
}

// metaRenewed is there until a renewed device has its keys.
const metaRenewed = "renewed"

// renewKeys gives a new device in place of an old one what the old one had. Without the recovery key the device cannot be cross-signed: members who send keys
// to signed devices only cannot speak to it in encrypted rooms, and are told so.
func (c *Companion) renewKeys(ctx context.Context, k *keyBackup) (*keyBackup, error) {
	if _, err := os.Stat(c.cfg.RecoveryKeyFile); err == nil {
		if k, err = c.setUpSecrets(ctx); err != nil {
			return nil, err
		}
	} else {
		c.log.Error("the companion's new device is not cross-signed, because the recovery key is not there; it works all the same", "file", c.cfg.RecoveryKeyFile)
		if err := c.restoreBackup(ctx, k); err != nil {
			return nil, err
		}
	}
	_, err := c.db.Exec(ctx, "DELETE FROM lectern_meta WHERE name=$1", metaRenewed)
	return k, err
}
