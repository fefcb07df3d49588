package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What the kernel tells about a process from outside.

// cpu is the process's CPU time so far, from its clock (clock_getcpuclockid(3): the process id inverted, then the kind): finer than the ticks of procfs.
func (p *process) cpu() (time.Duration, error) { return cpuOf(p.PID) }

func cpuOf(pid int) (time.Duration, error) {
	const scheduler = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &t); err != nil {
		return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

func ownCPU() time.Duration {
	d, _ := cpuOf(os.Getpid()) // zero differences would show in the table
	return d
}

// rss is the resident memory in MB (10^6 bytes), peak the most since it was last reset.
func (p *process) rss() (float64, error)  { return p.status("VmRSS:") }
func (p *process) peak() (float64, error) { return p.status("VmHWM:") }

func (p *process) status(line string) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(l); f[0] == line {
			n, err := strconv.ParseFloat(f[1], 64)
			return n * 1024 / 1e6, err
		}
	}
	return 0, errors.New("no " + line)
}

// resetPeak makes peak begin anew (proc(5), clear_refs).
func (p *process) resetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.PID), []byte("5"), 0)
}

// files counts open file descriptors.
func (p *process) files() (int, error) {
	d, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
	return len(d), err
}

// enoughFiles refuses what this process or its child, one socket per client each, could not open.
func enoughFiles(clients int) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	if want := uint64(clients + 100); l.Cur < want {
		return fmt.Errorf("%d clients need %d open files; the limit is %d (ulimit -n)", clients, want, l.Cur)
	}
	return nil
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
