package phrase

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		body   string
		direct bool
		want   Command
	}{
		{`!lectern add whiteboard "Lesson 3"`, false, Command{Verb: Add, Lang: English, Kind: "whiteboard", Name: "Lesson 3"}},
		{`  !Lectern: ADD Board Lesson 3 `, false, Command{Verb: Add, Lang: English, Kind: "whiteboard", Name: "Lesson 3"}},
		{`!lectern hinzufügen Tafel „Stunde 3“`, false, Command{Verb: Add, Lang: German, Kind: "whiteboard", Name: "Stunde 3"}},
		{`hinzufuegen tafel`, true, Command{Verb: Add, Lang: German, Kind: "whiteboard", Name: "Tafel"}},
		{`add whiteboard`, true, Command{Verb: Add, Lang: English, Kind: "whiteboard", Name: "Whiteboard"}},
		{`add "Lesson 3"`, true, Command{Verb: Add, Lang: English, Kind: "whiteboard", Name: "Lesson 3"}},
		{`add call`, true, Command{Verb: Add, Lang: English, Kind: "call", Name: "Call"}},
		{`!lectern hinzufügen Anruf`, false, Command{Verb: Add, Lang: German, Kind: "call", Name: "Anruf"}},
		{`add videocall "Office hour"`, true, Command{Verb: Add, Lang: English, Kind: "call", Name: "Office hour"}},
		{`add whiteboard "Lesson 3" in "Class 7b"`, true, Command{Verb: Add, Lang: English, Kind: "whiteboard", Name: "Lesson 3", Room: "Class 7b"}},
		{`add whiteboard Lesson in Maths in #class:example`, true, Command{Verb: Add, Lang: English, Kind: "whiteboard", Name: "Lesson in Maths", Room: "#class:example"}},
		{`add whiteboard "Lesson in Maths"`, true, Command{Verb: Add, Lang: English, Kind: "whiteboard", Name: "Lesson in Maths"}},
		{`!lectern add whiteboard Lesson in Maths`, false, Command{Verb: Add, Lang: English, Kind: "whiteboard", Name: "Lesson in Maths"}},
		{`add whiteboard Lena's "board`, true, Command{Verb: Add, Lang: English, Kind: "whiteboard", Name: `Lena's "board`}},
		{`!lectern @b:example list`, false, Command{Verb: List, Lang: English, To: "@b:example"}},
		{`liste in Klasse 7b`, true, Command{Verb: List, Lang: German, Room: "Klasse 7b"}},
		{`!lectern`, false, Command{Verb: Help, Lang: English}},
		{`hilfe!`, true, Command{Verb: Help, Lang: German}},
		{"> <@a:b> what now?\n> more\n\n!lectern list", false, Command{Verb: List, Lang: English}},
		{`rename "Lesson 3" "Lesson 4"`, true, Command{Verb: Rename, Lang: English, Name: "Lesson 3", New: "Lesson 4"}},
		{`umbenennen Stunde 3 zu Stunde 4`, true, Command{Verb: Rename, Lang: German, Name: "Stunde 3", New: "Stunde 4"}},
		{`rename 2 "Lesson to come"`, true, Command{Verb: Rename, Lang: English, Name: "2", New: "Lesson to come"}},
		{`rename "Lesson 3" Lesson 4`, true, Command{Verb: Rename, Lang: English, Name: "Lesson 3", New: "Lesson 4"}},
		{`remove Lesson 3`, true, Command{Verb: Remove, Lang: English, Name: "Lesson 3"}},
		{`listen in Class 7b`, true, Command{Verb: Listen, Lang: English, Room: "Class 7b"}},
		{`!lectern mitlesen aus`, false, Command{Verb: Listen, Lang: German, Off: true}},
		{`listen harder`, true, Command{Lang: English, Problem: ListenHow}},
		{`zurück`, true, Command{Verb: Restore, Lang: German}},
		{`rename Lesson`, true, Command{Lang: English, Name: "", Problem: RenameHow}},
		{`add`, true, Command{Lang: English, Problem: AddHow}},
		{`hinzufügen Kühlschrank`, true, Command{Lang: German, Problem: UnknownKind, Args: Args{"word": "Kühlschrank"}}},
		{`hello there`, true, Command{Lang: English, Problem: Unknown, Args: Args{"word": "hello"}}},
		{`add whiteboard ` + strings.Repeat("x", 81), true, Command{Lang: English, Kind: "whiteboard", Name: strings.Repeat("x", 81), Problem: TitleTooLong, Args: Args{"max": 80}}},
		{`add whiteboard ` + strings.Repeat("ä", 80), true, Command{Verb: Add, Lang: English, Kind: "whiteboard", Name: strings.Repeat("ä", 80)}},
		{`hinzufügen Tafel ` + strings.Repeat("x", 10_000), true, Command{Lang: German, Problem: TooLong}},
		{"!lectern " + strings.Repeat("\u202e", 10_000), false, Command{Lang: English, Problem: TooLong}},
		{"add whiteboard \"a\u202eb\u0000c\u2066<b>d</b>\"", true, Command{Verb: Add, Lang: English, Kind: "whiteboard", Name: "abc<b>d</b>"}},
	} {
		got, ok := Parse(c.body, c.direct)
		if !ok || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("CM3 %.80q:\ngot  %+v, %v\nwant %+v", c.body, got, ok, c.want)
		}
	}
	for _, body := range []string{"", "hello", "!lecternish add", "lectern add", "x !lectern add whiteboard", "> <@a:b> !lectern list\n\nyes"} {
		if c, ok := Parse(body, false); ok {
			t.Errorf("CM3 %q in a room is taken for %+v", body, c)
		}
	}
}

