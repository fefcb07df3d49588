package turn

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/turn/turntest"
)

// TestCoturn holds the configuration of docs/turn.md to the same rules as the embedded server.
func TestCoturn(t *testing.T) {
	for name, shared := range map[string]bool{"for Lectern alone": false, "shared with others": true} {
		t.Run("TN8 coturn as documented, "+name, func(t *testing.T) {
			t.Parallel()
			c := turntest.StartCoturn(t, shared, "3")
			n := &neighbour{addr: c.Addr, secret: turntest.Secret, echo: newEcho(t, "127.0.0.1"), user: 3, six: true}
			suite(t, n)
			t.Run("TN8 the same over TLS, and not over TLS 1.1", func(t *testing.T) {
				k := talkTLS(t, c.TLS, &tls.Config{RootCAs: c.CA, ServerName: turntest.Realm}, n.credential(time.Now()))
				if _, got := k.allocate(); got != 0 || k.permit(n.echo.addr) != 0 {
					t.Fatalf("no relay: %d", got)
				}
				k.send(n.echo.addr, "sealed")
				if _, data, ok := k.hear(3 * time.Second); !ok || data != "echo sealed" {
					t.Errorf("got %q", data)
				}
				for version, want := range map[uint16]bool{tls.VersionTLS12: true, tls.VersionTLS11: false} {
					cfg := &tls.Config{RootCAs: c.CA, ServerName: turntest.Realm, MinVersion: tls.VersionTLS10, MaxVersion: version}
					conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 2 * time.Second}, "tcp", c.TLS.String(), cfg) // it does not say no, it says nothing
					if (err == nil) != want {
						t.Errorf("%s: %v", tls.VersionName(version), err)
					}
					if err == nil {
						_ = conn.Close()
					}
				}
			})
			t.Run("TN8 public addresses are open only where the last two denials are left out", func(t *testing.T) {
				k := n.mustRelay(t)
				for _, s := range []string{"1.1.1.1:53", "8.8.8.8:443"} {
					if got := k.permit(addrPort(t, s)); (got == 0) != shared { // sends nothing there
						t.Errorf("%s: %d", s, got)
					}
				}
			})
		})
	}
}
