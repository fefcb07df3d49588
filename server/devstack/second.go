package devstack

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// guestUsers live on the second homeserver: people of another school.
var guestUsers = []demoUser{{"carla", "Carla", "carla-demo"}}

// secondFile is what stack.json keeps of the second homeserver.
type secondFile struct {
	HTTPPort int    `json:"http_port"`
	Users    []User `json:"users"`
}

// federates decides whether a second homeserver belongs to this folder. A server name without a port cannot be found by another homeserver on
// loopback, and a name stays for ever.
func (b *builder) federates(dir string) error {
	if b.options.Second && b.file.Second == nil {
		known, err := loadIdentity(dir)
		if err != nil {
			return err
		}
		if known.Name != "" && !strings.Contains(known.Name, ":") {
			return fmt.Errorf("the homeserver in %s was first started without federation, so a second one cannot find it: start anew in another folder", dir)
		}
		b.file.Second = &secondFile{}
	}
	if b.file.Second != nil {
		b.options.Federation = true
	}
	return nil
}

// startSecond starts the second homeserver, if there is one.
func (b *builder) startSecond(ctx context.Context) (err error) {
	if b.file.Second == nil {
		return nil
	}
	o := Options{
		Dir: filepath.Join(b.options.Dir, "homeserver2"), Federation: true, RateLimits: b.options.RateLimits, Persistent: true,
		Progress: b.options.Progress, Log: b.options.HomeserverLog,
	}
	if portFree(b.file.Second.HTTPPort) {
		o.HTTPPort = b.file.Second.HTTPPort
	}
	if b.second, err = StartHomeserver(ctx, o); err != nil {
		return fmt.Errorf("second homeserver: %w", err)
	}
	b.file.Second.HTTPPort = b.second.options.HTTPPort
	return nil
}

// guests brings the people of the second homeserver into the room.
func (b *builder) guests(ctx context.Context) (err error) {
	if b.second == nil {
		return nil
	}
	if b.file.Second.Users, err = b.signUp(ctx, b.second, guestUsers, b.file.Second.Users); err != nil {
		return err
	}
	teacher := b.file.Users[0].client(b.homeserver)
	for _, u := range b.file.Second.Users {
		membership, err := teacher.Membership(ctx, b.file.RoomID, u.UserID)
		if err != nil {
			return err
		}
		if membership == "" {
			if err := teacher.Invite(ctx, b.file.RoomID, u.UserID); err != nil {
				return fmt.Errorf("invite %s: %w", u.UserID, err)
			}
			membership = "invite"
		}
		if membership != "invite" {
			continue
		}
		if err := u.client(b.second).Join(ctx, b.file.RoomID, b.homeserver.Name()); err != nil {
			return fmt.Errorf("join as %s: %w", u.UserID, err)
		}
		if err := teacher.AwaitMembership(ctx, b.file.RoomID, u.UserID, "join"); err != nil {
			return err
		}
	}
	return nil
}

// stop ends what has been started so far.
func (b *builder) stop() {
	for _, h := range []*Homeserver{b.homeserver, b.second} {
		if h != nil {
			h.Stop()
		}
	}
}
