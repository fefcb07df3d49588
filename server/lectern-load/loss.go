package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// lossy is a network that loses packets to and from a server's own ports on this machine. Its nftables table is owned by an nft process that
// lives as long as lossy: the kernel removes the table when that process ends, also when this one is killed.
type lossy struct {
	nft   *exec.Cmd
	in    io.WriteCloser
	table string
}

// lose begins to drop so many of a hundred packets of the server's TCP and UDP port, at random, in both directions. Needs root and nft.
func lose(p *process, percent int) (*lossy, error) {
	tcp, err := p.port()
	if err != nil {
		return nil, err
	}
	l := &lossy{nft: exec.Command("nft", "-i"), table: fmt.Sprintf("lectern_load_%d", p.PID)}
	l.nft.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if l.in, err = l.nft.StdinPipe(); err != nil {
		return nil, err
	}
	if err := l.nft.Start(); err != nil {
		return nil, fmt.Errorf("loss of packets needs nft: %w", err)
	}
	w := bufio.NewWriter(l.in)
	fmt.Fprintf(w, "add table inet %s { flags owner; }\nadd chain inet %s in { type filter hook input priority 0; }\n", l.table, l.table)
	for proto, port := range map[string]int{"tcp": tcp, "udp": p.UDP} {
		for _, way := range []string{"sport", "dport"} {
			if port > 0 {
				fmt.Fprintf(w, "add rule inet %s in iif lo %s %s %d numgen random mod 100 < %d counter drop\n", l.table, proto, way, port, percent)
			}
		}
	}
	if err := w.Flush(); err != nil {
		return nil, errors.Join(err, l.stop())
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if rules, err := l.list(); err == nil && len(rules) >= 2 {
			return l, nil
		} else if time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("loss of packets needs root and nft with owned tables (%d rules in force)", len(rules)), err, l.stop())
		}
	}
}

var counted = regexp.MustCompile(`counter packets (\d+)`)

// list answers how many packets each rule has dropped.
func (l *lossy) list() (dropped []int, err error) {
	text, err := exec.Command("nft", "list", "table", "inet", l.table).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("nft: %w: %s", err, text)
	}
	for _, m := range counted.FindAllSubmatch(text, -1) {
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			return nil, err
		}
		dropped = append(dropped, n)
	}
	return dropped, nil
}

// end lets everything through again and answers how many packets were dropped.
func (l *lossy) end() (dropped int, err error) {
	rules, err := l.list()
	for _, n := range rules {
		dropped += n
	}
	return dropped, errors.Join(err, l.stop())
}

func (l *lossy) stop() error {
	_ = l.in.Close() // nft ends with its input
	kill := time.AfterFunc(2*time.Second, func() { _ = l.nft.Process.Signal(os.Kill) })
	defer kill.Stop()
	_ = l.nft.Wait() // its exit code says nothing that list has not
	return nil
}
