package identity

import (
	"testing"
	"time"
)

func TestProveForAPurpose(t *testing.T) {
	ctx := t.Context()
	s, _, _ := setup(t)
	p := ask(tea).Proof
	for range 2 { // its answer got lost
		if user, err := s.ProveFor(ctx, p, "call one"); err != nil || user != tea {
			t.Fatalf("FO3 got %q, %v", user, err)
		}
	}
	_, err := s.ProveFor(ctx, p, "call two")
	code(t, err, "openid_replayed")
	l := ask(tea)
	l.Proof = p
	_, err = s.Login(ctx, l)
	code(t, err, "openid_replayed")
	now := time.Now()
	s.cfg.Now = func() time.Time { return now.Add(repeatFor + time.Second) }
	_, err = s.ProveFor(ctx, p, "call one")
	code(t, err, "openid_replayed")
	_, err = New(s.cfg).ProveFor(ctx, p, "call one") // a restart
	code(t, err, "openid_replayed")
	t.Run("FO3 what is remembered is bounded", func(t *testing.T) {
		many := proven{of: map[[32]byte]proof{}}
		for i := range maxRepeats + 10 {
			many.keep([32]byte{byte(i), byte(i >> 8)}, "x", "@u:x", now)
		}
		if len(many.of) > maxRepeats {
			t.Errorf("%d proofs remembered", len(many.of))
		}
		many.keep([32]byte{0, 0, 1}, "x", "@u:x", now.Add(repeatFor))
		if _, ok := many.find([32]byte{0, 0, 1}, "x", now.Add(repeatFor)); !ok {
			t.Error("what has run out makes no room")
		}
	})
}
