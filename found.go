package synod

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/storage"
)

// foundedBy is the id of the cluster that a node founds. It follows from the
// node's own, so that a directory tells for ever whether it founded its cluster:
// one that joined may never found a second group beside the first.
func foundedBy(node uint64) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("synod cluster "), node))
	return hex.EncodeToString(sum[:8])
}

// foundedHere reports whether a node has founded the cluster with that id.
func foundedHere(id string, node uint64) bool { return cluster.OwnPart(id) == foundedBy(node) }

const (
	// firstAsk and lastAsk are between which times the seeds are asked again.
	firstAsk, lastAsk = 50 * time.Millisecond, time.Second
	// quietAsk is how long that goes on without a word, warnEvery how often the
	// log tells of it then.
	quietAsk, warnEvery = 2 * time.Second, 10 * time.Second
)

// found makes a fresh node with Config.Bootstrap the founder of a cluster, unless
// there is one. A second cluster beside the first would acknowledge writes that
// the first has never heard of, and a founder that has lost its directory is
// started like one that never had any. So it asks all of Config.Join, and founds
// when each of them has answered and nobody among them knows of a cluster. A node
// that is silent may belong to one: it is waited for, however long that takes.
func (n *Node) found(ctx context.Context) error {
	if n.Cluster() != "" || !n.cfg.Bootstrap {
		return nil
	}
	if seeds := n.seeds(); len(seeds) > 0 {
		if err := n.openGossip(); err != nil {
			return err
		}
		if err := n.askSeeds(ctx, seeds); err != nil || n.Cluster() != "" {
			return err
		}
	}
	return n.foundUnlessJoined()
}

// foundUnlessJoined founds, unless onMembers is quicker: then this node joins.
func (n *Node) foundUnlessJoined() error {
	err := n.setCluster(foundedBy(n.id))
	if n.Cluster() != "" {
		return nil
	}
	return err
}

// seeds are the addresses to join without this node's own.
func (n *Node) seeds() []string {
	return slices.DeleteFunc(slices.Clone(n.cfg.Join), func(address string) bool {
		return address == "" || address == n.cfg.Listen.Gossip || address == n.cfg.Advertise.Gossip
	})
}

// askSeeds returns when this node has been taken into a cluster, or when all
// seeds have answered, within one round, that they know of none.
func (n *Node) askSeeds(ctx context.Context, seeds []string) error {
	n.log.Info("asks whether there is a cluster before it founds one", "seeds", seeds)
	for warn, delay := time.Now().Add(quietAsk), firstAsk; ; delay = min(delay+delay/4, lastAsk) {
		silent := n.ask(seeds)
		if n.cfg.Progress != nil {
			n.cfg.Progress("seeds", int64(len(seeds)-len(silent)), int64(len(seeds)))
		}
		if members := n.gossip.Members(); n.Cluster() != "" || mayFound(silent, members) { // onMembers sets Cluster
			return nil
		}
		if len(silent) == 0 {
			silent = seeds // none of them is another node, or onMembers takes its time
		}
		n.waitFor("an answer whether there is a cluster from " + strings.Join(silent, ", "))
		if now := time.Now(); now.After(warn) {
			n.log.Warn("founds no cluster while nodes to join are silent: they may belong to one. Start them, or leave out those that never ran",
				"silent", silent)
			warn = now.Add(warnEvery)
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case err := <-n.failStop:
			return err
		case <-ctx.Done():
			return fmt.Errorf("synod: start: waiting for %s: %w", n.waitsFor(), ctx.Err())
		}
	}
}

// mayFound judges a round of questions. A node that sees only itself has asked
// itself, under another name.
func mayFound(silent []string, members []cluster.Member) bool {
	return len(silent) == 0 && len(members) > 1 && !slices.ContainsFunc(members, hasCluster)
}

// ask exchanges what gossip knows with all seeds at once and returns those that
// do not answer.
func (n *Node) ask(seeds []string) (silent []string) {
	answered := make([]bool, len(seeds))
	var asked sync.WaitGroup
	for i, seed := range seeds {
		asked.Go(func() {
			count, err := n.gossip.Join(seed)
			answered[i] = err == nil && count > 0
		})
	}
	asked.Wait()
	for i, seed := range seeds {
		if !answered[i] {
			silent = append(silent, seed)
		}
	}
	return silent
}

// SecondClusterError ends a node that has founded a cluster, with
// Config.Bootstrap, beside the one that it belonged to.
type SecondClusterError struct {
	Own   string // the id of the cluster that the node has founded
	First string // of the other cluster
	Node  string // the node through which the other one was met
}

// Error names both clusters.
func (e *SecondClusterError) Error() string {
	return fmt.Sprintf("synod: it has founded a second cluster, %s, beside %s, that of node %s", e.Own, e.First, e.Node)
}

// countedOn is told that a node of another cluster dials this one: by that
// cluster's configuration one of its members is here.
func (n *Node) countedOn(name, other string) { n.foundedBeside(name, other) }

// meets is told that a node of another cluster is in this node's gossip. That may
// be somebody's wrong seed, unless this node was told to join others itself.
func (n *Node) meets(m cluster.Member) {
	if other := m.Meta.GetCluster(); cluster.Succeeds(other, n.Cluster()) {
		n.failStopWith(&storage.LostError{Dir: n.dataDir(), Reason: fmt.Sprintf("node %s tells that its cluster was replaced by %s", m.Name, other)})
		return
	}
	if len(n.seeds()) > 0 {
		n.foundedBeside(m.Name, m.Meta.GetCluster())
	}
}

// foundedBeside ends this node if it has founded a cluster that nobody has joined:
// then it is the other one that has the data, and whoever is told otherwise here
// is deceived.
func (n *Node) foundedBeside(name, other string) {
	if n.foundedAlone() {
		n.fail(&SecondClusterError{Own: n.Cluster(), First: other, Node: name})
	}
}

// foundedAlone reports whether this node has founded its cluster and nobody has
// joined: its groups still have the configuration that they began with. A cluster
// that others have joined is one of two real ones.
func (n *Node) foundedAlone() bool {
	joined := n.grouped.Load() && slices.ContainsFunc(n.groups, func(g *Group) bool {
		return g.handle.View().Configuration.Version > 0
	})
	return foundedHere(n.Cluster(), n.id) && !joined
}
