package matrix

import (
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/widgets"
)

func TestGreeting(t *testing.T) {
	outer := t // what is started again outlives its subtest
	cfg := newAccount(t)
	tc := startTalking(t, cfg)
	teacher := newSpeaker(t, "teacher")
	greetings := func(room string) []said { return teacher.notices(room, tc.UserID()) }
	greeted := func(room string, n int) {
		t.Helper()
		await(t, "greeting", soon, func() bool { return len(greetings(room)) >= n })
	}
	plain := teacher.makeRoom(tc, map[string]any{"name": "Class 7b"})
	class := teacher.makeClass(tc, "Class 8a", true, nil)
	direct := teacher.makeDirect(tc, true)
	for _, room := range []string{plain, class, direct} {
		greeted(room, 1)
	}
	t.Run("CM2 the greeting says what it is, what it needs, why, from whom, and how to talk to it", func(t *testing.T) {
		for room, parts := range map[string][]string{
			plain:  {"whiteboard", "power level 50", "/op " + tc.UserID() + " 50", "!lectern add whiteboard", "Berechtigungsstufe 50", "!lectern hinzufügen Tafel", "room's state", "teacher"},
			class:  {"I have the power level", "I do not read along", "more than one of you", "direct message", "Direktnachricht"},
			direct: {"Invite me to your room", "Lade mich in deinen Raum ein"},
		} {
			g := greetings(room)[0]
			for _, p := range parts {
				if !strings.Contains(g.body, p) {
					t.Errorf("greeting %q lacks %q", g.body, p)
				}
			}
			if g.msgtype != "m.notice" || !g.readable {
				t.Errorf("greeting: %+v", g)
			}
		}
	})
	t.Run("CM2 once, also after a restart", func(t *testing.T) {
		tc.stop(t)
		tc = startTalking(outer, cfg)
		teacher.wants(direct, tc, "help", "What I understand") // the greeter has looked by then
		if n := len(tc.Due()); n != 0 {
			t.Errorf("%d greetings are due", n)
		}
		if n := len(greetings(plain)); n != 1 {
			t.Errorf("%d greetings", n)
		}
	})
	t.Run("CM2 and again when it was sent away and invited anew", func(t *testing.T) {
		if err := teacher.Kick(t.Context(), plain, tc.UserID(), ""); err != nil {
			t.Fatal(err)
		}
		await(t, "kick seen", soon, func() bool { return !tc.joined(plain, tc.UserID()) })
		if err := teacher.Invite(t.Context(), plain, tc.UserID()); err != nil {
			t.Fatal(err)
		}
		await(t, "joins again", soon, func() bool { return tc.joined(plain, tc.UserID()) })
		greeted(plain, 2)
	})
}

