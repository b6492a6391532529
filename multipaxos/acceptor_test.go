package multipaxos

import "testing"

// The acceptor's rules A1 to A8, one node driven by hand.

// A1, A8: a vote is reported with the ballot with which it was given, not with the
// one promised since.
func TestAVoteIsReportedWithItsOwnBallot(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b1, b2, b3 := ballot(1, 1, 1), ballot(1, 2, 2), ballot(1, 3, 2)
	r.step(2, Accept{Ballot: b1, Start: 1, Entries: entriesFrom(1, b1, "a")})
	r.at(r.now + r.cfg.Lease)
	for _, b := range []Ballot{b2, b3} {
		p := only[Promise](t, r.step(3, Prepare{Ballot: b, From: 1}).Send)
		if len(p.Runs) != 1 || p.Runs[0].Ballot != b1 || p.Ballot != b {
			t.Errorf("%+v, want a promise of %s with a vote of %s", p, FormatBallot(b), FormatBallot(b1))
		}
	}
	if r.promised < r.log.at(1).vote {
		t.Errorf("promised %s below the vote %s", FormatBallot(r.promised), FormatBallot(r.log.at(1).vote))
	}
}

// A2: a Prepare with the promised ballot, which only its proposer can have, is
// answered again, and nothing is written for it; a lower one is refused.
func TestAPrepareIsAnsweredAgainWithoutAWrite(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b := ballot(1, 2, 1)
	if out := r.step(2, Prepare{Ballot: b, From: 1}); out.Save == 0 || out.HardState.Promised != b {
		t.Fatalf("output %+v, want the promise saved", out)
	}
	r.save()
	out := r.step(2, Prepare{Ballot: b, From: 1})
	if p := only[Promise](t, out.Send); p.Ballot != b || out.Save != 0 {
		t.Errorf("%+v, save %d; want the same promise and no save", p, out.Save)
	}
	out = r.step(3, Prepare{Ballot: ballot(1, 1, 2), From: 1})
	if m := only[Nack](t, out.SendNow); m.Promised != b || m.Reason != RefusedPromised {
		t.Errorf("%+v, want the ballot to beat %s", m, FormatBallot(b))
	}
}

// A3, B1, B13: an Accept with exactly the promised ballot is voted for, and one with
// a higher ballot raises the promise.
func TestAnAcceptRaisesThePromise(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b1, b2 := ballot(1, 1, 1), ballot(1, 2, 2)
	r.step(2, Prepare{Ballot: b1, From: 1})
	if out := r.step(2, Accept{Ballot: b1, Start: 1, Entries: entriesFrom(1, b1, "a")}); len(messages[Accepted](out.Send)) != 1 {
		t.Fatalf("no vote with the promised ballot: %v", out)
	}
	out := r.step(3, Accept{Ballot: b2, Start: 1, Entries: entriesFrom(1, b2, "b")})
	if out.HardState == nil || out.HardState.Promised != b2 || only[Accepted](t, out.Send).Ballot != b2 {
		t.Errorf("output %+v, want a vote and the promise of %s", out, FormatBallot(b2))
	}
	out = r.step(2, Accept{Ballot: b1, Start: 1, Entries: entriesFrom(2, b1, "c")})
	if only[Nack](t, out.SendNow).Promised != b2 || r.log.end != 1 {
		t.Errorf("votes below its promise: %+v", out)
	}
}

// A3: the same vote again is acknowledged again, and nothing is written for it.
func TestAVoteIsAcknowledgedAgainWithoutAWrite(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b := ballot(1, 1, 1)
	m := Accept{Ballot: b, Start: 1, Entries: entriesFrom(1, b, "a", "b")}
	r.step(2, m)
	r.save()
	out := r.step(2, m)
	if a := only[Accepted](t, out.Send); a != (Accepted{b, 1, 2}) || out.Save != 0 {
		t.Errorf("%+v, save %d; want both votes acknowledged and no save", a, out.Save)
	}
}

