package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/commands"
	"github.com/educationpub/lectern/server/devstack"
)

const (
	boardType = "com.educationpub.whiteboard.content"
	testBoard = "aaaaaaaaaaaaaaaaaaaaaaaaaa"
	testBase  = "https://lectern.example"
)

// One homeserver for all tests of the package; every test makes its own people and rooms.
var shared struct {
	once sync.Once
	hs   *devstack.Homeserver
	err  error
	dir  string
	n    atomic.Int64
}

func TestMain(m *testing.M) {
	code := m.Run()
	if b, err := os.ReadFile(filepath.Join(shared.dir, "homeserver.log")); code != 0 && err == nil {
		fmt.Fprintf(os.Stderr, "the homeserver's last words:\n%s\n", b[max(0, len(b)-4000):])
	}
	if shared.hs != nil {
		shared.hs.Stop()
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

func homeserver(t *testing.T) *devstack.Homeserver {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real homeserver: not run with -short")
	}
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "matrix-test-"); shared.err == nil {
			shared.hs, shared.err = devstack.StartHomeserver(context.Background(), devstack.Options{Dir: shared.dir, Progress: os.Stderr})
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.hs
}

// name makes a user name that no other test uses.
func name(base string) string { return fmt.Sprintf("%s%d", base, shared.n.Add(1)) }

func newUser(t *testing.T, base string) *devstack.Client {
	t.Helper()
	c, err := homeserver(t).NewUser(t.Context(), name(base), "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// testCompanion is a companion with what it reported.
type testCompanion struct {
	*Companion
	cancel context.CancelFunc
	done   chan error
	talk   *commands.Service // nil if it only listens
	hush   func()            // ends talk

	mu      sync.Mutex
	rooms   []string
	lost    []string
	rewrite []string
	written []string
}

func newAccount(t *testing.T) Config {
	t.Helper()
	hs, user, dir := homeserver(t), name("lectern"), t.TempDir()
	if err := hs.Register(t.Context(), user, "a companion's secret", false); err != nil {
		t.Fatal(err)
	}
	pw := filepath.Join(dir, "password")
	if err := os.WriteFile(pw, []byte("a companion's secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{Homeserver: hs.URL(), UserID: hs.UserID(user), PasswordFile: pw, DataDir: filepath.Join(dir, "data"), WidgetBases: []string{testBase}}
}

func startCompanion(t *testing.T, cfg Config) *testCompanion {
	t.Helper()
	tc := &testCompanion{done: make(chan error, 1)}
	add := func(l *[]string, s string) { tc.mu.Lock(); *l = append(*l, s); tc.mu.Unlock() }
	cfg.OnRoom = func(r string) { add(&tc.rooms, r) }
	cfg.OnOverwritten = func(r, typ, key string) { add(&tc.lost, r+" "+typ+" "+key) }
	cfg.OnWritten = func(r, typ, key string) { add(&tc.written, r+" "+typ+" "+key) }
	cfg.OnNeedsRewrite = func(r, typ, key string) { add(&tc.rewrite, r+" "+typ+" "+key) }
	if testing.Verbose() {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	var err error
	if tc.Companion, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	start, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if err := tc.Start(start); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	tc.cancel = cancel
	go func() { tc.done <- tc.Run(ctx) }()
	t.Cleanup(func() { tc.stop(t) })
	return tc
}

func (tc *testCompanion) stop(t *testing.T) {
	t.Helper()
	if tc.cancel == nil {
		return
	}
	if tc.hush != nil {
		tc.hush()
	}
	tc.cancel()
	tc.cancel = nil
	if err := <-tc.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := tc.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func (tc *testCompanion) saw(l *[]string, want string) bool {
	tc.mu.Lock()
	defer tc.mu.Unlock()
	for _, s := range *l {
		if s == want {
			return true
		}
	}
	return false
}

// await polls: the other side is a real process.
func await(t *testing.T, what string, limit time.Duration, f func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !f() {
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %s", what, limit)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

func (tc *testCompanion) joined(room, user string) bool {
	s, ok := tc.Standing(room, user)
	return ok && s.Joined
}

// newRoom makes a room with the companion in it and power level 50 for it.
func newTestRoom(t *testing.T, tc *testCompanion, by *devstack.Client, enc bool, invite ...string) string {
	t.Helper()
	var initial []any
	if enc {
		initial = append(initial, map[string]any{"type": "m.room.encryption", "content": map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}})
	}
	room, err := by.CreateRoom(t.Context(), map[string]any{
		"preset": "private_chat", "invite": append([]string{tc.UserID()}, invite...), "initial_state": initial,
		"power_level_content_override": map[string]any{"users": map[string]int{by.UserID: 100, tc.UserID(): 50}},
	})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "companion joins", 5*time.Second, func() bool {
		s, ok := tc.Standing(room, tc.UserID())
		return ok && s.Joined && s.Complete && tc.Encrypted(room) == enc
	})
	return room
}

// matrixUser is an ordinary encrypting client, as a member's Matrix client would be.
type matrixUser struct {
	t     testing.TB
	cli   *mautrix.Client
	mach  *crypto.OlmMachine
	store *crypto.MemoryStore
	since string
}

func newDevice(t *testing.T, user *devstack.Client) *matrixUser {
	t.Helper()
	return deviceOf(t, homeserver(t), user)
}

func deviceOf(t *testing.T, hs *devstack.Homeserver, user *devstack.Client) *matrixUser {
	t.Helper()
	cli, err := mautrix.NewClient(hs.URL(), id.UserID(user.UserID), user.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	cli.DeviceID = id.DeviceID(user.DeviceID)
	cli.Log = zerolog.Nop()
	states := mautrix.NewMemoryStateStore()
	cli.StateStore = states
	m := &matrixUser{t: t, cli: cli, store: crypto.NewMemoryStore(nil)}
	m.mach = crypto.NewOlmMachine(cli, &cli.Log, m.store, states.(crypto.StateStore))
	m.mach.AllowEncryptedState = true
	if err := m.mach.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.mach.ShareKeys(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	return m
}

// sync takes one answer and handles its crypto and state.
func (m *matrixUser) sync() {
	m.t.Helper()
	resp, err := m.cli.SyncRequest(m.t.Context(), 0, m.since, "", false, "")
	if err != nil {
		m.t.Fatal(err)
	}
	for rid, r := range resp.Rooms.Join {
		for _, e := range append(r.State.Events, r.Timeline.Events...) {
			e.RoomID = rid
			if e.StateKey != nil {
				e.Type.Class = event.StateEventType
				_ = e.Content.ParseRaw(e.Type)
				mautrix.UpdateStateStore(m.t.Context(), m.cli.StateStore, e)
			}
		}
	}
	m.mach.ProcessSyncResponse(m.t.Context(), resp, m.since)
	m.since = resp.NextBatch
}

// read decrypts the content event as it stands in the room.
func (m *matrixUser) read(room, key string) (json.RawMessage, *event.Event, error) {
	m.t.Helper()
	m.sync()
	e, err := m.cli.FullStateEvent(m.t.Context(), id.RoomID(room), encrypted, boardType+":"+key)
	if err != nil {
		return nil, nil, err
	}
	var c event.EncryptedEventContent
	if err := json.Unmarshal(e.Content.VeryRaw, &c); err != nil {
		return nil, e, err
	}
	e.Content.Parsed = &c
	d, err := m.mach.DecryptMegolmEvent(m.t.Context(), e)
	if err != nil {
		return nil, e, err
	}
	return d.Content.VeryRaw, d, nil
}

// awaits reads until the content is there: to-device messages and state reach other people's /sync a moment after the homeserver's 200.
func (m *matrixUser) awaits(room, want string) time.Duration {
	m.t.Helper()
	var got json.RawMessage
	var err error
	start := time.Now()
	for time.Since(start) < 5*time.Second {
		if got, _, err = m.read(room, testBoard); err == nil && string(got) == want {
			return time.Since(start)
		}
		time.Sleep(5 * time.Millisecond)
	}
	m.t.Fatalf("member reads %s, %v; want %s", got, err, want)
	return 0
}

// encrypt makes ciphertext as this member's client would.
func (m *matrixUser) encrypt(room, typ string, key *string, content any) *event.EncryptedEventContent {
	m.t.Helper()
	m.sync()
	ctx, rid := m.t.Context(), id.RoomID(room)
	e, err := m.mach.EncryptMegolmEventWithStateKey(ctx, rid, event.Type{Type: typ, Class: event.StateEventType}, key, content)
	if crypto.IsShareError(err) {
		members, err2 := m.cli.StateStore.(*mautrix.MemoryStateStore).GetRoomJoinedOrInvitedMembers(ctx, rid)
		if err2 != nil {
			m.t.Fatal(err2)
		}
		if err := m.mach.ShareGroupSession(ctx, rid, members); err != nil {
			m.t.Fatal(err)
		}
		e, err = m.mach.EncryptMegolmEventWithStateKey(ctx, rid, event.Type{Type: typ, Class: event.StateEventType}, key, content)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return e
}

func write(t *testing.T, tc *testCompanion, room string, n int) string {
	t.Helper()
	ev, err := tc.WriteState(t.Context(), room, boardType, testBoard, fmt.Appendf(nil, `{"n":%d}`, n))
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func wantState(t *testing.T, tc *testCompanion, room string, n int) {
	t.Helper()
	s, err := tc.ReadState(t.Context(), room, boardType, testBoard)
	if err != nil {
		t.Fatalf("ReadState: %v", err)
	}
	if want := fmt.Sprintf(`{"n":%d}`, n); string(s.Content) != want {
		t.Fatalf("content: got %s, want %s", s.Content, want)
	}
	if s.Sender != tc.UserID() || s.EventID == "" || time.Since(s.At) > time.Hour {
		t.Errorf("state: %+v", s)
	}
}

func contains(dir, needle string) (where string) {
	_ = filepath.Walk(dir, func(p string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), needle) {
				where = p
			}
		}
		return nil
	})
	return where
}

func claimOne(m *matrixUser) *mautrix.ReqClaimKeys {
	return &mautrix.ReqClaimKeys{OneTimeKeys: mautrix.OneTimeKeysRequest{m.cli.UserID: {m.cli.DeviceID: id.KeyAlgorithmSignedCurve25519}}}
}
