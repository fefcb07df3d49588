package app

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/focus/focustest"
)

var callLoad = flag.Int("callload", 0, "subscribers of TestCallLoad; 0: it is skipped")

// cpu is the processor time a process has used, from /proc, in its 1/100 s.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	var ticks int
	for _, i := range []int{11, 12} { // utime, stime
		n, err := strconv.Atoi(f[i])
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// TestCallLoad has one teacher who publishes and many who listen, and everybody asking for tokens at once, as Element Call's clients do when keys rotate and they rejoin.
// Lectern runs in the test's own process, so its share is measured while nobody but it works: on tokens.
func TestCallLoad(t *testing.T) {
	if *callLoad == 0 {
		t.Skip("a load: make call-load")
	}
	n := *callLoad
	w, _, lk := callWorld(t)
	c := &callRoom{w, t, w.ready.RoomID}
	teacher, pupils := w.user(0), w.class(n)
	pollEvery(t, 100*time.Millisecond, "Lectern to know everybody", 30*time.Second, func() bool { s, _ := c.callToken(pupils[n-1], c.room, "PHONE"); return s == 200 })
	table := func(what string, l []time.Duration) {
		slices.Sort(l)
		t.Logf("%-62s n %4d  p50 %5d ms  p99 %5d ms", what, len(l), l[len(l)/2].Milliseconds(), l[(len(l)-1)*99/100].Milliseconds())
	}
	self := os.Getpid()

	var mu sync.Mutex
	each := func(f func(i int) time.Duration) (l []time.Duration) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				d := f(i)
				mu.Lock()
				defer mu.Unlock()
				l = append(l, d)
			})
		}
		wg.Wait()
		return l
	}
	// Tokens: the OpenID token is the homeserver's work and not counted.
	var all []time.Duration
	used := cpu(t, self)
	for round := range 5 {
		all = append(all, each(func(i int) time.Duration {
			id, err := pupils[i].OpenID(t.Context())
			if err != nil {
				t.Error(err)
				return 0
			}
			began := time.Now()
			if status, out := w.callPost("/livekit/jwt/sfu/get", map[string]any{"room": c.room, "openid_token": id, "device_id": "PHONE"}); status != 200 {
				t.Errorf("round %d: %d %v", round, status, out)
			}
			return time.Since(began)
		})...)
	}
	table(fmt.Sprintf("token, %d people at once, 5 times", n), all)
	t.Logf("%-62s %v", "processor time per token, Lectern and who asks", ((cpu(t, self) - used) / time.Duration(5*n)).Round(10*time.Microsecond))

	hers := c.mustJoin(teacher, "DESK", focustest.Microphone, focustest.Camera)
	people := make([]*focustest.Participant, n)
	before := cpu(t, lk.Pid())
	joined := each(func(i int) time.Duration {
		began := time.Now()
		p, err := c.join(pupils[i], "PHONE")
		if err != nil {
			t.Error(err)
			return 0
		}
		people[i] = p
		for p.First().IsZero() && time.Since(began) < 30*time.Second {
			time.Sleep(5 * time.Millisecond)
		}
		return p.First().Sub(began)
	})
	if t.Failed() {
		return
	}
	table("all join at once: from asking for a token to the first media", joined)
	t.Logf("%-62s %v", "LiveKit's processor time for that", cpu(t, lk.Pid())-before)
	const during = 20 * time.Second
	count := func() (packets int) {
		for _, p := range people {
			for _, kind := range []string{"audio", "video"} {
				k, _ := p.From(hers, kind)
				packets += k
			}
		}
		return packets
	}
	sfu, packets := cpu(t, lk.Pid()), count()
	time.Sleep(during)
	sfu, packets = cpu(t, lk.Pid())-sfu, count()-packets
	t.Logf("%-62s %.0f %% of one core, %d packets/s", fmt.Sprintf("LiveKit, audio and 500 kbit/s of video to %d", n), 100*sfu.Seconds()/during.Seconds(), packets/int(during.Seconds()))
	if want := n * 20 * 50 / 2; packets < want { // half of the audio packets alone
		t.Errorf("FO16 %d packets came, not even %d", packets, want)
	}
}
