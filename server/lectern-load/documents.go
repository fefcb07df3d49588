package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/educationpub/lectern/crdt"
	"github.com/educationpub/lectern/crdt/change"
	"github.com/educationpub/lectern/crdt/worker"
)

// maxDocument bounds what a client fetches.
const maxDocument = 32 << 20

// fetched is a document as the server gave it; no bytes where it is the genesis.
type fetched struct {
	bytes []byte
	epoch uint32
}

// asking is a request for something of docs/protocol.md §1.3.
func asking(ctx context.Context, p *process, token, board, doc, what string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/boards/%s/docs/%s/%s", p.Ops, board, doc, what), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r, nil
}

func fetch(ctx context.Context, p *process, token, board, doc, what string) (f fetched, err error) {
	r, err := asking(ctx, p, token, board, doc, what)
	if err != nil {
		return f, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return f, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNoContent:
		return f, nil
	case http.StatusOK:
	default:
		return f, fmt.Errorf("%s of %s: %s", what, doc, resp.Status)
	}
	if f.bytes, err = io.ReadAll(io.LimitReader(resp.Body, maxDocument)); err != nil {
		return f, err
	}
	epoch, err := strconv.ParseUint(resp.Header.Get("X-Lectern-Epoch"), 10, 32)
	f.epoch = uint32(epoch)
	return f, err
}

// squashOf finds the change that a document's epoch begins with, nil in epoch 0: the first that one of the server's actors made.
func squashOf(document []byte) ([]byte, error) {
	if document == nil {
		return nil, nil
	}
	d, err := crdt.Load(document)
	if err != nil {
		return nil, err
	}
	all, err := d.Changes()
	if err != nil {
		return nil, err
	}
	for _, raw := range all {
		var c change.Change
		if raw, err = change.Inflate(raw); err != nil {
			return nil, err
		}
		if err := c.Parse(raw, &change.SquashLimits); err == nil && c.Deps() > 0 && c.Author()[0] == 0 {
			return raw, nil
		}
	}
	return nil, errors.New("the document has no squash")
}

// mergeWorker is the child of serve that verifies squashes, as `lectern merge-worker` is of lectern.
func mergeWorker(context.Context, []string) error { return worker.Main(os.Stdin, os.Stdout) }
