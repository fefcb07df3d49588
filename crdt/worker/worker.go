// Package worker runs the Automerge engine where it can do no harm: in a child process per job, without environment, with a limit of
// memory and time. The engine aborts its process on some inputs and saves documents it cannot load again on others (package crdt), so a
// job's answer counts only after the child has loaded what it saved and found the same heads and values.
//
// The child is this program again (`lectern merge-worker`, which calls Main); request and answer are one length-prefixed CBOR item each, on
// its standard input and output. A child that dies, hangs or answers nonsense is an error here, never more.
package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/educationpub/lectern/crdt"
)

// Hash is the hash of a change.
type Hash = crdt.Hash

// Errors of a job.
var (
	ErrTimeout = errors.New("worker: the merge took too long and was stopped")
	ErrMemory  = errors.New("worker: the merge needed too much memory and was stopped")
	ErrCrashed = errors.New("worker: the merge process died")
	ErrAnswer  = errors.New("worker: the merge process answered nonsense")
	ErrBase    = errors.New("worker: the document does not load")
	ErrLimit   = errors.New("worker: too large to merge")
	// ErrPoison: more changes spoil the document than this package is willing to look for.
	ErrPoison = errors.New("worker: too many changes spoil the document")
)

// Config of a Pool. Immutable after New.
type Config struct {
	Command  []string      // program and arguments of the child, e.g. {os.Executable(), "merge-worker"}
	Timeout  time.Duration // per job; default 5 s
	Memory   uint64        // bytes a child may grow beyond its size at start; default 1 GiB
	Parallel int           // children at a time; default 1
}

// Pool runs jobs, at most Config.Parallel at a time. Safe for concurrent use. It owns no goroutine.
type Pool struct {
	config Config
	output int // bytes of answer at most
	slots  chan struct{}
}

// New returns a pool. It starts nothing yet.
func New(c Config) *Pool {
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Memory == 0 {
		c.Memory = 1 << 30
	}
	c.Parallel = max(c.Parallel, 1)
	return &Pool{config: c, output: maxTotal + 8, slots: make(chan struct{}, c.Parallel)}
}

// Result of a merge.
type Result struct {
	Document []byte // save() of base and changes, loaded again and compared
	Heads    []Hash // ascending
	Scene    []byte // JSON array of elements by id, docs/protocol.md §1.3
	Rejected []Rejected
}

// Rejected is a change that is not in Result.Document.
type Rejected struct {
	Index  int // into the argument of Merge
	Reason string
}

// Reasons of Rejected.
const (
	ReasonFrame   = "not a change"
	ReasonMissing = "depends on a change that is not there"
	ReasonPoison  = "spoils the document"
)

// Merge applies changes to base (nil: an empty document) and returns the saved document. Changes that do not attach or that spoil the
// document are left out and listed, at the price of several jobs. ErrBase when base itself is damaged.
func (p *Pool) Merge(ctx context.Context, base []byte, changes [][]byte) (Result, error) {
	if err := checkSize(base, changes); err != nil {
		return Result{}, err
	}
	var result Result
	alive := make([]int, 0, len(changes)) // indexes of the changes still in
	for i, c := range changes {
		if _, err := crdt.HashChange(c); err != nil {
			result.Rejected = append(result.Rejected, Rejected{i, ReasonFrame})
			continue
		}
		alive = append(alive, i)
	}
	for range maxPoison {
		res, err := p.attempt(ctx, base, changes, alive)
		switch {
		case err == nil && res.Code == codeOK:
			return p.finish(result, res)
		case err == nil && res.Code == codeMissing:
			kept, err := drop(&result, alive, res.Missing)
			if err != nil {
				return Result{}, err
			}
			alive = kept
		case spoiled(res, err):
			at, err := p.bisect(ctx, base, changes, alive)
			if err != nil {
				return Result{}, err
			}
			result.Rejected = append(result.Rejected, Rejected{alive[at], ReasonPoison})
			alive = append(alive[:at:at], alive[at+1:]...)
		default:
			return Result{}, errors.Join(err, res.err())
		}
	}
	return Result{}, ErrPoison
}