// A4: a promise and a vote leave after the save that makes them true; what is asked
// meanwhile is answered behind it. A refusal leaves at once.
func TestAnswersWaitForTheirSave(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b := ballot(1, 2, 1)
	out := r.step(2, Prepare{Ballot: b, From: 1}, Accept{Ballot: b, Start: 1, Entries: entriesFrom(1, b, "a")}, Prepare{Ballot: 1<<40 | 1<<8, From: 1})
	if len(messages[Promise](out.Send)) != 1 || len(messages[Accepted](out.Send)) != 1 || out.Save == 0 {
		t.Fatalf("send %v with save %d; want a promise and a vote behind it", out.Send, out.Save)
	}
	for _, e := range out.SendNow {
		switch e.Message.(type) {
		case Promise, Accepted:
			t.Errorf("%T leaves before it is durable", e.Message)
		}
	}
	if len(out.Runs) != 1 || out.HardState == nil {
		t.Errorf("save %+v, want the promise and the vote", out)
	}
}

// A6, P4: answers of another epoch, or with another ballot, do not count.
func TestAnswersAreForExactlyOneBallot(t *testing.T) {
	r := newSolo(t, 1, voters(5), State{})
	b := r.candidate(2, 3)
	r.save()
	for _, other := range []Ballot{b - 1<<8, b + 1<<8, b + 1<<40} {
		for id := ID(2); id <= 5; id++ {
			r.step(id, Promise{Ballot: other, From: 1})
		}
		if r.role != Candidate {
			t.Fatalf("promises of %s make a leader of %s (B16)", FormatBallot(other), FormatBallot(b))
		}
	}
}

// A7, M13: who does not vote says so, at once, and says how much it knows to be chosen.
func TestEveryRefusalHasAReason(t *testing.T) {
	members := append(voters(2), Member{ID: 3})
	sealed := SnapshotMeta{Index: 9, Term: ballot(2, 1, 0), Configuration: Configuration{Epoch: 2, Version: 9, Members: members}}
	for name, c := range map[string]struct {
		id     ID
		ballot Ballot
		want   Reason
	}{
		"promised":   {1, ballot(2, 1, 1), RefusedPromised},
		"behind":     {1, ballot(3, 9, 1), RefusedBehind},
		"sealed":     {1, ballot(1, 9, 1), RefusedSealed},
		"not voting": {3, ballot(2, 9, 1), RefusedNotVoting},
	} {
		r := newSolo(t, c.id, nil, State{Snapshot: sealed, HardState: HardState{Promised: ballot(2, 5, 0)}})
		m := only[Nack](t, r.step(2, Prepare{Ballot: c.ballot, From: 10}).SendNow)
		if m.Reason != c.want || m.Ballot != c.ballot || m.Chosen != 9 {
			t.Errorf("%s: %+v, want reason %v", name, m, c.want)
		}
	}
	r := newSolo(t, 1, nil, State{Snapshot: sealed})
	r.step(2, Heartbeat{Ballot: ballot(2, 5, 1), Start: 10, Chosen: 9})
	if m := only[Nack](t, r.step(2, Prepare{Ballot: ballot(2, 6, 1), From: 10}).SendNow); m.Reason != RefusedLease {
		t.Errorf("lease: %+v", m)
	}
}

// M1: a promise describes every slot from the one asked for on: votes, what is chosen
// and still here, and up to where it is trimmed.
func TestAPromiseLeavesNothingOut(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{}, func(c *Config) { c.TrailingEntries = 1 })
	b := ballot(1, 1, 1)
	r.step(2, Accept{Ballot: b, Start: 1, Entries: entriesFrom(1, b, "a", "b", "c", "d", "e")})
	r.step(2, Heartbeat{Ballot: b, Start: 1, Chosen: 4})
	r.step(2, Accept{Ballot: b, Start: 1, Chosen: 4, Entries: entriesFrom(7, b, "g")})
	r.Applied(4)
	meta, _ := r.MetaAt(3)
	r.SnapshotTaken(meta)
	r.at(r.now + r.cfg.Lease)
	p := only[Promise](t, r.step(3, Prepare{Ballot: ballot(1, 2, 2), From: 1}).Send)
	if p.Trimmed != 2 || p.Chosen != 4 || showRuns(p.Runs) != `chosen: 3/1.1.1 "c", 4/1.1.1 "d"; votes 1.1.1: 5/1.1.1 "e"; votes 1.1.1: 7/1.1.1 "g"` {
		t.Errorf("promise %s", showMessage(p))
	}
}

