package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/config"
	"github.com/educationpub/lectern/server/matrix"
)

// When the companion's access token is gone (its device was removed, the password changed with "log out everywhere"), Lectern signs in again with the
// password file, as a new device that gets its keys from the key backup, and begins anew: everything else reads the old device. People are told to
// reconnect, as at any restart; as long as signing in does not work they go on as in an outage of the homeserver.

// signedOut ends a run that begins anew with another login.
type signedOut struct{ login *matrix.Login }

func (*signedOut) Error() string { return "the companion's login is gone, there is another one" }

func isRevoked(err error) bool {
	e, ok := errors.AsType[*checkpoint.RoomError](err)
	return ok && e.Kind == checkpoint.Revoked
}

const (
	signInFirst = 2 * time.Second // doubling to
	signInEvery = time.Minute     // also between logins that work: a homeserver that keeps ending them must not be flooded with devices
)

// signInAnew answers *signedOut once there is a login, or nil when ctx ends.
func (p *parts) signInAnew(ctx context.Context, cause error) error {
	p.log.Error("the companion is signed out; signing in again with the password file", "err", cause)
	for wait := signInFirst; ; wait = min(2*wait, signInEvery) {
		login, err := matrix.SignIn(ctx, companionConfig(p.cfg, p.log))
		if err == nil {
			p.log.Warn("the companion has a new device")
			return &signedOut{login}
		}
		if ctx.Err() != nil {
			return nil
		}
		p.log.Error("signing in does not work: put the account's password into the password file. Boards stay open for those who are on them until matrix.outage, nothing is lost",
			"file", p.cfg.Matrix.PasswordFile, "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// companionConfig is what the configuration says of the companion.
func companionConfig(cfg *config.Config, log *slog.Logger) matrix.Config {
	return matrix.Config{
		Homeserver: cfg.Matrix.Homeserver, UserID: cfg.Matrix.UserID, PasswordFile: cfg.Matrix.PasswordFile, DataDir: cfg.Data,
		RecoveryKeyFile: cfg.Matrix.RecoveryKeyFile, AllowInviters: cfg.Matrix.AllowInviters, Accepts: cfg.Matrix.AcceptCompanions,
		WidgetBases: []string{cfg.PublicURL}, Logger: log,
	}
}
