package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// A modified client: it knows the protocol and obeys none of its rules. What it tries and what the server answers is the table of docs/security.md.

// witness is an honest person who notes everything that comes.
type witness struct {
	*draw
	mu sync.Mutex
	// Guarded by mu.
	seen map[[32]byte]bool // changes
	live map[uint32]int    // live payloads by session, without cursors
}

func (w *world) witness(who *devstack.Client, lane int) *witness {
	w.t.Helper()
	v := &witness{seen: map[[32]byte]bool{}, live: map[uint32]int{}}
	v.draw = w.mustOpen(who, client.Options{
		Entries: func(_ uint64, list []wire.Entry, _ int) {
			v.mu.Lock()
			defer v.mu.Unlock()
			for _, e := range list {
				if len(e.Bytes) > 8 {
					v.seen[client.Hash(e.Bytes)] = true
				}
			}
		},
		Frame: func(f wire.Frame, _ int) {
			v.mu.Lock()
			defer v.mu.Unlock()
			if l, ok := f.(wire.LiveUpdates); ok {
				for _, u := range l.Updates {
					if u.Slot > 0 && len(u.Payload) > 0 {
						v.live[u.Session]++
					}
				}
			}
		},
	})
	w.moveTo(v.draw, lane)
	return v
}

func (w *world) moveTo(d *draw, lane int) {
	w.t.Helper()
	if lane == wire.LaneChannel {
		if _, err := d.OpenChannel(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		d.Move(lane)
	}
}

func (v *witness) saw(chunk []byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.seen[client.Hash(chunk)]
}

func (v *witness) sawLive(session uint32) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.live[session] > 0
}

// rogue is the modified client on one lane.
type rogue struct {
	*draw
	pen     *boardtest.Author
	channel *client.Channel
	lane    int
	answers chan string
}

