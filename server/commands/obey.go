package commands

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/commands/phrase"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/widgets"
)

// MaxBoards in a room that commands add.
const MaxBoards = 50

// obey does what a command asks for and answers one text.
func (s *Service) obey(ctx context.Context, m Message, cmd phrase.Command) string {
	if cmd.Verb == phrase.Help {
		if m.Direct {
			return phrase.Say(cmd.Lang, phrase.HelpDirect, nil)
		}
		return phrase.Say(cmd.Lang, phrase.HelpRoom, nil)
	}
	p, no := s.where(m, cmd)
	if no != "" {
		return no
	}
	if cmd.Verb == phrase.List {
		return p.list()
	}
	switch cmd.Verb {
	case phrase.Listen:
		return s.listen(ctx, m, &p, cmd.Off)
	case phrase.Setup:
		return s.setup(m, &p)
	}
	return s.change(ctx, &p, cmd)
}

// change does what alters the room's boards, for who may, and answers one text.
func (s *Service) change(ctx context.Context, p *place, cmd phrase.Command) string {
	level := p.levels.State(widgets.EventType)
	if cmd.Verb == phrase.Add || cmd.Verb == phrase.Restore {
		level = Needed(p.Room, p.levels)
	}
	if no := s.refusal(p, level); no != "" {
		return no
	}
	var answer string
	var err error
	switch cmd.Verb {
	case phrase.Add:
		answer, err = s.add(ctx, p, cmd)
	case phrase.Rename:
		answer, err = s.rename(ctx, p, cmd)
	case phrase.Remove:
		answer, err = s.remove(ctx, p, cmd)
	case phrase.Restore:
		answer, err = s.restore(ctx, p, cmd)
	}
	if err != nil {
		return s.failure(p, level, err)
	}
	return answer
}

func (p *place) say(key phrase.Key, args phrase.Args) string {
	if args == nil {
		args = phrase.Args{}
	}
	args["room"] = p.shown
	return phrase.Say(p.lang, key, args)
}

// failure says what an error means for who asked. The companion may have been demoted or sent away since the command was judged.
func (s *Service) failure(p *place, level int, err error) string {
	s.cfg.Log.Warn("a command did not work", "room", p.ID, "err", err)
	args := phrase.Args{"companion": s.cfg.Companion, "level": level}
	re, known := errors.AsType[*checkpoint.RoomError](err)
	switch {
	case known && re.Kind == checkpoint.Forbidden:
		if me, ok := s.cfg.Rooms.Standing(p.ID, s.cfg.Companion); !ok || !me.Joined {
			return p.say(phrase.Gone, args)
		}
		return p.say(phrase.Refused, args)
	case known && (re.Kind == checkpoint.Unreachable || re.Kind == checkpoint.RateLimited || re.Kind == checkpoint.Failing):
		return p.say(phrase.Unreachable, args)
	}
	return p.say(phrase.Failed, args)
}

// --- the commands ---

func (s *Service) add(ctx context.Context, p *place, cmd phrase.Command) (string, error) {
	if len(p.Widgets) >= MaxBoards {
		return p.say(phrase.TooMany, phrase.Args{"max": MaxBoards}), nil
	}
	if kind, _ := widgets.Find(cmd.Kind); kind.Focus && !s.cfg.Calls {
		return p.say(phrase.CallsOff, nil), nil
	}
	w := widgets.New(s.cfg.Base, cmd.Kind, cmd.Name)
	if err := s.cfg.Talk.SetState(ctx, p.ID, widgets.EventType, w.ID, w.Content(s.cfg.Companion, s.cfg.Icon(cmd.Kind))); err != nil {
		return "", err
	}
	return p.say(s.showOnTop(ctx, p, w.ID, phrase.Added), phrase.Args{"name": w.Title, "level": p.levels.State(widgets.LayoutType), "companion": s.cfg.Companion}), nil
}

// showOnTop answers the sentence that tells where the widget is: done, or where it is when the layout has no place for it.
func (s *Service) showOnTop(ctx context.Context, p *place, id string, done phrase.Key) phrase.Key {
	shown, err := s.arrange(ctx, p, id)
	switch {
	case err != nil:
		s.cfg.Log.Warn("show a widget on top", "room", p.ID, "err", err)
		return phrase.AddedHidden
	case shown == ShownLevel:
		return phrase.AddedAside
	case shown == ShownFull:
		return phrase.AddedBelow
	}
	return done
}

func (s *Service) rename(ctx context.Context, p *place, cmd phrase.Command) (string, error) {
	w, no := p.meant(cmd)
	if no != "" {
		return no, nil
	}
	content, err := s.widget(ctx, p, w.ID)
	if err != nil {
		return "", err
	}
	if content == nil {
		return p.say(phrase.OnlyOurs, phrase.Args{"name": w.Name}), nil
	}
	content["name"], _ = json.Marshal(cmd.New) // everything else stays as it is, also what somebody added by hand
	if err := s.cfg.Talk.SetState(ctx, p.ID, widgets.EventType, w.ID, content); err != nil {
		return "", err
	}
	return p.say(phrase.Renamed, phrase.Args{"old": w.Name, "name": cmd.New}), nil
}

