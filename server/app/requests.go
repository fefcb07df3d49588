package app

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/identity"
)

// What HTTP asks of boards, in the name of a session.

func (p *parts) rule(ctx context.Context, st identity.StoredSession, c board.RulesChange) error {
	return p.hub.ChangeRules(ctx, st.Board, st.Person, c)
}

func (p *parts) letErase(ctx context.Context, st identity.StoredSession, person board.Person) error {
	return p.hub.LetErase(ctx, st.Board, st.Person, person)
}

func (p *parts) roomName(room string) string {
	r, _ := p.companion.Room(room)
	return r.Name
}

// history is server.History over the hub.
type history struct{ hub *board.Hub }

func (h history) Versions(ctx context.Context, st identity.StoredSession, doc board.DocID) ([]board.Version, error) {
	return h.hub.Versions(ctx, st.Room, st.Person, st.Board, doc)
}

func (h history) Version(ctx context.Context, st identity.StoredSession, doc board.DocID, seq uint64) ([]board.Element, error) {
	return h.hub.Version(ctx, st.Room, st.Person, st.Board, doc, seq)
}

func (h history) Drew(ctx context.Context, st identity.StoredSession, doc board.DocID, element string) (board.Person, time.Time, error) {
	return h.hub.Drew(ctx, st.Board, doc, element)
}

func (p *parts) gather(ctx context.Context, st identity.StoredSession, at board.Place) error {
	return p.hub.Gather(ctx, st.Board, st.Person, at)
}

func (p *parts) hand(ctx context.Context, st identity.StoredSession, up bool) error {
	return p.hub.Hand(ctx, st.Board, st.Person, up)
}

func (p *parts) addPage(ctx context.Context, st identity.StoredSession) (board.DocID, error) {
	return p.hub.AddPage(ctx, st.Board, st.Person)
}

// scene is what a page shows at this moment, or what has changed after an entry (docs/protocol.md §1.3).
func (p *parts) scene(ctx context.Context, st identity.StoredSession, doc board.DocID, after *uint64) (any, error) {
	v, err := p.hub.Scene(ctx, st.Board, doc, after)
	if err != nil {
		return nil, err
	}
	heads := make([]string, len(v.Heads))
	for i, h := range v.Heads {
		heads[i] = hex.EncodeToString(h[:])
	}
	return struct {
		Log      string          `json:"log"`
		Seq      uint64          `json:"seq"`
		Epoch    uint32          `json:"epoch"`
		Heads    []string        `json:"heads"`
		Full     bool            `json:"full"`
		Elements []board.Element `json:"elements"`
		Gone     []string        `json:"gone"`
	}{v.Log, v.Seq, v.Epoch, heads, v.Full, orEmpty(v.Elements), orEmpty(v.Gone)}, nil
}

// orEmpty is [] in JSON instead of null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
