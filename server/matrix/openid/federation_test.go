package openid

import (
	"os"
	"testing"
	"time"

	"github.com/educationpub/lectern/server/devstack"
)

func TestVerifyAtRealHomeserver(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real homeserver: not run with -short")
	}
	hs, err := devstack.StartHomeserver(t.Context(), devstack.Options{Dir: t.TempDir(), Federation: true, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hs.Stop)
	ada, err := hs.NewUser(t.Context(), "ada", "")
	if err != nil {
		t.Fatal(err)
	}
	o, err := ada.OpenID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	own := newVerifier(t, Config{ServerName: hs.Name(), BaseURL: hs.URL()})
	federated := newVerifier(t, Config{AllowCIDRs: loopback, InsecureTLS: true})
	for what, v := range map[string]*Verifier{"AU30 at the own client address": own, "AU31 over federation": federated} {
		t.Run(what, func(t *testing.T) {
			start := time.Now()
			user, err := v.Verify(t.Context(), hs.Name(), o.AccessToken)
			if err != nil || user != ada.UserID {
				t.Errorf("got %q, %v, want %s", user, err, ada.UserID)
			}
			t.Logf("took %s", time.Since(start))
			_, err = v.Verify(t.Context(), hs.Name(), "nonsense")
			wantCode(t, err, "openid_invalid")
			_, err = v.Verify(t.Context(), hs.Name(), ada.AccessToken) // an access token is no proof for others
			wantCode(t, err, "openid_invalid")
		})
	}
	t.Run("AU33 without the configured range the same server is not reached", func(t *testing.T) {
		_, err := newVerifier(t, Config{InsecureTLS: true}).Verify(t.Context(), hs.Name(), o.AccessToken)
		wantCode(t, err, "openid_server")
	})
}
