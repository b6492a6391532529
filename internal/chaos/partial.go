package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A partial partition cuts some links and leaves every node connected to some
// other. As long as one node reaches a majority, that node can lead; a protocol
// which elects whoever asks loudest changes leaders without end, or has none.

// leadershipLimit is four times the longest election timeout of default settings:
// how long a cluster in which a majority is connected may be without a leader.
const leadershipLimit = 4 * 2 * 300 * time.Millisecond

// successions is how often leadership may change while a partial partition lasts,
// after the first leader. On a busy machine one election may be for a heartbeat
// that was late; two nodes that depose each other need less than a second for each.
const successions = 1

// partial cuts links and fails the run unless a node that reaches a majority leads
// in time, and goes on to lead.
func (r *Run) partial(ctx context.Context, f Fault, leader int) error {
	if r.cluster.Network == nil {
		return fmt.Errorf("chaos: %s needs nodes in networks of their own", f.Kind)
	}
	rules := r.rules(f.Kind, r.targets(f, leader)[0])
	connected := quorumConnected(r.cluster.Nodes, rules)
	for range r.cluster.Nodes { // with roles apart not every star has somebody who can lead
		if slices.Contains(connected, true) {
			break
		}
		f.Pick++
		rules = r.rules(f.Kind, r.targets(f, leader)[0])
		connected = quorumConnected(r.cluster.Nodes, rules)
	}
	before, err := r.hearsAll(ctx, leader)
	if err != nil {
		return err
	}
	if err := r.cluster.Network.Apply(rules); err != nil {
		return err
	}
	cut := time.Now()
	first, err := r.leads(ctx, connected)
	wait := time.Since(cut)
	r.leaderships = append(r.leaderships, wait)
	switch {
	case err != nil:
		return errors.Join(fmt.Errorf("no node that reaches a majority leads: %w", err), r.cluster.Network.Apply(nil))
	case wait > leadershipLimit && !r.excuse(cut, cut.Add(wait), "cycle %d (%v): no node that reaches a majority led for %v", r.report.Cycles, f, wait):
		r.fail("cycle %d (%v): no node that reaches a majority led for %v, want one within %v", r.report.Cycles, f, wait, leadershipLimit)
	}
	r.logf("cycle %d: %s leads after %v", r.report.Cycles, first.Node, wait.Round(time.Millisecond))
	if connected[leader] { // it had no reason to go
		first = before
	}
	return errors.Join(r.remains(ctx, f, connected, first, cut.Add(f.Hold)), r.cluster.Network.Apply(nil))
}

// hearsAll waits until all nodes hear the leader, and it all voters: TCP may still rest
// from the last cut.
func (r *Run) hearsAll(ctx context.Context, leader int) (status NodeStatus, err error) {
	if err := r.cluster.WaitHealthy(ctx, recoverLimit); err != nil {
		return status, err
	}
	err = poll(recoverLimit, func() error {
		if status, err = r.cluster.Status(ctx, leader); err != nil {
			return err
		}
		if status.Up < r.cluster.voters() {
			return fmt.Errorf("chaos: the leader hears %d of %d voters", status.Up, r.cluster.voters())
		}
		return nil
	})
	return status, err
}

// quorumConnected tells which nodes could lead: those that may and that reach a
// majority of the voters, themselves among them if they vote, both ways.
func quorumConnected(nodes []*Node, rules []Rule) []bool {
	cut := make(map[[2]int]bool)
	for _, rule := range rules {
		cut[[2]int{rule.From, rule.To}] = rule.Loss == 100
	}
	connected := make([]bool, len(nodes))
	for a, node := range nodes {
		voters, reached := 0, 0
		for b, other := range nodes {
			if !other.plays("acceptor") {
				continue
			}
			voters++
			if !cut[[2]int{a, b}] && !cut[[2]int{b, a}] {
				reached++
			}
		}
		connected[a] = node.plays("proposer") && reached > voters/2
	}
	return connected
}

// leads waits until a node that reaches a majority has acknowledged a write, and
// returns what it said before.
func (r *Run) leads(ctx context.Context, connected []bool) (leader NodeStatus, err error) {
	err = poll(recoverLimit, func() (err error) {
		if leader, err = r.leaderAmong(ctx, connected); err != nil {
			return err
		}
		value := fmt.Sprintf("%d.%d", prober, r.recorder.Now())
		o := Operation{Client: prober, Kind: Put, Key: "chaos/probe/" + value, Value: value, Tries: 1, Node: leader.Node}
		limited, cancel := context.WithTimeout(ctx, requestLimit/3) // one that is just being deposed does not answer
		defer cancel()
		o.Call = r.recorder.Now()
		r.cluster.HTTP.Do(limited, r.cluster.named(leader.Node).API, &o)
		o.Return = r.recorder.Now()
		r.recorder.Add(o)
		if o.Outcome != Done {
			return fmt.Errorf("chaos: the leader did not acknowledge a write: %v", &o)
		}
		return nil
	})
	return leader, err
}

// leaderAmong returns what the node says that leads in the highest term among some.
func (r *Run) leaderAmong(ctx context.Context, nodes []bool) (leader NodeStatus, err error) {
	for n, status := range r.cluster.statuses(ctx) {
		if nodes[n] && status.Role == "leader" && status.Term >= leader.Term {
			leader = status
		}
	}
	if leader.Role == "" {
		return leader, ErrNoLeader
	}
	return leader, nil
}

// lookEvery is how often leadership is looked at while links are cut.
const lookEvery = 25 * time.Millisecond

// remains looks at who leads until end, and fails the run if that changes too often.
func (r *Run) remains(ctx context.Context, f Fault, connected []bool, first NodeStatus, end time.Time) error {
	term, changes, began := first.Term, 0, time.Now()
	for time.Now().Before(end) {
		now, err := r.leaderAmong(ctx, connected)
		if err == nil && now.Term != term { // without a leader there is an election
			term, changes = now.Term, changes+1
		}
		if err := hold(ctx, lookEvery); err != nil {
			return err
		}
	}
	r.report.Successions += changes
	if changes > successions && !r.excuse(began, end, "cycle %d (%v): leadership changed %d times", r.report.Cycles, f, changes) {
		r.fail("cycle %d (%v): leadership changed %d times, from %s in term %d to term %d", r.report.Cycles, f, changes, first.Node, first.Term, term)
	}
	return nil
}
