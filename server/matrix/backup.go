package matrix

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/backup"
	"maunium.net/go/mautrix/crypto/signatures"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/checkpoint"
)

// keyBackup is the account's standard server-side key backup (m.megolm_backup.v1). The format encrypts to a public key and authenticates nothing, so
// whoever can write to it could plant a session; a MAC of ours inside the session data closes that. Other clients ignore it.
type keyBackup struct {
	key *backup.MegolmBackupKey
	mac []byte

	mu      sync.Mutex
	version id.KeyBackupVersion // guarded by mu
}

func newKeyBackup(k *backup.MegolmBackupKey) *keyBackup {
	h := hmac.New(sha256.New, k.Bytes())
	h.Write([]byte("lectern-backup-mac-v1"))
	return &keyBackup{key: k, mac: h.Sum(nil)}
}

func (k *keyBackup) publicKey() id.Ed25519 {
	return id.Ed25519(base64.RawStdEncoding.EncodeToString(k.key.PublicKey().Bytes()))
}

type sessionData struct {
	backup.MegolmSessionData
	MAC string `json:"com.educationpub.mac,omitempty"`
}

func (k *keyBackup) sign(room id.RoomID, d *backup.MegolmSessionData) string {
	h := hmac.New(sha256.New, k.mac)
	fmt.Fprintf(h, "%s\n%s\n%s\n%s", room, d.SenderKey, d.SenderClaimedKeys.Ed25519, d.SessionKey)
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil))
}

// backUp is called by the store before a new session of ours is kept, and so before anything is encrypted under it.
func (c *Companion) backUp(ctx context.Context, g *crypto.InboundGroupSession) error {
	k := c.backup.Load()
	if k == nil {
		if c.cfg.AllowNoBackup {
			return nil
		}
		return &checkpoint.RoomError{Kind: checkpoint.Unreachable, Err: errors.New("there is no key backup yet, and what is written without one may be lost")}
	}
	err := c.putSession(ctx, k, g)
	if errors.Is(err, mautrix.MWrongRoomKeysVersion) || httpStatus(err) == http.StatusNotFound {
		c.log.Error("somebody replaced the companion's key backup; making a new one and storing all keys again", "err", requestError("key backup", err))
		if err = c.ensureVersion(ctx, k); err == nil {
			err = c.putSession(ctx, k, g)
		}
	}
	if err != nil {
		return requestError("store the room key in the key backup", err)
	}
	return nil
}

func (c *Companion) putSession(ctx context.Context, k *keyBackup, g *crypto.InboundGroupSession) error {
	k.mu.Lock()
	version := k.version
	k.mu.Unlock()
	index := g.Internal.FirstKnownIndex()
	key, err := g.Internal.Export(index)
	if err != nil {
		return fmt.Errorf("export session: %w", err)
	}
	d := sessionData{MegolmSessionData: backup.MegolmSessionData{
		Algorithm: id.AlgorithmMegolmV1, ForwardingKeyChain: []string{}, SenderClaimedKeys: backup.SenderClaimedKeys{Ed25519: g.SigningKey},
		SenderKey: g.SenderKey, SessionKey: string(key), SharedHistory: g.SharedHistory,
	}}
	d.MAC = k.sign(g.RoomID, &d.MegolmSessionData)
	enc, err := backup.EncryptSessionData(k.key, d)
	if err != nil {
		return fmt.Errorf("encrypt session: %w", err)
	}
	raw, err := json.Marshal(enc)
	if err != nil {
		return err
	}
	_, err = c.client.PutKeysInBackupForRoomAndSession(ctx, version, g.RoomID, g.ID(), &mautrix.ReqKeyBackupData{FirstMessageIndex: int(index), IsVerified: true, SessionData: raw})
	if err == nil {
		g.KeyBackupVersion = version
	}
	return err
}

