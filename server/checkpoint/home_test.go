package checkpoint_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
)

const eve = board.Person("@eve:c.example")

// settled lets everything that is due within a few minutes happen.
func settled() {
	for range 20 {
		time.Sleep(30 * time.Second)
		synctest.Wait()
	}
}

// drawn is a room whose board was begun at A by Ada and Bob.
func drawn(t *testing.T, users ...string) (*hall, *lectern, *lectern) {
	t.Helper()
	h := newHall(t, users...)
	a := h.lectern(homeA)
	pen := a.mustJoin(ada)
	pen.put(1, "one", "two", "three")
	a.mustJoin(bob).put(2, "two")
	pen.hide("three")
	a.save()
	return h, a, h.lectern(homeB)
}

func TestRules(t *testing.T) {
	t.Run("RU5 who may draw is in the room's copy, and comes back from it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, a, b := drawn(t, homeA, homeB)
			if rules, ok := a.seat.manifest()["rules"]; ok {
				t.Errorf("without rules the room says %v", rules)
			}
			moderators := board.DrawModerators
			for _, c := range []board.RulesChange{{Draw: &moderators}, {Person: &struct {
				ID  board.Person `json:"user_id"`
				May string       `json:"may"`
			}{bob, "watch"}}} {
				if err := a.hub.ChangeRules(t.Context(), testBoard, head, c); err != nil {
					t.Fatal(err)
				}
			}
			a.save()
			if got := fmt.Sprint(a.seat.manifest()["rules"]); got != fmt.Sprintf("map[barred:[%s] draw:moderators]", bob) {
				t.Errorf("the room says %s", got)
			}
			b.mustTakeOver()
			_, w, err := b.hub.Join(t.Context(), board.Join{Board: testBoard, Room: testRoom, Kind: testKind, Person: bob})
			if err != nil || w.Rules.Draw != board.DrawModerators || len(w.Rules.Barred) != 1 {
				t.Errorf("the new home says %+v, %v", w.Rules, err)
			}
		})
	})
}

