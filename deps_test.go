package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/educationpub/lectern"

// ban forbids packages to use others, and says why.
type ban struct {
	from   []string // our packages, relative to the module; "crdt/..." means crdt and all below
	except []string // of these
	to     []string // import paths, with "/..." as above; ours begin with "./"
	// reach: not even through others. Otherwise only direct imports count.
	reach  bool
	reason string
}

var bans = []ban{
	{
		from: []string{"crdt/..."}, reach: true,
		to:     []string{"net/http", "maunium.net/go/mautrix/...", "github.com/pion/...", "github.com/coder/websocket/...", "./server/...", "./web/...", "./templates/..."},
		reason: "crdt holds what is true without a network",
	},
	{
		from: []string{"..."}, except: []string{"crdt"}, to: []string{"github.com/automerge/automerge-go/..."},
		reason: "Automerge's core aborts the process on some hostile bytes: one package decides what reaches it",
	},
	{
		from: []string{"crdt/change", "crdt/schema", "crdt/board", "server/wire", "server/transport"}, reach: true,
		to:     []string{"github.com/automerge/automerge-go/..."},
		reason: "the hot path judges changes in pure Go; merging is for the merge worker's process",
	},
	{
		from: []string{"..."}, except: []string{"server/matrix/..."}, to: []string{"maunium.net/go/mautrix/..."},
		reason: "only the companion speaks Matrix; others declare what they need of it",
	},
	{
		from: []string{"..."}, except: []string{"server/transport/...", "server/lectern-load/...", "server/turn", "server/focus/focustest"}, to: []string{"github.com/pion/..."},
		reason: "only the transport knows data channels (and the load generator, its peer); boards see sessions",
	},
	{
		from:   []string{"server/turn"},
		to:     []string{"github.com/pion/webrtc/...", "github.com/pion/ice/...", "github.com/pion/datachannel/...", "github.com/pion/sdp/...", "./server/...", "./crdt/..."},
		reason: "the relay carries packets of whoever has a credential: of pion it takes the TURN server, and of Lectern nothing",
	},
	{
		from: []string{"..."}, except: []string{"server/store/...", "server/matrix/...", "server/devstack/scan"}, to: []string{"github.com/mattn/go-sqlite3"},
		reason: "databases are opened by the log and by the companion's key store, nowhere else",
	},
	{
		from: []string{"widgets/..."}, reach: true, to: []string{"./server/...", "net/http"},
		reason: "widgets are data and pure rules",
	},
	{
		from: []string{"server/devstack/..."}, reach: true, to: []string{"maunium.net/go/mautrix/...", "./crdt/...", "./server/matrix/...", "./server/transport/...", "./server/app/..."},
		reason: "the development stack is a neighbour of Lectern, not a part of it: tests must not share its mistakes",
	},
	{
		from: []string{"server/wire"}, reach: true,
		to:     []string{"net/http", "github.com/pion/...", "github.com/coder/websocket/...", "maunium.net/go/mautrix/...", "./server/..."},
		reason: "frames are values: how they travel is not their business",
	},
	{
		from: []string{"web", "templates"}, to: []string{"./..."},
		reason: "leaves that embed files",
	},
}

// listed is what `go list` tells about a package.
type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

// matches tells whether an import path is meant by a pattern of a ban.
func matches(pattern, path string) bool {
	if rest, ours := strings.CutPrefix(pattern, "./"); ours {
		pattern = module + "/" + rest
	}
	if prefix, tree := strings.CutSuffix(pattern, "/..."); tree {
		return path == prefix || strings.HasPrefix(path, prefix+"/")
	}
	return path == pattern
}

func (b ban) covers(path string) bool {
	match := func(pattern string) bool { return pattern == "..." || matches("./"+pattern, path) }
	return slices.ContainsFunc(b.from, match) && !slices.ContainsFunc(b.except, match)
}

// violations answers one sentence for each import that a ban forbids.
func violations(bans []ban, packages []listed) (out []string) {
	for _, p := range packages {
		for _, b := range bans {
			if !b.covers(p.ImportPath) {
				continue
			}
			used, how := p.Imports, "imports"
			if b.reach {
				used, how = p.Deps, "reaches"
			}
			for _, path := range used {
				within := slices.ContainsFunc(b.from, func(from string) bool { return from != "..." && matches("./"+from, path) })
				if !within && slices.ContainsFunc(b.to, func(to string) bool { return matches(to, path) }) {
					out = append(out, fmt.Sprintf("%s %s %s: %s", p.ImportPath, how, path, b.reason))
				}
			}
		}
	}
	return out
}

func goList(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags=goolm", "-json=ImportPath,Imports,Deps,Standard", "./...")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	data, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, problems.String())
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(data)); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func TestImportDirections(t *testing.T) {
	packages := goList(t)
	for _, v := range violations(bans, packages) {
		t.Error("DV15 " + v)
	}
	// A ban on a package that was renamed or removed would hold for ever.
	for _, b := range bans {
		for _, from := range append(slices.Clone(b.from), b.except...) {
			match := func(p listed) bool { return from == "..." || matches("./"+from, p.ImportPath) }
			if !slices.ContainsFunc(packages, match) {
				t.Errorf("DV15 no package is meant by %q (%s)", from, b.reason)
			}
		}
	}
}

func TestImportDirectionsCanFail(t *testing.T) {
	for _, b := range bans {
		from := b.from[0]
		if from == "..." {
			from = "server/elsewhere"
		}
		name := func(pattern string) string {
			pattern = strings.TrimSuffix(pattern, "/...")
			if rest, ours := strings.CutPrefix(pattern, "./"); ours {
				return module + "/" + rest
			}
			return pattern
		}
		for _, to := range b.to {
			if to == "./..." {
				to = "./server/elsewhere"
			}
			p := listed{ImportPath: name("./" + from), Imports: []string{name(to)}, Deps: []string{name(to)}}
			if len(violations([]ban{b}, []listed{p})) != 1 {
				t.Errorf("DV15 %s importing %s goes unnoticed (%s)", p.ImportPath, to, b.reason)
			}
		}
	}
}
