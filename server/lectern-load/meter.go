package main

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// meter notes when changes were sent and when they came. Latencies are from the moment before the sender's write, on one clock: all clients
// live in this process.
type meter struct {
	seed       maphash.Seed
	start      time.Time
	open       atomic.Bool // measuring
	deliveries atomic.Int64
	mu         sync.Mutex
	// Guarded by mu.
	sent     map[uint64]time.Duration
	measured int
	visible  []time.Duration
	ack      []time.Duration
}

func newMeter() *meter {
	return &meter{seed: maphash.MakeSeed(), start: time.Now(), sent: map[uint64]time.Duration{}}
}

func (m *meter) send(chunk []byte) {
	k := maphash.Bytes(m.seed, chunk)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open.Load() {
		m.sent[k] = time.Since(m.start)
		m.measured++
	}
}

func (m *meter) came(chunk []byte, own bool) {
	now, k := time.Since(m.start), maphash.Bytes(m.seed, chunk)
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.sent[k]
	switch {
	case !ok: // of the time before or after
	case own:
		m.ack = append(m.ack, now-at)
	default:
		m.visible = append(m.visible, now-at)
		m.deliveries.Add(1)
	}
}

// cut answers what was measured since the last cut and forgets it, for measurements that go on for long.
func (m *meter) cut() (visible, ack Quantiles, deliveries int64) {
	m.mu.Lock()
	v, a := m.visible, m.ack
	m.visible, m.ack = nil, nil
	deliveries = m.deliveries.Swap(0)
	old := time.Since(m.start) - time.Minute
	for k, at := range m.sent {
		if at < old {
			delete(m.sent, k)
		}
	}
	m.mu.Unlock()
	return quantiles(v), quantiles(a), deliveries
}
