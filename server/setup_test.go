package server

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/commands/phrase"
	"github.com/educationpub/lectern/server/identity"
)

// fakeSetup is a room with one board.
type fakeSetup struct {
	links map[string]commands.Visitor
	did   []phrase.Command
}

func (f *fakeSetup) Link(commands.Visitor) string { return "" }

func (f *fakeSetup) OpenLink(token string) (commands.Visitor, bool) {
	v, ok := f.links[token]
	delete(f.links, token)
	return v, ok
}

func (f *fakeSetup) Boards(context.Context, commands.Visitor) (commands.RoomBoards, error) {
	return commands.RoomBoards{Room: "<b>Class</b>", Boards: []identity.Widget{{ID: "w1", Name: "<i>One</i>", Board: board.ID("x")}}}, nil
}

func (f *fakeSetup) Change(_ context.Context, _ commands.Visitor, c phrase.Command) string {
	f.did = append(f.did, c)
	return "Done."
}

func TestSetupPage(t *testing.T) {
	f := &fakeSetup{links: map[string]commands.Visitor{"good": {Person: "@a:x", Room: "!r:x"}}}
	s := newTestServer(t, func(c *Config) { c.Setup = f })
	h := s.Routes()
	var cookie *http.Cookie
	do := func(method, path, origin string, form url.Values) (int, string) {
		t.Helper()
		r := httptest.NewRequest(method, "https://lectern.example"+path, strings.NewReader(form.Encode()))
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if cookie != nil {
			r.AddCookie(cookie)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		for _, c := range w.Result().Cookies() {
			cookie = c
		}
		b, _ := io.ReadAll(w.Result().Body)
		return w.Code, string(b)
	}
	const own = "https://lectern.example"
	for range 2 { // programs that look at links do not use them up
		if code, body := do("GET", "/setup?link=good", "", nil); code != 200 || !strings.Contains(body, "Go on") {
			t.Fatalf("SU1 the link: %d %s", code, body)
		}
	}
	if code, _ := do("GET", "/setup", "", nil); code != 401 {
		t.Errorf("SU1 without a visit: %d", code)
	}
	if code, _ := do("POST", "/setup", "https://evil.example", url.Values{"link": {"good"}}); code != 403 {
		t.Errorf("SU3 another site's form: %d", code)
	}
	if code, _ := do("POST", "/setup", own, url.Values{"link": {"good"}}); code != 303 || cookie == nil || !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/setup" {
		t.Fatalf("SU1 using the link: %d %+v", code, cookie)
	}
	mine := cookie
	if _, body := do("GET", "/setup", "", nil); !strings.Contains(body, `value="whiteboard"`) || strings.Contains(body, `value="call"`) {
		t.Errorf("CA1 calls are not set up and offered: %s", body)
	}
	code, body := do("GET", "/setup", "", nil)
	if code != 200 || strings.Contains(body, "<i>One") || strings.Contains(body, "<b>Class") || !strings.Contains(body, "&lt;i&gt;One") {
		t.Errorf("SU4 hostile names: %d %s", code, body)
	}
	for _, c := range []struct {
		form url.Values
		code int
		want phrase.Command
	}{
		{url.Values{"do": {"add"}, "kind": {"whiteboard"}, "name": {" Lesson\u202e 3 "}}, 303, phrase.Command{Verb: phrase.Add, Lang: phrase.English, Kind: "whiteboard", Name: "Lesson 3"}},
		{url.Values{"do": {"rename"}, "widget": {"w1"}, "name": {"Two"}}, 303, phrase.Command{Verb: phrase.Rename, Lang: phrase.English, Widget: "w1", New: "Two"}},
		{url.Values{"do": {"remove"}, "widget": {"w1"}}, 303, phrase.Command{Verb: phrase.Remove, Lang: phrase.English, Widget: "w1"}},
		{url.Values{"do": {"restore"}, "widget": {"w1"}}, 303, phrase.Command{Verb: phrase.Restore, Lang: phrase.English, Widget: "w1"}},
		{url.Values{"do": {"remove"}}, 400, phrase.Command{}},
		{url.Values{"do": {"add"}, "kind": {"nonsense"}}, 400, phrase.Command{}},
		{url.Values{"do": {"listen"}}, 400, phrase.Command{}},
		{url.Values{"do": {"rename"}, "widget": {"w1"}, "name": {strings.Repeat("x", phrase.MaxTitle+1)}}, 400, phrase.Command{}},
		{url.Values{"do": {"add"}, "kind": {"whiteboard"}, "name": {strings.Repeat("x", 5000)}}, 400, phrase.Command{}},
	} {
		f.did = nil
		if code, body := do("POST", "/setup", own, c.form); code != c.code {
			t.Errorf("SU2 %v: %d %s", c.form, code, body)
		} else if code == 303 && (len(f.did) != 1 || f.did[0].Verb != c.want.Verb || f.did[0].Kind != c.want.Kind || f.did[0].Name != c.want.Name || f.did[0].New != c.want.New || f.did[0].Widget != c.want.Widget) {
			t.Errorf("SU2 %v: got %+v, want %+v", c.form, f.did, c.want)
		} else if code != 303 && f.did != nil {
			t.Errorf("SU2 %v was done: %+v", c.form, f.did)
		}
	}
	if _, body := do("GET", "/setup", "", nil); !strings.Contains(body, "Done.") {
		t.Error("SU2 the answer is not shown")
	}
	if _, body := do("GET", "/setup", "", nil); strings.Contains(body, "Done.") {
		t.Error("SU2 the answer is shown again")
	}
	cookie = nil
	if code, _ := do("POST", "/setup", own, url.Values{"link": {"good"}}); code != 303 || cookie != nil && cookie.Value != "" {
		t.Errorf("SU1 a second time: %d %+v", code, cookie)
	}
	cookie = &http.Cookie{Name: mine.Name, Value: mine.Value + "x"}
	if code, _ := do("GET", "/setup", "", nil); code != 401 {
		t.Errorf("SU1 a guessed cookie: %d", code)
	}
}
