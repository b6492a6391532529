package multipaxos

import (
	"errors"
	"math"
	"testing"

	"github.com/synod-go/synod/consensus"
)

// Peers that no replica of ours would be.

// A3, P3: two values under one ballot are refused and reported. Another value than the
// chosen one is refused: it may be a late Accept of a leader whose ballot came to nothing
// (sim seed 1897), so that it proves nothing.
func TestTwoValuesUnderOneBallotAreRefusedAndReported(t *testing.T) {
	b := ballot(1, 1, 1)
	r := newSolo(t, 1, voters(3), State{})
	r.step(2, Accept{Ballot: b, Start: 1, Entries: entriesFrom(1, b, "a", "b")})
	for _, other := range []Entry{
		{Term: b, Index: 2, Data: []byte("c")}, {Term: b, Index: 2}, {Term: b, Index: 2, Kind: EntryNoOp},
		{Term: ballot(1, 0, 1), Index: 2, Data: []byte("b")},
	} {
		out := r.step(2, Accept{Ballot: b, Start: 1, Entries: []Entry{other}})
		if len(out.Alarms) != 1 || out.Alarms[0].From != 2 || out.Alarms[0].Index != 2 || out.Alarms[0].Ballot != b {
			t.Errorf("%+v: alarms %+v, want one about 2", other, out.Alarms)
		}
		if len(messages[Accepted](out.Send)) > 0 || string(r.log.entry(2).Data) != "b" {
			t.Errorf("%+v: accepted", other)
		}
	}
	r.step(2, Heartbeat{Ballot: b, Start: 1, Chosen: 2})
	next := ballot(1, 2, 2)
	r.at(r.now + r.cfg.Lease)
	out := r.step(3, Accept{Ballot: next, Start: 1, Entries: entriesFrom(2, next, "c")})
	if len(out.Alarms) != 0 || len(messages[Accepted](out.Send)) > 0 {
		t.Errorf("a chosen slot gets another value: alarms %+v, answers %v", out.Alarms, out.Send)
	}
	if out = r.step(3, Accept{Ballot: next, Start: 1, Entries: entriesFrom(2, b, "b")}); len(out.Alarms) > 0 || only[Accepted](t, out.Send).Last != 2 {
		t.Errorf("the chosen value is refused: %+v", out)
	}
}

// The alarms of one Output are bounded.
func TestAlarmsAreBounded(t *testing.T) {
	b := ballot(1, 1, 1)
	r := newSolo(t, 1, voters(3), State{})
	r.step(2, Accept{Ballot: b, Start: 1, Entries: entriesFrom(1, b, "a")})
	r.Tick(r.now)
	for range 100 {
		r.Step(2, Accept{Ballot: b, Start: 1, Entries: entriesFrom(1, b, "x")})
	}
	if out := r.Output(); len(out.Alarms) != maxAlarms {
		t.Errorf("%d alarms, want %d", len(out.Alarms), maxAlarms)
	}
}

// picture is what messages that mean nothing must not change.
type picture struct {
	promised, seen, following, ballot Ballot
	role                              Role
	leader                            ID
	chosen, end                       Index
	bytes                             int
}

func pictureOf(n *Node) picture {
	return picture{n.promised, n.seen, n.following, n.ballot, n.role, n.leader, n.chosen, n.log.end, n.log.bytes}
}

