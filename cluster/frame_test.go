package cluster

import (
	"bytes"
	"net"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/messages"
)

func TestFrameRoundTrip(t *testing.T) {
	m := &messages.RaftMessage{From: 1, To: 2, Term: 3}
	data, err := appendFrame([]byte("before"), 300, "receiver", m, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	data = data[len("before"):]
	if size, err := frameSize(data, 1<<20); err != nil || size != len(data) {
		t.Fatalf("size %d, %v; want %d", size, err, len(data))
	}
	f, err := decodeFrame(data)
	if err != nil || f.kind != 300 || string(f.name) != "receiver" {
		t.Fatalf("got %+v, %v", f, err)
	}
	back := new(messages.RaftMessage)
	if err := proto.Unmarshal(f.body, back); err != nil || !proto.Equal(m, back) {
		t.Fatalf("got %v, %v; want %v", back, err, m)
	}
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	good, err := appendFrame(nil, raftKind, "raft", &messages.RaftMessage{From: 1, Term: 3}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(good) * 8 {
		data := bytes.Clone(good)
		data[bit/8] ^= 1 << (bit % 8)
		size, err := frameSize(data, 1<<20)
		if err == nil && size == len(data) {
			_, err = decodeFrame(data)
		}
		if err == nil && size == len(data) {
			t.Fatalf("bit %d: the frame was taken", bit)
		}
	}
}

func TestWholeFramesRespectsTheQuota(t *testing.T) {
	var data []byte
	for range 10 {
		data, _ = appendFrame(data, raftKind, "raft", &messages.RaftMessage{From: 1}, 1<<20)
	}
	one := len(data) / 10
	for _, test := range []struct{ quota, frames int }{{1, 1}, {one, 1}, {3*one - 1, 2}, {3 * one, 3}, {1 << 20, 10}} {
		if got := wholeFrames(data, test.quota); got != test.frames*one {
			t.Errorf("quota %d: got %d bytes, want %d frames of %d", test.quota, got, test.frames, one)
		}
	}
	if n := countFrames(data); n != 10 || wholeFrames(nil, 5) != 0 {
		t.Fatalf("counted %d frames, want 10", n)
	}
}

// FuzzConnection feeds arbitrary bytes to the reader of an admitted peer's
// connection: nothing may panic, and memory stays bounded by what came in.
func FuzzConnection(f *testing.F) {
	good, _ := appendFrame(nil, raftKind, "raft", &messages.RaftMessage{From: 66, Term: 3}, 1<<20)
	f.Add(good)
	f.Add(append(bytes.Clone(good), good...))
	f.Add(good[:len(good)-1])
	f.Add([]byte{0xff, 0xff, 0xff, 0x00, 1, 2, 3})
	system := actors.NewSystem(nil)
	link, err := NewLink(LinkConfig{System: system, Self: 1, Name: "a", Epoch: 1, Lookup: NewBook().Lookup})
	if err != nil {
		f.Fatal(err)
	}
	if err := link.Register(raftKind, &messages.RaftMessage{}); err != nil {
		f.Fatal(err)
	}
	link.Publish("raft", system.NewLocalPID("deadletter"), nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &incoming{link: link, peer: newPeer(link, 66), conn: replayOf(data)}
		c.read()
		if n := c.peer.bytesIn.Load(); n > uint64(len(data)) {
			t.Fatalf("read %d of %d bytes", n, len(data))
		}
		for len(data) >= 4 {
			size, err := frameSize(data, 1<<20)
			if err != nil || size > len(data) {
				break
			}
			_, _ = decodeFrame(data[:size])
			data = data[size:]
		}
		_, _ = readHello(replayOf(data))
	})
}

// replay is a connection of which only Read is used.
type replay struct {
	*bytes.Reader
	net.Conn
}

func replayOf(data []byte) net.Conn { return &replay{Reader: bytes.NewReader(data)} }

func (r *replay) Read(b []byte) (int, error) { return r.Reader.Read(b) }
