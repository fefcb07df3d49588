package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/educationpub/lectern/crdt/board"
)

// ErrWrongKey: the key file is not the one this database was written with.
var ErrWrongKey = errors.New("store: the instance key does not fit this database; restore the key file that belongs to it")

var (
	errErased = errors.New("store: the board's key is destroyed")
	errSeal   = errors.New("store: bytes do not verify")
)

const keySize = 32

// vault wraps the keys of boards with the instance's key. Immutable.
type vault struct{ aead cipher.AEAD }

// sealer encrypts and verifies what a board stores. AAD names the place the bytes belong to, so rows cannot be exchanged.
// Nonces are random: a number that a failed commit leaves unused may come again with other content.
type sealer struct {
	keyID int64
	aead  cipher.AEAD // nil: not encrypted, only a checksum
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func openVault(ctx context.Context, db *sql.DB, file string) (*vault, error) {
	var check []byte
	err := db.QueryRowContext(ctx, `SELECT key_check FROM instance`).Scan(&check)
	fresh := errors.Is(err, sql.ErrNoRows)
	if err != nil && !fresh {
		return nil, fmt.Errorf("read key check: %w", err)
	}
	key, err := instanceKey(file, fresh)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, fmt.Errorf("instance key: %w", err)
	}
	const text = "lectern instance key v1"
	if fresh {
		if _, err := db.ExecContext(ctx, `INSERT INTO instance (one, key_check) VALUES (1, ?)`, aead.Seal(nil, nil, []byte(text), nil)); err != nil {
			return nil, fmt.Errorf("write key check: %w", err)
		}
		return &vault{aead}, nil
	}
	if got, err := aead.Open(nil, nil, check, nil); err != nil || string(got) != text {
		return nil, fmt.Errorf("%w (%s)", ErrWrongKey, file)
	}
	return &vault{aead}, nil
}

// instanceKey reads the key file; it makes a new one only for a database that has never had one.
func instanceKey(file string, create bool) ([]byte, error) {
	key, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist) && create:
		return createKey(file)
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w (%s is missing)", ErrWrongKey, file)
	case err != nil:
		return nil, fmt.Errorf("read instance key: %w", err)
	case len(key) != keySize:
		return nil, fmt.Errorf("read instance key: %s has %d bytes, want %d", file, len(key), keySize)
	}
	return key, nil
}

// createKey writes a new key to a file of its own and links it under its name only when it is whole and durable: half a key would keep the
// next start from making one.
func createKey(file string) (_ []byte, err error) {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create folder of the instance key: %w", err)
	}
	key := make([]byte, keySize)
	_, _ = rand.Read(key)                // never fails
	f, err := os.CreateTemp(dir, "key-") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("create instance key: %w", err)
	}
	defer func() {
		if rerr := os.Remove(f.Name()); err == nil {
			err = rerr
		}
	}()
	trace("create", f.Name(), 0, nil)
	_, werr := f.Write(key)
	trace("write", f.Name(), 0, key)
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write instance key: %w", err)
	}
	trace("sync", f.Name(), 0, nil)
	if err := os.Link(f.Name(), file); err != nil {
		return nil, fmt.Errorf("create instance key: %w", err)
	}
	trace("link", f.Name(), 0, []byte(file))
	if err := syncDir(dir); err != nil {
		return nil, fmt.Errorf("create instance key: %w", err)
	}
	return key, nil
}

func keyAAD(id board.ID, keyID int64) []byte {
	return binary.BigEndian.AppendUint64([]byte("lectern board key v1|"+string(id)+"|"), uint64(keyID))
}

// newKey makes a board's key; wrapped is what goes to disk.
func (v *vault) newKey(id board.ID, keyID int64) (s *sealer, wrapped []byte, err error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key)
	aead, err := newAEAD(key)
	if err != nil {
		return nil, nil, err
	}
	return &sealer{keyID, aead}, v.aead.Seal(nil, nil, key, keyAAD(id, keyID)), nil
}

func (v *vault) unwrap(id board.ID, keyID int64, wrapped []byte) (*sealer, error) {
	key, err := v.aead.Open(nil, nil, wrapped, keyAAD(id, keyID))
	if err != nil {
		return nil, errSeal
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return &sealer{keyID, aead}, nil
}

func (s *sealer) seal(plain, aad []byte) []byte {
	if s.aead != nil {
		return s.aead.Seal(nil, nil, plain, aad)
	}
	sum := checksum(plain, aad)
	return append(sum[:], plain...)
}

func (s *sealer) open(sealed, aad []byte) ([]byte, error) {
	if s.aead != nil {
		plain, err := s.aead.Open(nil, nil, sealed, aad)
		if err != nil {
			return nil, errSeal
		}
		return plain, nil
	}
	if len(sealed) < sha256.Size {
		return nil, errSeal
	}
	plain := sealed[sha256.Size:]
	if sum := checksum(plain, aad); subtle.ConstantTimeCompare(sum[:], sealed[:sha256.Size]) != 1 {
		return nil, errSeal
	}
	return plain, nil
}

func checksum(plain, aad []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(aad))))
	h.Write(aad)
	h.Write(plain)
	return [sha256.Size]byte(h.Sum(nil))
}

// sealer answers a board's key, ErrUnknown when the board has no log, an error when its key is destroyed.
func (s *Store) sealer(ctx context.Context, id board.ID) (*sealer, error) {
	s.keysMu.RLock()
	k := s.keys[id]
	s.keysMu.RUnlock()
	if k != nil {
		return k, nil
	}
	var keyID int64
	var wrapped []byte
	err := s.read.QueryRowContext(ctx, `SELECT b.key_id, k.wrapped FROM boards b LEFT JOIN board_keys k ON k.board = b.id AND k.key_id = b.key_id
		WHERE b.id = ? AND b.log <> ''`, id).Scan(&keyID, &wrapped)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, board.ErrUnknown
	case err != nil:
		return nil, fmt.Errorf("read key of board %s: %w", id, err)
	case keyID == 0:
		k = &sealer{}
	case wrapped == nil:
		return nil, board.ErrDamaged.Because("board %s: %w", id, errErased)
	default:
		if k, err = s.vault.unwrap(id, keyID, wrapped); err != nil {
			return nil, board.ErrDamaged.Because("key of board %s: %w", id, err)
		}
	}
	s.remember(id, k)
	return k, nil
}

func (s *Store) remember(id board.ID, k *sealer) {
	s.keysMu.Lock()
	s.keys[id] = k
	s.keysMu.Unlock()
}

func (s *Store) known(id board.ID) *sealer {
	s.keysMu.RLock()
	defer s.keysMu.RUnlock()
	return s.keys[id]
}
