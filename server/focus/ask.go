package focus

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// People of other instances publish on their own LiveKit server. What moderators decide about them is carried out by the Lectern that has it, if its operator and
// ours have named each other's companions. Messages are Matrix to-device messages between the companions.
const (
	QuestionType = "com.educationpub.moderation.request"
	AnswerType   = "com.educationpub.moderation.answer"
)

// Question asks another instance to carry out a moderator's act on its LiveKit server.
type Question struct {
	V     int    `json:"v"`
	Nonce string `json:"nonce"`
	At    int64  `json:"ts"` // ms since 1970
	Room  string `json:"room_id"`
	By    string `json:"by"` // the moderator, a Matrix id of the asking companion's homeserver
	Act   Act    `json:"act"`
}

// Answer to a Question.
type Answer struct {
	V       int     `json:"v"`
	Nonce   string  `json:"nonce"`
	Focus   string  `json:"focus"` // the answering instance's token service, "" for none
	Outcome Outcome `json:"outcome"`
	Changed int     `json:"changed"`
	Code    string  `json:"code,omitempty"` // why not
}

const (
	askFor     = 3 * time.Second
	requestAge = time.Minute // either way: clocks differ
	maxNonces  = 10_000      // of the last two minutes
	askRate    = 2           // requests per second of one instance
	askBurst   = 60
)

// others is what is known of instances that ask. Guarded by Service.mu.
type others struct {
	seen   map[string]time.Time     // nonce -> until when
	limits map[string]*rate.Limiter // by companion; no more than the operator has named
}

// beyond sees to what an act could not do here: it asks the other instances, and says for whom it is done, asked for, or not possible.
func (s *Service) beyond(ctx context.Context, room, by string, a Act, r *Result) {
	var lasting bool // then also where nobody of these publishes now
	switch a.Action {
	case MuteMicrophone, StopVideo, StopShare:
	case AllowSources, Readmit, Begin, End:
		lasting = true
	case Remove:
		if lasting = a.Person != ""; !lasting {
			return // a stranger here
		}
	default:
		return // Kick and Ban: every homeserver sees to those
	}
	people := s.elsewhere(room, a)
	if len(people) == 0 && !lasting {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	answers, silent := s.cfg.Rooms.Ask(ctx, Question{V: 1, Nonce: rand.Text(), At: s.cfg.Now().UnixMilli(), Room: room, By: by, Act: a})
	done := map[string]Outcome{}
	for _, n := range answers {
		done[n.Focus] = n.Outcome
		r.Changed += n.Changed
	}
	for person, foci := range people {
		o := Enforced
		for _, f := range foci {
			switch {
			case done[f] == Enforced:
			case done[f] == "" && silent > 0:
				o = worse(o, Requested)
			default:
				o = NotPossible
			}
		}
		r.Outcome = worse(r.Outcome, o)
		if r.People == nil {
			r.People, r.Foci = map[string]Outcome{}, map[string][]string{}
		}
		r.People[person] = o
		for _, f := range foci {
			if name := serverName(f); !slices.Contains(r.Foci[person], name) {
				r.Foci[person] = append(r.Foci[person], name)
			}
		}
	}
}

func worse(a, b Outcome) Outcome {
	order := []Outcome{Enforced, Requested, NotPossible}
	return order[max(slices.Index(order, a), slices.Index(order, b), 0)]
}

// elsewhere lists the people an act is about who publish on servers that are not ours, with the addresses of these.
func (s *Service) elsewhere(room string, a Act) map[string][]string {
	everybody := a.Person == "*" || a.Action == End || a.Action == Begin
	people := map[string][]string{}
	for _, m := range s.cfg.Rooms.Memberships(room) {
		if s.ours(m.Focus) || m.Person != a.Person && (!everybody || a.Person == "*" && s.isModerator(room, m.Person)) {
			continue
		}
		if f := strings.TrimRight(m.Focus, "/"); !slices.Contains(people[m.Person], f) {
			people[m.Person] = append(people[m.Person], f)
		}
	}
	return people
}

// Asked carries out what another instance asks on behalf of one of its moderators. companion is its account, which is accepted here.
func (s *Service) Asked(ctx context.Context, companion string, q Question) Answer {
	out := Answer{V: 1, Nonce: q.Nonce, Focus: s.cfg.Own, Outcome: NotPossible}
	r, err := s.asAsked(ctx, companion, q)
	if out.Code = codeOf(err); err == nil {
		out.Code, out.Outcome, out.Changed = "", Enforced, r.Changed
		s.bump(q.Room)
	}
	s.cfg.Observe(Observation{"asked", codeOf(err)})
	if err != nil {
		s.cfg.Log.Warn("another instance's request was refused", "from", companion, "action", q.Act.Action, "err", err)
	}
	return out
}

func (s *Service) asAsked(ctx context.Context, companion string, q Question) (r Result, err error) {
	if age := s.cfg.Now().Sub(time.UnixMilli(q.At)); q.V != 1 || len(q.Nonce) < 16 || len(q.Nonce) > 128 || age > requestAge || age < -requestAge {
		return r, refuse(400, "bad_request", "The request is older than a minute, or not one.")
	}
	if len(q.Act.Sources) > 16 || q.Act.Identity != "" || q.Act.Action == Kick || q.Act.Action == Ban {
		return r, refuse(400, "bad_act", "Other instances are not asked for that.")
	}
	// An instance speaks for people of its own homeserver only, which could speak in their name anyway: accepting it gives nobody else's power away.
	if st, _ := s.cfg.Rooms.Standing(q.Room, companion); !st.Joined || serverOf(q.By) != serverOf(companion) {
		return r, refuse(403, "not_theirs", "An instance asks for moderators of its own homeserver, in rooms that its companion is in.")
	}
	if err := s.once(companion, q.Nonce); err != nil {
		return r, err
	}
	by, _ := s.cfg.Rooms.Standing(q.Room, q.By)
	if !moderates(by) {
		return r, refuse(403, "forbidden", "Only moderators decide about calls.")
	}
	if err := s.mayTarget(q.Room, q.Act, q.By, by); err != nil {
		return r, err
	}
	q.Act.asked = true
	return s.carryOut(ctx, q.Room, q.Act)
}

// once counts a request, and refuses one that came before.
func (s *Service) once(companion, nonce string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	l := s.others.limits[companion]
	if l == nil {
		l = rate.NewLimiter(askRate, askBurst)
		s.others.limits[companion] = l
	}
	if !l.AllowN(now, 1) {
		return refuse(429, "rate_limited", "Too many requests.")
	}
	if _, ok := s.others.seen[nonce]; ok {
		return refuse(409, "replayed", "This request came before.")
	}
	if len(s.others.seen) >= maxNonces {
		for n, until := range s.others.seen {
			if now.After(until) {
				delete(s.others.seen, n)
			}
		}
		if len(s.others.seen) >= maxNonces {
			return refuse(429, "rate_limited", "Too many requests.")
		}
	}
	s.others.seen[nonce] = now.Add(2 * requestAge)
	return nil
}
