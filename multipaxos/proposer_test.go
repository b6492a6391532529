package multipaxos

import (
	"errors"
	"testing"
)

// The proposer's rules P1 to P10 and the leader's, one node driven by hand.

// P1: ballots are ordered by epoch, then round, then proposer, and say whose they are.
func TestBallotsAreOrderedAndOwned(t *testing.T) {
	order := []Ballot{0, ballot(1, 1, 0), ballot(1, 1, 2), ballot(1, 2, 0), ballot(1, maxRound, 63), ballot(2, 0, 0), ballot(maxEpoch, maxRound, 255)}
	for i, b := range order[1:] {
		if b <= order[i] || b > maxBallot {
			t.Errorf("%s after %s, at most %d", FormatBallot(b), FormatBallot(order[i]), maxBallot)
		}
	}
	if b := ballot(7, 9, 5); Epoch(b) != 7 || Round(b) != 9 || Proposer(b) != 5 || FormatBallot(b) != "7.9.5" || FormatBallot(0) != "-" {
		t.Errorf("%s: %d, %d, %d", FormatBallot(b), Epoch(b), Round(b), Proposer(b))
	}
}

// P2, B3: Prepare leaves after its ballot is durable, and a restarted proposer never
// uses it again.
func TestPrepareWaitsUntilItsBallotIsDurable(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	r.Campaign()
	r.at(r.now)
	out := r.step(2, PollReply{Epoch: 1, Granted: true})
	if len(messages[Prepare](out.SendNow)) > 0 || len(messages[Prepare](out.Send)) != 2 || out.HardState == nil || out.HardState.Proposed != r.ballot {
		t.Fatalf("output %+v, want two Prepares behind the save of their ballot", out)
	}
	again := newSolo(t, 1, voters(3), State{HardState: *out.HardState})
	if b := again.candidate(2); b <= r.ballot {
		t.Errorf("ballot %s after %s", FormatBallot(b), FormatBallot(r.ballot))
	}
}

// P3, B4: in one slot a leader proposes one value with a ballot, however often it
// sends it.
func TestARetransmissionSendsTheSameValue(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	r.isElected(2)
	r.Propose([][]byte{[]byte("a")})
	first := only[Accept](t, only3(r.at(r.now).SendNow))
	r.Propose([][]byte{[]byte("b")})
	r.at(r.now)
	var again []Accept
	for range 8 {
		r.step(2, HeartbeatReply{Ballot: r.ballot, Sent: r.now})
		out := r.at(r.now + r.cfg.Heartbeat)
		out = r.step(3, HeartbeatReply{Ballot: r.ballot, Sent: r.now})
		again = append(again, messages[Accept](only3(out.SendNow))...)
	}
	if len(again) == 0 {
		t.Fatal("nothing is sent again")
	}
	seen := map[Index]string{}
	for _, a := range append(again, first) {
		for _, e := range a.Entries {
			if v, ok := seen[e.Index]; ok && v != string(e.Data) || a.Ballot != first.Ballot {
				t.Errorf("slot %d: %q and %q with one ballot", e.Index, v, e.Data)
			}
			seen[e.Index] = string(e.Data)
		}
	}
}

// only3 are the messages to replica 3.
func only3(all []Envelope) (to3 []Envelope) {
	for _, e := range all {
		if e.To == 3 {
			to3 = append(to3, e)
		}
	}
	return to3
}

// P4, B10: acceptors are counted, not answers; learners and strangers are not.
func TestAcceptorsAreCountedNotAnswers(t *testing.T) {
	members := append(voters(3), Member{ID: 4}, Member{ID: 5})
	r := newSolo(t, 1, members, State{})
	b := r.candidate(2)
	for range 3 {
		for _, id := range []ID{4, 5, 9} {
			r.step(id, Promise{Ballot: b, From: 1})
		}
	}
	if r.role != Candidate {
		t.Fatalf("%v by the promises of learners", r.role)
	}
	r.step(2, Promise{Ballot: b, From: 1})
	r.step(3, Promise{Ballot: b, From: 1})
	if r.role != Leader {
		t.Fatalf("%v by the promises of two acceptors, want leader", r.role)
	}
	for range 3 {
		for _, id := range []ID{2, 4, 5, 9} {
			r.step(id, Accepted{b, 1, 1})
		}
	}
	if r.chosen != 0 {
		t.Errorf("chosen by one acceptor and two learners")
	}
	if r.step(3, Accepted{b, 1, 1}); r.chosen != 1 {
		t.Errorf("not chosen by two acceptors of three")
	}
}

