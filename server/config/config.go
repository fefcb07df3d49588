// Package config is the one place where Lectern's settings are described. The struct's comments are the manual: a setting that is not here does
// not exist. A YAML file is read first (unknown keys are errors), then the environment: LECTERN_MATRIX_HOMESERVER sets matrix.homeserver.
// Secrets are never values: they are paths of files.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Config is everything an operator can set.
type Config struct {
	// Listen is the address of the HTTP server, "127.0.0.1:8090". Put a TLS reverse proxy in front of it.
	Listen string `yaml:"listen"`
	// PublicURL is how browsers reach this server, "https://lectern.school.example". Widgets' URLs begin with it.
	PublicURL string `yaml:"public_url"`
	// Data is the folder for lectern.db, companion.db and keys. Created with mode 0700.
	Data string `yaml:"data"`
	// ClientOrigins are the origins of the Matrix clients that may show widgets, "https://app.element.io". They become frame-ancestors; nobody else can embed a board.
	ClientOrigins []string `yaml:"client_origins"`
	// TrustedProxies are the address ranges of reverse proxies whose X-Forwarded-For is believed, "127.0.0.1/32".
	TrustedProxies []string `yaml:"trusted_proxies"`
	// SchoolRanges are address ranges of schools (many people behind one address): failures from there are slowed down ten times later.
	SchoolRanges []string `yaml:"school_ranges"`

	// ModeratorProof is what moderators' decisions need besides the sign-in by OpenID: "openid" (nothing more) or "challenge" (their client sends a message to the
	// companion, for which it asks once). Default: openid.
	ModeratorProof string `yaml:"moderator_proof"`

	// TakeoverAfter: a board of an accepted companion that has written nothing for so long, "72h", is taken over when somebody opens it here. A board on which
	// nobody has drawn looks the same as one whose home is gone, so better leave it to a moderator. Default 0: never by itself.
	TakeoverAfter Duration `yaml:"takeover_after"`

	Matrix  Matrix  `yaml:"matrix"`
	OpenID  OpenID  `yaml:"openid"`
	RTC     RTC     `yaml:"rtc"`
	Turn    Turn    `yaml:"turn"`
	Calls   Calls   `yaml:"calls"`
	Storage Storage `yaml:"storage"`
	Metrics Metrics `yaml:"metrics"`
	Log     Log     `yaml:"log"`
	Worker  Worker  `yaml:"worker"`
}

// Matrix is the companion: the ordinary Matrix account through which Lectern is a member of rooms.
type Matrix struct {
	// Homeserver is the client-server base URL, "https://matrix.school.example".
	Homeserver string `yaml:"homeserver"`
	// UserID is the companion's account, "@lectern:school.example". Create it once with your homeserver's tools.
	UserID string `yaml:"user_id"`
	// PasswordFile holds its password; read for the first login only.
	PasswordFile string `yaml:"password_file"`
	// RecoveryKeyFile is where the recovery key is written at first start. Default: data/recovery-key.txt. Move it to a safe place.
	RecoveryKeyFile string `yaml:"recovery_key_file"`
	// AllowInviters says who may invite the companion: globs over Matrix ids, "@*:school.example". Default: everybody of the companion's own server.
	AllowInviters []string `yaml:"allow_inviters"`
	// AcceptCompanions are the Matrix ids of other instances' companions that are believed, "@lectern:other.example". Two Lecterns that name each other can take
	// boards over from each other. Whoever is named here can replace every board in the rooms you share. Default: none.
	AcceptCompanions []string `yaml:"accept_companions"`
	// StableWidgets: widgets get an event of the type m.widget besides the one that clients of today read. Default false.
	StableWidgets bool `yaml:"stable_widgets"`
	// Outage is how long people who are on a board may go on while the homeserver does not answer. Default 15m. After that boards pause: nobody can be
	// shut out by somebody who cannot be heard. What is drawn meanwhile is kept by the page and sent later. At least 1m.
	Outage Duration `yaml:"outage"`
}

