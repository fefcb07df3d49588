package app

import (
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// TestFullDisk fills the disk under a whole Lectern, and makes room again.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	if os.Geteuid() != 0 {
		t.Skip("a disk that is full for one process only needs root")
	}
	var log lockedText
	var data string
	w := newWorld(t, func(o *DevOptions) {
		o.Metrics = freeAddress(t)
		o.Log = slog.New(Redact(slog.NewJSONHandler(&log, nil)))
		data = filepath.Join(o.Dir, "lectern")
		if err := os.MkdirAll(data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=32m,mode=0700"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(data, 0); err != nil {
				t.Error(err)
			}
		})
	})
	frames := make(chan wire.Frame, 1000)
	o := client.Options{Frame: func(f wire.Frame, _ int) { frames <- f }}
	d := w.mustOpen(w.user(0), o)
	d.stroke()
	if err := d.settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(data, "filler")
	fill(t, filler)
	// What is drawn now needs the write-ahead log to grow; the first few changes may still find room in it.
	bye := ""
	var kept [][]byte
	for end := time.Now().Add(20 * time.Second); bye == "" && time.Now().Before(end); {
		raw := d.author.Stroke(2000)
		kept = append(kept, raw)
		d.Change(d.doc, 0, raw)
		select {
		case f := <-frames:
			if b, ok := f.(wire.Bye); ok {
				bye = b.Code
			}
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Run("BD30 on a full disk sessions are told and may come back", func(t *testing.T) {
		if bye != "storage" {
			t.Fatalf("got bye %q", bye)
		}
	})
	back := o
	back.Log, back.Actor = d.Welcome().Log, d.Welcome().Actor
	back.Have, _, _ = d.State()
	again := w.mustOpen(w.user(0), back) // LG24: signs in while nothing can be stored
	again.author = d.author
	newcomer := w.mustOpen(w.user(1), client.Options{})
	t.Run("BD30 LG24 people sign in, come back and come anew, and are told", func(t *testing.T) {
		a, n := again.Welcome(), newcomer.Welcome()
		if !a.Resume || string(a.Actor) != string(d.Welcome().Actor) || a.Saved.Problem != "storage" {
			t.Errorf("who was there got %+v", a)
		}
		if strings.Trim(string(n.Actor), "\x00") != "" || n.Saved.Problem != "storage" || n.Seq != a.Seq {
			t.Errorf("the newcomer got %+v", n)
		}
		if s := w.scene(newcomer); len(s.Elements) == 0 {
			t.Error("the newcomer sees nothing")
		}
	})
	t.Run("BD31 what they draw is neither taken nor refused", func(t *testing.T) {
		for _, raw := range kept {
			again.Change(again.doc, 0, raw)
		}
		again.Send(wire.LaneSocket, wire.Live{Slot: 0, Payload: []byte{1}})
		if s := again.Stats(); s.Resets != 0 {
			t.Fatalf("%d resets", s.Resets)
		}
	})
	t.Run("LG26 readiness, metrics and the log say so and what to do", func(t *testing.T) {
		if status, body := fetch(t, w.ready.Lectern+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "make room") {
			t.Errorf("%d %s", status, body)
		}
		if _, body := fetch(t, "http://"+w.opts.Metrics+"/metrics"); !strings.Contains(body, `lectern_store_fault{why="full"} 1`) {
			t.Error("no metric")
		}
		if s := log.String(); !strings.Contains(s, "nothing can be stored: boards are read-only") || !strings.Contains(s, "make room on the disk") {
			t.Errorf("log: %s", s)
		}
	})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	t.Run("LG20 BD31 with room again everything is stored by itself, and what was drawn meanwhile arrives", func(t *testing.T) {
		for _, s := range []*draw{again, newcomer} {
			select {
			case <-s.Done():
				if e, ok := errors.AsType[*client.ErrBye](s.Err()); !ok || e.Bye.Code != "storage" || e.Bye.RetryMS < 0 {
					t.Fatalf("ended with %v", s.Err())
				}
			case <-time.After(30 * time.Second):
				t.Fatal("nobody was told to come again")
			}
		}
		last := w.mustOpen(w.user(0), back)
		for _, raw := range kept {
			last.Change(last.doc, 0, raw)
		}
		if err := last.settled(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := last.Stats(); s.Resets != 0 || last.Welcome().Saved.Problem == "storage" {
			t.Fatalf("%d resets, welcome %+v", s.Resets, last.Welcome())
		}
		if status, body := fetch(t, w.ready.Lectern+"/readyz"); status != http.StatusOK {
			t.Errorf("%d %s", status, body)
		}
		if n := w.mustOpen(w.user(1), client.Options{}).Welcome(); strings.Trim(string(n.Actor), "\x00") == "" {
			t.Error("the newcomer still has no actor")
		}
	})
}

// fill takes all room on a file system.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for n := 1 << 20; n > 0; n /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, n))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}
