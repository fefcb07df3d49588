package matrix

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/focus"
	"github.com/educationpub/lectern/server/identity"
)

// view is the companion's picture of the rooms it is in, built from /sync alone and empty at every start. What is not in it does not exist: a room
// that was never seen, or whose state does not parse, admits nobody.
type view struct {
	me    string   // immutable
	bases []string // immutable

	mu     sync.RWMutex
	rooms  map[string]*room // guarded by mu; rooms the companion is joined in
	sticky map[string]bool  // guarded by mu; rooms that were encrypted once: a server cannot take that back
}

// room is guarded by view.mu.
type room struct {
	create     *creation
	levels     *powerLevels
	members    map[string]member // joined and invited people
	encryption json.RawMessage   // content of m.room.encryption
	visible    string            // history visibility
	widgets    map[stateID]identity.Widget
	contents   map[stateID]content // our content events as they stand in the room
	name       string
	alias      string
	allowedBy  string                      // who let commands be read here, "" for nobody
	read       bool                        // readable, when last looked
	next       string                      // the room that replaces this one, says its tombstone
	calls      map[string]focus.Membership // by state key
	policy     focus.Policy
}

type member struct {
	joined bool // else invited
	name   string
}

type stateID struct{ typ, key string }

// content is an event that companions write ("com.educationpub.whiteboard.content", "….leftovers"), clear or as it lies encrypted.
type content struct {
	event, sender, session string
	encrypted              bool
}

// stateEvent is what the companion reads of an event in /sync.
type stateEvent struct {
	ID       string          `json:"event_id"`
	Type     string          `json:"type"`
	Key      *string         `json:"state_key"`
	Sender   string          `json:"sender"`
	At       int64           `json:"origin_server_ts"` // Unix ms
	Content  json.RawMessage `json:"content"`
	Redacts  json.RawMessage `json:"redacts"`
	Unsigned struct {
		Redacted json.RawMessage `json:"redacted_because"`
	} `json:"unsigned"`
}

const (
	maxName    = 255
	maxWidgets = 200 // of ours in one room
)

func newRoom() *room {
	return &room{members: map[string]member{}, widgets: map[stateID]identity.Widget{}, contents: map[stateID]content{}, calls: map[string]focus.Membership{}}
}

var (
	boardID     = regexp.MustCompile(`^[a-z2-7]{26}$`)
	widgetKind  = regexp.MustCompile(`^[a-z]{1,32}$`)
	contentType = regexp.MustCompile(`^com\.educationpub\.[a-z]{1,32}\.(content|leftovers)$`)
)

// --- questions ---

// Standing answers false for a room the companion is not in.
func (c *Companion) Standing(room, user string) (identity.Standing, bool) {
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	r := v.rooms[room]
	if r == nil {
		return identity.Standing{}, false
	}
	m, ok := r.members[user]
	s := identity.Standing{Joined: ok && m.joined, Complete: r.create != nil && r.levels != nil}
	if s.Joined {
		s.Name = m.name
	}
	if s.Complete {
		s.Power, s.Levels = power(r.create, r.levels, user), r.levels.Levels // the maps are never written again
	}
	return s, true
}

// Widget finds a widget of ours by its id (the state key of its event).
func (c *Companion) Widget(room, widgetID string) (identity.Widget, bool) {
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	if r := v.rooms[room]; r != nil {
		for _, typ := range widgetTypes {
			if w, ok := r.widgets[stateID{typ, widgetID}]; ok {
				return w, true
			}
		}
	}
	return identity.Widget{}, false
}

// RoomOf finds the room of a widget of ours, among those a person is joined in.
func (c *Companion) RoomOf(user, widgetID string) (room string, ok bool) {
	v := &c.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	for id, r := range v.rooms {
		if m, member := r.members[user]; !member || !m.joined {
			continue
		}
		for _, typ := range widgetTypes {
			if _, there := r.widgets[stateID{typ, widgetID}]; there && room != id {
				if room != "" {
					return "", false
				}
				room = id
			}
		}
	}
	return room, room != ""
}

// Stands answers the id of the companion's own event that stands in a room under this type and key, as /sync told; "" where it is not its own or there is none.
func (c *Companion) Stands(room, typ, key string) string {
	c.view.mu.RLock()
	defer c.view.mu.RUnlock()
	if r := c.view.rooms[room]; r != nil {
		if e := r.contents[stateID{typ, key}]; e.sender == c.cfg.UserID && e.encrypted == c.view.sticky[room] {
			return e.event
		}
	}
	return ""
}

// Encrypted: once a room has been seen encrypted it stays so.
func (c *Companion) Encrypted(room string) bool {
	c.view.mu.RLock()
	defer c.view.mu.RUnlock()
	return c.view.sticky[room]
}

