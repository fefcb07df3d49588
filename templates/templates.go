// Package templates holds the pages that the server renders. They are parsed at start, so a broken one is a failed test.
package templates

import (
	"embed"
	"html/template"
	"io"
)

//go:embed *.html
var files embed.FS

// FrontCSS styles the front page.
//
//go:embed front.css
var FrontCSS []byte

var all = template.Must(template.ParseFS(files, "*.html"))

// Page is what every page with a script needs.
type Page struct {
	Title  string
	Lang   string
	Script string   // URL of the module
	Styles []string // URLs
	Ahead  []string // URLs of modules to preload
	// URLs of what the script imports later by itself: fetched ahead with low priority.
	Later, LaterStyles []string
	Config             any    // rendered as JSON into #lectern-config
	NoScript           string // shown where JavaScript is off
}

// App renders a page that is all script: a widget or the classroom.
func App(w io.Writer, p Page) error { return all.ExecuteTemplate(w, "app.html", p) }

// Landing is the server's front page.
type Landing struct {
	Version   string
	Companion string
	Built     bool
}

// Trust says who can read what on this server's boards.
type Trust struct {
	Lang        string // "en" or "de"
	Companion   string
	ArchiveDays int // negative: for ever
}

// T picks the text of the page's language.
func (t Trust) T(en, de string) string {
	if t.Lang == "de" {
		return de
	}
	return en
}

// TrustPage renders it.
func TrustPage(w io.Writer, t Trust) error { return all.ExecuteTemplate(w, "trust.html", t) }

// Setup is the page on which a room's boards are changed. One of Link, Ended and Ready.
type Setup struct {
	German        bool
	Link          string // to be used
	Ended         bool   // there is no such visit
	Ready         bool
	Companion     string // of Ended
	Room, Person  string
	Said, Refusal string
	Boards, Gone  []SetupBoard
	Kinds         []SetupKind
	Max           int // characters of a name
}

// SetupBoard is a board on it.
type SetupBoard struct{ ID, Name string }

// SetupKind is what can be added.
type SetupKind struct{ Name, Title string }

// T picks the text of the page's language.
func (s Setup) T(en, de string) string {
	if s.German {
		return de
	}
	return en
}

// SetupPage renders it.
func SetupPage(w io.Writer, s Setup) error { return all.ExecuteTemplate(w, "setup.html", s) }

// Calls says what to paste where, so that clients find this server's calls.
type Calls struct {
	German   bool
	On       bool // calls are configured
	Snippets []Snippet
}

// Snippet is a part of somebody else's configuration.
type Snippet struct{ Title, German, Why, WhyInDe, Contents string }

// T picks the text of the page's language.
func (c Calls) T(en, de string) string {
	if c.German {
		return de
	}
	return en
}

// CallsPage renders it.
func CallsPage(w io.Writer, c Calls) error { return all.ExecuteTemplate(w, "calls.html", c) }

// Front renders the front page.
func Front(w io.Writer, l Landing) error { return all.ExecuteTemplate(w, "front.html", l) }
