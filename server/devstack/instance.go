package devstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// instance brings another Lectern's account into the room, with the power to write boards there, so that boards can be taken over from one by the other.
func (b *builder) instance(ctx context.Context) error {
	name := b.options.Instance
	if name == "" {
		return nil
	}
	account, known := b.file.Instances[name]
	if !known {
		account = Account{UserID: b.homeserver.UserID(companionUser + "-" + name), Password: rand.Text()}
		if b.file.Instances == nil {
			b.file.Instances = map[string]Account{}
		}
		b.file.Instances[name] = account
		if err := writeJSON(b.path, b.file); err != nil { // before the account exists, so that the password cannot get lost
			return err
		}
	}
	if err := b.homeserver.Register(ctx, companionUser+"-"+name, account.Password, false); err != nil && !errors.Is(err, ErrUserTaken) {
		return err
	}
	teacher := b.file.Users[0].client(b.homeserver)
	membership, err := teacher.Membership(ctx, b.file.RoomID, account.UserID)
	if err != nil || membership != "" {
		return err
	}
	if err := teacher.SetPower(ctx, b.file.RoomID, account.UserID, 50); err != nil {
		return fmt.Errorf("power of %s: %w", account.UserID, err)
	}
	if err := teacher.Invite(ctx, b.file.RoomID, account.UserID); err != nil {
		return fmt.Errorf("invite %s: %w", account.UserID, err)
	}
	return nil
}

// name sets whose Lectern this is, and which others there are.
func (b *builder) name(s *Stack) {
	for _, name := range slices.Sorted(maps.Keys(b.file.Instances)) {
		if account := b.file.Instances[name]; name == b.options.Instance {
			s.Companion = account
			s.Others = append(s.Others, b.file.Companion.UserID)
		} else {
			s.Others = append(s.Others, account.UserID)
		}
	}
}