// Age is the time since the last completed /sync.
func (c *Companion) Age() time.Duration {
	at := c.lastSync.Load()
	if at == nil {
		return 1<<63 - 1
	}
	return time.Since(*at)
}

// Rooms lists the rooms the companion is in.
func (c *Companion) Rooms() []string {
	c.view.mu.RLock()
	defer c.view.mu.RUnlock()
	l := make([]string, 0, len(c.view.rooms))
	for r := range c.view.rooms {
		l = append(l, r)
	}
	return l
}

// Confirm asks the homeserver for the person's membership now. Errors are *checkpoint.RoomError.
func (c *Companion) Confirm(ctx context.Context, room, user string) (bool, error) {
	if _, ok := c.Standing(room, c.cfg.UserID); !ok {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var m struct {
		Membership string `json:"membership"`
	}
	u := c.client.BuildURL(mautrix.ClientURLPath{"v3", "rooms", room, "state", "m.room.member", user})
	_, err := c.client.MakeRequest(ctx, http.MethodGet, u, nil, &m)
	switch httpStatus(err) {
	case http.StatusNotFound, http.StatusForbidden:
		return false, nil
	}
	if err != nil {
		return false, requestError("ask for a membership", err)
	}
	return m.Membership == "join", nil
}

func (v *view) visibility(room string) string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if r := v.rooms[room]; r != nil && r.visible != "" {
		return r.visible
	}
	return "shared" // the specification's default
}

// recipients are the people whose devices get the room's keys: joined, and invited unless history begins at the join. The companion's own account is
// not among them: it has this one device. (And asking for its keys again would clear a cache that mautrix reads without a lock.)
func (v *view) recipients(room string) map[string]bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	r := v.rooms[room]
	if r == nil {
		return nil
	}
	l := make(map[string]bool, len(r.members))
	for u, m := range r.members {
		if u != v.me && (m.joined || r.visible != "joined") {
			l[u] = true
		}
	}
	return l
}

// --- changes, called by the syncer with mu held ---

// effect says what an event changed.
type effect struct {
	room      bool // worth an OnRoom
	call      bool // worth an OnCall
	people    bool // worth a look whether somebody lacks a key
	encrypted bool // the room is encrypted from now on
	gone      bool // the companion is no longer in the room
	lost      []stateID
	written   []stateID // by other companions that are accepted
	removed   []identity.Widget
	replaced  *stateEvent // the tombstone
}

func (e *effect) add(o effect) {
	e.room, e.people, e.encrypted, e.gone = e.room || o.room, e.people || o.people, e.encrypted || o.encrypted, e.gone || o.gone
	e.call = e.call || o.call
	e.lost = append(e.lost, o.lost...)
	e.written = append(e.written, o.written...)
	e.removed = append(e.removed, o.removed...)
	if o.replaced != nil {
		e.replaced = o.replaced
	}
}

func (v *view) apply(name string, r *room, e *stateEvent, accept map[string]bool) (eff effect) {
	if e.Key == nil {
		if e.Type == "m.room.redaction" {
			return r.redact(e)
		}
		return effect{} // the timeline's content is none of the companion's business
	}
	switch e.Type {
	case "m.room.member":
		return v.applyMember(r, e)
	case "m.room.encrypted":
		if typ, key, ok := strings.Cut(*e.Key, ":"); ok && contentType.MatchString(typ) {
			return v.applyContent(name, r, stateID{typ, key}, e, true, accept)
		}
	case "im.vector.modular.widgets", "m.widget":
		return v.applyWidget(r, e)
	case focus.MembershipType:
		return r.applyCall(e)
	default:
		if contentType.MatchString(e.Type) {
			return v.applyContent(name, r, stateID{e.Type, *e.Key}, e, false, accept)
		}
		if *e.Key == "" {
			return v.applySingle(name, r, e)
		}
	}
	return effect{}
}

func (v *view) applySingle(name string, r *room, e *stateEvent) effect {
	switch e.Type {
	case "m.room.create":
		r.create, _ = parseCreation(e.Sender, e.Content) // nil where it does not parse: fails closed
	case "m.room.power_levels":
		r.levels, _ = parseLevels(e.Content) // as above
	case focus.PolicyType:
		r.applyPolicy(e)
		return effect{call: true}
	case "m.room.tombstone":
		r.next = nextRoom(e)
		return effect{room: true, replaced: e}
	case "m.room.history_visibility":
		var h struct {
			Visibility string `json:"history_visibility"`
		}
		_ = json.Unmarshal(e.Content, &h)
		r.visible = h.Visibility
	case "m.room.name", "m.room.canonical_alias", commands.AllowType:
		r.applyAbout(e)
		return effect{}
	case "m.room.encryption":
		r.encryption = e.Content
		eff := effect{room: !v.sticky[name], encrypted: !v.sticky[name]}
		v.sticky[name] = true // whatever it says: in doubt the room is encrypted
		return eff
	default:
		return effect{}
	}
	return effect{room: true}
}

