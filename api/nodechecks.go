package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/actors/master"
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
	} else if full := diskFull(n.node.Storage()); full != "" { // reads go on
		disk.Reason = "the " + full
	}
	checks := []Check{raft, disk, state}
	for _, g := range n.node.Groups() {
		if h := g.Master(); h != nil {
			checks = append(checks, masterCheck(g, h))
		}
	}
	return n.since(append(checks, secretChecks(n.node.Secrets(), time.Now())...)...)
}

// expiresSoon is how long before its end a certificate is warned of.
const expiresSoon = 30 * 24 * time.Hour

// secretChecks tell of certificates and keys. Nodes of one cluster say the same of "authorities" and
// "gossip key", unless one of them is just being replaced.
func secretChecks(s synod.Secrets, now time.Time) (checks []Check) {
	if s.TLS != nil {
		left := s.TLS.Until.Sub(now)
		c := Check{Name: "certificate", OK: left > 0, Warn: left > 0 && left < expiresSoon,
			Reason: fmt.Sprintf("valid until %s, for %d days, signed by %s", s.TLS.Until.Format(time.DateOnly), int(left/(24*time.Hour)), cmp.Or(s.TLS.SignedBy, "nobody who is trusted"))}
		if !c.OK {
			c.Reason = "it has expired on " + s.TLS.Until.Format(time.DateOnly)
		}
		checks = append(checks, c, Check{Name: "authorities", OK: true, Reason: "trusts " + strings.Join(s.TLS.Authorities, ", ")})
	}
	if keys := s.GossipKeys; len(keys) > 0 {
		c := Check{Name: "gossip key", OK: true, Reason: "sends with " + keys[0]}
		if len(keys) > 1 {
			c.Reason += ", understands also " + strings.Join(keys[1:], ", ")
		}
		checks = append(checks, c)
	}
	return checks
}

// masterCheck tells whose master leads. A cluster whose founder was not started again since
// it was upgraded has no registry, and is well without.
func masterCheck(g *synod.Group, h *synod.Master) Check {
	c := Check{Name: "master:" + g.Name(), OK: true}
	not, is := errors.AsType[*master.NotLeadingError](h.Leads())
	switch {
	case !is:
		c.Reason = "this node's master leads"
	case not.Starting:
		c.OK, c.Reason = false, "this node's master leads and has not read the registry yet"
	case not.Name != "":
		c.Reason = not.Name + " leads"
	default:
		ctx, cancel := context.WithTimeout(context.Background(), checkTimeout) // the group of the keys may have used up its own
		defer cancel()
		status, err := g.Status(ctx)
		if c.OK = err == nil && len(status.Members) == 0; c.OK {
			c.Reason = "this node has no place in the registry yet: there is none before the node that has founded the cluster was started with --bootstrap"
		} else {
			c.Reason = "no master leads"
		}
	}
	return c
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
		case last.OK != checks[i].OK || last.Warn != checks[i].Warn:
			checks[i].Since = time.Now()
		}
		n.checks[checks[i].Name] = checks[i]
	}
	return checks
}