func TestCommandsInPlainRoom(t *testing.T) {
	tc := startTalking(t, newAccount(t))
	ctx := t.Context()
	teacher, student := newSpeaker(t, "teacher"), newSpeaker(t, "student")
	room := teacher.makeClass(tc, "Class 7b", false, nil, student.UserID)
	if err := student.Join(ctx, room); err != nil {
		t.Fatal(err)
	}
	t.Run("CM7 a widget as the classroom makes them, shown on top", func(t *testing.T) {
		start := time.Now()
		teacher.wants(room, tc, `!lectern add whiteboard "Lesson 3"`, `"Lesson 3" is in Class 7b now, above the messages`)
		t.Logf("from the command to its answer: %s", time.Since(start))
		all := teacher.widgetsOf(room)
		var layout struct {
			Widgets map[string]struct {
				Container string `json:"container"`
			} `json:"widgets"`
		}
		if err := teacher.State(ctx, room, widgets.LayoutType, "", &layout); err != nil {
			t.Fatal(err)
		}
		for id, w := range all {
			url, _ := w["url"].(string)
			if w["id"] != id || w["creatorUserId"] != tc.UserID() || w["type"] != "m.custom" || w["name"] != "Lesson 3" || !strings.HasPrefix(url, testBase+"/widgets/whiteboard?room_id=$matrix_room_id&") {
				t.Errorf("widget: %v", w)
			}
			if layout.Widgets[id].Container != "top" {
				t.Errorf("layout: %+v", layout)
			}
		}
		if len(all) != 1 {
			t.Errorf("%d widgets", len(all))
		}
		tc.seen(t, room, 1)
	})
	t.Run("CM9 rename keeps what stands in the event; list; remove; restore brings the same board back", func(t *testing.T) {
		var before string
		for id, w := range teacher.widgetsOf(room) {
			before = id
			w["com.example.note"] = "by hand"
			if _, err := teacher.SendState(ctx, room, widgets.EventType, id, w); err != nil {
				t.Fatal(err)
			}
		}
		teacher.wants(room, tc, `!lectern rename "Lesson 3" "Lesson 4"`, `"Lesson 3" in Class 7b is called "Lesson 4" now`)
		w := teacher.widgetsOf(room)[before]
		if w["name"] != "Lesson 4" || w["com.example.note"] != "by hand" {
			t.Errorf("renamed: %v", w)
		}
		board := w["data"].(map[string]any)["board"]
		await(t, "new name seen", soon, func() bool { r, _ := tc.Room(room); return r.Widgets[0].Name == "Lesson 4" })
		teacher.wants(room, tc, "!lectern list", "1. Lesson 4")
		teacher.wants(room, tc, "!lectern remove lesson 4", `"Lesson 4" is no longer in Class 7b`, "kept", "restore")
		if n := len(teacher.widgetsOf(room)); n != 0 {
			t.Errorf("%d widgets after the removal", n)
		}
		tc.seen(t, room, 0)
		teacher.wants(room, tc, "!lectern zurück", "„Lesson 4“ ist wieder in Class 7b")
		if again := teacher.widgetsOf(room)[before]; again == nil || again["data"].(map[string]any)["board"] != board {
			t.Errorf("restored: %v", again)
		}
		tc.seen(t, room, 1)
		teacher.wants(room, tc, "!lectern restore", "Nothing was removed")
		// The same by hand.
		if err := teacher.RemoveWidget(ctx, room, before); err != nil {
			t.Fatal(err)
		}
		tc.seen(t, room, 0)
		teacher.wants(room, tc, "!lectern restore", `"Lesson 4" is back in Class 7b`)
		if again := teacher.widgetsOf(room)[before]; again == nil || again["data"].(map[string]any)["board"] != board {
			t.Errorf("restored: %v", again)
		}
		tc.seen(t, room, 1)
	})
	t.Run("CM4 German is answered in German", func(t *testing.T) {
		teacher.wants(room, tc, "!lectern hinzufügen Tafel „Stunde 5“", "„Stunde 5“ ist jetzt in Class 7b")
		tc.seen(t, room, 2)
	})
	t.Run("CM6 who may not change widgets may look", func(t *testing.T) {
		student.wants(room, tc, "!lectern liste", "1. Lesson 4\n2. Stunde 5")
		student.wants(room, tc, "!lectern remove 1", "you need power level 50; you have 0")
		student.wants(room, tc, "!lectern hinzufügen Tafel", "brauchst du Berechtigungsstufe 50; du hast 0")
		if n := len(teacher.widgetsOf(room)); n != 2 {
			t.Errorf("%d widgets", n)
		}
	})
	t.Run("CM4 notices, corrections and talk are not answered", func(t *testing.T) {
		help := "!lectern help"
		teacher.silent(room, tc,
			teacher.send(room, map[string]any{"msgtype": "m.notice", "body": help}),
			teacher.send(room, map[string]any{"msgtype": "m.emote", "body": help}),
			teacher.send(room, map[string]any{"msgtype": "m.text", "body": "* " + help, "m.new_content": text(help), "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": "$x"}}),
			teacher.send(room, map[string]any{"msgtype": 7, "body": []int{1}}),
			teacher.send(room, text("the lectern is old")),
			teacher.send(room, text("!lecternish add whiteboard")),
		)
	})
	t.Run("CM5 hostile text is answered harmlessly", func(t *testing.T) {
		other := newSpeaker(t, "other")
		if err := teacher.Invite(ctx, room, other.UserID); err != nil {
			t.Fatal(err)
		}
		if err := other.Join(ctx, room); err != nil {
			t.Fatal(err)
		}
		other.wants(room, tc, "!lectern add "+strings.Repeat("x", 10_000), "too long")
		got := other.ask(room, tc, "!lectern <b>\u202e\u0007</b>{word}@room\n\u2067")
		if strings.ContainsAny(got, "\u202e\u0007\u2067\n") || !strings.Contains(got, "<b></b>{word}@ room") {
			t.Errorf("answer: %q", got)
		}
	})
	t.Run("CM9 a widget that was edited by hand", func(t *testing.T) {
		second := newSpeaker(t, "second") // the first has had enough commands for this minute
		if err := teacher.Invite(ctx, room, second.UserID); err != nil {
			t.Fatal(err)
		}
		if err := second.Join(ctx, room); err != nil {
			t.Fatal(err)
		}
		if err := teacher.SetPower(ctx, room, second.UserID, 50); err != nil {
			t.Fatal(err)
		}
		await(t, "power seen", soon, func() bool { s, _ := tc.Standing(room, second.UserID); return s.Power == 50 })
		for id, w := range teacher.widgetsOf(room) {
			if w["name"] == "Stunde 5" {
				w["name"] = 7
				if _, err := teacher.SendState(ctx, room, widgets.EventType, id, w); err != nil {
					t.Fatal(err)
				}
				await(t, "edit seen", soon, func() bool { r, _ := tc.Room(room); return r.Widgets[0].Name == "" })
				second.wants(room, tc, "!lectern list", "1. "+id+"\n2. Lesson 4")
				second.wants(room, tc, `!lectern rename 1 "Named again"`, `is called "Named again" now`)
				w["data"] = "none" // no longer one of ours
				if _, err := teacher.SendState(ctx, room, widgets.EventType, id, w); err != nil {
					t.Fatal(err)
				}
				tc.seen(t, room, 1)
				second.wants(room, tc, "!lectern remove Named again", `There is no "Named again"`, "1. Lesson 4")
			}
		}
	})
	t.Run("CM10 ten commands a minute, then one sentence", func(t *testing.T) {
		flood := newSpeaker(t, "flood")
		if err := teacher.Invite(ctx, room, flood.UserID); err != nil {
			t.Fatal(err)
		}
		if err := flood.Join(ctx, room); err != nil {
			t.Fatal(err)
		}
		for i := range 11 {
			flood.wants(room, tc, "!lectern hilfe", []string{"Was ich verstehe", "mehr als 10 Befehle"}[i/10])
		}
		late := flood.send(room, text("!lectern help"))
		student.silent(room, tc, late)
	})
}

