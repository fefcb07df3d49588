package board_test

import (
	"testing"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/board/boardtest"
)

// The log that the tests of boards use keeps the contract that server/store keeps.
func TestMemoryLog(t *testing.T) {
	boardtest.TestLog(t, func(t *testing.T) (board.Log, func() board.Log) {
		l := boardtest.NewLog()
		t.Cleanup(l.Close)
		return l, func() board.Log { return l }
	})
}
