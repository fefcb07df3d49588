package devstack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSecondHomeserver(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	first := newTestStack(t, UpOptions{Dir: dir, LecternURL: "http://localhost:1111", Second: true})
	carla := first.Client("carla")

	t.Run("DV16 a student of another homeserver is in the demo room", func(t *testing.T) {
		if first.Second == nil || carla == nil || carla.BaseURL != first.Second.URL() || carla.UserID != "@carla:"+first.Second.Name() {
			t.Fatalf("got second homeserver %v and client %+v", first.Second, carla)
		}
		if first.Second.Name() == first.Homeserver.Name() {
			t.Errorf("both homeservers are called %s", first.Second.Name())
		}
		for _, who := range []*Client{first.Client("teacher"), carla} { // both homeservers say so
			if got, err := who.Membership(ctx, first.RoomID, carla.UserID); err != nil || got != "join" {
				t.Errorf("asked by %s: got %q, %v, want join", who.UserID, got, err)
			}
		}
	})
	t.Run("DV7 the ready file names both homeservers and where everybody signs in", func(t *testing.T) {
		r := first.Ready("l", "c")
		want := []ReadyHomeserver{{first.Homeserver.Name(), first.Homeserver.URL()}, {first.Second.Name(), first.Second.URL()}}
		if diff := cmp.Diff(want, r.Homeservers); diff != "" {
			t.Errorf("homeservers (-want +got):\n%s", diff)
		}
		if len(r.Users) != 4 {
			t.Fatalf("got %d users, want 4", len(r.Users))
		}
		for i, u := range r.Users {
			if at := r.Homeservers[i/3].URL; u.Homeserver != at {
				t.Errorf("%s signs in at %q, want %q", u.UserID, u.Homeserver, at)
			}
		}
	})

	// Carla was removed: she stays removed.
	if err := first.Client("teacher").Kick(ctx, first.RoomID, carla.UserID, ""); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	t.Run("DV16 it belongs to the folder: a later start brings it back without being told", func(t *testing.T) {
		second := newTestStack(t, UpOptions{Dir: dir, LecternURL: "http://localhost:1111"})
		defer second.Stop()
		if second.Second == nil {
			t.Fatal("there is no second homeserver")
		}
		if diff := cmp.Diff(first.Ready("l", "c"), second.Ready("l", "c")); diff != "" {
			t.Errorf("ready file differs (-first +second):\n%s", diff)
		}
		if got, err := second.Client("teacher").Membership(ctx, second.RoomID, carla.UserID); err != nil || got != "leave" {
			t.Errorf("who was kicked: got %q, %v, want leave", got, err)
		}
		if _, err := second.Client("carla").WhoAmI(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("DV16 a folder that was started without federation is refused and left alone", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "homeserver"), 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "homeserver", "identity.json")
		if err := os.WriteFile(path, []byte(`{"name":"localhost","registration_secret":"x"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Up(ctx, UpOptions{Dir: dir, LecternURL: "http://localhost:1", Second: true})
		if err == nil {
			s.Stop()
		}
		if err == nil || !strings.Contains(err.Error(), "without federation") {
			t.Errorf("got %v, want a refusal", err)
		}
		if list, _ := filepath.Glob(filepath.Join(dir, "*")); len(list) != 1 {
			t.Errorf("the folder holds %v now", list)
		}
	})
}