// P1, P4: a ballot belongs to the proposer whose place is in it; nobody else can use
// it. Numbers beyond their bounds, holes and malformed entries are dropped.
func TestMessagesThatNoReplicaSendsChangeNothing(t *testing.T) {
	own := ballot(1, 3, 1) // of 2
	other := ballot(1, 3, 2)
	seal := consensus.EncodeConfiguration(Bootstrap(voters(2)...).Configuration)
	for name, m := range map[string]Message{
		"Prepare with another's ballot":   Prepare{Ballot: other, From: 1},
		"Accept with another's ballot":    Accept{Ballot: other, Start: 1, Entries: entriesFrom(1, other, "x")},
		"Heartbeat with another's ballot": Heartbeat{Ballot: other, Start: 1},
		"Prepare with our ballot":         Prepare{Ballot: ballot(1, 3, 0), From: 1},
		"a place that nobody has":         Prepare{Ballot: ballot(1, 3, 9), From: 1},
		"no ballot":                       Prepare{From: 1},
		"a ballot without an epoch":       Prepare{Ballot: 1<<8 + 1, From: 1},
		"a giant ballot":                  Prepare{Ballot: math.MaxUint64, From: 1},
		"Accept with a giant ballot":      Accept{Ballot: math.MaxUint64, Start: 1, Entries: entriesFrom(1, 5<<40, "x")},
		"Heartbeat with a giant ballot":   Heartbeat{Ballot: 1 << 63, Start: 1},
		"Prepare from slot 0":             Prepare{Ballot: own},
		"Prepare from a giant slot":       Prepare{Ballot: own, From: math.MaxUint64},
		"Accept from slot 0":              Accept{Ballot: own, Entries: entriesFrom(1, own, "x")},
		"an entry before the start":       Accept{Ballot: own, Start: 2, Entries: entriesFrom(1, own, "x")},
		"an entry of slot 0":              Accept{Ballot: own, Start: 1, Entries: entriesFrom(0, own, "x")},
		"an entry of a giant slot":        Accept{Ballot: own, Start: 1, Entries: entriesFrom(math.MaxUint64-1, own, "x")},
		"an entry without an origin":      Accept{Ballot: own, Start: 1, Entries: entriesFrom(1, 0, "x")},
		"an entry newer than the ballot":  Accept{Ballot: own, Start: 1, Entries: entriesFrom(1, own+1, "x")},
		"an entry of an unknown kind":     Accept{Ballot: own, Start: 1, Entries: []Entry{{Term: own, Index: 1, Kind: 9}}},
		"entries with a hole":             Accept{Ballot: own, Start: 1, Entries: []Entry{{Term: own, Index: 1}, {Term: own, Index: 3}}},
		"a giant chosen prefix":           Accept{Ballot: own, Start: 1, Chosen: math.MaxUint64},
		"Heartbeat of a giant prefix":     Heartbeat{Ballot: own, Start: 1, Chosen: math.MaxUint64},
		"Heartbeat safe beyond the world": Heartbeat{Ballot: own, Start: 1, Safe: math.MaxUint64},
		"a poll that is behind, giant":    Poll{Epoch: 1, Chosen: math.MaxUint64},
		"a promise nobody asked for":      Promise{Ballot: own, From: 1},
		"an answer nobody asked for":      Learned{Entries: entriesFrom(1, own, "x"), Chosen: 1},
		"a chunk nobody asked for":        InstallSnapshot{Snapshot: Bootstrap(voters(3)...), Data: []byte("x")},
		"Learn from slot 0":               Learn{},
		"Learn from a giant slot":         Learn{From: math.MaxUint64},
		"Fetch before the start":          Fetch{Offset: -1},
		"a Campaign from no leader":       Campaign{Ballot: own},
		"a read's answer":                 ReadIndexReply{Ref: 0, Index: 9},
		"a SEAL of an answer":             Learned{Entries: []Entry{{Term: own, Index: 1, Kind: EntrySeal, Data: seal}}},
		"nothing":                         nil,
	} {
		r := newSolo(t, 1, voters(3), State{})
		before := pictureOf(r.Node)
		out := r.step(2, m)
		if after := pictureOf(r.Node); after != before || out.Save != 0 || len(out.Apply)+len(out.Chunks)+len(out.Reads) > 0 {
			t.Errorf("%s: %+v, before %+v; output %+v", name, after, before, out)
		}
	}
}

// What acceptors claim cannot make the leader do the impossible (P4, P6).
func TestAnswersThatNoAcceptorSendsChangeNothing(t *testing.T) {
	b := ballot(1, 1, 0)
	for name, c := range map[string]struct {
		from ID
		m    Message
	}{
		"a vote of a stranger":        {9, Accepted{b, 2, 2}},
		"votes beyond what is open":   {2, Accepted{b, 2, 99}},
		"giant votes":                 {2, Accepted{b, 2, math.MaxUint64}},
		"votes before the start":      {2, Accepted{b, 0, 2}},
		"votes backwards":             {2, Accepted{b, 3, 2}},
		"votes for another ballot":    {2, Accepted{ballot(1, 2, 0), 2, 2}},
		"a round not begun":           {2, HeartbeatReply{Ballot: b, Round: 9}},
		"a heartbeat not sent yet":    {2, HeartbeatReply{Ballot: b, Sent: 1 << 60}},
		"a heartbeat before time":     {2, HeartbeatReply{Ballot: b, Sent: -1}},
		"a stranger's confirmation":   {9, HeartbeatReply{Ballot: b, Round: 1}},
		"a refusal of another ballot": {2, Nack{Ballot: ballot(1, 2, 0), Reason: RefusedSealed}},
		"a stranger's refusal":        {9, Nack{Ballot: b, Reason: RefusedSealed}},
		"a refusal without a reason":  {2, Nack{Ballot: b}},
		"an unknown reason":           {2, Nack{Ballot: b, Reason: 77}},
		"a promise that comes late":   {3, Promise{Ballot: b, From: 1}},
	} {
		r := newSolo(t, 1, voters(3), State{})
		r.isElected(2)
		r.Propose([][]byte{[]byte("x")})
		r.ReadIndex(1)
		r.at(r.now)
		before := pictureOf(r.Node)
		if out := r.step(c.from, c.m); pictureOf(r.Node) != before || len(out.Reads)+len(out.Apply) > 0 {
			t.Errorf("%s: %+v, before %+v", name, pictureOf(r.Node), before)
		}
	}
}

