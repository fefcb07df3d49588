package devstack

import (
	"context"
	"fmt"
	"net/http"

	"github.com/educationpub/lectern/widgets"
)

// Room is what CreateClassroom makes.
type Room struct {
	Name      string
	Topic     string
	Companion string   // full id: invited, with the power level to write state; "" for none
	Members   []string // full ids: invited
	Plain     bool     // an unencrypted room
}

// CreateClassroom makes a private room as a client in a school does: end-to-end encrypted, state included (MSC4362), the creator
// at 100, the companion at 50. `m.room.encrypted` is left out of the power levels' events on purpose: encrypted state is sent
// under that type, and so needs state_default, while an encrypted message needs events_default.
func (c *Client) CreateClassroom(ctx context.Context, r Room) (roomID string, err error) {
	powers := map[string]any{
		"users": map[string]any{c.UserID: 100}, "users_default": 0, "events_default": 0, "state_default": 50,
		"invite": 50, "kick": 50, "ban": 50, "redact": 50,
		// A list replaces the homeserver's own; everybody may take part in calls.
		"events": map[string]any{
			"m.room.name": 50, "m.room.avatar": 50, "m.room.canonical_alias": 50, "m.room.power_levels": 100, "m.room.history_visibility": 100,
			"m.room.tombstone": 100, "m.room.server_acl": 100, "m.room.encryption": 100, "org.matrix.msc3401.call.member": 0,
		},
	}
	invite := r.Members
	if r.Companion != "" {
		powers["users"].(map[string]any)[r.Companion] = 50
		invite = append([]string{r.Companion}, r.Members...)
	}
	state := []map[string]any{}
	if !r.Plain {
		state = append(state, map[string]any{"type": "m.room.encryption", "state_key": "", "content": map[string]any{
			"algorithm": "m.megolm.v1.aes-sha2", "io.element.msc4362.encrypt_state_events": true,
		}})
	}
	return c.CreateRoom(ctx, map[string]any{
		"preset": "private_chat", "name": r.Name, "topic": r.Topic, "invite": invite,
		"power_level_content_override": powers, "initial_state": state,
	})
}

// Widget is one of Lectern's widgets in a room.
type Widget = widgets.Widget

// NewWidget mints a widget of a kind ("whiteboard") with a new board. base is Lectern's own URL, without a slash at the end.
func NewWidget(base, kind, title string) Widget { return widgets.New(base, kind, title) }

// AddWidget puts a widget into a room or changes it there. Element lists only this event type.
func (c *Client) AddWidget(ctx context.Context, room string, w Widget) error {
	_, err := c.SendState(ctx, room, widgets.EventType, w.ID, w.Content(c.UserID, ""))
	return err
}

// RemoveWidget takes a widget out of a room.
func (c *Client) RemoveWidget(ctx context.Context, room, widgetID string) error {
	_, err := c.SendState(ctx, room, widgets.EventType, widgetID, map[string]any{})
	return err
}

// ShowOnTop opens widgets above the timeline for everybody (at most three).
func (c *Client) ShowOnTop(ctx context.Context, room string, shown ...Widget) error {
	ids := make([]string, len(shown))
	for i, w := range shown {
		ids[i] = w.ID
	}
	_, err := c.SendState(ctx, room, widgets.LayoutType, "", widgets.Layout(ids...))
	return err
}

// joinAll lets invited people of one homeserver join.
func joinAll(ctx context.Context, room string, people ...*Client) error {
	for _, p := range people {
		if err := p.Join(ctx, room); err != nil {
			return fmt.Errorf("join as %s: %w", p.UserID, err)
		}
	}
	return nil
}

// UploadMedia stores bytes in the homeserver's media repository and answers their mxc: URI.
func (c *Client) UploadMedia(ctx context.Context, data []byte) (string, error) {
	var out struct {
		URI string `json:"content_uri"`
	}
	err := c.Do(ctx, http.MethodPost, "/_matrix/media/v3/upload", data, &out)
	return out.URI, err
}
