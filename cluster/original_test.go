package cluster

import (
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/messages"
)

// startOn starts a process of node id on a directory whose log has position, and
// counts how often peers refuse it for good. A copy has a host of its own.
func (w *world) startOn(id NodeID, host string, position *atomic.Uint64) (n *testNode, copied func() string) {
	w.t.Helper()
	var reason atomic.Pointer[string]
	w.tweak = func(c *LinkConfig) {
		c.Network, c.Listen = w.network.Host(host), host
		c.Position = position.Load
		c.OnCopied = func(_ NodeID, why string) { reason.Store(&why) }
	}
	n = w.start(id)
	w.tweak = nil
	for _, other := range w.nodes { // whatever gossip makes of a copy
		if original := hostOf(id); host != original {
			other.book.Learn(id, original)
		}
	}
	return n, func() string {
		if why := reason.Load(); why != nil {
			return *why
		}
		return ""
	}
}

// end ends the process of a host.
func (w *world) end(n *testNode, host string) {
	w.network.Kill(host)
	if err := n.link.Close(); err != nil {
		w.t.Error(err)
	}
	w.nodes = slices.DeleteFunc(w.nodes, func(o *testNode) bool { return o == n })
}

func at(position uint64) *atomic.Uint64 {
	p := new(atomic.Uint64)
	p.Store(position)
	return p
}

// copiesRefused is how often n has refused a process as a copy.
func copiesRefused(n *testNode, of NodeID) uint64 { return n.peerStats(of).Refused[RefusedCopy] }

// D13: an older copy of a directory, started in place of the original, is refused
// by whoever has heard how far the original was, and told so. The directory itself
// is let in, however often its process dies.
func TestAnOlderCopyInPlaceOfTheOriginalIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a := w.start(1)
		a.link.Connect(2) // it is a member: its peers do not forget it
		position := at(100)
		b, _ := w.startOn(2, "node2", position)
		b.send(1, 1)
		settle()
		position.Store(150)
		time.Sleep(positionEvery)
		synctest.Wait()
		w.kill(b)
		old, copied := w.startOn(2, "node2", at(149))
		old.send(1, 2)
		a.send(2, 3) // whoever dials
		time.Sleep(5 * time.Second)
		if why := copied(); !strings.Contains(why, "150 batches") || !strings.Contains(why, "149 now") || copiesRefused(a, 2) == 0 {
			t.Fatalf("the older copy was told %q, %d refusals counted", why, copiesRefused(a, 2))
		}
		want(t, "received by the older copy", old.terms(), nil)
		w.kill(old)
		for n := range uint64(3) { // it may have written nothing more
			b, copied = w.startOn(2, "node2", position)
			b.send(1, 10+n)
			time.Sleep(time.Second)
			if why := copied(); why != "" {
				t.Fatalf("the original is refused: %s", why)
			}
			w.kill(b)
		}
		want(t, "received", a.terms(), []uint64{1, 10, 11, 12})
	})
}

// D13: a copy beside the original is refused, whether its log is as long as the
// original's, longer or shorter, and whoever of the two has dialled; the original
// does not notice.
func TestACopyBesideTheOriginalIsRefused(t *testing.T) {
	for _, test := range []struct {
		name       string
		position   uint64
		byOriginal bool // the original has dialled the peer, and not the peer the original
	}{{"equal", 100, true}, {"longer", 500, true}, {"shorter", 99, true}, {"longer, dialled by the peer", 500, false}} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				a := w.start(1)
				original, refused := w.startOn(2, "node2", at(100))
				if test.byOriginal {
					original.send(1, 1)
				} else {
					a.send(2, 1)
				}
				settle()
				copied := make([]func() string, 2)
				for i := range copied {
					var again *testNode
					again, copied[i] = w.startOn(2, "copy", at(test.position))
					again.send(1, 66)
					time.Sleep(10 * time.Second)
					w.end(again, "copy")
				}
				original.send(1, 2)
				a.send(2, 3)
				settle()
				if copied[0]() == "" || copied[1]() == "" || copiesRefused(a, 2) < 2 {
					t.Fatalf("the copies were told %q and %q", copied[0](), copied[1]())
				}
				if why := refused(); why != "" {
					t.Fatalf("the original is refused: %s", why)
				}
				if got := a.terms(); slices.Contains(got, 66) || !slices.Contains(got, 2) || !slices.Contains(original.terms(), 3) {
					t.Fatalf("the peer got %v, the original %v", got, original.terms())
				}
			})
		})
	}
}

