// Package stranger makes, by hand, the bytes that a peer sends on the link, so that
// tests can send those that no node of ours would: a Hello under another's name,
// frames of kinds that nobody registered, senders that are somebody else.
//
// The layout is written down here again, apart from package cluster: a change there
// shows up as a failing test, and not as a test that changed along. It leaves to its
// users what to send and what must come of it; it has no listener and no state.
//
//	conn := dial(target)
//	if refused, err := stranger.Greet(conn, stranger.Hello{Node: 66, Name: "n9", Epoch: 1}); ...
//	conn.Write(stranger.Frame(stranger.KindJoin, "join", stranger.JoinRequest(66, group, "n9", link)))
package stranger

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"

	"google.golang.org/protobuf/encoding/protowire"
)

// Kinds of frames.
const (
	KindHello        uint16 = 1
	KindRefusal      uint16 = 2
	KindRaft         uint16 = 16
	KindJoin         uint16 = 17
	KindIntroduction uint16 = 18
	KindGroup        uint16 = 19
	KindPaxos        uint16 = 20
)

// Hello is what a peer says first. It claims that Epoch + 1 batches are in its log.
type Hello struct {
	Cluster string
	Node    uint64
	Name    string
	Epoch   uint64
}

func (h Hello) encode() []byte {
	b := number(nil, 1, 1)
	b = number(b, 2, 1)
	b = text(b, 3, h.Cluster)
	b = fixed(b, 4, h.Node)
	b = text(b, 5, h.Name)
	b = fixed(b, 6, h.Epoch)
	return fixed(b, 7, 1+h.Epoch)
}

// Frame is a frame as it should be: see package cluster for the layout.
func Frame(kind uint16, receiver string, body []byte) []byte {
	b := make([]byte, 9, 12+len(receiver)+len(body))
	b = binary.LittleEndian.AppendUint16(b, kind)
	b = append(b, byte(len(receiver)))
	b = append(b, receiver...)
	return Seal(append(b, body...))
}

// Seal sets length and checksum of a frame whose rest was changed.
func Seal(frame []byte) []byte {
	binary.LittleEndian.PutUint32(frame, uint32(len(frame)-8))
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(frame[8:], crc32.MakeTable(crc32.Castagnoli)))
	return frame
}

// ReadFrame reads one frame of at most limit bytes and returns its kind and body.
func ReadFrame(conn io.Reader, limit uint32) (kind uint16, body []byte, err error) {
	head := make([]byte, 12)
	if _, err := io.ReadFull(conn, head); err != nil {
		return 0, nil, err
	}
	size, name := binary.LittleEndian.Uint32(head), uint32(head[11])
	if size < 4+name || size > limit {
		return 0, nil, errors.New("stranger: no frame")
	}
	rest := make([]byte, size-4)
	if _, err := io.ReadFull(conn, rest); err != nil {
		return 0, nil, err
	}
	return binary.LittleEndian.Uint16(head[9:]), rest[name:], nil
}

// maxHello is the longest frame of a handshake.
const maxHello = 4 << 10

// Welcome answers a node that has dialled: it reads its Hello, says h, and returns
// the node's id.
func Welcome(conn net.Conn, h Hello) (node uint64, err error) {
	kind, body, err := ReadFrame(conn, maxHello)
	if err != nil {
		return 0, err
	}
	if kind != KindHello {
		return 0, errors.New("stranger: that was no Hello")
	}
	if _, err := conn.Write(Frame(KindHello, "", h.encode())); err != nil {
		return 0, err
	}
	return Number(body, 4), nil
}

// Greet says h and returns the reason if the other side refuses, "" if it says its
// own Hello.
func Greet(conn net.Conn, h Hello) (refused string, err error) {
	if _, err := conn.Write(Frame(KindHello, "", h.encode())); err != nil {
		return "", err
	}
	kind, body, err := ReadFrame(conn, maxHello)
	if err != nil {
		return "", err
	}
	if kind == KindHello {
		return "", nil
	}
	_, _, n := protowire.ConsumeTag(body)
	if n < 0 {
		return "", protowire.ParseError(n)
	}
	reason, n := protowire.ConsumeString(body[n:])
	if n < 0 {
		return "", protowire.ParseError(n)
	}
	return reason, nil
}

// Raft is a RaftMessage without a body.
func Raft(from, to uint64, group uint32, term uint64) []byte {
	return number(number(fixed(fixed(nil, 1, from), 2, to), 3, uint64(group)), 4, term)
}

// Field is a field of a message.
type Field = protowire.Number

// Paxos is a PaxosMessage whose body is field, made of numbers 1 to n, and of data
// as number n+1 unless that is nil.
func Paxos(from, to uint64, group uint32, ballot uint64, field protowire.Number, data []byte, numbers ...uint64) []byte {
	var body []byte
	for i, n := range numbers {
		body = number(body, protowire.Number(i+1), n)
	}
	if data != nil {
		body = protowire.AppendBytes(protowire.AppendTag(body, protowire.Number(len(numbers)+1), protowire.BytesType), data)
	}
	return protowire.AppendBytes(protowire.AppendTag(Raft(from, to, group, ballot), field, protowire.BytesType), body)
}

// Bodies of a PaxosMessage, by field.
const (
	PaxosPrepare  Field = 7
	PaxosAccept   Field = 9
	PaxosAccepted Field = 10
	PaxosNack     Field = 11
	PaxosLearn    Field = 14
	PaxosLearned  Field = 15
)

// Vote is what an Accept carries: the ballot, and the flat form of an entry that has
// it as its origin.
func Vote(ballot, slot uint64, kind byte, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, ballot)
	b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, ballot), slot)
	b = binary.LittleEndian.AppendUint32(append(b, kind), uint32(len(data)))
	return append(b, data...)
}

// Number returns a numeric field of a message, 0 if it has none.
func Number(message []byte, field protowire.Number) (value uint64) {
	each(message, func(number protowire.Number, v uint64, _ []byte) {
		if number == field {
			value = v
		}
	})
	return value
}

// Body returns a field of bytes of a message, nil if it has none.
func Body(message []byte, field protowire.Number) (body []byte) {
	each(message, func(number protowire.Number, _ uint64, data []byte) {
		if number == field && data != nil {
			body = data
		}
	})
	return body
}

// each calls f for the fields of a message, up to the first that it cannot read.
func each(b []byte, f func(number protowire.Number, v uint64, data []byte)) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		var v uint64
		var data []byte
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			return
		}
		f(field, v, data)
		b = b[n:]
	}
}

// Group is a GroupMessage without a body.
func Group(from, to uint64, group uint32) []byte {
	return number(fixed(fixed(nil, 1, from), 2, to), 3, uint64(group))
}

// JoinRequest is one.
func JoinRequest(from uint64, group uint32, name, link string) []byte {
	return text(text(number(fixed(nil, 1, from), 2, uint64(group)), 3, name), 4, link)
}

// Introduction is one.
func Introduction(from uint64, name, gossip string) []byte {
	return text(text(fixed(nil, 1, from), 2, name), 3, gossip)
}

func number(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func fixed(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), v)
}

func text(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}
