// Package livekit speaks to a LiveKit server with the standard library alone: tokens (JWT, HS256), the RoomService (Twirp, JSON) and signed webhooks.
// Names are LiveKit's. Sources: docs.livekit.io (tokens, server APIs, webhooks) and the .proto files of livekit/protocol.
package livekit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Credentials are an API key and its secret, as in LiveKit's "keys".
type Credentials struct {
	Key    string
	Secret []byte
}

// Source is where a track comes from.
type Source string

// Sources, as RoomService names them. In tokens they are lower case.
const (
	Microphone       Source = "MICROPHONE"
	Camera           Source = "CAMERA"
	ScreenShare      Source = "SCREEN_SHARE"
	ScreenShareAudio Source = "SCREEN_SHARE_AUDIO"
)

// Grant is the "video" claim of a token. A pointer that is nil is left to LiveKit's default, which is mostly "yes".
type Grant struct {
	Room                 string   `json:"room,omitempty"`
	RoomJoin             bool     `json:"roomJoin,omitempty"`
	RoomAdmin            bool     `json:"roomAdmin,omitempty"`
	RoomCreate           bool     `json:"roomCreate,omitempty"`
	RoomList             bool     `json:"roomList,omitempty"`
	CanPublish           *bool    `json:"canPublish,omitempty"`
	CanSubscribe         *bool    `json:"canSubscribe,omitempty"`
	CanPublishData       *bool    `json:"canPublishData,omitempty"`
	CanPublishSources    []string `json:"canPublishSources,omitempty"`
	CanUpdateOwnMetadata *bool    `json:"canUpdateOwnMetadata,omitempty"`
}

// Claims of a token.
type Claims struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub,omitempty"` // a participant's identity
	NotBefore int64  `json:"nbf"`           // Unix seconds
	Expires   int64  `json:"exp"`
	Metadata  string `json:"metadata,omitempty"`
	Video     *Grant `json:"video,omitempty"`
	SHA256    string `json:"sha256,omitempty"` // of a webhook's body, base64
}

// skew is how far clocks may be apart: tokens begin that much earlier, and are taken that much later.
const skew = 10 * time.Second

var (
	encoding = base64.RawURLEncoding
	header   = encoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`))
)

// Join is a token with which a participant joins one LiveKit room until it expires. (Connections that stand outlive it.)
func (c Credentials) Join(identity, metadata string, g Grant, now time.Time, ttl time.Duration) string {
	g.RoomJoin = true
	return c.sign(Claims{Subject: identity, Metadata: metadata, NotBefore: now.Add(-skew).Unix(), Expires: now.Add(ttl).Unix(), Video: &g})
}

func (c Credentials) sign(claims Claims) string {
	claims.Issuer = c.Key
	body, err := json.Marshal(claims)
	if err != nil {
		panic(err) // strings and numbers
	}
	text := header + "." + encoding.EncodeToString(body)
	return text + "." + encoding.EncodeToString(c.mac(text))
}

func (c Credentials) mac(text string) []byte {
	h := hmac.New(sha256.New, c.Secret)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// ErrToken is any reason not to believe a token.
var ErrToken = errors.New("livekit: the token is not to be believed")

// Check answers the claims of a token of these credentials that is valid now.
func (c Credentials) Check(token string, now time.Time) (Claims, error) {
	text, signature, ok := cutLast(token, ".")
	head, body, two := strings.Cut(text, ".")
	mac, err := encoding.DecodeString(signature)
	if !ok || !two || err != nil || !hmac.Equal(mac, c.mac(text)) {
		return Claims{}, fmt.Errorf("%w: signature", ErrToken)
	}
	var h struct {
		Alg string `json:"alg"`
	}
	var claims Claims
	if decode(head, &h) != nil || h.Alg != "HS256" || decode(body, &claims) != nil {
		return Claims{}, fmt.Errorf("%w: form", ErrToken)
	}
	if claims.Issuer != c.Key {
		return Claims{}, fmt.Errorf("%w: of another key", ErrToken)
	}
	if now.Add(skew).Unix() < claims.NotBefore || now.Add(-skew).Unix() > claims.Expires {
		return Claims{}, fmt.Errorf("%w: expired, or not valid yet", ErrToken)
	}
	return claims, nil
}

func decode(part string, v any) error {
	b, err := encoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
