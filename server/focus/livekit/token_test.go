package livekit

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

var (
	ours = Credentials{Key: "key", Secret: []byte(strings.Repeat("s", 32))}
	now  = time.Unix(1_800_000_000, 0)
)

func TestTokens(t *testing.T) {
	good := ours.Join("@ada:example.org:PHONE", "sealed", Grant{Room: "alias", CanPublish: new(true)}, now, time.Minute)
	c, err := ours.Check(good, now)
	if err != nil || c.Subject != "@ada:example.org:PHONE" || c.Video.Room != "alias" || !c.Video.RoomJoin || c.Video.RoomCreate || c.Video.RoomAdmin {
		t.Fatalf("FO5 got %+v, %v", c, err)
	}
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	for name, is := range map[string]struct {
		token string
		at    time.Time
	}{
		"expired":              {good, now.Add(time.Minute + skew + time.Second)},
		"not valid yet":        {good, now.Add(-time.Minute)},
		"of another secret":    {Credentials{"key", []byte(strings.Repeat("t", 32))}.Join("x", "", Grant{}, now, time.Minute), now},
		"of another key":       {Credentials{"other", ours.Secret}.Join("x", "", Grant{}, now, time.Minute), now},
		"without algorithm":    {none + "." + parts[1] + ".", now},
		"with another body":    {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"key"}`)) + "." + parts[2], now},
		"without a signature":  {parts[0] + "." + parts[1], now},
		"empty":                {"", now},
		"with a cut signature": {good[:len(good)-3], now},
	} {
		t.Run("FO10 a token "+name+" is not believed", func(t *testing.T) {
			if c, err := ours.Check(is.token, is.at); !errors.Is(err, ErrToken) {
				t.Errorf("got %+v, %v", c, err)
			}
		})
	}
}

func TestWebhook(t *testing.T) {
	body := []byte(`{"event":"participant_joined","room":{"name":"alias"},"participant":{"identity":"x"},"id":"EV_1","createdAt":"1"}`)
	sign := func(c Credentials, body []byte, at time.Time) string {
		sum := sha256.Sum256(body)
		return c.sign(Claims{NotBefore: at.Unix(), Expires: at.Add(time.Minute).Unix(), SHA256: base64.StdEncoding.EncodeToString(sum[:])})
	}
	e, err := ours.Webhook(sign(ours, body, now), body, now)
	if err != nil || e.Name != "participant_joined" || e.Room.Name != "alias" || e.Participant.Identity != "x" {
		t.Fatalf("FO10 got %+v, %v", e, err)
	}
	for name, is := range map[string]struct{ auth string }{
		"signed with another secret": {sign(Credentials{"key", []byte("another")}, body, now)},
		"over another body":          {sign(ours, []byte("{}"), now)},
		"that is a participant's":    {ours.Join("x", "", Grant{Room: "alias"}, now, time.Minute)},
		"long ago":                   {sign(ours, body, now.Add(-time.Hour))},
		"unsigned":                   {""},
	} {
		t.Run("FO10 a webhook "+name+" is refused", func(t *testing.T) {
			if e, err := ours.Webhook(is.auth, body, now); !errors.Is(err, ErrToken) {
				t.Errorf("got %+v, %v", e, err)
			}
		})
	}
}
