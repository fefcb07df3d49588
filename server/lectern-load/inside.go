package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// inside is what only the served process itself knows of its memory, files and epochs.
type inside struct {
	HeapMB     float64 `json:"heap_mb"` // live after the last collection
	Goroutines int     `json:"goroutines"`
	DBMB       float64 `json:"db_mb"`
	WALMB      float64 `json:"wal_mb"`
	Squashes   int64   `json:"squashes"`
	Failed     int64   `json:"squashes_failed"`
	Late       int64   `json:"late_changes"`
}

// epochs count what board.Observe tells.
type epochs struct{ squashes, failed, lates atomic.Int64 }

func (e *epochs) squash(_ time.Duration, err error) {
	if err != nil {
		e.failed.Add(1)
		return
	}
	e.squashes.Add(1)
}

func (e *epochs) late(late, _ int) { e.lates.Add(int64(late)) }

func inspect(data string, e *epochs) inside {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	in := inside{
		HeapMB: float64(live[0].Value.Uint64()) / 1e6, Goroutines: runtime.NumGoroutine(),
		Squashes: e.squashes.Load(), Failed: e.failed.Load(), Late: e.lates.Load(),
	}
	for file, mb := range map[string]*float64{"lectern.db": &in.DBMB, "lectern.db-wal": &in.WALMB} {
		if s, err := os.Stat(filepath.Join(data, file)); err == nil {
			*mb = float64(s.Size()) / 1e6
		}
	}
	return in
}
