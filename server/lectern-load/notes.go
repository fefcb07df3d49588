package main

import (
	"bufio"
	"encoding/hex"
	"os"
	"strings"
	"sync"
)

// self is a client's actor, which is not known before its first entries may come.
type self struct {
	mu    sync.Mutex
	actor string
}

func (s *self) set(a []byte) { s.mu.Lock(); s.actor = string(a); s.mu.Unlock() }

func (s *self) is(a []byte) bool { s.mu.Lock(); defer s.mu.Unlock(); return s.actor == string(a) }

// notes is the file of what was acknowledged ("a") and seen ("s"): each line is on disk within one fsync.
type notes struct {
	ch   chan string
	done chan error
}

func openNotes(path string) (*notes, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	n := &notes{ch: make(chan string, 4096), done: make(chan error, 1)}
	go func() { n.done <- n.write(f) }() // ends with close
	return n, nil
}

func (n *notes) write(f *os.File) error {
	defer f.Close()
	for line := range n.ch {
		b := []byte(line)
		for more := true; more; {
			select {
			case l, ok := <-n.ch:
				b, more = append(b, l...), ok
			default:
				more = false
			}
		}
		if _, err := f.Write(b); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return f.Close()
}

func (n *notes) note(own bool, hash [32]byte) {
	kind := "s "
	if own {
		kind = "a "
	}
	n.ch <- kind + hex.EncodeToString(hash[:]) + "\n"
}

func (n *notes) close() error {
	close(n.ch)
	return <-n.done
}

// readNotes counts into n and adds to want.
func readNotes(path string, n *crashCount, want map[string]bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	mine := map[string]bool{}
	s := bufio.NewScanner(f)
	for s.Scan() {
		kind, text, _ := strings.Cut(s.Text(), " ")
		h, err := hex.DecodeString(text)
		if err != nil {
			return err
		}
		mine[string(h)], want[string(h)] = true, true
		if kind == "a" {
			n.acked++
		} else {
			n.seen++
		}
	}
	n.distinct = len(mine)
	return s.Err()
}
