package devstack

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// UpOptions say what `lectern dev` puts on its feet.
type UpOptions struct {
	Dir           string    // everything that stays between starts. Needed
	LecternURL    string    // where Lectern will serve its widgets, without a slash at the end. Needed; may differ from start to start
	HTTPPort      int       // of the homeserver; 0 = the port of last time if free, else any
	HTTPSPort     int       // of federation; 0 as above
	Federation    bool      // fixed at the first start: it is part of the server name
	Second        bool      // from the first start on: another homeserver that federates with the first, with a student on it. Implies Federation
	Instance      string    // another Lectern's account in the same room, which gets "-" and this at the end of its name; "": the first one's
	Synapse       string    // a folder of .ci/synapse: that homeserver instead of Dendrite
	RateLimits    bool      // Dendrite's default limits
	Plain         bool      // at first start: an unencrypted demo room
	Progress      io.Writer // lines for people
	HomeserverLog io.Writer
}

// User is a demo person with a device of their own for scripts (browsers sign in by themselves).
type User struct {
	UserID      string `json:"user_id"`
	Name        string `json:"name"`
	Password    string `json:"password"`
	AccessToken string `json:"access_token"`
	DeviceID    string `json:"device_id"`
	Homeserver  string `json:"homeserver,omitempty"` // where they sign in; only in the ready file
}

// Account is what a program needs to sign in.
type Account struct {
	UserID   string `json:"user_id"`
	Password string `json:"password"`
}

// Stack is the running neighbourhood. Immutable after Up; Stop ends it.
type Stack struct {
	Homeserver *Homeserver
	Second     *Homeserver // nil unless asked for
	Users      []User      // teacher, student1, student2; with Second also carla, who lives there
	Companion  Account     // Lectern's own account: invited to the room, it joins when it first syncs
	Others     []string    // accounts of other instances, which were started here before
	RoomID     string      // "Demo classroom"
	Widgets    []Widget
}

type demoUser struct{ user, name, password string }

// The demo people. Their passwords are no secret: the homeserver listens on loopback only.
var demoUsers = []demoUser{
	{"teacher", "Ms Rivera", "teacher-demo"},
	{"student1", "Ada", "student1-demo"},
	{"student2", "Ben", "student2-demo"},
}

const companionUser = "lectern"

// stackFile is stack.json: what Up did before, written after every step, so that an interrupted start goes on where it stopped.
type stackFile struct {
	HTTPPort  int         `json:"http_port"`
	Users     []User      `json:"users"`
	Companion Account     `json:"companion"`
	RoomID    string      `json:"room_id"`
	Widgets   []Widget    `json:"widgets"`
	Second    *secondFile `json:"second,omitempty"`
	// Instances are the accounts of further Lecterns, by instance.
	Instances map[string]Account `json:"instances,omitempty"`
}