// Changes lists the changes of a document, each after the ones it depends on, and its heads.
func (p *Pool) Changes(ctx context.Context, document []byte) (changes [][]byte, heads []Hash, err error) {
	if err := checkSize(document, nil); err != nil {
		return nil, nil, err
	}
	res, err := p.job(ctx, request{Op: opChanges, Base: document})
	if err != nil {
		return nil, nil, err
	}
	if err := res.err(); err != nil {
		return nil, nil, err
	}
	heads, err = parseHeads(res.Heads)
	return res.Changes, heads, err
}

func checkSize(base []byte, changes [][]byte) error {
	total := len(base)
	for _, c := range changes {
		total += len(c)
	}
	if len(base) > maxDocument || len(changes) > maxChanges || total > maxTotal/2 {
		return fmt.Errorf("%w: document of %d bytes, %d changes, %d bytes in all", ErrLimit, len(base), len(changes), total)
	}
	return nil
}

func (p *Pool) finish(result Result, res response) (Result, error) {
	heads, err := parseHeads(res.Heads)
	if err != nil {
		return Result{}, err
	}
	result.Document, result.Heads, result.Scene = res.Document, heads, res.Scene
	sortRejected(result.Rejected)
	return result, nil
}

// err is what an answer means to a caller who asked for one job.
func (r *response) err() error {
	switch r.Code {
	case codeOK:
		return nil
	case codeBase:
		return fmt.Errorf("%w: %s", ErrBase, r.Detail)
	case codeLimit:
		return fmt.Errorf("%w: %s", ErrLimit, r.Detail)
	default:
		return fmt.Errorf("%w: %s %s", ErrAnswer, r.Code, r.Detail)
	}
}

// job runs one child from start to end.
func (p *Pool) job(ctx context.Context, req request) (response, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return response{}, ctx.Err()
	}
	req.Memory, req.Watchdog = p.config.Memory, uint64((2 * p.config.Timeout).Milliseconds())
	in, err := encodeMessage(req)
	if err != nil {
		return response{}, err
	}

	limited, cancel := context.WithTimeout(ctx, p.config.Timeout)
	defer cancel()
	cmd := exec.CommandContext(limited, p.config.Command[0], p.config.Command[1:]...)
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.WaitDelay = time.Second
	out, complaint := &bounded{limit: p.output, cancel: cancel}, &bounded{limit: 8 << 10, drop: true}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), out, complaint
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return response{}, ctx.Err()
	case out.over:
		return response{}, fmt.Errorf("%w: more than %d bytes", ErrAnswer, out.limit)
	case limited.Err() != nil:
		return response{}, fmt.Errorf("%w (limit %v)", ErrTimeout, p.config.Timeout)
	case err != nil && cmd.ProcessState == nil:
		return response{}, fmt.Errorf("start the merge process: %w", err)
	case err != nil:
		return response{}, death(err, complaint.buffer.String())
	}
	var res response
	if err := readMessage(bytes.NewReader(out.buffer.Bytes()), &res); err != nil {
		return response{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return res, nil
}

var rustPlace = regexp.MustCompile(`[\w./-]{1,200}\.rs:\d{1,6}`)

// death explains why a child ended. Of what it printed only a place in the engine's source is repeated: a panic message may quote content.
func death(err error, complaint string) error {
	for _, sign := range []string{"memory allocation of", "out of memory", "cannot allocate memory", "failed to create new OS thread", "pthread_create failed"} {
		if strings.Contains(complaint, sign) {
			return ErrMemory
		}
	}
	if place := rustPlace.FindString(complaint); place != "" {
		return fmt.Errorf("%w: %w at %s", ErrCrashed, err, place)
	}
	return fmt.Errorf("%w: %w", ErrCrashed, err)
}

// bounded collects a child's output up to a limit. Beyond it, it either drops the rest or ends the child.
type bounded struct {
	buffer bytes.Buffer // not embedded: its ReadFrom would go round the limit
	limit  int
	drop   bool
	over   bool
	cancel context.CancelFunc
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.limit - b.buffer.Len(); len(p) > room {
		if !b.drop {
			b.over = true
			b.cancel()
			return 0, io.ErrShortWrite
		}
		b.buffer.Write(p[:room])
		return len(p), nil
	}
	return b.buffer.Write(p)
}
