package phrase

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lang is the language of an answer.
type Lang string

// The languages there are.
const (
	English Lang = "en"
	German  Lang = "de"
)

// Key names a sentence of the catalogue.
type Key string

// Args fill the {places} of a sentence. Strings in them come from people and are cleaned.
type Args map[string]any

var catalogue = map[Lang]map[Key]string{English: english, German: german}

// Say answers a sentence.
func Say(lang Lang, key Key, args Args) string {
	text, ok := catalogue[lang][key]
	if !ok {
		text = english[key]
	}
	pairs := make([]string, 0, 2*len(args))
	for name, value := range args {
		pairs = append(pairs, "{"+name+"}", show(value))
	}
	return strings.NewReplacer(pairs...).Replace(text) // one pass: a name that holds {places} stays as it is
}

// Lines are pieces that have been made by Say or Item and are not cleaned again.
type Lines []string

func show(value any) string {
	switch v := value.(type) {
	case Lines:
		return strings.Join(v, "\n")
	case string:
		return Short(v)
	default:
		return Short(fmt.Sprint(v))
	}
}

// maxShown of somebody's text inside a sentence, in characters.
const maxShown = 80

// Short cleans a text for a sentence and cuts it. Older clients ring everybody's bell for "@room".
func Short(s string) string {
	s = strings.ReplaceAll(Clean(s), "@room", "@ room")
	if utf8.RuneCountInString(s) <= maxShown {
		return s
	}
	runes := []rune(s)
	return strings.TrimSpace(string(runes[:maxShown-1])) + "…"
}

// Clean makes somebody's text one harmless line: no control characters, nothing invisible or that turns the direction of what follows, single spaces.
// Answers are plain text, so markup in it is only letters.
func Clean(s string) string {
	var b strings.Builder
	b.Grow(min(len(s), 4096))
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case r == utf8.RuneError, unicode.In(r, unicode.Cc, unicode.Cs, unicode.Co), unicode.Is(unicode.Cf, r) && !strings.ContainsRune(joiners, r):
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return strings.Trim(b.String(), joiners)
}

// joiners are needed to write Persian and emoji (ZERO WIDTH NON-JOINER, ZERO WIDTH JOINER); they turn nothing.
const joiners = "\u200c\u200d"

// Item is a line of a list.
func Item(n int, text string) string { return fmt.Sprintf("%d. %s", n, Short(text)) }
