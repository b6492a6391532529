package cluster

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/messages"
)

func TestMain(m *testing.M) {
	// protoactor's dead letters start a goroutine that lives a second.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1"))
}

const raftKind = FirstKind

// testNode is a link with an actor that keeps what it receives.
type testNode struct {
	id     NodeID
	system *actor.ActorSystem
	link   *Link
	book   *Book

	mu       sync.Mutex
	received []*messages.RaftMessage
	events   []string
	drops    []Drop
	arrived  chan struct{} // cap 1
	echo     atomic.Bool
}

type world struct {
	t       testing.TB
	network *MemoryNetwork
	epoch   uint64
	nodes   []*testNode
	tweak   func(*LinkConfig)
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, network: NewMemoryNetwork()}
	t.Cleanup(w.close)
	return w
}

func (w *world) close() {
	for _, n := range w.nodes {
		if err := n.link.Close(); err != nil {
			w.t.Error(err)
		}
	}
	w.nodes = nil
}

// start starts (or starts again) node id at address "nodeID".
func (w *world) start(id NodeID) *testNode {
	w.t.Helper()
	w.epoch++
	n := &testNode{id: id, system: actors.NewSystem(nil), book: NewBook(), arrived: make(chan struct{}, 1)}
	config := LinkConfig{
		System: n.system, Network: w.network.Host(hostOf(id)), Listen: hostOf(id), Self: id, Name: hostOf(id),
		Cluster: "c", Epoch: w.epoch, Lookup: n.book.Lookup,
		OnUp:   func(p NodeID) { n.note("up " + hostOf(p)) },
		OnDown: func(p NodeID) { n.note("down " + hostOf(p)) },
		OnDrop: func(_ NodeID, _ any, why Drop) { n.mu.Lock(); n.drops = append(n.drops, why); n.mu.Unlock() },
	}
	if w.tweak != nil {
		w.tweak(&config)
	}
	link, err := NewLink(config)
	if err != nil {
		w.t.Fatal(err)
	}
	n.link = link
	if err := link.Register(raftKind, &messages.RaftMessage{}); err != nil {
		w.t.Fatal(err)
	}
	link.Publish("raft", n.system.Root.Spawn(actor.PropsFromFunc(n.receive)), nil)
	if err := link.Start(); err != nil {
		w.t.Fatal(err)
	}
	for _, other := range w.nodes {
		other.book.Learn(id, link.Addr().String())
		n.book.Learn(other.id, other.link.Addr().String())
	}
	w.nodes = append(w.nodes, n)
	return n
}

// kill ends a node as kill -9 does.
func (w *world) kill(n *testNode) {
	w.network.Kill(hostOf(n.id))
	if err := n.link.Close(); err != nil {
		w.t.Error(err)
	}
	w.nodes = slices.DeleteFunc(w.nodes, func(o *testNode) bool { return o == n })
}

func hostOf(id NodeID) string { return fmt.Sprintf("node%d", uint64(id)) }

func (n *testNode) note(event string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, event)
}

func (n *testNode) receive(c actor.Context) {
	m, ok := c.Message().(*messages.RaftMessage)
	if !ok {
		return
	}
	n.mu.Lock()
	n.received = append(n.received, m)
	n.mu.Unlock()
	if n.echo.Load() {
		n.send(NodeID(m.From), m.Term)
	}
	select {
	case n.arrived <- struct{}{}:
	default:
	}
}

// send sends a small message, told apart by term.
func (n *testNode) send(to NodeID, term uint64) {
	n.system.Root.Send(n.link.PID(to, "raft"), &messages.RaftMessage{From: uint64(n.id), To: uint64(to), Term: term})
}

func (n *testNode) sendBulk(to NodeID, term uint64, size int) {
	n.system.Root.Send(n.link.PID(to, "raft"), &messages.RaftMessage{From: uint64(n.id), To: uint64(to), Term: term,
		Body: &messages.RaftMessage_InstallSnapshot{InstallSnapshot: &messages.InstallSnapshot{Data: bytes.Repeat([]byte{7}, size)}}})
}

func (n *testNode) terms() []uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	var terms []uint64
	for _, m := range n.received {
		terms = append(terms, m.Term)
	}
	return terms
}

func (n *testNode) log() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.events)
}

func (n *testNode) peerStats(id NodeID) PeerStats {
	for _, p := range n.link.Stats().Peers {
		if p.Peer == id {
			return p
		}
	}
	return PeerStats{}
}

func want[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// settle waits until nothing moves; call it inside a bubble.
func settle() {
	time.Sleep(50 * time.Millisecond)
	synctest.Wait()
}

func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f(t, w)
		w.close()
		time.Sleep(2 * time.Second) // protoactor's dead letter throttle lives a second
	})
}

func TestMessagesArriveInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.start(1), w.start(2)
		for term := range uint64(100) {
			a.send(2, term+1)
		}
		settle()
		terms := b.terms()
		if len(terms) != 100 || !slices.IsSorted(terms) {
			t.Fatalf("got %v, want 1 to 100", terms)
		}
		want(t, "events of a", a.log(), []string{"up node2"})
	})
}

func TestAPeerMayAnswerOverItsOwnConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.start(1), w.start(2)
		b.echo.Store(true)
		a.send(2, 7)
		settle()
		want(t, "answers", a.terms(), []uint64{7})
	})
}

func TestAKilledPeerIsReportedOnceAndAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.start(1), w.start(2)
		b.echo.Store(true)
		a.send(2, 1)
		settle()
		w.kill(b)
		synctest.Wait() // no virtual time passes
		want(t, "events", a.log(), []string{"up node2", "down node2"})

		b = w.start(2)
		a.send(2, 2)
		time.Sleep(2 * time.Second)
		a.send(2, 3)
		settle()
		want(t, "events", a.log(), []string{"up node2", "down node2", "up node2"})
		if terms := b.terms(); len(terms) == 0 || terms[len(terms)-1] != 3 {
			t.Fatalf("after the restart b got %v, want ... 3", terms)
		}
	})
}

func TestALostConnectionIsDialledAgainAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.start(1), w.start(2)
		a.send(2, 1)
		settle()
		begun := time.Now()
		breakConnections(a)
		synctest.Wait()
		a.send(2, 2)
		synctest.Wait()
		want(t, "received", b.terms(), []uint64{1, 2})
		if d := time.Since(begun); d != 0 {
			t.Fatalf("reconnecting took %v, want none", d)
		}
		want(t, "events", a.log(), []string{"up node2", "down node2", "up node2"})
	})
}

// breakConnections closes what n dialled.
func breakConnections(n *testNode) {
	n.link.mu.Lock()
	defer n.link.mu.Unlock()
	for _, p := range n.link.peers {
		p.mu.Lock()
		if p.out != nil {
			_ = p.out.conn.Close()
		}
		p.mu.Unlock()
	}
}

func TestStaleMessagesNeverArrive(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.tweak = func(c *LinkConfig) { c.WriteTimeout = 2 * time.Second }
		a, b := w.start(1), w.start(2)
		a.send(2, 1)
		settle()
		w.network.Cut("node1", "node2")
		for range 100 { // more than the pipe holds: the writer waits
			a.sendBulk(2, 50, 64<<10)
		}
		a.send(2, 60)
		time.Sleep(20 * time.Second)
		a.send(2, 61) // while there is no connection
		time.Sleep(staleAfter + time.Millisecond)
		w.network.Heal("node1", "node2")
		time.Sleep(2 * time.Second)
		a.send(2, 2)
		settle()
		terms := b.terms()
		if slices.Contains(terms, 60) || slices.Contains(terms, 61) || terms[len(terms)-1] != 2 {
			t.Fatalf("b got %v: a message from before the break came late", terms)
		}
		s := a.peerStats(2)
		if s.Dropped[DropDown] < 50 {
			t.Fatalf("dropped %v, want those that waited", s.Dropped)
		}
	})
}

func TestAPeerThatTakesNothingLosesItsConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.tweak = func(c *LinkConfig) { c.WriteTimeout = 3 * time.Second }
		a := w.start(1)
		w.start(2)
		a.send(2, 1)
		settle()
		w.network.CutOneWay("node1", "node2")
		for range 10 {
			a.sendBulk(2, 2, 64<<10)
		}
		time.Sleep(2 * time.Second)
		want(t, "events before the timeout", a.log(), []string{"up node2"})
		time.Sleep(2 * time.Second)
		want(t, "events after it", a.log(), []string{"up node2", "down node2"})
	})
}

func TestAFullLaneDropsAndCounts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.tweak = func(c *LinkConfig) { c.MaxBulk, c.MaxControl = 1<<20, 1<<10 }
		a, b := w.start(1), w.start(2)
		a.send(2, 1)
		settle()
		w.network.CutOneWay("node1", "node2")
		for range 100 {
			a.sendBulk(2, 2, 64<<10)
			synctest.Wait()
		}
		s := a.peerStats(2)
		if s.Dropped[DropFull] == 0 || s.QueuedOut > 2<<20 {
			t.Fatalf("dropped %v with %d bytes waiting, want at most 1 MiB and a frame", s.Dropped, s.QueuedOut)
		}
		if len(a.drops) != int(s.Dropped[DropFull]) {
			t.Fatalf("OnDrop heard of %d drops, want %d", len(a.drops), s.Dropped[DropFull])
		}
		a.send(2, 3) // the other lane has room
		w.network.HealAll()
		settle()
		if terms := b.terms(); !slices.Contains(terms, 3) {
			t.Fatal("the control message was dropped with the bulk")
		}
	})
}

