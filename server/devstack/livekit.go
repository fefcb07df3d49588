package devstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// LiveKitOptions say how to run a call server.
type LiveKitOptions struct {
	Dir     string // its configuration and log; created if missing. Needed
	Port    int    // of HTTP and WebSocket on 127.0.0.1; 0: any free one
	UDPPort int    // of media on 127.0.0.1; 0: any free one
	Webhook string // address that is told what happens; "" for none
	// TURN are addresses of a TURN server that clients are told, turn:127.0.0.1:3478?transport=udp. TURNSecretFile holds the secret that LiveKit makes
	// credentials for it with, for an hour each.
	TURN           []string
	TURNSecretFile string
	Progress       io.Writer
}

// LiveKit is a running call server on loopback.
type LiveKit struct {
	Key, Secret string
	address     string
	process     *process
	log         *os.File
}

// URL is how clients reach it.
func (l *LiveKit) URL() string { return "ws://" + l.address }

// Pid is the process id, for measurements.
func (l *LiveKit) Pid() int { return l.process.cmd.Process.Pid }

// Stop ends it and returns when its process is gone.
func (l *LiveKit) Stop() {
	l.process.stop()
	_ = l.log.Close() // nothing is written any more
}

// StartLiveKit runs LiveKit on loopback, built first if this machine lacks it, and returns when it answers.
func StartLiveKit(ctx context.Context, o LiveKitOptions) (*LiveKit, error) {
	binary, err := LiveKitBinary(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	if o.Port, err = pickPort(o.Port); err != nil {
		return nil, err
	}
	if o.UDPPort, err = pickUDPPort(o.UDPPort); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	l := &LiveKit{Key: "lectern", Secret: rand.Text() + rand.Text(), address: net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port))}
	config, err := liveKitConfig(o, l)
	if err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(o.Dir, "livekit.yaml"), []byte(config)); err != nil {
		return nil, err
	}
	if l.log, err = os.OpenFile(filepath.Join(o.Dir, "livekit.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	if l.process, err = startProcess("livekit", o.Dir, l.log, binary, "--config", "livekit.yaml"); err != nil {
		return nil, errors.Join(err, l.log.Close())
	}
	if err := l.awaitReady(ctx); err != nil {
		l.Stop()
		return nil, err
	}
	return l, nil
}

// liveKitConfig: with bind_addresses alone LiveKit opens its media ports on every interface.
func liveKitConfig(o LiveKitOptions, l *LiveKit) (string, error) {
	turn := ""
	for _, s := range o.TURN {
		at, transport, ok := strings.Cut(strings.TrimPrefix(s, "turn:"), "?transport=")
		host, port, err := net.SplitHostPort(at)
		if err != nil || !ok {
			return "", fmt.Errorf("%q is no address such as turn:127.0.0.1:3478?transport=udp", s)
		}
		turn += fmt.Sprintf("    - {host: %q, port: %s, protocol: %s, secret_file: %q, ttl: 3600}\n", host, port, transport, o.TURNSecretFile)
	}
	if turn != "" {
		turn = "  turn_servers:\n" + turn
	}
	c := fmt.Sprintf(`port: %d
bind_addresses: [127.0.0.1]
rtc:
  udp_port: %d
  tcp_port: 0
  node_ip: 127.0.0.1
  use_external_ip: false
  enable_loopback_candidate: true
  interfaces: {includes: [lo]}
  ips: {includes: [127.0.0.1/32]}
%skeys: {%s: %s}
room: {auto_create: false}
logging: {level: warn}
`, o.Port, o.UDPPort, turn, l.Key, l.Secret)
	if o.Webhook != "" {
		c += fmt.Sprintf("webhook: {api_key: %s, urls: [%q]}\n", l.Key, o.Webhook)
	}
	return c, nil
}

// awaitReady polls until LiveKit answers: at most 30 s.
func (l *LiveKit) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return l.process.awaitReady(ctx, l.log.Name(), func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.address, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// pickUDPPort answers the wanted port, or one that was free a moment ago.
func pickUDPPort(want int) (int, error) {
	if want != 0 {
		return want, nil
	}
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free UDP port: %w", err)
	}
	port := c.LocalAddr().(*net.UDPAddr).Port
	return port, c.Close()
}
