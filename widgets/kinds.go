// Package widgets lists what Lectern can put into a room, and how it stands there: data and pure rules, no I/O.
package widgets

import (
	"slices"
	"strings"
)

// Kind is one sort of widget. Its page is /widgets/<Name>; where it is drawn, its checkpoint's event type is com.educationpub.<Name>.content.
type Kind struct {
	Name   string
	Title  string   // English default name in a room
	German string   // German default name
	Words  []string // what people call it, in lower case
	Entry  string   // the front end's entry in Vite's manifest
	Drawn  bool     // a board: it has a document, which is kept in the room. A call has none.
	Focus  bool     // of use only where calls are set up
}

// Kinds is the registry.
var Kinds = []Kind{
	{Name: "whiteboard", Title: "Whiteboard", German: "Tafel", Words: []string{"whiteboard", "board", "tafel"}, Entry: "src/entry/whiteboard.tsx", Drawn: true},
	{Name: "call", Title: "Call", German: "Anruf", Words: []string{"call", "anruf", "videocall", "meeting"}, Entry: "src/entry/call.tsx", Focus: true},
}

// Find answers the kind of that name.
func Find(name string) (Kind, bool) {
	for _, k := range Kinds {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// Boards are the kinds that are drawn.
func Boards() []Kind {
	return slices.DeleteFunc(slices.Clone(Kinds), func(k Kind) bool { return !k.Drawn })
}

// Offered are the kinds that can be added where calls are set up, or are not.
func Offered(calls bool) []Kind {
	return slices.DeleteFunc(slices.Clone(Kinds), func(k Kind) bool { return k.Focus && !calls })
}

// Called answers the kind that people call by this word.
func Called(word string) (Kind, bool) {
	word = strings.ToLower(word)
	for _, k := range Kinds {
		if slices.Contains(k.Words, word) {
			return k, true
		}
	}
	return Kind{}, false
}

// ContentType is the type of the state event that keeps a board of this kind in its room.
func (k Kind) ContentType() string { return "com.educationpub." + k.Name + ".content" }