func (w *world) rogue(token string, lane int) *rogue {
	w.t.Helper()
	r := &rogue{lane: lane, answers: make(chan string, 64)}
	tell := func(s string) {
		select {
		case r.answers <- s:
		default:
		}
	}
	cl, err := client.Join(w.t.Context(), "ws"+w.ready.Lectern[len("http"):]+"/v1/connect", token, client.Options{Stay: true, Frame: func(f wire.Frame, _ int) {
		switch f := f.(type) {
		case wire.Reset:
			tell(f.Code)
		case wire.Refused:
			tell("error " + f.Code)
		case wire.Role:
			tell("role " + f.Role)
		}
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	r.draw = &draw{Client: cl, token: token, doc: cl.Welcome().Docs[0].Doc}
	if lane == wire.LaneChannel {
		if r.channel, err = cl.OpenChannel(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		r.Move(lane)
	}
	r.pen = boardtest.NewAuthor(board.ActorID(append(cl.Welcome().Actor, make([]byte, 16)...)[:16]))
	return r
}

// as makes the rogue write under another actor.
func (r *rogue) as(actor []byte) *boardtest.Author { return boardtest.NewAuthor(board.ActorID(actor)) }

func (r *rogue) write(doc string, epoch uint32, chunks ...[]byte) [][]byte {
	r.Send(r.lane, wire.Change{Doc: doc, Epoch: epoch, Changes: chunks})
	return chunks
}

// raw sends bytes that may be no frame.
func (r *rogue) raw(b []byte) {
	if r.channel != nil {
		_ = r.channel.Raw(b)
		return
	}
	_ = r.Raw(b)
}

// answer is what the server said within a while: the code of a reset or error, how it closed, or nothing.
func (r *rogue) answer(wait time.Duration) string {
	gone := make(<-chan struct{})
	if r.channel != nil {
		gone = r.channel.Gone()
	}
	select {
	case s := <-r.answers:
		return s
	case <-r.Done():
		if bye, ok := asBye(r.Err()); ok {
			return fmt.Sprintf("closed %d %s", bye.Close, bye.Bye.Code)
		}
		return "closed"
	case <-gone:
		return "channel closed"
	case <-time.After(wait):
		return "nothing"
	}
}

// do sends a request as somebody and answers status and code.
func (w *world) do(token, method, path, body string) string {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.ready.Lectern+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var said struct{ Code string }
	_ = json.NewDecoder(resp.Body).Decode(&said) // empty where it worked
	return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", said.Code))
}

// attempt is one thing that the modified client tries on a lane.
type attempt struct {
	what string
	// under: the decision of a moderator that stands meanwhile, and what takes it back.
	under, undo string
	power       int // of the person: 0 participant, -1 viewer
	try         func(*rogue) (changes [][]byte)
	want        string
	passes      bool // what everybody may do: the others must see it
}

func (w *world) attempts(ben *witness, self, doc string) []attempt {
	page := `{"page":{"doc":"` + doc + `","locked":`
	draw := func(r *rogue) [][]byte {
		return r.write(r.doc, 0, r.pen.Make(fmt.Sprintf("drawn-%d-%d", r.lane, time.Now().UnixNano())))
	}
	after := func(next func(r *rogue, id string) []byte) func(*rogue) [][]byte { // a good change first: only the second is looked for
		return func(r *rogue) [][]byte {
			id := fmt.Sprintf("made-%d-%d", r.lane, time.Now().UnixNano())
			r.write(r.doc, 0, r.pen.Make(id))
			return r.write(r.doc, 0, next(r, id))
		}
	}
	under := func(actor func(r *rogue) []byte) func(*rogue) [][]byte {
		return func(r *rogue) [][]byte { return r.write(r.doc, 0, r.as(actor(r)).Make("forged")) }
	}
	show := func(r *rogue) [][]byte {
		r.Send(r.lane, wire.Live{Slot: 1, Payload: []byte{0x82, 0, 0x80}})
		return nil
	}
	var drawn [][]byte // by Ben
	erase := func(r *rogue) [][]byte {
		drawn = append(drawn, ben.author.Stroke(30))
		ben.Change(ben.doc, 0, drawn[len(drawn)-1])
		if err := ben.settled(w.t.Context()); err != nil {
			w.t.Error(err)
		}
		r.pen.See(drawn...)
		ids := r.pen.Elements()
		return r.write(r.doc, 0, r.pen.Hide(ids[len(ids)-1]))
	}
	eraseAll := func(r *rogue) [][]byte { // as many as the guard lets go; only the one beyond is looked for
		time.Sleep(11 * time.Second) // the guard counts ten together, and other attempts erase too
		shown := 0
		for _, e := range w.scene(ben.draw).Elements {
			if e["isDeleted"] != true {
				shown++
			}
		}
		const more = 40
		r.pen.See(drawn...)
		before, now := r.pen.Elements(), len(drawn)
		var ids []string
		for i := range more {
			chunk := ben.author.Draw([]byte{1, 2, 3, byte(4 + i%100)})
			ben.Change(ben.doc, 0, chunk)
			drawn = append(drawn, chunk)
		}
		if err := ben.settled(w.t.Context()); err != nil {
			w.t.Error(err)
		}
		r.pen.See(drawn[now:]...)
		for _, id := range r.pen.Elements() {
			if !slices.Contains(before, id) {
				ids = append(ids, id)
			}
		}
		let := max(10, (shown+more)/4) + 6 // the others go on drawing meanwhile, which lets a little more go
		for _, id := range ids[:let] {
			r.write(r.doc, 0, r.pen.Hide(id))
		}
		return r.write(r.doc, 0, r.pen.Hide(ids[let]))
	}
	server := append([]byte{0}, bytes.Repeat([]byte{7}, 15)...)
	return []attempt{
		{what: "draw, as everybody may", try: draw, want: "nothing", passes: true},
		{what: "erase what others drew, as everybody may who draws", try: erase, want: "nothing", passes: true},
		{what: "erase everything that others drew", try: eraseAll, want: "erase_guard"},
		{what: "draw as a viewer", power: -1, try: draw, want: "read_only"},
		{what: "draw while only moderators draw", under: `{"draw":"moderators"}`, undo: `{"draw":""}`, try: draw, want: "locked"},
		{what: "draw without being chosen", under: `{"draw":"chosen"}`, undo: `{"draw":""}`, try: draw, want: "locked"},
		{what: "draw although only watching was left to one", under: `{"person":{"user_id":"` + self + `","may":"watch"}}`, undo: `{"person":{"user_id":"` + self + `","may":""}}`, try: draw, want: "locked"},
		{what: "draw on a locked page", under: page + "true}}", undo: page + "false}}", try: draw, want: "locked"},
		{what: "show a drawing in progress as a viewer", power: -1, try: show, want: "nothing"},
		{what: "show a drawing in progress while only moderators draw", under: `{"draw":"moderators"}`, undo: `{"draw":""}`, try: show, want: "nothing"},
		{what: "draw in somebody else's name", try: under(func(*rogue) []byte { return ben.Welcome().Actor }), want: "wrong_actor"},
		{what: "draw in the server's name", try: under(func(*rogue) []byte { return server }), want: "wrong_actor"},
		{what: "draw under a name of one's own making", try: under(func(r *rogue) []byte { return bytes.Repeat([]byte{byte(9 + r.lane)}, 16) }), want: "wrong_actor"},
		{what: "write to a page that is not there", try: func(r *rogue) [][]byte { return r.write("nopage", 0, r.pen.Make("x")) }, want: "unknown_doc"},
		{what: "write to an epoch of the future", try: func(r *rogue) [][]byte { return r.write(r.doc, 9, r.pen.Make("x")) }, want: "unknown_epoch"},
		{what: "give an element a property that boards do not have (an author, a script)", try: after(func(r *rogue, id string) []byte { return r.pen.Foreign(id) }), want: "grammar"},
		{what: "6,000 operations in one change", try: after(func(r *rogue, id string) []byte { return r.pen.Scribble(id, 6_000) }), want: "too_many_ops"},
		{what: "a change of 40,000 bytes", try: after(func(r *rogue, id string) []byte { return r.pen.Draw(id, 40_000) }), want: "too_large"},
		{what: "bytes that are no change", try: func(r *rogue) [][]byte { return r.write(r.doc, 0, bytes.Repeat([]byte{0x85}, 40)) }, want: "bad_change"},
		{what: "bytes that are no frame", try: func(r *rogue) [][]byte { r.raw([]byte("no frame at all")); return nil }, want: "closed 4400 bad_frame"},
	}
}

func TestModifiedClient(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	w := newWorld(t)
	ctx := t.Context()
	teacher, eve := w.user(0), w.user(1)
	honest := []*witness{w.witness(w.user(2), wire.LaneSocket), w.witness(teacher, wire.LaneChannel)}
	ben, tea := honest[0], honest[1]
	rules := func(decision string) {
		t.Helper()
		if decision == "" {
			return
		}
		if got := w.do(tea.token, http.MethodPost, "/v1/boards/"+tea.Welcome().Board+"/rules", decision); got != "204" {
			t.Fatalf("%s: %s", decision, got)
		}
	}
	power := func(level int) {
		t.Helper()
		if err := teacher.SetPower(ctx, w.ready.RoomID, eve.UserID, level); err != nil {
			t.Fatal(err)
		}
	}
	status, a, err := w.signIn(ctx, eve, w.ready.RoomID, w.ready.Widgets[0].ID)
	if err != nil || status != http.StatusOK {
		t.Fatal(status, a, err)
	}
	token := a["token"].(string)
	// begin waits until the server has heard of the person's level.
	begin := func(lane, level int) *rogue {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; {
			r := w.rogue(token, lane)
			if (r.Welcome().Role == "viewer") == (level < 0) {
				return r
			}
			r.Close()
			if time.Now().After(end) {
				t.Fatalf("still a %s", r.Welcome().Role)
			}
			time.Sleep(50 * time.Millisecond) // /sync of a real homeserver
		}
	}
	// together draws an honest stroke and waits until both have it: whatever was to come before it has come.
	together := func() {
		t.Helper()
		chunk := tea.author.Stroke(30) // a moderator: always may
		tea.Change(tea.doc, 0, chunk)
		for end := time.Now().Add(10 * time.Second); !ben.saw(chunk) || !tea.saw(chunk); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("honest people no longer see each other's strokes")
			}
		}
	}
	lanes := []string{wire.LaneSocket: "WebSocket", wire.LaneChannel: "data channel"}
	answers := map[string][2]string{}
	var order []string
	for _, at := range w.attempts(ben, eve.UserID, ben.doc) {
		order = append(order, at.what)
		if at.power != 0 {
			power(at.power)
		}
		rules(at.under)
		for lane, name := range lanes {
			t.Run("RG1 "+at.what+", "+name, func(t *testing.T) {
				r := begin(lane, at.power)
				defer r.Close()
				before := w.scene(ben.draw)
				tried := at.try(r)
				wait := 5 * time.Second
				if at.want == "nothing" {
					wait = 500 * time.Millisecond
				}
				got := r.answer(wait)
				want := at.want
				if lane == wire.LaneChannel && strings.HasPrefix(want, "closed 4400") {
					want = "channel closed"
				}
				if got != want {
					t.Errorf("the server answered %q, want %q", got, want)
				}
				both := answers[at.what]
				if both[lane] = got; at.passes {
					both[lane] = "done"
				}
				answers[at.what] = both
				together()
				for i, v := range honest {
					for _, chunk := range tried {
						if v.saw(chunk) != at.passes {
							t.Errorf("RG1 on the %s it was seen: %v", lanes[i], v.saw(chunk))
						}
					}
					if v.sawLive(r.Welcome().Session) {
						t.Errorf("RG1 on the %s a live payload was seen", lanes[i])
					}
				}
				for _, e := range w.scene(ben.draw).Elements {
					if id := fmt.Sprint(e["id"]); (id == "forged" || id == "x" || strings.HasPrefix(id, "drawn-")) && !contains(before.Elements, id) && !at.passes {
						t.Errorf("RG1 %s is on the board", id)
					}
				}
			})
		}
		rules(at.undo)
		if at.power != 0 {
			power(0)
		}
	}

	r := begin(wire.LaneSocket, 0)
	other := devstack.NewWidget(w.ready.Lectern, "whiteboard", "").Board
	boards := "/v1/boards/" + r.Welcome().Board
	here, id := r.Welcome().Docs[0].Doc, `"`+eve.UserID+`"`
	type request struct{ what, method, path, body, want string }
	var asked [][2]string
	ask := func(list ...request) {
		for _, q := range list {
			t.Run("RG2 "+q.what, func(t *testing.T) {
				got := w.do(token, q.method, q.path, q.body)
				if got != q.want {
					t.Errorf("got %s, want %s", got, q.want)
				}
				asked = append(asked, [2]string{q.what, got})
			})
		}
	}
	ask(
		request{"decide who draws", "POST", boards + "/rules", `{"person":{"user_id":` + id + `,"may":"draw"}}`, "403 forbidden"},
		request{"bring everybody somewhere", "POST", boards + "/gather", `{"doc":"` + here + `","x":0,"y":0,"width":9,"height":9}`, "403 forbidden"},
		request{"take the board over", "POST", boards + "/takeover", "", "403 forbidden"},
		request{"raise somebody else's hand", "POST", boards + "/hand", `{"up":true,"user_id":"` + w.ready.Users[2].UserID + `"}`, "400 bad_json"},
		request{"read another board with this session", "GET", "/v1/boards/" + other + "/docs/" + here + "/document", "", "404 unknown_board"},
		request{"begin an epoch", "POST", boards + "/docs/" + here + "/squash", "", "404 not_found"},
	)
	power(-1)
	if got := r.answer(10 * time.Second); got != "role viewer" {
		t.Fatalf("demoted: %s", got)
	}
	t.Run("RG1 go on drawing after a demotion", func(t *testing.T) {
		tried := r.write(r.doc, 0, r.pen.Make("demoted"))
		if got := r.answer(5 * time.Second); got != "read_only" {
			t.Errorf("got %s", got)
		}
		together()
		if ben.saw(tried[0]) || tea.saw(tried[0]) {
			t.Error("it was seen")
		}
	})
	ask(request{"add a page as a viewer", "POST", boards + "/docs", "", "403 read_only"})
	power(0)
	r.Close()
	t.Run("RG2 the same proof of identity twice", func(t *testing.T) {
		proof, err := eve.OpenID(ctx)
		if err != nil {
			t.Fatal(err)
		}
		body := map[string]any{"openid": proof, "room_id": w.ready.RoomID, "widget_id": w.ready.Widgets[0].ID}
		first, _, err := w.post(ctx, body)
		second, a, err2 := w.post(ctx, body)
		if err != nil || err2 != nil || first != 200 || second != 401 || a["code"] != "openid_replayed" {
			t.Errorf("got %d, then %d %v", first, second, a["code"])
		}
		asked = append(asked, [2]string{"sign in twice with one proof of identity", fmt.Sprint(second, " ", a["code"])})
	})
	r = begin(wire.LaneSocket, 0)
	defer r.Close()
	if err := teacher.Kick(ctx, w.ready.RoomID, eve.UserID, ""); err != nil {
		t.Fatal(err)
	}
	if got := r.answer(10 * time.Second); !strings.HasPrefix(got, "closed 4403") {
		t.Fatalf("kicked: %s", got)
	}
	t.Run("RG1 come back after a kick", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if c, err := client.Join(ctx, "ws"+w.ready.Lectern[len("http"):]+"/v1/connect", token, client.Options{}); err == nil {
			c.Close()
			t.Error("the old session still opens the board")
		}
	})
	for end := time.Now().Add(5 * time.Second); w.do(token, http.MethodGet, boards+"/home", "") == "403 not_joined" && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond) // refused at once; the session itself ends a moment later
	}
	ask(request{"read the board after a kick", "GET", boards + "/docs/" + here + "/document", "", "401 session_unknown"})

	var table strings.Builder
	table.WriteString("| what it tries | WebSocket | data channel |\n|---|---|---|\n")
	for _, what := range order {
		fmt.Fprintf(&table, "| %s | %s | %s |\n", what, answers[what][0], answers[what][1])
	}
	table.WriteString("\n| what it asks for | answer |\n|---|---|\n")
	for _, q := range asked {
		fmt.Fprintf(&table, "| %s | %s |\n", q[0], q[1])
	}
	t.Run("RG3 the table for admins is what happened", func(t *testing.T) {
		doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "security.md"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(doc), table.String()) {
			t.Errorf("docs/security.md does not have this table:\n%s", table.String())
		}
	})
}

func contains(list []map[string]any, id string) bool {
	for _, e := range list {
		if e["id"] == id {
			return true
		}
	}
	return false
}
