// Package phrase is how one talks with the companion: what a message asks for, and the sentences that answer, in English and German. It is pure: it knows
// no room, and whatever it is given, it answers something that is safe to show.
package phrase

import (
	"strings"
	"unicode/utf8"

	"github.com/educationpub/lectern/widgets"
)

// Verb is what is asked for.
type Verb string

// What the companion does.
const (
	Help    Verb = "help"
	Add     Verb = "add"
	List    Verb = "list"
	Rename  Verb = "rename"
	Remove  Verb = "remove"
	Restore Verb = "restore"
	Listen  Verb = "listen"
	Setup   Verb = "setup"
)

const (
	// Prefix opens a command in a room. In a direct message it may be left out.
	Prefix = "!lectern"
	// MaxMessage is the longest message in characters that is looked at.
	MaxMessage = 1000
	// MaxTitle is the longest name of a widget, in characters.
	MaxTitle = 80
)

// verbs in both languages; the language of the verb is that of the answer.
var verbs = map[string]struct {
	verb Verb
	lang Lang
}{
	"help": {Help, English}, "add": {Add, English}, "list": {List, English}, "rename": {Rename, English}, "remove": {Remove, English}, "delete": {Remove, English}, "restore": {Restore, English},
	"listen": {Listen, English}, "mitlesen": {Listen, German}, "setup": {Setup, English}, "einrichten": {Setup, German},
	"hilfe": {Help, German}, "hinzufügen": {Add, German}, "hinzufuegen": {Add, German}, "neu": {Add, German}, "liste": {List, German}, "umbenennen": {Rename, German},
	"entfernen": {Remove, German}, "löschen": {Remove, German}, "zurück": {Restore, German}, "zurueck": {Restore, German}, "zurückholen": {Restore, German},
}

// Command is a message that is meant for the companion.
type Command struct {
	Verb Verb // empty where Problem says why
	Lang Lang
	To   string // full id of the companion that is spoken to, "" for whichever
	Kind string // of Add
	Name string // of Add, Remove and Restore ("" where none is said); of Rename the present one
	New  string // of Rename
	Off  bool   // of Listen: no longer
	// Widget is the id of the one that is meant, instead of a name. Pages say it, messages do not.
	Widget string
	Room   string // name, alias or id after "in"; only in direct messages
	// Problem is the sentence for a command that cannot be understood; Args go with it.
	Problem Key
	Args    Args
}

// Parse reads a message. ok is false where it is not meant for the companion: in a room everything that does not begin with the prefix. direct: in a direct
// message the prefix may be left out, and a command may name its room.
func Parse(body string, direct bool) (c Command, ok bool) {
	body = withoutReply(body)
	rest, prefixed := cutPrefix(body)
	if !prefixed && !direct {
		return Command{}, false
	}
	tooLong := utf8.RuneCountInString(body) > MaxMessage
	if tooLong {
		rest = string([]rune(rest[:min(len(rest), 4*MaxMessage)])) // enough to see in which language to say so
	}
	words := split(rest)
	if len(words) > 0 && isID(words[0].text) {
		c.To, words = strings.TrimSuffix(words[0].text, ":"), words[1:] // "!lectern @lectern:b.example list"
	}
	if len(words) == 0 && !tooLong {
		c.Verb, c.Lang = Help, English
		return c, true
	}
	first := word{}
	if len(words) > 0 {
		first = words[0]
	}
	verb, known := verbs[strings.ToLower(strings.TrimRight(first.text, ".!?"))]
	if tooLong {
		c.Lang, c.Problem = English, TooLong
		if known {
			c.Lang = verb.lang
		}
		return c, true
	}
	if !known || first.quoted {
		c.Lang, c.Problem, c.Args = English, Unknown, Args{"word": first.text}
		return c, true
	}
	c.Verb, c.Lang = verb.verb, verb.lang
	words = words[1:]
	if direct {
		words, c.Room = cutRoom(words)
	}
	c.arguments(words)
	if c.Problem != "" {
		c.Verb = ""
	}
	return c, true
}

func (c *Command) arguments(words []word) {
	switch c.Verb {
	case Add:
		c.add(words)
	case Remove, Restore:
		c.Name = join(words)
	case Listen:
		switch strings.ToLower(join(words)) {
		case "", "on", "an", "ein":
		case "off", "aus":
			c.Off = true
		default:
			c.Problem = ListenHow
		}
	case Rename:
		if c.Name, c.New = fromTo(words); c.New == "" {
			c.Problem = RenameHow
		} else if utf8.RuneCountInString(c.New) > MaxTitle {
			c.Problem, c.Args = TitleTooLong, Args{"max": MaxTitle}
		}
	}
}

