package raft

import (
	"slices"
	"testing"
)

// solo is one replica of a group of voters, without a network.
type solo struct {
	*Node
	t   *testing.T
	out Output
}

func newSolo(t *testing.T, id ID, voters int, s State) *solo {
	t.Helper()
	if s.Snapshot.Configuration.Members == nil {
		var members []Member
		for v := ID(1); v <= ID(voters); v++ {
			members = append(members, Member{ID: v, Voter: true})
		}
		s.Snapshot.Configuration = Bootstrap(members...).Configuration
	}
	n, err := New(testConfig(id), s)
	if err != nil {
		t.Fatal(err)
	}
	r := &solo{Node: n, t: t}
	r.at(0)
	r.at(n.cfg.Lease) // the promise of the start is over
	return r
}

// at ticks and returns the output; saves become durable at once.
func (r *solo) at(now Time) Output {
	r.Tick(now)
	r.out = r.Output()
	return r.out
}

// step hands over one message and returns what comes of it.
func (r *solo) step(from ID, m Message) Output {
	r.Step(from, m)
	return r.at(r.now)
}

func (r *solo) save() Output {
	r.Saved(r.saves.issued)
	return r.at(r.now)
}

// lead makes the replica the leader of the next term.
func (r *solo) lead() {
	r.t.Helper()
	r.Campaign()
	r.at(r.now)
	for id := ID(1); id <= 3 && r.role == PreCandidate; id++ {
		r.step(id, PreVoteReply{Term: r.term + 1, Granted: true})
	}
	r.save()
	for _, m := range r.config().Members {
		r.step(m.ID, Vote{Term: r.term, Granted: true})
	}
	if r.role != Leader {
		r.t.Fatalf("role %v of term %d, want leader", r.role, r.term)
	}
}

// find returns the first message of M's type in envelopes.
func find[M Message](envelopes ...[]Envelope) (M, bool) {
	for _, e := range slices.Concat(envelopes...) {
		if m, ok := e.Message.(M); ok {
			return m, true
		}
	}
	var none M
	return none, false
}

func entries(first Index, terms ...Term) (list []Entry) {
	for i, t := range terms {
		list = append(list, Entry{Term: t, Index: first + Index(i)})
	}
	return list
}

func terms(n *Node) (list []Term) {
	for _, e := range n.log.slice(n.log.first(), n.log.last()) {
		list = append(list, e.Term)
	}
	return list
}
