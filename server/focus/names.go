package focus

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Slot is the one call a room can have (MSC4143, MSC4196).
const Slot = "m.call#ROOM"

// Alias is the LiveKit room of a slot in a Matrix room: unpadded base64 of SHA-256 over the JSON array of both (MSC4195).
func Alias(room, slot string) string { return hashOf(room, slot) }

// HashedIdentity is a participant's name in LiveKit as /get_token gives it (MSC4195).
func HashedIdentity(user, device, member string) string { return hashOf(user, device, member) }

// PlainIdentity is a participant's name as /sfu/get gives it. device holds no colon (deviceID), so the last one is where it begins: nobody's name can be read as
// somebody else's.
func PlainIdentity(user, device string) string { return user + ":" + device }

func hashOf(parts ...string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // the array of the MSC is canonical JSON: < > & as they are
	if err := e.Encode(parts); err != nil {
		panic(err) // strings
	}
	sum := sha256.Sum256([]byte(strings.TrimSuffix(b.String(), "\n")))
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

var (
	roomID   = regexp.MustCompile(`^![!-~]{1,254}$`)
	deviceID = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]{1,255}$`)
	memberID = regexp.MustCompile(`^[!-~]{1,255}$`)
)

// Device is who stands behind a participant's identity.
type Device struct {
	Person string `json:"p"`
	Device string `json:"d"`
}

// seals hides who somebody is in the metadata of LiveKit's participants and rooms, which LiveKit keeps for us: a restarted Lectern knows everybody, LiveKit's
// log and other participants learn nothing. What is sealed for one identity opens for no other.
type seals struct{ aead cipher.AEAD }

func newSeals(secret []byte) (seals, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "lectern call participants", 32)
	if err != nil {
		return seals{}, fmt.Errorf("key of participants: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return seals{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return seals{aead}, err
}

func (s seals) seal(v any, bound string) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, b, []byte(bound)))
}

func (s seals) open(sealed, bound string, v any) bool {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return false
	}
	b, err = s.aead.Open(nil, nil, b, []byte(bound))
	return err == nil && json.Unmarshal(b, v) == nil
}

// device answers who a participant is; false for one that did not come through us.
func (s seals) device(alias, identity, metadata string) (d Device, ok bool) {
	ok = s.open(metadata, alias+"\x00"+identity, &d)
	return d, ok
}

func (s seals) forDevice(alias, identity string, d Device) string {
	return s.seal(d, alias+"\x00"+identity)
}

// room answers which Matrix room a LiveKit room is for.
func (s seals) room(alias, metadata string) (room string, ok bool) {
	ok = s.open(metadata, alias, &room) && Alias(room, Slot) == alias
	return room, ok
}

func (s seals) forRoom(alias, room string) string { return s.seal(room, alias) }
