// Package crdt is the Automerge engine behind a small surface: load, apply, save, list, read. It is the only importer of automerge-go
// (core 0.5.0, cgo).
//
// The engine aborts the whole process on some hostile bytes (ten are enough) and accepts others that it can never load again. So package
// crdt runs inside the merge worker (crdt/worker) and in tests, never in the server's own process.
//
// Memory: what the engine allocates lives outside Go's heap and is returned by Go finalizers only, while Go's own heap stays tiny, so the
// collector sees no reason to run. Whoever loads many documents in one process calls runtime.GC between them; the merge worker exits instead.
package crdt

import (
	"errors"
	"fmt"
	"slices"

	automerge "github.com/automerge/automerge-go"
)

// Hash is the SHA-256 of a change, as Automerge computes it.
type Hash = [32]byte

// Errors of a Document. They are wrapped with what was being done; the text of the engine may follow.
var (
	// ErrDocument: the bytes are not one Automerge document that this engine loads.
	ErrDocument = errors.New("crdt: not a loadable document")
	// ErrValue: a value of a kind that no document of ours holds.
	ErrValue = errors.New("crdt: unknown kind of value")
)

// MissingError says which changes are not in the document after Apply: what they depend on is not there, or the engine passed over them.
type MissingError struct {
	Indexes []int // ascending, into the argument of Apply
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("crdt: %d changes were not taken in, the first is number %d", len(e.Indexes), e.Indexes[0])
}

// Document is one Automerge document. It is not safe for concurrent use.
type Document struct {
	doc *automerge.Doc
}

// New returns an empty document: no changes, no heads.
func New() *Document { return &Document{doc: automerge.New()} }

// Load reads the bytes of Save (exactly one document chunk). The engine checks the chunk's checksum and that the changes inside give the
// heads it names; a document that was poisoned before it was saved fails here.
func Load(document []byte) (*Document, error) {
	if err := checkFrame(document, chunkDocument); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	doc, err := automerge.Load(document)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return &Document{doc: doc}, nil
}

// Apply takes in change chunks (type 1) in any order, all at once. Changes that are there already do nothing. When it fails the document may
// hold some of the changes: drop it. *MissingError names those that did not get in; ErrFrame is what is no change chunk at all.
func (d *Document) Apply(changes [][]byte) error {
	if len(changes) == 0 {
		return nil
	}
	hashes, missing, err := d.unattached(changes)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return &MissingError{Indexes: missing}
	}
	// automerge-go can make a Change only out of a whole document, so the chunks go in as one stream. This path passes over what it cannot
	// read: therefore the look for every hash afterwards.
	if err := d.doc.LoadIncremental(slices.Concat(changes...)); err != nil {
		return fmt.Errorf("apply %d changes: %w", len(changes), err)
	}
	for i, h := range hashes {
		if _, err := d.doc.Change(h); err != nil {
			missing = append(missing, i)
		}
	}
	if len(missing) > 0 {
		return &MissingError{Indexes: missing}
	}
	return nil
}

// unattached returns the hash of every change and the indexes of those that lack a dependency, directly or through another of the changes.
// The engine itself would queue them without a word, or, in an empty document, refuse all.
func (d *Document) unattached(changes [][]byte) (hashes []Hash, missing []int, err error) {
	hashes = make([]Hash, len(changes))
	deps := make([][]Hash, len(changes))
	waiting := make(map[Hash][]int) // by a dependency among the changes that is not yet known to attach
	given := make(map[Hash]int, len(changes))
	for i, c := range changes {
		if hashes[i], err = HashChange(c); err != nil {
			return nil, nil, fmt.Errorf("change %d: %w", i, err)
		}
		if deps[i], err = dependencies(c); err != nil {
			return nil, nil, fmt.Errorf("change %d: %w", i, err)
		}
		given[hashes[i]] = i
	}
	open := make([]int, len(changes)) // dependencies still to come
	var ready []Hash
	for i := range changes {
		for _, h := range deps[i] {
			if _, ok := given[h]; ok {
				waiting[h] = append(waiting[h], i)
				open[i]++
			} else if _, err := d.doc.Change(h); err != nil {
				open[i] = len(changes) + 1 // never
			}
		}
		if open[i] == 0 {
			ready = append(ready, hashes[i])
		}
	}
	for len(ready) > 0 {
		h := ready[0]
		ready = ready[1:]
		for _, i := range waiting[h] {
			if open[i]--; open[i] == 0 {
				ready = append(ready, hashes[i])
			}
		}
		delete(waiting, h)
	}
	for i := range changes {
		if open[i] > 0 {
			missing = append(missing, i)
		}
	}
	return hashes, missing, nil
}

// Save returns the document with its whole history as one chunk.
func (d *Document) Save() []byte { return d.doc.Save() }

// Heads returns the hashes of the changes that no other change depends on, ascending.
func (d *Document) Heads() []Hash {
	var heads []Hash
	for _, h := range d.doc.Heads() {
		heads = append(heads, h)
	}
	slices.SortFunc(heads, func(a, b Hash) int { return slices.Compare(a[:], b[:]) })
	return heads
}

// Changes returns every change as its chunk (type 1), each after the ones it depends on.
func (d *Document) Changes() ([][]byte, error) {
	list, err := d.doc.Changes()
	if err != nil {
		return nil, fmt.Errorf("list changes: %w", err)
	}
	changes := make([][]byte, len(list))
	for i, c := range list {
		changes[i] = c.Save()
	}
	return changes, nil
}
