package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// maxPoison is how many rounds of leaving changes out Merge tries. Everything has passed the grammar before it comes here, so one is already
// an alarm.
const maxPoison = 8

func (p *Pool) attempt(ctx context.Context, base []byte, changes [][]byte, alive []int) (response, error) {
	req := request{Op: opMerge, Base: base, Changes: make([][]byte, len(alive))}
	for i, at := range alive {
		req.Changes[i] = changes[at]
	}
	return p.job(ctx, req)
}

// spoiled: some change makes the engine die or write what it cannot read. Time and memory do not count: a large board may need more than it
// is given, and leaving honest work out is no cure for that.
func spoiled(res response, err error) bool {
	return errors.Is(err, ErrCrashed) || err == nil && res.Code == codePoison
}

// bisect finds the first of the alive changes with which the merge is spoiled, while it is not with all those before it.
// Every step is a whole job, saved and loaded, in its own process: most poison does not trap and shows only at the next load.
func (p *Pool) bisect(ctx context.Context, base []byte, changes [][]byte, alive []int) (int, error) {
	good := func(n int) (bool, error) {
		res, err := p.attempt(ctx, base, changes, alive[:n])
		switch {
		case spoiled(res, err):
			return false, nil
		case err != nil:
			return false, err
		case res.Code == codeOK || res.Code == codeMissing: // a prefix of a causal order misses nothing; if it does, a later round tells
			return true, nil
		default:
			return false, res.err()
		}
	}
	ok, err := good(0)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("%w: it spoils even without changes", ErrBase)
	}
	low, high := 0, len(alive) // good(low), not good(high)
	for high-low > 1 {
		mid := (low + high) / 2
		if ok, err = good(mid); err != nil {
			return 0, err
		}
		if ok {
			low = mid
		} else {
			high = mid
		}
	}
	return low, nil
}

// drop takes the missing changes (ascending indexes into alive, as the child counts) out of alive.
func drop(result *Result, alive, missing []int) ([]int, error) {
	kept := make([]int, 0, len(alive))
	for i, at := range alive {
		if _, found := slices.BinarySearch(missing, i); found {
			result.Rejected = append(result.Rejected, Rejected{at, ReasonMissing})
		} else {
			kept = append(kept, at)
		}
	}
	if len(kept) == len(alive) {
		return nil, fmt.Errorf("%w: nothing is missing", ErrAnswer)
	}
	return kept, nil
}

func sortRejected(list []Rejected) {
	slices.SortFunc(list, func(a, b Rejected) int { return a.Index - b.Index })
}

func parseHeads(raw [][]byte) ([]Hash, error) {
	heads := make([]Hash, len(raw))
	for i, h := range raw {
		if len(h) != len(Hash{}) {
			return nil, fmt.Errorf("%w: a head of %d bytes", ErrAnswer, len(h))
		}
		heads[i] = Hash(h)
	}
	return heads, nil
}
