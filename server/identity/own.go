package identity

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"time"
)

// SignIn is one of a person's own, over all its refreshes.
type SignIn struct {
	ID     string // names it to EndOwn
	Room   string
	Widget string
	Since  time.Time
	Until  time.Time // if it is not used again
	This   bool      // the one that asks
}

// Others, as an id, are all of a person's sign-ins but the one that asks.
const Others = "others"

// Own lists the sign-ins of a session's person, the newest first.
func (s *Service) Own(ctx context.Context, st StoredSession) ([]SignIn, error) {
	list, err := s.cfg.Store.Sessions(ctx, st.Person)
	if err != nil {
		return nil, internal(err)
	}
	var out []SignIn
	for _, o := range list {
		id := signInID(o)
		if i := slices.IndexFunc(out, func(k SignIn) bool { return k.ID == id }); i >= 0 { // a token that was replaced a moment ago
			if o.Expires.After(out[i].Until) {
				out[i].Until = o.Expires
			}
			continue
		}
		out = append(out, SignIn{ID: id, Room: o.Room, Widget: o.Widget, Since: o.Issued, Until: o.Expires, This: o.Key() == st.Key()})
	}
	slices.SortStableFunc(out, func(a, b SignIn) int { return b.Since.Compare(a.Since) })
	return out, nil
}

// EndOwn ends one of the person's sign-ins, or all Others, and its connections. 404 where there is none.
func (s *Service) EndOwn(ctx context.Context, st StoredSession, id string) error {
	list, err := s.cfg.Store.Sessions(ctx, st.Person)
	if err != nil {
		return internal(err)
	}
	found := false
	for _, o := range list {
		if !(signInID(o) == id || id == Others && o.Key() != st.Key()) {
			continue
		}
		found = true
		if err := s.cfg.Store.DeleteSession(ctx, o.TokenHash); err != nil && !errors.Is(err, ErrNoSession) {
			return internal(err)
		}
		s.cfg.Revoked(o)
	}
	if !found && id != Others {
		return &Error{Status: http.StatusNotFound, Code: "no_session", Message: "This sign-in has ended already."}
	}
	return nil
}

// WidgetName is what a widget of a room is called, "" where it is gone.
func (s *Service) WidgetName(room, widget string) string {
	w, _ := s.cfg.Rooms.Widget(room, widget)
	return w.Name
}

func signInID(st StoredSession) string {
	k := st.Key()
	return hex.EncodeToString(k[:16])
}
