package board

const (
	tailEntries = 1024
	tailBytes   = 256 << 10
	// batchBytes is what Session.Next hands out at once, so that a frame with it stays under 65,536 bytes.
	batchBytes = 48 << 10
)

// tail is the newest part of the log as encoded entries. A published tail is immutable: run appends behind its end and publishes a longer one.
type tail struct {
	first   uint64 // seq of entries[0], or of the next one to come
	entries [][]byte
	bytes   int
}

func (t *tail) last() uint64 { return t.first + uint64(len(t.entries)) - 1 }

// with answers the tail with more entries, without its older half when it grew too long.
func (t *tail) with(more [][]byte) *tail {
	n := &tail{first: t.first, entries: append(t.entries, more...), bytes: t.bytes}
	for _, e := range more {
		n.bytes += len(e)
	}
	if len(n.entries) <= tailEntries && n.bytes <= tailBytes {
		return n
	}
	cut := 0
	for cut < len(n.entries)-1 && (len(n.entries)-cut > tailEntries/2 || n.bytes > tailBytes/2) {
		n.bytes -= len(n.entries[cut])
		cut++
	}
	n.first += uint64(cut)
	n.entries = append([][]byte(nil), n.entries[cut:]...)
	return n
}

// after answers the entries behind a cursor that fit into one batch; ok is false when they are not here any more.
func (t *tail) after(cursor uint64) (entries [][]byte, ok bool) {
	if cursor+1 < t.first {
		return nil, false
	}
	if cursor >= t.last() {
		return nil, true
	}
	rest := t.entries[cursor+1-t.first:]
	size := 0
	for i, e := range rest {
		if size += len(e); i > 0 && size > batchBytes {
			return rest[:i], true
		}
	}
	return rest, true
}