func (c *Command) add(words []word) {
	if len(words) == 0 {
		c.Problem = AddHow
		return
	}
	kind, known := widgets.Called(words[0].text)
	switch {
	case known:
		words = words[1:]
	case words[0].quoted && len(widgets.Boards()) == 1: // add "Lesson 3": what has a name of its own is a board, and there is one kind of them
		kind = widgets.Boards()[0]
	default:
		c.Problem, c.Args = UnknownKind, Args{"word": words[0].text}
		return
	}
	c.Kind, c.Name = kind.Name, join(words)
	if c.Name == "" {
		c.Name = kind.Title
		if c.Lang == German {
			c.Name = kind.German
		}
	}
	if utf8.RuneCountInString(c.Name) > MaxTitle {
		c.Problem, c.Args = TitleTooLong, Args{"max": MaxTitle}
	}
}

// --- words ---

// word of a command; what stood in quotation marks is one.
type word struct {
	text   string
	quoted bool
}

// closing mark of each opening one, as keyboards and phones write them.
var marks = map[rune]string{'"': "\"", '“': "”“", '”': "”", '„': "“”\"", '«': "»", '»': "«", '‘': "’‘", '‚': "‘’", '\'': "'"}

// split takes text apart into words and quoted words. A mark inside a word is a letter ("Lena's"), one without its counterpart as well.
func split(text string) (words []word) {
	for {
		text = strings.TrimLeft(text, " \t\r\n\u00a0")
		if text == "" {
			return words
		}
		open, size := utf8.DecodeRuneInString(text)
		if ends := marks[open]; ends != "" {
			if end := strings.IndexAny(text[size:], ends); end >= 0 {
				if s := Clean(text[size : size+end]); s != "" {
					words = append(words, word{s, true})
				}
				_, closing := utf8.DecodeRuneInString(text[size+end:])
				text = text[size+end+closing:]
				continue
			}
		}
		end := strings.IndexAny(text, " \t\r\n\u00a0")
		if end < 0 {
			end = len(text)
		}
		if s := Clean(text[:end]); s != "" {
			words = append(words, word{s, false})
		}
		text = text[end:]
	}
}

func join(words []word) string {
	l := make([]string, len(words))
	for i, w := range words {
		l[i] = w.text
	}
	return strings.Join(l, " ")
}

// cutRoom takes "in <room>" from the end.
func cutRoom(words []word) ([]word, string) {
	for i := len(words) - 2; i >= 0; i-- {
		if !words[i].quoted && strings.EqualFold(words[i].text, "in") {
			return words[:i], join(words[i+1:])
		}
	}
	return words, ""
}

// fromTo reads both names of a rename: two words, or with "to" between them.
func fromTo(words []word) (from, to string) {
	for i := 1; i < len(words)-1; i++ {
		switch w := words[i]; strings.ToLower(w.text) {
		case "to", "zu", "nach", "->", "→":
			if !w.quoted {
				return join(words[:i]), join(words[i+1:])
			}
		}
	}
	switch {
	case len(words) == 2:
		return words[0].text, words[1].text
	case len(words) > 2 && words[0].quoted: // rename "Lesson 3" Lesson 4
		return words[0].text, join(words[1:])
	case len(words) > 2 && words[len(words)-1].quoted:
		return join(words[:len(words)-1]), words[len(words)-1].text
	}
	return "", ""
}

// cutPrefix takes "!lectern" off, whatever its case.
func cutPrefix(body string) (string, bool) {
	body = strings.TrimLeft(body, " \t\r\n\u00a0")
	if len(body) < len(Prefix) || !strings.EqualFold(body[:len(Prefix)], Prefix) {
		return body, false
	}
	rest := body[len(Prefix):]
	if rest == "" || strings.ContainsRune(" \t\r\n:,\u00a0", firstRune(rest)) {
		return strings.TrimLeft(rest, ":,"), true
	}
	return body, false // "!lecternish"
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

// isID: a full Matrix id of a person.
func isID(s string) bool { return len(s) > 3 && s[0] == '@' && strings.Contains(s[1:], ":") }

// withoutReply drops the quotation that clients put before an answer ("> <@a:b> …", then an empty line).
func withoutReply(body string) string {
	if !strings.HasPrefix(body, "> <@") {
		return body
	}
	for strings.HasPrefix(body, "> ") {
		_, body, _ = strings.Cut(body, "\n")
	}
	return body
}
