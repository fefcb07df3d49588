package app

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/focus"
)

// callPage is somebody's call widget: signed in as its page would be.
func (w *world) callPage(c *devstack.Client, widget string) *devstack.Client {
	w.t.Helper()
	var out map[string]any
	pollEvery(w.t, 100*time.Millisecond, "the sign-in to the call widget", 30*time.Second, func() bool {
		status, answer, err := w.signIn(w.t.Context(), c, w.ready.RoomID, widget)
		out = answer
		return err == nil && status == 200
	})
	return &devstack.Client{BaseURL: w.ready.Lectern, Login: devstack.Login{AccessToken: out["token"].(string)}}
}

func TestCallModeration(t *testing.T) {
	w, _, _ := callWorld(t)
	ctx := t.Context()
	teacher, ada := w.user(0), w.user(1)
	room := w.ready.RoomID
	widget := devstack.NewWidget(w.ready.Lectern, "call", "Call")
	if err := teacher.AddWidget(ctx, room, widget); err != nil {
		t.Fatal(err)
	}
	host, pupil := w.callPage(teacher, widget.ID), w.callPage(ada, widget.ID)
	act := func(by *devstack.Client, action, person string) (r focus.Result, err error) {
		err = by.Do(ctx, http.MethodPost, "/v1/call/acts", map[string]any{"action": action, "user_id": person}, &r)
		return r, err
	}
	list := func(c *devstack.Client, seen uint64) (l focus.Call) {
		if err := c.Do(ctx, http.MethodGet, fmt.Sprintf("/v1/call?seen=%d", seen), nil, &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	enter := func() (chan struct{}, string) {
		t.Helper()
		status, out := w.callToken(ada, room, "PHONE")
		if status != 200 {
			t.Fatalf("token: %d %v", status, out)
		}
		gone, err := joinCall(t, out["url"].(string), out["jwt"].(string))
		if err != nil {
			t.Fatal(err)
		}
		pollEvery(t, 5*time.Millisecond, "Ada to be in the list", 30*time.Second, func() bool {
			l := list(host, 0)
			return len(l.Members) == 1 && l.Members[0].UserID == ada.UserID && len(l.Members[0].Devices) == 1
		})
		return gone, out["url"].(string)
	}
	gone, _ := enter()

	t.Run("FO9 a student decides nothing", func(t *testing.T) {
		for _, action := range []string{focus.MuteMicrophone, focus.Remove, focus.Kick, focus.End} {
			if _, err := act(pupil, action, teacher.UserID); err == nil {
				t.Errorf("%s was carried out", action)
			}
		}
		if _, err := act(host, focus.Remove, teacher.UserID); err == nil {
			t.Error("the teacher removed herself")
		}
		if _, err := act(host, "unmute", ada.UserID); err == nil {
			t.Error("there is an act that unmutes")
		}
		for name, identity := range map[string]string{"somebody of the room": ada.UserID + ":PHONE", "nobody": "x"} {
			var r focus.Result
			err := host.Do(ctx, http.MethodPost, "/v1/call/acts", map[string]any{"action": focus.Remove, "identity": identity}, &r)
			if (err == nil) != (name == "nobody") || r.Changed != 0 {
				t.Errorf("%s was removed as a stranger: %+v, %v", name, r, err)
			}
		}
	})
	t.Run("FO9 removed from the call: out, without a token, until let back in", func(t *testing.T) {
		if l := list(host, 0); !l.Moderator || !l.Members[0].May || l.Members[0].Devices[0].Listed {
			t.Errorf("list: %+v", l)
		}
		began := time.Now()
		r, err := act(host, focus.Remove, ada.UserID)
		if err != nil || r.Outcome != focus.Enforced || r.Changed != 1 || !r.Kept || !r.Noted {
			t.Fatalf("got %+v, %v", r, err)
		}
		answered := time.Since(began)
		select {
		case <-gone:
			t.Logf("answered after %v, out after %v", answered.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		case <-time.After(15 * time.Second):
			t.Fatal("still in the call")
		}
		if status, out := w.callToken(ada, room, "PHONE"); status != 403 || out["code"] != "call_removed" {
			t.Errorf("token: %d %v", status, out)
		}
		if l := list(pupil, 0); len(l.Members) != 1 || !l.Members[0].Removed {
			t.Errorf("list: %+v", l)
		}
		if r, err := act(host, focus.Readmit, ada.UserID); err != nil || !r.Kept {
			t.Fatalf("got %+v, %v", r, err)
		}
		gone, _ = enter()
	})
	t.Run("FO9 ended for all: nobody gets in, moderators neither, until one begins again", func(t *testing.T) {
		if r, err := act(host, focus.End, ""); err != nil || r.Outcome != focus.Enforced {
			t.Fatalf("got %+v, %v", r, err)
		}
		select {
		case <-gone:
		case <-time.After(15 * time.Second):
			t.Fatal("still in the call")
		}
		for _, c := range []*devstack.Client{ada, teacher} {
			if status, out := w.callToken(c, room, "PHONE"); status != 403 || out["code"] != "call_ended" {
				t.Errorf("token: %d %v", status, out)
			}
		}
		if _, err := act(host, focus.Begin, ""); err != nil {
			t.Fatal(err)
		}
		enter()
	})
}
