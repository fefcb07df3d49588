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

// problem is the sentence for the status line: what happened, what it means, what to do. The catalogue of the front end knows it by its text.
func problem(err error) string {
	if _, ok := errors.AsType[*stuckError](err); ok {
		return "A change on this board cannot be saved together with the others. Everything is still kept on the server, but the copy in the room ends before that change. Please tell the operator."
	}
	if e, ok := errors.AsType[*RoomError](err); ok {
		switch e.Kind {
		case Forbidden:
			return "The Lectern account needs power level 50 in this room to save the board. Until then it is kept on the server only."
		case TooLarge:
			return "The board is larger than the homeserver accepts. It is kept on the server only; clearing it or beginning a new page helps."
		case Revoked:
			return "The Lectern account is signed out of its homeserver. The board is kept on the server only. Please tell the operator."
		case RateLimited:
			return "The homeserver is busy. The board is kept on the server and saved to the room later."
		default:
			return "The homeserver cannot be reached. The board is kept on the server and saved to the room later."
		}
	}
	switch {
	case errors.Is(err, worker.ErrTimeout), errors.Is(err, worker.ErrMemory), errors.Is(err, worker.ErrLimit):
		return "The board has become too large to be saved to the room. It is kept on the server. Please tell the operator."
	case errors.Is(err, board.ErrDamaged), errors.Is(err, worker.ErrBase):
		return "The saved form of this board does not pass its checks, so the copy in the room stays as it was. Please tell the operator."
	case errors.Is(err, context.Canceled):
		return ""
	default:
		return "The board could not be saved to the room. It is kept on the server and saved later."
	}
}
