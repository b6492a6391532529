package synod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/storage"
)

// tally counts its commands.
type tally struct{ n int }

func (c *tally) Apply(uint64, int64, []byte) []byte {
	c.n++
	return fmt.Appendf(nil, "%d", c.n)
}

func (c *tally) Snapshot() (io.WriterTo, error) { return strings.NewReader(fmt.Sprint(c.n)), nil }

func (c *tally) Restore(r io.Reader) error {
	_, err := fmt.Fscan(r, &c.n)
	return err
}

func startTally(t *testing.T, engine Engine) (*LocalCluster, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return Local(t, 3, GroupConfig{Name: "tally", Engine: engine, New: func() StateMachine { return &tally{} }}), ctx
}

// count proposes one command at whoever leads, and returns how many were applied.
func count(ctx context.Context, t *testing.T, c *LocalCluster) string {
	t.Helper()
	request := NewRequestID()
	for {
		leader, _, err := c.Leader(ctx, "tally")
		if err != nil {
			t.Fatal(err)
		}
		result, err := leader.Group("tally").ProposeOnce(ctx, request, []byte("x"))
		if err == nil {
			return string(result.Value)
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// lead makes node i lead.
func lead(ctx context.Context, t *testing.T, c *LocalCluster, i int) {
	t.Helper()
	for {
		leader, now, err := c.Leader(ctx, "tally")
		if err != nil {
			t.Fatal(err)
		}
		if now == i {
			return
		}
		_ = leader.Group("tally").TransferLeadership(ctx, localName(i)) // it may have lost the leadership meanwhile
	}
}

// endsForGood waits for a node's end and checks that it is for good, and says what has
// happened and what to do.
func endsForGood(ctx context.Context, t *testing.T, n *Node, texts ...string) {
	t.Helper()
	select {
	case <-n.Done():
	case <-ctx.Done():
		t.Fatal("the node goes on")
	}
	lost, ok := errors.AsType[*storage.LostError](n.Err())
	if !ok || !errors.Is(n.Err(), ErrLost) {
		t.Fatalf("the node ended with %v, want ErrLost", n.Err())
	}
	for _, text := range append(texts, "n3", "move it away") {
		if !strings.Contains(lost.Error(), text) {
			t.Errorf("no %q in %q", text, lost)
		}
	}
	_, err := n.Group("tally").Propose(ctx, []byte("x"))
	if !errors.Is(err, ErrStopped) || !errors.Is(err, ErrLost) {
		t.Errorf("a call at the node ends with %v, want ErrStopped and why", err)
	}
}

// startBeside starts a node on a disk without telling anybody where it is.
func startBeside(ctx context.Context, c *LocalCluster, name string, disk *storage.Memory) (*Node, error) {
	c.mu.Lock()
	beside := &LocalCluster{network: c.network, groups: c.groups, logger: c.logger, id: c.id, seen: maps.Clone(c.seen)}
	c.mu.Unlock()
	return Start(ctx, Config{
		Name: name, Groups: c.groups, Logger: c.logger,
		Listen: Addresses{API: "copy:1", Link: "copy:2", Gossip: "copy:3"},
		local:  &localNode{cluster: beside, fs: disk, network: c.network.Host("copy")},
	})
}

// D13: a copy of a node's directory, started beside it, ends for good. The node and
// the cluster go on.
func TestACopyBesideItsNodeEndsForGood(t *testing.T) {
	c, ctx := startTally(t, Raft)
	count(ctx, t, c)
	disk := c.fs[2].Clone(9)
	beside, err := startBeside(ctx, c, "n3", disk)
	if err != nil {
		t.Fatal(err)
	}
	endsForGood(ctx, t, beside, "refuses node n3", "copy")
	if _, err := startBeside(ctx, c, "n3", disk.Clone(1)); !errors.Is(err, ErrLost) {
		t.Errorf("the copy starts again: %v, want ErrLost", err)
	}
	for n := range 20 {
		if got := count(ctx, t, c); got != fmt.Sprint(n+2) {
			t.Fatalf("%s commands are applied, want %d", got, n+2)
		}
	}
	for i := range 3 {
		if err := c.Node(i).Err(); err != nil {
			t.Errorf("%s has ended: %v", localName(i), err)
		}
		if err := c.Node(i).Ready(ctx); err != nil {
			t.Errorf("%s: %v", localName(i), err)
		}
	}
}

// heard waits until node i's peers know how far its log is.
func heard(ctx context.Context, t *testing.T, c *LocalCluster, i int) {
	t.Helper()
	id, position := cluster.NodeID(c.Node(i).ID()), c.Node(i).store.Position()
	for j := range c.nodes {
		for j != i && !slices.ContainsFunc(c.Node(j).link.Stats().Peers, func(p cluster.PeerStats) bool {
			return p.Peer == id && p.Position >= position
		}) {
			if ctx.Err() != nil {
				t.Fatalf("%s does not know the position of %s", localName(j), localName(i))
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// D13: an older copy that takes the node's place after more was acknowledged ends
// for good, whoever leads in which term; with an empty disk the node is back as a
// new member.
func TestAnOlderCopyInPlaceOfANodeEndsForGood(t *testing.T) {
	for _, leads := range []bool{false, true} {
		t.Run(fmt.Sprintf("of the leader %v", leads), func(t *testing.T) {
			c, ctx := startTally(t, Raft)
			leader := 0
			if leads {
				leader = 2
			}
			lead(ctx, t, c, leader)
			count(ctx, t, c)
			older := c.fs[2].Clone(9)
			for range 20 {
				count(ctx, t, c)
			}
			heard(ctx, t, c, 2)
			c.Kill(2)
			if got := count(ctx, t, c); got != "22" { // a new term, if it has led
				t.Fatalf("%s commands are applied, want 22", got)
			}
			c.fs[2] = older
			if err := c.Restart(ctx, 2); err != nil {
				t.Fatal(err)
			}
			endsForGood(ctx, t, c.Node(2), "refuses node n3", "older copy")
			c.Kill(2)
			if err := c.Restart(ctx, 2); !errors.Is(err, ErrLost) {
				t.Fatalf("the copy starts again: %v, want ErrLost", err)
			}
			c.fs[2] = storage.NewMemory(77)
			if err := c.Restart(ctx, 2); err != nil {
				t.Fatal(err)
			}
			if err := c.Node(2).Ready(ctx); err != nil {
				t.Fatal(err)
			}
			if got := count(ctx, t, c); got != "23" {
				t.Fatalf("%s commands are applied, want 23", got)
			}
		})
	}
}

// The directory itself is nobody's copy, however its node dies, and wherever it is
// moved to.
func TestADirectoryThatGoesOnIsNeverRefused(t *testing.T) {
	c, ctx := startTally(t, Raft)
	for n := range 10 {
		i := n % 3
		count(ctx, t, c)
		heard(ctx, t, c, i)
		c.Kill(i)
		if n%2 == 0 {
			c.fs[i] = c.fs[i].Clone(uint64(n))
		}
		if err := c.Restart(ctx, i); err != nil {
			t.Fatal(err)
		}
		if err := c.Node(i).Ready(ctx); err != nil {
			t.Fatalf("start %d: %v, ended with %v", n, err, c.Node(i).Err())
		}
	}
	for i := range 3 {
		if err := c.Node(i).Err(); err != nil {
			t.Errorf("%s has ended: %v", localName(i), err)
		}
	}
}

// All members know how far each other's logs are, those too that have nothing to say
// to each other: otherwise a copy would be refused only by some.
func TestFollowersKnowEachOthersPositions(t *testing.T) {
	c, ctx := startTally(t, Raft)
	lead(ctx, t, c, 0)
	for _, i := range []int{1, 2} {
		c.Kill(i)
		if err := c.Restart(ctx, i); err != nil {
			t.Fatal(err)
		}
		if err := c.Node(i).Ready(ctx); err != nil {
			t.Fatal(err)
		}
		count(ctx, t, c)
	}
	heard(ctx, t, c, 1)
	heard(ctx, t, c, 2)
}

// heartbeat is one to g that says what its replica has acknowledged.
func heartbeat(g *Group, from, term, match uint64) proto.Message {
	if g.config.Engine == Paxos {
		return &messages.PaxosMessage{From: from, To: g.node.ID(), Group: uint32(g.id), Ballot: term,
			Body: &messages.PaxosMessage_Heartbeat{Heartbeat: &messages.PaxosHeartbeat{Match: match}}}
	}
	return &messages.RaftMessage{From: from, To: g.node.ID(), Group: uint32(g.id), Term: term,
		Body: &messages.RaftMessage_Heartbeat{Heartbeat: &messages.Heartbeat{Match: match}}}
}

// lostReply is the answer of a replica that has lost what it had acknowledged.
func lostReply(g *Group, from, term uint64) proto.Message {
	if g.config.Engine == Paxos {
		return &messages.PaxosMessage{From: from, To: g.node.ID(), Group: uint32(g.id), Ballot: term,
			Body: &messages.PaxosMessage_HeartbeatReply{HeartbeatReply: &messages.PaxosHeartbeatReply{Lost: true}}}
	}
	return &messages.RaftMessage{From: from, To: g.node.ID(), Group: uint32(g.id), Term: term,
		Body: &messages.RaftMessage_HeartbeatReply{HeartbeatReply: &messages.HeartbeatReply{Lost: true}}}
}

// D13: what a leader proves ends the node just as well.
func TestANodeThatHasLostEntriesEndsForGood(t *testing.T) {
	for _, engine := range []Engine{Raft, Paxos} {
		t.Run(string(engine), func(t *testing.T) {
			c, ctx := startTally(t, engine)
			lead(ctx, t, c, 0)
			count(ctx, t, c)
			leader, g := c.Node(0), c.Node(2).Group("tally")
			node := c.Node(2)
			status, err := leader.Group("tally").Status(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.handle.WaitApplied(ctx, raft.Index(status.Last)); err != nil {
				t.Fatal(err)
			}
			node.system.Root.Send(g.handle.PID(), heartbeat(g, leader.ID(), status.Term, status.Last+7))
			endsForGood(ctx, t, node, "group tally", fmt.Sprintf("entries %d to %d", status.Last+1, status.Last+7), "it had acknowledged to leader "+cluster.NodeID(leader.ID()).String())
			c.Kill(2)
			if err := c.Restart(ctx, 2); !errors.Is(err, ErrLost) {
				t.Fatalf("the node starts again: %v, want ErrLost", err)
			}
			if got := count(ctx, t, c); got != "2" {
				t.Fatalf("%s commands are applied, want 2", got)
			}
		})
	}
}

// The leader tells of it too, if the answer reached it before the node ended.
func TestTheLeaderTellsThatAPeerHasLostEntries(t *testing.T) {
	for _, engine := range []Engine{Raft, Paxos} {
		t.Run(string(engine), func(t *testing.T) {
			c, ctx := startTally(t, engine)
			lead(ctx, t, c, 0)
			leader, g := c.Node(0), c.Node(0).Group("tally")
			status, err := g.Status(ctx)
			if err != nil {
				t.Fatal(err)
			}
			told := make(chan Event, 1)
			defer leader.Subscribe(func(e Event) {
				if e.Kind == "peer lost entries" {
					told <- e
				}
			})()
			leader.system.Root.Send(g.handle.PID(), lostReply(g, c.Node(2).ID(), status.Term))
			select {
			case e := <-told:
				if e.Attrs["peer"] != "n3" || e.Group != "tally" {
					t.Errorf("the leader tells %+v, want that n3 has lost entries", e)
				}
			case <-ctx.Done():
				t.Error("the leader does not tell that a peer has lost entries")
			}
		})
	}
}

// What a peer says without TLS ends the node, and no more: anybody may have told the
// peer a position in the node's name. What is proven marks the directory in any case.
func TestOnlyWhatIsProvenMarksTheDirectory(t *testing.T) {
	c := &certified{t: t, ctx: t.Context(), ca: newAuthority(t, "prod")}
	copied := func(n *Node) { n.refusedAsCopy(99, "its data directory is an older copy") }
	for _, test := range []struct {
		name   string
		secure bool
		lose   func(*Node)
		marked bool
	}{
		{"refused without TLS", false, copied, false},
		{"refused with TLS", true, copied, true},
		{"lost without TLS", false, func(n *Node) {
			n.fail(&group.LossError{Group: "tally", When: "term 5", Loss: raft.Loss{Term: 5, Leader: 99, Acknowledged: 4}})
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			config := Config{Name: "n3", Dir: t.TempDir(), Bootstrap: true, Groups: []GroupConfig{{Name: "tally", New: func() StateMachine { return &tally{} }}},
				Listen: Addresses{API: loopbackAddress(t), Link: unusedAddress(t), Gossip: unusedAddress(t)}}
			if test.secure {
				config.TLS, config.GossipKey = c.material("n3"), make([]byte, 32)
			}
			n, err := Start(ctx, config)
			if err != nil {
				t.Fatal(err)
			}
			test.lose(n)
			endsForGood(ctx, t, n, config.Dir)
			if told := strings.Contains(n.Err().Error(), "not marked"); told == test.marked {
				t.Errorf("the node ended with %v", n.Err())
			}
			again, err := Start(ctx, config)
			if errors.Is(err, ErrLost) != test.marked {
				t.Fatalf("the node starts again: %v; want the directory marked: %v", err, test.marked)
			}
			if err == nil {
				again.end(nil)
			}
		})
	}
}

// A disk that hangs does not keep a node alive that must not go on, and the
// directory is marked when the disk answers.
func TestANodeEndsWhileItsDirectoryCannotBeMarked(t *testing.T) {
	c, ctx := startTally(t, Raft)
	count(ctx, t, c)
	n := c.Node(2)
	shut, begun := hang(c.fs[2])
	n.refusedAsCopy(99, "its data directory is a copy")
	<-begun
	for n.Err() == nil {
		if ctx.Err() != nil {
			t.Fatal("the node goes on while its disk hangs")
		}
		time.Sleep(10 * time.Millisecond)
	}
	close(shut)
	endsForGood(ctx, t, n, "refuses node n3")
	c.fs[2].SetFault(nil)
	c.Kill(2)
	if err := c.Restart(ctx, 2); !errors.Is(err, ErrLost) {
		t.Fatalf("the node starts again: %v, want ErrLost", err)
	}
}
