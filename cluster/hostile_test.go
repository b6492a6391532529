package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/messages"
)

// stranger is a hand-made connection to a node's link.
type stranger struct {
	t    *testing.T
	conn net.Conn
}

func dialRaw(t *testing.T, w *world, to *testNode) stranger {
	t.Helper()
	conn, err := w.network.Host("stranger").Dial(context.Background(), to.link.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return stranger{t, conn}
}

func helloOf(id NodeID) *messages.Hello {
	return &messages.Hello{Version: 1, MinVersion: 1, Cluster: "c", Node: uint64(id), Name: "stranger", Epoch: 1}
}

// greet shakes hands as h and returns the reason of a refusal.
func (s stranger) greet(h *messages.Hello) string {
	s.t.Helper()
	if err := writeHandshake(s.conn, kindHello, h); err != nil {
		s.t.Fatal(err)
	}
	if _, err := readHello(s.conn); err != nil {
		return err.Error()
	}
	return ""
}

func (s stranger) write(data []byte) { _, _ = s.conn.Write(data) }

// closed reports whether the node has closed the connection.
func (s stranger) closed() bool {
	_ = s.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := io.Copy(io.Discard, s.conn)
	return err == nil
}

func raw(kind Kind, name string, body []byte) []byte {
	data := []byte{0, 0, 0, 0, 0, 0, 0, 0, 0}
	data = binary.LittleEndian.AppendUint16(data, uint16(kind))
	data = append(append(append(data, byte(len(name))), name...), body...)
	return sealed(data)
}

func sealed(data []byte) []byte {
	binary.LittleEndian.PutUint32(data, uint32(len(data)-frameStart))
	binary.LittleEndian.PutUint32(data[4:], crc32.Checksum(data[frameStart:], castagnoli))
	return data
}

func encoded(t *testing.T, m proto.Message) []byte {
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func deeplyNested() []byte {
	var body []byte
	for range 10_000 { // a message in a message in ...
		body = protowire.AppendBytes(protowire.AppendTag(nil, 13, protowire.BytesType), body)
	}
	return body
}

// Each row of reliability's table of attacks on protoactor's remote that has
// a counterpart here, sent by an admitted peer.
func TestHostileFramesAreHarmless(t *testing.T) {
	valid := encoded(t, &messages.RaftMessage{From: 66, Term: 1})
	flip := func(at int) []byte {
		data := raw(raftKind, "raft", valid)
		data[at] ^= 1
		return data
	}
	flagged := raw(raftKind, "raft", valid)
	flagged[8] = 1
	sealed(flagged)
	nameTooLong := raw(raftKind, "raft", nil)
	nameTooLong[11] = 200
	sealed(nameTooLong)
	for _, test := range []struct {
		name   string
		data   []byte
		why    Refusal
		closes bool
	}{
		{"unknown kind", raw(999, "raft", valid), RefusedKind, false},
		{"hello after the handshake", raw(kindHello, "", encoded(t, helloOf(66))), RefusedKind, false},
		{"unpublished receiver", raw(raftKind, "guardian$1", valid), RefusedReceiver, false},
		{"no receiver", raw(raftKind, "", valid), RefusedReceiver, false},
		{"future", raw(raftKind, "future$3", valid), RefusedReceiver, false},
		{"event stream", raw(raftKind, "eventstream", valid), RefusedReceiver, false},
		{"forged sender", raw(raftKind, "raft", encoded(t, &messages.RaftMessage{From: 2})), RefusedSender, false},
		{"no sender", raw(raftKind, "raft", nil), RefusedSender, false},
		{"body is no message", raw(raftKind, "raft", bytes.Repeat([]byte{0xff}, 50)), RefusedBody, false},
		{"deeply nested body", raw(raftKind, "raft", deeplyNested()), RefusedSender, false},
		{"checksum", flip(5), RefusedChecksum, true},
		{"flipped body", flip(18), RefusedChecksum, true},
		{"unknown flags", flagged, RefusedMalformed, true},
		{"name beyond the frame", nameTooLong, RefusedMalformed, true},
		{"length zero", make([]byte, 64), RefusedMalformed, true},
		{"length of 4 GiB", bytes.Repeat([]byte{0xff}, 64), RefusedMalformed, true},
		{"length just above the limit", binary.LittleEndian.AppendUint32(nil, 16<<20), RefusedMalformed, true},
		{"text", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), RefusedMalformed, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				n := w.start(1)
				n.link.PID(66, "x") // somebody here knows the peer, so its counters stay
				n.system.Root.Send(n.link.PID(66, "x"), &messages.RaftMessage{})
				s := dialRaw(t, w, n)
				if refused := s.greet(helloOf(66)); refused != "" {
					t.Fatal(refused)
				}
				s.write(test.data)
				settle()
				if got := n.peerStats(66).Refused; len(got) != 1 || got[test.why] != 1 {
					t.Fatalf("refused %v, want one for its %v", got, test.why)
				}
				if closed := s.closed(); closed != test.closes {
					t.Fatalf("connection closed: %v, want %v", closed, test.closes)
				}
				if test.closes {
					s = dialRaw(t, w, n)
					s.greet(helloOf(66))
				}
				s.write(raw(raftKind, "raft", valid))
				settle()
				want(t, "the next valid message", n.terms(), []uint64{1})
			})
		})
	}
}

func TestAPanicWhileDecodingIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.start(1)
		table := n.link.kinds.Load()
		table.byKind[77] = nil // decoding this kind now panics
		n.system.Root.Send(n.link.PID(66, "x"), &messages.RaftMessage{})
		s := dialRaw(t, w, n)
		s.greet(helloOf(66))
		s.write(raw(77, "raft", nil))
		s.write(raw(raftKind, "raft", encoded(t, &messages.RaftMessage{From: 66, Term: 1})))
		settle()
		want(t, "the next valid message", n.terms(), []uint64{1})
		if got := n.peerStats(66).Refused[RefusedPanic]; got != 1 {
			t.Fatalf("%d panics counted, want 1", got)
		}
	})
}

func TestHostileHandshakesAreRefused(t *testing.T) {
	hello := func(f func(*messages.Hello)) []byte {
		h := helloOf(66)
		f(h)
		data, err := appendFrame(nil, kindHello, "", h, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	noise := make([]byte, 1<<10)
	_, _ = rand.Read(noise)
	for _, test := range []struct {
		name string
		data []byte
	}{
		{"other cluster", hello(func(h *messages.Hello) { h.Cluster = "other" })},
		{"newer protocol only", hello(func(h *messages.Hello) { h.MinVersion, h.Version = 2, 3 })},
		{"older protocol only", hello(func(h *messages.Hello) { h.MinVersion, h.Version = 0, 0 })},
		{"versions upside down", hello(func(h *messages.Hello) { h.MinVersion, h.Version = 1, 0 })},
		{"no node", hello(func(h *messages.Hello) { h.Node = 0 })},
		{"this node", hello(func(h *messages.Hello) { h.Node = 1 })},
		{"no epoch", hello(func(h *messages.Hello) { h.Epoch = 0 })},
		{"no name", hello(func(h *messages.Hello) { h.Name = "" })},
		{"long name", hello(func(h *messages.Hello) { h.Name = string(make([]byte, 300)) })},
		{"huge hello", hello(func(h *messages.Hello) { h.Cluster = string(make([]byte, 64<<10)) })},
		{"refusal first", raw(kindRefusal, "", encoded(t, &messages.Refusal{Reason: "no"}))},
		{"application frame first", raw(raftKind, "raft", nil)},
		{"hello that is no message", raw(kindHello, "", []byte{0xff, 0xff})},
		{"noise", noise},
		{"zeros", make([]byte, 4096)},
		{"TLS to a plain port", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaa")},
		{"silence", nil},
		{"half a hello", hello(func(*messages.Hello) {})[:20]},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				n := w.start(1)
				s := dialRaw(t, w, n)
				s.write(test.data)
				time.Sleep(n.link.config.HandshakeTimeout + time.Second)
				if !s.closed() {
					t.Fatal("the connection is still open after the handshake timeout")
				}
				if got := n.link.Stats(); got.Refused[RefusedHandshake] != 1 || len(got.Peers) != 0 {
					t.Fatalf("stats %+v, want one refused handshake and no peer", got)
				}
				next := dialRaw(t, w, n)
				next.greet(helloOf(66))
				next.write(raw(raftKind, "raft", encoded(t, &messages.RaftMessage{From: 66, Term: 1})))
				settle()
				want(t, "the next valid message", n.terms(), []uint64{1})
			})
		})
	}
}

func TestARefusedPeerIsToldWhy(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.tweak = func(c *LinkConfig) {
			c.Admit = func(_ NodeID, name string) error {
				if name == "stranger" {
					return &HandshakeError{Reason: "strangers stay out"}
				}
				return nil
			}
		}
		n := w.start(1)
		h := helloOf(66)
		h.Cluster = "other"
		if got, want := dialRaw(t, w, n).greet(h), `cluster: handshake refused: cluster "other", this node belongs to "c"`; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		if got := dialRaw(t, w, n).greet(helloOf(66)); got == "" {
			t.Fatal("Admit did not refuse")
		}
		n.link.SetCluster(Successor("new", "c"))
		if got := dialRaw(t, w, n).greet(helloOf(66)); !strings.Contains(got, `cluster "c" was replaced by "new.c"`) {
			t.Fatalf("a node of a cluster that was replaced reads %q", got)
		}
	})
}

