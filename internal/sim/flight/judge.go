package flight

import (
	"bytes"
	"maps"
	"slices"

	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/paxos"
)

// judge holds the events of a recording against the rules, whatever the cores say.
// It trusts no order between processes, only each one's own.
type judge struct {
	find    func(rule, format string, args ...any)
	set     []paxos.ID // the acceptors, once any core has told them
	decrees map[string]*passed
	// By the acceptor's or proposer's place:
	states    map[place]*state
	proposals map[place]*proposal
	begun     map[place]bool // acceptors whose beginning is known
}

// passed is what is known of one decree.
type passed struct {
	values  map[paxos.Ballot]paxos.Value
	votes   map[paxos.Ballot]map[paxos.ID]bool
	learned *decree.Event
}

// state is what an acceptor has shown of its state.
type state struct {
	promised paxos.Ballot
	vote     paxos.Vote
	alive    bool // it was shown in this life
}

// proposal is what a proposer has shown of its attempts.
type proposal struct {
	ballot   paxos.Ballot
	accepted bool // Accept has left in this ballot
	promised []decree.Event
}

func newJudge(find func(rule, format string, args ...any)) *judge {
	return &judge{find: find, decrees: make(map[string]*passed), states: make(map[place]*state),
		proposals: make(map[place]*proposal), begun: make(map[place]bool)}
}

func (j *judge) take(e decree.Event) {
	switch {
	case e.Kind == "recovered":
		j.recovered(e)
		return
	case e.Decree == "":
		return
	case e.Start != nil && len(e.Start.Acceptors) > 0:
		j.set = e.Start.Acceptors
	}
	j.value(e)
	switch {
	case e.Role == decree.Acceptor:
		j.acceptor(e)
	case e.Role == decree.Proposer:
		j.proposer(e)
	}
}

// recovered begins a new life of a role. Its ballots and its state are those of
// before: that is what the disk is for.
func (j *judge) recovered(e decree.Event) {
	for at, s := range j.states {
		if at.node == e.Node {
			s.alive = s.alive && e.Role != decree.Acceptor
		}
	}
}

func (j *judge) decree(name string) *passed {
	d := j.decrees[name]
	if d == nil {
		d = &passed{values: make(map[paxos.Ballot]paxos.Value), votes: make(map[paxos.Ballot]map[paxos.ID]bool)}
		j.decrees[name] = d
	}
	return d
}

// value notes each value under its ballot, and who has voted for it.
func (j *judge) value(e decree.Event) {
	d := j.decree(e.Decree)
	switch e.Kind {
	case "accept", "chosen":
		j.oneValue(d, e.Ballot, e.Value, paxos.None)
	case "accepted":
		j.oneValue(d, e.Ballot, e.Value, e.From)
	case "promise":
		j.oneValue(d, e.Other, e.Value, e.From)
	case "begins":
		voter := paxos.None
		if e.Role == decree.Acceptor {
			voter = e.Node
		}
		j.oneValue(d, e.Start.Vote.Ballot, e.Start.Vote.Value, voter)
	case "learned":
		j.oneValue(d, e.Ballot, e.Value, paxos.None)
		if d.learned != nil && !bytes.Equal(d.learned.Value, e.Value) {
			j.find("L1", "%q is learned too, by %s %x", d.learned.Value, d.learned.Role, uint64(d.learned.Node))
		}
		d.learned = &e
	}
}

// oneValue checks that a ballot has one value (P3, A3), and counts the vote.
func (j *judge) oneValue(d *passed, b paxos.Ballot, v []byte, voter paxos.ID) {
	if b.IsZero() || len(v) == 0 {
		return
	}
	if known, ok := d.values[b]; !ok {
		d.values[b] = v
	} else if !bytes.Equal(known, v) {
		j.find("P3", "%q and %q under one ballot", known, v)
		return
	}
	if voter == paxos.None {
		return
	}
	if d.votes[b] == nil {
		d.votes[b] = make(map[paxos.ID]bool)
	}
	d.votes[b][voter] = true
	if j.set != nil && !slices.Contains(j.set, voter) {
		j.find("A6", "%x votes and is none of the acceptors: it has lost its disk, or never was one", uint64(voter))
	}
}

// acceptor checks what an acceptor tells of its state against what it has told.
func (j *judge) acceptor(e decree.Event) {
	at := place{e.Node, e.Role, e.Decree}
	s := j.states[at]
	if s == nil {
		s = &state{}
		j.states[at] = s
	}
	switch {
	case e.Kind == "begins":
		j.acceptorBegins(at, s, e.Start)
	case e.Received || !s.alive:
	case e.Kind == "promise":
		if e.Ballot.Less(s.promised) {
			j.find("A2", "it has promised %v", s.promised)
		}
		if e.Other != s.vote.Ballot {
			j.find("A8", "its last vote was in %v", s.vote.Ballot)
		}
		s.promised = e.Ballot
	case e.Kind == "accepted":
		j.voted(s, paxos.Vote{Ballot: e.Ballot, Value: e.Value})
	case e.Kind == "nack" && e.Note == paxos.Outbid.String():
		if !e.Ballot.Less(e.Other) {
			j.find("A7", "%v is not less than the ballot to beat", e.Ballot)
		}
	}
}

