package schema

import (
	"fmt"

	"github.com/educationpub/lectern/crdt/change"
)

// Answers of Page.Check that are no refusals: what the change needs may still be on its way on another lane. Hold the change and ask again.
var (
	ErrSeqGap     = change.NewError("gap", "an earlier change of the same actor is missing")
	ErrDepUnknown = change.NewError("gap", "a change that this one builds on is missing")
)

// Refusals of Page.Check.
var (
	ErrSeqUsed       = change.NewError("gap", "this actor has already written another change with the same number")
	ErrActor         = change.NewError("wrong_actor", "an actor is 16 bytes, and only actors with changes on this page can be named")
	ErrStartOp       = change.NewError("grammar", "the numbers of the operations do not follow from what the change builds on")
	ErrEmpty         = change.NewError("grammar", "a change must hold an operation and build on another change")
	ErrObject        = change.NewError("grammar", "an operation works on an object that this page does not have")
	ErrShape         = change.NewError("grammar", "an operation is not one that a page knows at this place")
	ErrID            = change.NewError("grammar", "an id is 1 to 64 printable ASCII characters")
	ErrProperty      = change.NewError("grammar", "an element does not have this property")
	ErrKind          = change.NewError("grammar", "a property has a value of the wrong type")
	ErrValue         = change.NewError("grammar", "a property has a value that is not allowed")
	ErrPred          = change.NewError("grammar", "an operation replaces something that was never written there, or leaves its author's own value standing")
	ErrValueTooLarge = change.NewError("too_large", "a value is too long")
	ErrTextTooLarge  = change.NewError("too_large", fmt.Sprintf("a text can hold %d characters; put the rest into another one", MaxText))
	ErrPageFull      = change.NewError("too_large", fmt.Sprintf("a page can hold %d elements; go on with another page", MaxElements))
)
