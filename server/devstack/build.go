package devstack

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// The pins are copies of homeserver/go.mod and go.sum: a nested module cannot be embedded. A test keeps them equal.
//
//go:generate cp homeserver/go.mod pin/homeserver.mod
//go:generate cp homeserver/go.sum pin/homeserver.sum

//go:embed pin/homeserver.mod
var pinnedMod []byte

//go:embed pin/homeserver.sum
var pinnedSum []byte

const dendriteCommand = "github.com/element-hq/dendrite/cmd/dendrite"

// Binary answers the path of the Dendrite program, building the pinned version if this machine does not have it yet: that
// needs the go command, takes minutes the first time and milliseconds afterwards. The result lies in the user's cache folder
// under a name derived from go.mod, go.sum and the Go version. LECTERN_DENDRITE=path in the environment overrides it.
// Several processes may call it at once: one builds, the others wait.
func Binary(ctx context.Context, progress io.Writer) (string, error) {
	if progress == nil {
		progress = io.Discard
	}
	if path := os.Getenv("LECTERN_DENDRITE"); path != "" {
		info, err := os.Stat(path)
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return "", fmt.Errorf("LECTERN_DENDRITE=%s is not a program that can be run; unset it to have the pinned version built", path)
		}
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder for the homeserver program: %w", err)
	}
	goVersion, err := goVersion(ctx)
	if err != nil {
		return "", err
	}
	return buildOnce(ctx, filepath.Join(cache, "lectern", "homeserver-"+pinKey(goVersion)), progress)
}

// pinKey names what a binary is made from.
func pinKey(goVersion string) string {
	h := sha256.New()
	for _, part := range [][]byte{pinnedMod, pinnedSum, []byte(goVersion), []byte(runtime.GOOS + "/" + runtime.GOARCH), []byte(cgo)} {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

func goVersion(ctx context.Context) (string, error) {
	out, err := goCommand(ctx, "", "env", "GOVERSION").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("the go command is needed to build the homeserver: install Go 1.26, or set LECTERN_DENDRITE to a Dendrite program")
	}
	if err != nil {
		return "", fmt.Errorf("ask go for its version: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// buildOnce answers dir/dendrite and builds it under a lock if it is not there. The file appears by rename, so it is whole or absent.
func buildOnce(ctx context.Context, dir string, progress io.Writer) (string, error) {
	path := filepath.Join(dir, "dendrite")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lockFile(ctx, filepath.Join(dir, "lock"), func() {
		fmt.Fprintln(progress, "homeserver: another process is building it, waiting")
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := build(ctx, path, progress); err != nil {
		return "", fmt.Errorf("build the homeserver program: %w", err)
	}
	return path, nil
}

func build(ctx context.Context, path string, progress io.Writer) (err error) {
	work, err := os.MkdirTemp(filepath.Dir(path), "build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	for name, data := range map[string][]byte{"go.mod": pinnedMod, "go.sum": pinnedSum} {
		if err := os.WriteFile(filepath.Join(work, name), data, 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintln(progress, "homeserver: building Dendrite (the first time on a machine: 2 to 6 minutes)")
	began := time.Now()
	binary := filepath.Join(work, "dendrite")
	var output strings.Builder
	cmd := goCommand(ctx, work, "build", "-trimpath", "-ldflags=-s -w", "-o", binary, dendriteCommand)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }() // joined by the loop below
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C:
			fmt.Fprintf(progress, "homeserver: still building, %d s\n", int(time.Since(began).Seconds()))
		case err := <-done:
			if err != nil {
				return fmt.Errorf("%w\n%s", err, tail(output.String(), 2000))
			}
			running = false
		}
	}
	fmt.Fprintf(progress, "homeserver: built in %d s\n", int(time.Since(began).Seconds()))
	return os.Rename(binary, path)
}

// cgo is on: with the SQLite driver that is used without it, Dendrite 0.15.2 loses track of its transactions when a client cancels a request, and
// dies (seen in 3 of 8 runs of the companion's tests; in none of 17 with it).
const cgo = "CGO_ENABLED=1"

// goCommand runs go as if called in a shell of its own: build flags of the product (tags) must not reach the homeserver's build.
func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), cgo, "GOFLAGS=-mod=readonly", "GOWORK=off")
	return cmd
}

// lockFile takes an exclusive lock that the kernel drops with the process. waiting is called once if somebody else has it.
func lockFile(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for first := true; ; first = false {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		if first && waiting != nil {
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// tail answers the last n bytes of a text.
func tail(s string, n int) string {
	if len(s) > n {
		s = "…" + s[len(s)-n:]
	}
	return s
}
