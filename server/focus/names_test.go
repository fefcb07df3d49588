package focus

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	t.Run("FO1 hashes are those of MSC4195", func(t *testing.T) {
		if got, want := Alias("!roomid:example.com", "slot1234"), "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if HashedIdentity("@a:b", "c", "d") == HashedIdentity("@a:b", "d", "c") || strings.Contains(HashedIdentity("@a<:b", "c", "d"), "=") {
			t.Error("identities of different devices are equal, or padded")
		}
	})
	t.Run("FO4 what is sealed for one participant opens for no other", func(t *testing.T) {
		s, err := newSeals([]byte(strings.Repeat("s", 32)))
		if err != nil {
			t.Fatal(err)
		}
		other, err := newSeals([]byte(strings.Repeat("t", 32)))
		if err != nil {
			t.Fatal(err)
		}
		ada := Device{"@ada:example.org", "PHONE"}
		sealed := s.forDevice("alias", "identity", ada)
		if got, ok := s.device("alias", "identity", sealed); !ok || got != ada {
			t.Errorf("got %v, %v", got, ok)
		}
		if strings.Contains(sealed, "ada") {
			t.Error("the metadata names the person")
		}
		for name, open := range map[string]func() (Device, bool){
			"another identity": func() (Device, bool) { return s.device("alias", "other", sealed) },
			"another room":     func() (Device, bool) { return s.device("elsewhere", "identity", sealed) },
			"another secret":   func() (Device, bool) { return other.device("alias", "identity", sealed) },
			"changed":          func() (Device, bool) { return s.device("alias", "identity", sealed[:len(sealed)-2]+"AA") },
			"none":             func() (Device, bool) { return s.device("alias", "identity", "") },
		} {
			if d, ok := open(); ok {
				t.Errorf("%s: opened as %v", name, d)
			}
		}
		alias := Alias("!room:example.org", Slot)
		if room, ok := s.room(alias, s.forRoom(alias, "!room:example.org")); !ok || room != "!room:example.org" {
			t.Errorf("room: got %q, %v", room, ok)
		}
		if _, ok := s.room(alias, s.forRoom(alias, "!other:example.org")); ok {
			t.Error("a LiveKit room passes for another Matrix room's")
		}
	})
}

func TestRequestForm(t *testing.T) {
	good := Request{Room: "!room:example.org", Slot: Slot, Device: "PHONE", Member: "uuid", User: "@ada:example.org", Hashed: true}
	if err := good.valid(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Request){
		"no room":                  func(q *Request) { q.Room = "" },
		"a room alias":             func(q *Request) { q.Room = "#room:example.org" },
		"a room with a line break": func(q *Request) { q.Room = "!room\n:example.org" },
		"a long room":              func(q *Request) { q.Room = "!" + strings.Repeat("r", 255) },
		"another slot":             func(q *Request) { q.Slot = "m.call#OTHER" },
		"no device":                func(q *Request) { q.Device = "" },
		"a device that makes the identity read as somebody else's": func(q *Request) { q.Device = "8448:PHONE" },
		"no member":     func(q *Request) { q.Member = "" },
		"no claim":      func(q *Request) { q.User = "" },
		"no user claim": func(q *Request) { q.User = "ada:example.org" },
	} {
		t.Run("FO2 "+name, func(t *testing.T) {
			q := good
			if spoil(&q); codeOf(q.valid()) != "bad_request" {
				t.Errorf("taken: %+v", q)
			}
		})
	}
}
