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

		"TURN on a name":                {good, "LECTERN_TURN_LISTEN=turn.school.example:3478", "turn.listen"},
		"TURN without a port":           {good, "LECTERN_TURN_LISTEN=192.0.2.7", "turn.listen"},
		"TURN on any port":              {good, "LECTERN_TURN_LISTEN=192.0.2.7:0", "turn.listen"},
		"TURN everywhere and nowhere":   {good, "LECTERN_TURN_LISTEN=:3478", "turn.public_ip is needed"},
		"TURN known by a name":          {good + "turn: {listen: ':3478', public_ip: school.example}\n", "", "turn.public_ip"},
		"TURN of two families":          {good + "turn: {listen: '192.0.2.7:3478', public_ip: '2001:db8::1'}\n", "", "IPv4"},
		"a TURN URL of the web":         {good + "turn: {listen: '192.0.2.7:3478', urls: ['https://turn.school.example']}\n", "", "turn.urls"},
		"a TURN URL without a host":     {good + "turn: {listen: '192.0.2.7:3478', urls: ['turn:?transport=udp']}\n", "", "turn.urls"},
		"a TURN URL with a path":        {good + "turn: {listen: '192.0.2.7:3478', urls: ['turn:turn.example/x']}\n", "", "turn.urls"},
		"a TURN URL over smoke signals": {good + "turn: {listen: '192.0.2.7:3478', urls: ['turn:turn.example?transport=smoke']}\n", "", "turn.urls"},
		"too many TURN URLs":            {good + "turn: {listen: '192.0.2.7:3478', urls: [turn:a, turn:b, turn:c, turn:d, turn:e, turn:f, turn:g]}\n", "", "turn.urls"},
		"coturn without a secret":       {good + "turn: {urls: ['turn:turn.example']}\n", "", "turn.secret_file"},
		"a secret for no TURN":          {good + "turn: {secret_file: x}\n", "", "turn.listen or turn.urls"},
		"peers of coturn":               {good + "turn: {urls: ['turn:turn.example'], secret_file: x, peers: ['192.0.2.7:1']}\n", "", "turn.peers"},
		"a relay to everywhere":         {good + "turn: {listen: '192.0.2.7:3478', peers: ['0.0.0.0/0']}\n", "", "turn.peers"},
		"a relay to this machine":       {good + "turn: {listen: '192.0.2.7:3478', peers: ['127.0.0.1/32']}\n", "", "turn.peers"},
		"a relay to a name":             {good + "turn: {listen: '192.0.2.7:3478', peers: ['livekit:7882']}\n", "", "turn.peers"},
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

func TestTurn(t *testing.T) {
	load := func(t *testing.T, section string) Turn {
		t.Helper()
		c, err := Load(write(t, good+"data: /d\nrtc: {public_ip: 203.0.113.7}\nturn: "+section+"\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Turn
	}
	t.Run("TN10 the built-in server knows its secret's place, its realm and the public address", func(t *testing.T) {
		got := load(t, "{listen: '192.0.2.7:3478', peers: ['203.0.113.9:7882', '203.0.113.10/32']}")
		if got.SecretFile != "/d/turn.secret" || got.Realm != "lectern.school.example" || got.PublicIP != "203.0.113.7" || len(got.URLs) != 0 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("TN10 given ones stay", func(t *testing.T) {
		got := load(t, "{listen: '[2001:db8::1]:3478', public_ip: '2001:db8::1', realm: r, secret_file: s, urls: ['turn:[2001:db8::1]:3478', 'turns:turn.example:443?transport=tcp', 'turn:turn.example?transport=udp']}")
		if got.SecretFile != "s" || got.Realm != "r" || got.PublicIP != "2001:db8::1" || len(got.URLs) != 3 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("TN10 coturn needs its URLs and the secret, and nothing more", func(t *testing.T) {
		got := load(t, "{secret_file: s, urls: ['turn:turn.example']}")
		if got.Listen != "" || got.Realm != "" || got.PublicIP != "" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("TN10 without any of it there is none", func(t *testing.T) {
		if got := load(t, "{}"); got.Listen != "" || got.SecretFile != "" {
			t.Errorf("got %+v", got)
		}
	})
}
