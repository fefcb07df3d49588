package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
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
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // nothing stays behind when this process is killed
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
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return fmt.Errorf("get %s: %s: %s", path, resp.Status, text)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// profile writes the process's CPU profile to a file.
func (p *process) profile(ctx context.Context, file string, span time.Duration) {
	p.keep(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(1, int(span.Seconds())-1)), file)
}

// keep writes what the process answers to a file; one that fails is told and costs nothing else.
func (p *process) keep(ctx context.Context, path, file string) {
	err := func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Ops+path, nil)
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

// port is that of the process's WebSocket.
func (p *process) port() (int, error) {
	u, err := url.Parse(p.URL)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(u.Port())
}
