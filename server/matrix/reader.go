package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/checkpoint"
)

// Reader reads what the companion wrote into rooms, and nothing else, beside a companion that runs: it works on a copy of companion.db, never syncs,
// publishes no keys, and has a login of its own that ends with Close. (The companion's own device id must not log in again: on Dendrite that
// kills the running token.) Without a companion.db it takes the keys from the key backup, with the recovery key. It implements checkpoint.Room; what
// would write is refused.
type Reader struct {
	c   *Companion
	dir string
}

var _ checkpoint.Room = (*Reader)(nil)

// OpenReader logs in. cfg is that of the companion.
func OpenReader(ctx context.Context, cfg Config) (_ *Reader, err error) {
	c, err := New(cfg)
	if err != nil {
		return nil, err
	}
	r := &Reader{c: c}
	if r.dir, err = os.MkdirTemp("", "lectern-reader-"); err != nil {
		return nil, fmt.Errorf("matrix: folder for the copy of companion.db: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close(context.WithoutCancel(ctx)))
		}
	}()
	copied, err := CopyDB(ctx, cfg.DataDir, filepath.Join(r.dir, dbName))
	if err != nil {
		return nil, err
	}
	c.cfg.DataDir = r.dir
	if !copied {
		c.cfg.PickleKeyFile = filepath.Join(r.dir, "companion.key")
	}
	if err := c.openDB(ctx); err != nil {
		return nil, err
	}
	if err := c.connect(); err != nil {
		return nil, err
	}
	a, err := c.passwordLogin(ctx, "Lectern restore (may be removed)")
	if err != nil {
		return nil, err
	}
	c.client.UserID, c.client.DeviceID, c.client.AccessToken = a.User, a.Device, a.Token
	if err := c.makeMachine(ctx); err != nil {
		return nil, err
	}
	return r, r.openKeys(ctx)
}

// openKeys makes the key backup available: by the key in the copy, else by the recovery key.
func (r *Reader) openKeys(ctx context.Context) error {
	k, err := r.c.storedBackupKey(ctx)
	if err != nil {
		return err
	}
	if k != nil {
		r.c.backup.Store(k) // sessions that the copy lacks are looked for when they are needed
		return nil
	}
	_, err = os.Stat(r.c.cfg.RecoveryKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		r.c.log.Warn("there is neither a companion.db nor a recovery key: only boards of unencrypted rooms can be read", "file", r.c.cfg.RecoveryKeyFile)
		return nil
	}
	key, err := r.c.openStorage(ctx)
	if err != nil {
		return err
	}
	if k, err = r.c.fetchBackupKey(ctx, key); err != nil || k == nil {
		return err
	}
	r.c.backup.Store(k)
	return r.c.restoreBackup(ctx, k)
}

// Close ends the login and removes the copy.
func (r *Reader) Close(ctx context.Context) error {
	var errs []error
	if r.c.client != nil && r.c.client.AccessToken != "" {
		if _, err := r.c.client.Logout(ctx); err != nil {
			errs = append(errs, requestError("log out", err))
		}
	}
	errs = append(errs, r.c.Close(), os.RemoveAll(r.dir))
	return errors.Join(errs...)
}

// Found is a board's event in a room.
type Found struct {
	Room, Kind, Board string
}

// Boards lists the boards that the companion's rooms hold; room "" means all of them. Whether an event is to be believed shows when it is read.
func (r *Reader) Boards(ctx context.Context, room string) (out []Found, err error) {
	rooms := []id.RoomID{id.RoomID(room)}
	if room == "" {
		joined, err := r.c.client.JoinedRooms(ctx)
		if err != nil {
			return nil, requestError("list rooms", err)
		}
		rooms = joined.JoinedRooms
	}
	for _, room := range rooms {
		state, err := r.c.client.State(ctx, room)
		if err != nil {
			return nil, requestError("read the state of a room", err)
		}
		for _, list := range state {
			for _, e := range list {
				typ, key := e.Type.Type, e.GetStateKey()
				if typ == "m.room.encrypted" {
					typ, key, _ = strings.Cut(key, ":")
				}
				kind, ok := strings.CutPrefix(typ, "com.educationpub.")
				kind, is := strings.CutSuffix(kind, ".content")
				f := Found{string(room), kind, key}
				if ok && is && boardID.MatchString(key) && r.c.accept[string(e.Sender)] && !slices.Contains(out, f) {
					out = append(out, f)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b Found) int { return strings.Compare(a.Room+a.Kind+a.Board, b.Room+b.Kind+b.Board) })
	return out, nil
}

// UserID implements checkpoint.Room.
func (r *Reader) UserID() string { return r.c.UserID() }

// Encrypted implements checkpoint.Room. It is known after ReadState.
func (r *Reader) Encrypted(room string) bool { return r.c.Encrypted(room) }

// ReadState implements checkpoint.Room. Whether the room is encrypted is asked first: nothing is known from a sync.
func (r *Reader) ReadState(ctx context.Context, room, typ, key string) (checkpoint.State, error) {
	_, err := r.c.stateEvent(ctx, room, "m.room.encryption", "")
	switch {
	case err == nil:
		r.c.view.mu.Lock()
		r.c.view.sticky[room] = true
		r.c.view.mu.Unlock()
	case !errors.Is(err, checkpoint.ErrNoState):
		return checkpoint.State{}, err
	}
	return r.c.ReadState(ctx, room, typ, key)
}

// Download implements checkpoint.Room.
func (r *Reader) Download(ctx context.Context, file json.RawMessage, limit int64) ([]byte, error) {
	return r.c.Download(ctx, file, limit)
}

// WriteState implements checkpoint.Room.
func (r *Reader) WriteState(context.Context, string, string, string, json.RawMessage) (string, error) {
	return "", errReader
}

// Upload implements checkpoint.Room.
func (r *Reader) Upload(context.Context, []byte) (json.RawMessage, error) { return nil, errReader }

var errReader = errors.New("matrix: a reader does not write")

// dbName is the companion's database in its data folder.
const dbName = "companion.db"

// CopyDB copies companion.db to a new file while it is in use; false where there is none.
func CopyDB(ctx context.Context, dataDir, to string) (bool, error) {
	from := filepath.Join(dataDir, dbName)
	if info, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("matrix: companion.db: %w", err)
	}
	db, err := dbutil.NewWithDialect("file:"+from+"?mode=ro&_busy_timeout=5000", "sqlite3")
	if err != nil {
		return false, fmt.Errorf("matrix: open companion.db: %w", err)
	}
	defer db.Close()
	if _, err := db.Exec(ctx, "VACUUM INTO ?", to); err != nil {
		return false, fmt.Errorf("matrix: copy companion.db: %w", err)
	}
	return true, os.Chmod(to, 0o600)
}
