package checkpoint_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
	"github.com/educationpub/lectern/server/checkpoint"
)

// What an accepted companion writes is believed in what it may say, and refused with its reason in everything else; strangers are not even read.

// clone copies a manifest or leftovers as far down as the tests change them.
func clone(t *testing.T, m map[string]any) map[string]any {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func encode(t *testing.T, m map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestForgedHome(t *testing.T) {
	for name, tc := range map[string]struct {
		sender string
		forge  func(m, taken map[string]any)
		log    []string
	}{
		"an absurd term":                    {homeB, func(m, _ map[string]any) { m["term"] = 1 << 40 }, []string{"level=ERROR", "term 1099511627776"}},
		"a term that does not follow":       {homeB, func(m, _ map[string]any) { m["term"] = 900_000 }, []string{"level=ERROR", "does not follow our 1"}},
		"taken from a log there never was":  {homeB, func(_, taken map[string]any) { taken["log"] = "another" }, []string{"level=ERROR", "there never was"}},
		"taken as of what is still to come": {homeB, func(_, taken map[string]any) { taken["seq"] = 1000 }, []string{"level=ERROR", "our log ends at"}},
		"taken from itself":                 {homeB, func(_, taken map[string]any) { taken["home"] = homeB }, []string{"level=ERROR", "malformed"}},
		"a home that did not write it":      {homeC, func(map[string]any, map[string]any) {}, []string{"level=ERROR", "was written by"}},
		"a second term of nobody's":         {homeB, func(m, _ map[string]any) { delete(m, "taken") }, []string{"level=ERROR", "does not fit"}},
		"another board":                     {homeB, func(m, _ map[string]any) { m["board"] = "bbbbbbbbbbbbbbbbbbbbbbbbbb" }, []string{"level=ERROR", "it is of board"}},
		"an unknown field":                  {homeB, func(m, _ map[string]any) { m["more"] = 1 }, []string{"level=ERROR", "unknown field"}},
		"another version":                   {homeB, func(m, _ map[string]any) { m["v"] = 2 }, []string{"level=ERROR", "version 2"}},
		"a worse claim":                     {homeB, func(m, _ map[string]any) { m["term"] = 1; delete(m, "taken") }, []string{"level=WARN", "its_term=1"}},
		"a stranger":                        {"@mallory:a.example", func(map[string]any, map[string]any) {}, []string{"level=ERROR", "somebody else"}},
	} {
		t.Run("HO4 refused, logged and written over: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, a, b := drawn(t, homeA, homeB)
				pen := a.mustJoin(ada)
				settled()
				// What B would write if it took the board over, changed.
				h.cut(homeB)
				b.mustTakeOver()
				m := clone(t, b.seat.manifest())
				b.stop()
				tc.forge(m, m["taken"].(map[string]any))
				entries := len(a.entries())
				h.send(homeA, tc.sender, testType, string(testBoard), encode(t, m))
				settled()
				if m := a.seat.manifest(); m["home"] != homeA || m["term"] != 1.0 {
					t.Errorf("the room says %v", m)
				}
				if !a.logged(tc.log...) {
					t.Errorf("not logged: %v\n%s", tc.log, a.log)
				}
				if bye := pen.bye(); bye.Code != "" || len(a.entries()) != entries {
					t.Errorf("the board was harmed: %+v, %d new entries", bye, len(a.entries())-entries)
				}
				a.mustJoin(bob).put(9, "after")
			})
		})
	}
}

