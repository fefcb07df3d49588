package change

// Limits bound what one change may hold. They are checked before anything is expanded, so a refused change costs what its bytes on the wire cost.
type Limits struct {
	Chunk   int // bytes of the chunk
	Deps    int // dependencies
	Actors  int // other actors named, at most 255
	Ops     int // operations
	Preds   int // predecessors in the whole change
	Key     int // bytes of one key or mark name
	Keys    int // bytes of all keys, repeats counted
	Value   int // bytes of one value
	Message int // bytes
}

// DefaultLimits are for changes of clients (docs/protocol.md §2.1). Immutable.
var DefaultLimits = Limits{Chunk: 32 << 10, Deps: 64, Actors: 255, Ops: 5_000, Preds: 10_000, Key: 256, Keys: 256 << 10, Value: 32 << 10, Message: 256}

// StoredLimits are for changes that come out of an engine or a snapshot, where one change may hold a whole page. Immutable.
var StoredLimits = Limits{Chunk: 16 << 20, Deps: 1024, Actors: 255, Ops: 2_000_000, Preds: 2_000_000, Key: 256, Keys: 64 << 20, Value: 1 << 20, Message: 1024}

// SquashLimits are for the squash that an epoch begins with (SPEC EP1): a whole page in one change of the server's own. Immutable.
var SquashLimits = Limits{Chunk: 32 << 20, Deps: 1, Actors: 1, Ops: 2_000_000, Preds: 1, Key: 256, Keys: 64 << 20, Value: 32 << 10}

// MaxInflated bounds the body of a compressed chunk, in bytes.
const MaxInflated = 1 << 20
