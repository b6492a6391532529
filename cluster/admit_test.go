package cluster

import (
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/messages"
)

const joinKind, introductionKind = FirstKind + 1, FirstKind + 2

// names is an Admit that knows whose some ids are.
type names struct {
	mu sync.Mutex
	of map[NodeID]string
}

func (n *names) learn(id NodeID, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of == nil {
		n.of = map[NodeID]string{}
	}
	n.of[id] = name
}

func (n *names) admit(id NodeID, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if known, ok := n.of[id]; ok && known != name {
		return errors.New("this id is " + known + "'s")
	}
	return nil
}

func term(t *testing.T, from NodeID, term uint64) []byte {
	return raw(raftKind, "raft", encoded(t, &messages.RaftMessage{From: uint64(from), Term: term}))
}

func TestAnIDComesWithItsNameAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var known names
		known.learn(66, "n66")
		w.tweak = func(c *LinkConfig) { c.Admit = known.admit }
		n := w.start(1)
		if got, want := dialRaw(t, w, n).greet(helloOf(66)), "cluster: handshake refused: this id is n66's"; got != want {
			t.Fatalf("under another name: %q, want %q", got, want)
		}
		// The one refused first pins nothing.
		h := helloOf(66)
		h.Name = "n66"
		s := dialRaw(t, w, n)
		if refused := s.greet(h); refused != "" {
			t.Fatalf("under its own name: %s", refused)
		}
		s.write(term(t, 66, 1))
		settle()
		want(t, "received", n.terms(), []uint64{1})
	})
}

func TestADiallerAsksWhoseIDItIsToo(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var known names
		known.learn(2, "n2")
		w.tweak = func(c *LinkConfig) {
			if c.Self == 1 {
				c.Admit = known.admit
			}
		}
		a, b := w.start(1), w.start(2) // which calls itself node2
		a.send(2, 1)
		settle()
		if got := b.terms(); len(got) != 0 || a.peerStats(2).Name != "" {
			t.Fatalf("%v was sent to who has the id under another name, which is pinned as %q", got, a.peerStats(2).Name)
		}
		known.learn(2, "node2")
		time.Sleep(2 * maxBackoff)
		a.send(2, 2)
		settle()
		want(t, "received by the one that has the name", b.terms(), []uint64{2})
	})
}

func TestWhoCameBeforeItsIDWasKnownIsReconsidered(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var known names
		w.tweak = func(c *LinkConfig) { c.Admit = known.admit }
		n := w.start(1)
		n.system.Root.Send(n.link.PID(66, "x"), &messages.RaftMessage{}) // somebody here knows the peer
		s := dialRaw(t, w, n)
		if refused := s.greet(helloOf(66)); refused != "" {
			t.Fatal(refused)
		}
		s.write(term(t, 66, 1))
		settle()
		n.link.Reconsider()
		s.write(term(t, 66, 2))
		settle()
		want(t, "received while nobody knows better", n.terms(), []uint64{1, 2})

		known.learn(66, "n66")
		n.link.Reconsider()
		s.write(term(t, 66, 3))
		settle()
		want(t, "received from who has another's id", n.terms(), []uint64{1, 2})
		if !s.closed() {
			t.Fatal("its connection is still open")
		}
		h := helloOf(66)
		h.Name = "n66"
		s = dialRaw(t, w, n)
		if refused := s.greet(h); refused != "" {
			t.Fatalf("the one whose id it is: %s", refused)
		}
		s.write(term(t, 66, 4))
		settle()
		want(t, "received", n.terms(), []uint64{1, 2, 4})
	})
}

// Admit may learn whose an id is while somebody else shakes hands with it.
func TestAHandshakeIsReconsideredToo(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var known names
		var n *testNode
		asked := 0
		w.tweak = func(c *LinkConfig) {
			c.Admit = func(id NodeID, name string) error {
				if asked++; asked == 1 {
					defer known.learn(66, "n66") // after it was let through
				}
				return known.admit(id, name)
			}
		}
		n = w.start(1)
		s := dialRaw(t, w, n)
		s.greet(helloOf(66))
		s.write(term(t, 66, 1))
		settle()
		want(t, "received", n.terms(), nil)
		if !s.closed() {
			t.Fatal("the connection is still open")
		}
	})
}

func TestNobodySpeaksUnderAnothersName(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.start(1)
		if err := errors.Join(n.link.Register(joinKind, &messages.JoinRequest{}),
			n.link.Register(introductionKind, &messages.Introduction{})); err != nil {
			t.Fatal(err)
		}
		n.link.Publish("names", n.system.Root.Spawn(collector(n)), nil)
		n.system.Root.Send(n.link.PID(66, "x"), &messages.RaftMessage{}) // so that its counters stay
		s := dialRaw(t, w, n)
		s.greet(helloOf(66))
		for i, name := range []string{"n2", "", "Stranger", "stranger"} {
			s.write(raw(joinKind, "names", encoded(t, &messages.JoinRequest{From: 66, Name: name})))
			s.write(raw(introductionKind, "names", encoded(t, &messages.Introduction{From: 66, Name: name})))
			synctest.Wait()
			if got, want := n.peerStats(66).Refused[RefusedSender], uint64(2*min(i+1, 3)); got != want {
				t.Fatalf("after %q %d are refused, want %d", name, got, want)
			}
		}
		settle()
		want(t, "names received", n.log(), []string{"stranger", "stranger"})
	})
}

// collector notes the names in messages.
func collector(n *testNode) *actor.Props {
	return actor.PropsFromFunc(func(c actor.Context) {
		if m, ok := c.Message().(interface{ GetName() string }); ok {
			n.note(m.GetName())
		}
	})
}

func TestAConnectionOfAReconsideredNameDoesNotComeUp(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var known names
		w.tweak = func(c *LinkConfig) { c.Admit = known.admit }
		n := w.start(1)
		p := newPeer(n.link, 66)
		here, there := net.Pipe()
		defer there.Close()
		defer here.Close()
		if !p.setName("stranger") {
			t.Fatal("the name is refused")
		}
		known.learn(66, "n66")
		p.reconsider() // before its connections are up
		if p.incomingUp(&incoming{link: n.link, peer: p, conn: here, name: "stranger", epoch: 1}) {
			t.Error("its incoming connection is up")
		}
		p.outgoingUp(&outgoing{conn: here, name: "stranger", epoch: 1})
		want(t, "events", n.log(), nil)
		if p.presence.out != nil {
			t.Error("its outgoing connection is up")
		}
	})
}
