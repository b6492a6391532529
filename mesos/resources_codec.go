package mesos

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Encoded resources, by ascending name, role and kind:
//
//	size     field
//	uvarint  number of resources
//
// and each of them
//
//	uvarint  length of the name, then the name
//	uvarint  length of the role, then the role, which is empty if it is not reserved
//	1        kind
//	uvarint  scalar: thousandths; ranges, set: how many
//
// and each range, by ascending numbers with gaps between them
//
//	uvarint  begin, less the end of the one before
//	uvarint  end, less begin
//
// and each member of a set, in ascending order
//
//	uvarint  length, then the member

// Append encodes r at the end of dst and returns the longer slice. Equal values have equal
// bytes.
func (r Resources) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(r.all)))
	for i := range r.all {
		x := &r.all[i]
		dst = appendWord(dst, x.Name)
		dst = appendWord(dst, x.Role)
		dst = append(dst, byte(x.Kind))
		if x.Kind == ScalarKind {
			dst = binary.AppendUvarint(dst, uint64(x.Scalar))
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(x.parts()))
		var before uint64
		for _, span := range x.Ranges {
			dst = binary.AppendUvarint(dst, span.Begin-before)
			dst = binary.AppendUvarint(dst, span.End-span.Begin)
			before = span.End
		}
		for _, member := range x.Set {
			dst = appendWord(dst, member)
		}
	}
	return dst
}

func appendWord(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// DecodeResources reads what Append has written and nothing else: each value has one
// encoding. The error matches [ErrResources].
func DecodeResources(data []byte) (Resources, error) {
	d := resourceDecoder{data: data}
	n := d.count()
	list := make([]Resource, 0, min(n, len(data)/4)) // the shortest resource has 4 bytes
	for i := 0; i < n && !d.bad; i++ {
		list = append(list, d.resource())
	}
	if d.bad || len(d.data) > 0 {
		return Resources{}, fmt.Errorf("%w: %d bytes are no encoding", ErrResources, len(data))
	}
	r, err := NewResources(list...)
	if err != nil {
		return Resources{}, err
	}
	if !bytes.Equal(r.Append(nil), data) {
		return Resources{}, fmt.Errorf("%w: %d bytes are not the encoding of %s", ErrResources, len(data), quoteShort(r.String()))
	}
	return r, nil
}

// resourceDecoder reads from data until it is bad.
type resourceDecoder struct {
	data []byte
	bad  bool
}

func (d *resourceDecoder) uvarint() uint64 {
	x, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.bad, d.data = true, nil
		return 0
	}
	d.data = d.data[n:]
	return x
}

// count reads how many there are of something that takes at least a byte each.
func (d *resourceDecoder) count() int {
	n := d.uvarint()
	if n > MaxResourceParts || n > uint64(len(d.data)) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *resourceDecoder) word() string {
	n := d.uvarint()
	if n > MaxNameBytes || n > uint64(len(d.data)) {
		d.bad, d.data = true, nil
		return ""
	}
	s := string(d.data[:n])
	d.data = d.data[n:]
	return s
}

func (d *resourceDecoder) resource() Resource {
	r := Resource{Name: d.word(), Role: d.word()}
	if len(d.data) == 0 {
		d.bad = true
		return r
	}
	r.Kind, d.data = Kind(d.data[0]), d.data[1:]
	switch r.Kind {
	case ScalarKind:
		r.Scalar = Milli(d.uvarint())
	case RangesKind:
		var before uint64
		for range d.count() {
			begin := before + d.uvarint()
			before = begin + d.uvarint()
			r.Ranges = append(r.Ranges, Range{begin, before})
		}
	case SetKind:
		for range d.count() {
			r.Set = append(r.Set, d.word())
		}
	default:
		d.bad = true
	}
	return r
}
