package livekit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	callTime  = 5 * time.Second
	maxAnswer = 8 << 20 // 150 participants with their tracks are some 300 KB
)

// Client calls a RoomService. Safe for concurrent use.
type Client struct {
	credentials Credentials
	base        string
	http        *http.Client
}

// NewClient takes the server's address, http(s) or ws(s), without asking anything.
func NewClient(address string, c Credentials) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("livekit: %q is not an address such as wss://livekit.school.example", address)
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	case "http", "https":
	default:
		return nil, fmt.Errorf("livekit: %q is not an address such as wss://livekit.school.example", address)
	}
	return &Client{
		credentials: c, base: strings.TrimRight(u.String(), "/") + "/twirp/livekit.RoomService/",
		http: &http.Client{Timeout: callTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// Credentials of the client.
func (c *Client) Credentials() Credentials { return c.credentials }

// Error is LiveKit's refusal.
type Error struct {
	Status int
	Code   string `json:"code"` // of Twirp: "not_found", "unauthenticated", …
	Msg    string `json:"msg"`
}

func (e *Error) Error() string { return fmt.Sprintf("livekit: %s (%d): %s", e.Code, e.Status, e.Msg) }

// ErrDown is any reason why LiveKit did not answer: not reachable, too slow, or in trouble itself.
var ErrDown = errors.New("livekit: the call server does not answer")

// IsNotFound says that there is no such room or participant.
func IsNotFound(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == "not_found"
}

// Room is a LiveKit room.
type Room struct {
	Name            string `json:"name"`
	Metadata        string `json:"metadata,omitempty"`
	EmptyTimeout    int    `json:"empty_timeout,omitempty"`     // seconds without anybody having joined
	DepartureLimit  int    `json:"departure_timeout,omitempty"` // seconds after the last one left
	MaxParticipants int    `json:"max_participants,omitempty"`
}

// Track that a participant publishes.
type Track struct {
	Sid    string `json:"sid"`
	Type   string `json:"type"` // "AUDIO", "VIDEO", "DATA"
	Source Source `json:"source"`
	Muted  bool   `json:"muted"`
}

// Permission of a participant. Without sources, publishing means all of them.
type Permission struct {
	CanSubscribe   bool     `json:"can_subscribe"`
	CanPublish     bool     `json:"can_publish"`
	CanPublishData bool     `json:"can_publish_data"`
	Sources        []Source `json:"can_publish_sources"`
	Hidden         bool     `json:"hidden,omitempty"`
	UpdateMetadata bool     `json:"can_update_metadata"`
}

// Participant in a room.
type Participant struct {
	Identity   string     `json:"identity"`
	State      string     `json:"state"` // "JOINING", "JOINED", "ACTIVE", "DISCONNECTED"
	Kind       string     `json:"kind"`  // "STANDARD", "INGRESS", "EGRESS", …
	Metadata   string     `json:"metadata"`
	Tracks     []Track    `json:"tracks"`
	Permission Permission `json:"permission"`
}

// CreateRoom makes a room; one that exists stays as it is.
func (c *Client) CreateRoom(ctx context.Context, r Room) error {
	return c.call(ctx, "CreateRoom", Grant{RoomCreate: true}, r, nil)
}

// ListRooms answers the rooms there are.
func (c *Client) ListRooms(ctx context.Context) (rooms []Room, err error) {
	var out struct {
		Rooms []Room `json:"rooms"`
	}
	err = c.call(ctx, "ListRooms", Grant{RoomList: true}, struct{}{}, &out)
	return out.Rooms, err
}

// DeleteRoom ends a room for everybody in it.
func (c *Client) DeleteRoom(ctx context.Context, room string) error {
	return c.call(ctx, "DeleteRoom", Grant{RoomCreate: true}, map[string]any{"room": room}, nil)
}

// ListParticipants answers who is in a room; nobody in one that does not exist.
func (c *Client) ListParticipants(ctx context.Context, room string) ([]Participant, error) {
	var out struct {
		Participants []Participant `json:"participants"`
	}
	err := c.admin(ctx, room, "ListParticipants", map[string]any{"room": room}, &out)
	if IsNotFound(err) {
		return nil, nil
	}
	return out.Participants, err
}

// RemoveParticipant disconnects a participant. The token with which it joined stays good.
func (c *Client) RemoveParticipant(ctx context.Context, room, identity string) error {
	return c.admin(ctx, room, "RemoveParticipant", map[string]any{"room": room, "identity": identity}, nil)
}

// MuteTrack mutes a track; its owner may unmute it.
func (c *Client) MuteTrack(ctx context.Context, room, identity, track string) error {
	return c.admin(ctx, room, "MutePublishedTrack", map[string]any{"room": room, "identity": identity, "track_sid": track, "muted": true}, nil)
}

// SetPermission replaces what a participant may do; tracks that are no longer allowed end.
func (c *Client) SetPermission(ctx context.Context, room, identity string, p Permission) error {
	return c.admin(ctx, room, "UpdateParticipant", map[string]any{"room": room, "identity": identity, "permission": p}, nil)
}

func (c *Client) admin(ctx context.Context, room, method string, in, out any) error {
	return c.call(ctx, method, Grant{RoomAdmin: true, Room: room}, in, out)
}

func (c *Client) call(ctx context.Context, method string, g Grant, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("livekit: %s: %w", method, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+method, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("livekit: %s: %w", method, err)
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.credentials.sign(Claims{NotBefore: now.Add(-skew).Unix(), Expires: now.Add(time.Minute).Unix(), Video: &g}))
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDown, method, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil || len(answer) > maxAnswer {
		return fmt.Errorf("%w: %s: its answer breaks off or is too large", ErrDown, method)
	}
	if resp.StatusCode != http.StatusOK {
		e := &Error{Status: resp.StatusCode}
		if json.Unmarshal(answer, e) != nil || e.Code == "" {
			return fmt.Errorf("%w: %s: status %d", ErrDown, method, resp.StatusCode)
		}
		return e
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%w: %s: its answer is no JSON", ErrDown, method)
	}
	return nil
}

// Healthy asks whether the server answers at all, and takes the credentials.
func (c *Client) Healthy(ctx context.Context) error {
	_, err := c.ListRooms(ctx)
	return err
}
