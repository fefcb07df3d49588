// Package scan looks for canary texts in files, also where they are wrapped: base64, DEFLATE (raw, zlib, gzip), and with these
// Automerge chunks, whose columns are raw DEFLATE, and values of SQLite databases. It backs the proof that nothing readable of
// a board lies on a disk; so it errs on the side of trying too much, and says what it could not look into.
//
// What it does not understand: encryption (that is the point), other compressions, and texts that are cut into pieces.
package scan

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf16"
)

const (
	// maxDepth bounds how many wrappings are undone, one inside the other. Honest nesting ends at four; ciphertext now and then passes for a
	// compressed stream whose repeated letters pass for base64 of base64, each level about 60 times more rarely than the one before.
	maxDepth = 8
	// maxInflated bounds what one compressed stream may become.
	maxInflated = 16 << 20
	// minCanary keeps chance out: a shorter text turns up in random bytes.
	minCanary = 6
	// minBudget and budgetFactor bound what is unwrapped from one file, by its length: repeating patterns could nest without end.
	minBudget    = 256 << 20
	budgetFactor = 64
	// minInput is the length below which nothing that is wrapped can hold a canary.
	minInput = 8
)

// Hit is a canary found.
type Hit struct {
	File    string // relative to the folder that was scanned
	Canary  string
	Trail   string // the wrappings from outside to inside, such as "base64 > deflate"; "plain" for none
	Context string // what stands around it, as a quoted string
}

func (h Hit) String() string {
	return fmt.Sprintf("%s: %q (%s) in %s", h.File, h.Canary, h.Trail, h.Context)
}

// Result is what a scan found and how much it looked at: a scan of nothing proves nothing.
type Result struct {
	Hits  []Hit // at most one per file, canary and trail
	Files int
	Bytes int64 // as on disk
	Inner int64 // bytes that were looked at after unwrapping
	// Incomplete says what was not looked into: streams over the size limit, wrappings nested too deep.
	Incomplete []string
}

// Tree scans all regular files below a folder for canaries, each at least 6 bytes long. An unreadable file is an error.
func Tree(root string, canaries ...string) (*Result, error) {
	s, err := newScanner(canaries)
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a running server's temporary file
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		s.content(name, data)
		if bytes.HasPrefix(data, []byte("SQLite format 3\x00")) {
			return s.database(path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("scan %s: %w", root, err)
	}
	return &s.result, nil
}

// Bytes scans one piece of data, named name in hits.
func Bytes(name string, data []byte, canaries ...string) (*Result, error) {
	s, err := newScanner(canaries)
	if err != nil {
		return nil, err
	}
	s.content(name, data)
	return &s.result, nil
}

// scanner is used by one goroutine.
type scanner struct {
	needles  []needle
	inflater inflater
	file     string // being scanned
	budget   int64  // bytes that may still be unwrapped from it
	// Immutable after newScanner; smaller in tests.
	maxInflated int64
	minBudget   int64
	result      Result
}

// needle is one form of a canary.
type needle struct {
	canary string
	bytes  []byte
	form   string
}

func newScanner(canaries []string) (*scanner, error) {
	if len(canaries) == 0 {
		return nil, errors.New("scan: no canary given")
	}
	s := &scanner{maxInflated: maxInflated, minBudget: minBudget}
	for _, c := range canaries {
		if len(c) < minCanary {
			return nil, fmt.Errorf("scan: canary %q is shorter than %d bytes and would be found by chance", c, minCanary)
		}
		s.needles = append(s.needles, needle{canary: c, bytes: []byte(c)}, needle{canary: c, bytes: utf16LE(c), form: "utf-16"})
	}
	return s, nil
}

func utf16LE(text string) (out []byte) {
	for _, unit := range utf16.Encode([]rune(text)) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return out
}

// content looks into one file's content.
func (s *scanner) content(name string, data []byte) {
	s.file = name
	s.result.Files++
	s.result.Bytes += int64(len(data))
	s.budget = s.minBudget + budgetFactor*int64(len(data))
	s.look(data, nil)
}

// look searches data as it is and then everything that can be unwrapped from it.
func (s *scanner) look(data []byte, trail []string) {
	s.search(data, trail)
	for p := range s.unwrap(data, len(trail)) {
		if len(p.data) < minCanary {
			continue
		}
		if s.budget -= int64(len(p.data)); s.budget < 0 {
			s.incomplete("unwrapping it all takes too long")
			return
		}
		inner := append(slices.Clip(trail), p.wrapping)
		if !p.deeper {
			s.search(p.data, inner)
			continue
		}
		if len(inner) > maxDepth {
			s.incomplete("something is wrapped more than %d deep: %s", maxDepth, strings.Join(inner, " > "))
			continue
		}
		s.result.Inner += int64(len(p.data))
		s.look(bytes.Clone(p.data), inner)
	}
}

// search looks for canaries in data as it is.
func (s *scanner) search(data []byte, trail []string) {
	for _, n := range s.needles {
		if at := bytes.Index(data, n.bytes); at >= 0 {
			s.hit(n, data, at, trail)
		}
	}
}

func (s *scanner) hit(n needle, data []byte, at int, trail []string) {
	if n.form != "" {
		trail = append(slices.Clip(trail), n.form)
	}
	h := Hit{File: s.file, Canary: n.canary, Trail: "plain"}
	if len(trail) > 0 {
		h.Trail = strings.Join(trail, " > ")
	}
	for _, known := range s.result.Hits {
		if known.File == h.File && known.Canary == h.Canary && known.Trail == h.Trail {
			return
		}
	}
	h.Context = fmt.Sprintf("%q", data[max(0, at-24):min(len(data), at+len(n.bytes)+24)])
	s.result.Hits = append(s.result.Hits, h)
}

func (s *scanner) incomplete(format string, args ...any) {
	line := s.file + ": " + fmt.Sprintf(format, args...)
	if !slices.Contains(s.result.Incomplete, line) {
		s.result.Incomplete = append(s.result.Incomplete, line)
	}
}
