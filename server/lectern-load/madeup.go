package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/server/transport"
)

// What stands for Matrix here: logins and rooms are made up. Everything behind them is real.

const companion = "@lectern:load.example"

// loadToken is a made-up login, as long as a real one: "load:<person>:<board number>:…".
func loadToken(person string, n int) string {
	token := fmt.Sprintf("load:%s:%d:", person, n)
	return token + strings.Repeat(".", max(0, 43-len(token)))
}

func authenticate(_ context.Context, token string) (transport.Auth, error) {
	parts := strings.Split(token, ":")
	if len(parts) != 4 || parts[0] != "load" {
		return transport.Auth{}, errors.New("not a token of lectern-load")
	}
	return transport.Auth{
		Person: board.Person("@" + parts[1] + ":load.example"), Room: "!" + parts[2] + ":load.example", Kind: "whiteboard",
		Board: board.ID(fmt.Sprintf("load%022s", parts[2])),
	}, nil
}

// logins is the store of sessions: there is one for every made-up token that was seen.
type logins struct {
	identity.Store
	mu sync.Mutex
	// Guarded by mu.
	seen map[[32]byte]identity.StoredSession
}

// admit lets requests with made-up tokens through.
func (l *logins) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if a, err := authenticate(r.Context(), token); err == nil {
			now, hash := time.Now(), sha256.Sum256([]byte(token))
			l.mu.Lock()
			l.seen[hash] = identity.StoredSession{TokenHash: hash, Person: a.Person, Room: a.Room, Widget: "load", Board: a.Board, Kind: a.Kind, Issued: now, Expires: now.Add(identity.TokenIdle)}
			l.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

// Session implements identity.Store.
func (l *logins) Session(_ context.Context, hash [32]byte) (identity.StoredSession, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.seen[hash]
	if !ok {
		return s, identity.ErrNoSession
	}
	return s, nil
}

// everywhere is the companion's view: everybody is joined and may write.
type everywhere struct{}

func (everywhere) Standing(string, string) (identity.Standing, bool) {
	return identity.Standing{Joined: true, Power: 50, Complete: true}, true
}
func (everywhere) Confirm(context.Context, string, string) (bool, error) { return true, nil }
func (everywhere) Widget(string, string) (identity.Widget, bool)         { return identity.Widget{}, false }
func (everywhere) RoomOf(string, string) (string, bool)                  { return "", false }
func (everywhere) Origin(room string, _ board.ID) string                 { return room }
func (everywhere) Successor(string) (string, bool)                       { return "", false }
func (everywhere) Encrypted(string) bool                                 { return false }
func (everywhere) Age() time.Duration                                    { return 0 }
func (everywhere) UserID() string                                        { return companion }

// attic is the rooms that boards are saved to: what was written last is kept in memory, files are thrown away.
type attic struct {
	everywhere
	mu sync.Mutex
	// Guarded by mu.
	state  map[[3]string]checkpoint.State
	events int
}

// WriteState implements checkpoint.Room, like the rest.
func (a *attic) WriteState(_ context.Context, room, typ, key string, content json.RawMessage) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events++
	id := fmt.Sprintf("$%d", a.events)
	a.state[[3]string{room, typ, key}] = checkpoint.State{EventID: id, Sender: companion, Content: content, At: time.Now()}
	return id, nil
}

func (a *attic) ReadState(_ context.Context, room, typ, key string) (checkpoint.State, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.state[[3]string{room, typ, key}]
	if !ok {
		return s, checkpoint.ErrNoState
	}
	return s, nil
}

func (a *attic) Upload(_ context.Context, data []byte) (json.RawMessage, error) {
	return json.RawMessage(fmt.Sprintf(`{"url": "mxc://load.example/%x"}`, sha256.Sum256(data))), nil
}

func (a *attic) Download(context.Context, json.RawMessage, int64) ([]byte, error) {
	return nil, errors.New("files are not kept here")
}
