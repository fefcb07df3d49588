// Package turn gives out credentials for TURN (RFC 8656) and is, where wanted, the TURN server itself. It owns the one secret that makes
// credentials, for coturn as for the embedded server, and the rule that a relay reaches Lectern and what the operator named, nothing else.
// It does not know who a credential is for: what it makes names nobody.
package turn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the scheme of coturn's use-auth-secret
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Life is how long a credential opens a relay (SPEC TN1).
const Life = time.Hour

// Credentials makes credentials for a TURN server that shares the secret (draft-uberti-behave-turn-rest-00). Immutable.
type Credentials struct {
	secret []byte
	urls   []string
}

// Credential is what a client gets, in the form of docs/protocol.md §1.1.
type Credential struct {
	URLs      []string `json:"urls"`
	Username  string   `json:"username"`
	Password  string   `json:"credential"`
	ExpiresMS int64    `json:"expires_ms"` // from now
}

// NewCredentials is for clients that reach the server at urls (RFC 7065), turn:turn.school.example:3478?transport=udp.
func NewCredentials(secret []byte, urls []string) *Credentials {
	return &Credentials{secret: secret, urls: urls}
}

// New makes a credential for one client, with a name that no other has and that tells nothing.
func (c *Credentials) New(now time.Time) Credential {
	var name [16]byte
	_, _ = rand.Read(name[:]) // never fails (crypto/rand)
	user := strconv.FormatInt(now.Add(Life).Unix(), 10) + ":" + base64.RawURLEncoding.EncodeToString(name[:])
	return Credential{URLs: c.urls, Username: user, Password: password(c.secret, user), ExpiresMS: Life.Milliseconds()}
}

func password(secret []byte, user string) string {
	m := hmac.New(sha1.New, secret)
	m.Write([]byte(user))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// expiry answers when a name ends that New can have made, or LiveKit, which gives out credentials of its own where it has the secret: its names are its
// participants' ids.
func expiry(user string) (time.Time, bool) {
	end, name, ok := strings.Cut(user, ":")
	n, err := strconv.ParseInt(end, 10, 64)
	if !ok || err != nil || len(name) != base64.RawURLEncoding.EncodedLen(16) && (len(name) != len("PA_")+12 || !strings.HasPrefix(name, "PA_")) || strconv.FormatInt(n, 10) != end {
		return time.Time{}, false
	}
	return time.Unix(n, 0), true
}

// minSecret is the length of a secret that is worth the name.
const minSecret = 24

// Secret reads the secret that credentials are made with: a line of text, as in coturn's static-auth-secret. Where the file is missing and
// may be made, it is, readable by its owner only.
func Secret(file string, create bool) ([]byte, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && create {
		return newSecret(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the TURN secret: %w", err)
	}
	s := strings.TrimSpace(string(b))
	if len(s) < minSecret || strings.ContainsAny(s, " \t\r\n") {
		return nil, fmt.Errorf("read the TURN secret: %s must hold one line of at least %d characters without spaces", file, minSecret)
	}
	return []byte(s), nil
}

func newSecret(file string) ([]byte, error) {
	var key [32]byte
	_, _ = rand.Read(key[:])
	s := base64.RawURLEncoding.EncodeToString(key[:])
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("create folder of the TURN secret: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(file), "turn-") // mode 0600; it gets its name when it is whole
	if err != nil {
		return nil, fmt.Errorf("create the TURN secret: %w", err)
	}
	_, err = f.WriteString(s + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write the TURN secret: %w", err), os.Remove(f.Name()))
	}
	return []byte(s), nil
}
