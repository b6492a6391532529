package cluster

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/messages"
)

// startTCP starts a node on a loopback port.
func startTCP(t *testing.T, w *world, id NodeID) *testNode {
	tweak := w.tweak
	defer func() { w.tweak = tweak }()
	w.tweak = func(c *LinkConfig) {
		c.Network, c.Listen = TCP{}, "127.0.0.1:0"
		if tweak != nil {
			tweak(c)
		}
	}
	return w.start(id)
}

// await waits for messages until ok.
func (n *testNode) await(t *testing.T, what string, ok func([]uint64) bool) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for !ok(n.terms()) {
		select {
		case <-n.arrived:
		case <-timeout:
			t.Fatalf("%s: still waiting; %v, events %v", what, n.terms(), n.log())
		}
	}
}

func has(term uint64) func([]uint64) bool {
	return func(terms []uint64) bool { return slices.Contains(terms, term) }
}

func TestOverTCP(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "TLS"}[secure], func(t *testing.T) {
			w := newWorld(t)
			if secure {
				w.secure(authority(t, "prod"))
			}
			a, b := startTCP(t, w, 1), startTCP(t, w, 2)
			a.send(2, 1)
			b.await(t, "first message", has(1))
			for i := range 50 { // lone messages and bursts, small and large
				a.send(2, uint64(10*i+100))
				a.sendBulk(2, uint64(10*i+101), 300<<10)
				a.sendBulk(2, uint64(10*i+102), 10)
			}
			b.await(t, "all messages", func(terms []uint64) bool { return len(terms) == 151 })
			for lane, terms := range map[string][]uint64{"control": every(b.terms(), 0), "bulk": every(b.terms(), 1, 2)} {
				if !slices.IsSorted(terms) {
					t.Errorf("%s lane out of order: %v", lane, terms)
				}
			}
		})
	}
}

func every(terms []uint64, last ...uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(terms), func(n uint64) bool { return n < 100 || !slices.Contains(last, n%10) })
}

func TestManySendersShareAConnection(t *testing.T) {
	w := newWorld(t)
	a, b := startTCP(t, w, 1), startTCP(t, w, 2)
	a.send(2, 0)
	b.await(t, "first message", has(0))
	var senders sync.WaitGroup
	for s := range uint64(8) {
		senders.Go(func() {
			for i := range uint64(500) {
				a.send(2, 1+s*1000+i)
			}
		})
	}
	senders.Wait()
	b.await(t, "all messages", func(terms []uint64) bool { return len(terms) == 4001 })
	next := map[uint64]uint64{}
	for _, term := range b.terms()[1:] {
		s, i := (term-1)/1000, (term-1)%1000
		if next[s] != i {
			t.Fatalf("sender %d: message %d came when %d was due", s, i, next[s])
		}
		next[s]++
	}
}

func TestALostTCPPeerIsReportedAtOnce(t *testing.T) {
	w := newWorld(t)
	down := make(chan time.Time, 10)
	w.tweak = func(c *LinkConfig) { c.OnDown = func(NodeID) { down <- time.Now() } }
	a, b := startTCP(t, w, 1), startTCP(t, w, 2)
	b.echo.Store(true)
	a.send(2, 1)
	a.await(t, "answer", has(1))
	killed := time.Now()
	w.kill(b)
	select {
	case at := <-down:
		if late := at.Sub(killed); late > 5*time.Second {
			t.Errorf("the loss was reported after %v", late)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the loss was never reported")
	}
}

// With the raw writer refusing to take more, the rest of a frame is the
// writer's and nothing may overtake it.
func TestAPartlyWrittenFrameIsFinishedFirst(t *testing.T) {
	w := newWorld(t)
	w.tweak = func(c *LinkConfig) { c.Network = tinyBuffers{} }
	a, b := startTCP(t, w, 1), startTCP(t, w, 2)
	a.send(2, 0)
	b.await(t, "first message", has(0))
	big := make([]byte, 12<<10)
	for i := range uint64(300) {
		m := &messages.RaftMessage{From: 1, To: 2, Term: i + 1,
			Body: &messages.RaftMessage_ReadIndex{ReadIndex: &messages.ReadIndex{}}}
		m.ProtoReflect().SetUnknown(append([]byte{0xfa, 0x07, 0x80, 0x60}, big...)) // field 127, 12 KiB: the control lane
		a.system.Root.Send(a.link.PID(2, "raft"), m)
	}
	b.await(t, "all messages", func(terms []uint64) bool { return len(terms) == 301 })
	if !slices.IsSorted(b.terms()) {
		t.Fatalf("out of order: %v", b.terms())
	}
	if s := b.peerStats(1); len(s.Refused) != 0 {
		t.Fatalf("refused %v", s.Refused)
	}
}

// tinyBuffers is TCP whose sockets hold little.
type tinyBuffers struct{ TCP }

func (n tinyBuffers) Dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := n.TCP.Dial(ctx, addr)
	if err == nil {
		_ = conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return conn, err
}
