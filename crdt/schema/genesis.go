package schema

import (
	_ "embed"

	"github.com/educationpub/lectern/crdt/change"
)

// KindWhiteboard is the document kind of a whiteboard page.
const KindWhiteboard = "whiteboard"

//go:embed genesis/whiteboard.page.automerge
var whiteboardDocument []byte

//go:embed genesis/whiteboard.page.change
var whiteboardChange []byte

// Genesis returns the document (Automerge's `save()`) that every document of a kind starts from, nil for an unknown kind.
// The front end imports the same file. The slice is shared: never write to it.
func Genesis(kind string) []byte {
	if kind != KindWhiteboard {
		return nil
	}
	return whiteboardDocument
}

// GenesisChange returns the genesis as the change chunk inside that document, nil for an unknown kind. The slice is shared: never write to it.
func GenesisChange(kind string) []byte {
	if kind != KindWhiteboard {
		return nil
	}
	return whiteboardChange
}

// origin is the genesis as a page sees it. Immutable.
var origin = func() (g struct {
	change          *change.Change
	elements, files uint32 // numbers of the operations that made them
},
) {
	g.change = new(change.Change)
	if err := g.change.Parse(whiteboardChange, nil); err != nil {
		panic("schema: genesis: " + err.Error()) // an embedded file
	}
	var d change.Decoder
	d.Reset(g.change)
	for op := range d.Ops() {
		switch string(op.Key) {
		case "elements":
			g.elements = op.ID.Ctr
		case "files":
			g.files = op.ID.Ctr
		}
	}
	return g
}()