// ensureVersion finds the backup version of our key, or makes one, and brings every session of companions into it.
func (c *Companion) ensureVersion(ctx context.Context, k *keyBackup) error {
	info, err := c.client.GetKeyBackupLatestVersion(ctx)
	var version id.KeyBackupVersion
	switch {
	case err == nil && info.Algorithm == id.KeyBackupAlgorithmMegolmBackupV1 && info.AuthData.PublicKey == k.publicKey():
		version = info.Version
	case err == nil || httpStatus(err) == http.StatusNotFound:
		if err == nil {
			c.log.Error("the account's newest key backup is not the companion's: did somebody sign in as the companion and reset it?")
		}
		if version, err = c.newVersion(ctx, k); err != nil {
			return requestError("make a key backup", err)
		}
	default:
		return requestError("ask for the key backup", err)
	}
	k.mu.Lock()
	k.version = version
	k.mu.Unlock()
	if c.machine.KeyBackupVersion() != version {
		if err := c.machine.SetKeyBackupVersion(ctx, version); err != nil {
			return fmt.Errorf("write companion.db: %w", err)
		}
	}
	sessions, err := c.keys.GetGroupSessionsWithoutKeyBackupVersion(ctx, version).AsList()
	if err != nil {
		return fmt.Errorf("read companion.db: %w", err)
	}
	for _, g := range sessions {
		if !c.keys.backedUp(g) {
			continue
		}
		if err := c.putSession(ctx, k, g); err != nil {
			return requestError("store a key in the key backup", err)
		}
		if err := c.keys.SetGroupSessionKeyBackupVersion(ctx, g.ID(), version); err != nil {
			return fmt.Errorf("write companion.db: %w", err)
		}
	}
	return nil
}

// newVersion signs the public key with this device and, where it is in memory, the master key.
func (c *Companion) newVersion(ctx context.Context, k *keyBackup) (id.KeyBackupVersion, error) {
	signed := struct {
		PublicKey id.Ed25519 `json:"public_key"`
	}{k.publicKey()}
	sig, err := c.machine.GetAccount().SignJSON(signed)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	auth := backup.MegolmAuthData{PublicKey: k.publicKey(), Signatures: signatures.NewSingleSignature(c.user, id.KeyAlgorithmEd25519, c.client.DeviceID.String(), sig)}
	if xs := c.machine.CrossSigningKeys; xs != nil {
		if sig, err = xs.MasterKey.SignJSON(signed); err != nil {
			return "", fmt.Errorf("sign: %w", err)
		}
		auth.Signatures[c.user][id.NewKeyID(id.KeyAlgorithmEd25519, xs.MasterKey.PublicKey().String())] = sig
	}
	resp, err := c.client.CreateKeyBackupVersion(ctx, &mautrix.ReqRoomKeysVersionCreate[backup.MegolmAuthData]{Algorithm: id.KeyBackupAlgorithmMegolmBackupV1, AuthData: auth})
	if err != nil {
		return "", err
	}
	return resp.Version, nil
}

// restoreBackup brings back the sessions of earlier devices. A session whose MAC does not hold was planted and is not imported.
func (c *Companion) restoreBackup(ctx context.Context, k *keyBackup) error {
	info, err := c.client.GetKeyBackupLatestVersion(ctx)
	if httpStatus(err) == http.StatusNotFound {
		return nil
	} else if err != nil {
		return requestError("ask for the key backup", err)
	}
	if info.AuthData.PublicKey != k.publicKey() {
		return nil // ensureVersion says so
	}
	var all mautrix.RespRoomKeys[backup.EncryptedSessionData[sessionData]]
	_, err = c.client.MakeFullRequest(ctx, mautrix.FullRequest{
		Method: http.MethodGet, ResponseJSON: &all, ResponseSizeLimit: 128 << 20,
		URL: c.client.BuildURLWithQuery(mautrix.ClientURLPath{"v3", "room_keys", "keys"}, map[string]string{"version": string(info.Version)}),
	})
	if err != nil {
		return requestError("read the key backup", err)
	}
	good, bad := 0, 0
	for room, r := range all.Rooms {
		for sid, s := range r.Sessions {
			d, err := s.SessionData.Decrypt(k.key)
			if err != nil || !hmac.Equal([]byte(d.MAC), []byte(k.sign(room, &d.MegolmSessionData))) {
				bad++
				continue
			}
			c.keys.restored.Store(sid, true)
			if _, err := c.machine.ImportRoomKeyFromBackup(ctx, info.Version, room, sid, &d.MegolmSessionData); err != nil {
				bad++
				continue
			}
			good++
		}
	}
	if good+bad > 0 {
		c.log.Info("keys restored from the key backup", "restored", good, "refused", bad)
	}
	return nil
}

// storedBackupKey is the backup's private key as sealed in companion.db, nil if there is none yet.
func (c *Companion) storedBackupKey(ctx context.Context) (*keyBackup, error) {
	raw, err := c.meta(ctx, "backup_key")
	if raw == nil || err != nil {
		return nil, err
	}
	k, err := backup.MegolmBackupKeyFromBytes(raw)
	if err != nil {
		return nil, fmt.Errorf("backup key in companion.db: %w", err)
	}
	return newKeyBackup(k), nil
}

var backupSecret = event.AccountDataMegolmBackupKey