func TestCommandsThatCannotBeObeyed(t *testing.T) {
	tc := startTalking(t, newAccount(t))
	ctx := t.Context()
	teacher := newSpeaker(t, "teacher")
	weak := teacher.makeRoom(tc, map[string]any{"name": "Weak"})
	direct := teacher.makeDirect(tc, false)
	t.Run("CM6 the companion asks for the power level it lacks, and goes on when it has it", func(t *testing.T) {
		teacher.wants(direct, tc, "add whiteboard", "I may not do that in Weak yet", "power level 50", "/op "+tc.UserID()+" 50", "given to me by teacher")
		if err := teacher.SetPower(ctx, weak, tc.UserID(), 50); err != nil {
			t.Fatal(err)
		}
		await(t, "power seen", soon, func() bool { s, _ := tc.Standing(weak, tc.UserID()); return s.Power == 50 })
		teacher.wants(direct, tc, "add whiteboard", `"Whiteboard" is in Weak now`)
	})
	t.Run("CM6 unknown rooms, and rooms one is not in, are equally unknown", func(t *testing.T) {
		other := newSpeaker(t, "other")
		secret := other.makeRoom(tc, map[string]any{"name": "Secret"})
		a, b := teacher.ask(direct, tc, "list in Secret"), teacher.ask(direct, tc, "list in Nowhere")
		if want := strings.ReplaceAll(b, "Nowhere", "Secret"); a != want || !strings.Contains(a, "no room") {
			t.Errorf("got %q and %q", a, b)
		}
		teacher.wants(direct, tc, "list in "+secret, "no room")
		teacher.wants(direct, tc, "fridge", `do not know the word "fridge"`)
	})
	t.Run("CM6 half-written power levels", func(t *testing.T) {
		other := newSpeaker(t, "half")
		room := other.makeRoom(tc, map[string]any{"name": "Half", "room_version": "9"})
		if _, err := other.SendState(ctx, room, "m.room.power_levels", "", map[string]any{"users": map[string]any{other.UserID: "100"}, "users_default": "0"}); err != nil {
			t.Fatal(err)
		}
		other.wants(room, tc, "!lectern add whiteboard", "I may not do that")
		tc.view.mu.Lock()
		tc.view.rooms[room].levels = nil // as after levels that do not parse, which Dendrite lets nobody write
		tc.view.mu.Unlock()
		other.wants(room, tc, "!lectern add whiteboard", "cannot read the power levels")
	})
	t.Run("CM11 demoted, then sent away, while a command is on its way", func(t *testing.T) {
		tc.cancel() // it no longer sees what happens
		if err := <-tc.done; err != nil {
			t.Fatal(err)
		}
		tc.done <- nil
		if err := teacher.SetPower(ctx, weak, tc.UserID(), 0); err != nil {
			t.Fatal(err)
		}
		obey := func(body string) string {
			t.Helper()
			ev := teacher.send(direct, text(body))
			tc.talk.Heard(messageOf(direct, ev, teacher.UserID, body))
			return teacher.answer(direct, tc.UserID(), ev)
		}
		if got := obey(`hinzufügen Tafel "Zu spät"`); !strings.Contains(got, "Der Homeserver lässt mich das in Weak nicht tun") {
			t.Errorf("demoted: %q", got)
		}
		if err := teacher.Kick(ctx, weak, tc.UserID(), ""); err != nil {
			t.Fatal(err)
		}
		if got := obey(`add whiteboard "Too late"`); !strings.Contains(got, "did not let me do that in Weak") {
			t.Errorf("kicked: %q", got)
		}
	})
}

