package paxos

import (
	"fmt"
	"slices"
	"testing"
)

// network is the nodes of one decree in memory, and the messages between them.
// Time passes and messages arrive only when a test says so.
type network struct {
	t     testing.TB
	now   Time
	nodes []*node
	queue []packet
	print func(format string, args ...any)
}

type packet struct {
	from, to ID
	message  Message
}

// setup says who plays which role. A node may play several.
type setup struct {
	acceptors, proposers, learners []ID
	scheme                         Scheme
	distinguished                  []ID
}

// node plays its roles until it crashes; its disk stays.
type node struct {
	net *network
	setup
	id       ID
	acceptor *Acceptor
	proposer *Proposer
	learner  *Learner
	// What is durable.
	state AcceptorState
	round uint64
	known Vote
	// brokenDisk lets the next save fail.
	brokenDisk bool
}

func newNetwork(t testing.TB, s setup) *network {
	w := &network{t: t, print: func(string, ...any) {}}
	all := slices.Concat(s.acceptors, s.proposers, s.learners)
	slices.Sort(all)
	for _, id := range slices.Compact(all) {
		n := &node{net: w, setup: s, id: id}
		w.nodes = append(w.nodes, n)
		n.start()
	}
	return w
}

func (w *network) node(id ID) *node {
	i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.id == id })
	if i < 0 {
		w.t.Fatalf("no node %d", id)
	}
	return w.nodes[i]
}

func (n *node) start() {
	q := mustMajority(n.acceptors...)
	var errs [3]error
	if slices.Contains(n.acceptors, n.id) {
		n.acceptor, errs[0] = NewAcceptor(AcceptorConfig{ID: n.id, Scheme: n.scheme, Learners: n.learners, Distinguished: n.distinguished}, n.state)
	}
	if slices.Contains(n.proposers, n.id) {
		n.proposer, errs[1] = NewProposer(ProposerConfig{ID: n.id, Quorums: q, Round: n.round, ReserveRounds: 1})
	}
	if slices.Contains(n.learners, n.id) {
		cfg := LearnerConfig{ID: n.id, Quorums: q, Scheme: n.scheme, Learners: n.learners, Distinguished: n.distinguished,
			Proposers: n.proposers, Chosen: n.known}
		n.learner, errs[2] = NewLearner(cfg, n.net.now)
	}
	for _, err := range errs {
		if err != nil {
			n.net.t.Fatalf("node %d does not start: %v", n.id, err)
		}
	}
}

func (n *node) crash() { n.acceptor, n.proposer, n.learner = nil, nil, nil }

// carryOut does what a host does with an Output.
func (n *node) carryOut(role string, out Output) {
	for _, a := range out.Alarms {
		n.net.print("%d %s: alarm, %v, in %v from %d", n.id, role, a.Kind, a.Ballot, a.From)
	}
	if out.Save != nil && n.brokenDisk {
		n.net.print("%d %s: save fails", n.id, role)
		n.acceptor.SaveFailed()
		return
	}
	if out.Save != nil {
		n.state = *out.Save
		n.net.print("%d %s: save promise %v%s", n.id, role, out.Save.Promised, showVote(", vote ", out.Save.Accepted))
	}
	if out.SaveRound > 0 {
		n.round = out.SaveRound
		n.net.print("%d %s: save round %d", n.id, role, out.SaveRound)
	}
	for _, e := range out.Send {
		n.net.print("%d %s: to %d %s", n.id, role, e.To, showMessage(e.Message))
		n.net.queue = append(n.net.queue, packet{n.id, e.To, e.Message})
	}
	if out.Chosen != nil {
		n.known = *out.Chosen
		n.net.print("%d %s: learns %q, chosen in %v", n.id, role, out.Chosen.Value, out.Chosen.Ballot)
	}
	if out.Result != nil {
		n.net.print("%d %s: the caller is told: %s", n.id, role, showResult(*out.Result))
	}
}

func showResult(r Result) string {
	if r.Value == nil {
		return r.Fate.String()
	}
	return fmt.Sprintf("%v, the value is %q", r.Fate, r.Value)
}

// hand gives a message to every role of the node that it is for.
func (w *network) hand(p packet) {
	n := w.node(p.to)
	w.print("%d: from %d %s", p.to, p.from, showMessage(p.message))
	if n.acceptor != nil {
		n.carryOut("acceptor", n.acceptor.Step(p.from, p.message))
	}
	if n.proposer != nil {
		n.carryOut("proposer", n.proposer.Step(w.now, p.from, p.message))
	}
	if n.learner != nil {
		n.carryOut("learner", n.learner.Step(p.from, p.message))
	}
}

// tick lets time pass up to the next deadline, but at most to end. It reports
// whether there was one.
func (w *network) tick(end Time) bool {
	next := end + 1
	for _, n := range w.nodes {
		next = min(next, n.deadline())
	}
	w.now = max(w.now, min(next, end))
	if next > end {
		return false
	}
	for _, n := range w.nodes {
		if n.proposer != nil {
			n.carryOut("proposer", n.proposer.Tick(w.now))
		}
		if n.learner != nil {
			n.carryOut("learner", n.learner.Tick(w.now))
		}
	}
	return true
}

func (n *node) deadline() Time {
	at := never
	if n.proposer != nil {
		at = min(at, n.proposer.Deadline())
	}
	if n.learner != nil {
		at = min(at, n.learner.Deadline())
	}
	return at
}
