package commands

import (
	"cmp"
	"context"

	"github.com/educationpub/lectern/server/commands/phrase"
)

// listen lets the companion read an encrypted room, or no longer. Everybody there is told: a room where somebody reads along must not look like one where
// nobody does.
func (s *Service) listen(ctx context.Context, m Message, p *place, off bool) string {
	level := p.levels.Moderator()
	switch {
	case p.asker.Power < level:
		return p.say(phrase.NotModerator, phrase.Args{"level": level, "mine": p.asker.Power})
	case !p.Encrypted:
		return p.say(phrase.ListenPlain, nil)
	}
	// The permission counts while whoever wrote it moderates (SPEC CM1), so the companion has to.
	if level = max(level, p.levels.State(AllowType)); p.me.Power < level {
		return phrase.Say(p.lang, phrase.AskLevel, s.levelArgs(p.Room, p.lang, level))
	}
	if err := s.cfg.Talk.SetState(ctx, p.ID, AllowType, "", map[string]bool{"commands": !off}); err != nil {
		return s.failure(p, level, err)
	}
	answer, told := phrase.ListenOn, phrase.ListenSaid
	if off {
		answer, told = phrase.ListenOff, phrase.ListenEnded
	}
	if m.Room == p.ID {
		return p.say(answer, nil)
	}
	who := phrase.Args{"who": cmp.Or(phrase.Short(p.asker.Name), m.Sender)}
	text := phrase.Say(phrase.English, told, who) + "\n\n" + phrase.Say(phrase.German, told, who)
	if err := s.say(ctx, p.ID, text, "", "told-"+m.Event); err != nil {
		return s.failure(p, level, err)
	}
	return p.say(answer, nil)
}