func TestCreatorsOfVersion12(t *testing.T) {
	tc := startTalking(t, newAccount(t))
	teacher := newSpeaker(t, "teacher")
	room := teacher.makeRoom(tc, map[string]any{
		"name": "Twelve", "room_version": "12", "power_level_content_override": map[string]any{"users": map[string]int{tc.UserID(): 50}},
	})
	teacher.wants(room, tc, "!lectern add whiteboard", `"Whiteboard" is in Twelve now`)
}

func TestCommandsOnce(t *testing.T) {
	outer := t
	cfg := newAccount(t)
	tc := startTalking(t, cfg)
	teacher := newSpeaker(t, "teacher")
	room := teacher.makeClass(tc, "Class 7b", false, nil)
	teacher.wants(room, tc, `!lectern add whiteboard "First"`, "is in Class 7b now")
	tc.seen(t, room, 1)
	t.Run("CM10 a restart repeats nothing, and hears what was said meanwhile", func(t *testing.T) {
		tc.stop(t)
		ev := teacher.send(room, text(`!lectern add whiteboard "Meanwhile"`))
		tc = startTalking(outer, cfg)
		if got := teacher.answer(room, tc.UserID(), ev); !strings.Contains(got, `"Meanwhile" is in`) {
			t.Errorf("answer: %q", got)
		}
		teacher.wants(room, tc, "!lectern list", "1. First\n2. Meanwhile")
		if n := len(teacher.widgetsOf(room)); n != 2 {
			t.Errorf("%d widgets", n)
		}
	})
	t.Run("CM10 also when its position in the stream is an old one", func(t *testing.T) {
		old, err := tc.lastPosition(t.Context())
		if err != nil || old.Token == "" {
			t.Fatalf("position: %+v, %v", old, err)
		}
		ev := teacher.send(room, text(`!lectern add whiteboard "Third"`))
		teacher.answer(room, tc.UserID(), ev)
		tc.seen(t, room, 3)
		tc.catchUp(t.Context(), old)
		teacher.wants(room, tc, "!lectern list", "3. Third")
		if n := len(teacher.widgetsOf(room)); n != 3 {
			t.Errorf("%d widgets", n)
		}
		teacher.answer(room, tc.UserID(), ev) // still one
	})
	t.Run("CM10 what is older than 30 s is not obeyed", func(t *testing.T) {
		raw := func(age time.Duration) []heard {
			return tc.hear(room, rawMessages(t, teacher.UserID, time.Now().Add(-age)))
		}
		if n := len(raw(0)); n != 1 {
			t.Errorf("fresh: %d", n)
		}
		if n := len(raw(31*time.Second)) + len(raw(-6*time.Minute)); n != 0 {
			t.Errorf("old or from the future: %d", n)
		}
	})
}

func TestTwoCompanions(t *testing.T) {
	a, b := newAccount(t), newAccount(t)
	a.Accepts, b.Accepts = []string{b.UserID}, []string{a.UserID}
	first, second := startTalking(t, a), startTalking(t, b)
	if first.UserID() > second.UserID() {
		first, second = second, first
	}
	teacher := newSpeaker(t, "teacher")
	room := teacher.makeClass(first, "Class 7b", false, map[string]int{second.UserID(): 50}, second.UserID())
	await(t, "both see each other", soon, func() bool {
		x, _ := first.Room(room)
		y, _ := second.Room(room)
		return len(x.Companions) == 1 && len(y.Companions) == 1
	})
	t.Run("CM12 of two companions that know each other one obeys, the other if it is named", func(t *testing.T) {
		ev := teacher.send(room, text("!lectern add whiteboard"))
		teacher.answer(room, first.UserID(), ev)
		teacher.wants(room, second, "!lectern "+second.UserID()+" list", "In Class 7b")
		for _, m := range teacher.notices(room, second.UserID()) {
			if m.to == ev {
				t.Errorf("the second answered: %q", m.body)
			}
		}
		if n := len(teacher.widgetsOf(room)); n != 1 {
			t.Errorf("%d widgets", n)
		}
	})
}
