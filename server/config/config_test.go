package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const good = `
public_url: https://lectern.school.example
client_origins: [https://app.element.io]
matrix: {homeserver: "https://hs.school.example", user_id: "@lectern:school.example", password_file: pw}
worker: {timeout: 7s}
`

func write(t *testing.T, s string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "lectern.yaml")
	if err := os.WriteFile(p, []byte(s), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLoad(t *testing.T) {
	t.Run("DV10 file, environment and defaults come together", func(t *testing.T) {
		c, err := Load(write(t, good), []string{"LECTERN_RTC_LISTEN=:7882", "LECTERN_CLIENT_ORIGINS=https://a.example,https://b.example", "LECTERN_STORAGE_KEYS_AT_REST=false", "LECTERN_WORKER_PARALLEL=2", "HOME=/x", "LECTERN_DENDRITE=/y"})
		if err != nil {
			t.Fatal(err)
		}
		if c.RTC.Listen != ":7882" || len(c.ClientOrigins) != 2 || *c.Storage.KeysAtRest || c.Worker.Parallel != 2 {
			t.Errorf("environment not applied: %+v", c)
		}
		if time.Duration(c.Worker.Timeout) != 7*time.Second || c.RTC.LogPeople != 60 {
			t.Errorf("got %+v, %+v", c.Worker, c.RTC)
		}
		if got := c.Matrix.AllowInviters; len(got) != 1 || got[0] != "@*:school.example" {
			t.Errorf("inviters: got %q", got)
		}
	})
	for name, tc := range map[string]struct{ yaml, env, want string }{
		"unknown key":            {good + "colour: red\n", "", "colour"},
		"unknown variable":       {good, "LECTERN_COLOUR=red", "LECTERN_COLOUR"},
		"wrong type":             {good + "rtc: {log_people: many}\n", "", "many"},
		"no public url":          {"listen: ':1'\n", "", "public_url is missing"},
		"no account":             {"public_url: https://x.example\n", "", "matrix.user_id"},
		"origin with a path":     {strings.Replace(good, "app.element.io", "app.element.io/x", 1), "", "client_origins"},
		"origin that breaks CSP": {strings.Replace(good, "app.element.io", "a.io; script-src *", 1), "", "client_origins"},
		"bad range":              {good + "trusted_proxies: [10.0.0.1]\n", "", "trusted_proxies"},
		"bad duration":           {good, "LECTERN_WORKER_TIMEOUT=soon", "soon"},
		"bad level":              {good, "LECTERN_LOG_LEVEL=loud", "log.level"},
		"bad synchronous":        {good, "LECTERN_STORAGE_SYNCHRONOUS=maybe", "storage.synchronous"},
		"no secret for calls":    {good + "calls: {livekit_url: wss://l.example, key: k}\n", "", "calls.secret_file"},
		"calls without address":  {good + "calls: {key: k, secret_file: f}\n", "", "calls.livekit_url"},
		"a page as LiveKit":      {good + "calls: {livekit_url: 'ftp://l.example', key: k, secret_file: f}\n", "", "calls.livekit_url"},
		"an unknown source":      {good + "calls: {student_sources: [smell]}\n", "", "calls.student_sources"},
		"a call of one":          {good + "calls: {livekit_url: wss://l.example, key: k, secret_file: f, max_participants: 1}\n", "", "calls.max_participants"},
		"no page of calls":       {good, "LECTERN_CALLS_ELEMENT_CALL_URL=call.example", "calls.element_call_url"},
		"no workers":             {good, "LECTERN_WORKER_PARALLEL=-1", "worker.parallel"},
	} {
		t.Run("DV11 "+name+" is refused with its name", func(t *testing.T) {
			var env []string
			if tc.env != "" {
				env = []string{tc.env}
			}
			_, err := Load(write(t, tc.yaml), env)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error naming %q", err, tc.want)
			}
		})
	}
	t.Run("DV11 a missing file is an error", func(t *testing.T) {
		if _, err := Load("/nonexistent/lectern.yaml", nil); err == nil {
			t.Error("no error")
		}
	})
}
