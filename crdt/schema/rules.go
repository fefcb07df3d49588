package schema

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/educationpub/lectern/crdt/change"
)

// Limits of a page. The table of properties below has the limits of single values.
const (
	MaxElements  = 5_000     // visible elements of a page
	MaxObjects   = 100_000   // elements and texts ever made in one epoch of a page
	MaxFiles     = 5_000     // names under `files`
	MaxText      = 20_000    // characters of one text
	MaxTextOps   = 100_000   // characters ever inserted into one text in one epoch
	MaxPageText  = 1_000_000 // characters ever inserted into all texts of a page in one epoch
	MaxID        = 64        // bytes of an element's or file's id
	MaxFileValue = 4_096     // bytes of a value under `files`
)

// kinds is a set of value kinds.
type kinds uint16

const (
	kNull   kinds = 1 << change.Null
	kBool   kinds = 1<<change.False | 1<<change.True
	kNumber kinds = 1<<change.Int | 1<<change.Float
	kString kinds = 1 << change.String
	kBytes  kinds = 1 << change.Bytes
	kText   kinds = 1 << 15 // a text object, not a value
)

func (k kinds) has(v change.Kind) bool { return k>>v&1 != 0 }

// format is a rule for the content of a string or of bytes.
type format uint8

const (
	anything    format = iota
	fJSONObject        // U+0000, then a JSON object
	fJSONArray         // U+0000, then a JSON array
	fColor             // ASCII letters, digits and # ( ) , . % / - space
	fID                // an element's or file's id
	fIndex             // fractional index: ASCII letters and digits
	fLink              // https: or mailto:, no spaces and control characters
	fPoints            // packed points: an even number of unsigned LEB128 of at most 7 bytes
)

// property is what the table says of one property of an element.
type property struct {
	name     string
	key      []byte // the name
	kinds    kinds
	min, max float64 // of a number
	whole    bool    // the number must be whole
	bytes    int     // longest string or byte string
	chars    int     // longest string in characters; 0: no rule but bytes
	format   format
	numbers  []float64 // the only numbers allowed
	words    []string  // the only strings allowed
}

const far = 1e9 // coordinates and sizes, px

func numeric(name string, min, max float64) property {
	return property{name: name, kinds: kNumber, min: min, max: max}
}

func oneOf(name string, k kinds, words ...string) property {
	return property{name: name, kinds: kString | k, bytes: 32, words: words}
}

func formatted(name string, k kinds, f format, max int) property {
	return property{name: name, kinds: k, format: f, bytes: max}
}

// ElementTypes are the values of the property `type`. Excalidraw's embeddable, iframe, magicframe and selection are refused: the first three load
// foreign pages or talk to a service, the last is never part of a scene.
var ElementTypes = []string{"rectangle", "diamond", "ellipse", "arrow", "line", "freedraw", "text", "image", "frame"}

var arrowheads = []string{
	"arrow", "bar", "dot", "circle", "circle_outline", "triangle", "triangle_outline", "diamond", "diamond_outline",
	"crowfoot_one", "crowfoot_many", "crowfoot_one_or_many",
}

// NotStored are the properties of Excalidraw's elements that are not in the document: bookkeeping of one client, or derivable (boundElements
// follows from the arrows' bindings and the texts' containerId). `id` is the key.
var NotStored = []string{"id", "version", "versionNonce", "updated", "lastCommittedPoint", "boundElements"}

// table is every stored property of Excalidraw 0.18.1's elements, sorted by name: the position is the property's number in the index.
var table = sorted([]property{
	// every element
	oneOf("type", 0, ElementTypes...),
	numeric("x", -far, far),
	numeric("y", -far, far),
	numeric("width", -far, far),
	numeric("height", -far, far),
	numeric("angle", -1000, 1000),
	formatted("strokeColor", kString, fColor, 64),
	formatted("backgroundColor", kString, fColor, 64),
	oneOf("fillStyle", 0, "hachure", "cross-hatch", "solid", "zigzag"),
	oneOf("strokeStyle", 0, "solid", "dashed", "dotted"),
	numeric("strokeWidth", 0, 1000),
	numeric("roughness", 0, 100),
	numeric("opacity", 0, 100),
	formatted("roundness", kString|kNull, fJSONObject, 256),
	{name: "seed", kinds: kNumber, min: 0, max: 1<<53 - 1, whole: true},
	formatted("index", kString|kNull, fIndex, 512),
	{name: "isDeleted", kinds: kBool},
	formatted("groupIds", kString, fJSONArray, 4096),
	formatted("frameId", kString|kNull, fID, MaxID),
	formatted("link", kString|kNull, fLink, 2048),
	{name: "locked", kinds: kBool},
	formatted("customData", kString|kNull, fJSONObject, 4096),
	// image
	formatted("fileId", kString|kNull, fID, MaxID),
	oneOf("status", 0, "pending", "saved", "error"),
	formatted("scale", kString, fJSONArray, 64),
	formatted("crop", kString|kNull, fJSONObject, 512),
	// frame
	{name: "name", kinds: kString | kNull, bytes: 1024},
	// text
	numeric("fontSize", 0, 100_000),
	{name: "fontFamily", kinds: kNumber, min: 1, max: 9, whole: true, numbers: []float64{1, 2, 3, 5, 6, 7, 8, 9}},
	{name: "text", kinds: kString, bytes: 31_000, chars: MaxText},
	oneOf("textAlign", 0, "left", "center", "right"),
	oneOf("verticalAlign", 0, "top", "middle", "bottom"),
	formatted("containerId", kString|kNull, fID, MaxID),
	{name: "originalText", kinds: kText, chars: MaxText},
	{name: "autoResize", kinds: kBool},
	numeric("lineHeight", 0, 100),
	// line, arrow, freedraw
	formatted("points", kBytes, fPoints, 31_000),
	formatted("startBinding", kString|kNull, fJSONObject, 512),
	formatted("endBinding", kString|kNull, fJSONObject, 512),
	oneOf("startArrowhead", kNull, arrowheads...),
	oneOf("endArrowhead", kNull, arrowheads...),
	{name: "elbowed", kinds: kBool},
	formatted("fixedSegments", kString|kNull, fJSONArray, 8192),
	{name: "startIsSpecial", kinds: kBool | kNull},
	{name: "endIsSpecial", kinds: kBool | kNull},
	{name: "pressures", kinds: kBytes, bytes: 31_000},
	{name: "simulatePressure", kinds: kBool},
})

