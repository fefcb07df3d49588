package devstack

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Options say how to run a homeserver.
type Options struct {
	Dir        string    // its data; created if missing. Needed
	Name       string    // server name; default "localhost", with Federation "localhost:<HTTPS port>"
	HTTPPort   int       // client port on 127.0.0.1; 0 = any free one
	HTTPSPort  int       // federation port on 127.0.0.1; 0 = any free one
	Federation bool      // speak to other homeservers on loopback, over TLS with a certificate made here
	RateLimits bool      // Dendrite's default limits; off: none
	Log        io.Writer // also receives the homeserver's output, which goes to Dir/homeserver.log anyway
	Persistent bool      // keep the message streams on disk, so that Dir survives a restart. Off: faster, for tests
	Synapse    string    // a folder of .ci/synapse: that program instead of Dendrite, without federation
	Progress   io.Writer // lines for people: building, starting
}

// Homeserver is a running Dendrite (or Synapse). Its methods may be called from several goroutines.
type Homeserver struct {
	// Immutable after StartHomeserver.
	options Options
	secret  string
	process *process
	log     *os.File
	roots   *x509.CertPool

	stopOnce sync.Once
}

// Login is a device of a person, as the homeserver issued it.
type Login struct {
	UserID      string `json:"user_id"`
	AccessToken string `json:"access_token"`
	DeviceID    string `json:"device_id"`
}

