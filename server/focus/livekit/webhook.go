package livekit

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// MaxWebhook is the largest body that is read; a participant with all its tracks is some KB.
const MaxWebhook = 256 << 10

// Event of a webhook. Only what is needed of it: participants are asked for anew anyway, as webhooks come in any order, twice, or not at all.
type Event struct {
	Name string `json:"event"` // "participant_joined", "participant_left", "track_published", "room_finished", …
	Room struct {
		Name     string `json:"name"`
		Metadata string `json:"metadata"`
	} `json:"room"`
	Participant struct {
		Identity string `json:"identity"`
	} `json:"participant"`
}

// Webhook answers the event in a body whose Authorization header is a token of these credentials over the body's hash. Errors wrap ErrToken.
func (c Credentials) Webhook(authorization string, body []byte, now time.Time) (e Event, err error) {
	claims, err := c.Check(strings.TrimPrefix(authorization, "Bearer "), now)
	if err != nil {
		return e, err
	}
	sum := sha256.Sum256(body)
	said, err := base64.StdEncoding.DecodeString(claims.SHA256)
	if err != nil || subtle.ConstantTimeCompare(said, sum[:]) != 1 {
		return e, fmt.Errorf("%w: it is about another body", ErrToken)
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, fmt.Errorf("%w: the body is no event", ErrToken)
	}
	return e, nil
}