// A copy whose address a peer has heard of is not spoken to.
func TestACopyIsRefusedByWhoDialsIt(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a := w.start(1)
		original, _ := w.startOn(2, "node2", at(100))
		original.send(1, 1)
		a.send(2, 2)
		settle()
		again, _ := w.startOn(2, "copy", at(500))
		a.book.Learn(2, "copy")
		breakConnections(a) // the next attempt goes to the copy
		a.send(2, 3)
		time.Sleep(3 * time.Second)
		want(t, "received by the copy", again.terms(), nil)
		original.send(1, 4)
		settle()
		if got := a.terms(); !slices.Contains(got, 4) || copiesRefused(a, 2) == 0 {
			t.Fatalf("the peer got %v from the original, %d refusals", got, copiesRefused(a, 2))
		}
		w.end(again, "copy")
	})
}

// The known process may have died without a word: then a silence is enough, and
// the wait is bounded. Should it come back, it is the one that is refused.
func TestAProcessThatDoesNotAnswerIsReplaced(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.tweak = func(c *LinkConfig) { c.WriteTimeout = time.Hour }
		a := w.start(1)
		first, refused := w.startOn(2, "node2", at(100))
		first.send(1, 1)
		settle()
		w.network.Cut("node1", "node2")
		begun := time.Now()
		second, copied := w.startOn(2, "copy", at(101))
		second.send(1, 2)
		for !slices.Contains(a.terms(), 3) {
			second.send(1, 3)
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(begun); took > 3*time.Second || copied() != "" {
			t.Fatalf("replaced after %v, told %q", took, copied())
		}
		w.network.HealAll()
		for range 100 {
			first.send(1, 4)
			time.Sleep(20 * time.Millisecond)
		}
		if refused() == "" || copied() != "" || slices.Contains(a.terms(), 4) {
			t.Fatalf("the first is told %q, the second %q; the peer got %v", refused(), copied(), a.terms())
		}
	})
}

// A connection of one process may be greeted with an older position than another
// one of it has told.
func TestAProcessIsNoCopyOfItself(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.start(1)
		n.system.Root.Send(n.link.PID(66, "x"), &messages.RaftMessage{})
		h := helloOf(66)
		first, second, third := dialRaw(t, w, n), dialRaw(t, w, n), dialRaw(t, w, n)
		h.Position = 100
		first.greet(h)
		synctest.Wait()
		first.write(raw(kindPosition, "", encoded(t, &messages.Position{Position: 200})))
		synctest.Wait()
		if refused := second.greet(h); refused != "" {
			t.Fatal(refused)
		}
		synctest.Wait()
		first.write(raw(kindPosition, "", encoded(t, &messages.Position{Position: 900})))
		h.Epoch, h.Position = 7, 199
		if refused := third.greet(h); !strings.Contains(refused, "200 batches") {
			t.Fatalf("a process with less than was told: %q; what a replaced connection says counts for nothing", refused)
		}
	})
}

