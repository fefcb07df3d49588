package board_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
)

// again takes the actor of the newest refusal, as a client does after one.
func (c *client) fresh() {
	c.r.t.Helper()
	list := events[board.ResetEvent](c)
	c.a = boardtest.NewAuthor(list[len(list)-1].Actor)
	c.move()
}

// hide removes elements, each by a change of its own, and answers how many entries came of it.
func (c *client) hide(ids ...string) int {
	c.r.t.Helper()
	before := len(c.r.log.Entries(testBoard))
	c.move()
	for _, id := range ids {
		c.submit(c.a.Hide(id))
	}
	c.settle()
	return len(c.r.log.Entries(testBoard)) - before
}

func drawn(c *client, from, to int) (ids []string) {
	for i := from; i <= to; i++ {
		ids = append(ids, fmt.Sprintf("s%d-%d", c.s.ID(), i))
	}
	return ids
}

func TestEraseGuard(t *testing.T) {
	inBubble(t, "ER1 ER2 a quarter or ten of what others drew in ten seconds; more is refused before anything, moderators hear of it and may let the person", func(t *testing.T, r *rig) {
		r.set(eve, board.RoleModerator)
		a, b, m := r.join(ada), r.join(bob), r.join(eve)
		b.draw(60)
		for _, c := range []*client{b, a, m} {
			c.settle()
		}
		want(t, "a quarter goes", a.hide(drawn(b, 1, 15)...), 15)
		want(t, "one more does not", a.hide(drawn(b, 16, 16)...), 0)
		wantCodes(t, a, "erase_guard")
		m.settle()
		if h := events[board.HeldEvent](m); len(h) != 1 || h[0].Person != ada || h[0].Doc != a.doc || h[0].Count != 1 {
			t.Fatalf("moderator: %+v", h)
		}
		if len(events[board.HeldEvent](b)) > 0 {
			t.Error("somebody else was told")
		}
		a.fresh()
		time.Sleep(11 * time.Second) // virtual: the guard counts ten together
		want(t, "later eleven more, a quarter of what is left", a.hide(drawn(b, 16, 26)...), 11)
		want(t, "and no more", a.hide(drawn(b, 27, 28)...), 0)
		a.fresh()
		if err := r.hub.LetErase(context.Background(), testBoard, bob, ada); !errors.Is(err, board.ErrForbidden) {
			t.Errorf("a participant lets somebody: %v", err)
		}
		if err := r.hub.LetErase(context.Background(), testBoard, eve, ada); err != nil {
			t.Fatal(err)
		}
		want(t, "a moderator lets the person", a.hide(drawn(b, 27, 50)...), 24)
		time.Sleep(time.Minute) // virtual: as long as the permission
		want(t, "for a minute", a.hide(drawn(b, 51, 60)...), 10)
		r.check(a, b, m)
	})
	inBubble(t, "ER1 nobody asks about what one drew oneself, also in another session, nor moderators", func(t *testing.T, r *rig) {
		r.set(eve, board.RoleModerator)
		a, b, m := r.join(ada), r.join(bob), r.join(eve)
		first := r.join(ada)
		first.draw(30)
		b.draw(30)
		for _, c := range []*client{first, b, a, m} {
			c.settle()
		}
		want(t, "one's own", a.hide(drawn(first, 1, 30)...), 30)
		m.settle()
		want(t, "a moderator", m.hide(drawn(b, 1, 30)...), 30)
		wantCodes(t, a)
		wantCodes(t, m)
	})
	inBubble(t, "ER1 a single change that would remove everything, and a late one", func(t *testing.T, r *rig) {
		a, b := r.join(ada), r.join(bob)
		b.draw(40)
		b.settle()
		a.settle()
		a.move()
		away := boardtest.NewAuthor(a.a.Actor)
		for _, e := range r.log.Entries(testBoard) {
			away.See(e.Bytes)
		}
		var late [][]byte
		for _, id := range drawn(b, 1, 11) {
			late = append(late, away.Hide(id))
		}
		r.squash(a.doc)
		a.submit(late...)
		a.settle()
		wantCodes(t, a, "erase_guard")
		v, err := r.hub.Scene(context.Background(), testBoard, a.doc, nil)
		if err != nil {
			t.Fatal(err)
		}
		shown := 0
		for _, e := range v.Elements {
			if on, _ := e.Get("isDeleted"); on != true {
				shown++
			}
		}
		want(t, "ten of forty went", shown, 30)
	})
}

func TestHistory(t *testing.T) {
	inBubble(t, "ER3 ER4 versions before removals and pauses, over epochs, and who drew what", func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.set(eve, board.RoleModerator)
		a, m := r.join(ada), r.join(eve)
		a.draw(12)
		a.settle()
		m.settle()
		time.Sleep(20 * time.Minute) // virtual: a break
		m.draw(2)
		m.settle()
		r.squash(a.doc)
		m.settle()
		want(t, "removed", m.hide(drawn(a, 1, 12)...), 12)
		list, err := r.hub.Versions(ctx, testRoom, eve, testBoard, a.doc)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range list {
			got = append(got, fmt.Sprint(v.Why, v.By, v.Count))
		}
		want(t, "versions", strings.Join(got, " "), "removed"+string(eve)+"12 pause0")
		for i, shown := range []int{14, 12} {
			scene, err := r.hub.Version(ctx, testRoom, eve, testBoard, a.doc, list[i].Seq)
			if err != nil || len(scene) != shown {
				t.Errorf("version %d: %d elements, %v, want %d", i, len(scene), err, shown)
			}
		}
		if _, err := r.hub.Versions(ctx, testRoom, ada, testBoard, a.doc); !errors.Is(err, board.ErrForbidden) {
			t.Errorf("a participant asks: %v", err)
		}
		if _, err := r.hub.Version(ctx, testRoom, eve, testBoard, "nothing", 1); !errors.Is(err, board.ErrUnknownDoc) {
			t.Errorf("another page: %v", err)
		}
		for id, who := range map[string]board.Person{drawn(a, 3, 3)[0]: ada, drawn(m, 1, 1)[0]: eve} {
			if p, at, err := r.hub.Drew(ctx, testBoard, a.doc, id); err != nil || p != who || at.IsZero() {
				t.Errorf("%s: got %s %v %v, want %s", id, p, at, err, who)
			}
		}
		if _, _, err := r.hub.Drew(ctx, testBoard, a.doc, "nothing"); !errors.Is(err, board.ErrUnknownEpoch) {
			t.Errorf("an element that never was: %v", err)
		}
	})
}
