package change

import "math"

// Columns of a change, in their order on the wire.
const (
	colObjActor = iota
	colObjCtr
	colKeyActor
	colKeyCtr
	colKeyName
	colInsert
	colAction
	colMeta
	colRaw
	colPredCount
	colPredActor
	colPredCtr
	colExpand
	colMark
	columnCount
)

// specs are the column specifications: id << 4 | type. Bit 3 would mean a compressed column, which a change never has.
var specs = [columnCount]uint64{0x01, 0x02, 0x11, 0x13, 0x15, 0x34, 0x42, 0x56, 0x57, 0x70, 0x71, 0x73, 0x94, 0xa5}

// cut reads the column list and divides what follows. Nothing may follow the columns, although newer engines can put an author there.
func (c *Change) cut(r *cursor) error {
	n := r.uleb()
	if n > columnCount {
		return ErrColumns
	}
	c.columns = [columnCount][]byte{}
	var size [columnCount]uint64
	next := 0
	for range n {
		spec, length := r.uleb(), r.uleb()
		for next < columnCount && specs[next] != spec {
			next++
		}
		if next == columnCount { // unknown, out of order, twice, or compressed
			return ErrColumns
		}
		if length == 0 {
			return ErrNotCanonical
		}
		size[next] = length
		next++
	}
	for i, s := range size {
		c.columns[i] = r.take(s)
	}
	if r.fault != 0 {
		return r.fault.err(ErrColumns)
	}
	if len(r.b) != 0 {
		return ErrColumns
	}
	return nil
}

// count sums the runs of the action column and of the predecessor counts: a few bytes can claim millions.
func (c *Change) count() error {
	ops, _, err := c.sum(c.columns[colAction])
	if err != nil {
		return err
	}
	n, preds, err := c.sum(c.columns[colPredCount])
	if err != nil {
		return err
	}
	switch {
	case preds > uint64(c.limits.Preds):
		return ErrTooManyOps
	case n != ops:
		return ErrLength
	case uint64(c.StartOp)+ops > math.MaxUint32:
		return ErrHeader
	}
	c.Count = int(ops)
	return nil
}

// sum answers the entries of a run-length column without nulls, and the sum of their values. Each step consumes bytes of the wire.
func (c *Change) sum(column []byte) (n, total uint64, err error) {
	limit := uint64(c.limits.Ops)
	r := cursor{b: column}
	for len(r.b) > 0 {
		k := r.sleb()
		repeat, literals := uint64(1), uint64(1)
		switch {
		case r.fault != 0:
			return 0, 0, r.fault.err(ErrColumn)
		case k == 0:
			return 0, 0, ErrColumn
		case k > 0:
			repeat = uint64(k)
		default:
			literals = -uint64(k)
		}
		if repeat > limit-n || literals > limit-n {
			return 0, 0, ErrTooManyOps
		}
		n += repeat * literals
		for range literals {
			v := r.uleb()
			if r.fault != 0 {
				return 0, 0, r.fault.err(ErrColumn)
			}
			if v > math.MaxUint32 {
				return 0, 0, ErrTooManyOps
			}
			total += v * repeat
		}
	}
	return n, total, nil
}
