package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/schema"
)

// wish is one gesture as its author means it: it can be written on whatever the page shows by then, and again after a refusal.
type wish struct {
	id    string
	make  bool
	props map[string]schema.Value
	token string // inserted into the element's text
	at    int    // where, modulo the text's length
}

// draw is a random wish about what a page shows. Everything made and every token is unique in its world.
func draw(rnd *rand.Rand, who string, n int, page *schema.Page) wish {
	scene := page.Scene()
	if len(scene) == 0 || rnd.IntN(4) == 0 {
		w := wish{id: fmt.Sprintf("%s-%d", who, n), make: true, props: map[string]schema.Value{
			"type": word("rectangle"), "x": whole(rnd.IntN(1000)), "y": whole(rnd.IntN(1000)), "index": word("a" + string(rune('0'+rnd.IntN(10)))),
		}}
		if rnd.IntN(2) == 0 {
			w.props["type"], w.token = word("text"), token(who, n)
		}
		return w
	}
	e := scene[rnd.IntN(len(scene))]
	w := wish{id: e.ID, props: map[string]schema.Value{}}
	typ, _ := e.Get("type")
	switch k := rnd.IntN(10); {
	case k == 0:
		w.props["isDeleted"] = schema.Value{Kind: change.True}
	case k == 1:
		w.props["isDeleted"] = schema.Value{Kind: change.False}
	case k < 5 && typ == "text":
		w.token, w.at = token(who, n), rnd.IntN(50)
	default:
		w.props["x"], w.props["y"] = whole(rnd.IntN(1000)), whole(rnd.IntN(1000))
	}
	return w
}

// token is what one text edit inserts: a character that nobody else writes, and some that everybody does.
func token(who string, n int) string { return string(mark(who, n)) + "ab"[:n%3] }

func mark(who string, n int) rune { return 0x20000 + rune(who[0]-'a')<<10 + rune(n) }

func word(s string) schema.Value { return schema.Value{Kind: change.String, Str: s} }
func whole(n int) schema.Value   { return schema.Value{Kind: change.Int, Num: uint64(n)} }

// mark is the one character that a text edit is found by.
func (w wish) mark() string {
	_, n := utf8.DecodeRuneInString(w.token)
	return w.token[:n]
}

// grant writes a wish on a page, applies it there and answers the changes; none where the page shows it already, or the element is gone.
func (w wish) grant(page *schema.Page, actor board.ActorID) ([][]byte, error) {
	now := map[string]schema.Value{}
	found := false
	for _, e := range page.Scene() {
		if e.ID == w.id {
			found = true
			for _, p := range e.Properties {
				now[p.Name] = p.Value
			}
		}
	}
	if !found && !w.make {
		return nil, nil
	}
	maps.Copy(now, w.props)
	if w.token != "" {
		was := []rune(now["originalText"].Str)
		at := w.at % (len(was) + 1)
		now["originalText"] = word(string(was[:at]) + w.token + string(was[at:]))
	}
	return page.Follow(target(w.id, now), schema.Touched{Elements: map[string]struct{}{w.id: {}}}, actor)
}

// target is a page that shows one element as it is wished for. One that is to be deleted is not there.
func target(id string, props map[string]schema.Value) *schema.Page {
	p := schema.NewPage()
	if props["isDeleted"].Kind == change.True {
		return p
	}
	var c change.Change
	if err := c.Parse(schema.GenesisChange(schema.KindWhiteboard), nil); err != nil {
		panic(err)
	}
	var elements uint32
	var d change.Decoder
	d.Reset(&c)
	for op := range d.Ops() {
		if string(op.Key) == "elements" {
			elements = op.ID.Ctr
		}
	}
	actor := [16]byte{1}
	draft := change.Draft{Deps: []change.Hash{c.Hash}, Actors: [][]byte{actor[:], c.Author()}, Seq: 1, StartOp: uint64(c.End()) + 1}
	add := func(op change.Op) change.ID {
		draft.Ops = append(draft.Ops, op)
		return change.ID{Ctr: uint32(draft.StartOp) + uint32(len(draft.Ops)) - 1}
	}
	made := add(change.Op{Obj: change.ID{Ctr: elements, Actor: 1}, Key: []byte(id), Action: change.MakeMap})
	for _, name := range slices.Sorted(maps.Keys(props)) {
		v := props[name]
		if name != "originalText" {
			op := change.Op{Obj: made, Key: []byte(name), Action: change.Put, Kind: v.Kind, Num: v.Num}
			if v.Kind == change.String {
				op.Raw = []byte(v.Str)
			}
			add(op)
			continue
		}
		text := add(change.Op{Obj: made, Key: []byte(name), Action: change.MakeText})
		var after change.ID
		for _, r := range v.Str {
			after = add(change.Op{Obj: text, Elem: after, IsElem: true, Insert: true, Action: change.Put, Kind: change.String, Raw: []byte(string(r))})
		}
	}
	must(apply(p, draft.Encode()))
	return p
}

// apply takes a change of the log into a replica; one that is in already does nothing.
func apply(p *schema.Page, chunk []byte) error {
	var c change.Change
	if err := c.Parse(chunk, &change.StoredLimits); err != nil {
		return err
	}
	if p.Has(c.Hash) {
		return nil
	}
	if err := p.Check(&c); err != nil {
		return err
	}
	p.Apply(&c, chunk)
	return nil
}

func hashOf(chunk []byte) board.Hash {
	var c change.Change
	must(c.Parse(chunk, &change.StoredLimits))
	return board.Hash(c.Hash)
}

// shown is what a replica shows, for comparing.
func shown(p *schema.Page) string {
	var b strings.Builder
	for _, e := range p.Still().Elements() {
		j, err := e.MarshalJSON()
		must(err)
		b.Write(j)
		b.WriteByte('\n')
	}
	return b.String()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
