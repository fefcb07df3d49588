package matrix

import (
	"strings"
	"testing"
)

// The companion's login was revoked: everything about its device is new, what it knows of rooms is not.
func TestVisitsOutliveTheDevice(t *testing.T) {
	cfg := newAccount(t)
	tc := startTalking(t, cfg)
	teacher := newSpeaker(t, "teacher")
	class := teacher.makeClass(tc, "Class 7b", true, nil)
	direct := teacher.makeDirect(tc, true)
	teacher.wants(direct, tc, `add whiteboard "Lesson 3"`, "is in Class 7b now")
	tc.seen(t, class, 1)
	teacher.wants(direct, tc, "remove", "restore puts it back")
	tc.seen(t, class, 0)
	before := len(teacher.notices(direct, tc.UserID()))
	tc.stop(t)
	login, err := SignIn(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := Renew(t.Context(), cfg, login); err != nil {
		t.Fatal(err)
	}
	tc = startTalking(t, cfg)
	// Its new device reaches the other person's client with /sync, as it does in Element.
	ev := teacher.send(direct, text("zurück"))
	got := teacher.answer(direct, tc.UserID(), ev)
	if strings.Contains(got, "/discardsession") { // the session was shared before the new device was known
		got = teacher.ask(direct, tc, "zurück")
	}
	if !strings.Contains(got, "„Lesson 3“ ist wieder in Class 7b") {
		t.Errorf("CM9 answer: %q", got)
	}
	if n := len(teacher.notices(direct, tc.UserID())); n > before+2 {
		t.Errorf("CM2 %d notices, %d before: greeted again", n, before)
	}
}
