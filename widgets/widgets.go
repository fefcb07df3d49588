// Package widgets lists what Lectern can put into a room: data and pure rules, no I/O.
package widgets

// Kind is one sort of widget. Its page is /widgets/<Name>; its checkpoint's event type is com.educationpub.<Name>.content.
type Kind struct {
	Name  string
	Title string // English default name in a room
	Entry string // the front end's entry in Vite's manifest
}

// Kinds is the registry.
var Kinds = []Kind{
	{Name: "whiteboard", Title: "Whiteboard", Entry: "src/entry/whiteboard.tsx"},
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
