package schema

import (
	"bytes"
	"flag"
	"os"
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
