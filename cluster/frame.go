package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/proto"
)

// A frame on the wire, integers little-endian:
//
//	offset  size  field     meaning
//	0       4     length    bytes after the checksum, at least 4
//	4       4     checksum  CRC32C of everything after it
//	8       1     flags     0; a frame with other flags is malformed
//	9       2     kind      0 to 15 belong to the link, the rest to Register
//	11      1     n         length of the receiver's name
//	12      n     receiver  name under which the receiver was published
//	12+n          body      the protobuf message
const (
	frameStart = 8   // length and checksum
	frameFixed = 4   // flags, kind and length of the name
	maxName    = 255 // bytes in a receiver's name
	frameExtra = frameStart + frameFixed
)

// Kind names a message type on the wire. Kinds below FirstKind are the link's own.
type Kind uint16

// FirstKind is the smallest Kind that Register takes.
const FirstKind Kind = 16

const (
	kindHello    Kind = 1
	kindRefusal  Kind = 2
	kindProbe    Kind = 3
	kindPosition Kind = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errMalformed = errors.New("malformed frame")
	errChecksum  = errors.New("frame with a wrong checksum")
	errTooLarge  = errors.New("frame above the limit")
)

// frame is a decoded frame; name and body point into the buffer it came from.
type frame struct {
	kind Kind
	name []byte
	body []byte
}

// appendFrame appends m as a frame to buffer. It returns buffer unchanged
// with the error if m cannot be encoded or makes a frame above limit bytes.
func appendFrame(buffer []byte, kind Kind, name string, m proto.Message, limit int) ([]byte, error) {
	if len(name) > maxName {
		return buffer, fmt.Errorf("cluster: receiver's name of %d bytes, at most %d fit", len(name), maxName)
	}
	start := len(buffer)
	out := append(buffer, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	out = binary.LittleEndian.AppendUint16(out, uint16(kind))
	out = append(out, byte(len(name)))
	out = append(out, name...)
	out, err := proto.MarshalOptions{}.MarshalAppend(out, m)
	if err != nil {
		return buffer, fmt.Errorf("cluster: encode %T: %w", m, err)
	}
	if size := len(out) - start; size > limit {
		return out[:start], fmt.Errorf("cluster: %w: %T makes %d bytes, at most %d go", errTooLarge, m, size, limit)
	}
	rest := out[start+frameStart:]
	binary.LittleEndian.PutUint32(out[start:], uint32(len(rest)))
	binary.LittleEndian.PutUint32(out[start+4:], crc32.Checksum(rest, castagnoli))
	return out, nil
}

// frameSize returns the size of the frame that data begins with, 0 if data is
// too short to tell, or an error if no frame within limit begins like this.
func frameSize(data []byte, limit int) (int, error) {
	if len(data) < 4 {
		return 0, nil
	}
	length := uint64(binary.LittleEndian.Uint32(data))
	switch {
	case length < frameFixed:
		return 0, errMalformed
	case length+frameStart > uint64(limit):
		return 0, errTooLarge
	}
	return int(length) + frameStart, nil
}

// decodeFrame decodes a complete frame.
func decodeFrame(data []byte) (frame, error) {
	if len(data) < frameExtra {
		return frame{}, errMalformed
	}
	rest := data[frameStart:]
	if crc32.Checksum(rest, castagnoli) != binary.LittleEndian.Uint32(data[4:]) {
		return frame{}, errChecksum
	}
	end := frameFixed + int(rest[3])
	if rest[0] != 0 || end > len(rest) {
		return frame{}, errMalformed
	}
	return frame{
		kind: Kind(binary.LittleEndian.Uint16(rest[1:])),
		name: rest[frameFixed:end],
		body: rest[end:],
	}, nil
}

// wholeFrames returns how many bytes of data, which holds whole frames only,
// make up the frames that fit into quota: at least one.
func wholeFrames(data []byte, quota int) int {
	end := 0
	for end < len(data) {
		size := int(binary.LittleEndian.Uint32(data[end:])) + frameStart
		if end > 0 && end+size > quota {
			break
		}
		end += size
	}
	return end
}

// countFrames returns how many frames data, which holds whole frames only, is.
func countFrames(data []byte) int {
	count := 0
	for len(data) > 0 {
		data = data[int(binary.LittleEndian.Uint32(data))+frameStart:]
		count++
	}
	return count
}