// A process that starts again and its peer dial each other at once: while one Hello
// is judged, the other connection may make the process the known one.
func TestAProcessIsNoCopyOfItselfOverTwoConnections(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.start(1)
		n.link.Connect(66)
		h := helloOf(66)
		old := dialRaw(t, w, n)
		old.greet(h)
		settle()
		_ = old.conn.Close()
		settle()
		n.link.mu.Lock()
		p := n.link.peers[66]
		n.link.mu.Unlock()
		h.Epoch, h.Position = 7, 100
		if err := p.recognise(h); err != nil { // of a connection that is not up yet
			t.Fatal(err)
		}
		h.Position = 99 // of a Hello that left before that one
		known, held := p.hears(h)
		if h.Position < held {
			t.Fatalf("held against it are %d batches, its position when it started is %d", held, h.Position)
		}
		other := dialRaw(t, w, n)
		if refused := other.greet(h); refused != "" {
			t.Fatal(refused)
		}
		settle()
		probed := make(chan struct{})
		go func() { // it answers, as it must
			defer close(probed)
			for {
				f, err := readFrame(other.conn)
				if err != nil {
					return
				}
				m := new(messages.Probe)
				if f.kind == kindProbe && proto.Unmarshal(f.body, m) == nil {
					other.write(raw(kindProbe, "", encoded(t, &messages.Probe{Token: m.Token, Reply: true})))
				}
			}
		}()
		begun := time.Now()
		if p.answers(known) || time.Since(begun) > 0 {
			t.Errorf("a process is asked, for %v, whether it runs beside itself", time.Since(begun))
		}
		_ = other.conn.Close()
		<-probed
	})
}

// Nobody waits for the process known so far any more when a newer one is known.
func TestAJudgeDoesNotWaitForAProcessThatIsReplaced(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := newPeer(w.start(1).link, 66)
		p.setName("n66")
		up := func(epoch uint64) {
			here, there := net.Pipe()
			go io.Copy(io.Discard, there) // it never answers
			if !p.incomingUp(&incoming{link: p.link, peer: p, conn: here, name: "n66", epoch: epoch}) {
				t.Fatalf("process %d is not let in", epoch)
			}
		}
		up(1)
		begun, judged := time.Now(), make(chan time.Duration)
		go func() {
			p.answers(1)
			judged <- time.Since(begun)
		}()
		synctest.Wait()
		up(7)
		defer p.in.retire()
		if waited := <-judged; waited > 0 {
			t.Fatalf("the judge waited %v after the process was replaced", waited)
		}
	})
}

func TestMalformedMessagesOfTheLinkAreRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.start(1)
		n.system.Root.Send(n.link.PID(66, "x"), &messages.RaftMessage{})
		s := dialRaw(t, w, n)
		s.greet(helloOf(66))
		s.write(raw(kindPosition, "", []byte{0xff}))
		s.write(raw(kindProbe, "", []byte{0xff}))
		s.write(raw(kindProbe, "", encoded(t, &messages.Probe{Token: 1, Reply: true}))) // nobody has asked
		s.write(raw(kindProbe, "", encoded(t, &messages.Probe{Token: 5})))
		f, err := readFrame(s.conn)
		if err != nil || f.kind != kindProbe || !slices.Equal(f.body, encoded(t, &messages.Probe{Token: 5, Reply: true})) {
			t.Fatalf("a probe is answered by %+v, %v, want its token", f, err)
		}
		if got := n.peerStats(66).Refused[RefusedBody]; got != 2 {
			t.Fatalf("%d bodies refused, want 2", got)
		}
	})
}

// Whoever has got a message knows how far the log was when it was sent: that it was
// acknowledged is worth something only if a copy without it is refused.
func TestAMessageComesWithThePositionOfItsSender(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a := w.start(1)
		position := at(100)
		b, _ := w.startOn(2, "node2", position)
		b.send(1, 1)
		settle()
		for n := range uint64(20) {
			position.Add(1)
			want := position.Load()
			if n%2 == 0 {
				b.send(1, n+2)
			} else {
				b.sendBulk(1, n+2, 1<<10)
			}
			synctest.Wait() // no time passes
			if got := a.terms(); got[len(got)-1] != n+2 {
				t.Fatalf("message %d has not come", n+2)
			}
			if got := a.peerStats(2).Position; got != want {
				t.Fatalf("after message %d the peer knows position %d, want %d", n+2, got, want)
			}
		}
		position.Add(1)
		time.Sleep(positionEvery)
		synctest.Wait()
		if got := a.peerStats(2).Position; got != position.Load() {
			t.Fatalf("without a message the peer knows position %d, want %d", got, position.Load())
		}
	})
}

