package devstack

import (
	"io"
	"testing"
)

func TestInstance(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	dir := t.TempDir()
	up := func(instance string) *Stack {
		t.Helper()
		s, err := Up(t.Context(), UpOptions{Dir: dir, LecternURL: "http://localhost:1", Instance: instance, Progress: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Stop)
		return s
	}
	second := up("second")
	membership, err := second.Client("teacher").Membership(t.Context(), second.RoomID, second.Companion.UserID)
	if err != nil {
		t.Fatal(err)
	}
	second.Stop()
	again := up("second")
	again.Stop()
	first := up("")
	t.Run("DV17 instances of a folder have accounts of their own in the same room, and know of each other", func(t *testing.T) {
		if second.Companion.UserID != "@lectern-second:localhost" || len(second.Others) != 1 || second.Others[0] != first.Companion.UserID || membership != "invite" {
			t.Errorf("the second is %s, beside %v, membership %q", second.Companion.UserID, second.Others, membership)
		}
		if first.Companion.UserID != "@lectern:localhost" || len(first.Others) != 1 || first.Others[0] != second.Companion.UserID || first.RoomID != second.RoomID {
			t.Errorf("the first is %s, beside %v", first.Companion.UserID, first.Others)
		}
		if again.Companion != second.Companion {
			t.Error("the second start made another account")
		}
	})
}
