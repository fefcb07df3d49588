package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/checkpoint"
)

// account is what is kept of a login. A second login with the same device id would kill the running token on Dendrite, so there is exactly one
// login in the life of a companion.db.
type account struct {
	User   id.UserID   `json:"user"`
	Device id.DeviceID `json:"device"`
	Token  string      `json:"token"`
}

// connect makes the client; it asks nothing.
func (c *Companion) connect() error {
	if c.client != nil {
		return nil
	}
	cli, err := mautrix.NewClient(c.cfg.Homeserver, "", "")
	if err != nil {
		return fmt.Errorf("homeserver URL: %w", err)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	cli.Client = &http.Client{Transport: t, Timeout: time.Minute}
	c.syncHTTP = &http.Client{Transport: t} // long polls end by their context
	cli.StateStore = nil                    // the view of this package is the only one
	cli.DefaultHTTPRetries = 0
	cli.IgnoreRateLimit = true
	cli.ResponseSizeLimit = 16 << 20
	cli.Log = zerolog.Nop()
	c.client = cli
	return nil
}

func (c *Companion) login(ctx context.Context) error {
	if err := c.connect(); err != nil {
		return err
	}
	box, err := c.meta(ctx, "account")
	if err != nil {
		return err
	}
	var a account
	if box == nil {
		if a, err = c.firstLogin(ctx); err != nil {
			return err
		}
	} else if err := json.Unmarshal(box, &a); err != nil {
		return fmt.Errorf("account in companion.db: %w", err)
	}
	if a.User != c.user {
		return fmt.Errorf("companion.db belongs to %s, the configuration says %s", a.User, c.user)
	}
	c.client.UserID, c.client.DeviceID, c.client.AccessToken = a.User, a.Device, a.Token
	who, err := c.client.Whoami(ctx)
	if err != nil {
		return requestError("check the access token", err)
	}
	if who.UserID != c.user || who.DeviceID != "" && who.DeviceID != a.Device {
		return &checkpoint.RoomError{Kind: checkpoint.Revoked, Err: errors.New("the stored access token belongs to another account or device")}
	}
	return nil
}

func (c *Companion) firstLogin(ctx context.Context) (account, error) {
	a, err := c.passwordLogin(ctx, "Lectern")
	if err != nil {
		return a, err
	}
	return a, c.keepAccount(ctx, a)
}

func (c *Companion) keepAccount(ctx context.Context, a account) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return c.setMeta(ctx, "account", b)
}

// passwordLogin makes a new device.
func (c *Companion) passwordLogin(ctx context.Context, name string) (account, error) {
	password, err := c.password()
	if err != nil {
		return account{}, err
	}
	resp, err := c.client.Login(ctx, &mautrix.ReqLogin{
		Type: mautrix.AuthTypePassword, Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: c.user.String()},
		Password: password, InitialDeviceDisplayName: name,
	})
	if err != nil {
		return account{}, requestError("log in", err)
	}
	return account{resp.UserID, resp.DeviceID, resp.AccessToken}, nil
}

func (c *Companion) password() (string, error) {
	b, err := os.ReadFile(c.cfg.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("the companion's password: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// loadMachine makes the OlmMachine and publishes the device's keys once.
func (c *Companion) loadMachine(ctx context.Context) error {
	if err := c.makeMachine(ctx); err != nil {
		return err
	}
	if c.machine.GetAccount().Shared {
		return nil
	}
	return requestError("upload device keys", c.machine.ShareKeys(ctx, -1))
}

// makeMachine makes the OlmMachine on the gated store.
func (c *Companion) makeMachine(ctx context.Context) error {
	if c.machine == nil {
		c.keys.DeviceID = c.client.DeviceID
		log := zerolog.Nop()
		m := crypto.NewOlmMachine(c.client, &log, c.keys, (*cryptoState)(c))
		m.AllowEncryptedState = true
		// Nobody is answered: mautrix's default would give a marked device the session from its first index.
		m.AllowKeyShare = func(context.Context, *id.Device, event.RequestedKeyInfo) *crypto.KeyShareRejection {
			return &crypto.KeyShareRejectNoResponse
		}
		m.DisableDeviceChangeKeyRotation = true // rotation is decided when something is written, from who holds the session (state.go)
		m.DisableRatchetTracking = true         // own events are read again and again
		if err := m.Load(ctx); err != nil {
			return fmt.Errorf("load device keys: %w", err)
		}
		me := m.OwnIdentity()
		c.keys.identity, c.keys.signing = me.IdentityKey, me.SigningKey
		// An older copy of companion.db, or one that lost its last writes in a power cut, would reuse Megolm indices, and members refuse such events.
		// So outbound sessions never outlive the process.
		if _, err := c.db.Exec(ctx, "DELETE FROM crypto_megolm_outbound_session"); err != nil {
			return fmt.Errorf("drop outbound sessions: %w", err)
		}
		if _, err := c.db.Exec(ctx, `DELETE FROM crypto_megolm_outbound_session_shared WHERE session_id NOT IN (SELECT session_id FROM lectern_state_key)`); err != nil {
			return fmt.Errorf("prune share records: %w", err)
		}
		c.machine = m
	}
	return nil
}
