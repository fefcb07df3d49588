package change

// ID names an operation. Actor is an index into Change.Actors: 0 is the author. Ctr 0 is the root object, or the head of a list.
type ID struct{ Ctr, Actor uint32 }

// Action is what an operation does.
type Action uint8

// Actions, as numbered on the wire.
const (
	MakeMap Action = iota
	Put
	MakeList
	Delete
	MakeText
	Increment
	MakeTable
	Mark // with a name it begins a mark, without one it ends it
)

// Kind is the type of a value.
type Kind uint8

// Kinds, as numbered on the wire.
const (
	Null Kind = iota
	False
	True
	Uint
	Int
	Float
	String
	Bytes
	Counter
	Time // milliseconds since 1970
)

// Op is one operation. Its slices alias the chunk, Pred aliases the Decoder: valid until the next call of Next.
type Op struct {
	ID     ID // never on the wire: StartOp plus the operation's position
	Obj    ID
	Key    []byte // property, when IsElem is false
	Elem   ID     // element of a list or text, when IsElem is true
	IsElem bool
	Insert bool
	Expand bool
	Action Action
	Kind   Kind
	Num    uint64 // Uint; Int, Counter, Time as the bits of an int64; Float as IEEE 754 bits
	Raw    []byte // String, Bytes
	Mark   []byte // nil: no name
	Pred   []ID   // ascending by counter, then by the actor's bytes
}
