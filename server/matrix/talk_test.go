package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/widgets"
)

// soon is how long these tests wait for other processes on a busy machine.
const soon = 30 * time.Second

// startTalking is a companion that obeys.
func startTalking(t *testing.T, cfg Config) *testCompanion {
	t.Helper()
	var talk *commands.Service
	ready := make(chan struct{})
	cfg.OnMessage = func(m commands.Message) { <-ready; talk.Heard(m) }
	cfg.OnVisit = func() {
		select {
		case <-ready:
			talk.Look()
		default: // it looks when it starts
		}
	}
	tc := startCompanion(t, cfg)
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	talk = commands.New(commands.Config{Rooms: tc, Talk: tc, Memory: tc, Greetings: tc, Companion: tc.UserID(), Base: testBase, Log: log})
	tc.talk = talk
	close(ready)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = talk.Run(ctx) })
	tc.hush = func() { cancel(); wg.Wait() }
	return tc
}

// said is a message in a room.
type said struct {
	ID      string          `json:"event_id"`
	Type    string          `json:"type"`
	Sender  string          `json:"sender"`
	Content json.RawMessage `json:"content"`

	msgtype, body, to string
	readable          bool
}

// speaker is somebody with a client, which encrypts if it has a device.
type speaker struct {
	*devstack.Client
	t      *testing.T
	device *matrixUser
	n      int
}

func newSpeaker(t *testing.T, base string) *speaker {
	t.Helper()
	u := newUser(t, base)
	return &speaker{Client: u, t: t, device: newDevice(t, u)}
}

func text(body string) map[string]any { return map[string]any{"msgtype": "m.text", "body": body} }

// send answers the event's id.
func (s *speaker) send(room string, content any) string {
	s.t.Helper()
	s.n++
	var out struct {
		ID string `json:"event_id"`
	}
	if s.encrypted(room) {
		// A client shares its key with the members it knows of: after a join they come with /sync.
		await(s.t, "members", soon, func() bool {
			s.device.sync()
			l, err := s.device.cli.StateStore.(*mautrix.MemoryStateStore).GetRoomJoinedOrInvitedMembers(s.t.Context(), id.RoomID(room))
			return err == nil && len(l) > 1
		})
		e := s.device.encrypt(room, "m.room.message", nil, content)
		resp, err := s.device.cli.SendMessageEvent(s.t.Context(), id.RoomID(room), event.EventEncrypted, e)
		if err != nil {
			s.t.Fatal(err)
		}
		return resp.EventID.String()
	}
	path := fmt.Sprintf("/_matrix/client/v3/rooms/%s/send/m.room.message/%s%d", url.PathEscape(room), s.DeviceID, s.n)
	if err := s.Do(s.t.Context(), http.MethodPut, path, content, &out); err != nil {
		s.t.Fatal(err)
	}
	return out.ID
}

func (s *speaker) encrypted(room string) bool {
	s.t.Helper()
	var e struct {
		Algorithm string `json:"algorithm"`
	}
	return s.State(s.t.Context(), room, "m.room.encryption", "", &e) == nil && e.Algorithm != ""
}

// notices are what a companion has said in a room, the newest first, as this person's client shows them.
func (s *speaker) notices(room, companion string) (l []said) {
	s.t.Helper()
	s.device.sync()
	var page struct {
		Chunk []json.RawMessage `json:"chunk"`
	}
	if err := s.Do(s.t.Context(), http.MethodGet, "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/messages?dir=b&limit=100", nil, &page); err != nil {
		s.t.Fatal(err)
	}
	for _, raw := range page.Chunk {
		var m said
		if json.Unmarshal(raw, &m) != nil || m.Sender != companion || m.Type != "m.room.message" && m.Type != "m.room.encrypted" {
			continue
		}
		content := m.Content
		if m.readable = m.Type == "m.room.message"; !m.readable {
			var e event.Event
			if json.Unmarshal(raw, &e) != nil || e.StateKey != nil {
				continue
			}
			e.RoomID = id.RoomID(room)
			if e.Content.ParseRaw(e.Type) != nil {
				continue
			}
			if d, err := s.device.mach.DecryptMegolmEvent(s.t.Context(), &e); err == nil {
				content, m.readable = d.Content.VeryRaw, true
			}
		}
		var c struct {
			Type      string `json:"msgtype"`
			Body      string `json:"body"`
			RelatesTo struct {
				To struct {
					ID string `json:"event_id"`
				} `json:"m.in_reply_to"`
			} `json:"m.relates_to"`
		}
		_ = json.Unmarshal(content, &c)
		m.msgtype, m.body, m.to = c.Type, c.Body, c.RelatesTo.To.ID
		l = append(l, m)
	}
	return l
}

