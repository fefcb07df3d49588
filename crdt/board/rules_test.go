package board_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
)

// rule decides something; "draw chosen", "page <doc> locked", "person <id> watch".
func (r *rig) rule(by board.Person, words ...string) error {
	var c board.RulesChange
	switch words[0] {
	case "draw":
		c.Draw = &words[1]
	case "page":
		c.Page = &struct {
			Doc    board.DocID `json:"doc"`
			Locked bool        `json:"locked"`
		}{board.DocID(words[1]), words[2] == "locked"}
	case "person":
		c.Person = &struct {
			ID  board.Person `json:"user_id"`
			May string       `json:"may"`
		}{board.Person(words[1]), words[2]}
	}
	return r.hub.ChangeRules(context.Background(), testBoard, by, c)
}

func (r *rig) ruled(by board.Person, words ...string) {
	r.t.Helper()
	if err := r.rule(by, words...); err != nil {
		r.t.Fatalf("%v: %v", words, err)
	}
}

func TestRules(t *testing.T) {
	const mod = eve // made a moderator
	inBubble(t, "RU1 RU2 who draws: everybody, those who were chosen, moderators; nothing refused is in the log or was sent to anybody", func(t *testing.T, r *rig) {
		r.set(mod, board.RoleModerator)
		m, a, b := r.join(mod), r.join(ada), r.join(bob)
		steps := []struct {
			rule []string
			may  string // of moderator, ada, bob
		}{
			{[]string{"draw", board.DrawModerators}, "m"},
			{[]string{"draw", board.DrawChosen}, "m"},
			{[]string{"person", string(ada), "draw"}, "ma"},
			{[]string{"person", string(ada), "watch"}, "m"},
			{[]string{"draw", board.DrawAll}, "mb"},
			{[]string{"person", string(ada), ""}, "mab"},
			{[]string{"person", string(mod), "watch"}, "mab"}, // nobody bars a moderator
			{[]string{"draw", board.DrawModerators}, "m"},
			{[]string{"person", string(bob), "draw"}, "m"},
			{[]string{"draw", board.DrawChosen}, "mb"},
			{[]string{"draw", board.DrawModerators}, "m"},
			{[]string{"draw", board.DrawChosen}, "m"},
		}
		for i, step := range steps {
			r.ruled(mod, step.rule...)
			for name, c := range map[string]*client{"m": m, "a": a, "b": b} {
				c.settle()
				if c.s.Role() == board.RoleParticipant {
					c = r.join(map[string]board.Person{"a": ada, "b": bob}[name])
				}
				before := len(r.log.Entries(testBoard))
				c.move()
				chunk := c.a.Make(fmt.Sprintf("%s%d", name, i))
				c.submit(chunk)
				c.settle()
				m.settle()
				resets := events[board.ResetEvent](c)
				may := strings.Contains(step.may, name)
				if may != (len(resets) == 0) || may != m.saw(chunk) || may != (len(r.log.Entries(testBoard)) == before+1) {
					t.Fatalf("%v, %s: resets %v, seen %v", step.rule, name, resets, m.saw(chunk))
				}
				if !may && (resets[0].Code != "locked" || resets[0].Actor == (board.ActorID{})) {
					t.Fatalf("%v, %s: got %+v", step.rule, name, resets[0])
				}
				if name != "m" {
					c.s.Leave()
				}
			}
		}
	})
	inBubble(t, "RU1 a locked page, and late changes for it", func(t *testing.T, r *rig) {
		r.set(mod, board.RoleModerator)
		a := r.join(ada)
		a.draw(2)
		a.settle()
		away := boardtest.NewAuthor(a.a.Actor)
		for _, e := range r.log.Entries(testBoard) {
			away.See(e.Bytes)
		}
		late := away.Make("late")
		r.squash(a.doc)
		second, err := r.hub.AddPage(context.Background(), testBoard, ada)
		if err != nil {
			t.Fatal(err)
		}
		r.ruled(mod, "page", string(a.doc), "locked")
		a.submit(late)
		a.settle()
		wantCodes(t, a, "locked")
		c := r.join(ada)
		c.doc, c.epoch, c.a = second, 0, boardtest.NewAuthor(c.w.Actor)
		c.draw(1)
		c.settle()
		wantCodes(t, c)
		r.ruled(mod, "page", string(a.doc), "open")
		if err := r.rule(mod, "page", "nothing", "locked"); !errors.Is(err, board.ErrUnknownDoc) {
			t.Fatal(err)
		}
	})
	inBubble(t, "RU2 EP5 a late change that is in the log already is known, whatever forbids it now: its archive is read first", func(t *testing.T, r *rig) {
		r.set(mod, board.RoleModerator)
		a := r.join(ada)
		chunk := a.draw(1)[0]
		a.settle()
		r.squash(a.doc)
		a.s.Leave()
		time.Sleep(6 * time.Minute) // the board closes, and knows nothing of epoch 0 when it opens again
		r.join(mod)
		for _, forbid := range []func(){
			func() { r.ruled(mod, "draw", "moderators") },
			func() { r.set(ada, board.RoleViewer) },
		} {
			forbid()
			b := r.join(ada, func(j *board.Join) { j.Actor = a.w.Actor })
			b.epoch = 0
			b.submit(chunk)
			b.settle()
			wantCodes(t, b)
			want(t, "known", len(events[board.KnownEvent](b)), 1)
			b.s.Leave()
			time.Sleep(20 * time.Minute) // its archive is forgotten
		}
	})
	inBubble(t, "RU3 rules stand in the log's order, newcomers and a board that opens again have them, also one from the room", func(t *testing.T, r *rig) {
		r.set(mod, board.RoleModerator)
		a := r.join(ada)
		a.draw(1)
		r.ruled(mod, "draw", "moderators")
		r.ruled(mod, "draw", "moderators") // says nothing new
		r.ruled(mod, "person", string(bob), "watch")
		a.settle()
		entries := r.log.Entries(testBoard)
		want(t, "kinds", kinds(entries), "166")
		want(t, "to others", string(a.entries[3]), `{"draw":"moderators","barred":["@bob:example.org"]}`)
		want(t, "whose", entries[2].Person, mod)
		want(t, "welcome", r.join(bob).w.Rules.Draw, board.DrawModerators)
		r.stop()
		r.start()
		b := r.join(bob)
		want(t, "opened again", string(b.w.Rules.Bytes()), `{"draw":"moderators","barred":["@bob:example.org"]}`)
		b.draw(1)
		b.settle()
		wantCodes(t, b, "locked")
	})
	inBubble(t, "RU3 RU5 rules from the room", func(t *testing.T, r *rig) {
		r.restore = func() (*board.Restored, error) {
			return &board.Restored{Docs: []board.DocInfo{{ID: "d"}}, Rules: board.Rules{Draw: board.DrawChosen, Chosen: []board.Person{ada}}, SavedAt: time.Now()}, nil
		}
		b, a := r.join(bob), r.join(ada)
		want(t, "welcome", b.w.Rules.Draw, board.DrawChosen)
		b.draw(1)
		b.settle()
		wantCodes(t, b, "locked")
		a.draw(1)
		a.settle()
		wantCodes(t, a)
		want(t, "kinds", kinds(r.log.Entries(testBoard)), "61")
	})
	inBubble(t, "RU3 damaged rules keep the board closed", func(t *testing.T, r *rig) {
		r.restore = func() (*board.Restored, error) {
			return &board.Restored{Docs: []board.DocInfo{{ID: "d"}}, Rules: board.Rules{Draw: "nobody"}}, nil
		}
		if _, err := r.tryJoin(ada); !errors.Is(err, board.ErrDamaged) {
			t.Fatalf("got %v", err)
		}
	})
	inBubble(t, "RU2 strokes in progress of who draws nowhere are not passed on", func(t *testing.T, r *rig) {
		r.set(mod, board.RoleModerator)
		m, a := r.join(mod), r.join(ada)
		r.ruled(mod, "draw", "moderators")
		a.s.Live(0, []byte("cursor"))
		a.s.Live(1, []byte("stroke"))
		m.settle()
		want(t, "updates", len(m.live), 1)
		want(t, "dropped", r.drops("live_refused"), 1)
		r.ruled(mod, "draw", "")
		a.s.Live(1, []byte("stroke"))
		m.settle()
		want(t, "updates", len(m.live), 2)
		r.ruled(mod, "draw", "moderators")
		m.settle()
		want(t, "updates", len(m.live), 3)
		want(t, "taken back", len(m.live[2].Payload), 0)
	})
	inBubble(t, "RU4 only moderators decide, and only what a rule can be", func(t *testing.T, r *rig) {
		r.set(mod, board.RoleModerator)
		r.join(ada)
		if err := r.rule(ada, "draw", "moderators"); !errors.Is(err, board.ErrForbidden) {
			t.Fatal(err)
		}
		for _, bad := range [][]string{{"nothing"}, {"draw", "nobody"}, {"person", "bob", "draw"}, {"person", "@bob:example.org", "erase"}, {"person", "@" + strings.Repeat("x", 255), "draw"}} {
			if err := r.rule(mod, bad...); !errors.Is(err, board.ErrBadRules) {
				t.Errorf("%.60v: got %v", bad, err)
			}
		}
		for i := range 500 {
			r.ruled(mod, "person", fmt.Sprintf("@p%d:example.org", i), "draw")
		}
		if err := r.rule(mod, "person", "@more:example.org", "draw"); !errors.Is(err, board.ErrBadRules) {
			t.Fatal(err)
		}
		want(t, "entries", len(r.log.Entries(testBoard)), 500)
		var err error
		n := 0
		for ; err == nil && n < 500; n++ { // of long names fewer fit
			err = r.rule(mod, "person", fmt.Sprintf("@%d%s:example.org", n, strings.Repeat("x", 230)), "watch")
		}
		if size := len(r.log.Entries(testBoard)[len(r.log.Entries(testBoard))-1].Bytes); !errors.Is(err, board.ErrBadRules) || n < 50 || size > 32<<10 {
			t.Fatalf("%d long names, %d bytes: %v", n, size, err)
		}
	})
}