// StartHomeserver runs Dendrite on loopback and returns when it answers. The process ends with Stop, or with us.
func StartHomeserver(ctx context.Context, o Options) (*Homeserver, error) {
	if o.Dir == "" {
		return nil, errors.New("start homeserver: no folder given")
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	var binary string
	if o.Synapse == "" {
		var err error
		if binary, err = Binary(ctx, o.Progress); err != nil {
			return nil, err
		}
	} else if o.Federation {
		return nil, errors.New("start homeserver: Synapse is run without federation here")
	}
	// A free port can be taken between choosing and binding: then choose again.
	for attempt := 1; ; attempt++ {
		h, err := startHomeserver(ctx, binary, o)
		fixed := o.HTTPPort != 0 && (!o.Federation || o.HTTPSPort != 0)
		if err == nil || ctx.Err() != nil || fixed || attempt == 3 {
			return h, err
		}
	}
}

func startHomeserver(ctx context.Context, binary string, o Options) (*Homeserver, error) {
	known, err := loadIdentity(o.Dir)
	if err != nil {
		return nil, err
	}
	if known.Name != "" && o.Name == "" && o.HTTPSPort == 0 {
		o.Name = known.Name
		if _, port, err := net.SplitHostPort(known.Name); err == nil {
			o.HTTPSPort, _ = strconv.Atoi(port) // other servers will look for us there
		}
	}
	if o.HTTPPort, err = pickPort(o.HTTPPort); err != nil {
		return nil, err
	}
	if o.Federation {
		if o.HTTPSPort, err = pickPort(o.HTTPSPort); err != nil {
			return nil, err
		}
		if o.Name == "" {
			o.Name = "localhost:" + strconv.Itoa(o.HTTPSPort)
		}
	}
	if o.Name == "" {
		o.Name = "localhost"
	}
	// Dendrite resolves paths against its working directory, which will be this one.
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	h := &Homeserver{options: o}
	if err := h.prepare(); err != nil {
		return nil, fmt.Errorf("prepare homeserver in %s: %w", o.Dir, err)
	}
	name, args := "dendrite", []string{"--config", "dendrite.yaml", "--http-bind-address", h.address(o.HTTPPort)}
	if o.Federation {
		args = append(args, "--https-bind-address", h.address(o.HTTPSPort), "--tls-cert", "tls.crt", "--tls-key", "tls.key")
	}
	if o.Synapse != "" {
		name = "synapse"
		if binary, args, err = synapseProgram(o.Synapse); err != nil {
			return nil, err
		}
		if err := prepareSynapse(ctx, o.Dir, binary, args); err != nil {
			return nil, err
		}
	}
	if h.log, err = os.OpenFile(h.path(logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	var out io.Writer = h.log // a plain file needs no copying goroutine
	if o.Log != nil {
		out = io.MultiWriter(h.log, o.Log)
	}
	began := time.Now()
	if h.process, err = startProcess(name, o.Dir, out, binary, args...); err != nil {
		return nil, errors.Join(err, h.log.Close())
	}
	if err := h.awaitReady(ctx); err != nil {
		h.Stop()
		return nil, err
	}
	fmt.Fprintf(o.Progress, "homeserver: %s is up at %s (%d ms)\n", o.Name, h.URL(), time.Since(began).Milliseconds())
	return h, nil
}

const logFile = "homeserver.log"

// awaitReady polls until the homeserver answers: at most 60 s, as a loaded machine may take seconds.
func (h *Homeserver) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client := &Client{BaseURL: h.URL()}
	return h.process.awaitReady(ctx, h.path(logFile), func() error { return client.Do(ctx, http.MethodGet, "/_matrix/client/versions", nil, nil) })
}

// URL is the base URL of the client-server API.
func (h *Homeserver) URL() string { return "http://" + h.address(h.options.HTTPPort) }

// Name is the server name: what follows the colon in its user ids.
func (h *Homeserver) Name() string { return h.options.Name }

// UserID is the full id of a local person.
func (h *Homeserver) UserID(user string) string { return "@" + user + ":" + h.options.Name }

// FederationAddress is host:port of the TLS listener, "" without federation.
func (h *Homeserver) FederationAddress() string {
	if !h.options.Federation {
		return ""
	}
	return h.address(h.options.HTTPSPort)
}

// RootCAs trusts the certificate of the federation listener; nil without federation.
func (h *Homeserver) RootCAs() *x509.CertPool { return h.roots }

// Dir is the folder with everything this homeserver stores.
func (h *Homeserver) Dir() string { return h.options.Dir }

// Pid is the process id of the homeserver, for measurements.
func (h *Homeserver) Pid() int { return h.process.cmd.Process.Pid }

// Stop ends the homeserver and returns when its process is gone. Calling it again is harmless.
func (h *Homeserver) Stop() {
	h.stopOnce.Do(func() {
		h.process.stop()
		_ = h.log.Close() // nothing is written any more
	})
}

// Kill ends the homeserver as a crash would.
func (h *Homeserver) Kill() {
	h.stopOnce.Do(func() {
		h.process.kill()
		_ = h.log.Close()
	})
}

// ErrUserTaken is the answer of Register for a name that exists already.
var ErrUserTaken = errors.New("user name is taken")

// Register makes an account, through the shared secret. user is the local part.
func (h *Homeserver) Register(ctx context.Context, user, password string, admin bool) error {
	const path = "/_synapse/admin/v1/register"
	client := &Client{BaseURL: h.URL()}
	var nonce struct {
		Nonce string `json:"nonce"`
	}
	if err := client.Do(ctx, http.MethodGet, path, nil, &nonce); err != nil {
		return fmt.Errorf("register %s: %w", user, err)
	}
	role := "notadmin"
	if admin {
		role = "admin"
	}
	mac := hmac.New(sha1.New, []byte(h.secret))
	fmt.Fprintf(mac, "%s\x00%s\x00%s\x00%s", nonce.Nonce, user, password, role)
	err := client.Do(ctx, http.MethodPost, path, map[string]any{
		"nonce": nonce.Nonce, "username": user, "password": password, "admin": admin, "mac": hex.EncodeToString(mac.Sum(nil)),
	}, nil)
	if IsCode(err, "M_USER_IN_USE") {
		return fmt.Errorf("register %s: %w", user, ErrUserTaken)
	}
	if err != nil {
		return fmt.Errorf("register %s: %w", user, err)
	}
	return nil
}

// Login signs a person in with a password. An empty deviceID makes a new device; an existing one loses its running token.
func (h *Homeserver) Login(ctx context.Context, user, password, deviceID string) (Login, error) {
	client, err := h.Client(ctx, user, password, deviceID)
	if err != nil {
		return Login{}, err
	}
	return client.Login, nil
}

// Client signs in and answers a client for that device.
func (h *Homeserver) Client(ctx context.Context, user, password, deviceID string) (*Client, error) {
	body := map[string]any{
		"type": "m.login.password", "password": password,
		"identifier": map[string]any{"type": "m.id.user", "user": user},
	}
	if deviceID != "" {
		body["device_id"] = deviceID
	}
	client := &Client{BaseURL: h.URL()}
	if err := client.Do(ctx, http.MethodPost, "/_matrix/client/v3/login", body, &client.Login); err != nil {
		return nil, fmt.Errorf("log in as %s: %w", user, err)
	}
	return client, nil
}

// NewUser registers a person with a random password and a display name ("" = none) and signs them in: what tests want.
func (h *Homeserver) NewUser(ctx context.Context, user, displayName string) (*Client, error) {
	password := rand.Text()
	if err := h.Register(ctx, user, password, false); err != nil {
		return nil, err
	}
	client, err := h.Client(ctx, user, password, "")
	if err != nil {
		return nil, err
	}
	client.Password = password
	if displayName != "" {
		err = client.SetDisplayName(ctx, displayName)
	}
	return client, err
}

func (h *Homeserver) path(name string) string { return filepath.Join(h.options.Dir, name) }

func (h *Homeserver) address(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// pickPort answers the wanted port, or one that was free a moment ago.
func pickPort(want int) (int, error) {
	if want != 0 {
		return want, nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}

// portFree tells whether a port on loopback can be bound now; 0 is no port.
func portFree(port int) bool {
	if port == 0 {
		return false
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

// identity is what makes a restarted homeserver the same one.
type identity struct {
	Name   string `json:"name"`
	Secret string `json:"registration_secret"`
}

// loadIdentity answers the zero identity for a folder that never held a homeserver.
func loadIdentity(dir string) (id identity, err error) {
	data, err := os.ReadFile(filepath.Join(dir, "identity.json"))
	if errors.Is(err, os.ErrNotExist) {
		return identity{}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &id)
	}
	if err != nil {
		return identity{}, fmt.Errorf("read identity.json: %w", err)
	}
	return id, nil
}

// prepare writes what is missing of the homeserver's folder, and its configuration anew.
func (h *Homeserver) prepare() error {
	if err := os.MkdirAll(h.options.Dir, 0o700); err != nil {
		return err
	}
	id, err := loadIdentity(h.options.Dir)
	if err != nil {
		return err
	}
	if id.Name == "" {
		id = identity{Name: h.options.Name, Secret: rand.Text()}
		if err := writeJSON(h.path("identity.json"), id); err != nil {
			return err
		}
	}
	if id.Name != h.options.Name {
		return fmt.Errorf("the folder belongs to homeserver %q, not %q: its users and rooms carry that name for ever", id.Name, h.options.Name)
	}
	h.secret = id.Secret
	if err := ensureSigningKey(h.path("matrix_key.pem")); err != nil {
		return err
	}
	if h.options.Federation {
		if h.roots, err = ensureCertificate(h.path("tls.crt"), h.path("tls.key")); err != nil {
			return err
		}
	}
	if h.options.Synapse != "" {
		return writeFile(h.path("synapse.yaml"), []byte(synapseConfig(h.options, h.secret)))
	}
	return writeFile(h.path("dendrite.yaml"), []byte(dendriteConfig(h.options, h.secret)))
}
