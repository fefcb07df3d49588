package checkpoint

import "time"

// The budget of a board, for homeservers with default limits (architecture: at most 100 events and 10 MB of room and media per lesson of
// 45 minutes): what is there at the start plus what comes back during a lesson stays below it.
const (
	lesson      = 45 * time.Minute
	eventsAtOne = 10.0
	eventsBack  = 80.0 / float64(lesson) // per nanosecond
	bytesAtOnce = 2 << 20
	bytesBack   = 6.5 * (1 << 20) / float64(lesson)
	// How far the last save when everybody has left may overdraw; it must not wait long, but coming and going must not be free.
	eventsDebt = 8
	bytesDebt  = 1 << 20
)

// budget is two buckets. A write is allowed while neither is empty, and then takes what it costs, also below zero: so a board larger than the
// bucket is saved rarely instead of never.
type budget struct {
	events, bytes float64
	at            time.Time
}

func newBudget(now time.Time) budget { return budget{events: eventsAtOne, bytes: bytesAtOnce, at: now} }

func (b *budget) fill(now time.Time) {
	if passed := float64(now.Sub(b.at)); passed > 0 {
		b.events = min(eventsAtOne, b.events+passed*eventsBack)
		b.bytes = min(bytesAtOnce, b.bytes+passed*bytesBack)
		b.at = now
	}
}

// ready is the earliest time at which a write is allowed.
func (b *budget) ready(leaving bool) time.Time {
	events, bytes := b.events-1, b.bytes
	if leaving {
		events, bytes = events+eventsDebt, bytes+bytesDebt
	}
	wait := max(-events/eventsBack, -bytes/bytesBack, 0)
	return b.at.Add(time.Duration(wait))
}

func (b *budget) spend(events, bytes int) {
	b.events -= float64(events)
	b.bytes -= float64(bytes)
}
