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
)

// Hello is what a peer says first.
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

// Greet says h and returns the reason if the other side refuses, "" if it says its
// own Hello.
func Greet(conn net.Conn, h Hello) (refused string, err error) {
	if _, err := conn.Write(Frame(KindHello, "", h.encode())); err != nil {
		return "", err
	}
	head := make([]byte, 12)
	if _, err := io.ReadFull(conn, head); err != nil {
		return "", err
	}
	size := binary.LittleEndian.Uint32(head)
	if size < 4 || size > 4<<10 {
		return "", errors.New("stranger: the answer is no handshake")
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(conn, body); err != nil {
		return "", err
	}
	if binary.LittleEndian.Uint16(head[9:]) == KindHello {
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
