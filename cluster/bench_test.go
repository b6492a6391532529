package cluster

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/messages"
)

// benchNode is a link over loopback TCP whose actor calls receive.
func benchNode(b testing.TB, id NodeID, book *Book, receive func(l *Link, m *messages.RaftMessage)) *Link {
	system := actors.NewSystem(nil)
	l, err := NewLink(LinkConfig{System: system, Listen: "127.0.0.1:0", Self: id, Name: hostOf(id), Epoch: 1,
		Lookup: book.Lookup, OnDrop: func(_ NodeID, _ any, why Drop) { b.Errorf("dropped: %v", why) }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	if err := l.Register(raftKind, &messages.RaftMessage{}); err != nil {
		b.Fatal(err)
	}
	l.Publish("raft", system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if batch, ok := c.Message().(*actors.Batch); ok {
			for _, item := range batch.Messages {
				receive(l, item.Message.(*messages.RaftMessage))
			}
		}
	}, actor.WithMailbox(actors.MailboxConfig{MaxMessages: 1 << 20}.Producer()))), nil)
	if err := l.Start(); err != nil {
		b.Fatal(err)
	}
	book.Learn(id, l.Addr().String())
	return l
}

func appendOf(from NodeID, size int) *messages.RaftMessage {
	return &messages.RaftMessage{From: uint64(from), Term: 7, Body: &messages.RaftMessage_AppendEntries{
		AppendEntries: &messages.AppendEntries{PrevIndex: 5, Entries: make([]byte, size)}}}
}

// establish sends until got hears of a message: what waits for a connection
// that takes long to make is dropped, and a benchmark would wait for ever.
func establish(l *Link, to *actor.PID, got <-chan struct{}) {
	for {
		l.system.Root.Send(to, &messages.RaftMessage{From: uint64(l.config.Self)})
		select {
		case <-got:
			return
		case <-time.After(time.Second):
		}
	}
}

// warmUp is what establish listens to; it takes messages without a body.
type warmUp chan struct{}

func (w warmUp) took(m *messages.RaftMessage) bool {
	if m.Body != nil {
		return false
	}
	select {
	case w <- struct{}{}:
	default:
	}
	return true
}

// BenchmarkRoundTrip varies how many 64-byte requests are outstanding. Actor
// to actor, over loopback TCP.
func BenchmarkRoundTrip(b *testing.B) {
	for _, outstanding := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("outstanding=%d", outstanding), func(b *testing.B) {
			book := NewBook()
			var left atomic.Int64
			done := make(chan struct{})
			request := appendOf(1, 64)
			server, serverWarm, clientWarm := benchNode(b, 2, book, nil), make(warmUp, 1), make(warmUp, 1)
			answer := &messages.RaftMessage{From: 2, Body: &messages.RaftMessage_AppendReply{AppendReply: &messages.AppendReply{Match: 5}}}
			back := server.PID(1, "raft")
			server.Publish("raft", server.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
				if batch, ok := c.Message().(*actors.Batch); ok {
					for _, item := range batch.Messages {
						if !serverWarm.took(item.Message.(*messages.RaftMessage)) {
							c.Send(back, answer)
						}
					}
				}
			}, actor.WithMailbox(actors.MailboxConfig{}.Producer()))), nil)
			var there *actor.PID
			client := benchNode(b, 1, book, func(l *Link, m *messages.RaftMessage) {
				if clientWarm.took(m) {
					return
				}
				if left.Add(-1) >= int64(outstanding) {
					l.system.Root.Send(there, request)
				} else if left.Load() == 0 {
					close(done)
				}
			})
			there = client.PID(2, "raft")
			establish(client, there, serverWarm)
			establish(server, back, clientWarm)
			b.ReportAllocs()
			b.ResetTimer()
			n := max(b.N, outstanding)
			left.Store(int64(n))
			for range outstanding {
				client.system.Root.Send(there, request)
			}
			<-done
		})
	}
}

// BenchmarkOneWay sends as fast as the receiver takes, with at most 1024
// messages unseen.
func BenchmarkOneWay(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			book := NewBook()
			seen, warm := make(chan struct{}, 1024), make(warmUp, 1)
			client := benchNode(b, 1, book, func(*Link, *messages.RaftMessage) {})
			benchNode(b, 2, book, func(_ *Link, m *messages.RaftMessage) {
				if !warm.took(m) {
					<-seen
				}
			})
			there, m := client.PID(2, "raft"), appendOf(1, size)
			establish(client, there, warm)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				seen <- struct{}{}
				client.system.Root.Send(there, m)
			}
			for range cap(seen) {
				seen <- struct{}{}
			}
		})
	}
}

// BenchmarkRawTCP is the floor for BenchmarkRoundTrip: two goroutines that
// write and read 80 bytes.
func BenchmarkRawTCP(b *testing.B) {
	listener, err := TCP{}.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, _ = io.Copy(conn, struct{ io.Reader }{conn})
		}
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	data := make([]byte, 80)
	for b.Loop() {
		if _, err := conn.Write(data); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncode is the sender's share: one frame into the shared buffer.
func BenchmarkEncode(b *testing.B) {
	m, buffer := proto.Message(appendOf(1, 1<<10)), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		buffer, _ = appendFrame(buffer[:0], raftKind, "raft", m, 1<<20)
	}
}
