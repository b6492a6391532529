package consensus

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Bounds of numbers that come from outside. No honest replica comes near, and
// below them no sum overflows.
const (
	MaxTerm  Term  = 1 << 62
	MaxIndex Index = 1 << 62
)

// Bounds of a Configuration, so that no message makes a replica allocate more.
const (
	// MaxMembers is the most members a configuration may have.
	MaxMembers = 64
	// MaxNameBytes bounds Name and Address of a Member.
	MaxNameBytes = 1024
)

// An entry on the wire and in a log, all numbers little endian:
//
//	offset  size  field
//	0       8     term
//	8       8     index
//	16      1     kind
//	17      4     length of data
//	21      n     data
const entryHeader = 21

// AppendEntriesData appends the flat form of entries to dst: what an
// AppendEntries message and a record of the log both carry. It holds no
// checksum; whoever stores or sends it adds one.
func AppendEntriesData(dst []byte, entries []Entry) []byte {
	for i := range entries {
		e := &entries[i]
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Term))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Index))
		dst = append(dst, byte(e.Kind))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(e.Data)))
		dst = append(dst, e.Data...)
	}
	return dst
}

// EntriesDataSize is the length of what AppendEntriesData appends for entries.
func EntriesDataSize(entries []Entry) int {
	size := entryHeader * len(entries)
	for i := range entries {
		size += len(entries[i].Data)
	}
	return size
}

// DecodeEntries returns the entries that AppendEntriesData wrote. Their Data
// aliases data, which must not change afterwards. It allocates one slice for
// all of them. Entries that do not directly follow each other are malformed.
func DecodeEntries(data []byte) ([]Entry, error) {
	count, err := countEntries(data)
	if err != nil || count == 0 {
		return nil, err
	}
	entries := make([]Entry, count)
	for i := range entries {
		length := int(binary.LittleEndian.Uint32(data[17:]))
		e := Entry{
			Term:  Term(binary.LittleEndian.Uint64(data)),
			Index: Index(binary.LittleEndian.Uint64(data[8:])),
			Kind:  EntryKind(data[16]),
		}
		if length > 0 {
			e.Data = data[entryHeader : entryHeader+length : entryHeader+length]
		}
		entries[i] = e
		data = data[entryHeader+length:]
	}
	return entries, CheckEntries(entries)
}

// countEntries walks the lengths, so that the slice is made once and no larger
// than what really follows.
func countEntries(data []byte) (int, error) {
	count := 0
	for rest := data; len(rest) > 0; count++ {
		if len(rest) < entryHeader {
			return 0, fmt.Errorf("%w entries: %d bytes at the end", ErrMalformed, len(rest))
		}
		length := uint64(binary.LittleEndian.Uint32(rest[17:]))
		if length > uint64(len(rest)-entryHeader) {
			return 0, fmt.Errorf("%w entries: entry of %d bytes in %d", ErrMalformed, length, len(rest))
		}
		rest = rest[entryHeader+int(length):]
	}
	return count, nil
}

// CheckEntries reports whether entries could stand in a log: consecutive
// indexes, known kinds, numbers within bounds.
func CheckEntries(entries []Entry) error {
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Index == 0 || e.Index > MaxIndex || e.Term == 0 || e.Term > MaxTerm:
			return fmt.Errorf("%w entry: index %d, term %d", ErrMalformed, e.Index, e.Term)
		case e.Kind > EntryLead:
			return fmt.Errorf("%w entry %d: kind %d", ErrMalformed, e.Index, e.Kind)
		case i > 0 && e.Index != entries[i-1].Index+1:
			return fmt.Errorf("%w entries: %d after %d", ErrMalformed, e.Index, entries[i-1].Index)
		}
	}
	return nil
}