// Promises with impossible runs are dropped whole: they count for no quorum.
func TestImpossiblePromisesDoNotCount(t *testing.T) {
	for name, change := range map[string]func(*Promise, Ballot){
		"votes with the ballot itself":  func(m *Promise, b Ballot) { m.Runs = []Run{{Ballot: b, Entries: entriesFrom(1, b, "x")}} },
		"votes with a higher ballot":    func(m *Promise, b Ballot) { m.Runs = []Run{{Ballot: b + 1<<8, Entries: entriesFrom(1, b, "x")}} },
		"votes of another epoch":        func(m *Promise, b Ballot) { m.Runs = []Run{{Ballot: 7, Entries: entriesFrom(1, b, "x")}} },
		"votes without a ballot":        func(m *Promise, b Ballot) { m.Runs = []Run{{Entries: entriesFrom(1, b, "x")}} },
		"an origin newer than the vote": func(m *Promise, b Ballot) { m.Runs = []Run{{Ballot: ballot(1, 0, 1), Entries: entriesFrom(1, b, "x")}} },
		"an empty run":                  func(m *Promise, b Ballot) { m.Runs = []Run{{Ballot: ballot(1, 0, 1)}} },
		"a run before the question":     func(m *Promise, b Ballot) { m.Runs = []Run{{Chosen: true, Entries: entriesFrom(0, b, "x")}} },
		"runs that overlap": func(m *Promise, b Ballot) {
			m.Runs = []Run{{Chosen: true, Entries: entriesFrom(1, b, "x")}, {Chosen: true, Entries: entriesFrom(1, b, "x")}}
		},
		"a next piece that is behind":    func(m *Promise, b Ballot) { m.Next = 1 },
		"a next piece without a piece":   func(m *Promise, b Ballot) { m.Next = 7 },
		"a giant next piece":             func(m *Promise, b Ballot) { m.Next = math.MaxUint64 },
		"more trimmed than chosen":       func(m *Promise, b Ballot) { m.Trimmed = 4 },
		"a giant chosen prefix":          func(m *Promise, b Ballot) { m.Chosen = math.MaxUint64 },
		"the answer to another question": func(m *Promise, b Ballot) { m.From = 2 },
		"another ballot":                 func(m *Promise, b Ballot) { m.Ballot = ballot(1, 9, 0) },
	} {
		r := newSolo(t, 1, voters(3), State{})
		b := r.candidate(2)
		r.save()
		m := Promise{Ballot: b, From: 1}
		change(&m, b)
		r.step(2, m)
		if r.role != Candidate || r.phase1.heard[2].next != 1 || len(r.phase1.votes) > 0 {
			t.Errorf("%s: %v, asks for %d next", name, r.role, r.phase1.heard[2].next)
		}
		if r.step(2, Promise{Ballot: b, From: 1}); r.role != Leader {
			t.Errorf("%s: %v after a whole promise, want leader", name, r.role)
		}
	}
}

// A SEAL that holds no configuration is void for everybody alike: a leader that finds
// one goes on behind it.
func TestAMalformedSealDoesNotStopTheLog(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b := r.candidate(2)
	r.save()
	old := ballot(1, 0, 1)
	r.step(2, Promise{Ballot: b, From: 1, Runs: []Run{{Ballot: old, Entries: []Entry{{Term: old, Index: 1, Kind: EntrySeal, Data: []byte("x")}}}}})
	out := r.save()
	out = r.step(2, Accepted{Ballot: b, First: 1, Last: 2})
	if r.chosen != 2 || r.epoch() != 1 || len(out.Alarms) != 1 {
		t.Fatalf("chosen %d, epoch %d, alarms %v", r.chosen, r.epoch(), out.Alarms)
	}
	if _, err := r.Propose([][]byte{[]byte("x")}); err != nil {
		t.Error(err)
	}
}

