package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// block is a fenced command of docs/operations.md.
type block struct {
	label, script string // label: the word after "sh", "" for none
	ran           bool
}

func documented(t *testing.T) []*block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	var out []*block
	var open *block
	for line := range strings.Lines(string(text)) {
		fence, isFence := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "```")
		switch {
		case isFence && open != nil:
			out, open = append(out, open), nil
		case isFence:
			label, ok := strings.CutPrefix(fence, "sh")
			if !ok {
				t.Fatalf("a fence that is no shell: %q", fence)
			}
			open = &block{label: strings.TrimSpace(label)}
		case open != nil:
			open.script += line
		}
	}
	return out
}

// TestOperationsManual does what docs/operations.md says, with the commands as they stand there.
func TestOperationsManual(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	t.Parallel() // it mostly waits
	w := newWorld(t)
	manual := documented(t)
	p := w.addBoard("a board", w.ready.RoomID)
	// run runs the block that contains some words, in the folder of lectern.yaml.
	run := func(words string) (string, error) {
		t.Helper()
		for _, b := range manual {
			if b.ran || b.label != words && !strings.Contains(b.script, words) {
				continue
			}
			b.ran = true
			cmd := exec.CommandContext(t.Context(), "bash", "-euc", b.script)
			cmd.Dir = w.dir
			cmd.Env = append(os.Environ(), "PATH="+program(t)+":"+os.Getenv("PATH"), "ROOM="+p.room, "BOARD="+p.widget.Board)
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		t.Fatalf("docs/operations.md has no (further) command with %q", words)
		return "", nil
	}
	must := func(words string) string {
		t.Helper()
		out, err := run(words)
		if err != nil {
			t.Fatalf("%s: %v\n%s", words, err, out)
		}
		return out
	}

	w.drawIn(p, 10)
	t.Run("RS2 a backup beside the running server, without keys", func(t *testing.T) {
		out := must("backup-monday")
		if !strings.Contains(out, "verified") || !strings.Contains(out, "The keys are not in it") {
			t.Errorf("it said %s", out)
		}
		if got := listDir(t, filepath.Join(w.dir, "backup-monday")); got != "companion.db lectern.db" {
			t.Errorf("the backup has %s", got)
		}
		if again, err := w.lectern("backup", "-config", w.config(), "-out", filepath.Join(w.dir, "backup-monday")); err == nil || !strings.Contains(again, "exists already") {
			t.Errorf("a backup is written over: %v, %s", err, again)
		}
	})
	t.Run("RS2 a backup with keys", func(t *testing.T) {
		if out := must("-keys"); !strings.Contains(out, "The keys are in it") {
			t.Errorf("it said %s", out)
		}
		if got := listDir(t, filepath.Join(w.dir, "backup-with-keys")); got != "companion.db companion.key instance.key lectern.db recovery-key.txt" {
			t.Errorf("the backup has %s", got)
		}
	})
	w.drawIn(p, 7) // in the room, and not in the backup
	w.stop()
	if left := listDir(t, w.data()); strings.Contains(left, "lectern.db-wal") {
		t.Errorf("a stopped server leaves a write-ahead log, so that lectern.db alone is not the whole: %s", left)
	}
	t.Run("RS2 a damaged database, or one of another key, makes no backup", func(t *testing.T) {
		for name, spoil := range map[string]func(string) error{
			"lectern.db": func(f string) error {
				b, err := os.ReadFile(f)
				for i := 4096 + 2000; i < len(b); i += 64 { // some of every page but the first
					b[i] ^= 0x55
				}
				return errors.Join(err, os.WriteFile(f, b, 0o600))
			},
			"instance.key":  func(f string) error { return os.WriteFile(f, make([]byte, 32), 0o600) },
			"companion.key": func(f string) error { return os.WriteFile(f, []byte(strings.Repeat("00", 32)), 0o600) },
		} {
			file := filepath.Join(w.data(), name)
			good, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := spoil(file); err != nil {
				t.Fatal(err)
			}
			out, err := w.lectern("backup", "-config", w.config(), "-out", filepath.Join(w.dir, "bad"))
			if err == nil {
				t.Errorf("%s spoilt: %s", name, out)
			}
			if left, _ := filepath.Glob(filepath.Join(w.dir, "*bad*")); len(left) > 0 {
				t.Errorf("%s spoilt: left %v", name, left)
			}
			if err := os.WriteFile(file, good, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("RS3 a backup that is put back gives way to the newer copy in the room", func(t *testing.T) {
		must("restore-backup")
		w.start()
		w.found(p)
		w.drawIn(p, 3)
		w.stop()
		w.start() // and not a second time
		w.found(p)
	})
	t.Run("RS1 restore lists and reads", func(t *testing.T) {
		if out := must("restore -config lectern.yaml\n"); !strings.Contains(out, p.widget.Board) {
			t.Errorf("it listed %s", out)
		}
		must("-out board.excalidraw")
		if f := w.file(filepath.Join(w.dir, "board.excalidraw")); len(f.Elements) != len(p.want.Elements) {
			t.Errorf("got %d elements, want %d", len(f.Elements), len(p.want.Elements))
		}
	})
	t.Run("RS4 erase", func(t *testing.T) {
		bye := make(chan wire.Bye, 1)
		d := w.enter(p, client.Options{Frame: func(f wire.Frame, _ int) {
			if b, ok := f.(wire.Bye); ok {
				bye <- b
			}
		}})
		d.stroke()
		out := must("lectern erase")
		if !strings.Contains(out, "What remains") {
			t.Errorf("it said %s", out)
		}
		if b := <-bye; b.Code != "board_erased" || b.RetryMS >= 0 {
			t.Errorf("people hear %+v", b)
		}
		if status, body := w.authorized(d.token, p); status == http.StatusOK {
			t.Errorf("its document is still served: %s", body)
		}
		if out, err := w.lectern("restore", "-config", w.config(), "-room", p.room, "-board", p.widget.Board, "-out", filepath.Join(t.TempDir(), "x")); err == nil || !strings.Contains(out, "holds no board") {
			t.Errorf("the room still has it: %v, %s", err, out)
		}
		d = w.enter(p, client.Options{})
		if s := w.scene(d); len(s.Elements) != 0 || s.Log == p.want.Log {
			t.Errorf("it came back with %d elements", len(s.Elements))
		}
		d.Close()
		p.want = scene{}
		w.drawIn(p, 2) // it is a board like any other
		if out, err := w.lectern("erase", "-config", w.config(), "-board", strings.Repeat("b", 26)); err == nil || !strings.Contains(out, "unknown_board") {
			t.Errorf("a board that is not there: %v, %s", err, out)
		}
		w.stop()
		if out, err := w.lectern("erase", "-config", w.config(), "-board", p.widget.Board); err == nil || !strings.Contains(out, "start it first") {
			t.Errorf("without a server: %v, %s", err, out)
		}
	})
	for _, b := range manual {
		if !b.ran {
			t.Errorf("a command of docs/operations.md was not run: %s", b.script)
		}
	}
}

// authorized asks for the document of a place.
func (w *world) authorized(token string, p *place) (int, string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/boards/%s/docs/index/document", w.ready.Lectern, p.widget.Board), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Status
}
