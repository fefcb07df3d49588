package devstack

import (
	"context"
	"crypto/sha256"
	"embed"
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

// The pins are copies of the nested modules' go.mod and go.sum: a nested module cannot be embedded. A test keeps them equal.
//
//go:generate cp homeserver/go.mod pin/homeserver.mod
//go:generate cp homeserver/go.sum pin/homeserver.sum
//go:generate cp livekit/go.mod pin/livekit.mod
//go:generate cp livekit/go.sum pin/livekit.sum

//go:embed pin
var pins embed.FS

// program is something that runs beside Lectern, built from a pinned module.
type program struct {
	name, title string // "dendrite", "Dendrite"
	role        string // also the name of the nested module: "homeserver"
	command     string // the Go package of its main function
	cgo         string
	override    string // the environment variable with the path of a program to use instead
	takes       string // how long the first build takes, for people
}

var dendrite = program{
	name: "dendrite", title: "Dendrite", role: "homeserver", command: "github.com/element-hq/dendrite/cmd/dendrite", override: "LECTERN_DENDRITE", takes: "2 to 6 minutes",
	// With the SQLite driver that is used without cgo, Dendrite 0.15.2 loses track of its transactions when a client cancels a request, and dies (seen in 3 of 8
	// runs of the companion's tests; in none of 17 with it).
	cgo: "CGO_ENABLED=1",
}

// 1.13.5 is the newest version that can be built from the module proxy: later ones replace modules by forks that it does not have.
var livekit = program{
	name: "livekit-server", title: "LiveKit", role: "livekit", command: "github.com/livekit/livekit-server/cmd/server", override: "LECTERN_LIVEKIT", takes: "3 to 7 minutes",
	cgo: "CGO_ENABLED=0",
}

// Binary answers the path of the Dendrite program, building the pinned version if this machine does not have it yet: that
// needs the go command, takes minutes the first time and milliseconds afterwards. The result lies in the user's cache folder
// under a name derived from go.mod, go.sum and the Go version. LECTERN_DENDRITE=path in the environment overrides it.
// Several processes may call it at once: one builds, the others wait.
func Binary(ctx context.Context, progress io.Writer) (string, error) {
	return dendrite.binary(ctx, progress)
}

// LiveKitBinary is the same for the call server; LECTERN_LIVEKIT=path overrides it.
func LiveKitBinary(ctx context.Context, progress io.Writer) (string, error) {
	return livekit.binary(ctx, progress)
}

func (p program) binary(ctx context.Context, progress io.Writer) (string, error) {
	if progress == nil {
		progress = io.Discard
	}
	if path := os.Getenv(p.override); path != "" {
		info, err := os.Stat(path)
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return "", fmt.Errorf("%s=%s is not a program that can be run; unset it to have the pinned version built", p.override, path)
		}
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder for the %s program: %w", p.role, err)
	}
	goVersion, err := p.goVersion(ctx)
	if err != nil {
		return "", err
	}
	return p.buildOnce(ctx, filepath.Join(cache, "lectern", p.role+"-"+p.pinKey(goVersion)), progress)
}

// pinned answers the nested module's "mod" or "sum".
func (p program) pinned(what string) []byte {
	b, err := pins.ReadFile("pin/" + p.role + "." + what)
	if err != nil {
		panic(err) // embedded
	}
	return b
}

// pinKey names what a binary is made from.
func (p program) pinKey(goVersion string) string {
	h := sha256.New()
	for _, part := range [][]byte{p.pinned("mod"), p.pinned("sum"), []byte(goVersion), []byte(runtime.GOOS + "/" + runtime.GOARCH), []byte(p.cgo)} {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

func (p program) goVersion(ctx context.Context) (string, error) {
	out, err := p.goCommand(ctx, "", "env", "GOVERSION").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("the go command is needed to build the %s: install Go 1.26, or set %s to a %s program", p.role, p.override, p.title)
	}
	if err != nil {
		return "", fmt.Errorf("ask go for its version: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// buildOnce answers the program in dir and builds it under a lock if it is not there. The file appears by rename, so it is whole or absent.
func (p program) buildOnce(ctx context.Context, dir string, progress io.Writer) (string, error) {
	path := filepath.Join(dir, p.name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lockFile(ctx, filepath.Join(dir, "lock"), func() {
		fmt.Fprintf(progress, "%s: another process is building it, waiting\n", p.role)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := p.build(ctx, path, progress); err != nil {
		return "", fmt.Errorf("build the %s program: %w", p.role, err)
	}
	return path, nil
}

func (p program) build(ctx context.Context, path string, progress io.Writer) (err error) {
	work, err := os.MkdirTemp(filepath.Dir(path), "build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	for _, what := range []string{"mod", "sum"} {
		if err := os.WriteFile(filepath.Join(work, "go."+what), p.pinned(what), 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(progress, "%s: building %s (the first time on a machine: %s)\n", p.role, p.title, p.takes)
	began := time.Now()
	binary := filepath.Join(work, p.name)
	var output strings.Builder
	cmd := p.goCommand(ctx, work, "build", "-trimpath", "-ldflags=-s -w", "-o", binary, p.command)
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
			fmt.Fprintf(progress, "%s: still building, %d s\n", p.role, int(time.Since(began).Seconds()))
		case err := <-done:
			if err != nil {
				return fmt.Errorf("%w\n%s", err, tail(output.String(), 2000))
			}
			running = false
		}
	}
	fmt.Fprintf(progress, "%s: built in %d s\n", p.role, int(time.Since(began).Seconds()))
	return os.Rename(binary, path)
}

// goCommand runs go as if called in a shell of its own: build flags of the product (tags) must not reach the program's build.
func (p program) goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), p.cgo, "GOFLAGS=-mod=readonly", "GOWORK=off")
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
