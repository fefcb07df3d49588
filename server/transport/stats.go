package transport

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Stats are counts since the start, and what is open now. Arrays are per lane: WebSocket, data channel.
type Stats struct {
	Sockets, Unauthorized, Sessions, Channels int
	FramesIn, FramesOut                       [2]uint64
	BytesIn, BytesOut                         [2]uint64
	EntriesIn, EntriesOut                     [2]uint64 // changes offered, entries sent
	LiveOut                                   [2]uint64 // live frames sent
	LiveDropped                               uint64    // over live_hz, or no room on the channel
	Throttled                                 uint64    // frames that waited for the session's rate
	SlowClosed                                uint64
	LaneMoves                                 [2]uint64         // to each lane
	LaneRequests                              map[string]uint64 // by reason
	Refused                                   map[string]uint64 // by code
}

type counters struct {
	sessions, channels, lives              atomic.Int64
	framesIn, framesOut, bytesIn, bytesOut [2]atomic.Uint64
	entriesIn, entriesOut, liveOut         [2]atomic.Uint64
	liveDropped, throttled, slow           atomic.Uint64
	moves                                  [2]atomic.Uint64

	mu      sync.Mutex // guards the maps; rare
	codes   map[string]uint64
	reasons map[string]uint64
}

func (c *counters) in(lane, n int) {
	c.framesIn[lane].Add(1)
	c.bytesIn[lane].Add(uint64(n))
}

func (c *counters) out(lane, n int) {
	c.framesOut[lane].Add(1)
	c.bytesOut[lane].Add(uint64(n))
}

func (c *counters) refused(code string) { c.count(&c.codes, code) }

func (c *counters) count(m *map[string]uint64, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *m == nil {
		*m = map[string]uint64{}
	}
	(*m)[key]++
}

// Stats answers the counters.
func (s *Server) Stats() Stats {
	c := &s.stats
	s.mu.Lock()
	st := Stats{Sockets: s.sockets, Unauthorized: s.pending}
	s.mu.Unlock()
	st.Sessions, st.Channels = int(c.sessions.Load()), int(c.channels.Load())
	for l := range 2 {
		st.FramesIn[l], st.FramesOut[l] = c.framesIn[l].Load(), c.framesOut[l].Load()
		st.BytesIn[l], st.BytesOut[l] = c.bytesIn[l].Load(), c.bytesOut[l].Load()
		st.EntriesIn[l], st.EntriesOut[l] = c.entriesIn[l].Load(), c.entriesOut[l].Load()
		st.LiveOut[l], st.LaneMoves[l] = c.liveOut[l].Load(), c.moves[l].Load()
	}
	st.LiveDropped, st.Throttled, st.SlowClosed = c.liveDropped.Load(), c.throttled.Load(), c.slow.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	st.Refused, st.LaneRequests = maps.Clone(c.codes), maps.Clone(c.reasons)
	return st
}
