package coordination

import (
	"encoding/binary"
	"fmt"
)

// An encoded operation:
//
//	size    field
//	1       kind
//	1       flags: bit 0 is Recursive
//	varint  Version
//	uvarint length of Path, then Path
//	rest    Data
const flagRecursive = 1

// Append encodes o at the end of dst and returns the longer slice. It checks
// nothing: Apply answers an operation that makes no sense with an error code.
func (o Operation) Append(dst []byte) []byte {
	var flags byte
	if o.Recursive {
		flags |= flagRecursive
	}
	dst = append(dst, byte(o.Kind), flags)
	dst = binary.AppendVarint(dst, o.Version)
	dst = binary.AppendUvarint(dst, uint64(len(o.Path)))
	dst = append(dst, o.Path...)
	return append(dst, o.Data...)
}

// DecodeOperation reads an encoded operation. The error matches [ErrMalformed].
// The path is not checked; Data is part of the argument.
func DecodeOperation(data []byte) (Operation, error) {
	o, path, ok := decodeOperation(data)
	if !ok {
		return Operation{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(data))
	}
	o.Path = string(path)
	return o, nil
}

// decodeOperation leaves the path as bytes, to spare Apply a string for a node
// that it already knows.
func decodeOperation(data []byte) (o Operation, path []byte, ok bool) {
	if len(data) < 2 || data[1]&^flagRecursive != 0 {
		return o, nil, false
	}
	o.Kind, o.Recursive = OperationKind(data[0]), data[1]&flagRecursive != 0
	version, n := binary.Varint(data[2:])
	if n <= 0 {
		return o, nil, false
	}
	d := decoder{data: data[2+n:]}
	o.Version, path, o.Data = version, d.bytes(MaxPathBytes), d.data
	if d.bad {
		return o, nil, false
	}
	switch o.Kind {
	case Put:
		return o, path, !o.Recursive && version >= Unwritten
	case Delete:
		return o, path, len(o.Data) == 0 && version >= AnyVersion
	default:
		return o, nil, false
	}
}

// decoder reads varints and short byte strings. After the first error all it
// returns is zero.
type decoder struct {
	data []byte
	bad  bool
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 || d.bad {
		d.bad, d.data = true, nil
		return 0
	}
	d.data = d.data[n:]
	return v
}

// bytes reads a length of at most limit and as many bytes.
func (d *decoder) bytes(limit uint64) []byte {
	n := d.number()
	if d.bad || n > limit || n > uint64(len(d.data)) {
		d.bad, d.data = true, nil
		return nil
	}
	b := d.data[:n]
	d.data = d.data[n:]
	return b
}

// stat reads what Stat.appendTo wrote.
func (d *decoder) stat() Stat {
	return Stat{
		CreateIndex: d.number(), ModifyIndex: d.number(), ChildrenIndex: d.number(),
		CreateTime: int64(d.number()), ModifyTime: int64(d.number()),
		Version: int64(d.number()), ChildrenCreated: d.number(), Owner: d.number(),
		Children: int(d.number()), DataBytes: int(d.number()),
	}
}