func TestForgedLeftovers(t *testing.T) {
	const typ = "com.educationpub.whiteboard.leftovers"
	doc := func(m map[string]any) map[string]any { return m["docs"].([]any)[0].(map[string]any) }
	data := func(d map[string]any, f func([]byte) []byte) {
		raw, _ := base64.StdEncoding.DecodeString(d["data"].(string))
		d["data"] = base64.StdEncoding.EncodeToString(f(raw))
	}
	for name, tc := range map[string]struct {
		sender, key string
		forge       func(h *hall, b *lectern, m map[string]any)
		reason      string
	}{
		"for another board":       {forge: func(_ *hall, _ *lectern, m map[string]any) { m["board"] = "bbbbbbbbbbbbbbbbbbbbbbbbbb" }, reason: "of board"},
		"under another key":       {key: string(testBoard) + ".other", forge: func(*hall, *lectern, map[string]any) {}, reason: "of board"},
		"of another kind":         {forge: func(_ *hall, _ *lectern, m map[string]any) { m["kind"] = "poll" }, reason: "of board"},
		"in another's name":       {sender: homeC, forge: func(*hall, *lectern, map[string]any) {}, reason: "were written by"},
		"of a stranger":           {sender: "@mallory:a.example", forge: func(*hall, *lectern, map[string]any) {}},
		"another version":         {forge: func(_ *hall, _ *lectern, m map[string]any) { m["v"] = 7 }, reason: "version 7"},
		"an unknown field":        {forge: func(_ *hall, _ *lectern, m map[string]any) { m["more"] = 7 }, reason: "unknown field"},
		"nothing in them":         {forge: func(_ *hall, _ *lectern, m map[string]any) { m["docs"] = []any{} }, reason: "0 documents"},
		"from a term to come":     {forge: func(_ *hall, _ *lectern, m map[string]any) { m["term"] = 3 }, reason: "term 3"},
		"an epoch of the future":  {forge: func(_ *hall, _ *lectern, m map[string]any) { doc(m)["epoch"] = 2 }, reason: "no epoch 2"},
		"an epoch that is not it": {forge: func(_ *hall, _ *lectern, m map[string]any) { doc(m)["epoch"] = 1 }, reason: "refused"},
		"an unknown page":         {forge: func(_ *hall, _ *lectern, m map[string]any) { doc(m)["doc"] = "01jd0000000000000000000009" }, reason: "no epoch 0"},
		"a bit turned": {forge: func(_ *hall, _ *lectern, m map[string]any) {
			data(doc(m), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}, reason: "change"},
		"cut short": {forge: func(_ *hall, _ *lectern, m map[string]any) {
			data(doc(m), func(b []byte) []byte { return b[:len(b)-3] })
		}, reason: "ends within"},
		"an author left out": {forge: func(_ *hall, _ *lectern, m map[string]any) { m["authors"] = map[string]any{} }, reason: "do not say whose"},
		"an actor of another person here": {forge: func(_ *hall, b *lectern, m map[string]any) {
			actors, _ := b.store.Actors(context.Background(), testBoard)
			for a, p := range actors {
				if p == bob && a[0] != 0 {
					m["authors"].(map[string]any)[hex.EncodeToString(a[:])] = string(ada)
				}
			}
		}, reason: "another person"},
		"an author who is nobody": {forge: func(_ *hall, _ *lectern, m map[string]any) {
			m["authors"].(map[string]any)["ff000000000000000000000000000000"] = "nobody"
		}, reason: "nobody"},
		"outside the grammar": {forge: func(_ *hall, _ *lectern, m map[string]any) {
			a := boardtest.NewAuthor(board.ActorID{0xfe})
			chunks := append(a.Make("x"), a.Foreign("x")...)
			doc(m)["data"] = base64.StdEncoding.EncodeToString(chunks)
			m["authors"] = map[string]any{hex.EncodeToString(a.Actor[:]): "@x:y.example"}
		}, reason: "refused"},
		"a file that is too large": {forge: func(h *hall, _ *lectern, m map[string]any) {
			big := make([]byte, 16<<20+1)
			h.files[hexSum(big)] = big
			delete(doc(m), "data")
			doc(m)["file"] = map[string]any{"url": "mxc://example.org/" + hexSum(big)}
		}, reason: "no such file"},
		"a pointer to another board's": {forge: func(_ *hall, _ *lectern, m map[string]any) {
			clear(m)
			maps.Copy(m, map[string]any{"v": 1, "board": "bbbbbbbbbbbbbbbbbbbbbbbbbb", "file": map[string]any{"url": "mxc://example.org/x"}})
		}, reason: "another board"},
	} {
		t.Run("HO6 refused with the reason, the board unharmed: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, a, b := drawn(t, homeA, homeB)
				h.cut(homeA)
				b.mustTakeOver()
				pen := b.mustJoin(bob)
				pen.put(20, "b0")
				a.mustJoin(ada).put(10, "a0")
				// A yields and writes its leftovers while B does not hear of them: they are what is forged.
				log := b.seat.manifest()["taken"].(map[string]any)["log"].(string)
				bees := b.seat.manifest()
				h.send(homeA, homeB, testType, string(testBoard), encode(t, bees))
				settled()
				key := string(testBoard) + "." + log
				real := a.seat.content(t, typ, key)
				if real == nil {
					t.Fatalf("A left nothing\n%s", a.log)
				}
				m := clone(t, real)
				tc.forge(h, b, m)
				sender, at := homeA, key
				if tc.sender != "" {
					sender = tc.sender
				}
				if tc.key != "" {
					at = tc.key
				}
				before, entries := b.scene(), len(b.entries())
				h.send(homeB, sender, typ, at, encode(t, m))
				settled()
				if tc.reason != "" && !b.logged("level=ERROR", "left of a board is refused", tc.reason) {
					t.Errorf("not refused because of %q\n%s", tc.reason, b.log)
				}
				if name != "outside the grammar" && len(b.entries()) != entries {
					t.Errorf("%d entries came in", len(b.entries())-entries)
				}
				if name != "outside the grammar" {
					sameScene(t, b.scene(), before)
				}
				if carried := b.home().Carried; len(carried) != 0 || pen.bye().Code != "" {
					t.Errorf("carried %v", carried)
				}
				b.mustJoin(eve).put(30, "after")
				// The real ones are taken in all the same.
				h.send(homeB, homeA, typ, key, encode(t, real))
				settled()
				if got := b.scene(); got["a0"] != 10 || got["b0"] != 20 || got["after"] != 30 || len(b.home().Carried) != 1 {
					t.Errorf("afterwards the board shows %v\n%s", sorted(got), b.log)
				}
				b.whole()
			})
		})
	}
	t.Run("HO6 leftovers that cannot be read yet are tried again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, a, b := drawn(t, homeA, homeB)
			h.cut(homeA)
			b.mustTakeOver()
			a.mustJoin(ada).put(10, "a0")
			until := time.Now().Add(5 * time.Minute)
			b.seat.fail = func(string) error {
				if time.Now().Before(until) {
					return &checkpoint.RoomError{Kind: checkpoint.Unreachable, Err: errors.New("the homeserver is away")}
				}
				return nil
			}
			h.heal()
			settled()
			settled()
			if got := b.scene(); got["a0"] != 10 {
				t.Errorf("got %v", sorted(got))
			}
		})
	})
}