// P5, B8, B9: of each slot the value with the highest ballot in the quorum is
// proposed, in whatever order the promises come; own values only where nobody voted.
func TestTheHighestVoteIsProposedAgain(t *testing.T) {
	low, high := ballot(1, 1, 1), ballot(1, 2, 2)
	reports := map[ID]Run{
		2: {Ballot: high, Entries: entriesFrom(1, low, "new", "x")},
		3: {Ballot: low, Entries: entriesFrom(1, low, "old", "y", "z")},
	}
	for _, order := range [][]ID{{2, 3}, {3, 2}} {
		r := newSolo(t, 1, voters(5), State{HardState: HardState{Promised: high}})
		b := r.candidate(2, 3)
		r.save()
		var out Output
		for _, id := range order {
			out = r.step(id, Promise{Ballot: b, From: 1, Runs: []Run{reports[id]}})
		}
		if len(out.Runs) != 1 || out.Runs[0].Ballot != b ||
			showEntries(out.Runs[0].Entries) != `1/1.1.1 "new", 2/1.1.1 "x", 3/1.1.1 "z", 4/`+FormatBallot(b)+` LEAD` {
			t.Errorf("order %v: proposes %s", order, showRuns(out.Runs))
		}
	}
}

// M2: the first slot of a new leader is behind its chosen prefix also if nobody
// reports a vote: the log is idle.
func TestAnIdleLogGoesOnBehindTheChosenPrefix(t *testing.T) {
	old := ballot(1, 1, 1)
	r := newSolo(t, 1, voters(3), State{HardState: HardState{Promised: old}, Chosen: 3,
		Runs: []Run{{Chosen: true, Entries: entriesFrom(1, old, "a", "b", "c")}}})
	r.isElected(2)
	if r.lead.start != 4 || r.lead.marker != 4 || r.lead.next != 5 {
		t.Errorf("starts at %d, marker %d, next %d; want 4, 4, 5", r.lead.start, r.lead.marker, r.lead.next)
	}
}

// M1: who lacks what an acceptor has trimmed does not lead with its promise, but
// learns first.
func TestWhatIsTrimmedIsLearnedBeforeLeading(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b := r.candidate(2)
	r.save()
	out := r.step(2, Promise{Ballot: b, From: 1, Chosen: 5, Trimmed: 5})
	if r.Role() == Leader || len(out.Runs) > 0 {
		t.Fatalf("%v, proposes %s; slots 1 to 5 are chosen elsewhere", r.Role(), showRuns(out.Runs))
	}
	if m := only[Learn](t, out.SendNow); m.From != 1 {
		t.Errorf("asks from %d, want 1", m.From)
	}
}

// A4: the proposer's own acceptor is counted like any other, when its vote is durable.
func TestTheOwnVoteCountsWhenItIsDurable(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b := r.isElected(2)
	at, _ := r.Propose([][]byte{[]byte("x")})
	r.at(r.now)
	if out := r.step(2, Accepted{b, at, at}); r.chosen >= at || len(out.Apply) > 0 {
		t.Fatalf("slot %d is chosen by one vote on disk and one on its way there", at)
	}
	if r.save(); r.chosen != at {
		t.Errorf("chosen %d, want %d by two votes on disk", r.chosen, at)
	}
}

// M12: a leader removes nobody for silence: that is the operator's decision.
func TestSilenceRemovesNobody(t *testing.T) {
	w := newNetwork(t, voters(3), 3)
	leader := w.elect(1)
	w.run(100 * millisecond)
	w.isolate(3)
	w.run(100 * leader.node.cfg.Election)
	if c := leader.node.Configuration(); leader.node.Role() != Leader || len(c.Members) != 3 || c.Epoch != 1 {
		t.Errorf("%v of %s after a hundred election timeouts of silence, want the leader of all three", leader.node.Role(), show(c))
	}
}

