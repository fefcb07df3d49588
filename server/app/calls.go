package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/educationpub/lectern/server"
	"github.com/educationpub/lectern/server/focus"
	"github.com/educationpub/lectern/server/focus/livekit"
	"github.com/educationpub/lectern/server/matrix/openid"
)

// focus builds the call focus, if there is to be one.
func (p *parts) focus(ctx context.Context, m *appMetrics) error {
	c := p.cfg.Calls
	if c.LiveKitURL == "" {
		return nil
	}
	secret, err := readSecret(c.SecretFile)
	if err != nil {
		return fmt.Errorf("calls.secret_file: %w", err)
	}
	sfu, err := livekit.NewClient(c.LiveKitAPI, livekit.Credentials{Key: c.Key, Secret: secret})
	if err != nil {
		return err
	}
	p.calls, err = focus.New(focus.Config{
		SFU: sfu, Rooms: p.companion, Store: p.store, Identity: p.identity, Log: p.log, URL: c.LiveKitURL,
		Own: strings.TrimRight(p.cfg.PublicURL, "/") + server.CallService, Server: p.companion.ServerName(),
		Admits:   func(name string) bool { return openid.Match(c.RemoteServers, name) },
		Students: focus.SourcesOf(c.StudentSources), MaxParticipants: c.MaxParticipants, Observe: m.call,
	})
	if err != nil {
		return err
	}
	return p.calls.Open(ctx)
}

const (
	minSecret = 32
	maxSecret = 4096
)

func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, err
	}
	if b = bytes.TrimSpace(b); len(b) < minSecret || len(b) > maxSecret {
		return nil, errors.New("a secret has 32 to 4096 characters")
	}
	return b, nil
}

func (p *parts) callChanged(room string) {
	if p.calls != nil {
		p.calls.RoomChanged(room)
	}
}

// asked answers another instance. An instance without calls says so, so that nobody waits.
func (p *parts) asked(ctx context.Context, companion string, q focus.Question) focus.Answer {
	if p.calls == nil {
		return focus.Answer{V: 1, Nonce: q.Nonce, Outcome: focus.NotPossible, Code: "calls_off"}
	}
	return p.calls.Asked(ctx, companion, q)
}

// callsForWeb is an interface that is nil where there are no calls.
func (p *parts) callsForWeb() server.Calls {
	if p.calls == nil {
		return nil
	}
	return p.calls
}