// OpenID limits whose identity is accepted and how other homeservers are asked.
type OpenID struct {
	// AllowedServers are globs of server names whose people may open boards. Default: all (a room's members are the real gate).
	AllowedServers []string `yaml:"allowed_servers"`
	// DeniedServers are globs that are refused before any look-up.
	DeniedServers []string `yaml:"denied_servers"`
	// AllowCIDRs are private address ranges that may be asked all the same, for private federations and development.
	AllowCIDRs []string `yaml:"allow_cidrs"`
	// InsecureTLS accepts any certificate of other homeservers. Development only.
	InsecureTLS bool `yaml:"insecure_tls"`
}

// RTC is the data channel. Without it everything runs over the WebSocket.
type RTC struct {
	// Listen is the one UDP address for all data channels, ":7882". Empty: no data channels.
	Listen string `yaml:"listen"`
	// PublicIP is announced instead of local addresses, for servers behind a NAT or in a container.
	PublicIP string `yaml:"public_ip"`
	// Loopback announces loopback addresses. Development only.
	Loopback bool `yaml:"loopback"`
	// LogPeople: boards with more people move their durable lane to the WebSocket. Default 60.
	LogPeople int `yaml:"log_people"`
}

// Turn helps clients whose network lets only known ports through: their data channels, and their calls, run through a relay. docs/turn.md tells how to set it up, built in
// or with coturn. Without it boards run over the WebSocket there.
type Turn struct {
	// Listen is the address of the built-in TURN server, UDP and TCP, "192.0.2.7:3478". Relays are bound to its IP address; with ":3478", to the one that leads to public_ip.
	// Empty: none is built in.
	Listen string `yaml:"listen"`
	// PublicIP is the address by which clients know this machine, behind a NAT or in a container. Default: rtc.public_ip.
	PublicIP string `yaml:"public_ip"`
	// Realm is a name for the built-in server, which nobody sees. Default: the host of public_url.
	Realm string `yaml:"realm"`
	// SecretFile holds the secret that credentials are made with, a line of at least 24 characters. For the built-in server it is made at first start; default: data/turn.secret.
	// For coturn it is the line in static-auth-secret.
	SecretFile string `yaml:"secret_file"`
	// URLs are what clients are told, "turn:turn.school.example:3478?transport=udp". Default: those of the built-in server. Without listen they name a coturn.
	URLs []string `yaml:"urls"`
	// Peers are addresses that the built-in server's relays may reach besides Lectern's data channels, "203.0.113.9:7882" for LiveKit, or a range with all its ports,
	// "203.0.113.9/32". Everything else is refused.
	Peers []string `yaml:"peers"`
}

// Calls makes Lectern the focus of its homeserver's calls (Element Call): it says who may join them on your LiveKit server.
type Calls struct {
	// LiveKitURL is how browsers reach LiveKit, "wss://livekit.school.example". Empty: no calls.
	LiveKitURL string `yaml:"livekit_url"`
	// LiveKitAPI is how Lectern reaches it, "http://127.0.0.1:7880". Default: as browsers do.
	LiveKitAPI string `yaml:"livekit_api"`
	// Key is LiveKit's API key, as in its "keys".
	Key string `yaml:"key"`
	// SecretFile holds the key's secret, at least 32 characters. Nobody else may have it: it opens every call.
	SecretFile string `yaml:"secret_file"`
	// RemoteServers are globs of other homeservers whose people get into calls of rooms that they have joined. Default: all, as for boards. ["none"]: nobody's.
	RemoteServers []string `yaml:"remote_servers"`
	// StudentSources are what people below moderators may publish where their room has decided nothing: microphone, camera, screen_share. Default: all three.
	StudentSources []string `yaml:"student_sources"`
	// MaxParticipants of one call. Default 150.
	MaxParticipants int `yaml:"max_participants"`
	// ElementCallURL is where an Element Call of yours lies, "https://call.school.example", for pages that can open one. Empty: none.
	ElementCallURL string `yaml:"element_call_url"`
}

// Storage is the database on disk.
type Storage struct {
	// KeyFile holds the instance key (32 bytes, base64) that wraps every board's key. Default: data/instance.key, made at first start. Keep it out of the database's backups.
	KeyFile string `yaml:"key_file"`
	// KeysAtRest false stores boards in clear. Default true; for tests only.
	KeysAtRest *bool `yaml:"keys_at_rest"`
	// Synchronous is SQLite's setting: FULL (default) or OFF (loses acknowledged work in a power cut; tests only).
	Synchronous string `yaml:"synchronous"`
	// ArchiveDays is how long the history of a board from before its last compactions is kept (who drew what, and what was erased). Default 400; -1: as long as
	// the board. What the board shows is never touched.
	ArchiveDays int `yaml:"archive_days"`
}

