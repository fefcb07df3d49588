package app

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/transport/client"
	"github.com/educationpub/lectern/server/wire"
)

// lessonLength is 45 minutes with `make lesson-budget`. The same lesson in virtual time: TestBudget of server/checkpoint.
var lessonLength = flag.Duration("lesson", 7*time.Second, "length of the lesson that the budget is measured in")

// TestLessonBudget: what a lesson of drawing on a board of 200 KB puts into its room, as the homeserver counts it: a real one, with its default rate limits.
// Three people draw in bursts with every pause long enough to save, which is the dearest way of drawing.
func TestLessonBudget(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver; -short was given")
	}
	t.Parallel() // it mostly waits
	w := newWorld(t, func(o *DevOptions) { o.RateLimits = true })
	random := rand.New(rand.NewPCG(1, 2))
	var class []*draw
	enter := func() <-chan wire.Saved {
		options, frames := watchSaved()
		class = []*draw{w.mustOpen(w.user(0), options), w.mustOpen(w.user(1), client.Options{}), w.mustOpen(w.user(2), client.Options{})}
		return frames
	}
	strokes := 0
	burst := func(n int) {
		for range n {
			points := make([]byte, 2*(40+random.IntN(80))) // 40 to 120 points, none further than 3 px from the one before
			for i := range points {
				points[i] = byte(random.IntN(48))
			}
			d := class[strokes%len(class)]
			d.Change(d.doc, 0, d.author.Draw(points))
			strokes++
		}
	}
	settled := func() {
		t.Helper()
		for _, d := range class {
			if err := d.settled(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	frames := enter()
	for range 12 {
		burst(150)
		settled()
		if *lessonLength < time.Minute {
			break // the short form only shows that the long one works
		}
	}
	saved(t, frames, w.scene(class[0]).Seq)
	size := w.documentSize(class[0])
	if size < 200_000 && *lessonLength >= time.Minute {
		t.Fatalf("the board has %d bytes, the test means 200 KB", size)
	}
	w.stop() // the budget of the lesson begins anew
	w.start()
	frames = enter()
	begin, mediaBefore := w.companionEvents(), w.mediaBytes()
	drawnBefore := strokes
	t.Logf("the board holds %d changes, %d bytes; it took %d events and %d bytes of media to get there", strokes, size, begin.count, mediaBefore)

	tick := time.NewTicker(6500 * time.Millisecond)
	defer tick.Stop()
	problems := 0
	for start := time.Now(); time.Since(start) < *lessonLength; {
		burst(4)
		for waiting := true; waiting; {
			select {
			case s := <-frames:
				if s.Problem != "" {
					problems++
				}
			case <-tick.C:
				waiting = false
			case <-t.Context().Done():
				t.Fatal(t.Context().Err())
			}
		}
	}
	settled()
	visitor := w.mustOpen(w.user(0), client.Options{}) // the tokens of the beginning may be too old
	want := w.scene(visitor)
	visitor.Close()
	for _, d := range class {
		d.Close() // the lesson is over
	}
	end := w.quietRoom()
	events, eventBytes, media := end.count-begin.count, end.bytes-begin.bytes, w.mediaBytes()-mediaBefore
	t.Logf("%s of drawing, %d changes: %d events of %d bytes in the room, %d bytes of media, together %d; saves that failed: %d",
		*lessonLength, strokes-drawnBefore, events, eventBytes, media, eventBytes+media, problems)
	if events == 0 || events > 100 || eventBytes+media > 10_000_000 {
		t.Errorf("CP3 got %d events and %d bytes, want 1 to 100 events and at most 10 MB", events, eventBytes+media)
	}
	w.stop()
	forget(t, w)
	w.start()
	got := w.scene(w.mustOpen(w.user(0), client.Options{}))
	// The last one's leaving squashes a board with as many changes (EP4): other heads then, the same drawing.
	if before, after := drawing(want), drawing(got); len(before) == 0 || !slices.Equal(before, after) {
		t.Errorf("CP3 the copy in the room shows %d elements after the lesson, want the %d of before, as they were", len(after), len(before))
	}
}

// drawing is what a scene shows: each element in JSON.
func drawing(s scene) (out []string) {
	for _, e := range s.Elements {
		if e["isDeleted"] != true {
			b, _ := json.Marshal(e) // came from JSON
			out = append(out, string(b))
		}
	}
	slices.Sort(out)
	return out
}

// documentSize asks for the merged document as a joiner does.
func (w *world) documentSize(d *draw) int {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, fmt.Sprintf("%s/v1/boards/%s/docs/%s/document", w.ready.Lectern, w.ready.Widgets[0].Board, d.doc), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	r.Header.Set("Accept-Encoding", "identity")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("document: %d, %v", resp.StatusCode, err)
	}
	return int(n)
}

type tally struct{ count, bytes int }

// companionEvents counts what Lectern's account has written into the room, as a member reads it page by page.
func (w *world) companionEvents() (out tally) {
	w.t.Helper()
	teacher := w.user(0)
	for from := ""; ; {
		query := url.Values{"dir": {"b"}, "limit": {"100"}}
		if from != "" {
			query.Set("from", from)
		}
		var page struct {
			Chunk []json.RawMessage `json:"chunk"`
			End   string            `json:"end"`
		}
		path := "/_matrix/client/v3/rooms/" + url.PathEscape(w.ready.RoomID) + "/messages?" + query.Encode()
		if err := teacher.Do(w.t.Context(), http.MethodGet, path, nil, &page); err != nil {
			w.t.Fatal(err)
		}
		for _, raw := range page.Chunk {
			var e struct {
				Sender string `json:"sender"`
			}
			if err := json.Unmarshal(raw, &e); err != nil {
				w.t.Fatal(err)
			}
			if e.Sender == w.ready.Companion {
				out.count++
				out.bytes += len(raw)
			}
		}
		if from = page.End; from == "" || len(page.Chunk) == 0 {
			return out
		}
	}
}

// quietRoom waits until nothing has been written for longer than two saves of an empty board are apart.
func (w *world) quietRoom() tally {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	last, since := w.companionEvents(), time.Now()
	for time.Since(since) < 12*time.Second {
		select {
		case <-ctx.Done():
			w.t.Fatal("the room does not get quiet")
		case <-time.After(time.Second):
		}
		if now := w.companionEvents(); now != last {
			last, since = now, time.Now()
		}
	}
	return last
}

// mediaBytes is the size of everything in the homeserver's media store.
func (w *world) mediaBytes() (sum int) {
	w.t.Helper()
	err := filepath.WalkDir(filepath.Join(w.hs.Dir(), "media"), func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was uploaded yet
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += int(info.Size())
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return sum
}
