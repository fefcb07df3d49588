package schema

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/properties.json from the table")

func TestPropertiesFile(t *testing.T) {
	const name = "testdata/properties.json"
	if *update {
		if err := os.WriteFile(name, Table(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, Table()) {
		t.Error("CH20 testdata/properties.json differs from rules.go; run this test with -update")
	}
}

// TestPropertiesComplete compares the table with the type definitions of the Excalidraw that the front end is built with.
func TestPropertiesComplete(t *testing.T) {
	b, err := os.ReadFile("../../web/node_modules/@excalidraw/excalidraw/dist/types/excalidraw/element/types.d.ts")
	if err != nil {
		missing(t, fmt.Sprintf("the table was not compared with Excalidraw's types: %v", err))
	}
	types := []string{
		"_ExcalidrawElementBase", "ExcalidrawImageElement", "ExcalidrawFrameElement", "ExcalidrawTextElement", "ExcalidrawLinearElement",
		"ExcalidrawArrowElement", "ExcalidrawElbowArrowElement", "ExcalidrawFreeDrawElement",
	}
	property := regexp.MustCompile(`(?m)^    (\w+)\??:`)
	var want []string
	for _, name := range types {
		_, rest, ok := strings.Cut(string(b), "type "+name+" = ")
		if !ok {
			t.Fatalf("no type %s", name)
		}
		body, _, _ := strings.Cut(rest, "\n}")
		for _, m := range property.FindAllStringSubmatch(body, -1) {
			want = append(want, m[1])
		}
	}
	want = append(want, "type") // a frame's stands on a line of its own form
	slices.Sort(want)
	want = slices.Compact(want)
	var got []string
	for _, r := range table {
		got = append(got, r.name)
	}
	got = append(got, NotStored...)
	slices.Sort(got)
	t.Run("CH13 every property of Excalidraw is in the table or known not to be stored", func(t *testing.T) {
		if !slices.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	})
}
