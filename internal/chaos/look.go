package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// requestLimit bounds one request of the harness itself.
const requestLimit = time.Second

// Status asks node n for its own view.
func (c *Cluster) Status(ctx context.Context, n int) (NodeStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	return c.HTTP.Status(ctx, c.Nodes[n].API)
}

// ErrNoLeader says that no node claims to lead now.
var ErrNoLeader = errors.New("chaos: no node leads")

// statuses asks all nodes at a time; who does not answer has no role.
func (c *Cluster) statuses(ctx context.Context) []NodeStatus {
	list := make([]NodeStatus, len(c.Nodes))
	var asked sync.WaitGroup
	for n := range c.Nodes {
		if p := c.Nodes[n].Process(); p != nil && !p.Alive() {
			continue
		}
		asked.Go(func() {
			if status, err := c.Status(ctx, n); err == nil {
				list[n] = status
			}
		})
	}
	asked.Wait()
	return list
}

// named returns the node of that name.
func (c *Cluster) named(name string) *Node {
	return c.Nodes[slices.IndexFunc(c.Nodes, func(n *Node) bool { return n.Name == name })]
}

// Leader returns the node that leads in the highest term.
func (c *Cluster) Leader(ctx context.Context) (int, error) {
	leader, term := -1, uint64(0)
	for n, status := range c.statuses(ctx) {
		if status.Role == "leader" && status.Term >= term {
			leader, term = n, status.Term
		}
	}
	if leader < 0 {
		return 0, ErrNoLeader
	}
	return leader, nil
}

// WaitLeader waits until some node leads.
func (c *Cluster) WaitLeader(ctx context.Context, limit time.Duration) (leader int, err error) {
	err = poll(limit, func() (err error) {
		if ctx.Err() != nil {
			return fatal{ctx.Err()}
		}
		leader, err = c.Leader(ctx)
		return err
	})
	return leader, err
}

// listed returns what node n has below root, when nothing was applied between two pages and somebody leads.
func (c *Cluster) listed(ctx context.Context, n int, root string) (final Final, err error) {
	err = poll(recoverLimit, func() (err error) {
		final, err = c.HTTP.List(ctx, c.Nodes[n].API, root, LevelLinearizable)
		return err
	})
	return final, err
}

// term is the highest that a node knows of.
func (c *Cluster) term(ctx context.Context) (term uint64) {
	for _, status := range c.statuses(ctx) {
		term = max(term, status.Term)
	}
	return term
}

// WaitHealthy waits until all nodes know one leader and as many voters as there shall be, and say nothing against the registry.
func (c *Cluster) WaitHealthy(ctx context.Context, limit time.Duration) error {
	return poll(limit, func() error {
		if err := errors.Join(c.Unplanned(), ctx.Err()); err != nil {
			return fatal{err}
		}
		leader := ""
		for n, node := range c.Nodes {
			status, err := c.Status(ctx, n)
			switch {
			case err != nil:
				return err
			case status.Voters != c.voters():
				return fmt.Errorf("chaos: %s knows %d of %d voters", node.Name, status.Voters, c.voters())
			case status.Leader == "" || leader != "" && status.Leader != leader:
				return fmt.Errorf("chaos: %s follows %q, not %q", node.Name, status.Leader, leader)
			}
			leader = status.Leader
			for _, reason := range status.Reasons {
				if strings.Contains(reason, "registry") {
					return fmt.Errorf("chaos: %s says: %s", node.Name, reason)
				}
			}
		}
		return nil
	})
}

// WaitEqual waits until all nodes have applied the same entries and returns their
// states. The digests must be equal.
func (c *Cluster) WaitEqual(ctx context.Context, limit time.Duration) ([]NodeStatus, error) {
	statuses := make([]NodeStatus, len(c.Nodes))
	err := poll(limit, func() (err error) {
		if err := errors.Join(c.Unplanned(), ctx.Err()); err != nil {
			return fatal{err}
		}
		for n := range c.Nodes {
			if statuses[n], err = c.Status(ctx, n); err != nil {
				return err
			}
			if statuses[n].Witness { // of its own it has no state to be compared
				statuses[n].Digest = statuses[0].Digest
			}
			if statuses[n].Applied != statuses[0].Applied || statuses[n].Digest.Index != statuses[0].Digest.Index {
				return fmt.Errorf("chaos: %s has applied %d, %s %d", c.Nodes[n].Name, statuses[n].Applied, c.Nodes[0].Name, statuses[0].Applied)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for n, status := range statuses {
		if status.Digest != statuses[0].Digest {
			return nil, fmt.Errorf("chaos: digests differ: %s %+v, %s %+v", c.Nodes[0].Name, statuses[0].Digest, c.Nodes[n].Name, status.Digest)
		}
	}
	return statuses, nil
}
