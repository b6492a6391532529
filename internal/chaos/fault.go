package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// recoverLimit bounds how long a node or the cluster may take to come back.
const recoverLimit = 30 * time.Second

// inject carries out one fault from beginning to end: the targets are chosen
// among the roles of this moment, and when it returns every node has been
// started again and the network is whole.
func (r *Run) inject(ctx context.Context, f Fault) error {
	leader, err := r.cluster.WaitLeader(ctx, recoverLimit)
	if err != nil {
		return err
	}
	r.workload.Leads(leader)
	r.logf("cycle %d: %v, leader %s", r.report.Cycles, f, r.cluster.Nodes[leader].Name)
	switch f.Kind {
	case KillLeader, KillFollower, KillMajority, KillAll:
		return r.kill(ctx, f, leader)
	case PauseLeader, PauseFollower, PauseMajority:
		targets := r.targets(f, leader)
		r.cluster.Pause(targets...)
		defer r.cluster.Resume(targets...)
		return hold(ctx, f.Hold)
	case PowerFollower, PowerLeader, PowerMajority, PowerAll:
		return r.cutPower(ctx, f, leader)
	case WriteError, NoSpace, SlowDisk, LyingDisk, FullDisk:
		return r.harmDisk(ctx, f, leader)
	case OneLink, Chain, Star, Constrained:
		return r.partial(ctx, f, leader)
	}
	return r.cut(ctx, f, leader)
}

// hold waits for as long as a fault lasts.
func hold(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// targets are the nodes that a fault hits.
func (r *Run) targets(f Fault, leader int) []int {
	n := len(r.cluster.Nodes)
	all := make([]int, n)
	for i := range all {
		all[i] = (f.Pick + i) % n
	}
	followers := slices.DeleteFunc(slices.Clone(all), func(i int) bool { return i == leader })
	switch f.Kind {
	case KillLeader, PauseLeader, PowerLeader, IsolateLeader, LeaderDeaf, LeaderMute, Flapping, OneLink, Chain, Constrained:
		return []int{leader}
	case KillMajority, PauseMajority, PowerMajority:
		return all[:n/2+1]
	case KillAll, PowerAll:
		return all
	case WriteError, NoSpace, SlowDisk, LyingDisk, FullDisk:
		return all[:1]
	}
	return followers[:1]
}

func (r *Run) kill(ctx context.Context, f Fault, leader int) error {
	targets := r.targets(f, leader)
	r.cluster.Kill(targets...)
	if err := hold(ctx, f.Hold); err != nil {
		return err
	}
	return r.restart(targets)
}

func (r *Run) restart(nodes []int) error {
	for _, n := range nodes {
		if err := r.cluster.Start(n); err != nil {
			return err
		}
	}
	return nil
}

// doubtAfterCut is how long after a power cut of some nodes an acknowledgement
// may still rest on a flush that raced with it: a follower's answer travels to the
// leader and from there to the client. Of a cut of all nodes nothing travels on.
const doubtAfterCut = 200 * time.Millisecond

func (r *Run) cutPower(ctx context.Context, f Fault, leader int) error {
	targets := r.targets(f, leader)
	if err := r.power(ctx, targets); err != nil {
		return err
	}
	if err := hold(ctx, f.Hold); err != nil {
		return err
	}
	return r.restart(targets)
}

// power cuts the power of nodes, puts what was acknowledged meanwhile in doubt,
// and returns when no more doubt is left.
func (r *Run) power(ctx context.Context, nodes []int) error {
	from := r.recorder.Now()
	err := r.cluster.CutPower(nodes...)
	if len(nodes) < len(r.cluster.Nodes) {
		err = errors.Join(err, hold(ctx, doubtAfterCut))
	}
	r.recorder.Doubt(from, r.recorder.Now())
	return err
}

// cut takes parts of the network away for a while.
func (r *Run) cut(ctx context.Context, f Fault, leader int) error {
	network := r.cluster.Network
	if network == nil {
		return fmt.Errorf("chaos: %s needs nodes in networks of their own", f.Kind)
	}
	target := r.targets(f, leader)[0]
	rules := r.rules(f.Kind, target)
	if f.Kind != Flapping {
		if err := network.Apply(rules); err != nil {
			return err
		}
		if err := hold(ctx, f.Hold); err != nil {
			return err
		}
		return network.Apply(nil)
	}
	for n := range 20 {
		now := rules
		if n%2 == 1 {
			now = nil
		}
		if err := network.Apply(now); err != nil {
			return err
		}
		if err := hold(ctx, f.Hold/20); err != nil {
			return err
		}
	}
	return network.Apply(nil)
}

// rules are what a network fault drops, for every ordered pair of nodes.
func (r *Run) rules(kind FaultKind, target int) []Rule {
	n := len(r.cluster.Nodes)
	var rules []Rule
	for from := range n {
		for to := range n {
			if loss := lost(kind, target, from, to, n); from != to && loss > 0 {
				rules = append(rules, Rule{from, to, loss})
			}
		}
	}
	return rules
}

// lost is the percentage of packets between two nodes that a fault takes.
func lost(kind FaultKind, target, from, to, n int) int {
	hit := false
	switch kind {
	case IsolateLeader, IsolateFollower, Flapping:
		hit = from == target || to == target
	case LeaderDeaf:
		hit = to == target
	case LeaderMute:
		hit = from == target
	case Ring:
		distance := (from - to + n) % n
		hit = distance != 1 && distance != n-1
		if n == 3 { // a line: the target's neighbours do not reach each other
			hit = from != target && to != target
		}
	case OneLink:
		next := (target + 1) % n
		hit = from == target && to == next || from == next && to == target
	case Chain:
		a, b := (from-target+n)%n, (to-target+n)%n
		hit = a-b != 1 && b-a != 1
	case Star:
		hit = from != target && to != target
	case Constrained:
		hub := (target + 1) % n
		hit = from == target || to == target || from != hub && to != hub
	case Loss:
		return 30
	}
	if hit {
		return 100
	}
	return 0
}
