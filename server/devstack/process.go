package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a child that lives no longer than we do.
type process struct {
	name string
	cmd  *exec.Cmd
	// Closed when the child has ended; err is readable from then on.
	done chan struct{}
	err  error
}

// startProcess starts a child whose output goes to out. It has its own process group, so that Ctrl-C reaches only us and
// children are stopped in an order that lets Lectern write its last checkpoints; if we die, the kernel ends it (Linux).
func startProcess(name, dir string, out io.Writer, program string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = childAttributes()
	started := make(chan error, 1)
	go func() { // joined by stop through done
		defer close(p.done)
		// The death signal is bound to the thread that starts the child: keep that thread until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// stop asks the child to end, kills it after 5 s, and returns when it is gone. Calling it again is harmless.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return
	case <-time.After(5 * time.Second):
	}
	_ = p.cmd.Process.Kill()
	<-p.done
}

// kill ends the child without warning.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// ended answers an error once the child is gone.
func (p *process) ended() error {
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s ended: %w", p.name, p.err)
		}
		return errors.New(p.name + " ended by itself")
	default:
		return nil
	}
}

// awaitReady asks until the child answers, or ctx ends, or the child does: then with its last words out of its log.
func (p *process) awaitReady(ctx context.Context, log string, ask func() error) error {
	for {
		err := ask()
		if err == nil {
			// Somebody else may have been faster on this port: then our own child is gone, or about to be.
			return p.ended()
		}
		if ended := p.ended(); ended != nil {
			words, _ := os.ReadFile(log)
			return fmt.Errorf("%w; its last words:\n%s", ended, tail(string(words), 1500))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", p.name, errors.Join(ctx.Err(), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