func TestControlOvertakesBulk(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.start(1), w.start(2)
		a.send(2, 1)
		settle()
		w.network.CutOneWay("node1", "node2")
		for range 100 {
			a.sendBulk(2, 2, 64<<10)
		}
		synctest.Wait()
		a.send(2, 3)
		w.network.HealAll()
		settle()
		terms := b.terms()
		if at := slices.Index(terms, 3); len(terms) != 102 || at > 1+2*bulkBytes/(64<<10) {
			t.Fatalf("control message came as number %d of %d, want it among the first", at, len(terms))
		}
	})
}

func TestSystemMessagesNeverLeave(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.start(1), w.start(2)
		a.send(2, 1)
		settle()
		pid := a.link.PID(2, "raft")
		a.system.Root.Stop(pid)
		a.system.Root.Poison(pid)
		a.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			if _, ok := c.Message().(*actor.Started); ok {
				c.Watch(pid)
			}
		}))
		a.system.Root.Send(pid, &actor.Terminated{Who: pid})
		a.system.Root.Send(pid, "not a protobuf message")
		a.send(2, 2)
		settle()
		want(t, "received", b.terms(), []uint64{1, 2})
		s := a.peerStats(2)
		if s.Dropped[DropSystem] != 2 || s.Dropped[DropKind] != 3 {
			t.Fatalf("dropped %v, want 2 system messages (stop, watch) and 3 of no kind", s.Dropped)
		}
	})
}

func TestProtoactorsMessagesCannotBeRegistered(t *testing.T) {
	w := newWorld(t)
	l := w.start(1).link
	for i, err := range []error{
		l.Register(20, &actor.Stop{}), l.Register(20, &actor.PoisonPill{}), l.Register(20, &actor.Watch{}),
		l.Register(20, &actor.Terminated{}), l.Register(20, &actor.PID{}), l.Register(20, &actor.Touch{}),
		l.Register(raftKind, &messages.Hello{}), l.Register(20, &messages.RaftMessage{}), l.Register(3, &messages.Hello{}),
	} {
		if err == nil {
			t.Errorf("case %d was registered", i)
		}
	}
}

func TestAMessageAboveTheLimitIsDropped(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.tweak = func(c *LinkConfig) { c.MaxFrame = 100 << 10 }
		a, b := w.start(1), w.start(2)
		a.sendBulk(2, 1, 101<<10)
		a.sendBulk(2, 2, 99<<10)
		settle()
		want(t, "received", b.terms(), []uint64{2})
		if s := a.peerStats(2); s.Dropped[DropSize] != 1 {
			t.Fatalf("dropped %v, want one for its size", s.Dropped)
		}
	})
}

func TestSelfIsLocal(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a := w.start(1)
		a.send(1, 5)
		settle()
		want(t, "received", a.terms(), []uint64{5})
	})
}

func TestAnUnreachablePeerCostsNothingOnceUnwanted(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a := w.start(1)
		a.send(9, 1)
		time.Sleep(2 * time.Minute)
		p := a.link.peers[9]
		p.mu.Lock()
		state := p.state
		p.mu.Unlock()
		if state != asleep {
			t.Fatalf("state %d after two minutes without a message, want asleep", state)
		}
		b := w.start(9)
		a.send(9, 2)
		settle()
		want(t, "received", b.terms(), []uint64{2})
	})
}

func TestAddressChangeIsDialledAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.start(1), w.start(2)
		a.book.Learn(2, "nowhere")
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
					a.send(2, 1)
				}
			}
		}()
		time.Sleep(20*time.Second + time.Millisecond)
		a.book.Learn(2, "node2")
		a.link.Reach(2)
		time.Sleep(20 * time.Millisecond) // far less than the backoff
		synctest.Wait()
		close(stop)
		if len(b.terms()) == 0 {
			t.Fatal("Reach did not make the link dial the new address")
		}
	})
}

// A22: protoactor's PIDs keep the process they found.
func TestAPIDOutlivesConnectionsAndProcesses(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.start(1), w.start(2)
		pid := a.link.PID(2, "raft")
		a.system.Root.Send(pid, &messages.RaftMessage{From: 1, Term: 1})
		settle()
		w.kill(b)
		settle()
		b = w.start(2)
		time.Sleep(2 * time.Second)
		a.system.Root.Send(pid, &messages.RaftMessage{From: 1, Term: 2})
		settle()
		want(t, "received after the restart", b.terms(), []uint64{2})
	})
}

