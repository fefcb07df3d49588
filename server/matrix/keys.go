package matrix

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// ownKeys is the crypto store the OlmMachine gets. Every way in which an inbound Megolm session can reach the disk (room key, forwarded key, answer
// to a request, bundle, backup, key file) ends in PutGroupSession, so this is the one gate: the companion keeps only sessions it made
// itself, those of companions it is configured to believe, and those of rooms where it is spoken to (reading.go).
type ownKeys struct {
	*crypto.SQLCryptoStore
	c *Companion

	// Immutable after loadMachine.
	identity id.SenderKey
	signing  id.Ed25519

	restored sync.Map     // id.SessionID of sessions from our backup whose MAC held
	dropped  atomic.Int64 // foreign sessions refused
}

// own: the sender key alone is not enough, a forwarded key may claim ours; only newOutboundGroupSession makes this combination.
func (s *ownKeys) own(g *crypto.InboundGroupSession) bool {
	return g.SenderKey == s.identity && g.SigningKey == s.signing && g.KeySource == id.KeySourceDirect && g.SourceUser == s.c.user
}

// PutGroupSession stores own sessions, after they are in the key backup: no event is ever encrypted under a key that is not backed up.
func (s *ownKeys) PutGroupSession(ctx context.Context, g *crypto.InboundGroupSession) error {
	switch {
	case s.own(g):
		if g.KeyBackupVersion == "" {
			if err := s.c.backUp(ctx, g); err != nil {
				return err
			}
		}
	case g.KeySource == id.KeySourceBackup && s.mayRestore(g.ID()):
	case g.KeySource == id.KeySourceDirect && g.SourceUser != s.c.user && s.c.accept[string(g.SourceUser)]: // another companion whose checkpoints are believed
	case g.KeySource == id.KeySourceDirect && g.SourceUser != s.c.user && s.c.mayKeep(string(g.RoomID), string(g.SourceUser)):
	case g.KeySource == id.KeySourceDirect && g.SourceUser != s.c.user && s.c.held.hold(g):
		return nil
	default:
		s.dropped.Add(1)
		return nil
	}
	return s.SQLCryptoStore.PutGroupSession(ctx, g)
}

// backedUp: what members sent for rooms where the companion is spoken to stays here.
func (s *ownKeys) backedUp(g *crypto.InboundGroupSession) bool {
	return g.KeySource != id.KeySourceDirect || s.own(g) || s.c.accept[string(g.SourceUser)]
}

func (s *ownKeys) mayRestore(session id.SessionID) bool {
	_, ok := s.restored.Load(session)
	return ok
}

// PutWithheldGroupSession drops notices about keys that would be dropped anyway.
func (s *ownKeys) PutWithheldGroupSession(context.Context, event.RoomKeyWithheldEventContent) error {
	return nil
}

// cryptoState shows the companion's own view of rooms to the OlmMachine.
type cryptoState Companion

func (s *cryptoState) IsEncrypted(_ context.Context, room id.RoomID) (bool, error) {
	return (*Companion)(s).Encrypted(string(room)), nil
}

func (s *cryptoState) GetEncryptionEvent(_ context.Context, room id.RoomID) (*event.EncryptionEventContent, error) {
	v := &(*Companion)(s).view
	v.mu.RLock()
	defer v.mu.RUnlock()
	r := v.rooms[string(room)]
	if r == nil || r.encryption == nil {
		return nil, nil
	}
	var e event.EncryptionEventContent
	if json.Unmarshal(r.encryption, &e) != nil {
		return nil, nil // only rotation periods are read from it; the defaults are fine
	}
	return &e, nil
}

func (s *cryptoState) GetHistoryVisibility(_ context.Context, room id.RoomID) (*event.HistoryVisibilityEventContent, error) {
	return &event.HistoryVisibilityEventContent{HistoryVisibility: event.HistoryVisibility((*Companion)(s).view.visibility(string(room)))}, nil
}

// FindSharedRooms is used for key rotation only, which is switched off.
func (s *cryptoState) FindSharedRooms(context.Context, id.UserID) ([]id.RoomID, error) {
	return nil, nil
}