func TestHand(t *testing.T) {
	inBubble(t, "RU8 a raised hand is seen by everybody, also by who comes later, and goes down with the pen", func(t *testing.T, r *rig) {
		r.set(eve, board.RoleModerator)
		m, a := r.join(eve), r.join(ada)
		hand := func(c *client) bool {
			c.settle()
			up := false
			for _, e := range events[board.PeopleEvent](c) {
				for _, p := range e.Joined {
					if p.Person == ada {
						up = p.Hand
					}
				}
			}
			return up
		}
		for _, up := range []bool{true, false, true} {
			if err := r.hub.Hand(context.Background(), testBoard, ada, up); err != nil {
				t.Fatal(err)
			}
			want(t, "seen by the moderator", hand(m), up)
			want(t, "by oneself", hand(a), up)
		}
		want(t, "by a newcomer", hand(r.join(bob)), true)
		r.ruled(eve, "draw", "chosen")
		want(t, "with a rule for all", hand(m), true)
		r.ruled(eve, "person", string(ada), "draw")
		want(t, "with the pen", hand(m), false)
	})
}

func TestGather(t *testing.T) {
	inBubble(t, "RU7 everybody else who is here is brought there, the newest place counts, and only moderators do that", func(t *testing.T, r *rig) {
		r.set(eve, board.RoleModerator)
		m, other, a := r.join(eve), r.join(eve), r.join(ada)
		at := func(x int64) board.Place { return board.Place{Doc: a.doc, X: x, Y: -5, Width: 800, Height: 600} }
		gather := func(by board.Person, p board.Place) error {
			return r.hub.Gather(context.Background(), testBoard, by, p)
		}
		for x := range int64(2) {
			if err := gather(eve, at(x)); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []*client{m, other, a} {
			c.settle()
		}
		want(t, "moderator", len(events[board.GatherEvent](m))+len(events[board.GatherEvent](other)), 0)
		got := events[board.GatherEvent](a)
		want(t, "events", len(got), 1)
		want(t, "where", got[0], board.GatherEvent{Place: at(1), By: eve})
		for err, c := range map[*board.Error]struct {
			by board.Person
			p  board.Place
		}{
			board.ErrForbidden: {ada, at(0)}, board.ErrUnknownDoc: {eve, board.Place{Doc: "nothing", Width: 1, Height: 1}}, board.ErrBadPlace: {eve, board.Place{Doc: a.doc}},
		} {
			if got := gather(c.by, c.p); !errors.Is(got, err) {
				t.Errorf("got %v, want %v", got, err)
			}
		}
		for _, p := range []board.Place{{Doc: a.doc, Width: 1 << 31, Height: 1}, {Doc: a.doc, X: -1 << 31, Width: 1, Height: 1}, {Doc: a.doc, Y: 1 << 62, Width: 1, Height: 1}} {
			if got := gather(eve, p); !errors.Is(got, board.ErrBadPlace) {
				t.Errorf("%+v: got %v", p, got)
			}
		}
	})
}

func TestParseRules(t *testing.T) {
	for _, bad := range []string{"", "7", "[]", `{"draw":"x"}`, `{"chosen":["b","a"]}`, `{"chosen":["@b:x","@a:x"]}`, `{"pages":["a","a"]}`, `{"barred":["@a:x","@a:x"]}`, `{"chosen":[` + strings.Repeat(`"@a:x",`, 40_000) + `"@a:x"]}`} {
		if _, err := board.ParseRules([]byte(bad)); err == nil {
			t.Errorf("%.60s is taken", bad)
		}
	}
	r := board.Rules{Draw: board.DrawChosen, Chosen: []board.Person{ada, bob}, Pages: []board.DocID{"a", "b"}}
	if back, err := board.ParseRules(r.Bytes()); err != nil || string(back.Bytes()) != string(r.Bytes()) {
		t.Fatalf("got %+v, %v", back, err)
	}
}
