package commands

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/identity"
)

func TestLimit(t *testing.T) {
	l := limiter{people: map[string]*minute{}}
	now := time.Unix(1e9, 0)
	t.Run("CM10 ten in a minute, one sentence, then silence, then ten more", func(t *testing.T) {
		for round := range 2 {
			for i := range 20 {
				want := map[bool]int{i < perMinute: allowed, i == perMinute: refused, i > perMinute: silent}[true]
				if got := l.count("@a:x", now.Add(time.Duration(i)*time.Second)); got != want {
					t.Errorf("round %d, command %d: got %d, want %d", round, i+1, got, want)
				}
			}
			now = now.Add(time.Minute)
		}
	})
	t.Run("CM10 however many people write, what is remembered is bounded", func(t *testing.T) {
		for i := range 3 * maxPeople {
			l.count(fmt.Sprint("@", i), now)
		}
		if len(l.people) > maxPeople {
			t.Errorf("%d people", len(l.people))
		}
		if got := l.count("@late:x", now); got != silent {
			t.Errorf("one more: %d", got)
		}
		if got := l.count("@late:x", now.Add(time.Minute)); got != allowed || len(l.people) > 10 {
			t.Errorf("a minute later: %d, %d people", got, len(l.people))
		}
	})
}

func TestNeededLevel(t *testing.T) {
	levels := identity.Levels{StateDefault: 50, Events: map[string]int{"im.vector.modular.widgets": 30, "com.educationpub.whiteboard.content": 40, "m.room.encrypted": 60}}
	for _, c := range []struct {
		room Room
		l    identity.Levels
		want int
	}{
		{Room{}, levels, 40},
		{Room{Encrypted: true}, levels, 60},
		{Room{}, identity.Levels{StateDefault: 50}, 50},
		{Room{Encrypted: true}, identity.Levels{StateDefault: 10}, 10},
	} {
		if got := Needed(c.room, c.l); got != c.want {
			t.Errorf("CM6 %+v: got %d, want %d", c.room, got, c.want)
		}
	}
}

func TestRoomNames(t *testing.T) {
	rooms := []Room{
		{ID: "!a:x", Name: "Class 7b"}, {ID: "!b:x", Name: "CLASS  7b\u202e"}, {ID: "!c:x", Alias: "#c:x"}, {ID: "!d", Name: "\u202e\u0007"}, {ID: "!e:x", Name: "Only"},
	}
	for name, want := range map[string]string{"class 7b": "!a:x !b:x", "!a:x": "!a:x", "#C:X": "!c:x", "only": "!e:x", "": "", "!nowhere:x": "", "!d": "!d"} {
		var got []string
		for _, r := range named(rooms, name) {
			got = append(got, r.ID)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("CM3 %q: got %v, want %s", name, got, want)
		}
	}
	want := "– \"Class 7b\": !a:x\n– \"CLASS 7b\": !b:x\n– \"#c:x\"\n– !d\n– \"Only\""
	if got := strings.Join(roomList(rooms), "\n"); got != want {
		t.Errorf("CM3 list: got\n%s\nwant\n%s", got, want)
	}
	many := make([]Room, 100)
	for i := range many {
		many[i] = Room{ID: fmt.Sprint("!", i), Name: fmt.Sprint("Room ", i)}
	}
	if got := roomList(many); len(got) != maxListed+1 || got[maxListed] != "…" {
		t.Errorf("CM3 a hundred rooms: %d lines", len(got))
	}
}
