package devstack

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// dendriteConfig is the smallest configuration that Dendrite 0.15.2 starts with: every component needs its own SQLite file,
// relay_api and mscs included.
func dendriteConfig(o Options, secret string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("version: 2")
	line("global: {server_name: %q, private_key: matrix_key.pem, jetstream: {in_memory: %t, storage_path: ./jetstream}}", o.Name, !o.Persistent)
	line("client_api: {registration_shared_secret: %q, rate_limiting: {enabled: %t, threshold: 20, cooloff_ms: 500}}", secret, o.RateLimits)
	line(`user_api: {bcrypt_cost: 4, account_database: {connection_string: "file:user.db"}, device_database: {connection_string: "file:user.db"}}`)
	line(`media_api: {base_path: ./media, database: {connection_string: "file:media.db"}}`)
	for _, name := range []string{"room_server", "sync_api", "key_server", "relay_api"} {
		line(`%s: {database: {connection_string: "file:%s.db"}}`, name, name)
	}
	line(`mscs: {database: {connection_string: "file:mscs.db"}}`)
	line("federation_api:")
	line("  key_perspectives: []")
	line(`  database: {connection_string: "file:federation_api.db"}`)
	if o.Federation {
		// Peers are on loopback, with certificates of their own making; the default deny list contains loopback.
		line("  disable_tls_validation: true")
		line("  deny_networks: []")
		line("  allow_networks: []")
		line("  send_max_retries: 3")
	}
	line("logging: [{type: std, level: warn}]")
	return b.String()
}

// ensureSigningKey makes the homeserver's Ed25519 key in the PEM form that Dendrite reads (the 32-byte seed).
func ensureSigningKey(path string) error {
	if exists(path) {
		return nil
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	return writeFile(path, pem.EncodeToMemory(&pem.Block{
		Type:    "MATRIX PRIVATE KEY",
		Headers: map[string]string{"Key-ID": "ed25519:" + strings.ToLower(rand.Text()[:6])},
		Bytes:   key.Seed(),
	}))
}

// ensureCertificate makes a self-signed certificate for localhost and answers a pool that trusts it.
func ensureCertificate(certPath, keyPath string) (*x509.CertPool, error) {
	if !exists(certPath) || !exists(keyPath) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "localhost"},
			DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			IsCA: true, BasicConstraintsValid: true,
		}
		cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return nil, err
		}
		err = errors.Join(writeFile(keyPath, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})),
			writeFile(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
		if err != nil {
			return nil, err
		}
	}
	data, err := os.ReadFile(certPath)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no certificate", certPath)
	}
	return roots, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// writeFile writes a file for our eyes only; it appears whole or not at all.
func writeFile(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(data, '\n'))
}