func TestTakeOver(t *testing.T) {
	t.Run("HO2 HO3 HO4 the board moves: its people are told, its elements stay, the old home writes no more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, a, b := drawn(t, homeA, homeB)
			_, err := b.join(bob)
			wantElsewhere(t, err, homeA)
			who, err := b.current().Whose(t.Context(), testRoom, testKind, testBoard)
			if err != nil || who.Ours || who.Home != homeA || who.Since.IsZero() {
				t.Fatalf("got %+v, %v", who, err)
			}
			pen := a.mustJoin(ada)
			time.Sleep(time.Minute)
			b.mustTakeOver()
			m := b.seat.manifest()
			if m["term"] != 2.0 || m["home"] != homeB || m["taken"].(map[string]any)["home"] != homeA || m["docs"].([]any)[0].(map[string]any)["epoch"] != 1.0 {
				t.Errorf("the room says %v", m)
			}
			if bye := pen.bye(); bye.Close != 4410 || bye.Code != "board_elsewhere" || bye.Retry >= 0 {
				t.Errorf("people of the old home are told %+v", bye)
			}
			_, err = a.join(ada)
			wantElsewhere(t, err, homeB)
			if _, err := b.takeOver(); !errors.Is(err, checkpoint.ErrOurs) {
				t.Errorf("taking over what is ours: %v", err)
			}
			written := a.seat.count()
			b.mustJoin(ada).put(5, "four")
			settled()
			a.stop()
			a.start()
			a.current().Overwritten(testRoom, testType, string(testBoard))
			settled()
			_, err = a.join(ada)
			wantElsewhere(t, err, homeB)
			if n := a.seat.count() - written; n != 0 {
				t.Errorf("the old home wrote %d events", n)
			}
			if a.home().Owed != nil {
				t.Error("the old home still owes something, and had nothing")
			}
			sameScene(t, b.scene(), map[string]int64{"one": 1, "two": 2, "four": 5})
			a.whole()
			b.whole()
			if h.seats[homeB].manifest()["home"] != homeB {
				t.Error("the room went back")
			}
		})
	})

	t.Run("HO3 takeover_after: the first who opens it takes it over, with a warning; before that nobody", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, a, b := drawn(t, homeA, homeB)
			a.stop()
			b.stop()
			b.after = 24 * time.Hour
			b.start()
			time.Sleep(23 * time.Hour)
			_, err := b.join(bob)
			wantElsewhere(t, err, homeA)
			time.Sleep(2 * time.Hour)
			b.mustJoin(bob).put(3, "late")
			settled()
			if !b.logged("level=WARN", "takeover_after") || b.seat.manifest()["home"] != homeB || b.home().Term != 2 {
				t.Errorf("the room says %v", b.seat.manifest())
			}
			sameScene(t, b.scene(), map[string]int64{"one": 1, "two": 2, "late": 3})
			b.whole()
		})
	})

	// Every durable step of a take-over, interrupted before it; afterwards nobody says the word again.
	for name, step := range map[string]struct {
		at   func(b *lectern, n map[string]int) func(string) error
		open bool // somebody has to open the board for it to go on
	}{
		"the board is not restored yet": {open: true, at: func(b *lectern, n map[string]int) func(string) error {
			return func(e string) error {
				if n[e]++; e == "read" && n[e] > 1 {
					return errors.New("stopped")
				}
				return nil
			}
		}},
		"not squashed": {at: func(b *lectern, n map[string]int) func(string) error {
			b.verify = func() error { return errors.New("stopped") }
			return nil
		}},
		"not written": {at: func(b *lectern, n map[string]int) func(string) error {
			return func(e string) error {
				if e == "write" {
					return errors.New("stopped")
				}
				return nil
			}
		}},
	} {
		t.Run("HO3 a stop is made good: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := drawn(t, homeA, homeB)
				a.stop()
				b.seat.fail = step.at(b, map[string]int{})
				if saved, _ := b.takeOver(); saved {
					t.Fatal("the fault did not happen")
				}
				b.stop()
				if b.seat.manifest()["home"] != homeA {
					t.Fatal("it was written too early")
				}
				b.seat.fail, b.verify = nil, nil
				b.start()
				settled()
				if step.open {
					b.mustJoin(bob)
					settled()
				}
				m := b.seat.manifest()
				if m["home"] != homeB || m["term"] != 2.0 || m["docs"].([]any)[0].(map[string]any)["epoch"] != 1.0 || b.home().Taking != nil {
					t.Errorf("the room says %v, home %+v\n%s", m, b.home(), b.log)
				}
				sameScene(t, b.scene(), map[string]int64{"one": 1, "two": 2})
				b.whole()
				a.start()
				settled()
				_, err := a.join(ada)
				wantElsewhere(t, err, homeB)
			})
		})
	}

	t.Run("HO3 the word is void when the home has written in the meantime", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, a, b := drawn(t, homeA, homeB)
			reads := 0
			b.seat.fail = func(e string) error {
				if reads++; e == "read" && reads > 1 {
					return errors.New("stopped")
				}
				return nil
			}
			if _, err := b.takeOver(); err == nil {
				t.Fatal("the fault did not happen")
			}
			b.seat.fail = nil
			a.mustJoin(ada).put(9, "more")
			a.save()
			_, err := b.join(bob)
			wantElsewhere(t, err, homeA)
			a.mustJoin(ada).put(10, "more")
		})
	})

	t.Run("HO4 two take over at once: the lower id has it, the other's work comes to it", func(t *testing.T) {
		for _, first := range []string{homeB, homeC} {
			synctest.Test(t, func(t *testing.T) {
				h, a, b := drawn(t, homeA, homeB, homeC)
				c := h.lectern(homeC)
				a.stop()
				h.cut(homeB)
				h.cut(homeC)
				for _, l := range map[bool][]*lectern{true: {b, c}, false: {c, b}}[first == homeB] {
					l.mustTakeOver()
					time.Sleep(time.Second)
				}
				b.mustJoin(bob).put(7, "b")
				c.mustJoin(eve).put(8, "c", "one")
				c.squash()
				c.mustJoin(eve).put(9, "c2")
				h.heal()
				settled()
				_, err := c.join(eve)
				wantElsewhere(t, err, homeB)
				sameScene(t, b.scene(), map[string]int64{"one": 8, "two": 2, "b": 7, "c": 8, "c2": 9})
				a.start()
				settled()
				if c.home().Owed != nil || a.home().Home != homeB || b.seat.manifest()["home"] != homeB {
					t.Errorf("C owes %+v, A's home %+v\n%s", c.home().Owed, a.home(), c.log)
				}
				b.whole()
				c.whole()
			})
		}
	})

	t.Run("HO7 the board goes back to the first home", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, a, b := drawn(t, homeA, homeB)
			b.mustTakeOver()
			b.mustJoin(bob).put(4, "b")
			b.save()
			b.stop()
			a.mustTakeOver()
			a.mustJoin(ada).put(5, "a")
			a.save()
			if m := a.seat.manifest(); m["home"] != homeA || m["term"] != 3.0 || m["docs"].([]any)[0].(map[string]any)["epoch"] != 2.0 {
				t.Errorf("the room says %v", m)
			}
			sameScene(t, a.scene(), map[string]int64{"one": 1, "two": 2, "a": 5, "b": 4})
			b.start()
			settled()
			_, err := b.join(bob)
			wantElsewhere(t, err, homeA)
			a.whole()
		})
	})
}

