package devstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Client is one device that speaks the client-server API in plain HTTP: no encryption, no retries, no state.
type Client struct {
	BaseURL  string // of the homeserver, without a slash at the end
	Password string // known for people that NewUser made
	Login
	HTTP *http.Client // nil: http.DefaultClient
}

// Error is a refusal by the homeserver.
type Error struct {
	Status     int    `json:"-"`
	Code       string `json:"errcode"`
	Message    string `json:"error"`
	RetryAfter int    `json:"retry_after_ms"`
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message) }

// IsCode tells whether an error is a refusal with this Matrix code ("M_FORBIDDEN", ...).
func IsCode(err error, code string) bool {
	refusal, ok := errors.AsType[*Error](err)
	return ok && refusal.Code == code
}

// maxAnswer bounds what a homeserver may send us.
const maxAnswer = 64 << 20

// Do sends one request. body is sent as JSON (nil: none; a []byte as it is); the answer is decoded into out unless that is nil
// (a *[]byte receives it as it is). Anything but 2xx is an *Error. path begins with a slash and is already escaped.
func (c *Client) Do(ctx context.Context, method, path string, body, out any) error {
	var reader io.Reader
	contentType := "application/json"
	switch body := body.(type) {
	case nil:
	case []byte:
		reader, contentType = bytes.NewReader(body), "application/octet-stream"
	default:
		data, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode %s %s: %w", method, path, err)
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.BaseURL+path, reader)
	if err != nil {
		return err
	}
	if reader != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if c.AccessToken != "" {
		req.Header.Set("Authorization", "Bearer "+c.AccessToken)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer of %s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		refusal := &Error{Status: resp.StatusCode}
		if json.Unmarshal(data, refusal) != nil || refusal.Code == "" {
			refusal.Code, refusal.Message = "M_UNRECOGNIZED", tail(string(data), 200)
		}
		return fmt.Errorf("%s %s: %w", method, path, refusal)
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*out = data
		return nil
	default:
		if err := json.Unmarshal(data, out); err != nil {
			return fmt.Errorf("decode answer of %s %s: %w", method, path, err)
		}
		return nil
	}
}

const v3 = "/_matrix/client/v3"

func roomPath(room string) string { return v3 + "/rooms/" + url.PathEscape(room) }

// Event is a room event as /state, /messages and /sync deliver it.
type Event struct {
	ID       string          `json:"event_id"`
	Type     string          `json:"type"`
	StateKey *string         `json:"state_key,omitempty"`
	Sender   string          `json:"sender"`
	Content  json.RawMessage `json:"content"`
}

// CreateRoom takes the body of /createRoom and answers the room's id.
func (c *Client) CreateRoom(ctx context.Context, body map[string]any) (string, error) {
	var out struct {
		RoomID string `json:"room_id"`
	}
	err := c.Do(ctx, http.MethodPost, v3+"/createRoom", body, &out)
	return out.RoomID, err
}

// Invite invites a person by full id.
func (c *Client) Invite(ctx context.Context, room, user string) error {
	return c.member(ctx, room, "invite", user, "")
}

// Kick removes a person.
func (c *Client) Kick(ctx context.Context, room, user, reason string) error {
	return c.member(ctx, room, "kick", user, reason)
}

// Ban removes a person and keeps them out.
func (c *Client) Ban(ctx context.Context, room, user, reason string) error {
	return c.member(ctx, room, "ban", user, reason)
}

// Unban lets a banned person be invited again.
func (c *Client) Unban(ctx context.Context, room, user string) error {
	return c.member(ctx, room, "unban", user, "")
}

func (c *Client) member(ctx context.Context, room, action, user, reason string) error {
	body := map[string]any{"user_id": user}
	if reason != "" {
		body["reason"] = reason
	}
	return c.Do(ctx, http.MethodPost, roomPath(room)+"/"+action, body, nil)
}

// Join joins a room by id or alias. via are the servers to ask when ours is not in the room.
func (c *Client) Join(ctx context.Context, room string, via ...string) error {
	path := v3 + "/join/" + url.PathEscape(room)
	if len(via) > 0 {
		path += "?" + url.Values{"server_name": via, "via": via}.Encode()
	}
	return c.Do(ctx, http.MethodPost, path, map[string]any{}, nil)
}

// Leave leaves a room.
func (c *Client) Leave(ctx context.Context, room string) error {
	return c.Do(ctx, http.MethodPost, roomPath(room)+"/leave", map[string]any{}, nil)
}

// SendState sets state and answers the event's id.
func (c *Client) SendState(ctx context.Context, room, eventType, key string, content any) (string, error) {
	return c.put(ctx, statePath(room, eventType, key), content)
}

