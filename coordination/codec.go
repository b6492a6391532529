package coordination

import (
	"encoding/binary"
	"fmt"
)

// An encoded operation:
//
//	size    field
//	1       kind
//	1       flags: bit 0 is Recursive, bit 1 tells that there are extras
//	varint  Version
//	uvarint length of Path, then Path
//	..      extras, each a tag and its value, by ascending tag, and a 0
//	rest    Data
const (
	flagRecursive = 1
	flagExtras    = 2
)

// Append encodes o at the end of dst and returns the longer slice. It checks
// nothing: Apply answers an operation that makes no sense with an error code.
func (o Operation) Append(dst []byte) []byte {
	var flags byte
	if o.Recursive {
		flags |= flagRecursive
	}
	dst = append(dst, byte(o.Kind), flags)
	at := len(dst) - 1
	dst = binary.AppendVarint(dst, o.Version)
	dst = appendString(dst, o.Path)
	n := len(dst)
	if dst = o.appendExtras(dst); len(dst) > n {
		dst[at] |= flagExtras
		dst = append(dst, 0)
	}
	return append(dst, o.Data...)
}

// DecodeOperation reads an encoded operation. The error matches [ErrMalformed].
// Paths, names and access lists are not checked; Data is part of the argument.
func DecodeOperation(data []byte) (Operation, error) {
	var o Operation
	path, ok := decodeOperation(data, &o)
	if !ok {
		return Operation{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(data))
	}
	o.Path = string(path)
	return o, nil
}

// decodeOperation leaves the path as bytes, to spare Apply a string for a node
// that it already knows.
func decodeOperation(data []byte, o *Operation) (path []byte, ok bool) {
	if len(data) < 2 || data[1]&^(flagRecursive|flagExtras) != 0 {
		return nil, false
	}
	o.Kind, o.Recursive = OperationKind(data[0]), data[1]&flagRecursive != 0
	version, n := binary.Varint(data[2:])
	if n <= 0 {
		return nil, false
	}
	d := decoder{data: data[2+n:]}
	o.Version, path = version, d.bytes(MaxPathBytes)
	var present extras
	if data[1]&flagExtras != 0 {
		present = d.extras(o)
	}
	o.Data = d.data
	return path, !d.bad && o.fits(present, len(path))
}

// shape says which fields an operation of some kind may have.
type shape struct {
	known           bool
	path            bool
	data, recursive bool
	lowest, highest int64 // of Version
	extras          extras
}

const anyHighest = 1<<63 - 1

var shapes = [...]shape{
	Put:    {true, true, true, false, Unwritten, anyHighest, 1<<tagCreateIndex | tagsCaller},
	Delete: {true, true, false, true, AnyVersion, anyHighest, 1<<tagCreateIndex | tagsCaller},
	Create: {true, true, true, false, 0, 0,
		1<<tagMode | 1<<tagSequential | 1<<tagMakeParents | 1<<tagTTL | 1<<tagACL | tagsCaller},
	Check:          {true, true, false, false, AnyVersion, anyHighest, 1<<tagCreateIndex | tagsCaller},
	SetACL:         {true, true, false, false, AnyVersion, anyHighest, 1<<tagCreateIndex | 1<<tagACL | tagsCaller},
	SetQuota:       {true, true, false, false, 0, 0, 1<<tagQuotaNodes | 1<<tagQuotaBytes | tagsCaller},
	Multi:          {known: true, extras: 1<<tagOperations | tagsCaller},
	OpenSession:    {known: true, extras: 1<<tagTimeout | 1<<tagLinger | 1<<tagKey | 1<<tagPrincipals},
	CloseSession:   {known: true, extras: tagsCaller},
	ClaimSessions:  {known: true},
	ExpireSessions: {known: true, extras: 1<<tagSessions | 1<<tagEpoch},
	Reap:           {known: true, extras: 1 << tagEpoch},
	AttachSessions: {known: true, extras: 1<<tagSessions | 1<<tagEpoch | 1<<tagConnections},
}

// fits reports whether o has only fields that its kind may have.
func (o *Operation) fits(present extras, path int) bool {
	if int(o.Kind) >= len(shapes) {
		return false
	}
	s := &shapes[o.Kind]
	return s.known && (s.path || path == 0) && (s.data || len(o.Data) == 0) && (s.recursive || !o.Recursive) &&
		o.Version >= s.lowest && o.Version <= s.highest && present&^s.extras == 0 &&
		(o.Kind != AttachSessions || len(o.Connections) == len(o.Sessions))
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// decoder reads varints and short byte strings. After the first error all it
// returns is zero.
type decoder struct {
	data []byte
	bad  bool
}

func (d *decoder) fail() { d.bad, d.data = true, nil }

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 || d.bad {
		d.fail()
		return 0
	}
	d.data = d.data[n:]
	return v
}

// upTo reads a number that must not exceed limit.
func (d *decoder) upTo(limit uint64) uint64 {
	v := d.number()
	if v > limit {
		d.fail()
		return 0
	}
	return v
}

// bytes reads a length of at most limit and as many bytes.
func (d *decoder) bytes(limit uint64) []byte { return d.next(d.upTo(limit)) }

// next reads n bytes.
func (d *decoder) next(n uint64) []byte {
	if d.bad || n > uint64(len(d.data)) {
		d.fail()
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