// The old home lives on behind a partition, draws and squashes, while the new one takes the board over; then both see each other again.
func TestPartition(t *testing.T) {
	for _, squashes := range []int{0, 1, 2} {
		for _, last := range []string{homeA, homeB} {
			t.Run(fmt.Sprintf("HO4 HO5 HO6 %d squashes at the old home, the last word before the cut heals is %s's", squashes, last), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h, a, b := drawn(t, homeA, homeB)
					h.cut(homeA)
					b.mustTakeOver()

					work := func(l *lectern, who board.Person, x int64, own string) {
						l.mustJoin(who).put(x, own)
						l.save()
						time.Sleep(time.Minute)
					}
					late := a.mustJoin(ada).see() // stays in the old epoch
					work(a, ada, 10, "a0")
					b.mustJoin(bob).put(20, "b0", "one")
					for i := range squashes {
						a.squash()
						a.mustJoin(bob).put(int64(11+i), fmt.Sprintf("a%d", i+1), "a0")
						if i == 0 {
							late.submit(late.author.Make("late"))
							a.mustJoin(ada).hide("two")
						}
						a.save()
					}
					if last == homeB {
						b.mustJoin(bob).put(21, "b1")
						b.save()
					} else {
						work(a, ada, 12, "a9")
					}
					h.heal()
					settled()

					want := map[string]int64{"one": 20, "two": 2, "a0": 10, "b0": 20}
					for i := range squashes {
						want[fmt.Sprintf("a%d", i+1)], want["a0"] = int64(11+i), int64(11+i)
						want["late"] = 0
						delete(want, "two")
					}
					if last == homeB {
						want["b1"] = 21
					} else {
						want["a9"] = 12
					}
					sameScene(t, b.scene(), want)
					_, err := a.join(ada)
					wantElsewhere(t, err, homeB)
					m := b.seat.manifest()
					if carried, _ := m["carried"].([]any); m["home"] != homeB || m["term"] != 2.0 || len(carried) != 1 || a.home().Owed != nil {
						t.Errorf("the room says %v, A owes %+v\n%s", m, a.home().Owed, a.log)
					}
					a.whole()
					b.whole()

					// Again and again nothing happens.
					entries, written := len(b.entries()), b.seat.count()+a.seat.count()
					for _, l := range []*lectern{a, b} {
						l.stop()
						l.start()
					}
					h.heal()
					settled()
					if n := len(b.entries()); n != entries {
						t.Errorf("%d entries came by the same leftovers again", n-entries)
					}
					if n := b.seat.count() + a.seat.count(); n != written {
						t.Errorf("%d events were written when nothing had happened", n-written)
					}
					// A page of the old home that comes to the new one with its outbox is answered, and authors nothing twice.
					outbox := b.mustJoin(ada)
					for _, e := range a.entries() {
						if e.Epoch == 0 && e.Person == ada && e.Kind == board.KindChange {
							if err := outbox.session.Submit(t.Context(), e.Doc, e.Epoch, e.Bytes); err != nil {
								t.Fatal(err)
							}
						}
					}
					synctest.Wait()
					sameScene(t, b.scene(), want)
					if n := len(b.entries()); n != entries {
						t.Errorf("%d changes were taken twice", n-entries)
					}
				})
			})
		}
	}
}