// Send sends a message event in clear and answers its id.
func (c *Client) Send(ctx context.Context, room, eventType string, content any) (string, error) {
	return c.put(ctx, roomPath(room)+"/send/"+url.PathEscape(eventType)+"/"+rand.Text(), content)
}

func (c *Client) put(ctx context.Context, path string, content any) (string, error) {
	var out struct {
		ID string `json:"event_id"`
	}
	err := c.Do(ctx, http.MethodPut, path, content, &out)
	return out.ID, err
}

// State decodes the content of a state event into out.
func (c *Client) State(ctx context.Context, room, eventType, key string, out any) error {
	return c.Do(ctx, http.MethodGet, statePath(room, eventType, key), nil, out)
}

func statePath(room, eventType, key string) string {
	return roomPath(room) + "/state/" + url.PathEscape(eventType) + "/" + url.PathEscape(key)
}

// AllState answers the room's present state.
func (c *Client) AllState(ctx context.Context, room string) ([]Event, error) {
	var out []Event
	err := c.Do(ctx, http.MethodGet, roomPath(room)+"/state", nil, &out)
	return out, err
}

// Membership answers "join", "invite", "leave", "ban", or "" for a person who never was there.
func (c *Client) Membership(ctx context.Context, room, user string) (string, error) {
	var out struct {
		Membership string `json:"membership"`
	}
	err := c.State(ctx, room, "m.room.member", user, &out)
	if IsCode(err, "M_NOT_FOUND") {
		return "", nil
	}
	return out.Membership, err
}

// AwaitMembership polls until a person has this membership or ctx ends.
func (c *Client) AwaitMembership(ctx context.Context, room, user, membership string) error {
	for {
		got, err := c.Membership(ctx, room, user)
		if err == nil && got == membership {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is %q in %s, waiting for %q: %w", user, got, room, membership, errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// SetPower changes one person's power level and leaves the others alone.
func (c *Client) SetPower(ctx context.Context, room, user string, level int) error {
	var levels map[string]any
	if err := c.State(ctx, room, "m.room.power_levels", "", &levels); err != nil {
		return err
	}
	users, ok := levels["users"].(map[string]any)
	if !ok {
		users = map[string]any{}
		levels["users"] = users
	}
	users[user] = level
	_, err := c.SendState(ctx, room, "m.room.power_levels", "", levels)
	return err
}

// SetDisplayName changes our name everywhere.
func (c *Client) SetDisplayName(ctx context.Context, name string) error {
	path := v3 + "/profile/" + url.PathEscape(c.UserID) + "/displayname"
	return c.Do(ctx, http.MethodPut, path, map[string]any{"displayname": name}, nil)
}

// OpenID is what a Matrix client gives to a widget (MSC1960).
type OpenID struct {
	AccessToken      string `json:"access_token"`
	TokenType        string `json:"token_type"`
	MatrixServerName string `json:"matrix_server_name"`
	ExpiresIn        int    `json:"expires_in"`
}

// OpenID asks the homeserver for a fresh token.
func (c *Client) OpenID(ctx context.Context) (OpenID, error) {
	var out OpenID
	path := v3 + "/user/" + url.PathEscape(c.UserID) + "/openid/request_token"
	err := c.Do(ctx, http.MethodPost, path, map[string]any{}, &out)
	return out, err
}

// WhoAmI answers the user and device of the token; M_UNKNOWN_TOKEN when it is dead.
func (c *Client) WhoAmI(ctx context.Context) (Login, error) {
	var out Login
	err := c.Do(ctx, http.MethodGet, v3+"/account/whoami", nil, &out)
	out.AccessToken = c.AccessToken
	return out, err
}

// Sync asks once for what happened since a position ("" = everything) and answers the next position. The answer is decoded
// into out unless that is nil.
func (c *Client) Sync(ctx context.Context, since string, timeout time.Duration, out any) (next string, err error) {
	query := url.Values{"timeout": {strconv.FormatInt(timeout.Milliseconds(), 10)}}
	if since != "" {
		query.Set("since", since)
	}
	var raw []byte
	if err := c.Do(ctx, http.MethodGet, v3+"/sync?"+query.Encode(), nil, &raw); err != nil {
		return "", err
	}
	var position struct {
		Next string `json:"next_batch"`
	}
	if err := json.Unmarshal(raw, &position); err != nil {
		return "", fmt.Errorf("decode sync answer: %w", err)
	}
	if out != nil {
		err = json.Unmarshal(raw, out)
	}
	return position.Next, err
}
