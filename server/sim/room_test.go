package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/educationpub/lectern/server/checkpoint"
)

// fabric is a Matrix room as two homeservers see it, and the media they share. While it is cut each server has its own truth; when it heals, one event
// per key wins on both, which one is drawn: state resolution favours nobody.
type fabric struct {
	mu sync.Mutex
	// Guarded by mu.
	rnd   *rand.Rand
	views [2]*view
	cut   bool
	files map[string][]byte
	count int
}

// view is the room on one homeserver, with the companion that is signed in there; a checkpoint.Room.
type view struct {
	fabric *fabric
	side   int
	user   string

	// Guarded by fabric.mu.
	down   bool
	events map[string]event
	told   func(typ, key string) // another event than one's own is now the state; nil while the instance is down
}

type event struct {
	id, sender, typ, key string
	content              json.RawMessage
	at                   time.Time
}

var errDown = errors.New("homeserver is down")

func newFabric(rnd *rand.Rand) *fabric {
	f := &fabric{rnd: rnd, files: map[string][]byte{}}
	for i := range f.views {
		f.views[i] = &view{fabric: f, side: i, user: homes[i], events: map[string]event{}}
	}
	return f
}

// homes are the companions of the two instances. They accept each other.
var homes = [2]string{"@lectern:a.example", "@lectern:b.example"}

// put makes an event the state of a view and answers who is to be told.
func (v *view) put(e event) func() {
	old := v.events[e.key]
	if old.id == e.id {
		return nil
	}
	v.events[e.key] = e
	if told := v.told; told != nil && e.sender != v.user {
		return func() { told(e.typ, e.key) }
	}
	return nil
}

// heal ends or begins a partition.
func (f *fabric) split(cut bool) {
	f.mu.Lock()
	f.cut = cut
	var calls []func()
	if !cut {
		for _, v := range f.views {
			for _, e := range v.events {
				o, ok := f.views[1-v.side].events[e.key]
				if ok && o.id == e.id {
					continue
				}
				win := e
				if ok && f.rnd.IntN(2) == 0 {
					win = o
				}
				for _, w := range f.views {
					if c := w.put(win); c != nil {
						calls = append(calls, c)
					}
				}
			}
		}
	}
	f.mu.Unlock()
	for _, c := range calls {
		c()
	}
}

func (v *view) UserID() string        { return v.user }
func (v *view) Encrypted(string) bool { return true }

func (v *view) WriteState(_ context.Context, _, typ, key string, content json.RawMessage) (string, error) {
	time.Sleep(20 * time.Millisecond)
	f := v.fabric
	f.mu.Lock()
	if v.down {
		f.mu.Unlock()
		return "", &checkpoint.RoomError{Kind: checkpoint.Unreachable, Err: errDown}
	}
	f.count++
	e := event{id: fmt.Sprintf("$%d", f.count), sender: v.user, typ: typ, key: key, content: append(json.RawMessage(nil), content...), at: time.Now()}
	v.put(e)
	var call func()
	if !f.cut {
		call = f.views[1-v.side].put(e)
	}
	f.mu.Unlock()
	if call != nil {
		call()
	}
	return e.id, nil
}

func (v *view) ReadState(_ context.Context, _, _, key string) (checkpoint.State, error) {
	time.Sleep(5 * time.Millisecond)
	v.fabric.mu.Lock()
	defer v.fabric.mu.Unlock()
	if v.down {
		return checkpoint.State{}, &checkpoint.RoomError{Kind: checkpoint.Unreachable, Err: errDown}
	}
	e, ok := v.events[key]
	if !ok {
		return checkpoint.State{}, checkpoint.ErrNoState
	}
	return checkpoint.State{EventID: e.id, Sender: e.sender, Content: e.content, At: e.at}, nil
}

func (v *view) Upload(_ context.Context, data []byte) (json.RawMessage, error) {
	time.Sleep(10 * time.Millisecond)
	v.fabric.mu.Lock()
	defer v.fabric.mu.Unlock()
	if v.down {
		return nil, &checkpoint.RoomError{Kind: checkpoint.Unreachable, Err: errDown}
	}
	v.fabric.count++
	url := fmt.Sprintf("mxc://example/%d", v.fabric.count)
	v.fabric.files[url] = append([]byte(nil), data...)
	return json.Marshal(map[string]string{"url": url})
}

func (v *view) Download(_ context.Context, file json.RawMessage, limit int64) ([]byte, error) {
	v.fabric.mu.Lock()
	defer v.fabric.mu.Unlock()
	var f struct{ URL string }
	if err := json.Unmarshal(file, &f); err != nil {
		return nil, err
	}
	data, ok := v.fabric.files[f.URL]
	if !ok || int64(len(data)) > limit {
		return nil, checkpoint.ErrUntrusted
	}
	return data, nil
}
