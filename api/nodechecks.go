package api

import (
	"context"
	"fmt"
	"time"

	"github.com/synod-go/synod"
)

// Checks are recomputed at each call; Since is when one last changed between calls,
// and until then when the node began to serve.
func (n *node) Checks() []Check {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	g, err := n.group.Status(ctx)
	raft := Check{Name: string(n.group.Engine()) + ":" + n.group.Name(), OK: true}
	disk := Check{Name: "disk", OK: !g.Stalled}
	state := Check{Name: "state", OK: g.Quarantined == "", Reason: g.Quarantined}
	switch {
	case err != nil:
		raft.OK, raft.Reason = false, "the group does not answer: "+nodeReason(err)
	case g.Leader == "":
		raft.OK, raft.Reason = false, "no leader is known"
	case n.confirmed(ctx, g) != nil:
		raft.OK, raft.Reason = false, "the leader "+g.Leader+" has no majority"
		if behind := g.Commit - g.Applied; g.Applied < g.Commit {
			raft.Reason = fmt.Sprintf("applying the log: %d of %d entries are left", behind, g.Commit-g.Snapshot)
		}
	default:
		raft.Reason = g.Leader + " leads term " + fmt.Sprint(g.Term)
		if g.Ballot != "" {
			raft.Reason = g.Leader + " leads with ballot " + g.Ballot
		}
	}
	if g.Stalled {
		disk.Reason = "a write has not come back for long"
	} else if n.node.Storage().Full { // reads go on
		disk.Reason = "the " + diskFull
	}
	return n.since(raft, disk, state)
}

// confirmed asks whether the leader has a majority, and whether this node has caught
// up with it. A witness cannot read.
func (n *node) confirmed(ctx context.Context, g synod.GroupStatus) error {
	if g.Witness {
		return n.node.Ready(ctx)
	}
	return n.group.Read(ctx, synod.Linearizable, func(synod.StateMachine, uint64) {})
}

const checkTimeout = time.Second

func (n *node) since(checks ...Check) []Check {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range checks {
		last, ok := n.checks[checks[i].Name]
		checks[i].Since = last.Since
		switch {
		case !ok:
			checks[i].Since = n.began
		case last.OK != checks[i].OK:
			checks[i].Since = time.Now()
		}
		n.checks[checks[i].Name] = checks[i]
	}
	return checks
}
