package widgets

import "embed"

//go:embed icons/*.png
var icons embed.FS

// Icon is the kind's picture for lists of widgets: PNG, 96 x 96.
func (k Kind) Icon() []byte {
	b, _ := icons.ReadFile("icons/" + k.Name + ".png")
	return b
}
