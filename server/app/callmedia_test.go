package app

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/focus"
	"github.com/educationpub/lectern/server/focus/focustest"
)

// callRoom is a call with moderators' pages.
type callRoom struct {
	*world
	t    testing.TB
	room string
}

// join enters the call with media, as that device.
func (c *callRoom) join(who *devstack.Client, device string) (*focustest.Participant, error) {
	status, out := c.callToken(who, c.room, device)
	if status != 200 {
		c.t.Fatalf("a token for %s: %d %v", who.UserID, status, out)
	}
	p, err := focustest.Join(c.t.Context(), out["url"].(string), out["jwt"].(string))
	if err == nil {
		c.t.Cleanup(p.Close)
	}
	return p, err
}

func (c *callRoom) mustJoin(who *devstack.Client, device string, publish ...focustest.Source) *focustest.Participant {
	c.t.Helper()
	p, err := c.join(who, device)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, s := range publish {
		if err := p.Publish(s, 500_000); err != nil {
			c.t.Fatalf("%s publishes %d: %v", who.UserID, s, err)
		}
	}
	return p
}

// flows waits until packets of that kind come from one to the other.
func flows(t testing.TB, to, from *focustest.Participant, kind string) {
	t.Helper()
	before, _ := to.From(from, kind)
	pollEvery(t, 5*time.Millisecond, kind+" to flow", 15*time.Second, func() bool { n, _ := to.From(from, kind); return n > before+5 })
}

// silent waits until none have come for half a second, and answers when the last one came.
func silent(t testing.TB, to, from *focustest.Participant, kind string) (last time.Time) {
	t.Helper()
	pollEvery(t, 20*time.Millisecond, kind+" to end", 15*time.Second, func() bool {
		_, last = to.From(from, kind)
		return time.Since(last) > 500*time.Millisecond
	})
	return last
}