// Slots far ahead are not kept, and a batch of scattered slots costs no more than
// its own chunks.
func TestSlotsFarAheadAreNotKept(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b := ballot(1, 1, 1)
	for _, at := range []Index{1<<62 - 9, 1 << 40, 2*65536 + 1} {
		out := r.step(2, Accept{Ballot: b, Start: 1, Entries: entriesFrom(at, b, "x")})
		if r.log.end > 0 || len(messages[Accepted](out.Send)) > 0 {
			t.Errorf("slot %d is kept, chunks %d", at, len(r.log.chunks))
		}
	}
	out := r.step(2, Accept{Ballot: b, Start: 1, Entries: entriesFrom(2*65536, b, "x")})
	if r.log.end != 2*65536 || only[Accepted](t, out.Send).Last != 2*65536 {
		t.Errorf("slot %d is not kept", 2*65536)
	}
}

// Strangers do not grow a node: neither their polls' answers nor their questions.
func TestStrangersAreNotRemembered(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	r.Campaign()
	r.at(r.now)
	for id := ID(100); id < 1100; id++ {
		r.step(id, PollReply{Epoch: 1, Granted: true})
		r.step(id, Learn{From: 1})
	}
	if len(r.election.votes) > 1 || len(r.readers) > maxReaders || r.role != PreCandidate {
		t.Errorf("%v, %d votes, %d readers", r.role, len(r.election.votes), len(r.readers))
	}
}

// A damaged disk is an error, and asks for no memory.
func TestADamagedStateIsAnError(t *testing.T) {
	b := ballot(1, 1, 1)
	vote := func(e ...Entry) []Run { return []Run{{Ballot: b, Entries: e}} }
	good := HardState{Promised: b}
	for name, s := range map[string]State{
		"a giant slot":                  {HardState: good, Runs: vote(entriesFrom(1<<40, b, "x")...)},
		"a vote above the promise":      {Runs: vote(entriesFrom(1, b, "x")...)},
		"a vote without a ballot":       {HardState: good, Runs: []Run{{Entries: entriesFrom(1, b, "x")}}},
		"a giant ballot":                {HardState: HardState{Promised: math.MaxUint64}},
		"entries with a hole":           {HardState: good, Runs: vote(Entry{Term: b, Index: 1}, Entry{Term: b, Index: 3})},
		"a chosen slot that is missing": {HardState: good, Runs: vote(entriesFrom(2, b, "x")...), Chosen: 2},
		"a chosen slot behind a hole":   {HardState: good, Runs: []Run{{Chosen: true, Entries: entriesFrom(2, b, "x")}}},
		"a snapshot without members":    {Snapshot: SnapshotMeta{Index: 7}},
		"a snapshot without an epoch":   {Snapshot: SnapshotMeta{Index: 7, Configuration: Configuration{Members: voters(1)}}},
		"a snapshot newer than itself":  {Snapshot: SnapshotMeta{Index: 7, Configuration: Configuration{Epoch: 1, Version: 8, Members: voters(1)}}},
	} {
		if s.Snapshot.Index == 0 && len(s.Runs) > 0 {
			s.Snapshot = Bootstrap(voters(3)...)
		}
		_, err := New(testConfig(1), s)
		var damaged *StateError
		if !errors.As(err, &damaged) {
			t.Errorf("%s: error %v, want a StateError", name, err)
		}
	}
}

// P1, P4: who is no proposer has no ballots, and who is no acceptor says nothing of what
// is promised: its word could use up the rounds of all proposers.
func TestOnlyProposersHaveBallotsAndOnlyAcceptorsRefuseThem(t *testing.T) {
	members := append(voters(3), Member{ID: 4}, Member{ID: 5, Voter: true, Roles: consensus.RoleAcceptor | consensus.RoleLearner})
	r := newSolo(t, 1, members, State{})
	before := pictureOf(r.Node)
	for id := ID(4); id <= 5; id++ {
		b := ballot(1, maxRound-1, int(id)-1)
		r.step(id, Prepare{Ballot: b, From: 1}, Heartbeat{Ballot: b, Start: 1}, Accept{Ballot: b, Start: 1, Entries: entriesFrom(1, b, "x")})
	}
	for _, id := range []ID{4, 9} {
		r.step(id, Nack{Promised: ballot(1, maxRound, 2), Reason: RefusedPromised})
	}
	if after := pictureOf(r.Node); after != before {
		t.Errorf("%+v became %+v", before, after)
	}
}
