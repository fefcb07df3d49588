package schema

import (
	"bytes"
	"encoding/json"
)

// document is the table as the front end reads it.
type document struct {
	Comment    string                `json:"comment"`
	Types      []string              `json:"types"`
	NotStored  []string              `json:"notStored"`
	IDs        idRule                `json:"ids"`
	Limits     map[string]int        `json:"limits"`
	Properties map[string]properties `json:"properties"`
	Files      properties            `json:"files"`
	Formats    map[string]string     `json:"formats"`
}

type idRule struct {
	MinBytes int      `json:"minBytes"`
	MaxBytes int      `json:"maxBytes"`
	Pattern  string   `json:"pattern"`
	Refused  []string `json:"refused"`
}

type properties struct {
	Kinds    []string  `json:"kinds"`
	Min      *float64  `json:"min,omitzero"`
	Max      *float64  `json:"max,omitzero"`
	Whole    bool      `json:"whole,omitzero"`
	Numbers  []float64 `json:"numbers,omitzero"`
	Words    []string  `json:"words,omitzero"`
	Format   string    `json:"format,omitzero"`
	MaxBytes int       `json:"maxBytes,omitzero"`
	MaxChars int       `json:"maxChars,omitzero"`
}

var formatNames = map[format]string{fJSONObject: "json-object", fJSONArray: "json-array", fColor: "color", fID: "id", fIndex: "index", fLink: "link", fPoints: "points"}

// Table returns the grammar of a whiteboard page as JSON, the content of testdata/properties.json (SPEC CH20).
func Table() []byte {
	d := document{
		Comment: "Written by `go test ./crdt/schema -run TestPropertiesFile -update` from rules.go; do not edit. Format json-*: U+0000 then JSON in one ImmutableString. " +
			"Kind text: an Automerge text object (a plain JS string). Kind number: int or float64, finite, never uint.",
		Types: ElementTypes, NotStored: NotStored,
		IDs: idRule{1, MaxID, "^[!-~]{1,64}$", RefusedIDs},
		Limits: map[string]int{
			"visibleElements": MaxElements, "objectsEver": MaxObjects, "files": MaxFiles, "textChars": MaxText,
			"textCharsEver": MaxTextOps, "pageTextCharsEver": MaxPageText,
		},
		Properties: map[string]properties{},
		Files:      properties{Kinds: []string{"string"}, MaxBytes: MaxFileValue},
		Formats: map[string]string{
			"color": "^[A-Za-z0-9#(),.%/ -]+$", "id": "^[!-~]{1,64}$", "index": "^[0-9A-Za-z]+$", "link": `^(https://|mailto:)[^\u0000-\u0020\u007f]*$`,
			"json-object": "U+0000, then a JSON object", "json-array": "U+0000, then a JSON array",
			"points": "bytes: x and y in turn, each the zig-zag difference to the value before in 1/8 px as unsigned LEB128 of at most 7 bytes; at least one pair",
		},
	}
	for _, r := range table {
		p := properties{Whole: r.whole, Numbers: r.numbers, Words: r.words, Format: formatNames[r.format], MaxBytes: r.bytes, MaxChars: r.chars}
		for _, k := range []struct {
			k    kinds
			name string
		}{{kNull, "null"}, {kBool, "bool"}, {kNumber, "number"}, {kString, "string"}, {kBytes, "bytes"}, {kText, "text"}} {
			if r.kinds&k.k != 0 {
				p.Kinds = append(p.Kinds, k.name)
			}
		}
		if r.kinds&kNumber != 0 {
			p.Min, p.Max = new(r.min), new(r.max)
		}
		if r.words != nil {
			p.MaxBytes = 0 // the words say it
		}
		d.Properties[r.name] = p
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		panic(err) // plain data
	}
	return b.Bytes()
}
