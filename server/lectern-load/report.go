package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// bench is what the measuring modes share: a folder for databases, the report and where the table goes.
type bench struct {
	out    io.Writer
	json   string // file for the report, "" for none
	dir    string // where work is made
	work   string // "" before start
	report Report
}

// Report is what -json gets.
type Report struct {
	Machine Machine          `json:"machine"`
	Results map[string][]any `json:"results"` // by mode
}

// Machine is where it was measured; other work on it disturbs p99 before anything else.
type Machine struct {
	At         time.Time `json:"at"`
	Go         string    `json:"go"`
	CPUs       int       `json:"cpus"`
	Load       string    `json:"load_average"`
	FileSystem string    `json:"file_system"`
	Fsync      Quantiles `json:"fsync_ms"`
}

// flags begins a mode's flags with those that all have.
func (b *bench) flags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ExitOnError)
	fs.StringVar(&b.json, "json", b.json, "write the report to this file")
	fs.StringVar(&b.dir, "dir", b.dir, "where databases are made (default: folder for temporary files)")
	return fs
}

// start parses the flags, makes the folder and looks at the machine, once.
func (b *bench) start(fs *flag.FlagSet, args []string) error {
	_ = fs.Parse(args) // exits
	if fs.NArg() > 0 {
		return fmt.Errorf("%s takes no %q", fs.Name(), fs.Arg(0))
	}
	if b.work != "" {
		return nil
	}
	work, err := workdir(b.dir)
	if err != nil {
		return err
	}
	b.work = work
	m := Machine{At: time.Now().UTC(), Go: runtime.Version(), CPUs: runtime.NumCPU()}
	if m.FileSystem, m.Fsync, err = disk(work); err != nil {
		return err
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.TrimSpace(string(text))
	}
	b.report = Report{Machine: m, Results: map[string][]any{}}
	fmt.Fprintf(b.out, "%s, %d CPUs, %s, fsync p50 %.2f p99 %.2f ms, load average %s\n", m.Go, m.CPUs, m.FileSystem, m.Fsync.P50, m.Fsync.P99, m.Load)
	return nil
}

// add keeps a result of a mode.
func (b *bench) add(mode string, result any) {
	b.report.Results[mode] = append(b.report.Results[mode], result)
}

// close writes the report, also of a mode that failed in the middle, and removes the folder.
func (b *bench) close(err error) error {
	if b.work == "" {
		return err
	}
	if b.json != "" {
		text, jerr := json.MarshalIndent(b.report, "", "  ")
		if jerr == nil {
			jerr = os.WriteFile(b.json, append(text, '\n'), 0o644)
		}
		err = errors.Join(err, jerr)
	}
	return errors.Join(err, os.RemoveAll(b.work))
}

// folder makes a fresh folder for one server's database.
func (b *bench) folder() (string, error) { return os.MkdirTemp(b.work, "data-") }

// table prints rows as they come. A column is as wide as its heading, blanks in front included.
type table struct {
	out   io.Writer
	heads []string
}

func (b *bench) table(heads ...string) table {
	fmt.Fprintln(b.out, strings.Join(heads, " "))
	return table{b.out, heads}
}

func (t table) row(cells ...any) {
	line := make([]string, len(cells))
	for i, c := range cells {
		text := fmt.Sprint(c)
		if f, ok := c.(float64); ok {
			text = fmt.Sprintf("%.*f", digits(f), f)
		}
		line[i] = fmt.Sprintf("%*s", len(t.heads[i]), text)
	}
	fmt.Fprintln(t.out, strings.Join(line, " "))
}

// digits behind the point that say something.
func digits(f float64) int {
	switch {
	case f >= 100 || f <= -100:
		return 0
	case f >= 10 || f <= -10:
		return 1
	}
	return 2
}

// Quantiles of durations in milliseconds.
type Quantiles struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func (q Quantiles) String() string {
	return fmt.Sprintf("%.2f/%.2f/%.2f/%.1f", q.P50, q.P90, q.P99, q.Max)
}

func quantiles(d []time.Duration) Quantiles {
	if len(d) == 0 {
		return Quantiles{}
	}
	d = slices.Clone(d)
	slices.Sort(d)
	q := func(p float64) float64 { return d[int(p*float64(len(d)-1))].Seconds() * 1000 }
	return Quantiles{N: len(d), P50: q(.5), P90: q(.9), P99: q(.99), Max: q(1)}
}

// workdir makes a folder for a run's databases; empty parent: the system's folder for temporary files.
func workdir(parent string) (string, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", err
	}
	return os.MkdirTemp(filepath.Clean(parent), "lectern-load-")
}
