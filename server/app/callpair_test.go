package app

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/config"
	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/focus"
	"github.com/educationpub/lectern/server/focus/focustest"
	"github.com/educationpub/lectern/server/focus/livekit"
)

// school is one instance with its homeserver, its Lectern and its LiveKit.
type school struct {
	*instance
	hs  *devstack.Homeserver
	sfu *livekit.Client
}

func newSchool(t *testing.T, hs *devstack.Homeserver, accepts string) *school {
	t.Helper()
	s := &school{hs: hs}
	s.instance = newInstance(t, hs, accepts, func(c *config.Config) {
		dir := t.TempDir()
		lk, err := devstack.StartLiveKit(t.Context(), devstack.LiveKitOptions{Dir: dir, Webhook: c.PublicURL + "/livekit/sfu_webhook", Progress: t.Output()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(lk.Stop)
		secret := filepath.Join(dir, "secret")
		if err := os.WriteFile(secret, []byte(lk.Secret), 0o600); err != nil {
			t.Fatal(err)
		}
		if s.sfu, err = livekit.NewClient(lk.URL(), livekit.Credentials{Key: lk.Key, Secret: []byte(lk.Secret)}); err != nil {
			t.Fatal(err)
		}
		c.Calls = config.Calls{LiveKitURL: lk.URL(), Key: lk.Key, SecretFile: secret, RemoteServers: []string{"*"}, StudentSources: focus.Everything.Names()}
	})
	s.start()
	return s
}

func (s *school) focus() string { return s.url + "/livekit/jwt" }

// token asks this school's token service.
func (s *school) token(who *devstack.Client, room string) (jwt, sfu string, err error) {
	id, err := who.OpenID(s.t.Context())
	if err != nil {
		return "", "", err
	}
	var out struct{ URL, JWT string }
	err = (&devstack.Client{BaseURL: s.url}).Do(s.t.Context(), http.MethodPost, "/livekit/jwt/sfu/get", map[string]any{"room": room, "openid_token": id, "device_id": who.DeviceID}, &out)
	return out.JWT, out.URL, err
}

// connect joins this school's LiveKit, until the test ends.
func (s *school) connect(who *devstack.Client, room string, publish ...focustest.Source) *focustest.Participant {
	s.t.Helper()
	jwt, sfu, err := s.token(who, room)
	if err != nil {
		s.t.Fatalf("%s at %s: %v", who.UserID, s.url, err)
	}
	p, err := focustest.Join(s.t.Context(), sfu, jwt)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Close)
	for _, source := range publish {
		if err := p.Publish(source, 300_000); err != nil {
			s.t.Fatal(err)
		}
	}
	return p
}

func (s *school) sees(who *devstack.Client, room string) *livekit.Participant {
	s.t.Helper()
	l, err := s.sfu.ListParticipants(s.t.Context(), focus.Alias(room, focus.Slot))
	if err != nil {
		s.t.Fatal(err)
	}
	i := slices.IndexFunc(l, func(p livekit.Participant) bool { return strings.HasPrefix(p.Identity, who.UserID+":") })
	if i < 0 {
		return nil
	}
	return &l[i]
}

// within waits for the end of a connection; the time it took.
func within(t *testing.T, what string, p *focustest.Participant) time.Duration {
	t.Helper()
	began := time.Now()
	select {
	case <-p.Gone:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: still connected", what)
	}
	return time.Since(began).Round(time.Millisecond)
}

// TestCallAcrossInstances has a teacher of one school and a student of another in one call: each publishes on their own school's LiveKit and listens on the other's.
func TestCallAcrossInstances(t *testing.T) {
	if testing.Short() {
		t.Skip("needs two homeservers, two Lecterns and two call servers; -short was given")
	}
	ctx := t.Context()
	pair, err := devstack.StartPair(ctx, t.TempDir(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pair.Stop)
	a, b := newSchool(t, pair.A, pair.B.UserID("lectern")), newSchool(t, pair.B, pair.A.UserID("lectern"))
	people := map[string]*devstack.Client{}
	for name, hs := range map[string]*devstack.Homeserver{"teacher": pair.A, "colleague": pair.B, "ada": pair.A, "bob": pair.B} {
		if people[name], err = hs.NewUser(ctx, name, name); err != nil {
			t.Fatal(err)
		}
	}
	teacher, colleague, ada, bob := people["teacher"], people["colleague"], people["ada"], people["bob"]
	room, err := teacher.CreateClassroom(ctx, devstack.Room{Name: "two schools", Companion: a.user, Members: []string{b.user, colleague.UserID, ada.UserID, bob.UserID}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*devstack.Client{colleague, ada, bob} {
		joinInvited(t, p, room, pair.A.Name())
	}
	for _, c := range []string{a.user, b.user} {
		if err := teacher.AwaitMembership(ctx, room, c, "join"); err != nil {
			t.Fatal(err)
		}
	}
	for id, level := range map[string]int{b.user: 50, colleague.UserID: 50} {
		if err := teacher.SetPower(ctx, room, id, level); err != nil {
			t.Fatal(err)
		}
	}
	atA, atB := devstack.NewWidget(a.url, "call", "Call"), devstack.NewWidget(b.url, "call", "Call, second school")
	for _, w := range []devstack.Widget{atA, atB} {
		if err := teacher.AddWidget(ctx, room, w); err != nil {
			t.Fatal(err)
		}
	}
	page := func(s *school, who *devstack.Client, w devstack.Widget) (c *devstack.Client) {
		s.pollEvery(time.Second, "the widget to be known", 30*time.Second, func() bool {
			var err error
			c, err = s.signIn(who, room, w)
			return err == nil
		})
		return c
	}
	host, hostB, pupil := page(a, teacher, atA), page(b, colleague, atB), page(b, bob, atB)
	act := func(by *devstack.Client, a focus.Act) (r focus.Result, took time.Duration, err error) {
		began := time.Now()
		err = by.Do(ctx, http.MethodPost, "/v1/call/acts", a, &r)
		return r, time.Since(began).Round(time.Millisecond), err
	}
	must := func(by *devstack.Client, a focus.Act, person *devstack.Client, want focus.Outcome) focus.Result {
		t.Helper()
		r, took, err := act(by, a)
		if err != nil || r.Outcome != want || person != nil && r.People[person.UserID] != want {
			t.Fatalf("%s: %+v, %v, want %s", a.Action, r, err, want)
		}
		t.Logf("%s: %s after %v", a.Action, r.Outcome, took)
		return r
	}
	refused := func(s *school, code string) {
		t.Helper()
		id, err := bob.OpenID(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if status, out := postJSON(t, s.url+"/livekit/jwt/sfu/get", map[string]any{"room": room, "openid_token": id, "device_id": bob.DeviceID}); status != 403 || out["code"] != code {
			t.Errorf("a token of %s: %d %v, want %s", s.url, status, out, code)
		}
	}
	in := func(who *devstack.Client, s *school) {
		t.Helper()
		member := map[string]any{"application": "m.call", "call_id": "", "scope": "m.room", "device_id": who.DeviceID, "expires": 14_400_000, "focus_active": map[string]any{"type": "livekit", "focus_selection": "multi_sfu"}, "foci_preferred": []any{map[string]any{"type": "livekit", "livekit_service_url": s.focus(), "livekit_alias": room}}}
		if _, err := who.SendState(ctx, room, focus.MembershipType, "_"+who.UserID+"_"+who.DeviceID+"_m.call", member); err != nil {
			t.Fatal(err)
		}
	}
	find := func(c *devstack.Client, who *devstack.Client) *focus.Member {
		var l focus.Call
		if err := c.Do(ctx, http.MethodGet, "/v1/call?seen=0", nil, &l); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(l.Members, func(m focus.Member) bool { return m.UserID == who.UserID })
		if i < 0 {
			return nil
		}
		return &l.Members[i]
	}

	// Each publishes at their own school, and listens at both.
	bobAtB, bobAtA := b.connect(bob, room, focustest.Microphone, focustest.Camera), a.connect(bob, room)
	in(bob, b)
	hersAtA, hersAtB := a.connect(teacher, room, focustest.Microphone, focustest.Camera), b.connect(teacher, room)
	in(teacher, a)
	a.connect(ada, room)
	in(ada, a)

	t.Run("FO13 a person of another school, who publishes there, is marked so in the list", func(t *testing.T) {
		pollEvery(t, 100*time.Millisecond, "Bob to publish elsewhere", 20*time.Second, func() bool {
			m := find(host, bob)
			return m != nil && m.Server == pair.B.Name() && m.May && len(m.Devices) == 1 && m.Devices[0].Where == focus.Elsewhere && m.Devices[0].Listed
		})
		pollEvery(t, 100*time.Millisecond, "Bob to be here for his own school", 20*time.Second, func() bool {
			m := find(hostB, bob)
			return m != nil && m.Server == "" && len(m.Devices) == 1 && m.Devices[0].Where == focus.Here
		})
	})
	t.Run("FO5 media go both ways, across schools", func(t *testing.T) {
		for _, kind := range []string{"audio", "video"} {
			flows(t, hersAtB, bobAtB, kind)
			flows(t, bobAtA, hersAtA, kind)
		}
	})
	t.Run("FO14 mute and stop video: the other school's LiveKit enforces it", func(t *testing.T) {
		must(host, focus.Act{Action: focus.MuteMicrophone, Person: bob.UserID}, bob, focus.Enforced)
		at := time.Now()
		last := silent(t, hersAtB, bobAtB, "audio")
		t.Logf("last packet %v after the answer", last.Sub(at).Round(time.Millisecond))
		flows(t, hersAtB, bobAtB, "video")
		must(host, focus.Act{Action: focus.StopVideo, Person: bob.UserID}, bob, focus.Enforced)
		silent(t, hersAtB, bobAtB, "video")
		if r := must(host, focus.Act{Action: focus.MuteMicrophone, Person: "*"}, bob, focus.Enforced); r.Changed != 0 {
			t.Errorf("muted already, and the teacher is not meant: %+v", r)
		}
		flows(t, bobAtA, hersAtA, "audio")
	})
	t.Run("FO14 sources: the other school's LiveKit enforces it", func(t *testing.T) {
		r := must(host, focus.Act{Action: focus.AllowSources, Person: bob.UserID, Sources: []string{"microphone"}}, bob, focus.Enforced)
		if !slices.Equal(r.Foci[bob.UserID], []string{strings.TrimPrefix(b.url, "http://")}) || !r.Noted {
			t.Errorf("got %+v", r)
		}
		for _, s := range []*school{a, b} {
			if p := s.sees(bob, room); p == nil || !slices.Equal(p.Permission.Sources, []livekit.Source{livekit.Microphone}) {
				t.Errorf("at %s: %+v", s.url, p)
			}
		}
	})
	t.Run("FO14 everybody's sources, in the room's state: both schools enforce them", func(t *testing.T) {
		must(host, focus.Act{Action: focus.AllowSources, Person: bob.UserID, Sources: []string{"microphone", "camera", "screen_share"}}, bob, focus.Enforced)
		must(host, focus.Act{Action: focus.AllowSources, Person: "*", Sources: []string{"microphone", "camera"}}, bob, focus.Enforced)
		for _, s := range []*school{a, b} {
			if p := s.sees(bob, room); p == nil || slices.Contains(p.Permission.Sources, livekit.ScreenShare) || len(p.Permission.Sources) != 2 {
				t.Errorf("at %s: %+v", s.url, p)
			}
		}
		if p := b.sees(bob, room); p != nil {
			must(host, focus.Act{Action: focus.AllowSources, Person: "*", Sources: []string{"microphone", "camera", "screen_share"}}, bob, focus.Enforced)
		}
	})
	t.Run("FO14 removed from the call: out of both, without a token of either, until let back in", func(t *testing.T) {
		must(host, focus.Act{Action: focus.Remove, Person: bob.UserID}, nil, focus.Enforced)
		t.Logf("out of the other school's LiveKit %v, out of the teacher's %v after the answer", within(t, "B", bobAtB), within(t, "A", bobAtA))
		refused(a, "call_removed")
		refused(b, "call_removed")
		must(host, focus.Act{Action: focus.Readmit, Person: bob.UserID}, nil, focus.Enforced)
		bobAtB, bobAtA = b.connect(bob, room, focustest.Microphone), a.connect(bob, room)
		in(bob, b)
	})
	t.Run("FO14 ended for all: at both schools, until begun again", func(t *testing.T) {
		must(host, focus.Act{Action: focus.End}, nil, focus.Enforced)
		within(t, "B", bobAtB)
		within(t, "A", bobAtA)
		refused(a, "call_ended")
		refused(b, "call_ended")
		must(host, focus.Act{Action: focus.Begin}, nil, focus.Enforced)
		bobAtB, bobAtA = b.connect(bob, room, focustest.Microphone), a.connect(bob, room)
		in(bob, b)
		a.connect(ada, room)
		in(ada, a)
	})
	t.Run("FO9 FO14 who may decide: a student of the other school not, its teacher does", func(t *testing.T) {
		if _, _, err := act(pupil, focus.Act{Action: focus.Remove, Person: ada.UserID}); err == nil {
			t.Error("a student removed somebody")
		}
		pollEvery(t, 100*time.Millisecond, "Ada's membership to reach the other school", 20*time.Second, func() bool { m := find(hostB, ada); return m != nil && len(m.Devices) == 1 })
		must(hostB, focus.Act{Action: focus.AllowSources, Person: ada.UserID, Sources: []string{}}, ada, focus.Enforced)
		if p := a.sees(ada, room); p == nil || p.Permission.CanPublish {
			t.Errorf("Ada at her own school: %+v", p)
		}
	})
	t.Run("FO14 the other Lectern is away: asked, and not more; a kick from the room holds everywhere", func(t *testing.T) {
		pollEvery(t, 100*time.Millisecond, "Bob to publish elsewhere", 20*time.Second, func() bool {
			m := find(host, bob)
			return m != nil && len(m.Devices) == 1 && m.Devices[0].Where == focus.Elsewhere && m.Devices[0].Listed
		})
		b.kill()
		must(host, focus.Act{Action: focus.MuteMicrophone, Person: bob.UserID}, bob, focus.Requested)
		began := time.Now()
		must(host, focus.Act{Action: focus.Kick, Person: bob.UserID}, nil, focus.Enforced)
		t.Logf("kicked: out of the teacher's LiveKit %v after the answer", within(t, "A", bobAtA))
		if b.sees(bob, room) == nil {
			t.Error("nobody was there to remove him from the other school's LiveKit, and he is gone")
		}
		b.start()
		within(t, "B", bobAtB)
		t.Logf("the other Lectern is back: out of its LiveKit too, %v after the kick", time.Since(began).Round(time.Millisecond))
		refused(a, "not_joined")
		refused(b, "not_joined")
	})
}
