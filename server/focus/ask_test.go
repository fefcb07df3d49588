package focus

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/educationpub/lectern/server/identity"
)

type companion = interface{ Rooms } // an embedded Rooms would hide its own method of that name

// classroom is a room as its companion would see it.
type classroom struct {
	companion
	people map[string]int // power levels of those who are joined
}

func (c classroom) Standing(_, user string) (identity.Standing, bool) {
	power, joined := c.people[user]
	return identity.Standing{Joined: joined, Complete: true, Power: power}, joined
}

// notebook keeps nothing.
type notebook struct{ Store }

func (notebook) SetEnded(context.Context, string, time.Time) error { return nil }

func TestWhomAnotherInstanceMayAskFor(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := &Service{
		cfg: Config{
			Log: slog.New(slog.DiscardHandler), Own: "https://ours.example/livekit/jwt", Store: notebook{}, Observe: func(Observation) {}, Now: func() time.Time { return now },
			Rooms: classroom{people: map[string]int{"@lectern:other.example": 50, "@ms:other.example": 50, "@kid:other.example": 0, "@mr:ours.example": 50, "@head:ours.example": 100, "@lectern:third.example": 50}},
		},
		ended: map[string]time.Time{}, watched: map[string]*watched{}, others: others{map[string]time.Time{}, map[string]*rate.Limiter{}},
	}
	for name, c := range map[string]struct {
		from, code string
		change     func(*Question)
	}{
		"a moderator of theirs":            {code: ""},
		"one of ours, in whose name":       {code: "not_theirs", change: func(q *Question) { q.By = "@head:ours.example" }},
		"one of a third homeserver":        {code: "forbidden", from: "@lectern:third.example", change: func(q *Question) { q.By = "@ms:third.example" }},
		"a student of theirs":              {code: "forbidden", change: func(q *Question) { q.By = "@kid:other.example" }},
		"somebody who is not in the room":  {code: "forbidden", change: func(q *Question) { q.By = "@gone:other.example" }},
		"a companion that is not in it":    {code: "not_theirs", from: "@stray:other.example"},
		"about an equal":                   {code: "not_below", change: func(q *Question) { q.Act = Act{Action: Remove, Person: "@mr:ours.example"} }},
		"about somebody above":             {code: "not_below", change: func(q *Question) { q.Act = Act{Action: MuteMicrophone, Person: "@head:ours.example"} }},
		"about nobody":                     {code: "bad_act", change: func(q *Question) { q.Act = Act{Action: Remove} }},
		"about a stranger":                 {code: "bad_act", change: func(q *Question) { q.Act = Act{Action: Remove, Identity: "EG_recorder"} }},
		"to take somebody out of the room": {code: "bad_act", change: func(q *Question) { q.Act = Act{Action: Kick, Person: "@kid:other.example"} }},
		"an act there is not":              {code: "bad_act", change: func(q *Question) { q.Act = Act{Action: "unmute", Person: "@kid:other.example"} }},
		"sources by the dozen":             {code: "bad_act", change: func(q *Question) { q.Act = Act{Action: AllowSources, Person: "*", Sources: make([]string, 17)} }},
		"too old":                          {code: "bad_request", change: func(q *Question) { q.At -= 61_000 }},
		"from the future":                  {code: "bad_request", change: func(q *Question) { q.At += 61_000 }},
		"a short nonce":                    {code: "bad_request", change: func(q *Question) { q.Nonce = "x" }},
		"a long nonce":                     {code: "bad_request", change: func(q *Question) { q.Nonce = strings.Repeat("x", 129) }},
		"of a version to come":             {code: "bad_request", change: func(q *Question) { q.V = 2 }},
	} {
		q := Question{V: 1, Nonce: rand.Text(), At: now.UnixMilli(), Room: "!r", By: "@ms:other.example", Act: Act{Action: Begin}}
		if c.change != nil {
			c.change(&q)
		}
		if c.from == "" {
			c.from = "@lectern:other.example"
		}
		got := s.Asked(t.Context(), c.from, q)
		if got.Code != c.code || (got.Outcome == Enforced) != (c.code == "") || got.Nonce != q.Nonce || got.Focus != s.cfg.Own {
			t.Errorf("FO14 %s: %+v, want %q", name, got, c.code)
		}
	}
	q := Question{V: 1, Nonce: rand.Text(), At: now.UnixMilli(), Room: "!r", By: "@ms:other.example", Act: Act{Action: Begin}}
	for _, want := range []string{"", "replayed"} {
		if got := s.Asked(t.Context(), "@lectern:other.example", q); got.Code != want {
			t.Errorf("FO14 the same request: %+v, want %q", got, want)
		}
	}
	var refused int
	for range 2 * askBurst {
		q.Nonce = rand.Text()
		if s.Asked(t.Context(), "@lectern:other.example", q).Code == "rate_limited" {
			refused++
		}
	}
	if refused < askBurst {
		t.Errorf("FO14 %d of %d were refused as too many", refused, 2*askBurst)
	}
	q.Nonce = rand.Text()
	if q.By = "@ms:third.example"; s.Asked(t.Context(), "@lectern:third.example", q).Code != "forbidden" {
		t.Error("FO14 one instance's flood is another one's, too")
	}
}