func (s *Service) remove(ctx context.Context, p *place, cmd phrase.Command) (string, error) {
	w, no := p.meant(cmd)
	if no != "" {
		return no, nil
	}
	content, err := s.widget(ctx, p, w.ID)
	if err != nil {
		return "", err
	}
	if content != nil {
		raw, err := json.Marshal(content)
		if err != nil {
			return "", err
		}
		if err := s.cfg.Memory.KeepRemoved(ctx, p.ID, Removed{Widget: w.ID, Name: w.Name, Content: raw}); err != nil {
			return "", err
		}
	}
	if err := s.cfg.Talk.SetState(ctx, p.ID, widgets.EventType, w.ID, struct{}{}); err != nil { // as Element removes one
		return "", err
	}
	s.takeOff(ctx, p, w.ID)
	return p.say(phrase.Removed, phrase.Args{"name": w.Name}), nil
}

// takeOff frees the widget's place above the messages. Without it Element shows the others no wider; that is no reason to call the removal failed.
func (s *Service) takeOff(ctx context.Context, p *place, id string) {
	if p.me.Power < p.levels.State(widgets.LayoutType) {
		return
	}
	layout, err := s.cfg.Talk.State(ctx, p.ID, widgets.LayoutType, "")
	if err == nil {
		if next, changed := widgets.TakeOff(layout, id); changed {
			err = s.cfg.Talk.SetState(ctx, p.ID, widgets.LayoutType, "", next)
		}
	}
	if err != nil {
		s.cfg.Log.Warn("take a widget off the layout", "room", p.ID, "err", err)
	}
}

func (s *Service) restore(ctx context.Context, p *place, cmd phrase.Command) (string, error) {
	gone, err := s.cfg.Memory.Removed(ctx, p.ID)
	if err != nil {
		return "", err
	}
	var list phrase.Lines
	for _, r := range gone {
		if _, there := p.byID(r.Widget); there {
			continue
		}
		if cmd.Widget != "" && r.Widget != cmd.Widget {
			continue
		}
		if cmd.Widget == "" && cmd.Name != "" && !strings.EqualFold(phrase.Clean(r.Name), cmd.Name) {
			list = append(list, "– "+phrase.Short(r.Name))
			continue
		}
		if there, err := s.cfg.Talk.State(ctx, p.ID, widgets.EventType, r.Widget); err != nil {
			return "", err
		} else if len(there) > len(`{}`) {
			continue // somebody has put something else there
		}
		if err := s.cfg.Talk.SetState(ctx, p.ID, widgets.EventType, r.Widget, r.Content); err != nil {
			return "", err
		}
		s.showOnTop(ctx, p, r.Widget, phrase.Restored)
		return p.say(phrase.Restored, phrase.Args{"name": r.Name}), nil
	}
	if len(list) > 0 {
		return p.say(phrase.NoSuchGone, phrase.Args{"name": cmd.Name, "list": list}), nil
	}
	return p.say(phrase.NothingGone, nil), nil
}

// widget reads a widget as it stands now; nil where it is no longer ours, or half-written.
func (s *Service) widget(ctx context.Context, p *place, id string) (map[string]json.RawMessage, error) {
	raw, err := s.cfg.Talk.State(ctx, p.ID, widgets.EventType, id)
	if err != nil {
		return nil, err
	}
	var content map[string]json.RawMessage
	if json.Unmarshal(raw, &content) != nil || content["url"] == nil || content["data"] == nil {
		return nil, nil
	}
	return content, nil
}

// --- which widget ---

func (p *place) list() string {
	if len(p.Widgets) == 0 {
		return p.say(phrase.ListEmpty, nil)
	}
	return p.say(phrase.ListHead, nil) + "\n" + strings.Join(p.items(), "\n")
}

func (p *place) items() (l phrase.Lines) {
	for i, w := range p.Widgets {
		l = append(l, phrase.Item(i+1, labelOf(w)))
	}
	return l
}

// labelOf a widget in a list; one may have been given no name by hand.
func labelOf(w identity.Widget) string {
	if phrase.Clean(w.Name) == "" {
		return w.ID
	}
	return w.Name
}

func (p *place) byID(id string) (identity.Widget, bool) {
	for _, w := range p.Widgets {
		if w.ID == id {
			return w, true
		}
	}
	return identity.Widget{}, false
}

// meant is the widget of a command.
func (p *place) meant(cmd phrase.Command) (w identity.Widget, no string) {
	if cmd.Widget == "" {
		return p.find(cmd.Name)
	}
	if w, ok := p.byID(cmd.Widget); ok {
		return w, ""
	}
	return w, p.say(phrase.NoSuch, phrase.Args{"name": cmd.Name, "list": p.items()})
}

// find answers the widget of this name or number of the list, or a sentence.
func (p *place) find(name string) (w identity.Widget, no string) {
	if len(p.Widgets) == 0 {
		return w, p.say(phrase.ListEmpty, nil)
	}
	if name == "" {
		if len(p.Widgets) == 1 {
			return p.Widgets[0], ""
		}
		return w, p.say(phrase.WhichOne, phrase.Args{"list": p.items()})
	}
	hits := 0
	for _, o := range p.Widgets {
		if strings.EqualFold(phrase.Clean(labelOf(o)), name) {
			w, hits = o, hits+1
		}
	}
	if hits == 1 {
		return w, ""
	}
	if hits > 1 {
		return identity.Widget{}, p.say(phrase.WhichOne, phrase.Args{"list": p.items()})
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(p.Widgets) {
		return p.Widgets[n-1], ""
	}
	return w, p.say(phrase.NoSuch, phrase.Args{"name": name, "list": p.items()})
}
