package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/educationpub/lectern/crdt/board"
)

// A board has one home: the Lectern that numbers its changes and opens its epochs. Whose it is stands in the room's event, with a term that grows by
// one at each take-over; this file reads what stands there and decides. Two that claim the same board: the higher term wins, at equal terms the
// lower Matrix id. (Merging two independently squashed histories would lose edits, so there is never a second writer.)
func wins(term uint64, home string, overTerm uint64, overHome string) bool {
	return term > overTerm || term == overTerm && home < overHome
}

// ours says whether this Lectern is the home.
func (h Home) ours() bool { return h.Home == "" }

// claim is the term under which we are the home.
func (h Home) claim() uint64 {
	if h.Taking != nil {
		return h.Term + 1
	}
	return h.Term
}

// from is what we took the board over from.
func (h Home) from() *Taken {
	if h.Taking != nil {
		return h.Taking
	}
	return h.Taken
}

// mark is where a manifest stands.
func (m *manifest) mark() Mark { return Mark{Home: m.Home, Log: m.Log, Seq: m.Seq} }

// taken is what is taken over with a manifest.
func (m *manifest) taken() *Taken {
	t := &Taken{Mark: m.mark()}
	for _, d := range m.Docs {
		t.Docs = append(t.Docs, TakenDoc{Doc: d.Doc, Epoch: d.Epoch, Seq: d.Seq})
	}
	return t
}

func (c *Checkpointer) home(ctx context.Context, id board.ID) (Home, error) {
	if c.config.Homes == nil {
		return Home{Term: 1}, nil
	}
	h, err := c.config.Homes.Home(ctx, id)
	if err != nil {
		return h, fmt.Errorf("whose the board is: %w", err)
	}
	return h, nil
}

// elsewhere names a board's home to people. The page says it in their language, with what Whose answers.
func elsewhere(home string, since time.Time) *board.Error {
	when := "It has not saved the board to this room yet."
	if !since.IsZero() {
		when = "It last saved the board on " + since.UTC().Format("2 January 2006 at 15:04 UTC") + "."
	}
	return board.ErrElsewhere.Saying("This board is kept by another Lectern, " + home + ". " + when + " Open it there; if that Lectern is gone for good, a moderator can take the board over.")
}

// Whose answers who keeps a board.
type Whose struct {
	Ours  bool
	Home  string
	Since time.Time // when it last wrote; zero where it is ours
}

// Whose asks the store, and of a board that is not ours the room.
func (c *Checkpointer) Whose(ctx context.Context, room, kind string, id board.ID) (Whose, error) {
	h, err := c.home(ctx, id)
	if err != nil {
		return Whose{}, err
	}
	ours := Whose{Ours: true, Home: c.config.Home}
	if _, err := c.config.Log.Open(ctx, id); err == nil && h.ours() {
		return ours, nil
	} else if err != nil && !isUnknown(err) {
		return Whose{}, fmt.Errorf("open the log: %w", err)
	}
	m, st, err := c.readRoom(ctx, room, kind, id)
	switch {
	case errors.Is(err, ErrNoState) && h.ours():
		return ours, nil
	case errors.Is(err, ErrNoState):
		return Whose{Home: h.Home, Since: h.Since}, nil
	case err != nil:
		return Whose{}, err
	case m.Home == c.config.Home && h.ours():
		return ours, nil
	case !h.ours() && wins(h.Term, h.Home, m.Term, m.Home):
		return Whose{Home: h.Home, Since: h.Since}, nil
	}
	return Whose{Home: m.Home, Since: st.At}, nil
}

// readRoom reads the board's event and manifest, whoever of those we believe wrote it. ErrNoState: there is none.
func (c *Checkpointer) readRoom(ctx context.Context, room, kind string, id board.ID) (m manifest, st State, err error) {
	st, err = c.config.Room.ReadState(ctx, room, stateType(kind), string(id))
	if errors.Is(err, ErrNoState) {
		return m, st, ErrNoState
	}
	if err != nil {
		return m, st, restoreError("read the state event", err)
	}
	if isEmptied(st, id) {
		return m, st, ErrNoState
	}
	m, err = c.readManifest(ctx, st, kind, id)
	return m, st, err
}

// mayRestore decides whether what stands in the room becomes a board here, and remembers whose it is. Another home's does only when it is being
// taken over.
func (c *Checkpointer) mayRestore(ctx context.Context, room, kind string, id board.ID, h Home, m *manifest, st State) error {
	if m.Home == c.config.Home {
		switch {
		case !h.ours() && m.Term <= h.Term:
			return elsewhere(h.Home, h.Since).Because("the room shows our own old event of term %d", m.Term)
		case m.Term < h.Term:
			return board.ErrDamaged.Because("the room goes back to term %d, we are in %d", m.Term, h.Term)
		}
		logs := append(slices.Clone(h.Logs), m.Log)
		if len(logs) > maxLogs {
			logs = logs[len(logs)-maxLogs:]
		}
		return c.putHome(ctx, id, room, kind, Home{Term: m.Term, Taken: m.Taken, Carried: m.Carried, Logs: logs})
	}
	if h.Taking != nil && h.Taking.Mark == m.mark() {
		return nil // as a moderator said, or this very opening before the last stop
	}
	if after := c.config.TakeoverAfter; after > 0 && time.Since(st.At) > after {
		c.log.Warn("a board's home has written nothing for longer than takeover_after, so it is taken over", "board", id, "room", room, "home", m.Home, "age", time.Since(st.At).Round(time.Second))
		return c.take(ctx, room, kind, id, h, m, st)
	}
	return elsewhere(m.Home, st.At).Because("its home is %.200q", m.Home)
}