// applyAbout: what is no string is none.
func (r *room) applyAbout(e *stateEvent) {
	var c struct {
		Name     any `json:"name"`
		Alias    any `json:"alias"`
		Commands any `json:"commands"`
	}
	_ = json.Unmarshal(e.Content, &c)
	switch e.Type {
	case "m.room.name":
		s, _ := c.Name.(string)
		r.name = clip(s, maxName)
	case "m.room.canonical_alias":
		s, _ := c.Alias.(string)
		r.alias = clip(s, maxName)
	case commands.AllowType:
		if r.allowedBy = ""; c.Commands == true {
			r.allowedBy = e.Sender
		}
	}
}

func (v *view) applyMember(r *room, e *stateEvent) effect {
	var m struct {
		Membership string `json:"membership"`
		Name       any    `json:"displayname"`
	}
	_ = json.Unmarshal(e.Content, &m) // what does not parse is no membership
	user := *e.Key
	old, had := r.members[user]
	switch m.Membership {
	case "join", "invite":
		name, _ := m.Name.(string)
		now := member{joined: m.Membership == "join", name: clip(name, maxName)}
		r.members[user] = now
		return effect{room: now != old || !had, people: !had || now.joined != old.joined, gone: user == v.me && !now.joined}
	}
	delete(r.members, user)
	return effect{room: had, gone: user == v.me}
}

var widgetTypes = []string{"im.vector.modular.widgets", "m.widget"}

func (v *view) applyWidget(r *room, e *stateEvent) effect {
	id := stateID{e.Type, *e.Key}
	old, had := r.widgets[id]
	w, ok := v.parseWidget(*e.Key, e.Content)
	if !ok || !had && len(r.widgets) >= maxWidgets {
		delete(r.widgets, id)
		eff := effect{room: had}
		if had && id.typ == widgetTypes[0] && len(e.Content) <= len(`{}`) { // as clients remove one; what was changed is still there
			eff.removed = []identity.Widget{old}
		}
		return eff
	}
	r.widgets[id] = w
	return effect{room: !had || old != w}
}

// parseWidget recognises a widget of ours: its URL without query and fragment is one of our bases + "/widgets/" + kind.
func (v *view) parseWidget(id string, content json.RawMessage) (identity.Widget, bool) {
	var w struct {
		URL  string `json:"url"`
		Name any    `json:"name"`
		Data struct {
			Board  string `json:"board"`
			Mirror any    `json:"mirror"`
		} `json:"data"`
	}
	if json.Unmarshal(content, &w) != nil || !boardID.MatchString(w.Data.Board) {
		return identity.Widget{}, false
	}
	page := w.URL[:strings.IndexAny(w.URL+"?", "?#")]
	for _, b := range v.bases {
		kind, ok := strings.CutPrefix(page, b+"/widgets/")
		if kind = strings.TrimSuffix(kind, "/"); ok && widgetKind.MatchString(kind) {
			name, _ := w.Name.(string)
			return identity.Widget{ID: id, Kind: kind, Board: board.ID(w.Data.Board), Name: clip(name, maxName), Mirror: w.Data.Mirror == true}, true
		}
	}
	return identity.Widget{}, false
}

// applyContent notes who wrote a content event. In an encrypted room clear events do not count, in a plain room encrypted ones do not: neither
// shadows the other.
func (v *view) applyContent(name string, r *room, id stateID, e *stateEvent, encrypted bool, accept map[string]bool) effect {
	if encrypted != v.sticky[name] {
		return effect{}
	}
	var c struct {
		Session string `json:"session_id"`
	}
	_ = json.Unmarshal(e.Content, &c)
	old, had := r.contents[id]
	now := content{event: e.ID, sender: e.Sender, session: c.Session, encrypted: encrypted}
	r.contents[id] = now
	if had && old == now {
		return effect{}
	}
	if !accept[e.Sender] || e.Unsigned.Redacted != nil {
		return effect{lost: []stateID{id}}
	}
	if e.Sender != v.me {
		return effect{people: true, written: []stateID{id}}
	}
	return effect{people: true}
}

// redact handles both places of the redacted event's id (rooms before and from version 11).
func (r *room) redact(e *stateEvent) (eff effect) {
	var target string
	if json.Unmarshal(e.Redacts, &target) != nil || target == "" {
		var c struct {
			Redacts string `json:"redacts"`
		}
		_ = json.Unmarshal(e.Content, &c)
		target = c.Redacts
	}
	if target == "" {
		return effect{}
	}
	for id, c := range r.contents {
		if c.event == target {
			eff.lost = append(eff.lost, id)
		}
	}
	return eff
}

// hostOf is the server part of a Matrix id, "" if there is none.
func hostOf(user string) string {
	_, server, _ := strings.Cut(user, ":")
	return server
}
