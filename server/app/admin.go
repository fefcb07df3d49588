package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/rescue"
)

// The operator's commands that change what serve has open go to serve itself, over a socket in the data folder: whoever may read that folder may use it, nobody
// else, and never over the network.

func listenAdmin(data string) (net.Listener, error) {
	path := rescue.Socket(data)
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("another lectern serve uses %s", data)
	}
	_ = os.Remove(path) // of a process that was killed
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("admin socket: %w", err), l.Close())
	}
	return l, nil
}

func (p *parts) serveAdmin(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /erase", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
		defer cancel()
		a := rescue.Answer{Message: "erased"}
		if err := p.erase(ctx, board.ID(r.URL.Query().Get("board"))); err != nil {
			w.WriteHeader(http.StatusConflict)
			a.Message = err.Error()
		}
		_ = json.NewEncoder(w).Encode(a) // who does not read the answer finds it in the log
	})
	srv := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second}
	var g errgroup.Group
	g.Go(func() error { <-ctx.Done(); return srv.Close() })
	err := srv.Serve(l)
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, g.Wait())
}

// erase destroys a board here and empties its event in the room. A moderator's removal will end here as well.
func (p *parts) erase(ctx context.Context, id board.ID) error {
	meta, err := p.store.Open(ctx, id)
	if err != nil {
		return err
	}
	if err := p.hub.Leave(ctx, id, board.ErrErased); err != nil {
		return fmt.Errorf("close the board: %w", err)
	}
	// Nothing of it may be on its way to the room when the key is gone.
	if err := p.checkpoints.Save(ctx, id); err != nil {
		return fmt.Errorf("the room does not take the board's event now, so it could not be emptied either; nothing was erased: %w", err)
	}
	rec, err := p.store.Checkpoint(ctx, id)
	if err != nil {
		return err
	}
	if err := p.checkpoints.EmptyEvent(ctx, meta.Room, meta.Kind, id); err != nil {
		return fmt.Errorf("empty the event in the room; nothing was erased: %w", err)
	}
	if err := p.store.Erase(ctx, id); err != nil {
		return err
	}
	p.checkpoints.Forget(id)
	if rec.EventID != "" {
		if err := p.companion.Redact(ctx, meta.Room, rec.EventID); err != nil {
			p.log.Warn("the erased board's last event could not be redacted", "board", id, "room", meta.Room, "err", err)
		}
	}
	p.log.Warn("board erased", "board", id, "room", meta.Room)
	return nil
}

// Retention: what is emptied at a time, so that nobody waits for it.
const (
	expireStep  = 200
	expireEvery = 24 * time.Hour
)

// sweep deletes what has expired.
func (p *parts) sweep(ctx context.Context, now time.Time) error {
	if err := p.store.Sweep(ctx, now); err != nil {
		return err
	}
	days := p.cfg.Storage.ArchiveDays
	if days < 0 || now.Sub(p.expired) < expireEvery {
		return nil
	}
	p.expired = now
	for total := 0; ; {
		n, err := p.store.ExpireArchives(ctx, now.AddDate(0, 0, -days), expireStep)
		if err != nil {
			return err
		}
		if total += n; n < expireStep {
			if total > 0 {
				p.log.Info("archives beyond their time were emptied", "entries", total)
			}
			return nil
		}
	}
}