// Whoever believes OnForeign may end over it: a Hello that would be refused in any
// cluster tells of none.
func TestOnlyAHelloWithoutAnotherFaultTellsOfAForeignCluster(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*messages.Hello)
		told  int
	}{
		{"a node of another cluster", func(*messages.Hello) {}, 1},
		{"newer protocol only", func(h *messages.Hello) { h.MinVersion, h.Version = 2, 3 }, 0},
		{"no node", func(h *messages.Hello) { h.Node = 0 }, 0},
		{"this node", func(h *messages.Hello) { h.Node = 1 }, 0},
		{"no epoch", func(h *messages.Hello) { h.Epoch = 0 }, 0},
		{"no name", func(h *messages.Hello) { h.Name = "" }, 0},
		{"this cluster", func(h *messages.Hello) { h.Cluster = "c" }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				var told []string
				w.tweak = func(c *LinkConfig) {
					c.OnForeign = func(name, cluster string) { told = append(told, name+" of "+cluster) }
				}
				n := w.start(1)
				h := helloOf(66)
				h.Cluster = "other"
				test.spoil(h)
				s := dialRaw(t, w, n)
				s.greet(h)
				settle()
				if len(told) != test.told || test.told == 1 && told[0] != "stranger of other" {
					t.Fatalf("told of %q, want %d", told, test.told)
				}
			})
		})
	}
}

func TestANodeWithoutAClusterIsLetIn(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.start(1)
		h := helloOf(66)
		h.Cluster = ""
		if got := dialRaw(t, w, n).greet(h); got != "" {
			t.Fatal(got)
		}
		n.link.SetCluster("d")
		if got := dialRaw(t, w, n).greet(helloOf(67)); got == "" {
			t.Fatal("a node of cluster c was let into cluster d")
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.tweak = func(c *LinkConfig) { c.MaxHandshakes, c.MaxConnections = 4, 8 }
		n := w.start(1)
		var silent []stranger
		for range 10 {
			silent = append(silent, dialRaw(t, w, n))
		}
		synctest.Wait()
		if got := n.link.Stats().Refused[RefusedLimit]; got != 6 {
			t.Fatalf("%d of 10 silent connections refused, want 6", got)
		}
		time.Sleep(n.link.config.HandshakeTimeout + time.Second) // makes room again
		for i := range 12 {
			_ = writeHandshake(dialRaw(t, w, n).conn, kindHello, helloOf(NodeID(100+i)))
			synctest.Wait()
		}
		if got := n.link.Stats(); len(got.Peers) != 8 || got.Refused[RefusedLimit] != 6+4 {
			t.Fatalf("%d peers, refused %v; want 8 and 10 over the limit", len(got.Peers), got.Refused)
		}
		for _, s := range silent {
			_ = s.conn.Close()
		}
	})
}

func TestANewerConnectionReplacesTheOlder(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.start(1)
		n.system.Root.Send(n.link.PID(66, "x"), &messages.RaftMessage{})
		frame := func(term uint64) []byte {
			return raw(raftKind, "raft", encoded(t, &messages.RaftMessage{From: 66, Term: term}))
		}
		h := helloOf(66)
		h.Epoch = 5
		first, second, third := dialRaw(t, w, n), dialRaw(t, w, n), dialRaw(t, w, n)
		first.greet(h)
		synctest.Wait() // the node has taken it before the second comes
		second.greet(h)
		synctest.Wait()
		first.write(frame(1))
		second.write(frame(2))
		settle()
		want(t, "received", n.terms(), []uint64{2})
		h.Epoch = 4
		third.greet(h)
		synctest.Wait()
		third.write(frame(3))
		second.write(frame(4))
		settle()
		want(t, "received: an older process speaks no more", n.terms(), []uint64{2, 4})
		h.Epoch, h.Name = 6, "other"
		fourth := dialRaw(t, w, n)
		fourth.greet(h)
		synctest.Wait()
		fourth.write(frame(5))
		settle()
		want(t, "received: the name is pinned", n.terms(), []uint64{2, 4})
	})
}

func TestStrangersAreForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.start(1)
		for i := range 100 {
			s := dialRaw(t, w, n)
			s.greet(helloOf(NodeID(1000 + i)))
			_ = s.conn.Close()
			synctest.Wait()
		}
		if got := len(n.link.Stats().Peers); got != 0 {
			t.Fatalf("%d peers remembered, want none", got)
		}
	})
}