// Up starts the homeserver and sees to it that people, companion account, room and widgets exist. It does not start Lectern.
// A second Up on the same folder finds everything; only the widgets' URL is brought up to date.
func Up(ctx context.Context, o UpOptions) (*Stack, error) {
	if o.LecternURL == "" {
		return nil, errors.New("development stack: the URL of Lectern is needed for the widgets")
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	b := &builder{options: o, path: filepath.Join(o.Dir, "stack.json")}
	if err := b.load(); err != nil {
		return nil, err
	}
	if o.HTTPPort == 0 && portFree(b.file.HTTPPort) {
		o.HTTPPort = b.file.HTTPPort // browsers that are still signed in find it again
	}
	dir := filepath.Join(o.Dir, "homeserver")
	if err := b.federates(dir); err != nil {
		return nil, err
	}
	homeserver, err := StartHomeserver(ctx, Options{
		Dir: dir, HTTPPort: o.HTTPPort, HTTPSPort: o.HTTPSPort, Federation: b.options.Federation,
		RateLimits: o.RateLimits, Persistent: true, Synapse: o.Synapse, Progress: o.Progress, Log: o.HomeserverLog,
	})
	if err != nil {
		return nil, err
	}
	b.homeserver = homeserver
	b.file.HTTPPort = homeserver.options.HTTPPort
	for _, step := range []func(context.Context) error{b.startSecond, b.people, b.companion, b.room, b.instance, b.widgets, b.guests} {
		err := step(ctx)
		if err == nil {
			err = writeJSON(b.path, b.file)
		}
		if err != nil {
			b.stop()
			return nil, fmt.Errorf("development stack: %w", err)
		}
	}
	s := &Stack{
		Homeserver: homeserver, Second: b.second, Users: b.file.Users, Companion: b.file.Companion, RoomID: b.file.RoomID, Widgets: b.file.Widgets,
	}
	b.name(s)
	if b.second != nil {
		s.Users = append(slices.Clone(s.Users), b.file.Second.Users...)
	}
	return s, nil
}

// Homeservers are the one that Lectern's account lives on, and the second if there is one.
func (s *Stack) Homeservers() []*Homeserver {
	if s.Second == nil {
		return []*Homeserver{s.Homeserver}
	}
	return []*Homeserver{s.Homeserver, s.Second}
}

// Stop ends the child processes. Calling it again is harmless.
func (s *Stack) Stop() {
	for _, h := range s.Homeservers() {
		h.Stop()
	}
}

// Client answers a client for a demo person by local part ("teacher"), nil if there is none.
func (s *Stack) Client(user string) *Client {
	for _, u := range s.Users {
		for _, h := range s.Homeservers() {
			if u.UserID == h.UserID(user) {
				return u.client(h)
			}
		}
	}
	return nil
}

func (u User) client(h *Homeserver) *Client {
	return &Client{BaseURL: h.URL(), Password: u.Password, Login: Login{UserID: u.UserID, AccessToken: u.AccessToken, DeviceID: u.DeviceID}}
}

// Ready is the file that tells scripts that everything is up.
type Ready struct {
	Lectern     string            `json:"lectern"`
	Classroom   string            `json:"classroom"`
	Homeserver  string            `json:"homeserver"`
	ServerName  string            `json:"server_name"`
	Homeservers []ReadyHomeserver `json:"homeservers"` // the one above, and the second if there is one
	RoomID      string            `json:"room_id"`
	Companion   string            `json:"companion"`
	Users       []User            `json:"users"`
	Widgets     []Widget          `json:"widgets"`
}

// ReadyHomeserver is a homeserver that demo people sign in to.
type ReadyHomeserver struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// Ready fills the ready file's content. The URLs are those of Lectern and of the classroom page.
func (s *Stack) Ready(lectern, classroom string) Ready {
	r := Ready{
		Lectern: lectern, Classroom: classroom, Homeserver: s.Homeserver.URL(), ServerName: s.Homeserver.Name(),
		RoomID: s.RoomID, Companion: s.Companion.UserID, Users: slices.Clone(s.Users), Widgets: s.Widgets,
	}
	for _, h := range s.Homeservers() {
		r.Homeservers = append(r.Homeservers, ReadyHomeserver{Name: h.Name(), URL: h.URL()})
		for i, u := range r.Users {
			if strings.HasSuffix(u.UserID, ":"+h.Name()) {
				r.Users[i].Homeserver = h.URL()
			}
		}
	}
	return r
}

// WriteReady writes the ready file, whole and readable only by us: it holds tokens.
func WriteReady(path string, r Ready) error {
	if err := writeJSON(path, r); err != nil {
		return fmt.Errorf("write ready file: %w", err)
	}
	return nil
}

// builder does the steps of Up. Used by one goroutine.
type builder struct {
	options    UpOptions
	path       string
	file       stackFile
	homeserver *Homeserver
	second     *Homeserver // nil unless the folder has one
}

func (b *builder) load() error {
	data, err := os.ReadFile(b.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &b.file)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w; move the folder away to start anew", b.path, err)
	}
	return nil
}

func (b *builder) people(ctx context.Context) (err error) {
	b.file.Users, err = b.signUp(ctx, b.homeserver, demoUsers, b.file.Users)
	return err
}

