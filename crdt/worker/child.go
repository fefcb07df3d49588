package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/educationpub/lectern/crdt"
)

// Main is the child: it reads one request, limits itself, does the job, writes one answer and returns. It changes the limits of the whole
// process, so only a process made for it may call it (`lectern merge-worker`).
func Main(in io.Reader, out io.Writer) error {
	start := addressSpace()
	var req request
	if err := readMessage(in, &req); err != nil {
		return errors.Join(err, reply(out, response{Code: codeRequest, Detail: err.Error()}))
	}
	if req.Watchdog > 0 {
		defer time.AfterFunc(time.Duration(req.Watchdog)*time.Millisecond, func() { os.Exit(3) }).Stop()
	}
	if err := confine(start, req.Memory); err != nil {
		return errors.Join(err, reply(out, response{Code: codeRequest, Detail: "limits: " + err.Error()}))
	}
	return reply(out, do(&req))
}

func reply(out io.Writer, res response) error {
	b, err := encodeMessage(res)
	if err != nil {
		b, err = encodeMessage(response{Code: codeLimit, Detail: err.Error()})
		if err != nil {
			return err
		}
	}
	_, err = out.Write(b)
	return err
}

func do(req *request) response {
	switch req.Op {
	case opMerge:
		return merge(req)
	case opChanges:
		return list(req)
	default:
		return response{Code: codeRequest, Detail: "unknown operation"}
	}
}

func list(req *request) response {
	d, err := crdt.Load(req.Base)
	if err != nil {
		return response{Code: codeBase, Detail: "the document does not load"}
	}
	changes, err := d.Changes()
	if err != nil {
		return response{Code: codeBase, Detail: "the changes of the document cannot be listed"}
	}
	if len(changes) > maxChanges {
		return response{Code: codeLimit, Detail: fmt.Sprintf("%d changes, at most %d", len(changes), maxChanges)}
	}
	return response{Changes: changes, Heads: rawHeads(d)}
}

// merge is one attempt, all or nothing; finding out which change spoils it is the parent's work, because the next attempt may end this process.
func merge(req *request) response {
	d := crdt.New()
	if len(req.Base) > 0 {
		var err error
		if d, err = crdt.Load(req.Base); err != nil {
			return response{Code: codeBase, Detail: "the base does not load"}
		}
	}
	if err := d.Apply(req.Changes); err != nil {
		if missing, ok := errors.AsType[*crdt.MissingError](err); ok {
			return response{Code: codeMissing, Missing: missing.Indexes}
		}
		return response{Code: codePoison, Detail: "the changes do not apply"}
	}
	res := response{Document: d.Save(), Heads: rawHeads(d)}
	if len(res.Document) > maxDocument {
		return response{Code: codeLimit, Detail: fmt.Sprintf("the document is %d bytes, at most %d", len(res.Document), maxDocument)}
	}
	before, err := scene(d)
	if err != nil {
		return response{Code: codePoison, Detail: "the merged document cannot be read"}
	}
	d = nil
	runtime.GC() // lets go of the first document's C memory before the second is built

	again, err := crdt.Load(res.Document)
	if err != nil {
		return response{Code: codePoison, Detail: "the saved document does not load"}
	}
	if !slices.EqualFunc(rawHeads(again), res.Heads, bytes.Equal) {
		return response{Code: codePoison, Detail: "the saved document has other heads"}
	}
	if res.Scene, err = scene(again); err != nil || !bytes.Equal(before, res.Scene) {
		return response{Code: codePoison, Detail: "the saved document has other values"}
	}
	return res
}

func rawHeads(d *crdt.Document) [][]byte {
	var heads [][]byte
	for _, h := range d.Heads() {
		heads = append(heads, h[:])
	}
	return heads
}

// scene is the page as JSON: the elements by id, each an object of "id" and the winning value of every property (docs/protocol.md §1.3).
// A document without elements gives [].
func scene(d *crdt.Document) ([]byte, error) {
	root, err := d.Materialise()
	if err != nil {
		return nil, err
	}
	elements, _ := root["elements"].(map[string]any)
	list := make([]map[string]any, 0, len(elements))
	for _, id := range slices.Sorted(maps.Keys(elements)) {
		element, ok := elements[id].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%w: an element that is no map", crdt.ErrValue)
		}
		element["id"] = id
		list = append(list, element)
	}
	return json.Marshal(list)
}
