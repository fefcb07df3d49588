// Command lectern hosts classroom widgets beside a Matrix homeserver.
//
//	lectern serve [-config FILE]        the server
//	lectern dev [-data DIR] …           everything on loopback: homeserver, demo people, an encrypted room with a whiteboard
//	lectern restore [-config FILE] …    reads a board straight from its room
//	lectern backup [-config FILE] …     copies both databases while serve runs, and verifies the copies
//	lectern erase [-config FILE] …      destroys a board, through the serve that runs
//	lectern calls [-config FILE]        prints what other servers' configurations need, so that clients find the calls
//	lectern merge-worker                the child process that merges documents (started by serve)
//	lectern version
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/educationpub/lectern/crdt/worker"
	"github.com/educationpub/lectern/server"
	"github.com/educationpub/lectern/server/app"
	"github.com/educationpub/lectern/server/config"
	"github.com/educationpub/lectern/server/rescue"
	"github.com/educationpub/lectern/server/turn"
)

// version is set by the Makefile.
var version = "dev"

const usage = `usage: lectern serve [-config FILE]
       lectern dev [-data DIR] [-ready-file FILE] [-port N] [-classroom-port N] [-homeserver-port N] [-plain] [-federation] [-second-homeserver] [-instance NAME] [-calls] [-element-call URL] [-turn ADDRESS -turn-secret FILE] [-synapse DIR]
       lectern restore [-config FILE] [-room ID [-board ID -out FILE.excalidraw]]
       lectern backup [-config FILE] -out DIR [-keys]
       lectern erase [-config FILE] -board ID
       lectern calls [-config FILE]
       lectern version
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "lectern:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args, environ []string, in io.Reader, out, errOut io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(errOut, usage)
		return errors.New("which command?")
	}
	switch args[0] {
	case "serve":
		return serve(ctx, args[1:], environ, errOut)
	case "dev":
		return dev(ctx, args[1:], out, errOut)
	case "restore":
		return restore(ctx, args[1:], environ, out, errOut)
	case "backup":
		return backup(ctx, args[1:], environ, out, errOut)
	case "erase":
		return erase(ctx, args[1:], environ, out, errOut)
	case "calls":
		return calls(args[1:], environ, out, errOut)
	case "merge-worker":
		return worker.Main(in, out)
	case "version":
		_, err := fmt.Fprintln(out, "lectern", version)
		return err
	case "help", "-h", "--help":
		_, err := fmt.Fprint(out, usage)
		return err
	default:
		fmt.Fprint(errOut, usage)
		return fmt.Errorf("unknown command %q", args[0])
	}
}

// configured parses the flags of a command and loads the configuration that they name.
func configured(name string, args, environ []string, errOut io.Writer, flags func(*flag.FlagSet)) (*config.Config, error) {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(errOut)
	path := fs.String("config", "", "YAML file; LECTERN_* variables override it")
	if flags != nil {
		flags(fs)
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("%s: what is %q?", name, fs.Arg(0))
	}
	return config.Load(*path, environ)
}

func serve(ctx context.Context, args, environ []string, errOut io.Writer) error {
	cfg, err := configured("serve", args, environ, errOut, nil)
	if err != nil {
		return err
	}
	return app.Run(ctx, cfg, app.Options{Version: version, Log: logger(errOut, cfg.Log.Level)})
}

func restore(ctx context.Context, args, environ []string, out, errOut io.Writer) error {
	var o rescue.Restore
	cfg, err := configured("restore", args, environ, errOut, func(fs *flag.FlagSet) {
		fs.StringVar(&o.Room, "room", "", "id of the room; none: list the boards of all rooms")
		fs.StringVar(&o.Board, "board", "", "id of the board; none: list the boards of the room")
		fs.StringVar(&o.Out, "out", "", "file to write, board.excalidraw; further pages become board-2.excalidraw and so on")
	})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the merge worker: %w", err)
	}
	o.Worker, o.Log = []string{self, "merge-worker"}, logger(errOut, "warn")
	return rescue.FromRoom(ctx, cfg, o, out)
}

func backup(ctx context.Context, args, environ []string, out, errOut io.Writer) error {
	o := rescue.Backup{Log: logger(errOut, "warn")}
	cfg, err := configured("backup", args, environ, errOut, func(fs *flag.FlagSet) {
		fs.StringVar(&o.Dir, "out", "", "folder to make; it must not exist")
		fs.BoolVar(&o.Keys, "keys", false, "put the keys in as well: whoever has the folder can then read every board")
	})
	if err != nil {
		return err
	}
	return rescue.MakeBackup(ctx, cfg, o, out)
}

// calls prints what goes into the configuration of the homeserver's web server and of LiveKit.
func calls(args, environ []string, out, errOut io.Writer) error {
	cfg, err := configured("calls", args, environ, errOut, nil)
	if err != nil {
		return err
	}
	_, name, _ := strings.Cut(cfg.Matrix.UserID, ":")
	return server.WriteCallSnippets(out, cfg.PublicURL, name, cfg.Calls.Key)
}

func erase(ctx context.Context, args, environ []string, out, errOut io.Writer) error {
	var board string
	cfg, err := configured("erase", args, environ, errOut, func(fs *flag.FlagSet) {
		fs.StringVar(&board, "board", "", "id of the board")
	})
	if err != nil {
		return err
	}
	return rescue.Erase(ctx, cfg, board, out)
}

func dev(ctx context.Context, args []string, out, errOut io.Writer) error {
	fs := flag.NewFlagSet("dev", flag.ContinueOnError)
	fs.SetOutput(errOut)
	o := app.DevOptions{Version: version, Out: out}
	var level string
	fs.StringVar(&o.Dir, "data", ".dev", "folder that keeps everything between starts")
	fs.StringVar(&o.ReadyFile, "ready-file", "", "JSON file to write once everything is up")
	fs.IntVar(&o.Port, "port", 0, "port of Lectern (0: the last one, or any)")
	fs.IntVar(&o.ClassroomPort, "classroom-port", 0, "port of the classroom page")
	fs.IntVar(&o.HomeserverPort, "homeserver-port", 0, "port of the homeserver")
	fs.BoolVar(&o.Plain, "plain", false, "first start: an unencrypted room")
	fs.BoolVar(&o.Federation, "federation", false, "first start: a homeserver that federates on loopback")
	fs.BoolVar(&o.SecondHomeserver, "second-homeserver", false, "first start: another homeserver beside it, with a student who visits the demo room over federation")
	fs.StringVar(&o.Instance, "instance", "", "be another Lectern in the same room, with its own account and data: the two can take boards over from each other")
	fs.BoolVar(&o.NoKeysAtRest, "no-keys-at-rest", false, "store boards in clear (for the test that looks for readable text)")
	fs.BoolVar(&o.NoDataChannel, "no-data-channel", false, "WebSocket only")
	fs.StringVar(&o.Metrics, "metrics", "", "address that serves /metrics, 127.0.0.1:9090 (empty: none)")
	fs.StringVar(&o.ModeratorProof, "moderator-proof", "openid", "what moderators' decisions need: openid or challenge")
	fs.StringVar(&o.Client, "client", "", "origin of another Matrix client that may show widgets, http://127.0.0.1:8080 for an Element on this machine")
	fs.StringVar(&o.Synapse, "synapse", "", "first start: Synapse from this folder (make synapse prints it) instead of Dendrite")
	fs.BoolVar(&o.LiveKit, "calls", false, "a LiveKit of its own beside the homeserver, for calls (built at the first start: 3 to 7 minutes)")
	fs.StringVar(&o.Calls.ElementCallURL, "element-call", "", "address of an Element Call that the classroom page opens for calls, http://127.0.0.1:8081 (empty: none)")
	fs.Func("turn", "IP address and port of a TURN server that shares the secret of -turn-secret, instead of the built-in one", func(s string) error {
		at, err := netip.ParseAddrPort(s)
		o.Turn.URLs = turn.URLs(at)
		return err
	})
	fs.StringVar(&o.Turn.SecretFile, "turn-secret", "", "file with the TURN server's secret")
	fs.StringVar(&level, "log", "warn", "debug, info, warn or error")
	if err := fs.Parse(args); err != nil {
		return err
	}
	o.Log = logger(errOut, level)
	return app.Dev(ctx, o)
}

func logger(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(strings.ToUpper(level))); err != nil {
		l = slog.LevelInfo
	}
	return slog.New(app.Redact(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l})))
}
