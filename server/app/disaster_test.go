package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/transport/client"
)

// place is a board that is reached through a widget of a room.
type place struct {
	name, room string
	widget     devstack.Widget
	want       scene
}

// addRoom makes another room with Lectern's account in it.
func (w *world) addRoom(name string, plain bool) string {
	w.t.Helper()
	teacher := w.user(0)
	room, err := teacher.CreateClassroom(w.t.Context(), devstack.Room{Name: name, Companion: w.ready.Companion, Plain: plain})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := teacher.AwaitMembership(w.t.Context(), room, w.ready.Companion, "join"); err != nil {
		w.t.Fatal(err)
	}
	return room
}

func (w *world) addBoard(name, room string) *place {
	w.t.Helper()
	p := &place{name: name, room: room, widget: devstack.NewWidget(w.ready.Lectern, "whiteboard", name)}
	if err := w.user(0).AddWidget(w.t.Context(), room, p.widget); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// enter opens a place; right after a widget was added the companion may not know it yet.
func (w *world) enter(p *place, o client.Options) (d *draw) {
	w.t.Helper()
	var err error
	until(w.t, "open "+p.name, 20*time.Second, func() bool {
		d, err = w.openIn(w.t.Context(), w.user(0), p.room, p.widget.ID, o)
		return err == nil
	})
	w.t.Cleanup(d.Close)
	return d
}

// drawIn draws n strokes and waits until they are in the room.
func (w *world) drawIn(p *place, n int) {
	w.t.Helper()
	options, frames := watchSaved()
	d := w.enter(p, options)
	for range n {
		d.stroke()
	}
	if err := d.settled(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	p.want = w.scene(d)
	saved(w.t, frames, p.want.Seq)
	d.Close()
}

// found opens a place again and compares.
func (w *world) found(p *place) {
	w.t.Helper()
	d := w.enter(p, client.Options{})
	if got := w.scene(d); !equal(got.Heads, p.want.Heads) || len(got.Elements) != len(p.want.Elements) {
		w.t.Errorf("%s: got %d elements, heads %v, want %d, %v", p.name, len(got.Elements), got.Heads, len(p.want.Elements), p.want.Heads)
	}
	d.Close()
}

// built is the program itself, made once for all tests of the package; TestMain removes it.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// program answers the folder that the program lies in.
func program(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "lectern-program-"); built.err != nil {
			return
		}
		if out, err := exec.Command("go", "build", "-tags=goolm", "-o", built.dir+"/lectern", "github.com/educationpub/lectern").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build lectern: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}

// lectern runs a command of the program as an operator does.
func (w *world) lectern(args ...string) (string, error) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(program(w.t), "lectern"), args...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w *world) mustLectern(args ...string) string {
	w.t.Helper()
	out, err := w.lectern(args...)
	if err != nil {
		w.t.Fatalf("lectern %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (w *world) config() string { return filepath.Join(w.dir, "lectern.yaml") }
func (w *world) data() string   { return filepath.Join(w.dir, "lectern") }

// file reads what restore wrote.
func (w *world) file(name string) (f struct {
	Type     string
	Version  int
	Elements []map[string]any
},
) {
	w.t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(b)).Decode(&f)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// TestDisaster loses the machine.
func TestDisaster(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	t.Parallel() // it mostly waits
	w := newWorld(t)
	plain, other := w.addRoom("plain", true), w.addRoom("another class", false)
	places := []*place{
		w.addBoard("first", w.ready.RoomID), w.addBoard("second of the same room", w.ready.RoomID), w.addBoard("of a plain room", plain), w.addBoard("of another room", other),
	}
	for i, p := range places {
		w.drawIn(p, 5+10*i)
	}
	w.drawIn(places[0], 3)

	check := func(t *testing.T, p *place) {
		t.Helper()
		out := filepath.Join(t.TempDir(), "board.excalidraw")
		said := w.mustLectern("restore", "-config", w.config(), "-room", p.room, "-board", p.widget.Board, "-out", out)
		f := w.file(out)
		if f.Type != "excalidraw" || f.Version != 2 || len(f.Elements) != len(p.want.Elements) {
			t.Errorf("%s: got %s %d, %d elements, want %d; it said %s", p.name, f.Type, f.Version, len(f.Elements), len(p.want.Elements), said)
		}
		for _, e := range f.Elements {
			if points, ok := e["points"].([]any); !ok || len(points) < 10 || e["type"] != "freedraw" {
				t.Fatalf("an element is not as Excalidraw has it: %v", e)
			}
		}
		if again, err := w.lectern("restore", "-config", w.config(), "-room", p.room, "-board", p.widget.Board, "-out", out); err == nil {
			t.Errorf("a file that was there is written over: %s", again)
		}
	}
	t.Run("RS1 restore reads boards from their rooms while serve runs, which notices nothing", func(t *testing.T) {
		list := w.mustLectern("restore", "-config", w.config())
		for _, p := range places {
			if !strings.Contains(list, "-room '"+p.room+"' -board "+p.widget.Board) {
				t.Errorf("%s is not listed: %s", p.name, list)
			}
			check(t, p)
		}
		w.drawIn(places[1], 4) // the account's token and keys are as they were
		check(t, places[1])
		out, err := w.lectern("restore", "-config", w.config(), "-room", w.ready.RoomID, "-board", strings.Repeat("a", 26), "-out", filepath.Join(t.TempDir(), "x"))
		if err == nil || !strings.Contains(out, "holds no board") {
			t.Errorf("a board that is not there: %v, %s", err, out)
		}
	})
	w.stop()
	t.Run("RS1 restore works when nothing is left but password and recovery key", func(t *testing.T) {
		kept := w.lose(t)
		stop := w.homeserverAlone()
		defer stop()
		for _, p := range places {
			check(t, p)
		}
		if now := listDir(t, w.data()); now != kept {
			t.Errorf("restore left something in the data folder: %s, before %s", now, kept)
		}
	})
	t.Run("MX20 a new installation with the recovery key finds every board of every room", func(t *testing.T) {
		w.start()
		for _, p := range places {
			w.found(p)
		}
		w.drawIn(places[0], 2) // and it goes on
		w.drawIn(places[2], 2)
		w.stop()
		w.lose(t)
		w.start() // a second time: what the new device wrote is in the key backup as well
		for _, p := range places {
			w.found(p)
		}
	})
}

// lose deletes everything in the data folder but the password and the recovery key, and answers what is left.
func (w *world) lose(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(w.data())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); n != "recovery-key.txt" && n != "companion-password" {
			if err := os.RemoveAll(filepath.Join(w.data(), n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	left := listDir(t, w.data())
	if left != "companion-password recovery-key.txt" {
		t.Fatalf("left: %s", left)
	}
	return left
}

func listDir(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}