// Section 4.7, rule 5: votes behind a SEAL are void: no promise of the next epoch
// reports them, also after a restart that finds them on disk.
func TestVotesBehindASealAreVoid(t *testing.T) {
	old := ballot(1, 1, 1)
	seal := sealOf(2, old, 2, voters(3)...)
	s := State{
		HardState: HardState{Promised: old},
		Runs:      []Run{{Ballot: old, Entries: append(append(entriesFrom(1, old, "a"), seal), entriesFrom(3, old, "void", "void")...)}},
	}
	for _, when := range []string{"learned", "recovered"} {
		if when == "recovered" {
			s.Chosen = 2
		}
		r := newSolo(t, 1, voters(3), s)
		if when == "learned" {
			r.step(2, Heartbeat{Ballot: old, Start: 1, Chosen: 2})
			r.at(r.now + r.cfg.Lease)
		}
		if r.epoch() != 2 || r.log.end != 2 {
			t.Fatalf("%s: epoch %d, slots up to %d", when, r.epoch(), r.log.end)
		}
		if p := only[Promise](t, r.step(3, Prepare{Ballot: ballot(2, 1, 2), From: 3}).Send); len(p.Runs) > 0 {
			t.Errorf("%s: reports %s", when, showRuns(p.Runs))
		}
	}
}

func sealOf(at Index, b Ballot, epoch uint32, members ...Member) Entry {
	return sealEntry(at, b, Configuration{Epoch: epoch, Version: at, Members: members})
}

// Section 4.7, rule 2: who promises in a new epoch has everything before it on disk
// with the same save.
func TestAPromiseInANewEpochSavesItsPrefix(t *testing.T) {
	old := ballot(1, 1, 1)
	r := newSolo(t, 1, voters(3), State{})
	entries := append(entriesFrom(1, old, "a"), sealOf(2, old, 2, voters(3)...))
	r.step(2, PollReply{Epoch: 2, Chosen: 2})
	r.Tick(r.now)
	r.Step(2, Learned{Chosen: 2, Entries: entries})
	r.Step(3, Prepare{Ballot: ballot(2, 1, 2), From: 3})
	out := r.Output()
	if len(messages[Promise](out.Send)) != 1 || out.Chosen != 2 || len(out.Runs) != 1 || len(out.Runs[0].Entries) != 2 || out.HardState.Promised != ballot(2, 1, 2) {
		t.Errorf("output %+v, want promise, prefix and entries in one save", out)
	}
}

// Lease rule 4: a Prepare passes over the promise to exactly the leader who gave way,
// and over nobody else's.
func TestAPreparePassesOverOneLeaderOnly(t *testing.T) {
	b := ballot(1, 5, 1)
	for _, c := range []struct {
		over Ballot
		want bool
	}{{0, false}, {ballot(1, 4, 1), false}, {ballot(1, 6, 1), false}, {b, true}} {
		r := newSolo(t, 1, voters(3), State{})
		r.step(2, Heartbeat{Ballot: b, Start: 1})
		out := r.step(3, Prepare{Ballot: ballot(1, 9, 2), From: 1, Over: c.over})
		if got := len(messages[Promise](out.Send)) == 1; got != c.want {
			t.Errorf("over %s: promised %v, want %v", FormatBallot(c.over), got, c.want)
		}
		out = r.at(r.now + r.cfg.Lease)
		out = r.step(3, Prepare{Ballot: ballot(1, 9, 2), From: 1})
		if len(messages[Promise](out.Send)) != 1 {
			t.Errorf("over %s: not promised after the lease: %v", FormatBallot(c.over), out.SendNow)
		}
	}
}

// M6: a restarted acceptor keeps, for one Lease, the promise that it may have given
// before.
func TestARestartKeepsTheLease(t *testing.T) {
	n, err := New(testConfig(1), State{Snapshot: Bootstrap(voters(3)...), HardState: HardState{Promised: ballot(1, 1, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(now Time) bool {
		n.Tick(now)
		n.Step(3, Prepare{Ballot: ballot(1, 2, 2), From: 1})
		return len(messages[Promise](n.Output().Send)) == 1
	}
	start := 7 * millisecond
	if ask(start) || ask(start+n.cfg.Lease-1) || !ask(start+n.cfg.Lease) {
		t.Errorf("promised before %d or not after", start+n.cfg.Lease)
	}
}
