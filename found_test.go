package synod

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/storage"
)

// plan is how nodes of one cluster are started, each with its own addresses.
type plan struct {
	t     *testing.T
	nodes []Config
}

// planned makes the flags of n nodes: the first founds, each joins all others.
func planned(t *testing.T, n int) *plan {
	if testing.Short() {
		t.Skip("real gossip takes seconds")
	}
	p := &plan{t: t}
	for i := range n {
		p.nodes = append(p.nodes, Config{Name: localName(i), ClusterName: "found", Bootstrap: i == 0, Dir: t.TempDir(),
			Listen: Addresses{API: unusedAddress(t), Link: unusedAddress(t), Gossip: unusedAddress(t)},
			Groups: []GroupConfig{{Name: "g", New: func() StateMachine { return nothing{} }}}})
	}
	for i := range p.nodes {
		for j, other := range p.nodes {
			if i != j {
				p.nodes[i].Join = append(p.nodes[i].Join, other.Listen.Gossip)
			}
		}
	}
	return p
}

func unusedAddress(t *testing.T) string {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // at the end, so that the next one is another
		if u, err := net.ListenPacket("udp", l.Addr().String()); err == nil {
			u.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free for TCP and UDP")
	return ""
}

func (p *plan) start(ctx context.Context, i int) (*Node, error) {
	node, err := Start(ctx, p.nodes[i])
	if err == nil {
		p.t.Cleanup(func() { node.end(ErrStopped) })
	}
	return node, err
}

// lose forgets all that a node had.
func (p *plan) lose(i int) { p.nodes[i].Dir = p.t.TempDir() }

// startAll starts the named nodes at once and waits until voters vote.
func (p *plan) startAll(ctx context.Context, voters int, which ...int) []*Node {
	p.t.Helper()
	nodes, errs := make([]*Node, len(p.nodes)), make(chan error)
	for _, i := range which {
		go func() {
			var err error
			nodes[i], err = p.start(ctx, i)
			errs <- err
		}()
	}
	for range which {
		if err := <-errs; err != nil {
			p.t.Fatal(err)
		}
	}
	for _, i := range which {
		awaitVoters(p.t, ctx, nodes[i], voters)
	}
	return nodes
}

func awaitVoters(t *testing.T, ctx context.Context, n *Node, wanted int) {
	t.Helper()
	votes := 0
	err := n.await(ctx, func() bool {
		votes = 0
		for _, m := range n.groups[0].handle.View().Configuration.Members {
			if m.Voter {
				votes++
			}
		}
		return votes == wanted && n.Ready(ctx) == nil
	})
	if err != nil {
		t.Fatalf("%s sees %d voters, want %d: %v", n.Name(), votes, wanted, err)
	}
}

func minute(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestAFounderDoesNotFoundWhileASeedIsSilent(t *testing.T) {
	p, ctx := planned(t, 3), minute(t)
	other, err := p.start(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	rounds := 0
	asks, giveUp := context.WithCancel(ctx)
	defer giveUp()
	p.nodes[0].Progress = func(stage string, done, total int64) { // one of two has answered, in several rounds
		if stage == "seeds" && done == 1 && total == 2 {
			if rounds++; rounds == 5 {
				giveUp()
			}
		}
	}
	node, err := p.start(asks, 0)
	if node != nil || !errors.Is(err, context.Canceled) {
		t.Fatalf("started with %v while %s was silent", err, p.nodes[2].Listen.Gossip)
	}
	if text := err.Error(); !strings.Contains(text, p.nodes[2].Listen.Gossip) || strings.Contains(text, p.nodes[1].Listen.Gossip) {
		t.Errorf("error %q, want one that names the silent seed %s alone", text, p.nodes[2].Listen.Gossip)
	}
	if other.Cluster() != "" {
		t.Fatalf("%s is in cluster %s", other.Name(), other.Cluster())
	}
	// The silent one answers: they are a cluster in no time.
	other.end(ErrStopped)
	p.lose(0)
	p.nodes[0].Progress = nil
	began := time.Now()
	nodes := p.startAll(ctx, 3, 0, 1, 2)
	t.Logf("three voters after %v", time.Since(began))
	if nodes[0].Cluster() != foundedBy(nodes[0].ID()) {
		t.Errorf("the cluster is %s, not that of its founder", nodes[0].Cluster())
	}
}

func TestWhatAFounderHearsDecidesWhetherItFounds(t *testing.T) {
	fresh := cluster.Member{Meta: &messages.NodeMeta{}}
	member := cluster.Member{Meta: &messages.NodeMeta{Cluster: "a"}}
	for _, c := range []struct {
		what    string
		silent  []string
		members []cluster.Member
		founds  bool
	}{
		{"all have answered and none has a cluster", nil, []cluster.Member{fresh, fresh}, true},
		{"one is silent", []string{"x:1"}, []cluster.Member{fresh, fresh}, false},
		{"one has a cluster", nil, []cluster.Member{fresh, fresh, member}, false},
		{"only itself has answered", nil, []cluster.Member{fresh}, false},
	} {
		if got := mayFound(c.silent, c.members); got != c.founds {
			t.Errorf("%s: founds %t, want %t", c.what, got, c.founds)
		}
	}
}

func TestANewcomerJoinsNoneOfTwoClusters(t *testing.T) {
	p, ctx := planned(t, 1), minute(t)
	p.nodes[0].Bootstrap = false
	p.nodes[0].Join = []string{unusedAddress(t)}
	n, err := p.start(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	of := func(id cluster.NodeID, name string) cluster.Member {
		return cluster.Member{ID: id, Meta: &messages.NodeMeta{Cluster: name}}
	}
	n.onMembers([]cluster.Member{of(1, "ended"), of(2, "first"), of(3, "first")})
	if n.Cluster() != "" {
		t.Fatalf("it is in %s, while gossip held nodes of two clusters", n.Cluster())
	}
	n.onMembers([]cluster.Member{of(2, "first"), of(3, "first"), of(4, "")})
	if n.Cluster() != "first" {
		t.Fatalf("it is in %q, want first", n.Cluster())
	}
}

func TestAFounderWithoutSeedsFoundsAtOnce(t *testing.T) {
	p, ctx := planned(t, 1), minute(t)
	p.nodes[0].Join = []string{p.nodes[0].Listen.Gossip} // itself
	nodes := p.startAll(ctx, 1, 0)
	if nodes[0].Cluster() != foundedBy(nodes[0].ID()) {
		t.Errorf("the cluster is %s, not that of its founder", nodes[0].Cluster())
	}
}

func TestAFounderWithoutItsDirectoryTakesItsPlaceAgain(t *testing.T) {
	for _, silent := range []int{-1, 2} {
		p, ctx := planned(t, 3), minute(t)
		nodes := p.startAll(ctx, 3, 0, 1, 2)
		result, err := nodes[0].groups[0].Propose(ctx, []byte("acknowledged"))
		if err != nil {
			t.Fatal(err)
		}
		nodes[0].end(ErrStopped)
		p.lose(0)
		if silent > 0 { // one of the two others is enough to know of the cluster
			nodes[silent].end(ErrStopped)
		}
		again, err := p.start(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		if again.ID() == nodes[0].ID() || again.Cluster() != nodes[1].Cluster() {
			t.Fatalf("id %x in cluster %s, want a new member of %s", again.ID(), again.Cluster(), nodes[1].Cluster())
		}
		if silent > 0 {
			if _, err := p.start(ctx, silent); err != nil {
				t.Fatal(err)
			}
		}
		awaitVoters(t, ctx, again, 3)
		if err := again.groups[0].ReadAt(ctx, result.Index, func(StateMachine, uint64) {}); err != nil {
			t.Fatalf("what was acknowledged is not there: %v", err)
		}
	}
}

func TestALoneFounderOnWhichAnotherClusterCountsEnds(t *testing.T) {
	p, ctx := planned(t, 3), minute(t)
	nodes := p.startAll(ctx, 3, 0, 1, 2)
	nodes[0].end(ErrStopped)
	p.lose(0)
	p.nodes[0].Join = nil
	// Also when it is started again.
	for _, attempt := range []string{"first", "second"} {
		node, err := p.start(ctx, 0)
		if err == nil {
			select {
			case <-node.Done():
				err = node.Err()
			case <-ctx.Done():
				t.Fatalf("%s start: two clusters run", attempt)
			}
		}
		second, ok := errors.AsType[*SecondClusterError](err)
		if !ok || second.First != nodes[1].Cluster() || second.Own == second.First || second.Node != "n2" && second.Node != "n3" {
			t.Fatalf("%s start: it ends with %v, want a SecondClusterError", attempt, err)
		}
	}
	if _, err := nodes[1].groups[0].Status(ctx); err != nil || nodes[1].Err() != nil || nodes[2].Err() != nil {
		t.Errorf("the first cluster suffers: %v, %v, %v", err, nodes[1].Err(), nodes[2].Err())
	}
}

func TestOnlyAFounderThatNobodyJoinedAndThatJoinsOthersEnds(t *testing.T) {
	p, ctx := planned(t, 4), minute(t)
	seeds := p.nodes[0].Listen.Gossip
	p.nodes[0].Join, p.nodes[1].Join = []string{p.nodes[1].Listen.Gossip}, []string{seeds}
	nodes := p.startAll(ctx, 2, 0, 1) // Voters is 3
	p.nodes[2].Join, p.nodes[2].Bootstrap = nil, true
	lone := p.startAll(ctx, 1, 2)[2]
	for _, n := range []*Node{nodes[0], nodes[1], lone} {
		if n.foundedAlone() != (n == lone) {
			t.Errorf("%s has founded its cluster and stayed alone: %t", n.Name(), n.foundedAlone())
		}
	}
	// A third cluster's founder is told to join both of them.
	p.nodes[3].Join, p.nodes[3].Bootstrap = nil, true
	stray := p.startAll(ctx, 1, 3)[3]
	stray.end(ErrStopped)
	p.nodes[3].Join = []string{seeds, p.nodes[2].Listen.Gossip}
	stray, err := p.start(ctx, 3)
	if err == nil {
		select {
		case <-stray.Done():
			err = stray.Err()
		case <-ctx.Done():
			t.Fatal("two clusters run, though one was told to join the other")
		}
	}
	if _, ok := errors.AsType[*SecondClusterError](err); !ok {
		t.Fatalf("it ends with %v, want a SecondClusterError", err)
	}
	for _, n := range []*Node{nodes[0], nodes[1], lone} {
		if err := n.Ready(ctx); err != nil || n.Err() != nil {
			t.Errorf("%s, which others joined or which was to join nobody, suffers: %v, %v", n.Name(), err, n.Err())
		}
	}
}

// Gossip may tell of a cluster until the last moment.
func TestAFounderThatIsTakenIntoAClusterMeanwhileJoinsIt(t *testing.T) {
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "n1", SegmentBytes: memorySegmentBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	n := &Node{store: store, id: store.Identity().Incarnation}
	if err := n.setCluster("other"); err != nil { // by onMembers
		t.Fatal(err)
	}
	if err := n.foundUnlessJoined(); err != nil || n.Cluster() != "other" {
		t.Fatalf("in cluster %q, %v; want it in the other one", n.Cluster(), err)
	}
}