func TestCallMedia(t *testing.T) {
	w, sfu, _ := callWorld(t)
	ctx := t.Context()
	teacher, ada, ben := w.user(0), w.user(1), w.user(2)
	c := &callRoom{w, t, w.ready.RoomID}
	widget := devstack.NewWidget(w.ready.Lectern, "call", "Call")
	if err := teacher.AddWidget(ctx, c.room, widget); err != nil {
		t.Fatal(err)
	}
	host := w.callPage(teacher, widget.ID)
	act := func(t *testing.T, action, person string, sources ...string) (r focus.Result) {
		t.Helper()
		if err := host.Do(ctx, http.MethodPost, "/v1/call/acts", focus.Act{Action: action, Person: person, Sources: sources}, &r); err != nil || r.Outcome != focus.Enforced {
			t.Fatalf("%s: %+v, %v", action, r, err)
		}
		return r
	}
	ms := func(from, to time.Time) time.Duration { return to.Sub(from).Round(time.Millisecond) }
	hers := c.mustJoin(teacher, "DESK", focustest.Microphone, focustest.Camera)
	adas := c.mustJoin(ada, "PHONE", focustest.Microphone, focustest.Camera, focustest.Screen)

	t.Run("FO5 media go both ways", func(t *testing.T) {
		for _, kind := range []string{"audio", "video"} {
			flows(t, hers, adas, kind)
			flows(t, adas, hers, kind)
		}
	})
	t.Run("FO9 mute: nothing is heard any more; they may switch it on again, and nobody else may", func(t *testing.T) {
		began := time.Now()
		if r := act(t, focus.MuteMicrophone, ada.UserID); r.Changed != 1 {
			t.Errorf("got %+v", r)
		}
		answered := time.Now()
		last := silent(t, hers, adas, "audio")
		if !adas.Muted(focustest.Microphone) {
			t.Error("Ada's client was not told")
		}
		t.Logf("answered after %v; last packet %v after the answer", ms(began, answered), ms(answered, last))
		flows(t, hers, adas, "video")
		if err := adas.Unmute(focustest.Microphone); err != nil {
			t.Fatal(err)
		}
		flows(t, hers, adas, "audio")
	})
	t.Run("FO9 mute everybody but moderators", func(t *testing.T) {
		if r := act(t, focus.MuteMicrophone, "*"); r.Changed != 1 {
			t.Errorf("got %+v", r)
		}
		silent(t, hers, adas, "audio")
		flows(t, adas, hers, "audio")
		if err := adas.Unmute(focustest.Microphone); err != nil {
			t.Fatal(err)
		}
		flows(t, hers, adas, "audio")
	})
	t.Run("FO9 stop video and sharing", func(t *testing.T) {
		if r := act(t, focus.StopVideo, ada.UserID); r.Changed != 1 || !adas.Muted(focustest.Camera) && !eventually(func() bool { return adas.Muted(focustest.Camera) }) {
			t.Errorf("got %+v", r)
		}
		if r := act(t, focus.StopShare, ada.UserID); r.Changed != 1 || !eventually(func() bool { return adas.Muted(focustest.Screen) }) {
			t.Errorf("got %+v", r)
		}
		silent(t, hers, adas, "video")
	})
	t.Run("FO9 a source that is not allowed ends, cannot be published again, and can when it is allowed", func(t *testing.T) {
		act(t, focus.AllowSources, "*", "camera")
		if !eventually(func() bool { return adas.Ended(focustest.Microphone) && adas.Ended(focustest.Screen) }) {
			t.Error("tracks go on")
		}
		silent(t, hers, adas, "audio")
		if err := adas.Publish(focustest.Microphone, 0); !errors.Is(err, focustest.ErrRefused) {
			t.Errorf("published again: %v", err)
		}
		bens := c.mustJoin(ben, "TABLET", focustest.Camera)
		if err := bens.Publish(focustest.Microphone, 0); !errors.Is(err, focustest.ErrRefused) {
			t.Errorf("a newcomer published: %v", err)
		}
		act(t, focus.AllowSources, "*", "microphone", "camera", "screen_share")
		again := c.mustJoin(ben, "TABLET", focustest.Microphone)
		flows(t, hers, again, "audio")
		again.Leave()
		adas.Leave()
	})
	t.Run("FO7 a kick from the room: until the last media packet, either way", func(t *testing.T) {
		var toTeacher, toAda []time.Duration
		for range 5 {
			p := c.mustJoin(ada, "PHONE", focustest.Microphone, focustest.Camera)
			flows(t, hers, p, "video")
			flows(t, p, hers, "video")
			if err := teacher.Kick(ctx, c.room, ada.UserID, ""); err != nil {
				t.Fatal(err)
			}
			at := time.Now()
			last := silent(t, hers, p, "video")
			toTeacher, toAda = append(toTeacher, max(0, ms(at, last))), append(toAda, max(0, ms(at, p.Last())))
			<-p.Gone
			if err := teacher.Invite(ctx, c.room, ada.UserID); err != nil {
				t.Fatal(err)
			}
			joinInvited(t, ada, c.room, w.ready.ServerName)
			pollEvery(t, 50*time.Millisecond, "Lectern to know that she is back", 15*time.Second, func() bool { s, _ := c.callToken(ada, c.room, "PHONE"); return s == 200 })
		}
		slices.Sort(toTeacher)
		slices.Sort(toAda)
		t.Logf("last packet from the kicked after the homeserver's answer: %v; to the kicked: %v", toTeacher, toAda)
	})
	for name, refreshed := range map[string]bool{"the old token": false, "a token that LiveKit has renewed": true} {
		t.Run("FO7 FO9 removed, and back with "+name, func(t *testing.T) {
			p := c.mustJoin(ada, "PHONE", focustest.Camera)
			flows(t, hers, p, "video")
			address := sfuAddress(t, c, ada)
			token := p.Token()
			if refreshed {
				first := token
				act(t, focus.AllowSources, ada.UserID, "camera") // LiveKit renews a token every five minutes, and when rights change
				pollEvery(t, 100*time.Millisecond, "LiveKit to renew the token", 20*time.Second, func() bool { token = p.Token(); return token != first })
			}
			act(t, focus.Remove, ada.UserID)
			<-p.Gone
			for range 3 {
				began := time.Now()
				q, err := focustest.Join(ctx, address, token)
				if err != nil {
					t.Logf("not let in, after %v: %v", time.Since(began).Round(time.Millisecond), err)
					continue
				}
				in := time.Now()
				err = q.Publish(focustest.Camera, 500_000)
				select {
				case <-q.Gone:
					packets, _ := hers.From(q, "video")
					t.Logf("media connected after %v, out again %v later (published: %v); the teacher received %d packets", in.Sub(began).Round(time.Millisecond), time.Since(in).Round(time.Millisecond), err, packets)
				case <-time.After(10 * time.Second):
					t.Error("a removed person is back")
				}
				q.Close()
			}
			act(t, focus.Readmit, ada.UserID)
		})
	}
	t.Run("FO9 ended for all stays ended, for old tokens too", func(t *testing.T) {
		p := c.mustJoin(ada, "PHONE")
		address := sfuAddress(t, c, ada)
		act(t, focus.End, "")
		<-p.Gone
		<-hers.Gone
		for _, old := range []string{p.Token(), hers.Token()} {
			q, err := focustest.Join(ctx, address, old)
			if err == nil {
				select {
				case <-q.Gone:
				case <-time.After(10 * time.Second):
					t.Error("back in a call that was ended")
				}
				q.Close()
			}
		}
		if l, err := sfu.ListParticipants(ctx, focus.Alias(c.room, focus.Slot)); err == nil && len(l) > 0 {
			t.Errorf("still there: %+v", l)
		}
	})
}

func eventually(f func() bool) bool {
	for range 200 {
		if f() {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

// sfuAddress is where LiveKit is, as the token service says it.
func sfuAddress(t testing.TB, c *callRoom, who *devstack.Client) string {
	t.Helper()
	status, out := c.callToken(who, c.room, "PHONE")
	if status != 200 {
		t.Fatalf("%d %v", status, out)
	}
	address, err := url.Parse(out["url"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return address.String()
}
