package main

import (
	"encoding/json"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be the servers that the modes start: children are this program again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.ContainsFunc(modes(), func(x mode) bool { return x.name == os.Args[1] }) {
		main()
	}
	os.Exit(m.Run())
}

// try runs a mode in its smallest form and answers its results as they stand in the report's file.
func try(t *testing.T, args string) []map[string]any {
	t.Helper()
	name, _, _ := strings.Cut(args, " ")
	return tryFor(t, args, name)
}

// tryFor is try for a mode with results of another name.
func tryFor(t *testing.T, args, results string) []map[string]any {
	t.Helper()
	b := &bench{out: io.Discard, dir: t.TempDir(), json: filepath.Join(t.TempDir(), "report.json")}
	name, rest, _ := strings.Cut(args, " ")
	i := slices.IndexFunc(modes(), func(m mode) bool { return m.name == name })
	if err := b.close(modes()[i].run(t.Context(), b, strings.Fields(rest))); err != nil {
		t.Fatalf("%s: %v", args, err)
	}
	left, err := os.ReadDir(b.dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%s left %v behind (%v)", args, left, err)
	}
	text, err := os.ReadFile(b.json)
	if err != nil {
		t.Fatal(err)
	}
	var rep struct {
		Machine map[string]any
		Results map[string][]map[string]any
	}
	if err := json.Unmarshal(text, &rep); err != nil {
		t.Fatal(err)
	}
	if rep.Machine["go"] == "" || len(rep.Results[results]) == 0 {
		t.Fatalf("%s: the report lacks the machine or results: %s", args, text)
	}
	return rep.Results[results]
}

// number finds a value in a result, by its path.
func number(t *testing.T, r map[string]any, path ...string) float64 {
	t.Helper()
	for _, key := range path[:len(path)-1] {
		r, _ = r[key].(map[string]any)
	}
	f, ok := r[path[len(path)-1]].(float64)
	if !ok {
		t.Fatalf("the result has no number %v", path)
	}
	return f
}

// positive checks that values were measured at all.
func positive(t *testing.T, r map[string]any, paths ...[]string) {
	t.Helper()
	for _, p := range paths {
		if f := number(t, r, p...); f <= 0 {
			t.Errorf("%v: got %v, want more than nothing", p, f)
		}
	}
}

func TestModes(t *testing.T) {
	t.Run("LT1 load measures every lane in one run, and nothing is missing", func(t *testing.T) {
		rs := try(t, "load -shapes 1x3@20 -time 500ms")
		var lanes []string
		for _, r := range rs {
			lanes = append(lanes, r["lane"].(string))
			positive(t, r, []string{"edit_to_visible_ms", "p50"}, []string{"edit_to_visible_ms", "p90"}, []string{"edit_to_visible_ms", "p99"}, []string{"edit_to_visible_ms", "max"},
				[]string{"server_cpu_us_per_delivery"}, []string{"cpu_ratio_to_relay"}, []string{"rss_mb"}, []string{"deliveries"})
			if n := number(t, r, "missing"); n != 0 {
				t.Errorf("%s: %v deliveries are missing", r["lane"], n)
			}
		}
		if want := []string{"relay", "durable", "ws", "dc"}; !slices.Equal(lanes, want) {
			t.Errorf("lanes: got %v, want %v", lanes, want)
		}
	})
	t.Run("LT1 some draw, all see", func(t *testing.T) {
		r := try(t, "load -shapes 2x4/1@10 -lanes ws -time 300ms")[0]
		if sent, came := number(t, r, "sent"), number(t, r, "deliveries"); sent == 0 || came != 3*sent {
			t.Errorf("sent %v, delivered %v", sent, came)
		}
	})
	t.Run("LT2 live counts what came and when", func(t *testing.T) {
		for _, r := range try(t, "live -people 3 -time 500ms") {
			positive(t, r, []string{"latency_ms", "p50"}, []string{"pause_ms", "p50"}, []string{"share_that_came"})
		}
	})
	t.Run("LT3 join has bytes and times of scene, document and tail", func(t *testing.T) {
		rs := try(t, "join -elements 40 -updates 3 -tail 5 -clients 3")
		if len(rs) != 3 {
			t.Fatalf("got %d results, want first, one by one, at once", len(rs))
		}
		for _, r := range rs {
			positive(t, r, []string{"scene_kb"}, []string{"document_kb"}, []string{"scene_ms", "p50"}, []string{"document_ms", "p50"}, []string{"entries_ms", "p50"}, []string{"server_cpu_ms_per_join"})
		}
	})
	t.Run("LT4 storm brings everybody in", func(t *testing.T) {
		for _, r := range try(t, "storm -clients 12 -people 4 -lanes relay,durable,ws") {
			if n := number(t, r, "done_ms", "n"); n != 12 || r["errors"] != nil {
				t.Errorf("%s: %v came, errors %v", r["lane"], n, r["errors"])
			}
			positive(t, r, []string{"rss_peak_mb"}, []string{"server_cpu_ms_per_client"})
		}
	})
	t.Run("LT5 slow: the slow one catches up, nobody misses anything", func(t *testing.T) {
		r := try(t, "slow -people 3 -before 300ms -beside 1s -rate 2000")[0]
		if n := number(t, r, "missing"); n != 0 {
			t.Errorf("%v deliveries are missing", n)
		}
		for _, who := range []string{"slow", "stopped"} {
			e := r[who].(map[string]any)
			if e["end"] != "caught up" || number(t, e, "gaps") != 0 || number(t, e, "read_mb") <= 0 {
				t.Errorf("%s: got %v", who, e)
			}
		}
	})
	t.Run("LT6 soak samples, fits slopes, and looks at what stays when all have left", func(t *testing.T) {
		r := try(t, "soak -time 2s -sample 200ms -boards 2 -people 3 -pause 30ms -stay 1s -away 50ms")[0]
		if n := len(r["samples"].([]any)); n < 5 {
			t.Errorf("got %d samples", n)
		}
		if n := len(r["slopes"].([]any)); n != 10 {
			t.Errorf("got %d slopes", n)
		}
		if number(t, r, "failures") != 0 || number(t, r, "resets") != 0 || number(t, r, "visits") < 6 {
			t.Errorf("visits %v, failures %v (%v), resets %v", r["visits"], r["failures"], r["errors"], r["resets"])
		}
		positive(t, r, []string{"before", "goroutines"}, []string{"after", "files"})
	})
}

