package change

import "errors"

// Error is a reason to refuse a change: a code of docs/protocol.md §4 for programs and a sentence for people. The packages that judge changes
// (this one and crdt/schema) declare theirs as values and compare them with errors.Is.
type Error struct{ code, text string }

// NewError declares a reason.
func NewError(code, text string) *Error { return &Error{code, text} }

func (e *Error) Error() string { return e.text }

// Code is the code of docs/protocol.md §4 for an error of this package or of crdt/schema, "" for nil and for any other error.
func Code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.code
	}
	return ""
}

// Reasons of Parse and of the Decoder.
var (
	ErrFrame        = NewError("bad_change", "not one whole Automerge chunk")
	ErrType         = NewError("bad_change", "not a plain change chunk: documents, compressed changes and bundles are not taken")
	ErrChecksum     = NewError("bad_change", "the checksum of the change is wrong")
	ErrHeader       = NewError("bad_change", "the header of the change is damaged")
	ErrColumns      = NewError("bad_change", "the column list of the change is damaged or names an unknown column")
	ErrColumn       = NewError("bad_change", "a column of the change is damaged")
	ErrLength       = NewError("bad_change", "the columns of the change differ in length")
	ErrRef          = NewError("bad_change", "an operation names one that cannot exist yet")
	ErrNotCanonical = NewError("not_canonical", "the change is not encoded as Automerge encodes it, so a document with it could not be loaded again")
	ErrTooLarge     = NewError("too_large", "the change is over a size limit")
	ErrTooManyOps   = NewError("too_many_ops", "the change has too many operations")
)
