package main

import (
	"context"
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

// clear forgets everything: what was sent before is not measured any more.
func (m *meter) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.visible, m.ack, m.measured = nil, nil, 0
	clear(m.sent)
	m.deliveries.Store(0)
}

// settle waits, for some seconds at most, until everything that was sent has come to so many others, and answers what is missing.
func (m *meter) settle(ctx context.Context, others int) (sent int, missing int64, err error) {
	m.mu.Lock()
	sent = m.measured
	m.mu.Unlock()
	want := int64(sent) * int64(others)
	for end := time.Now().Add(5 * time.Second); m.deliveries.Load() < want && time.Now().Before(end); {
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return sent, 0, err
		}
	}
	return sent, want - m.deliveries.Load(), nil
}
