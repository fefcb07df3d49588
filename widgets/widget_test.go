package widgets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"regexp"
	"strings"
	"testing"
)

func TestNewWidget(t *testing.T) {
	w, other := New("https://lectern.example", "whiteboard", "Lesson 3"), New("https://lectern.example", "whiteboard", "Lesson 3")
	if w.ID == other.ID || w.Board == other.Board {
		t.Error("CM7 two widgets share an id or a board")
	}
	if !regexp.MustCompile(`^lectern-[a-z2-7]{10}$`).MatchString(w.ID) || !regexp.MustCompile(`^[a-z2-7]{26}$`).MatchString(w.Board) {
		t.Errorf("CM7 ids: %+v", w)
	}
	b, err := json.Marshal(w.Content("@lectern:example", ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"creatorUserId":"@lectern:example"`, `"type":"m.custom"`, `"name":"Lesson 3"`, `"id":"` + w.ID + `"`,
		`"data":{"board":"` + w.Board + `","kind":"whiteboard","title":""}`, `https://lectern.example/widgets/whiteboard?room_id=$matrix_room_id`,
	} {
		if !strings.Contains(strings.ReplaceAll(string(b), `\u0026`, "&"), want) {
			t.Errorf("CM7 content %s lacks %s", b, want)
		}
	}
}

func TestKindsAreCalledByName(t *testing.T) {
	for _, k := range Kinds {
		for _, word := range append(k.Words, k.Name, strings.ToLower(k.German)) {
			if got, ok := Called(strings.ToUpper(word)); !ok || got.Name != k.Name {
				t.Errorf("%q: got %+v, %v", word, got, ok)
			}
		}
	}
	if _, ok := Called("fridge"); ok {
		t.Error("a fridge is no widget")
	}
}

func TestKindsHaveAPictureAndSayWhetherTheyAreDrawn(t *testing.T) {
	for _, k := range Kinds {
		if c, err := png.DecodeConfig(bytes.NewReader(k.Icon())); err != nil || c.Width != 96 || c.Height != 96 {
			t.Errorf("CA1 picture of %s: %+v, %v", k.Name, c, err)
		}
	}
	if call, ok := Find("call"); !ok || call.Drawn {
		t.Errorf("CA1 a call is no board: %+v, %v", call, ok)
	}
	if boards := Boards(); len(boards) != 1 || boards[0].Name != "whiteboard" {
		t.Errorf("CA1 boards: %+v", boards)
	}
}

func TestLayout(t *testing.T) {
	at := func(container string, index int) string {
		return fmt.Sprintf(`{"container":%q,"index":%d,"width":50,"height":40}`, container, index)
	}
	for _, c := range []struct{ name, layout, want string }{
		{"none yet", ``, "[new]"},
		{"not an object", `[1]`, "[new]"},
		{"widgets is no object", `{"widgets":"x"}`, "[new]"},
		{"one on top, one aside", `{"widgets":{"a":` + at("top", 0) + `,"b":` + at("right", 0) + `}}`, "[a new]"},
		{"half-written places", `{"widgets":{"a":` + at("top", 7) + `,"b":{"container":5},"c":null,"d":{"container":"top","index":"x"}}}`, "[a new]"},
		{"order is kept", `{"widgets":{"a":` + at("top", 2) + `,"b":` + at("top", 1) + `}}`, "[b a new]"},
	} {
		t.Run("CM8 "+c.name, func(t *testing.T) {
			got, changed := ShowOnTop(json.RawMessage(c.layout), "new")
			_, places := parseLayout(got)
			if top := fmt.Sprint(topOf(places)); !changed || top != c.want {
				t.Errorf("on top: got %s, want %s", top, c.want)
			}
			if IsOnTop(json.RawMessage(c.layout), "new") || !IsOnTop(got, "new") {
				t.Error("on top before, or not afterwards")
			}
			if again, changed := ShowOnTop(got, "new"); changed || string(again) != string(got) {
				t.Errorf("shown twice: %s", again)
			}
			off, changed := TakeOff(got, "new")
			_, places = parseLayout(off)
			if want := strings.Replace(strings.Replace(c.want, " new", "", 1), "new", "", 1); !changed || fmt.Sprint(topOf(places)) != want {
				t.Errorf("after taking it off: %v, want %s", topOf(places), want)
			}
		})
	}
	t.Run("CM8 at most three on top; what else is there stays", func(t *testing.T) {
		full := `{"note":1,"widgets":{"a":` + at("top", 0) + `,"b":` + at("top", 1) + `,"c":` + at("top", 2) + `}}`
		if got, changed := ShowOnTop(json.RawMessage(full), "new"); changed || string(got) != full {
			t.Errorf("a fourth on top: %s", got)
		}
		got, _ := TakeOff(json.RawMessage(full), "b")
		if !strings.Contains(string(got), `"note":1`) || strings.Contains(string(got), `"b"`) || !strings.Contains(string(got), `"width":50`) {
			t.Errorf("after taking b off: %s", got)
		}
		if _, changed := TakeOff(json.RawMessage(full), "elsewhere"); changed {
			t.Error("taking off what is not there changes the layout")
		}
	})
}
