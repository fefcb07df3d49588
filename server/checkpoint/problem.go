package checkpoint

import (
	"context"
	"errors"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/worker"
)

// verdict says whether the room itself refused, and for how long there is no use in trying again.
func verdict(err error) (refused bool, least time.Duration) {
	if e, ok := errors.AsType[*RoomError](err); ok {
		switch e.Kind {
		case Forbidden, Revoked:
			return true, longestRetry / 2
		case RateLimited:
			return false, e.RetryAfter
		case TooLarge:
			return false, longestRetry / 2
		}
	}
	return false, 0
}

// unreachable says whether the homeserver did not answer, or answered that it cannot.
func unreachable(err error) bool {
	e, ok := errors.AsType[*RoomError](err)
	return ok && (e.Kind == Unreachable || e.Kind == Failing)
}

// Why the newest state of a board is not in its room: codes of docs/protocol.md §2.4. The page has a sentence for each, in its languages.
const (
	problemAway      = "unreachable" // the homeserver does not answer
	problemFailing   = "failing"     // it answers with errors
	problemBusy      = "busy"        // it asks for patience
	problemPower     = "power"       // it refuses: the account lacks power level 50
	problemTooLarge  = "too_large"   // it takes no event or file of this size
	problemSignedOut = "signed_out"  // the account's login is gone
	problemStuck     = "stuck"       // a change does not merge (SPEC CP8)
	problemHeavy     = "heavy"       // too much for the merge worker
	problemDamaged   = "damaged"     // what is stored does not pass its checks
	problemOther     = "other"
)

func problem(err error) string {
	if _, ok := errors.AsType[*stuckError](err); ok {
		return problemStuck
	}
	if e, ok := errors.AsType[*RoomError](err); ok {
		switch e.Kind {
		case Forbidden:
			return problemPower
		case TooLarge:
			return problemTooLarge
		case Revoked:
			return problemSignedOut
		case RateLimited:
			return problemBusy
		case Failing:
			return problemFailing
		default:
			return problemAway
		}
	}
	switch {
	case errors.Is(err, worker.ErrTimeout), errors.Is(err, worker.ErrMemory), errors.Is(err, worker.ErrLimit):
		return problemHeavy
	case errors.Is(err, board.ErrDamaged), errors.Is(err, worker.ErrBase):
		return problemDamaged
	case errors.Is(err, context.Canceled):
		return ""
	default:
		return problemOther
	}
}