// A configuration as the data of its entry and in a snapshot's header:
//
//	offset  size  field
//	0       1     format: 1, or 2 if it has an epoch or roles
//	1       8     version
//	        4     epoch, in format 2
//	9       2     number of members, each:
//	        8       id
//	        1       flags: voter 1, outgoing 2, promote 4, leaving 8
//	        8       replaces
//	        4       priority
//	        1       roles, in format 2
//	        2, n    name
//	        2, n    address

const (
	flagVoter = 1 << iota
	flagOutgoing
	flagPromote
	flagLeaving
	flagsKnown = 1<<iota - 1
)

// EncodeConfiguration returns c in a flat binary form. c must be valid, as
// every configuration is that a Node has handed out.
func EncodeConfiguration(c Configuration) []byte {
	format := c.format()
	b := []byte{format}
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Version))
	if format == 2 {
		b = binary.LittleEndian.AppendUint32(b, c.Epoch)
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(c.Members)))
	for _, m := range c.Members {
		b = binary.LittleEndian.AppendUint64(b, uint64(m.ID))
		b = append(b, m.flags())
		b = binary.LittleEndian.AppendUint64(b, uint64(m.Replaces))
		b = binary.LittleEndian.AppendUint32(b, uint32(m.Priority))
		if format == 2 {
			b = append(b, byte(m.Roles))
		}
		b = appendString(b, m.Name)
		b = appendString(b, m.Address)
	}
	return b
}

// format is the lowest that can hold c.
func (c Configuration) format() byte {
	if c.Epoch > 0 || slices.ContainsFunc(c.Members, func(m Member) bool { return m.Roles != 0 }) {
		return 2
	}
	return 1
}

func (m Member) flags() (flags byte) {
	for i, set := range []bool{m.Voter, m.Outgoing, m.Promote, m.Leaving} {
		if set {
			flags |= 1 << i
		}
	}
	return flags
}

func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// DecodeConfiguration returns the configuration that EncodeConfiguration wrote,
// or an error that wraps ErrMalformed or ErrInvalidMembership. It copies what it
// keeps of data.
func DecodeConfiguration(data []byte) (Configuration, error) {
	r := reader{rest: data}
	format := r.uint8()
	if !r.failed && format != 1 && format != 2 {
		return Configuration{}, fmt.Errorf("%w configuration: format %d", ErrMalformed, format)
	}
	c := Configuration{Version: Index(r.uint64())}
	if format == 2 {
		c.Epoch = r.uint32()
	}
	count := int(r.uint16())
	if count > MaxMembers {
		return Configuration{}, fmt.Errorf("%w configuration: %d members", ErrMalformed, count)
	}
	for range count {
		c.Members = append(c.Members, r.member(format))
	}
	if r.failed || len(r.rest) > 0 || format != c.format() {
		return Configuration{}, fmt.Errorf("%w configuration of %d bytes", ErrMalformed, len(data))
	}
	if len(c.Members) == 0 {
		return c, nil
	}
	return c, c.Check()
}

// reader takes values off the front of a slice. Once it has failed it returns
// zeros, so that its user checks once.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if r.failed || n > len(r.rest) {
		r.failed = true
		return make([]byte, min(n, 8))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uint8() uint8   { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *reader) uint32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *reader) string() string {
	n := int(r.uint16())
	if n > MaxNameBytes {
		r.failed = true
	}
	if r.failed {
		return ""
	}
	return string(r.take(n))
}

func (r *reader) member(format byte) Member {
	m := Member{ID: ID(r.uint64())}
	flags := r.uint8()
	m.Voter = flags&flagVoter != 0
	m.Outgoing = flags&flagOutgoing != 0
	m.Promote = flags&flagPromote != 0
	m.Leaving = flags&flagLeaving != 0
	m.Replaces = ID(r.uint64())
	m.Priority = int32(r.uint32())
	if format == 2 {
		m.Roles = Roles(r.uint8())
	}
	m.Name = r.string()
	m.Address = r.string()
	if flags > flagsKnown {
		r.failed = true
	}
	return m
}
