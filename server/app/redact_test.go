package app

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/educationpub/lectern/crdt/board"
)

func TestRedact(t *testing.T) {
	var out strings.Builder
	log := slog.New(Redact(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.With("room", "!CANARY:school.example").WithGroup("g").Debug("for @CANARY:school.example",
		"person", board.Person("@CANARY:x.example"), "board", board.ID("CANARYCANARY"), "seq", 7,
		slog.Group("in", "err", fmt.Errorf("get: %w", errors.New(`Get "https://hs/userinfo?access_token=CANARY&x=1": @CANARY:y.example:8448 in !CANARYabcdefghijklmnopqrstuvwxyz0123456789_-ABCD`))))
	log.Warn("kept", "route", "/v1/sessions", "err", errors.New("disk full"), "none", nil)
	t.Run("DV13 identifiers and tokens never reach the log, also inside errors", func(t *testing.T) {
		s := out.String()
		if strings.Contains(s, "CANARY") {
			t.Error(s)
		}
		for _, want := range []string{`"seq":7`, `"route":"/v1/sessions"`, "disk full", "access_token=…", "x=1"} {
			if !strings.Contains(s, want) {
				t.Errorf("%s is missing in %s", want, s)
			}
		}
	})
	t.Run("DV13 the same room has the same hash within a run", func(t *testing.T) {
		out.Reset()
		log.Info("a", "room", "!r:x")
		log.Info("a", "room", "!r:x")
		l := strings.Split(strings.TrimSpace(out.String()), "\n")
		a, b := l[0][strings.Index(l[0], `"room"`):], l[1][strings.Index(l[1], `"room"`):]
		if a != b {
			t.Errorf("got %s and %s", a, b)
		}
	})
}
