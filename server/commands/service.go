package commands

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"github.com/educationpub/lectern/server/checkpoint"
	"github.com/educationpub/lectern/server/commands/phrase"
)

// Config of the service.
type Config struct {
	Rooms     Rooms
	Talk      Talk
	Memory    Memory
	Greetings Greetings
	// Mirrors: widgets get stable events, too; nil: they do not.
	Mirrors Mirrors
	// Companion is its full Matrix id.
	Companion string
	// Base is Lectern's own URL, without a slash at the end: where widgets live.
	Base string
	// Calls are set up: widgets about them can be added.
	Calls bool
	// Icon answers the mxc address of a kind's picture, "" for none; may be nil.
	Icon func(kind string) string
	Log  *slog.Logger
	// Observe counts what was done with a message; may be nil.
	Observe func(what string)
}

const (
	workers     = 4  // messages of one room are handled in their order by one of them
	waiting     = 64 // messages for each
	patience    = 30 * time.Second
	greetAgain  = time.Second // doubling to greetSeldom
	greetSeldom = 10 * time.Minute
	maxSessions = 1000
)

// Service obeys. Its methods are safe for concurrent use.
type Service struct {
	cfg    Config
	limit  limiter
	queues [workers]chan Message
	wake   chan struct{} // a greeting may be due
	links  links

	mirrorWake chan struct{} // a room has changed

	mu         sync.Mutex
	unreadable map[string]bool // guarded by mu; sessions about which somebody was told
}

// New starts nothing.
func New(cfg Config) *Service {
	if cfg.Observe == nil {
		cfg.Observe = func(string) {}
	}
	if cfg.Icon == nil {
		cfg.Icon = func(string) string { return "" }
	}
	s := &Service{cfg: cfg, wake: make(chan struct{}, 1), mirrorWake: make(chan struct{}, 1), unreadable: map[string]bool{}}
	s.limit.people, s.links.open = map[string]*minute{}, map[string]link{}
	for i := range s.queues {
		s.queues[i] = make(chan Message, waiting)
	}
	return s
}

// Heard takes a message and returns at once. What is not meant for the companion goes no further: a busy room must not fill the queue.
func (s *Service) Heard(m Message) {
	if _, ok := phrase.Parse(m.Body, m.Direct); !ok && m.Session == "" {
		s.cfg.Observe("ignored")
		return
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(m.Room))
	select {
	case s.queues[h.Sum32()%workers] <- m:
	default:
		s.cfg.Observe("dropped")
		s.cfg.Log.Warn("more commands at once than can be handled; one is not obeyed")
	}
}

// Look makes the service look for rooms to greet in; it returns at once.
func (s *Service) Look() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run obeys until ctx ends. What is being done then is finished or given up within seconds.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, q := range s.queues {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case m := <-q:
					s.handle(ctx, m)
				}
			}
		})
	}
	wg.Go(func() { s.greet(ctx) })
	wg.Go(func() { s.mirror(ctx) })
	wg.Wait()
	return ctx.Err()
}

// handle answers one message, at most once in all times.
func (s *Service) handle(ctx context.Context, m Message) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	what, answer := s.hear(ctx, m)
	s.cfg.Observe(what)
	if answer == "" {
		return
	}
	if err := s.say(ctx, m.Room, answer, m.Event, "answer-"+m.Event); err != nil {
		s.cfg.Log.Warn("answer a command", "room", m.Room, "err", err)
	}
}

// say tries again for as long as the homeserver asks for patience or does not answer: the same key is one notice.
func (s *Service) say(ctx context.Context, room, text, to, key string) error {
	for wait := 500 * time.Millisecond; ; wait *= 2 {
		err := s.cfg.Talk.Say(ctx, room, text, to, key)
		re, ok := errors.AsType[*checkpoint.RoomError](err)
		if !ok || re.Kind != checkpoint.RateLimited && re.Kind != checkpoint.Unreachable && re.Kind != checkpoint.Failing {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(max(wait, re.RetryAfter)):
		}
	}
}

