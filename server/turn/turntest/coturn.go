// Package turntest runs coturn with the configuration that docs/turn.md gives, so that the two do not drift apart. For tests only.
package turntest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Secret is the static-auth-secret of Coturn. Realm is its realm.
const (
	Secret = "a-secret-for-tests-of-coturn"
	Realm  = "turn.school.example"
)

// Coturn is a running one.
type Coturn struct {
	Addr netip.AddrPort // UDP and TCP
	TLS  netip.AddrPort
	CA   *x509.CertPool
}

// StartCoturn runs the documented configuration on 127.0.0.1, with 127.0.0.1 as the one allowed peer; the test is skipped where there is no
// coturn. shared: without the two lines that refuse the rest of the world. user is user-quota, "" for the documented one.
func StartCoturn(t testing.TB, shared bool, user string) *Coturn {
	t.Helper()
	program, err := exec.LookPath("turnserver")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("turnserver is missing: .ci/run installs it (Debian: apt-get install coturn)")
		}
		t.Skip("turnserver is missing: on Debian apt-get install coturn, and keep its service stopped (systemctl disable --now coturn)")
	}
	dir := t.TempDir()
	c := &Coturn{Addr: freePort(t), TLS: freePort(t)}
	c.CA = certificate(t, dir)
	change := map[string]string{
		"listening-ip": "127.0.0.1", "relay-ip": "127.0.0.1", "listening-port": fmt.Sprint(c.Addr.Port()), "static-auth-secret": Secret, "allowed-peer-ip": "127.0.0.1",
		"tls-listening-port": fmt.Sprint(c.TLS.Port()), "cert": filepath.Join(dir, "cert.pem"), "pkey": filepath.Join(dir, "key.pem"), "log-file": "stdout",
	}
	if user != "" {
		change["user-quota"] = user
	}
	lines := documented(t, change, []string{"no-stdout-log"}, shared)
	lines = append(lines, "relay-ip=::1", "allow-loopback-peers", "pidfile="+filepath.Join(dir, "pid"), "userdb="+filepath.Join(dir, "turndb"))
	conf := filepath.Join(dir, "turnserver.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := &buffer{}
	cmd := exec.Command(program, "-c", conf)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // joined below
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("coturn said:\n%s", out)
		}
	})
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("coturn ended: %v\n%s", err, out)
		default:
		}
		if answers(c) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("coturn does not listen:\n%s", out)
		}
	}
	for _, wrong := range []string{"Bad configuration format", "Unknown argument", "unrecognized option", "CONFIG ERROR", "Cannot "} {
		if strings.Contains(out.String(), wrong) {
			t.Errorf("coturn does not understand the documented configuration (%q):\n%s", wrong, out)
		}
	}
	return c
}

// answers says whether coturn is there, on each of its listeners.
func answers(c *Coturn) bool {
	for _, a := range []netip.AddrPort{c.Addr, c.TLS} {
		tcp, err := net.Dial("tcp", a.String())
		if err != nil {
			return false
		}
		_ = tcp.Close()
	}
	udp, err := net.Dial("udp", c.Addr.String())
	if err != nil {
		return false
	}
	defer udp.Close()
	binding := [20]byte{1: 1, 4: 0x21, 5: 0x12, 6: 0xa4, 7: 0x42} // RFC 8489 §5
	if _, err := udp.Write(binding[:]); err != nil || udp.SetReadDeadline(time.Now().Add(200*time.Millisecond)) != nil {
		return false
	}
	n, err := udp.Read(make([]byte, 200))
	return err == nil && n > 0
}

// documented reads the configuration out of docs/turn.md and gives settings other values. Each that is changed or dropped must be there.
func documented(t testing.TB, change map[string]string, drop []string, shared bool) (out []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "turn.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, conf, ok := strings.Cut(string(text), "```coturn\n")
	conf, _, ended := strings.Cut(conf, "```")
	if !ok || !ended {
		t.Fatal("docs/turn.md has no fenced coturn configuration")
	}
	seen := map[string]bool{}
	everything := []string{"denied-peer-ip=0.0.0.0-255.255.255.255", "denied-peer-ip=::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
	for line := range strings.Lines(conf) {
		line = strings.TrimSpace(line)
		name, value, has := strings.Cut(line, "=")
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		seen[name] = true
		if name == "realm" && value != Realm {
			t.Fatalf("the documented realm is %s, the tests' %s", value, Realm)
		}
		if slices.Contains(everything, line) {
			seen[line] = true
			if shared {
				continue
			}
		}
		if other, ok := change[name]; ok && has {
			line = name + "=" + other
		}
		if !slices.Contains(drop, name) {
			out = append(out, line)
		}
	}
	for name := range change {
		drop = append(drop, name)
	}
	for _, name := range append(drop, everything...) {
		if !seen[name] {
			t.Errorf("docs/turn.md no longer sets %s", name)
		}
	}
	return out
}

func root(t testing.TB) string {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	t.Fatalf("no go.mod above the test: %v", err)
	return ""
}

// freePort is free for UDP and TCP at this moment.
func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	for range 50 {
		tcp, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		a := tcp.Addr().(*net.TCPAddr).AddrPort()
		udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(a))
		if err = errors.Join(err, tcp.Close()); err == nil {
			err = udp.Close()
		}
		if err == nil {
			return a
		}
	}
	t.Fatal("no free port")
	return netip.AddrPort{}
}

func certificate(t testing.TB, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: Realm}, DNSNames: []string{Realm}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	err = errors.Join(os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

// buffer may be read while a process writes.
type buffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
