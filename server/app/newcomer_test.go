package app

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/matrix/member"
)

// TestNewcomerReadsTheCheckpoint: who is invited after the board was written to the room can read that very event with nothing but a Matrix client.
// It is not written again for them. The same for somebody of another homeserver.
func TestNewcomerReadsTheCheckpoint(t *testing.T) {
	if testing.Short() {
		t.Skip("needs real homeservers; -short was given")
	}
	ctx := t.Context()
	var second *devstack.Homeserver
	w := newWorld(t, func(o *DevOptions) {
		o.SecondHomeserver = true
		started := o.Started
		o.Started = func(s *devstack.Stack) { started(s); second = s.Second }
	})
	room, board := w.ready.RoomID, w.ready.Widgets[0].Board
	options, frames := watchSaved()
	teacher := w.mustOpen(w.user(0), options)
	draw := func(n int) scene {
		t.Helper()
		for range n {
			teacher.stroke()
		}
		if err := teacher.settled(ctx); err != nil {
			t.Fatal(err)
		}
		s, settled := w.scene(teacher), time.Now()
		saved(t, frames, s.Seq)
		t.Logf("seq %d in the room %s after the last acknowledgement", s.Seq, time.Since(settled).Round(time.Millisecond))
		return s
	}
	witness, err := member.New(ctx, w.user(0)) // only to fetch events as they stand
	if err != nil {
		t.Fatal(err)
	}
	draw(3)
	older, err := witness.Event(ctx, room, contentType, board)
	if err != nil {
		t.Fatal(err)
	}
	want := draw(20)
	before, err := witness.Event(ctx, room, contentType, board)
	if err != nil {
		t.Fatal(err)
	}
	if older.ID == before.ID {
		t.Fatal("the second checkpoint is the first: nothing older to compare with")
	}

	for name, at := range map[string]*devstack.Homeserver{"of the same homeserver": w.hs, "of another homeserver": second} {
		t.Run("MX17 a newcomer "+name+" decrypts the event that was there before", func(t *testing.T) {
			late, err := at.NewUser(ctx, "late", "Late")
			if err != nil {
				t.Fatal(err)
			}
			device, err := member.New(ctx, late)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.user(0).Invite(ctx, room, late.UserID); err != nil {
				t.Fatal(err)
			}
			joinInvited(t, late, room, w.hs.Name())
			joined := time.Now()
			var got member.Decrypted
			for {
				if err = device.Sync(ctx); err != nil {
					t.Fatal(err)
				}
				e, err := device.Event(ctx, room, contentType, board)
				if err == nil {
					got, err = device.Decrypt(ctx, e)
				}
				if err == nil {
					break
				}
				if time.Since(joined) > 15*time.Second {
					t.Fatalf("not readable 15 s after joining: %v", err)
				}
				time.Sleep(10 * time.Millisecond) // the other side is a real process
			}
			t.Logf("%d bytes readable %s after the join", len(got.Content), time.Since(joined).Round(time.Millisecond))
			if got.EventID != before.ID.String() || got.Sender != w.ready.Companion {
				t.Errorf("got event %s by %s, want the unchanged %s by %s", got.EventID, got.Sender, before.ID, w.ready.Companion)
			}
			var m struct {
				V     int    `json:"v"`
				Board string `json:"board"`
				Log   string `json:"log"`
				Seq   uint64 `json:"seq"`
				Docs  []struct {
					Doc   string   `json:"doc"`
					Heads []string `json:"heads"`
				} `json:"docs"`
			}
			if err := json.Unmarshal(got.Content, &m); err != nil {
				t.Fatal(err)
			}
			if m.Board != board || m.Log != want.Log || m.Seq < want.Seq {
				t.Errorf("got board %s, log %s, seq %d, want %s, %s, %d", m.Board, m.Log, m.Seq, board, want.Log, want.Seq)
			}
			var heads []string
			for _, d := range m.Docs {
				if d.Doc == teacher.doc {
					heads = d.Heads
				}
			}
			slices.Sort(want.Heads)
			if len(heads) == 0 || !slices.Equal(heads, want.Heads) {
				t.Errorf("got heads %v, want %v", heads, want.Heads)
			}
			if _, err := device.Decrypt(ctx, older); err == nil {
				t.Error("the newcomer reads a checkpoint that was replaced before they came")
			}
		})
	}
	t.Run("MX17 nothing was written again for them", func(t *testing.T) {
		after, err := witness.Event(ctx, room, contentType, board)
		if err != nil || after.ID != before.ID {
			t.Errorf("the room holds %v, %v, want %s", after, err, before.ID)
		}
	})
}

// joinInvited joins a room on another homeserver, which judges the join by its own state, where the invitation may not have arrived yet.
func joinInvited(t *testing.T, c *devstack.Client, room, via string) {
	t.Helper()
	invited := time.Now()
	for {
		err := c.Join(t.Context(), room, via)
		if err == nil {
			return
		}
		if !devstack.IsCode(err, "M_FORBIDDEN") || time.Since(invited) > 10*time.Second {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // a foreign server's view: nothing to wait on
	}
}