func (s *Service) hear(ctx context.Context, m Message) (what, answer string) {
	cmd := phrase.Command{Lang: phrase.English, Problem: phrase.Unreadable}
	if m.Session == "" {
		var ok bool
		if cmd, ok = phrase.Parse(m.Body, m.Direct); !ok || !s.meant(m.Room, cmd.To) {
			return "ignored", ""
		}
	} else if !m.Direct || !s.firstOf(m.Session) {
		return "ignored", ""
	}
	within := s.limit.count(m.Sender, time.Now())
	if within == silent {
		return "limited", ""
	}
	if first, err := s.cfg.Memory.Claim(ctx, m.Event); err != nil {
		s.cfg.Log.Error("a command is not obeyed, because it could not be noted that it was", "err", err)
		return "failed", ""
	} else if !first {
		return "repeated", ""
	}
	if within == refused {
		return "limited", phrase.Say(cmd.Lang, phrase.TooFast, phrase.Args{"n": perMinute})
	}
	if cmd.Problem != "" {
		return "not understood", phrase.Say(cmd.Lang, cmd.Problem, cmd.Args)
	}
	return string(cmd.Verb), s.obey(ctx, m, cmd)
}

// meant: of several companions in a room the one that is named obeys, or the first in the order of their ids.
func (s *Service) meant(room, to string) bool {
	if to != "" {
		return to == s.cfg.Companion
	}
	r, ok := s.cfg.Rooms.Room(room)
	return ok && (len(r.Companions) == 0 || s.cfg.Companion < r.Companions[0])
}

func (s *Service) firstOf(session string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unreadable[session] {
		return false
	}
	if len(s.unreadable) >= maxSessions {
		clear(s.unreadable)
	}
	s.unreadable[session] = true
	return true
}

// --- greeting ---

func (s *Service) greet(ctx context.Context) {
	type failed struct {
		next time.Time
		wait time.Duration
	}
	late := map[string]failed{} // rooms where it did not work, perhaps because the companion may not write
	for {
		still, pause := map[string]failed{}, greetSeldom
		for _, v := range s.cfg.Greetings.Due() {
			f, ok := late[v.Key]
			if !ok || !time.Now().Before(f.next) {
				err := s.greetIn(ctx, v)
				if err == nil || ctx.Err() != nil {
					continue
				}
				f.wait = min(max(2*f.wait, greetAgain), greetSeldom)
				f.next = time.Now().Add(f.wait)
				s.cfg.Log.Warn("greet in a room", "room", v.Room, "again_in", f.wait, "err", err)
			}
			still[v.Key] = f
			pause = min(pause, time.Until(f.next))
		}
		late = still
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-time.After(pause):
		}
	}
}

func (s *Service) greetIn(ctx context.Context, v Visit) error {
	r, ok := s.cfg.Rooms.Room(v.Room)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	text := s.greeting(r, phrase.English) + "\n\n" + s.greeting(r, phrase.German)
	if err := s.say(ctx, v.Room, text, "", v.Key); err != nil {
		return err
	}
	return s.cfg.Greetings.Greeted(ctx, v.Room)
}

// greeting says what this is, what it needs and how to talk to it.
func (s *Service) greeting(r Room, lang phrase.Lang) string {
	if r.Direct {
		return phrase.Say(lang, phrase.GreetDirect, phrase.Args{"companion": s.cfg.Companion})
	}
	level := phrase.Say(lang, phrase.HasLevel, nil)
	if me, _ := s.cfg.Rooms.Standing(r.ID, s.cfg.Companion); me.Complete && me.Power < Needed(r, me.Levels) {
		level = phrase.Say(lang, phrase.NeedsLevel, s.levelArgs(r, lang, Needed(r, me.Levels)))
	}
	reads := phrase.RoomSilent
	if r.Open {
		reads = phrase.RoomReads
	}
	return phrase.Say(lang, phrase.Greeting, phrase.Args{
		"companion": s.cfg.Companion, "level": phrase.Lines{level}, "reads": phrase.Lines{phrase.Say(lang, reads, phrase.Args{"companion": s.cfg.Companion})},
	})
}
