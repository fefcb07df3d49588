package app

import (
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/wire"
)

// awayAfter: a long poll takes up to 10 s, and a busy homeserver some seconds more.
const awayAfter = 20 * time.Second

// silence is what is known of the homeserver's absence.
type silence struct {
	away   bool // it has not answered for a while
	paused bool // for so long that boards wait (SPEC AU9)
}

// paused is the end of everybody's session while nobody can be shut out any more. The page keeps what is drawn and comes back by itself.
var pausedBye = board.ByeEvent{
	Close: wire.CloseBoardFailed, Code: "sync_stale", Retry: 5 * time.Second,
	Message: "Lectern has not heard from its homeserver for a long time and cannot check who is in this room. The board goes on as soon as it answers.",
}

// touch runs every two seconds.
func (p *parts) touch() {
	age := p.companion.Age()
	if away := age > awayAfter; away != p.silent.away {
		p.silent.away = away
		p.log.Warn("homeserver", "away", away, "age", age.Round(time.Second))
		if !away {
			p.checkpoints.Reachable()
		}
	}
	if paused := p.identity.Stale(); paused != p.silent.paused {
		p.silent.paused = paused
		p.log.Error("boards pause because the homeserver does not answer", "paused", paused, "age", age.Round(time.Second))
		if paused {
			p.hub.Pause(pausedBye)
		}
	}
}