// answer waits for the companion's answer to an event; it must be the only one.
func (s *speaker) answer(room, companion, to string) string {
	s.t.Helper()
	var got []said
	await(s.t, "readable answer", soon, func() bool {
		got = nil
		for _, m := range s.notices(room, companion) {
			if m.readable && m.to == to { // the key may come a moment after the message
				got = append(got, m)
			}
		}
		return len(got) > 0
	})
	if len(got) != 1 || got[0].msgtype != "m.notice" {
		s.t.Errorf("CM4 %d answers of type %s, want one notice", len(got), got[0].msgtype)
	}
	return got[0].body
}

// ask sends and awaits.
func (s *speaker) ask(room string, tc *testCompanion, body string) string {
	s.t.Helper()
	return s.answer(room, tc.UserID(), s.send(room, text(body)))
}

// wants asks and compares.
func (s *speaker) wants(room string, tc *testCompanion, body string, parts ...string) {
	s.t.Helper()
	got := s.ask(room, tc, body)
	for _, p := range parts {
		if !strings.Contains(got, p) {
			s.t.Errorf("%q is answered %q, want %q in it", body, got, p)
		}
	}
}

// silent: what was said before this question has been heard by the time it is answered, and was not answered.
func (s *speaker) silent(room string, tc *testCompanion, events ...string) {
	s.t.Helper()
	s.ask(room, tc, "!lectern help")
	for _, m := range s.notices(room, tc.UserID()) {
		for _, e := range events {
			if m.to == e {
				s.t.Errorf("answered: %q", m.body)
			}
		}
	}
}

// makeRoom with the companion in it.
func (s *speaker) makeRoom(tc *testCompanion, o map[string]any, invite ...string) string {
	s.t.Helper()
	body := map[string]any{"preset": "private_chat", "invite": append([]string{tc.UserID()}, invite...)}
	for k, v := range o {
		body[k] = v
	}
	room, err := s.CreateRoom(s.t.Context(), body)
	if err != nil {
		s.t.Fatal(err)
	}
	await(s.t, "companion joins", soon, func() bool {
		st, ok := tc.Standing(room, tc.UserID())
		return ok && st.Joined && st.Complete
	})
	return room
}

var encryption = []any{map[string]any{"type": "m.room.encryption", "state_key": "", "content": map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}}}

// makeDirect opens a direct message as Element does.
func (s *speaker) makeDirect(tc *testCompanion, encrypted bool) string {
	s.t.Helper()
	o := map[string]any{"preset": "trusted_private_chat", "is_direct": true}
	if encrypted {
		o["initial_state"] = encryption
	}
	return s.makeRoom(tc, o)
}

// named room with power for the companion and other people.
func (s *speaker) makeClass(tc *testCompanion, name string, enc bool, powers map[string]int, invite ...string) string {
	s.t.Helper()
	users := map[string]int{s.UserID: 100, tc.UserID(): 50}
	for u, p := range powers {
		users[u] = p
	}
	o := map[string]any{"name": name, "power_level_content_override": map[string]any{"users": users}}
	if enc {
		o["initial_state"] = encryption
	}
	return s.makeRoom(tc, o, invite...)
}

// widgetsOf a room: id to content; removed ones are left out.
func (s *speaker) widgetsOf(room string) map[string]map[string]any {
	s.t.Helper()
	var all []struct {
		Type    string         `json:"type"`
		Key     string         `json:"state_key"`
		Content map[string]any `json:"content"`
	}
	if err := s.Do(s.t.Context(), http.MethodGet, "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/state", nil, &all); err != nil {
		s.t.Fatal(err)
	}
	out := map[string]map[string]any{}
	for _, e := range all {
		if e.Type == widgets.EventType && len(e.Content) > 0 {
			out[e.Key] = e.Content
		}
	}
	return out
}

// seen waits until the companion's view has n widgets.
func (tc *testCompanion) seen(t *testing.T, room string, n int) {
	t.Helper()
	await(t, "widgets in the view", soon, func() bool { r, _ := tc.Room(room); return len(r.Widgets) == n })
}

func messageOf(room, event, sender, body string) commands.Message {
	return commands.Message{Room: room, Event: event, Sender: sender, Body: body, Direct: true}
}

// rawMessages is a timeline with one message of that time.
func rawMessages(t *testing.T, sender string, at time.Time) []json.RawMessage {
	t.Helper()
	b, err := json.Marshal(map[string]any{"event_id": "$" + name("e"), "type": "m.room.message", "sender": sender, "origin_server_ts": at.UnixMilli(), "content": text("!lectern help")})
	if err != nil {
		t.Fatal(err)
	}
	return []json.RawMessage{b, json.RawMessage(`{"broken`), json.RawMessage(`{"event_id":5}`)}
}
