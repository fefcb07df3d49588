package schema

import _ "embed"

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
