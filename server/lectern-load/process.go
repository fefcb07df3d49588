package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server under measurement: this program again, in a mode of its own.
type process struct {
	ready
	cmd *exec.Cmd
}

func start(ctx context.Context, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &p.ready)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", args[0], err), p.kill())
	}
	return p, nil
}

// kill is kill -9, and waits for the end.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = p.cmd.Wait() // "signal: killed" is what was asked for
	return nil
}

// stop lets the process end by itself.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.cmd.Wait()
}

// get asks the process's own address.
func (p *process) get(ctx context.Context, path string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Ops+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// profile writes the process's CPU profile to a file; one that fails is told and costs nothing else.
func (p *process) profile(ctx context.Context, file string, span time.Duration) {
	err := func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", p.Ops, max(1, int(span.Seconds())-1)), nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		return os.WriteFile(file, b, 0o644)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
	}
}

// cpu is the process's CPU time so far (proc(5), stat fields 14 and 15, in ticks of 10 ms).
func (p *process) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, err := strconv.ParseInt(f[11], 10, 64)
	if err != nil {
		return 0, err
	}
	sys, err := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+sys) * 10 * time.Millisecond, err
}

// rss is the resident memory in MB (10^6 bytes).
func (p *process) rss() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(l); f[0] == "VmRSS:" {
			n, err := strconv.ParseFloat(f[1], 64)
			return n * 1024 / 1e6, err
		}
	}
	return 0, errors.New("no VmRSS")
}

// disk names the file system of dir and measures fsync of a 400-byte append there.
func disk(dir string) (kind string, q Quantiles, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "", q, err
	}
	kind = fmt.Sprintf("%#x", s.Type)
	if name, ok := map[int64]string{0xef53: "ext4", 0x01021994: "tmpfs", 0x794c7630: "overlayfs", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x2fc12fc1: "zfs"}[int64(s.Type)]; ok {
		kind = name
	}
	f, err := os.CreateTemp(dir, "fsync")
	if err != nil {
		return kind, q, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var d []time.Duration
	block := make([]byte, 400)
	for range 200 {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return kind, q, err
		}
		if err := f.Sync(); err != nil {
			return kind, q, err
		}
		d = append(d, time.Since(start))
	}
	return kind, quantiles(d), nil
}

// workdir makes a folder for a run's database; empty parent: the system's folder for temporary files.
func workdir(parent string) (string, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", err
	}
	return os.MkdirTemp(filepath.Clean(parent), "lectern-load-")
}
