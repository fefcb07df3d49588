package store

import (
	"strconv"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server/identity"
)

// Rows that hold nothing secret are sealed as well: a flipped bit in them would be another person's session, or a board in another room.

// tag is the seal of a row without content.
func (v *vault) tag(row []byte) []byte { return v.aead.Seal(nil, nil, nil, row) }

// fits says whether a row is what was sealed. Rows of schema version 1 have no tag.
func (v *vault) fits(tag, row []byte) bool {
	if len(tag) == 0 {
		return true
	}
	_, err := v.aead.Open(nil, nil, tag, row)
	return err == nil
}

func sealedRow(kind string, fields ...string) []byte {
	b := field(nil, "lectern "+kind+" v1")
	for _, f := range fields {
		b = field(b, f)
	}
	return b
}

func boardRow(m *board.Meta, keyID int64) []byte {
	return sealedRow("board", string(m.ID), m.Room, m.Kind, m.Log, strconv.FormatInt(keyID, 10))
}

func actorRow(id board.ID, actor []byte, p board.Person) []byte {
	return sealedRow("actor", string(id), string(actor), string(p))
}

func sessionRow(v *identity.StoredSession) []byte {
	return sealedRow("session", string(v.TokenHash[:]), string(v.Person), v.Room, v.Widget, string(v.Board), v.Kind,
		strconv.FormatInt(v.Issued.UnixMilli(), 10), strconv.FormatInt(v.Expires.UnixMilli(), 10))
}
