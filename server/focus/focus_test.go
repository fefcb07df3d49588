package focus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/educationpub/lectern/server/focus/livekit"
)

func TestWhetherLiveKitAnswers(t *testing.T) {
	s := &Service{cfg: Config{Log: slog.New(slog.DiscardHandler)}}
	for _, c := range []struct {
		name string
		err  error
		down bool
	}{
		{"who asked gave up", fmt.Errorf("%w: %w", livekit.ErrDown, context.Canceled), false},
		{"no connection", fmt.Errorf("%w: refused", livekit.ErrDown), true},
		{"who asked gave up meanwhile", fmt.Errorf("%w: %w", livekit.ErrDown, context.Canceled), true},
		{"a refusal is an answer", &livekit.Error{Code: "not_found"}, false},
		{"too slow", fmt.Errorf("%w: %w", livekit.ErrDown, context.DeadlineExceeded), true},
		{"an answer", nil, false},
	} {
		if err := s.asked(c.err); !errors.Is(err, c.err) || (s.Problem() != nil) != c.down {
			t.Errorf("FO12 %s: got %v, down %v", c.name, err, s.Problem())
		}
	}
}