func TestARestartedProcessIsNoticedBehindACut(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.tweak = func(c *LinkConfig) { c.WriteTimeout = time.Hour }
		a, b := w.start(1), w.start(2)
		b.echo.Store(true)
		a.send(2, 1)
		settle()
		w.network.Cut("node1", "node2")
		w.kill(b) // node1 cannot hear of it
		synctest.Wait()
		want(t, "events during the cut", a.log(), []string{"up node2"})
		w.network.HealAll()
		b = w.start(2)
		b.send(1, 7)
		a.send(2, 2)
		time.Sleep(2 * time.Second)
		a.send(2, 3)
		settle()
		want(t, "events", a.log(), []string{"up node2", "down node2", "up node2"})
		if terms := b.terms(); !slices.Contains(terms, 3) {
			t.Fatalf("the new process got %v, want 3 among it", terms)
		}
	})
}

func TestLosingThePeersOwnConnectionIsReported(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.start(1), w.start(2)
		b.echo.Store(true)
		a.send(2, 1)
		settle()
		breakConnections(b)
		settle()
		want(t, "events", a.log(), []string{"up node2", "down node2", "up node2"})
	})
}

func TestNothingReadFromAReplacedConnectionIsDelivered(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.start(1)
		frame := raw(raftKind, "raft", encoded(t, &messages.RaftMessage{From: 66, Term: 1}))
		c := &incoming{link: n.link, peer: newPeer(n.link, 66), conn: replayOf(frame)}
		c.retired.Store(true)
		c.read()
		settle()
		want(t, "received", n.terms(), nil)
	})
}

func TestAnotherNodeAtAPeersAddressGetsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, c := w.start(1), w.start(3)
		a.send(3, 7)
		settle()
		a.book.Learn(2, "node3") // where it was before its disk was replaced
		a.send(2, 1)
		time.Sleep(time.Second)
		want(t, "received by node 3", c.terms(), []uint64{7})
		want(t, "events of node 1", a.log(), []string{"up node3"})
		const refusal = "node3: cluster: handshake refused: this is node 0000000000000003, not 0000000000000002"
		if got := a.peerStats(2).LastError; got != refusal {
			t.Fatalf("last error %q, want %q", got, refusal)
		}
	})
}

func TestAPeerKeepsItsName(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.start(1), w.start(2)
		a.send(2, 1)
		settle()
		w.kill(b)
		w.tweak = func(c *LinkConfig) { c.Name = "impostor" }
		b = w.start(2)
		a.send(2, 2)
		time.Sleep(time.Second)
		a.send(2, 3)
		settle()
		want(t, "received under another name", b.terms(), nil)
	})
}

// reads keeps what a Receiver is handed, read by read.
type reads [][]uint64

func (r *reads) Deliver(messagesOfARead ...any) {
	var terms []uint64
	for _, m := range messagesOfARead {
		terms = append(terms, m.(*messages.RaftMessage).Term)
	}
	*r = append(*r, terms)
}

func TestAReceiverGetsAllMessagesOfAReadAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.start(1)
		var got, other reads
		n.link.Publish("raft", n.system.NewLocalPID("x"), &got)
		n.link.Publish("other", n.system.NewLocalPID("y"), &other)
		var data []byte
		for term, name := range []string{"raft", "raft", "other", "raft"} {
			data = append(data, raw(raftKind, name, encoded(t, &messages.RaftMessage{From: 66, Term: uint64(term)}))...)
		}
		c := &incoming{link: n.link, peer: newPeer(n.link, 66), conn: replayOf(data)}
		c.read()
		want(t, "reads of raft", []string{fmt.Sprint(got)}, []string{fmt.Sprint(reads{{0, 1}, {3}})})
		want(t, "reads of other", []string{fmt.Sprint(other)}, []string{fmt.Sprint(reads{{2}})})
	})
}

type panicking struct{}

func (p *panicking) Deliver(...any) { panic("receiver") }

func TestAReceiverThatPanicsEndsNoConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.start(1)
		n.link.Publish("raft", n.system.NewLocalPID("x"), &panicking{})
		c := &incoming{link: n.link, peer: newPeer(n.link, 66), conn: replayOf(raw(raftKind, "raft", encoded(t, &messages.RaftMessage{From: 66})))}
		if why, bad := c.read(); bad {
			t.Fatalf("the connection is closed over %v", why)
		}
		if got := c.peer.refused[RefusedPanic].Load(); got != 1 {
			t.Fatalf("%d frames counted as refused by a panic, want 1", got)
		}
	})
}
