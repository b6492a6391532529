package mesoswire

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// An empty part takes two bytes on the wire and a hundred times as many once it is read.
// So something long has its parts counted first: with maxParts it takes some hundred bytes
// for each, and beyond that a few times its own length.
const (
	countedFrom = 64 << 10
	maxParts    = 1 << 19
)

// crowded reports whether data has too many parts. What is no encoding at all is for the
// reader to find.
func crowded(data []byte, d protoreflect.MessageDescriptor) bool {
	if len(data) < countedFrom {
		return false
	}
	left := maxParts
	return !count(data, d, &left)
}

func count(data []byte, d protoreflect.MessageDescriptor, left *int) bool {
	fields := d.Fields()
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return true
		}
		data = data[n:]
		if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
			return true
		}
		if f := fields.ByNumber(number); f != nil && f.IsList() || f != nil && f.Message() != nil {
			if *left--; *left < 0 {
				return false
			}
			if kind == protowire.BytesType && f.Message() != nil {
				inner, _ := protowire.ConsumeBytes(data)
				if !count(inner, f.Message(), left) {
					return false
				}
			}
		}
		data = data[n:]
	}
	return true
}
