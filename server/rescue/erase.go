package rescue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/educationpub/lectern/server/config"
)

// Socket is where serve takes the commands that change what it has open. (The path of a socket is limited to about 100 bytes.)
func Socket(data string) string { return filepath.Join(data, "admin.sock") }

// Answer is what it says to one.
type Answer struct {
	Message string `json:"message"`
}

// Erase asks the running serve to erase a board.
func Erase(ctx context.Context, cfg *config.Config, board string, out io.Writer) error {
	if board == "" {
		return errors.New("erase: which -board?")
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", Socket(cfg.Data))
	}}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://lectern/erase?board="+url.QueryEscape(board), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("erase: lectern serve does not run with this configuration, and only it can empty the board's event in the room: start it first (%w)", err)
	}
	defer resp.Body.Close()
	var a Answer
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&a); err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("erase: %s", a.Message)
	}
	fmt.Fprintf(out, "Board %s is erased: its key, its log, its archives and its merged documents are gone from this server, and its event in the room is empty.\n", board)
	fmt.Fprintln(out, "What remains: older events of the board in the room's history, and files in the homeserver's media store, encrypted for the members of that time (in an unencrypted room: events in clear). Backups of lectern.db made before hold the board too.")
	return nil
}
