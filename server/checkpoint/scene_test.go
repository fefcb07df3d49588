package checkpoint

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/educationpub/lectern/crdt/board"
)

func TestPackScene(t *testing.T) {
	t.Run("SN1 a scene is told by property, like beside like, without deleted elements, bytes as text", func(t *testing.T) {
		packed, err := packScene("l", &Snapshot{Seq: 7, Epoch: 2, Heads: []board.Hash{{0xab}}}, []byte(`[
			{"id": "b", "type": "freedraw", "index": "a2", "isDeleted": false, "link": null, "points": "AAH/Og==", "text": "a<b"},
			{"id": "gone", "index": "a0", "isDeleted": true},
			{"id": "z", "index": "a0", "type": "text", "x": 1.5},
			{"id": "a", "type": "freedraw", "index": "a1", "link": "https://x.example"}]`))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := PlainScene(packed)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := json.Unmarshal(plain, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(`{"log": "l", "seq": 7, "epoch": 2, "heads": ["ab00000000000000000000000000000000000000000000000000000000000000"], "columns": {
			"id": ["a", "b", "z"], "index": ["a1", "a2", "a0"], "type": ["freedraw", "freedraw", "text"], "isDeleted": [null, false, null], "link": ["https://x.example", [], null],
			"points": [null, "#$\u0122]", null], "text": [null, "a<b", null], "x": [null, null, 1.5]}}`), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %s", plain)
		}
	})
	t.Run("SN1 an empty page has one empty column; bytes that are none are refused", func(t *testing.T) {
		packed, err := packScene("l", &Snapshot{}, []byte(`[]`))
		if err != nil {
			t.Fatal(err)
		}
		var s struct{ Columns map[string][]any }
		if plain, err := PlainScene(packed); err != nil || json.Unmarshal(plain, &s) != nil || len(s.Columns) != 1 || s.Columns["id"] == nil {
			t.Fatalf("got %s, %v", plain, err)
		}
		if _, err := packScene("l", &Snapshot{}, []byte(`[{"id": "a", "points": "%"}]`)); err == nil {
			t.Fatal("want an error")
		}
	})
}
