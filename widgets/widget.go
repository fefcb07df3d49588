package widgets

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
)

const (
	// EventType of a widget in a room's state; its state key is the widget's id. Element lists no other (the stable m.widget is ignored).
	EventType = "im.vector.modular.widgets"
	// LayoutType of Element's layout; its state key is empty.
	LayoutType = "io.element.widgets.layout"
	// MaxOnTop is how many widgets Element shows above the timeline.
	MaxOnTop = 3
)

// Widget is one of Lectern's widgets in a room.
type Widget struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Title string `json:"title"`
	Board string `json:"board"`
	URL   string `json:"url"` // with Element's template variables in it
}

// New mints a widget of a kind ("whiteboard") with a new board. base is Lectern's own URL, without a slash at the end. The id is random: Element remembers
// what people allowed by the widget's id alone.
func New(base, kind, title string) Widget {
	w := Widget{ID: "lectern-" + strings.ToLower(rand.Text()[:10]), Kind: kind, Title: title, Board: newBoardID()}
	w.URL = w.At(base)
	return w
}

// At names the page at this base. The room (which the page sends with its sign-in), theme and language are asked of the client: who somebody
// is never comes from a URL.
func (w Widget) At(base string) string {
	return base + "/widgets/" + w.Kind +
		"?room_id=$matrix_room_id&theme=$org.matrix.msc2873.client_theme&lang=$org.matrix.msc2873.client_language"
}

// Content of the widget's state event. icon is the mxc address of its picture, "" for none.
func (w Widget) Content(creator, icon string) map[string]any {
	content := map[string]any{
		"id": w.ID, "creatorUserId": creator, "type": "m.custom", "name": w.Title, "url": w.URL,
		"data": map[string]any{"board": w.Board, "kind": w.Kind, "title": ""},
	}
	if icon != "" {
		content["avatar_url"] = icon
	}
	return content
}

// Stable is the content of a widget's event as MSC4411 has it: no type and no template variables. The page finds its room by the widget's id. mirror says that it only
// repeats an event of EventType.
func Stable(base, kind, title, board, icon string) map[string]any {
	content := map[string]any{"name": title, "url": base + "/widgets/" + kind, "data": map[string]any{"board": board, "kind": kind, "mirror": true}}
	if icon != "" {
		content["avatar_url"] = icon
	}
	return content
}

// newBoardID mints 128 random bits in lower-case base32 (26 characters), as a browser would that adds a widget.
func newBoardID() string { return strings.ToLower(rand.Text()) }

// Layout of a room that shows these widgets on top, for everybody and at once (at most MaxOnTop).
func Layout(ids ...string) map[string]any {
	return map[string]any{"widgets": onTop(ids[:min(len(ids), MaxOnTop)])}
}

func onTop(ids []string) map[string]any {
	l := map[string]any{}
	for i, id := range ids {
		l[id] = map[string]any{"container": "top", "index": i, "width": 100 / len(ids), "height": 60}
	}
	return l
}

// ShowOnTop adds a widget to those on top of the layout that stands in a room. What is not on top, and whatever else somebody wrote into the layout, is
// kept. changed is false where the widget is on top already, or the three places are taken.
func ShowOnTop(layout json.RawMessage, id string) (_ json.RawMessage, changed bool) {
	all, places := parseLayout(layout)
	top := topOf(places)
	if slices.Contains(top, id) || len(top) >= MaxOnTop {
		return layout, false
	}
	return withTop(all, places, append(top, id)), true
}

// IsOnTop says whether a layout shows a widget above the messages.
func IsOnTop(layout json.RawMessage, id string) bool {
	_, places := parseLayout(layout)
	return slices.Contains(topOf(places), id)
}

// TakeOff takes a widget out of the layout; who stays on top shares its place.
func TakeOff(layout json.RawMessage, id string) (_ json.RawMessage, changed bool) {
	all, places := parseLayout(layout)
	if _, ok := places[id]; !ok {
		return layout, false
	}
	top := topOf(places)
	delete(places, id)
	return withTop(all, places, slices.DeleteFunc(top, func(t string) bool { return t == id })), true
}

// parseLayout takes what does not parse for nothing: Element ignores it as well.
func parseLayout(layout json.RawMessage) (all, places map[string]json.RawMessage) {
	_ = json.Unmarshal(layout, &all)
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	_ = json.Unmarshal(all["widgets"], &places)
	if places == nil {
		places = map[string]json.RawMessage{}
	}
	return all, places
}

// topOf lists the widgets on top in their order.
func topOf(places map[string]json.RawMessage) []string {
	type place struct {
		Container string  `json:"container"`
		Index     float64 `json:"index"`
	}
	index := map[string]float64{}
	var top []string
	for id, raw := range places {
		var p place
		if json.Unmarshal(raw, &p) == nil && p.Container == "top" {
			top, index[id] = append(top, id), p.Index
		}
	}
	slices.SortFunc(top, func(a, b string) int { return cmp.Or(cmp.Compare(index[a], index[b]), cmp.Compare(a, b)) })
	return top
}

func withTop(all, places map[string]json.RawMessage, top []string) json.RawMessage {
	for id, p := range onTop(top) {
		places[id] = must(p)
	}
	all["widgets"] = must(places)
	return must(all)
}

// must marshals what always can be.
func must(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
