package main

import (
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// commits notes when entries became durable, before anybody hears of them, and when they were handed to each socket.
type commits struct {
	board.Log
	frames atomic.Uint64
	mu     sync.Mutex
	// Guarded by mu.
	at    map[board.ID]commitTimes
	lags  []time.Duration // commit to socket, of every eighth frame of entries
	disks []time.Duration // Append to durable
}

// commitTimes are the commit times of a board's newest entries.
type commitTimes struct {
	first uint64 // seq of times[0]
	times []time.Time
}

const (
	keepCommits = 1024
	keepLags    = 1 << 20 // nobody may ask for hours
)

// Append implements board.Log.
func (c *commits) Append(id board.ID, entries []board.Entry, done func(error)) {
	first, n, start := entries[0].Seq, len(entries), time.Now()
	c.Log.Append(id, entries, func(err error) {
		now := time.Now()
		c.mu.Lock()
		t := c.at[id]
		if len(t.times) == 0 {
			t.first = first
		}
		for range n {
			t.times = append(t.times, now)
		}
		if extra := len(t.times) - keepCommits; extra > 0 {
			t.first, t.times = t.first+uint64(extra), append([]time.Time(nil), t.times[extra:]...)
		}
		c.at[id] = t
		if len(c.disks) < keepLags {
			c.disks = append(c.disks, now.Sub(start))
		}
		c.mu.Unlock()
		done(err)
	})
}

// lagEvery is how many frames go unmeasured for one that is: the measurement must not be what is measured.
const lagEvery = 8

func (c *commits) sent(id board.ID, from uint64, _ int) {
	if c.frames.Add(1)%lagEvery != 0 {
		return
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.at[id]
	if from < t.first || from-t.first >= uint64(len(t.times)) {
		return // from the store: a joiner's history is not a broadcast
	}
	if len(c.lags) < keepLags {
		c.lags = append(c.lags, now.Sub(t.times[from-t.first]))
	}
}

// report answers and forgets what was measured.
func (c *commits) report(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	lags, disks := c.lags, c.disks
	c.lags, c.disks = nil, nil
	c.mu.Unlock()
	_ = json.NewEncoder(w).Encode(commitReport{Broadcast: quantiles(lags), Commit: quantiles(disks), Commits: len(disks), Frames: c.frames.Swap(0)})
}

type commitReport struct {
	Broadcast Quantiles `json:"commit_to_broadcast_ms"`
	Commit    Quantiles `json:"append_to_durable_ms"`
	Commits   int       `json:"commits"`
	Frames    uint64    `json:"frames"`
}
