package board

import (
	"errors"
	"fmt"
)

// Error is a refusal that clients may see: a code for programs and a sentence for people. The cause is for the operator's log only.
type Error struct {
	code  string
	text  string
	cause error
}

// Errors of boards. Compare with errors.Is; the code travels on the wire.
var (
	ErrUnknown      = &Error{code: "unknown_board", text: "This board does not exist here."}
	ErrExists       = &Error{code: "board_exists", text: "A board with this id exists already."}
	ErrElsewhere    = &Error{code: "board_elsewhere", text: "This board belongs to another room or is hosted by another Lectern."}
	ErrDamaged      = &Error{code: "board_damaged", text: "The stored board is damaged and stays closed, so that nothing is overwritten. Please tell the operator."}
	ErrUnavailable  = &Error{code: "board_failed", text: "The board cannot be opened at the moment. Nothing that was acknowledged is lost. Please try again."}
	ErrStorage      = &Error{code: "storage", text: "The school's Lectern cannot store anything now. What you draw is kept in this browser and is sent when it can."}
	ErrNotJoined    = &Error{code: "not_joined", text: "You are not a member of this room."}
	ErrDraining     = &Error{code: "draining", text: "The server is restarting. Please connect again in a moment."}
	ErrUnknownDoc   = &Error{code: "unknown_doc", text: "This board has no such page."}
	ErrUnknownEpoch = &Error{code: unknownEpoch, text: "This part of the page's history is not here."}
	ErrReadOnly     = &Error{code: "read_only", text: "You can look at this board but not write on it."}
	ErrPagesFull    = &Error{code: "too_large", text: "This board has as many pages as a board can have."}
	ErrSeek         = &Error{code: "bad_have", text: "The position asked for is not in the board's log."}
	ErrErased       = &Error{code: "board_erased", text: "This board was erased. Loading the page again opens an empty one."}
	ErrUpgraded     = &Error{code: "room_upgraded", text: "This room was replaced by a new one. The board is there, with everything on it."}
	ErrClosed       = &Error{code: "closed", text: "The session has ended."}
)

const unknownEpoch = "unknown_epoch"

// Error implements error.
func (e *Error) Error() string {
	if e.cause != nil {
		return "board: " + e.code + ": " + e.cause.Error()
	}
	return "board: " + e.code
}

// Code is the code for the wire.
func (e *Error) Code() string { return e.code }

// Public is the sentence for people; it never holds the cause.
func (e *Error) Public() string { return e.text }

// Unwrap answers the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is matches the sentinel with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.code == e.code
}

// Because answers the same refusal with its cause.
func (e *Error) Because(format string, args ...any) *Error {
	return &Error{code: e.code, text: e.text, cause: fmt.Errorf(format, args...)}
}

// Saying answers the same refusal with another sentence for people.
func (e *Error) Saying(text string) *Error { return &Error{code: e.code, text: text, cause: e.cause} }

// Code answers the wire code of an error, "board_failed" where it has none of its own.
func Code(err error) string {
	var c interface{ Code() string }
	if errors.As(err, &c) {
		return c.Code()
	}
	return ErrUnavailable.code
}
