package commands

import (
	"slices"
	"strings"

	"github.com/educationpub/lectern/server/commands/phrase"
	"github.com/educationpub/lectern/server/identity"
	"github.com/educationpub/lectern/widgets"
)

// place is the room a command is about, and who asks.
type place struct {
	Room
	lang   phrase.Lang
	asker  identity.Standing
	me     identity.Standing
	shown  string // the room's name, as it stands in sentences
	levels identity.Levels
}

// Needed is the power level the companion needs in a room: for the widgets, and for what keeps their boards.
func Needed(r Room, l identity.Levels) int {
	level := l.State(widgets.EventType)
	if r.Encrypted {
		return max(level, l.State("m.room.encrypted")) // as encrypted state events are sent
	}
	for _, k := range widgets.Boards() {
		level = max(level, l.State(k.ContentType()))
	}
	return level
}

// levelArgs of a sentence that asks for a power level.
func (s *Service) levelArgs(r Room, lang phrase.Lang, level int) phrase.Args {
	who := phrase.Say(lang, phrase.Admins, nil)
	if len(r.Admins) > 0 {
		names := make([]string, len(r.Admins))
		for i, n := range r.Admins {
			names[i] = phrase.Short(n)
		}
		who = strings.Join(names, ", ")
	}
	return phrase.Args{"level": level, "who": phrase.Lines{who}, "companion": s.cfg.Companion, "room": nameOf(r)}
}

// nameOf a room in sentences; a room may have none, or one that is only visible to members' clients.
func nameOf(r Room) string {
	for _, n := range []string{r.Name, r.Alias} {
		if n = phrase.Short(n); n != "" {
			return n
		}
	}
	return r.ID
}

// where finds the room a command is about; a sentence where there is none.
func (s *Service) where(m Message, cmd phrase.Command) (p place, no string) {
	say := func(key phrase.Key, args phrase.Args) (place, string) {
		return place{}, phrase.Say(cmd.Lang, key, args)
	}
	at := func(r Room) (place, string) { return s.placed(r, m.Sender, cmd.Lang) }
	if !m.Direct {
		r, ok := s.cfg.Rooms.Room(m.Room)
		if !ok {
			return say(phrase.Gone, phrase.Args{"room": m.Room, "companion": s.cfg.Companion})
		}
		return at(r)
	}
	rooms := slices.DeleteFunc(s.cfg.Rooms.Shared(m.Sender), func(r Room) bool { return r.Direct })
	if len(rooms) == 0 {
		return say(phrase.NoRooms, phrase.Args{"companion": s.cfg.Companion})
	}
	if cmd.Room != "" {
		// Rooms the person is not in are as unknown as those that do not exist.
		rooms = named(rooms, cmd.Room)
		if len(rooms) == 0 {
			return say(phrase.NoSuchRoom, phrase.Args{"name": cmd.Room, "companion": s.cfg.Companion})
		}
	}
	if len(rooms) == 1 {
		return at(rooms[0])
	}
	var may []Room
	for _, r := range rooms {
		if p, no := at(r); no == "" && p.mayChange() {
			may = append(may, r)
		}
	}
	switch {
	case len(may) == 1:
		return at(may[0])
	case len(may) == 0:
		return say(phrase.NoneEntitled, phrase.Args{"list": roomList(rooms)})
	}
	return say(phrase.WhichRoom, phrase.Args{"list": roomList(may)})
}

// placed looks up who is who. Without readable power levels nobody is obeyed.
func (s *Service) placed(r Room, person string, lang phrase.Lang) (place, string) {
	asker, ok := s.cfg.Rooms.Standing(r.ID, person)
	me, _ := s.cfg.Rooms.Standing(r.ID, s.cfg.Companion)
	switch {
	case !ok || !me.Joined:
		return place{}, phrase.Say(lang, phrase.Gone, phrase.Args{"room": nameOf(r), "companion": s.cfg.Companion})
	case !asker.Joined:
		return place{}, phrase.Say(lang, phrase.NoSuchRoom, phrase.Args{"name": nameOf(r), "companion": s.cfg.Companion})
	case !asker.Complete:
		return place{}, phrase.Say(lang, phrase.HalfWritten, phrase.Args{"room": nameOf(r)})
	}
	return place{Room: r, lang: lang, asker: asker, me: me, shown: nameOf(r), levels: me.Levels}, ""
}

func (p *place) mayChange() bool { return p.asker.Power >= p.levels.State(widgets.EventType) }

// refusal says why nothing may be changed, "" if it may: first who asks, then the companion's own power.
func (s *Service) refusal(p *place, level int) string {
	if !p.mayChange() {
		return phrase.Say(p.lang, phrase.NotEntitled, phrase.Args{"room": p.shown, "level": p.levels.State(widgets.EventType), "mine": p.asker.Power})
	}
	if p.me.Power < level {
		return phrase.Say(p.lang, phrase.AskLevel, s.levelArgs(p.Room, p.lang, level))
	}
	return ""
}

// named: an id or alias means one room; a name all that are called so.
func named(rooms []Room, name string) []Room {
	var out []Room
	for _, r := range rooms {
		if r.ID == name || r.Alias != "" && strings.EqualFold(r.Alias, name) {
			return []Room{r}
		}
		if n := phrase.Clean(r.Name); n != "" && strings.EqualFold(n, name) {
			out = append(out, r)
		}
	}
	return out
}

const maxListed = 20

// roomList is what one can say after "in": the name where only one room has it, else the alias or id.
func roomList(rooms []Room) phrase.Lines {
	var l phrase.Lines
	for _, r := range rooms {
		switch name := nameOf(r); {
		case len(l) == maxListed:
			return append(l, "…")
		case name != r.ID && (name == r.Alias || len(named(rooms, name)) == 1):
			l = append(l, "– \""+name+"\"")
		case name == r.ID:
			l = append(l, "– "+r.ID)
		default:
			l = append(l, "– \""+name+"\": "+r.ID)
		}
	}
	return l
}
