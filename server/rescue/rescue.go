// Package rescue holds what an operator does beside a running Lectern, or after losing one: reading a board straight from its room, backing up, erasing.
// It changes nothing that serve has open, except through serve itself.
package rescue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/worker"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/config"
	"github.com/educationpub/lectern/server/matrix"
)

// Restore says which board to read from its room.
type Restore struct {
	Room  string // "" lists the boards of all rooms
	Board string // "" lists the boards of the room
	Out   string // "board.excalidraw"; further pages become board-2.excalidraw and so on
	// Worker is the command of the merge worker.
	Worker []string
	Log    *slog.Logger
}

// companion is what the configuration says of the account.
func companion(cfg *config.Config, log *slog.Logger) matrix.Config {
	return matrix.Config{
		Homeserver: cfg.Matrix.Homeserver, UserID: cfg.Matrix.UserID, PasswordFile: cfg.Matrix.PasswordFile, DataDir: cfg.Data,
		RecoveryKeyFile: cfg.Matrix.RecoveryKeyFile, AllowInviters: cfg.Matrix.AllowInviters, Accepts: cfg.Matrix.AcceptCompanions, Logger: log,
	}
}

// FromRoom writes a board's pages as files that Excalidraw opens, read from the room alone: no Lectern needs to run, and one that does is not disturbed. Needed are
// the account's password and either companion.db with its key or the recovery key.
func FromRoom(ctx context.Context, cfg *config.Config, o Restore, out io.Writer) (err error) {
	if o.Board != "" && (o.Room == "" || o.Out == "") {
		return errors.New("restore: -board needs -room and -out")
	}
	r, err := matrix.OpenReader(ctx, companion(cfg, o.Log))
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, r.Close(late))
	}()
	if o.Board == "" {
		return list(ctx, r, o.Room, out)
	}
	pool := worker.New(worker.Config{Command: o.Worker, Timeout: time.Duration(cfg.Worker.Timeout), Parallel: 1})
	found, err := checkpoint.Read(ctx, r, pool, o.Room, "whiteboard", board.ID(o.Board))
	if errors.Is(err, checkpoint.ErrNoState) {
		return fmt.Errorf("restore: room %s holds no board %s; without -board its boards are listed", o.Room, o.Board)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	pages, err := Pages(found)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	for i, p := range pages {
		name := o.Out
		if i > 0 {
			ext := filepath.Ext(name)
			name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ext), i+1, ext)
		}
		text, err := p.Excalidraw(found.SavedAt)
		if err != nil {
			return fmt.Errorf("restore page %s: %w", p.Doc, err)
		}
		if err := writeNew(name, text); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		fmt.Fprintf(out, "%s: %d elements, as the room has had them since %s\n", name, p.Visible(), found.SavedAt.UTC().Format(time.RFC3339))
	}
	return nil
}

func list(ctx context.Context, r *matrix.Reader, room string, out io.Writer) error {
	found, err := r.Boards(ctx, room)
	if err != nil {
		return fmt.Errorf("list boards: %w", err)
	}
	for _, f := range found {
		fmt.Fprintf(out, "-room '%s' -board %s\t(%s)\n", f.Room, f.Board, f.Kind)
	}
	if len(found) == 0 {
		fmt.Fprintf(out, "no boards in %s\n", cmp.Or(room, "any room of "+r.UserID()))
	}
	return nil
}

// writeNew writes a file that must not exist, so that no command overwrites what somebody saved before.
func writeNew(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