// maxLogs is how many earlier incarnations of a log are remembered.
const maxLogs = 20

// take remembers that the board is taken over with this manifest. It is until the log exists that the board stays the other's.
func (c *Checkpointer) take(ctx context.Context, room, kind string, id board.ID, h Home, m *manifest, st State) error {
	if c.config.Homes == nil {
		return board.ErrUnavailable.Because("boards cannot be taken over here")
	}
	return c.putHome(ctx, id, room, kind, Home{Home: m.Home, Term: max(m.Term, h.Term), Since: st.At, Taking: m.taken(), Carried: m.Carried, Logs: h.Logs})
}

func (c *Checkpointer) putHome(ctx context.Context, id board.ID, room, kind string, h Home) error {
	if c.config.Homes == nil {
		return nil
	}
	if err := c.config.Homes.PutHome(ctx, id, room, kind, h); err != nil {
		return board.ErrUnavailable.Because("%w", err)
	}
	return nil
}

// Errors of TakeOver, beside those of Restore.
var (
	ErrOurs = errors.New("checkpoint: this Lectern is the board's home already")
	ErrNone = errors.New("checkpoint: the room has no such board")
	// ErrOwed: our old log holds work that the present home has not taken in. It is for the epoch that was taken from us, which only that home and our old
	// log know; taking the board back would replace that log.
	ErrOwed = errors.New("checkpoint: the board's home has not taken in yet what is left here")
)

// TakeOver makes this Lectern the board's home, because a moderator said so: the board is restored from the room with every check of a restore,
// squashed to the next epoch and written to the room under the next term. A stop at any point is made good at the next start or opening. saved is
// false when the room does not have it yet; that is tried again like every save.
func (c *Checkpointer) TakeOver(ctx context.Context, room, kind string, id board.ID) (saved bool, err error) {
	if err := c.claimRoom(ctx, room, kind, id); err != nil {
		return false, err
	}
	if err := c.config.Boards().Open(ctx, id, room, kind); err != nil {
		return false, err
	}
	c.mu.Lock()
	c.anew[id] = true
	c.mu.Unlock()
	c.Changed(board.Changed{ID: id, Room: room, Kind: kind, At: time.Now()})
	if err := c.Save(ctx, id); err != nil {
		c.log.Warn("a board was taken over, but is not in its room yet", "board", id, "room", room, "err", err)
		return false, nil
	}
	return true, nil
}

func (c *Checkpointer) claimRoom(ctx context.Context, room, kind string, id board.ID) error {
	defer c.lock(id)()
	h, err := c.home(ctx, id)
	if err != nil {
		return err
	}
	meta, err := c.config.Log.Open(ctx, id)
	switch {
	case err == nil && h.ours():
		return ErrOurs
	case h.Owed != nil:
		return ErrOwed
	case err == nil:
		h.Logs = append(h.Logs, meta.Log)
	case !isUnknown(err):
		return fmt.Errorf("open the log: %w", err)
	}
	m, st, err := c.readRoom(ctx, room, kind, id)
	switch {
	case errors.Is(err, ErrNoState):
		return ErrNone
	case err != nil:
		return err
	case m.Home == c.config.Home:
		return ErrOurs
	case !h.ours() && wins(h.Term, h.Home, m.Term, m.Home):
		return board.ErrUnavailable.Because("the room shows term %d of %.200q, we know of a later one", m.Term, m.Home)
	}
	c.log.Warn("a moderator takes a board over", "board", id, "room", room, "home", m.Home, "term", m.Term+1, "last_saved", st.At)
	return c.take(ctx, room, kind, id, h, &m, st)
}

// squash begins the next epoch of every document that is still in the one it was taken over in.
func (c *Checkpointer) squash(ctx context.Context, id board.ID, h Home, docs []board.DocInfo) error {
	if h.Taking == nil {
		return nil
	}
	for _, d := range docs {
		if slices.ContainsFunc(h.Taking.Docs, func(t TakenDoc) bool { return t.Doc == d.ID && t.Epoch == d.Epoch }) {
			if err := c.config.Boards().Squash(ctx, id, d.ID); err != nil {
				return fmt.Errorf("begin the next epoch of %s: %w", d.ID, err)
			}
		}
	}
	return nil
}

// taken remembers that a take-over is in the room, and so over.
func (c *Checkpointer) taken(ctx context.Context, j *job, term uint64) error {
	if term == 1 {
		return nil // never taken over
	}
	defer c.lock(j.id)()
	h, err := c.home(ctx, j.id)
	if err != nil || !h.ours() || h.Taking == nil {
		return err
	}
	h.Term, h.Taken, h.Taking = term, h.Taking, nil
	return c.putHome(ctx, j.id, j.room, j.board, h)
}