// acceptorBegins takes the state that a core begins from. What it tells afterwards may
// still be older, if it was not durable yet, unless the process is new.
func (j *judge) acceptorBegins(at place, s *state, from *decree.Start) {
	j.begun[at] = true
	if from.Promised.Less(s.promised) || from.Vote.Ballot.Less(s.vote.Ballot) {
		j.find("A1", "it has promised %v and voted in %v, and has %v and %v now", s.promised, s.vote.Ballot, from.Promised, from.Vote.Ballot)
	}
	if !s.alive {
		*s = state{promised: from.Promised, vote: from.Vote, alive: true}
	}
}

// voted takes the vote that an acceptor tells of, a new one or its last once more.
func (j *judge) voted(s *state, v paxos.Vote) {
	switch {
	case v.Ballot == s.vote.Ballot:
	case v.Ballot.Less(s.vote.Ballot):
		j.find("A1", "its last vote was in %v", s.vote.Ballot)
	case v.Ballot.Less(s.promised):
		j.find("A3", "it has promised %v", s.promised)
	default:
		s.vote, s.promised = v, v.Ballot
	}
}

// proposer checks a proposer's ballots and values.
func (j *judge) proposer(e decree.Event) {
	at := place{e.Node, e.Role, e.Decree}
	p := j.proposals[at]
	if p == nil {
		p = &proposal{}
		j.proposals[at] = p
	}
	switch {
	case e.Received && e.Taken && e.Kind == "promise" && e.Ballot == p.ballot:
		p.promise(e)
	case e.Received:
	case e.Kind == "prepare" && e.Ballot.Node != e.Node:
		j.find("P1", "the ballot is another's")
	case e.Kind == "prepare" && (e.Ballot.Less(p.ballot) || e.Ballot == p.ballot && p.accepted):
		j.find("P1", "%v was used before", p.ballot)
	case e.Kind == "prepare" && p.ballot != e.Ballot:
		*p = proposal{ballot: e.Ballot}
	case e.Kind == "accept" && e.Ballot != p.ballot && !p.ballot.IsZero():
		j.find("P1", "the ballot under way is %v", p.ballot)
	case e.Kind == "accept" && e.Ballot == p.ballot && !p.accepted:
		p.accepted = true
		j.mustTake(p, e)
	}
}

// promise counts one for each acceptor.
func (p *proposal) promise(e decree.Event) {
	if !slices.ContainsFunc(p.promised, func(other decree.Event) bool { return other.From == e.From }) {
		p.promised = append(p.promised, e)
	}
}

// mustTake checks that the value is that of the highest vote which the first quorum
// of promises tells of (P4, P5).
func (j *judge) mustTake(p *proposal, e decree.Event) {
	quorum := len(j.set)/2 + 1
	if len(j.set) == 0 {
		return
	}
	if len(p.promised) < quorum {
		j.find("P4", "%d of %d acceptors have promised", len(p.promised), len(j.set))
		return
	}
	highest := slices.MaxFunc(p.promised[:quorum], func(a, b decree.Event) int { return a.Other.Compare(b.Other) })
	if !highest.Other.IsZero() && !bytes.Equal(highest.Value, e.Value) {
		j.find("P5", "a promise tells of %q in %v", highest.Value, highest.Other)
	}
}

// end checks what needs the whole recording: one value chosen, and learned what is
// chosen. The latter only of decrees of which every acceptor's part is there.
func (j *judge) end() {
	if len(j.set) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(j.decrees)) {
		d := j.decrees[name]
		var chosen paxos.Value
		for b, voters := range d.votes {
			v := d.values[b]
			if len(voters) <= len(j.set)/2 {
				continue
			}
			if chosen != nil && !bytes.Equal(chosen, v) {
				j.find("L1", "decree %q: %q and %q are both chosen", name, chosen, v)
			}
			chosen = v
		}
		if d.learned != nil && !bytes.Equal(d.learned.Value, chosen) && j.complete(name) {
			j.find("L1", "decree %q: %q is learned, and the votes choose %q", name, d.learned.Value, chosen)
		}
	}
}

func (j *judge) complete(name string) bool {
	return !slices.ContainsFunc(j.set, func(id paxos.ID) bool { return !j.begun[place{id, decree.Acceptor, name}] })
}