// signUp registers who is missing and signs in whose token no longer works.
func (b *builder) signUp(ctx context.Context, at *Homeserver, people []demoUser, before []User) ([]User, error) {
	users := make([]User, len(people))
	for i, demo := range people {
		u := User{UserID: at.UserID(demo.user), Name: demo.name, Password: demo.password}
		for _, known := range before {
			if known.UserID == u.UserID {
				u = known
			}
		}
		if u.AccessToken != "" {
			_, err := u.client(at).WhoAmI(ctx)
			if err == nil {
				users[i] = u
				continue
			}
			if !IsCode(err, "M_UNKNOWN_TOKEN") {
				return before, err
			}
		}
		if err := at.Register(ctx, demo.user, demo.password, false); err != nil && !errors.Is(err, ErrUserTaken) {
			return before, err
		}
		client, err := at.Client(ctx, demo.user, u.Password, u.DeviceID)
		if err != nil {
			return before, err
		}
		if err := client.SetDisplayName(ctx, u.Name); err != nil {
			return before, fmt.Errorf("name %s: %w", u.UserID, err)
		}
		u.AccessToken, u.DeviceID = client.AccessToken, client.DeviceID
		users[i] = u
		fmt.Fprintf(b.options.Progress, "people: %s (%s), password %s\n", u.UserID, u.Name, u.Password)
	}
	return users, nil
}

// companion registers Lectern's account. Its password is written down before the account exists, so that it cannot get lost.
func (b *builder) companion(ctx context.Context) error {
	if b.file.Companion.UserID == "" {
		b.file.Companion = Account{UserID: b.homeserver.UserID(companionUser), Password: rand.Text()}
		if err := writeJSON(b.path, b.file); err != nil {
			return err
		}
	}
	err := b.homeserver.Register(ctx, companionUser, b.file.Companion.Password, false)
	if errors.Is(err, ErrUserTaken) {
		return nil
	}
	return err
}

func (b *builder) room(ctx context.Context) error {
	teacher := b.file.Users[0].client(b.homeserver)
	students := make([]*Client, 0, len(b.file.Users)-1)
	ids := make([]string, 0, len(b.file.Users)-1)
	for _, u := range b.file.Users[1:] {
		students = append(students, u.client(b.homeserver))
		ids = append(ids, u.UserID)
	}
	if b.file.RoomID == "" {
		room, err := teacher.CreateClassroom(ctx, Room{
			Name: "Demo classroom", Topic: "A place to try Lectern: draw on the whiteboard together.",
			Companion: b.file.Companion.UserID, Members: ids, Plain: b.options.Plain,
		})
		if err != nil {
			return fmt.Errorf("create the demo room: %w", err)
		}
		b.file.RoomID = room
		if err := writeJSON(b.path, b.file); err != nil {
			return err
		}
		fmt.Fprintf(b.options.Progress, "room: Demo classroom, %s\n", room)
	}
	if err := b.replaced(ctx, teacher); err != nil {
		return err
	}
	// Only people with an open invitation join: somebody who was removed while playing stays out.
	for _, s := range students {
		membership, err := teacher.Membership(ctx, b.file.RoomID, s.UserID)
		if err != nil {
			return err
		}
		if membership == "invite" {
			if err := joinAll(ctx, b.file.RoomID, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// replaced goes on in the room that somebody has upgraded the demo room to.
func (b *builder) replaced(ctx context.Context, teacher *Client) error {
	for range 10 {
		var tombstone struct {
			Next string `json:"replacement_room"`
		}
		err := teacher.State(ctx, b.file.RoomID, "m.room.tombstone", "", &tombstone)
		if IsCode(err, "M_NOT_FOUND") || err == nil && tombstone.Next == "" {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ask whether the demo room was replaced: %w", err)
		}
		b.file.RoomID = tombstone.Next
		if err := writeJSON(b.path, b.file); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) widgets(ctx context.Context) error {
	teacher := b.file.Users[0].client(b.homeserver)
	if len(b.file.Widgets) == 0 {
		w := NewWidget(b.options.LecternURL, "whiteboard", "Whiteboard")
		if err := teacher.AddWidget(ctx, b.file.RoomID, w); err != nil {
			return fmt.Errorf("add the whiteboard: %w", err)
		}
		if err := teacher.ShowOnTop(ctx, b.file.RoomID, w); err != nil {
			return fmt.Errorf("show the whiteboard: %w", err)
		}
		b.file.Widgets = []Widget{w}
		fmt.Fprintf(b.options.Progress, "widget: %s, %s\n", w.Title, w.ID)
		return nil
	}
	for i, w := range b.file.Widgets {
		if url := w.At(b.options.LecternURL); url != w.URL {
			w.URL = url
			if err := teacher.AddWidget(ctx, b.file.RoomID, w); err != nil {
				return fmt.Errorf("move the %s to %s: %w", w.Kind, b.options.LecternURL, err)
			}
			b.file.Widgets[i] = w
		}
	}
	return nil
}