// M4: holes are filled with no-ops, so that apply never waits for them.
func TestHolesAreFilledWithNoOps(t *testing.T) {
	old := ballot(1, 1, 1)
	r := newSolo(t, 1, voters(3), State{HardState: HardState{Promised: old}})
	b := r.candidate(2)
	r.save()
	out := r.step(2, Promise{Ballot: b, From: 1, Runs: []Run{{Ballot: old, Entries: entriesFrom(2, old, "x")}, {Ballot: old, Entries: entriesFrom(5, old, "y")}}})
	f := FormatBallot(b)
	if want := "1/" + f + ` no-op, 2/1.1.1 "x", 3/` + f + " no-op, 4/" + f + ` no-op, 5/1.1.1 "y", 6/` + f + " LEAD"; len(out.Runs) != 1 || showEntries(out.Runs[0].Entries) != want {
		t.Errorf("proposes %s, want %s", showRuns(out.Runs), want)
	}
}

// P7: those who are silent are asked again, with the same ballot; in the end the
// attempt is given up, and the next one has a higher ballot.
func TestSilentAcceptorsAreAskedAgain(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b := r.candidate(2)
	r.save()
	out := r.at(r.phase1.again)
	for _, m := range messages[Prepare](out.Send) {
		if m.Ballot != b || m.From != 1 {
			t.Errorf("asks again with %s", showMessage(m))
		}
	}
	if len(messages[Prepare](out.Send)) != 2 {
		t.Errorf("asks %v again, want two", out.Send)
	}
	until := r.phase1.until
	r.at(until)
	if r.role == Candidate || r.election.at <= until {
		t.Errorf("%v, next attempt at %d, now %d", r.role, r.election.at, until)
	}
}

// P8: a leader goes on when less than a quorum has promised more, and steps down when
// phase 2 cannot succeed.
func TestALeaderStepsDownWhenAQuorumHasPromisedMore(t *testing.T) {
	r := newSolo(t, 1, voters(5), State{})
	b := r.isElected(2, 3)
	for id := ID(4); id <= 5; id++ {
		if r.step(id, Nack{Ballot: b, Promised: ballot(1, 9, 3), Reason: RefusedPromised}); r.role != Leader {
			t.Fatalf("%v after the refusal of %d", r.role, id)
		}
	}
	r.step(4, Nack{Ballot: b, Promised: ballot(1, 9, 3), Reason: RefusedPromised})
	if r.role != Leader {
		t.Fatalf("%v after the same refusal again", r.role)
	}
	if r.step(3, Nack{Ballot: b, Promised: ballot(1, 9, 3), Reason: RefusedPromised}); r.Role() != Follower {
		t.Errorf("%v after the refusals of a quorum", r.Role())
	}
	if r.Campaign(); r.election.at < r.now {
		t.Error("campaigns at once")
	}
}

// P8: nobody campaigns without a quorum that it reaches: the poll changes nothing.
func TestAPollChangesNothing(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	before := r.hardState()
	for range 20 {
		out := r.at(r.Deadline())
		if out.Save != 0 || r.role == Candidate || r.hardState() != before {
			t.Fatalf("a replica that reaches nobody: %v, %+v", r.role, out)
		}
	}
	o := newSolo(t, 2, voters(3), State{})
	out := o.step(1, Poll{Epoch: 1})
	if !only[PollReply](t, out.SendNow).Granted || out.Save != 0 || o.promised != 0 {
		t.Errorf("an answer to a poll: %+v", out)
	}
	o.step(3, Heartbeat{Ballot: ballot(1, 1, 2), Start: 1})
	if only[PollReply](t, o.step(1, Poll{Epoch: 1}).SendNow).Granted {
		t.Error("a poll is granted while a leader is heard")
	}
}

