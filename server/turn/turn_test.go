package turn

import (
	"encoding/base64"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	pion "github.com/pion/turn/v5"
)

func TestCredentials(t *testing.T) {
	c := NewCredentials([]byte("north"), []string{"turn:turn.school.example:3478?transport=udp"})
	now := time.Unix(1_766_430_000, 0)
	t.Run("TN1 an end and a random name, signed as coturn expects", func(t *testing.T) {
		one, two := c.New(now), c.New(now)
		end, name, _ := strings.Cut(one.Username, ":")
		if end != strconv.FormatInt(now.Add(time.Hour).Unix(), 10) || len(name) != 22 || one.Username == two.Username || one.Password == two.Password {
			t.Errorf("got %q, %q", one.Username, two.Username)
		}
		if b, err := base64.StdEncoding.DecodeString(one.Password); err != nil || len(b) != 20 {
			t.Errorf("password %q", one.Password)
		}
		if one.ExpiresMS != 3_600_000 || len(one.URLs) != 1 {
			t.Errorf("got %+v", one)
		}
		// As openssl computes it: printf '1433895918:x' | openssl dgst -sha1 -hmac north -binary | base64
		if got, want := password([]byte("north"), "1433895918:x"), "ZPMJm/cMGt7XV0kieJyXLzfbD7M="; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		user, pass, err := pion.GenerateLongTermTURNRESTCredentials("north", "x", time.Hour)
		if err != nil || password([]byte("north"), user) != pass {
			t.Errorf("pion signs %s otherwise", user)
		}
	})
	t.Run("TN1 only names of this form have an end", func(t *testing.T) {
		good := c.New(now).Username
		if end, ok := expiry(good); !ok || !end.Equal(now.Add(time.Hour)) {
			t.Errorf("%s: %s, %v", good, end, ok)
		}
		call := "1766433600:PA_2bcdefghjkmn" // as LiveKit 1.13.5 names participants
		if end, ok := expiry(call); !ok || end.Unix() != 1766433600 {
			t.Errorf("%s: %s, %v", call, end, ok)
		}
		for _, bad := range []string{"", ":", call + "x", call[:len(call)-1], strings.Replace(call, "PA_", "PX_", 1), good + "x", good[1:] + ":", "+" + good, "0" + good, " " + good, strings.Replace(good, ":", "", 1), "1766433600", "1766433600:@ada:example.org", "99999999999999999999:" + good[11:]} {
			if end, ok := expiry(bad); ok {
				t.Errorf("%q ends %s", bad, end)
			}
		}
	})
}

func TestSecret(t *testing.T) {
	t.Run("TN7 is made once, for its owner only", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "data", "turn.secret")
		if _, err := Secret(file, false); err == nil {
			t.Error("a missing file is no error")
		}
		made, err := Secret(file, true)
		if err != nil {
			t.Fatal(err)
		}
		if i, err := os.Stat(file); err != nil || i.Mode().Perm() != 0o600 || len(made) < 40 {
			t.Errorf("%v, %v, %d bytes", i, err, len(made))
		}
		if again, err := Secret(file, true); err != nil || string(again) != string(made) {
			t.Errorf("another one at the next start: %v", err)
		}
		if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
			t.Errorf("left: %v, %v", left, err)
		}
	})
	t.Run("TN7 short ones and files of several lines are refused", func(t *testing.T) {
		for _, s := range []string{"", "short", "a line that is long enough\nand another"} {
			file := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Secret(file, true); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("%q: %v", s, err)
			}
		}
	})
}

func TestPeers(t *testing.T) {
	t.Run("TN4 what a list of peers may name", func(t *testing.T) {
		for _, good := range []string{"192.0.2.7:7882", "[2001:db8::7]:7882", "127.0.0.1:7882", "192.0.2.7/32", "10.1.2.0/24", "2001:db8::/64"} {
			if _, err := ParsePeer(good); err != nil {
				t.Error(err)
			}
		}
		for _, bad := range []string{
			"", "192.0.2.7", "192.0.2.7:0", "livekit:7882", "0.0.0.0/0", "10.0.0.0/8", "10.1.2.3/24", "::/0", "2001:db8::/32", "127.0.0.1/32", "::1/128", "169.254.169.254:80", "169.254.0.0/24",
			"[fe80::1%eth0]:1", "[fe80::1]:1", "224.0.0.1:1", "0.0.0.0:1", "255.255.255.255:1", "[::]:1", "[::ffff:169.254.169.254]:80", "::ffff:10.0.0.0/120",
		} {
			if p, err := ParsePeer(bad); err == nil {
				t.Errorf("%q is taken as %+v", bad, p)
			}
		}
	})
	t.Run("TN4 address and port decide, in whatever form the address is written", func(t *testing.T) {
		var list []Peer
		for _, s := range []string{"192.0.2.7:7882", "10.1.2.0/24"} {
			p, err := ParsePeer(s)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, p)
		}
		announced, real := addrPort(t, "203.0.113.1:7000"), addrPort(t, "10.9.9.9:7000")
		own := At(announced)
		own.Via = real
		p, err := newPeers(append(list, own))
		if err != nil {
			t.Fatal(err)
		}
		for s, want := range map[string]string{
			"192.0.2.7:7882": "192.0.2.7:7882", "[::ffff:192.0.2.7]:7882": "192.0.2.7:7882", "10.1.2.9:53": "10.1.2.9:53", "203.0.113.1:7000": "10.9.9.9:7000",
			"192.0.2.7:7883": "", "192.0.2.8:7882": "", "10.1.3.1:53": "", "203.0.113.1:7001": "", "10.9.9.9:7000": "", "169.254.169.254:80": "", "[::1]:7882": "",
		} {
			got, ok := p.to(addrPort(t, s))
			if ok != (want != "") || ok && got.String() != want {
				t.Errorf("%s goes to %s, %v", s, got, ok)
			}
		}
		if got, ok := p.from(real); !ok || got != announced {
			t.Errorf("comes as %s, %v", got, ok)
		}
		if _, ok := p.from(addrPort(t, "10.9.9.9:7001")); ok {
			t.Error("another port of it comes through")
		}
	})
	t.Run("TN4 what is never a peer is none in a range either", func(t *testing.T) {
		p, err := newPeers([]Peer{{Range: netip.MustParsePrefix("0.0.0.0/0")}, {Range: netip.MustParsePrefix("::/0")}})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"169.254.169.254", "::ffff:169.254.169.254", "224.0.0.1", "255.255.255.255", "0.0.0.0", "fe80::1", "ff02::1", "::"} {
			a := netip.MustParseAddr(s)
			if _, ok := p.to(netip.AddrPortFrom(a, 80)); ok || p.host(a) {
				t.Errorf("%s is reached", s)
			}
		}
	})
	if _, err := newPeers([]Peer{{Range: netip.MustParsePrefix("10.0.0.0/24"), Via: addrPort(t, "10.0.0.1:1")}}); err == nil {
		t.Error("a range goes via one address")
	}
}

func addrPort(t testing.TB, s string) netip.AddrPort {
	t.Helper()
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