// Only the peer itself may end a process for good: with TLS, whoever else listens at
// its address may not.
func TestNobodyElseRefusesForGood(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ca := authority(t, "prod")
		var known names
		known.learn(2, "node2")
		var refused []NodeID
		w.tweak = func(c *LinkConfig) {
			c.TLS, c.Admit = material(t, ca, nodeOptions(c.Name)), known.admit
			c.OnCopied = func(by NodeID, _ string) { refused = append(refused, by) }
		}
		a := w.start(1)
		for _, test := range []struct {
			name string
			want []NodeID
		}{{"node3", nil}, {"node2", []NodeID{2}}} {
			listener, err := w.network.Host("elsewhere").Listen("elsewhere")
			if err != nil {
				t.Fatal(err)
			}
			a.book.Learn(2, "elsewhere")
			a.send(2, 1)
			conn, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			secured := tls.Server(conn, material(t, ca, nodeOptions(test.name)).ServerConfig(RoleNode))
			if _, err := readHello(secured); err != nil {
				t.Fatal(err)
			}
			if err := writeHandshake(secured, kindRefusal, &messages.Refusal{Reason: "no", Copied: true}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			w.network.Kill("elsewhere")
			time.Sleep(time.Minute) // nobody dials any more
			want(t, "refusals by "+test.name, refused, test.want)
		}
	})
}

// What an impostor has told of a node, before it was known whose the id is, is not
// held against the node.
func TestAnImpostorDoesNotSpoilTheNode(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var known names
		w.tweak = func(c *LinkConfig) { c.Admit = known.admit }
		n := w.start(1)
		n.link.Connect(66)
		h := helloOf(66)
		h.Position = 1 << 40
		impostor := dialRaw(t, w, n)
		if refused := impostor.greet(h); refused != "" {
			t.Fatal(refused)
		}
		settle()
		other := helloOf(66)
		other.Name, other.Epoch, other.Position = "n66", 2, 1<<50
		if refused := dialRaw(t, w, n).greet(other); refused == "" { // the name is pinned, for now
			t.Fatal("two names for one id")
		}
		known.learn(66, "n66")
		n.link.Reconsider()
		other.Position = 100
		if refused := dialRaw(t, w, n).greet(other); refused != "" {
			t.Fatalf("the node itself: %s", refused)
		}
	})
}

// Callbacks come no earlier than the host is ready for them.
func TestNothingLeavesBeforeStart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		b := w.start(2)
		a := &testNode{id: 1, system: actors.NewSystem(nil), book: NewBook()}
		a.book.Learn(2, hostOf(2))
		link, err := NewLink(LinkConfig{System: a.system, Network: w.network.Host("node1"), Listen: "node1", Self: 1, Name: "node1",
			Cluster: "c", Epoch: 1, Lookup: a.book.Lookup, OnUp: func(NodeID) { a.note("up") }})
		if err != nil {
			t.Fatal(err)
		}
		a.link, w.nodes = link, append(w.nodes, a)
		if err := link.Register(raftKind, &messages.RaftMessage{}); err != nil {
			t.Fatal(err)
		}
		link.Connect(2)
		a.send(2, 1)
		settle()
		want(t, "events before", a.log(), nil)
		if err := link.Start(); err != nil {
			t.Fatal(err)
		}
		settle()
		want(t, "events after", a.log(), []string{"up"})
		want(t, "received", b.terms(), nil)
	})
}
