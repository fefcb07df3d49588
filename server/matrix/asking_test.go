package matrix

import (
	"context"
	"crypto/rand"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/focus"
)

func TestQuestionsBetweenCompanions(t *testing.T) {
	var heard atomic.Int32
	cfgA, cfgB, cfgC := newAccount(t), newAccount(t), newAccount(t)
	cfgA.Accepts, cfgB.Accepts = []string{cfgB.UserID, cfgC.UserID}, []string{cfgA.UserID}
	cfgB.OnAsked = func(_ context.Context, companion string, q focus.Question) focus.Answer {
		heard.Add(1)
		return focus.Answer{V: 1, Nonce: q.Nonce, Focus: "asked by " + companion, Outcome: focus.Enforced}
	}
	cfgC.OnAsked = cfgB.OnAsked // and accepts nobody
	a, b, c := startCompanion(t, cfgA), startCompanion(t, cfgB), startCompanion(t, cfgC)
	teacher := newUser(t, "teacher")
	ask := func(room string, patience time.Duration) ([]focus.Answer, int) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return a.Ask(ctx, focus.Question{V: 1, Nonce: rand.Text(), Room: room})
	}
	for _, enc := range []bool{true, false} {
		alone := newTestRoom(t, a, teacher, enc)
		if answers, silent := ask(alone, time.Second); len(answers)+silent != 0 {
			t.Errorf("FO14 somebody who is not in the room was asked: %v, %d", answers, silent)
		}
		room := newTestRoom(t, a, teacher, enc, b.UserID())
		await(t, "joined", 5e9, func() bool { return a.joined(room, b.UserID()) })
		if answers, silent := ask(room, 10*time.Second); silent != 0 || len(answers) != 1 || answers[0].Focus != "asked by "+a.UserID() || answers[0].Outcome != focus.Enforced {
			t.Errorf("FO14 got %+v, %d silent", answers, silent)
		}
	}
	both := newTestRoom(t, a, teacher, true, b.UserID(), c.UserID())
	await(t, "joined", 5e9, func() bool { return a.joined(both, b.UserID()) && a.joined(both, c.UserID()) })
	if answers, silent := ask(both, 2*time.Second); silent != 1 || len(answers) != 1 {
		t.Errorf("FO14 who does not accept us stays silent: got %+v, %d silent", answers, silent)
	}

	t.Run("FO14 only what was encrypted, and comes from an accepted companion, is heard", func(t *testing.T) {
		before := heard.Load()
		question := func() map[string]any { return map[string]any{"v": 1, "nonce": rand.Text(), "room_id": both} }
		send := func(from *testCompanion, q map[string]any) {
			t.Helper()
			if err := from.tell(t.Context(), []id.UserID{b.user}, focus.QuestionType, q); err != nil {
				t.Fatal(err)
			}
		}
		send(c, question())
		long := question()
		long["by"] = strings.Repeat("x", maxQuestion)
		send(a, long)
		_, err := a.client.SendToDevice(t.Context(), event.Type{Type: focus.QuestionType, Class: event.ToDeviceEventType}, &mautrix.ReqSendToDevice{
			Messages: map[id.UserID]map[id.DeviceID]*event.Content{b.user: {b.client.DeviceID: {Raw: question()}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		send(a, question()) // comes after the others
		await(t, "the last one", 10*time.Second, func() bool { return heard.Load() > before })
		if n := heard.Load() - before; n != 1 {
			t.Errorf("%d were heard", n)
		}
	})
}
