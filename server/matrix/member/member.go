// Package member is an ordinary person's Matrix client, as far as tests need one: it owns a device with keys, follows /sync, and decrypts what
// stands in a room. It shares no code with the companion, so that it cannot share its mistakes. Nothing in the product uses it.
package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/devstack"
)

var encrypted = event.Type{Type: "m.room.encrypted", Class: event.StateEventType}

// Device is one device of one person, with its keys in memory. For one goroutine.
type Device struct {
	client  *mautrix.Client
	machine *crypto.OlmMachine
	since   string
}

// New makes keys for a device that has signed in and publishes them.
func New(ctx context.Context, who *devstack.Client) (*Device, error) {
	client, err := mautrix.NewClient(who.BaseURL, id.UserID(who.UserID), who.AccessToken)
	if err != nil {
		return nil, err
	}
	client.DeviceID = id.DeviceID(who.DeviceID)
	client.Log = zerolog.Nop()
	states := mautrix.NewMemoryStateStore()
	client.StateStore = states
	d := &Device{client: client}
	d.machine = crypto.NewOlmMachine(client, &client.Log, crypto.NewMemoryStore(nil), states.(crypto.StateStore))
	d.machine.AllowEncryptedState = true
	if err := d.machine.Load(ctx); err != nil {
		return nil, fmt.Errorf("make a device: %w", err)
	}
	if err := d.machine.ShareKeys(ctx, 0); err != nil {
		return nil, fmt.Errorf("publish the keys of a device: %w", err)
	}
	return d, nil
}

// Sync takes one answer of /sync and handles what is in it for the device.
func (d *Device) Sync(ctx context.Context) error {
	resp, err := d.client.SyncRequest(ctx, 0, d.since, "", false, "")
	if err != nil {
		return err
	}
	d.machine.ProcessSyncResponse(ctx, resp, d.since)
	d.since = resp.NextBatch
	return nil
}

// Decrypted is a state event in clear.
type Decrypted struct {
	EventID string
	Sender  string
	Type    string
	Key     string
	Content json.RawMessage
}

// ErrMismatch: an encrypted state event claims another type or key inside than outside.
var ErrMismatch = errors.New("type or state key inside differ from those outside")

// Event answers an encrypted state event as it stands in the room now (MSC4362: state key "typ:key"), still encrypted.
func (d *Device) Event(ctx context.Context, room, typ, key string) (*event.Event, error) {
	return d.client.FullStateEvent(ctx, id.RoomID(room), encrypted, typ+":"+key)
}

// Decrypt opens an encrypted state event with the keys this device has.
func (d *Device) Decrypt(ctx context.Context, e *event.Event) (Decrypted, error) {
	var c event.EncryptedEventContent
	if err := json.Unmarshal(e.Content.VeryRaw, &c); err != nil {
		return Decrypted{}, err
	}
	sealed := *e
	sealed.Content.Parsed = &c
	clear, err := d.machine.DecryptMegolmEvent(ctx, &sealed)
	if err != nil {
		return Decrypted{}, err
	}
	if e.StateKey == nil || clear.StateKey == nil || clear.Type.Type+":"+*clear.StateKey != *e.StateKey {
		return Decrypted{}, ErrMismatch
	}
	return Decrypted{EventID: e.ID.String(), Sender: e.Sender.String(), Type: clear.Type.Type, Key: *clear.StateKey, Content: clear.Content.VeryRaw}, nil
}