func TestCatalogue(t *testing.T) {
	places := regexp.MustCompile(`\{[a-z]+\}`)
	find := func(s string) []string {
		l := places.FindAllString(s, -1)
		slices.Sort(l)
		return slices.Compact(l)
	}
	for key, text := range english {
		other, ok := german[key]
		if !ok || other == "" || text == "" {
			t.Errorf("CM4 %s is missing in one language", key)
		}
		if a, b := find(text), find(other); !slices.Equal(a, b) {
			t.Errorf("CM4 %s: English fills %v, German %v", key, a, b)
		}
	}
	for key := range german {
		if _, ok := english[key]; !ok {
			t.Errorf("CM4 %s is only in German", key)
		}
	}
}

func TestSayIsHarmless(t *testing.T) {
	got := Say(German, NoSuch, Args{"name": "a\u202e{room}\n\x1b[31m" + strings.Repeat("x", 10_000), "room": "B\u0007", "list": Lines{Item(1, "one\ntwo"), Item(2, "\u2067three")}})
	if want := "„a{room} [31m" + strings.Repeat("x", 67) + "…“ gibt es in B nicht. Was es gibt:\n1. one two\n2. three"; got != want {
		t.Errorf("CM5 got %q, want %q", got, want)
	}
	if got := Clean("  family \u200d 👨\u200d👩 \r\n x\ufeff "); got != "family \u200d 👨\u200d👩 x" {
		t.Errorf("CM5 got %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`!lectern add whiteboard "Lesson 3" in Class`, "rename a to b", "„“", "> <@a:b>", "!lectern @a:b \u202e\u0000 {name}", "hinzufügen Tafel «x"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, body string, direct bool) {
		c, ok := Parse(body, direct)
		if !ok {
			if direct {
				t.Error("a direct message is left without an answer")
			}
			return
		}
		if (c.Verb == "") == (c.Problem == "") || c.Lang == "" {
			t.Errorf("neither understood nor refused: %+v", c)
		}
		if c.Verb == Add && (c.Kind == "" || c.Name == "" || utf8.RuneCountInString(c.Name) > MaxTitle) || c.Verb == Rename && (c.Name == "" || c.New == "") {
			t.Errorf("something is missing, or too much: %+v", c)
		}
		for _, s := range []string{c.Name, c.New, c.Room, c.To, Say(c.Lang, c.Problem, c.Args)} {
			for _, r := range s {
				if unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Bidi_Control, r) {
					t.Errorf("%U in %q", r, s)
				}
			}
			if !utf8.ValidString(s) || strings.Contains(s, "{word}") && !strings.Contains(body, "{word}") {
				t.Errorf("answer: %q", s)
			}
		}
	})
}
