package devstack

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func trustingClient(roots *x509.CertPool) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

// TestMain doubles as the parent that TestProcessDiesWithParent kills.
func TestMain(m *testing.M) {
	if os.Getenv("DEVSTACK_TEST_PARENT") != "" {
		p, err := startProcess("sleeper", "", io.Discard, "sleep", "60")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(p.cmd.Process.Pid)
		select {}
	}
	os.Exit(m.Run())
}

func TestProcessDiesWithParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "DEVSTACK_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the child does not run: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // reports the kill
	deadline := time.Now().Add(5 * time.Second)
	for alive(pid) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("DV1 the child outlived its killed parent by 5 s")
		}
		time.Sleep(10 * time.Millisecond) // a foreign process: nothing to wait on
	}
}

// alive tells whether a process runs; a zombie that nobody has collected yet does not.
func alive(pid int) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(status), ") Z ")
}

func TestProcessEndsByItself(t *testing.T) {
	var out bytes.Buffer
	p, err := startProcess("failing", "", &out, "sh", "-c", "echo broken; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	<-p.done
	if err := p.ended(); err == nil || !strings.Contains(err.Error(), "exit status 3") || out.String() != "broken\n" {
		t.Errorf("DV1 got %v and output %q", err, out.String())
	}
	p.stop() // harmless
	if _, err := startProcess("missing", "", io.Discard, "/does/not/exist"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("DV1 got %v, want %v", err, os.ErrNotExist)
	}
}

func TestBinaryPins(t *testing.T) {
	for _, p := range []program{dendrite, livekit} {
		for _, what := range []string{"mod", "sum"} {
			original := p.role + "/go." + what
			want, err := os.ReadFile(original)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p.pinned(what), want) {
				t.Errorf("DV1 pin/ differs from %s: run go generate ./server/devstack", original)
			}
		}
	}
}

func TestBinaryOverride(t *testing.T) {
	t.Run("DV1 LECTERN_DENDRITE names the program", func(t *testing.T) {
		t.Setenv("LECTERN_DENDRITE", os.Args[0])
		if got, err := Binary(t.Context(), nil); err != nil || got != os.Args[0] {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("DV1 a wrong LECTERN_DENDRITE is refused, not ignored", func(t *testing.T) {
		t.Setenv("LECTERN_DENDRITE", filepath.Join(t.TempDir(), "nothing"))
		if got, err := Binary(t.Context(), nil); err == nil {
			t.Errorf("got %q, want an error", got)
		}
	})
}

func TestBinaryWithoutGo(t *testing.T) {
	t.Setenv("LECTERN_DENDRITE", "")
	t.Setenv("PATH", t.TempDir())
	_, err := Binary(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "install Go") {
		t.Errorf("DV1 got %v, want a sentence that says what to install", err)
	}
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var group sync.WaitGroup
	var inside, most atomic.Int32 // atomic only because the race detector does not know file locks
	for range 4 {
		group.Go(func() {
			unlock, err := lockFile(t.Context(), path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			most.Store(max(most.Load(), inside.Add(1)))
			inside.Add(-1)
		})
	}
	group.Wait()
	if most.Load() != 1 {
		t.Errorf("DV1 got %d holders at once, want 1", most.Load())
	}
	unlock, err := lockFile(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	_, err = lockFile(ctx, path, cancel) // waiting begins: give up
	if !errors.Is(err, context.Canceled) {
		t.Errorf("DV1 got %v, want %v", err, context.Canceled)
	}
}