func TestLeftovers(t *testing.T) {
	const typ = "com.educationpub.whiteboard.leftovers"
	// apart is a board that B has taken over while A draws behind a cut.
	apart := func(t *testing.T) (h *hall, a, b *lectern, pen *pen) {
		h, a, b = drawn(t, homeA, homeB)
		h.cut(homeA)
		b.mustTakeOver()
		return h, a, b, a.mustJoin(ada)
	}

	t.Run("HO5 what does not fit into the event goes into files", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, a, b, pen := apart(t)
			want := b.scene()
			pen.see()
			for i := range 40 {
				id := fmt.Sprintf("large%d", i)
				pen.submit(pen.author.Make(id))
				pen.submit(pen.author.Draw(id, 2_000))
				want[id] = 0
			}
			h.heal()
			settled()
			sameScene(t, b.scene(), want)
			var key string
			for k, e := range a.seat.state {
				if e.typ == typ {
					key = k
				}
			}
			if e := a.seat.state[key]; len(e.Content) > 2_000 || a.home().Owed != nil {
				t.Errorf("the event has %d bytes, A owes %v", len(e.Content), a.home().Owed)
			}
			b.whole()
		})
	})

	t.Run("HO5 leftovers that somebody overwrites are written again until the home has them", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, a, b, pen := apart(t)
			pen.put(10, "a0")
			b.stop()
			h.heal()
			settled()
			for k, e := range a.seat.state {
				if e.typ == typ {
					h.send(homeA, "@mallory:a.example", e.typ, e.key, []byte(`{"v":1}`))
					settled()
					if now := a.seat.state[k]; now.Sender != homeA {
						t.Errorf("the room has %s's", now.Sender)
					}
				}
			}
			b.start()
			settled()
			if got := b.scene(); got["a0"] != 10 || a.home().Owed != nil {
				t.Errorf("got %v, A owes %v", sorted(got), a.home().Owed)
			}
		})
	})

	t.Run("HO5 a stop between yielding and writing loses nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, a, b, pen := apart(t)
			pen.put(10, "a0")
			a.seat.fail = failOn("write", checkpoint.Unreachable, 0)
			h.heal()
			settled()
			if a.home().Home != homeB || a.home().Left != 0 {
				t.Fatalf("A's home is %+v", a.home())
			}
			a.stop()
			a.seat.fail = nil
			a.start()
			settled()
			if got := b.scene(); got["a0"] != 10 || a.home().Owed != nil {
				t.Errorf("got %v, A owes %v", sorted(got), a.home().Owed)
			}
		})
	})

	t.Run("HO6 a stop between taking in and remembering it does nothing twice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, _, b, pen := apart(t)
			pen.put(10, "a0")
			h.heal()
			settled()
			entries, scene := len(b.entries()), b.scene()
			home := b.home()
			home.Carried = nil
			b.stop()
			forgotten := &lectern{t: t, seat: b.seat, dir: b.dir}
			forgotten.openStore()
			if err := forgotten.store.PutHome(t.Context(), testBoard, testRoom, testKind, home); err != nil {
				t.Fatal(err)
			}
			if err := forgotten.store.Close(); err != nil {
				t.Fatal(err)
			}
			b.start()
			settled()
			sameScene(t, b.scene(), scene)
			if len(b.entries()) != entries || len(b.home().Carried) != 1 {
				t.Errorf("%d new entries, carried %v", len(b.entries())-entries, b.home().Carried)
			}
			b.whole()
		})
	})

	t.Run("HO4 an event whose key has not come is neither used nor written over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, a, b, pen := apart(t)
			b.mustJoin(bob).put(20, "b0")
			b.save()
			keyless := true
			a.seat.fail = func(e string) error {
				if e == "read" && keyless {
					return fmt.Errorf("%w: %w", checkpoint.ErrNoKey, checkpoint.ErrUntrusted)
				}
				return nil
			}
			h.heal()
			written := a.seat.count()
			pen.put(10, "a0")
			settled()
			if n := a.seat.count() - written; n != 0 || a.home().Home != "" || b.seat.manifest()["home"] != homeB {
				t.Errorf("A wrote %d events, its home is %q", n, a.home().Home)
			}
			pen.put(11, "a0") // and people go on
			keyless = false
			settled()
			if got := b.scene(); got["a0"] != 11 || got["b0"] != 20 || a.home().Home != homeB {
				t.Errorf("got %v, home %+v", sorted(got), a.home())
			}
		})
	})
}
