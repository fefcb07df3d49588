package matrix

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mattn/go-sqlite3"
	"go.mau.fi/util/dbutil"
	_ "go.mau.fi/util/dbutil/litestream" // registers the SQLite driver with foreign keys and WAL
	"maunium.net/go/mautrix/crypto"
)

// Tables of ours beside mautrix's own in companion.db. meta: access token, device, backup key (values sealed). state_key: the Megolm session key
// at the index of the current content event, for newcomers; a second row of another session exists only while that event is being replaced.
// encrypted_room: rooms once seen encrypted stay so for ever.
const schema = `
CREATE TABLE IF NOT EXISTS lectern_meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS lectern_state_key (
	room TEXT NOT NULL, type TEXT NOT NULL, state_key TEXT NOT NULL, session_id TEXT NOT NULL,
	idx INTEGER NOT NULL, session_key BLOB NOT NULL, shared_history BOOLEAN,
	PRIMARY KEY (room, type, state_key, session_id));
CREATE TABLE IF NOT EXISTS lectern_encrypted_room (room TEXT PRIMARY KEY);` + visitSchema

func (c *Companion) openDB(ctx context.Context) error {
	if c.db != nil {
		return nil
	}
	key, err := pickleKey(c.cfg.PickleKeyFile)
	if err != nil {
		return err
	}
	if c.seal, err = newSealer(key); err != nil {
		return err
	}
	path := filepath.Join(c.cfg.DataDir, dbName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // SQLite gives -wal and -shm the same mode
	if err != nil {
		return fmt.Errorf("matrix: companion.db: %w", err)
	}
	_ = f.Close()
	db, err := dbutil.NewWithDialect("file:"+path+"?_txlock=immediate&_secure_delete=on", "sqlite3-fk-wal")
	if err != nil {
		return fmt.Errorf("matrix: open companion.db: %w", err)
	}
	store := crypto.NewSQLCryptoStore(db, nil, "", "", key)
	if err := store.DB.Upgrade(ctx); err != nil {
		_ = db.Close()
		return damagedDB("upgrade", err)
	}
	if _, err := db.Exec(ctx, schema); err != nil {
		_ = db.Close()
		return damagedDB("tables of", err)
	}
	c.db = db
	c.keys = &ownKeys{SQLCryptoStore: store, c: c}
	if err := c.loadVisits(ctx); err != nil {
		return err
	}
	return c.loadEncryptedRooms(ctx)
}

// damagedDB adds the way back to an error of a file that is no database any more.
func damagedDB(what string, err error) error {
	if e, ok := errors.AsType[sqlite3.Error](err); ok && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB) {
		return fmt.Errorf("matrix: %s companion.db: %w: the file is damaged; move companion.db, companion.db-wal, companion.db-shm and companion.key away: Lectern then makes a new device and restores its keys with the recovery key", what, err)
	}
	return fmt.Errorf("matrix: %s companion.db: %w", what, err)
}

func readPickleKey(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("matrix: key of companion.db: %w", err)
	}
	if b = []byte(strings.TrimSpace(string(b))); len(b) < 16 {
		return nil, fmt.Errorf("matrix: %s holds no key (at least 16 characters are needed)", path)
	}
	return b, nil
}

func pickleKey(path string) ([]byte, error) {
	b, err := readPickleKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:])
	b = []byte(hex.EncodeToString(raw[:]))
	return b, writeNew(path, append(b, '\n'))
}

// writeNew writes a secret to a file that must not exist yet, and syncs it.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("matrix: write secret: %w", err)
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// sealer encrypts small values at rest (AES-256-GCM, random nonce in front; the name is bound as additional data).
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	k, err := hkdf.Key(sha256.New, key, nil, "lectern companion.db v1", 32)
	if err != nil {
		return sealer{}, fmt.Errorf("matrix: key of companion.db: %w", err)
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

func (s sealer) shut(name string, value []byte) []byte {
	return s.aead.Seal(nil, nil, value, []byte(name))
}

func (s sealer) open(name string, box []byte) ([]byte, error) {
	v, err := s.aead.Open(nil, nil, box, []byte(name))
	if err != nil {
		return nil, errors.New("matrix: companion.db belongs to another key file (companion.key)")
	}
	return v, nil
}

// meta answers nil when the name is not stored.
func (c *Companion) meta(ctx context.Context, name string) ([]byte, error) {
	var box []byte
	err := c.db.QueryRow(ctx, "SELECT value FROM lectern_meta WHERE name=$1", name).Scan(&box)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("matrix: read companion.db: %w", err)
	}
	return c.seal.open(name, box)
}

func (c *Companion) setMeta(ctx context.Context, name string, value []byte) error {
	_, err := c.db.Exec(ctx, "INSERT INTO lectern_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value=excluded.value", name, c.seal.shut(name, value))
	return err
}

func (c *Companion) loadEncryptedRooms(ctx context.Context) error {
	rows, err := c.db.Query(ctx, "SELECT room FROM lectern_encrypted_room")
	if err != nil {
		return fmt.Errorf("matrix: read companion.db: %w", err)
	}
	defer rows.Close()
	c.view.sticky = map[string]bool{}
	for rows.Next() {
		var r string
		if err := rows.Scan(&r); err != nil {
			return err
		}
		c.view.sticky[r] = true
	}
	return rows.Err()
}