// Metrics is the operator's listener.
type Metrics struct {
	// Listen serves /metrics in Prometheus' format, "127.0.0.1:9090". Empty: none. Never expose it.
	Listen string `yaml:"listen"`
}

// Log is the JSON log on standard error.
type Log struct {
	// Level is debug, info, warn or error. Default info. No level logs content, names or tokens.
	Level string `yaml:"level"`
}

// Worker is the merge worker.
type Worker struct {
	// Timeout of one job. Default 5s.
	Timeout Duration `yaml:"timeout"`
	// Parallel jobs. Default 1.
	Parallel int `yaml:"parallel"`
}

// Duration is a time.Duration written as "30s".
type Duration time.Duration

// UnmarshalYAML reads "1m30s".
func (d *Duration) UnmarshalYAML(n *yaml.Node) error { return d.set(n.Value) }

// MarshalYAML writes "1m30s".
func (d Duration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

func (d *Duration) set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 30s", s)
	}
	*d = Duration(v)
	return nil
}

const maxFile = 1 << 20

// Load reads the file (path may be empty), then the environment, fills in defaults and validates.
func Load(path string, environ []string) (*Config, error) {
	c := &Config{}
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
		if err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		if len(b) > maxFile {
			return nil, fmt.Errorf("config: %s is larger than 1 MiB", path)
		}
		d := yaml.NewDecoder(bytes.NewReader(b))
		d.KnownFields(true)
		if err := d.Decode(c); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("config: %s: %w", path, err)
		}
	}
	if err := fromEnv(c, environ); err != nil {
		return nil, err
	}
	c.Defaults()
	return c, c.Validate()
}

// Defaults fills in what was left out.
func (c *Config) Defaults() {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	dur := func(d *Duration, v time.Duration) {
		if *d == 0 {
			*d = Duration(v)
		}
	}
	def(&c.Listen, "127.0.0.1:8090")
	def(&c.Data, "lectern-data")
	def(&c.Log.Level, "info")
	def(&c.Storage.Synchronous, "FULL")
	def(&c.Storage.KeyFile, filepath.Join(c.Data, "instance.key"))
	def(&c.Matrix.RecoveryKeyFile, filepath.Join(c.Data, "recovery-key.txt"))
	if c.Storage.KeysAtRest == nil {
		c.Storage.KeysAtRest = new(true)
	}
	if c.RTC.LogPeople == 0 {
		c.RTC.LogPeople = 60
	}
	if c.Worker.Parallel == 0 {
		c.Worker.Parallel = 1
	}
	if c.Storage.ArchiveDays == 0 {
		c.Storage.ArchiveDays = 400
	}
	c.turnDefaults()
	def(&c.Calls.LiveKitAPI, c.Calls.LiveKitURL)
	if c.Calls.MaxParticipants == 0 {
		c.Calls.MaxParticipants = 150
	}
	if c.Calls.StudentSources == nil {
		c.Calls.StudentSources = sources
	}
	if c.Calls.RemoteServers == nil {
		c.Calls.RemoteServers = []string{"*"}
	}
	dur(&c.Worker.Timeout, 5*time.Second)
	dur(&c.Matrix.Outage, 15*time.Minute)
	if c.ModeratorProof == "" {
		c.ModeratorProof = "openid"
	}
	if _, server, ok := strings.Cut(c.Matrix.UserID, ":"); ok && len(c.Matrix.AllowInviters) == 0 {
		c.Matrix.AllowInviters = []string{"@*:" + server}
	}
}

