package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Synapse as another homeserver for what Dendrite lacks, delayed events (MSC4140) above all. It is the package of a Debian that .ci/synapse has unpacked; its own
// loader and libraries are used from there, so that running it needs neither root nor chroot.

// synapseProgram is the command that runs Python of that folder, without its arguments.
func synapseProgram(root string) (program string, args []string, err error) {
	loader := filepath.Join(root, "usr/lib64/ld-linux-x86-64.so.2")
	for _, path := range []string{loader, filepath.Join(root, "usr/bin/python3"), filepath.Join(root, "usr/lib/python3/dist-packages/synapse")} {
		if _, err := os.Stat(path); err != nil {
			return "", nil, fmt.Errorf("no Synapse in %s (make synapse unpacks it): %w", root, err)
		}
	}
	return "/usr/bin/env", []string{
		"PYTHONHOME=" + filepath.Join(root, "usr"), "PYTHONDONTWRITEBYTECODE=1",
		loader, "--library-path", filepath.Join(root, "usr/lib/x86_64-linux-gnu"), filepath.Join(root, "usr/bin/python3"), "-m", "synapse.app.homeserver", "-c", "synapse.yaml",
	}, nil
}

// synapseConfig has delayed events, and no limits.
func synapseConfig(o Options, secret string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("server_name: %q", o.Name)
	line("pid_file: synapse.pid")
	line("listeners: [{port: %d, bind_addresses: [127.0.0.1], type: http, x_forwarded: false, resources: [{names: [client, federation]}]}]", o.HTTPPort)
	line("database: {name: sqlite3, args: {database: homeserver.db}}")
	line("media_store_path: media")
	line("signing_key_path: synapse.signing.key")
	line("registration_shared_secret: %q", secret)
	line("report_stats: false")
	line("trusted_key_servers: []")
	line("bcrypt_rounds: 4")
	line("max_event_delay_duration: 24h")
	line("experimental_features: {msc4143_enabled: true}")
	const none = "{per_second: 10000, burst_count: 10000}"
	for _, name := range []string{"message", "registration", "presence", "third_party_invite", "media_create", "reports", "room_creation", "joins_per_room", "delayed_event_mgmt", "key_requests"} {
		line("rc_%s: %s", name, none)
	}
	line("rc_login: {address: %s, account: %s, failed_attempts: %s}", none, none, none)
	line("rc_joins: {local: %s, remote: %s}", none, none)
	line("rc_invites: {per_room: %s, per_user: %s, per_issuer: %s}", none, none, none)
	return b.String()
}

// prepareSynapse makes its signing key once.
func prepareSynapse(ctx context.Context, dir, program string, args []string) error {
	if exists(filepath.Join(dir, "synapse.signing.key")) {
		return nil
	}
	cmd := exec.CommandContext(ctx, program, append(args, "--generate-keys")...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("make Synapse's signing key: %s", out), err)
	}
	return nil
}
