package matrix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto/backup"
	"maunium.net/go/mautrix/crypto/ssss"
	"maunium.net/go/mautrix/id"
)

// setUpKeys is safe to repeat: every step looks at what is there already. First start: recovery key into its file, then key storage, cross-signing,
// backup. Later starts need neither the file nor key storage. With a new companion.db on an old account: everything comes from the recovery key.
func (c *Companion) setUpKeys(ctx context.Context) error {
	k, err := c.storedBackupKey(ctx)
	if err != nil {
		return err
	}
	renewed, err := c.meta(ctx, metaRenewed)
	switch {
	case err != nil:
		return err
	case k == nil:
		k, err = c.setUpSecrets(ctx)
	case renewed != nil:
		k, err = c.renewKeys(ctx, k)
	}
	if err != nil {
		return err
	}
	if err := c.ensureVersion(ctx, k); err != nil {
		return err
	}
	c.backup.Store(k)
	c.ready.Store(true)
	return nil
}

func (c *Companion) setUpSecrets(ctx context.Context) (*keyBackup, error) {
	key, err := c.recoveryKey(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.crossSign(ctx, key); err != nil {
		// Only members who send keys to signed devices only cannot speak to it in encrypted rooms. So this does not stop it.
		c.log.Error("cross-signing of the companion's device is not set up", "err", requestError("cross-signing", err))
	}
	k, err := c.fetchBackupKey(ctx, key)
	if err != nil {
		return nil, err
	}
	if k == nil {
		bk, err := backup.NewMegolmBackupKey()
		if err != nil {
			return nil, fmt.Errorf("make a backup key: %w", err)
		}
		if err := c.machine.SSSS.SetEncryptedAccountData(ctx, backupSecret, bk.Bytes(), key); err != nil {
			return nil, requestError("store the backup key", err)
		}
		k = newKeyBackup(bk)
	}
	if err := c.restoreBackup(ctx, k); err != nil {
		return nil, err
	}
	return k, c.setMeta(ctx, "backup_key", k.key.Bytes())
}

// fetchBackupKey answers nil when the account has none.
func (c *Companion) fetchBackupKey(ctx context.Context, key *ssss.Key) (*keyBackup, error) {
	raw, err := c.machine.SSSS.GetDecryptedAccountData(ctx, backupSecret, key)
	if errors.Is(err, mautrix.MNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, requestError("read the backup key", err)
	}
	bk, err := backup.MegolmBackupKeyFromBytes(raw)
	if err != nil {
		return nil, fmt.Errorf("the account's backup key: %w", err)
	}
	return newKeyBackup(bk), nil
}

// recoveryKey opens the account's key storage (SSSS) with the recovery key in the file, or makes both. The file is written before anything is
// published. A recovery key is never overwritten: one that opens nothing is moved aside.
func (c *Companion) recoveryKey(ctx context.Context) (*ssss.Key, error) {
	path := c.cfg.RecoveryKeyFile
	_, ferr := os.Stat(path)
	if ferr != nil && !errors.Is(ferr, fs.ErrNotExist) {
		return nil, fmt.Errorf("recovery key: %w", ferr)
	}
	if key, err := c.openStorage(ctx); !errors.Is(err, ssss.ErrNoDefaultKeyID) {
		return key, err
	}
	if ferr == nil {
		if err := os.Rename(path, path+".old-"+strconv.FormatInt(time.Now().UnixNano(), 10)); err != nil {
			return nil, fmt.Errorf("move an unused recovery key aside: %w", err)
		}
	}
	key, err := ssss.NewKey("")
	if err != nil {
		return nil, fmt.Errorf("make a recovery key: %w", err)
	}
	if err := writeNew(path, []byte(key.RecoveryKey()+"\n")); err != nil {
		return nil, err
	}
	c.log.Info("recovery key written: keep a copy of the file away from this machine", "file", path)
	if err := c.machine.SSSS.SetKeyData(ctx, key.ID, key.Metadata); err != nil {
		return nil, requestError("make a key storage", err)
	}
	if err := c.machine.SSSS.SetDefaultKeyID(ctx, key.ID); err != nil {
		return nil, requestError("make a key storage", err)
	}
	return key, nil
}

// openStorage opens the key storage that the account has; ssss.ErrNoDefaultKeyID where it has none.
func (c *Companion) openStorage(ctx context.Context) (*ssss.Key, error) {
	path := c.cfg.RecoveryKeyFile
	keyID, meta, err := c.machine.SSSS.GetDefaultKeyData(ctx)
	if errors.Is(err, ssss.ErrNoDefaultKeyID) {
		return nil, err
	} else if err != nil {
		return nil, requestError("ask for the key storage", err)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the account %s has a key storage already, but the recovery key is not in %s: put it there, or start with a fresh account", c.user, path)
	} else if err != nil {
		return nil, fmt.Errorf("recovery key: %w", err)
	}
	key, err := meta.VerifyRecoveryKey(keyID, strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("the recovery key in %s does not open the key storage of %s: %w", path, c.user, err)
	}
	return key, nil
}

// crossSign publishes the account's cross-signing keys, if they are not, and signs this device with them.
func (c *Companion) crossSign(ctx context.Context, key *ssss.Key) error {
	m := c.machine
	err := m.FetchCrossSigningKeysFromSSSS(ctx, key)
	xs := m.CrossSigningKeys
	if errors.Is(err, mautrix.MNotFound) {
		if xs, err = m.GenerateCrossSigningKeys(); err != nil {
			return err
		}
		if err = m.UploadCrossSigningKeysToSSSS(ctx, key, xs); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	there, err := c.client.QueryKeys(ctx, &mautrix.ReqQueryKeys{DeviceKeys: mautrix.DeviceKeysRequest{c.user: mautrix.DeviceIDList{}}})
	if err != nil {
		return err
	}
	master := there.MasterKeys[c.user]
	if master.FirstKey() != xs.MasterKey.PublicKey() {
		if err := m.PublishCrossSigningKeys(ctx, xs, c.passwordAgain); err != nil {
			return err
		}
	}
	if _, err := m.FetchKeys(ctx, []id.UserID{c.user}, true); err != nil {
		return err
	}
	if err := m.SignOwnDevice(ctx, m.OwnIdentity()); err != nil {
		return err
	}
	return m.SignOwnMasterKey(ctx)
}

// passwordAgain answers user-interactive authentication, which servers ask for when cross-signing keys are replaced.
func (c *Companion) passwordAgain(r *mautrix.RespUserInteractive) any {
	password, err := c.password()
	if err != nil {
		return nil
	}
	return &mautrix.ReqUIAuthLogin{BaseAuthData: mautrix.BaseAuthData{Type: mautrix.AuthTypePassword, Session: r.Session}, User: c.user.String(), Password: password}
}
