package server

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// passLife is how long a pass holds. A client that comes back later gets another one by itself.
const passLife = time.Hour

const maxPass = 512

// passes say who somebody is, to this process and for a while. None is kept: each is sealed with a key that ends with the process.
type passes struct {
	key [32]byte // immutable
	now func() time.Time
}

func newPasses() *passes {
	p := &passes{now: time.Now}
	rand.Read(p.key[:])
	return p
}

// give makes a pass: its end (Unix seconds, 8 bytes), the person, 32 bytes of seal; base64url.
func (p *passes) give(person string) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.now().Add(passLife).Unix()))
	b = append(b, person...)
	return base64.RawURLEncoding.EncodeToString(p.seal(b))
}

// person answers whose pass it is, if it holds.
func (p *passes) person(pass string) (string, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(pass)
	if err != nil || len(pass) > maxPass || len(b) < 8+sha256.Size {
		return "", false
	}
	said := b[:len(b)-sha256.Size]
	if !hmac.Equal(b, p.seal(said)) || p.now().Unix() >= int64(binary.BigEndian.Uint64(said)) {
		return "", false
	}
	return string(said[8:]), true
}

func (p *passes) seal(b []byte) []byte {
	m := hmac.New(sha256.New, p.key[:])
	m.Write(b)
	return m.Sum(b[:len(b):len(b)])
}