// P9, P10: a command whose slot went to another is surely not chosen there: the slot
// has another term. Nothing is ever reported as failed before.
func TestTheTermOfASlotTellsTheFateOfACommand(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	r.isElected(2)
	at, _ := r.Propose([][]byte{[]byte("mine")})
	term := r.Term()
	r.at(r.now)
	other := ballot(1, 7, 1)
	out := r.step(2, Accept{Ballot: other, Start: at, Entries: entriesFrom(at, other, "theirs")})
	out = r.step(2, Heartbeat{Ballot: other, Start: at, Chosen: at})
	last := out.Apply[len(out.Apply)-1]
	if last.Index != at || last.Term == term {
		t.Errorf("slot %d has term %s, mine was %s", at, FormatBallot(last.Term), FormatBallot(term))
	}
}

// Section 4.1: a leader that hears no quorum for an Election stops taking proposals.
func TestALeaderWithoutAQuorumStepsDown(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	r.isElected(2)
	end := r.now + r.cfg.Election + 2*r.cfg.Heartbeat
	for r.now < end {
		r.at(max(r.Deadline(), r.now+1))
	}
	if r.role == Leader || r.left == "" {
		t.Errorf("%v, left %q", r.role, r.left)
	}
	if _, err := r.Propose([][]byte{[]byte("x")}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("error %v, want ErrNotLeader", err)
	}
}

// Section 4.1: a transfer gives the lease up for good before Campaign leaves; if it
// fails, only a higher ballot has a lease again.
func TestTheLeaseEndsBeforeCampaign(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b := r.isElected(2)
	if out := r.step(2, HeartbeatReply{Ballot: b, Sent: r.now}); out.Lease <= r.now {
		t.Fatalf("lease %d at %d", out.Lease, r.now)
	}
	r.TransferLeadership(2)
	out := r.at(r.now)
	if only[Campaign](t, out.SendNow).Ballot != b || out.Lease != 0 {
		t.Fatalf("output %+v, want Campaign without a lease", out)
	}
	r.lead.transfer = nil
	if out = r.step(2, HeartbeatReply{Ballot: b, Sent: r.now}); out.Lease != 0 {
		t.Error("a lease with a ballot that has been handed over")
	}
}

// Section 4.4: an answer confirms the rounds that had begun when it was asked for.
func TestAReadWaitsForARoundThatBeganAfterIt(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b := r.isElected(2)
	r.ReadIndex(1)
	out := r.at(r.now)
	round := messages[Heartbeat](out.SendNow)[0].Round
	r.ReadIndex(2)
	r.at(r.now)
	out = r.step(2, HeartbeatReply{Ballot: b, Round: round, Sent: r.now})
	if len(out.Reads) != 1 || out.Reads[0].Ref != 1 || out.Reads[0].Index != r.chosen {
		t.Fatalf("reads %+v, want the first", out.Reads)
	}
	if out = r.step(3, HeartbeatReply{Ballot: b, Round: round, Sent: r.now}); len(out.Reads) > 0 {
		t.Errorf("reads %+v by an answer to the round before", out.Reads)
	}
	if out = r.step(3, HeartbeatReply{Ballot: b, Round: round + 1, Sent: r.now}); len(out.Reads) != 1 || out.Reads[0].Ref != 2 {
		t.Errorf("reads %+v, want the second", out.Reads)
	}
}

// A renewed leadership keeps the reads that wait, and asks a quorum anew: an answer
// to the old ballot's round confirms nothing.
func TestReadsSurviveARenewal(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b := r.isElected(2)
	r.ReadIndex(1)
	r.at(r.now)
	r.renew()
	r.ReadIndex(2)
	r.save()
	r.save()
	next := r.ballot
	r.step(2, Promise{Ballot: next, From: r.chosen + 1})
	r.save()
	if out := r.step(2, HeartbeatReply{Ballot: b, Round: 1, Sent: r.now}); len(out.Reads) > 0 {
		t.Fatalf("reads %+v by the old ballot", out.Reads)
	}
	r.step(2, Accepted{next, r.lead.start, r.lead.marker})
	r.save()
	out := r.step(2, HeartbeatReply{Ballot: next, Round: r.lead.reads.round, Sent: r.now})
	if len(out.Reads) != 2 || out.Reads[0].Err != nil || out.Reads[1].Err != nil || out.Reads[0].Index != r.chosen {
		t.Errorf("reads %+v, want both at %d", out.Reads, r.chosen)
	}
}