// Validate reports everything that is wrong, not only the first thing.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf("config: "+format, a...)) }
	origin := func(name, s string) {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.ContainsAny(s, " ;,'\"") {
			bad("%s: %q is not an origin such as https://lectern.school.example", name, s)
		}
	}
	if c.PublicURL == "" {
		bad("public_url is missing: how do browsers reach this server?")
	} else {
		origin("public_url", c.PublicURL)
	}
	for _, o := range c.ClientOrigins {
		origin("client_origins", o)
	}
	if c.Matrix.Homeserver == "" || c.Matrix.UserID == "" || c.Matrix.PasswordFile == "" {
		bad("matrix.homeserver, matrix.user_id and matrix.password_file are needed: Lectern joins rooms as an ordinary account")
	} else if !strings.HasPrefix(c.Matrix.UserID, "@") || !strings.Contains(c.Matrix.UserID, ":") {
		bad("matrix.user_id: %q is not a Matrix id such as @lectern:school.example", c.Matrix.UserID)
	}
	for _, id := range c.Matrix.AcceptCompanions {
		if local, server, ok := strings.Cut(id, ":"); !ok || len(local) < 2 || local[0] != '@' || server == "" || strings.ContainsAny(id, " *?") || len(id) > 255 || id == c.Matrix.UserID {
			bad("matrix.accept_companions: %q is not the Matrix id of another companion, such as @lectern:other.example", id)
		}
	}
	if c.TakeoverAfter != 0 && c.TakeoverAfter < Duration(time.Hour) {
		bad("takeover_after: less than 1h would take boards away from a home that is only restarting")
	}
	for name, list := range map[string][]string{"trusted_proxies": c.TrustedProxies, "school_ranges": c.SchoolRanges, "openid.allow_cidrs": c.OpenID.AllowCIDRs} {
		for _, s := range list {
			if _, err := netip.ParsePrefix(s); err != nil {
				bad("%s: %q is not an address range such as 10.0.0.0/8", name, s)
			}
		}
	}
	if c.RTC.PublicIP != "" {
		if _, err := netip.ParseAddr(c.RTC.PublicIP); err != nil {
			bad("rtc.public_ip: %q is not an IP address", c.RTC.PublicIP)
		}
	}
	c.Turn.validate(bad)
	c.Calls.validate(bad)
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		bad("log.level: %q is not debug, info, warn or error", c.Log.Level)
	}
	switch strings.ToUpper(c.Storage.Synchronous) {
	case "FULL", "OFF":
	default:
		bad("storage.synchronous: %q is not FULL or OFF", c.Storage.Synchronous)
	}
	if c.Storage.ArchiveDays < -1 {
		bad("storage.archive_days must be -1 (as long as the board) or a number of days")
	}
	if c.ModeratorProof != "openid" && c.ModeratorProof != "challenge" {
		bad("moderator_proof: %q is neither openid nor challenge", c.ModeratorProof)
	}
	if c.Matrix.Outage < Duration(time.Minute) {
		bad("matrix.outage: %s is too short, at least 1m: a homeserver is busy for that long", time.Duration(c.Matrix.Outage))
	}
	if c.Worker.Timeout <= 0 || c.Worker.Parallel < 1 || c.RTC.LogPeople < 1 {
		bad("worker.timeout, worker.parallel and rtc.log_people must be positive")
	}
	return errors.Join(errs...)
}

var sources = []string{"microphone", "camera", "screen_share"}

// validate the calls, if there are to be any.
func (c *Calls) validate(bad func(format string, a ...any)) {
	for _, s := range c.StudentSources {
		if !slices.Contains(sources, s) {
			bad("calls.student_sources: %q is not one of %s", s, strings.Join(sources, ", "))
		}
	}
	if c.ElementCallURL != "" {
		if u, err := url.Parse(c.ElementCallURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			bad("calls.element_call_url: %q is not an address such as https://call.school.example", c.ElementCallURL)
		}
	}
	if c.LiveKitURL == "" {
		if c.Key != "" || c.SecretFile != "" {
			bad("calls.livekit_url is missing: how do browsers reach LiveKit?")
		}
		return
	}
	for name, s := range map[string]string{"calls.livekit_url": c.LiveKitURL, "calls.livekit_api": c.LiveKitAPI} {
		if u, err := url.Parse(s); err != nil || !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme) || u.Host == "" || u.RawQuery != "" || u.User != nil {
			bad("%s: %q is not an address such as wss://livekit.school.example", name, s)
		}
	}
	if c.Key == "" || c.SecretFile == "" {
		bad("calls.key and calls.secret_file are needed: LiveKit's API key and its secret")
	}
	if c.MaxParticipants < 2 || c.MaxParticipants > 5000 {
		bad("calls.max_participants must be between 2 and 5000")
	}
}

// Prefixes parses address ranges that Validate has accepted.
func Prefixes(list []string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}