func TestCrash(t *testing.T) {
	t.Run("LT9 crash kills in everything, and nothing that was seen is missing", func(t *testing.T) {
		r := try(t, "crash -rounds 4 -people 3")[0]
		positive(t, r, []string{"acknowledged"}, []string{"seen_by_others"}, []string{"open_again_ms", "p50"})
		if n := number(t, r, "missing"); n != 0 {
			t.Errorf("%v changes are missing", n)
		}
		if n := number(t, r, "kills", "start") + number(t, r, "kills", "opening"); n < 1 {
			t.Errorf("killed in %v starts and openings", n)
		}
	})
	t.Run("LT10 crash -recovery measures opening before and after a squash", func(t *testing.T) {
		for _, r := range tryFor(t, "crash -recovery 300", "recovery") {
			positive(t, r, []string{"server_up_ms", "p50"}, []string{"board_open_ms", "p50"})
		}
	})
}

func TestLoss(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("dropping packets needs root")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skipf("dropping packets needs nft: %v", err)
	}
	t.Run("LT7 packets of the server's own ports are dropped while it lasts", func(t *testing.T) {
		rs := try(t, "live -people 4 -time 1s -loss 20")
		for _, r := range rs {
			positive(t, r, []string{"packets_dropped"}, []string{"latency_ms", "p50"})
		}
		if n := number(t, rs[1], "share_that_came"); n > 0.99 {
			t.Errorf("with a fifth of the packets gone %v of the cursors came over the channel", n)
		}
	})
	t.Run("LT7 the rules go with the process that owns them", func(t *testing.T) {
		p := &process{ready: ready{URL: "ws://127.0.0.1:9/", PID: os.Getpid()}}
		l, err := lose(p, 5)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.nft.Process.Kill(); err != nil { // as the kernel does when we are killed
			t.Fatal(err)
		}
		_ = l.nft.Wait()
		for end := time.Now().Add(5 * time.Second); ; _ = wait(t.Context(), 10*time.Millisecond) {
			if _, err := l.list(); err != nil {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the table is still there")
			}
		}
	})
}

func TestShape(t *testing.T) {
	for text, want := range map[string]shape{"20x10@5": {20, 10, 10, 5}, "1x1000/10@5": {1, 1000, 10, 5}} {
		if got, err := parseShape(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s: got %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "10", "1x1@5", "1x10@0", "1x10@41", "40x40@5", "1x10/11@5", "1x10/0@5", "-1x10@5", "9223372036854775807x2@5"} {
		if s, err := parseShape(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, s)
		}
	}
}

func TestSlope(t *testing.T) {
	line := func(perHour, noise float64) (x, y []float64) {
		for i := range 100 {
			h := float64(i) / 100
			x, y = append(x, h), append(y, 10+perHour*h+noise*math.Sin(float64(i*i)))
		}
		return x, y
	}
	for _, c := range []struct {
		name           string
		perHour, noise float64
		verdict        string
	}{
		{"LT6 what rises is called so", 3, 0.1, "rises"},
		{"LT6 what does not rise is steady", 0.2, 0.1, "steady"},
		{"LT6 what falls is steady", -5, 0.1, "steady"},
		{"LT6 what may be noise is called noise", 1.5, 9, "steady within its noise"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, y := line(c.perHour, c.noise)
			s := slope("q", x, y, 1)
			if s.Verdict != c.verdict || math.Abs(s.PerHour-c.perHour) > 3*s.Error+1e-9 {
				t.Errorf("got %+v", s)
			}
		})
	}
	t.Run("LT6 a minute is no soak", func(t *testing.T) {
		if s := slope("q", []float64{1}, []float64{2}, 1); s.Verdict != "too few samples" {
			t.Errorf("got %+v", s)
		}
		if s := slope("q", []float64{0, 0.01, 0.02}, []float64{1, 2, 3}, 1); s.Verdict != "too short to judge" || s.PerHour < 99 {
			t.Errorf("got %+v", s)
		}
	})
}
