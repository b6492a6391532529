package cluster

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// maxDepth is how deep messages of a frame may be nested.
	maxDepth = 100
	// maxElements is how many elements the lists of one message may have together. One of two bytes in a frame takes some
	// hundred in memory: without a bound a frame of 16 MiB would be a gigabyte. Our longest lists have three times 16,384.
	maxElements = 1 << 18
	// freeBytes is up to how many bytes a body may hold whatever it likes: most do, and are not looked at twice.
	freeBytes = 64 << 10
)

var errShape = errors.New("nested too deep, or lists too long")

// unmarshal decodes the body of a frame. What would be far larger in memory than it is there is refused before anything
// is made of it.
func unmarshal(body []byte, m proto.Message) error {
	if len(body) > freeBytes {
		left := maxElements
		if err := checkShape(body, m.ProtoReflect().Descriptor(), maxDepth, &left); err != nil {
			return err
		}
	}
	return proto.UnmarshalOptions{RecursionLimit: maxDepth}.Unmarshal(body, m)
}

// checkShape takes the elements of all lists in an encoded message, and in those within it, from left.
func checkShape(body []byte, d protoreflect.MessageDescriptor, depth int, left *int) error {
	if depth == 0 {
		return errShape
	}
	for len(body) > 0 {
		number, wire, n := protowire.ConsumeTag(body)
		if n < 0 {
			return protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, wire, body[n:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		value := body[n : n+size]
		body = body[n+size:]
		field := d.Fields().ByNumber(number)
		if field == nil {
			continue // kept as the bytes that it is
		}
		content := value
		if wire == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(value)
		}
		if field.Cardinality() == protoreflect.Repeated {
			if *left -= elements(content, wire, field.Kind()); *left < 0 {
				return errShape
			}
		}
		if field.Message() != nil && wire == protowire.BytesType {
			if err := checkShape(content, field.Message(), depth-1, left); err != nil {
				return err
			}
		}
	}
	return nil
}

// elements is how many elements one field adds to its list: numbers may be packed into one.
func elements(content []byte, wire protowire.Type, kind protoreflect.Kind) int {
	if wire != protowire.BytesType {
		return 1
	}
	switch kind {
	case protoreflect.MessageKind, protoreflect.StringKind, protoreflect.BytesKind:
		return 1
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return len(content) / 4
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return len(content) / 8
	}
	count := 0
	for _, b := range content {
		if b < 0x80 { // the last byte of a varint
			count++
		}
	}
	return count
}