func sorted(t []property) []property {
	for i := range t {
		t[i].key = []byte(t[i].name)
	}
	slices.SortFunc(t, func(a, b property) int { return bytes.Compare(a.key, b.key) })
	return t
}

// numbers of properties by name. Immutable.
var byProperty = func() map[string]uint16 {
	m := make(map[string]uint16, len(table))
	for i, r := range table {
		m[r.name] = uint16(i)
	}
	return m
}()

var propIsDeleted, propIndex = byProperty["isDeleted"], byProperty["index"]

// accepts judges a value of a put.
func (r *property) accepts(k change.Kind, num uint64, content []byte) *change.Error {
	if !r.kinds.has(k) {
		return ErrKind
	}
	switch k {
	case change.Int:
		if v := int64(num); v > 1<<53-1 || v < -(1<<53-1) || !r.inRange(float64(v)) {
			return ErrValue
		}
	case change.Float:
		if !r.inRange(math.Float64frombits(num)) {
			return ErrValue
		}
	case change.String, change.Bytes:
		if len(content) > r.bytes || r.chars > 0 && utf8.RuneCount(content) > r.chars {
			return ErrValueTooLarge
		}
		if r.words != nil && !contains(r.words, content) || !r.format.accepts(content) {
			return ErrValue
		}
	}
	return nil
}

// inRange is false for NaN and the infinities: no comparison holds for them, or they are outside every range.
func (r *property) inRange(v float64) bool {
	return v >= r.min && v <= r.max && (!r.whole || v == math.Trunc(v)) && (r.numbers == nil || slices.Contains(r.numbers, v))
}

func contains(words []string, b []byte) bool {
	for _, w := range words {
		if w == string(b) {
			return true
		}
	}
	return false
}

func (f format) accepts(b []byte) bool {
	switch f {
	case fJSONObject, fJSONArray:
		open := byte('{')
		if f == fJSONArray {
			open = '['
		}
		return len(b) > 2 && b[0] == 0 && b[1] == open && json.Valid(b[1:])
	case fColor:
		return len(b) > 0 && all(b, func(c byte) bool { return alnum(c) || bytes.IndexByte([]byte("#(),.%/- "), c) >= 0 })
	case fID:
		return validID(b)
	case fIndex:
		return len(b) > 0 && all(b, alnum)
	case fLink:
		return (bytes.HasPrefix(b, []byte("https://")) || bytes.HasPrefix(b, []byte("mailto:"))) && all(b, func(c byte) bool { return c > ' ' && c != 0x7f })
	case fPoints:
		return validPoints(b)
	}
	return true
}

func all(b []byte, ok func(byte) bool) bool {
	for _, c := range b {
		if !ok(c) {
			return false
		}
	}
	return true
}

func alnum(c byte) bool     { return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' }
func printable(c byte) bool { return c > ' ' && c < 0x7f }

// RefusedIDs are names every JavaScript object already has: looking one up in the document's maps would find a function.
var RefusedIDs = []string{
	"__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__", "__proto__", "constructor",
	"hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString", "valueOf",
}

// validID: 1 to 64 bytes of printable ASCII without the space, and no name of Object.prototype.
func validID(b []byte) bool {
	return len(b) > 0 && len(b) <= MaxID && all(b, printable) && !contains(RefusedIDs, b)
}

// validPoints: whole pairs of LEB128 numbers, at least one, each of at most 7 bytes (49 bits), so that a reader always ends and never leaves 2^53.
func validPoints(b []byte) bool {
	n, run := 0, 0
	for _, c := range b {
		if run++; run > 7 {
			return false
		}
		if c < 0x80 {
			n, run = n+1, 0
		}
	}
	return n > 0 && n%2 == 0 && run == 0
}
