package schema

import "github.com/educationpub/lectern/crdt/change"

var (
	ErrKind          = change.NewError("grammar", "a property has a value of the wrong type")
	ErrValue         = change.NewError("grammar", "a property has a value that is not allowed")
	ErrValueTooLarge = change.NewError("too_large", "a value is too long")
)
