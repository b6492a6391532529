package multipaxos

import (
	"strings"
	"testing"

	"github.com/synod-go/synod/consensus"
)

// What the core once did wrong, found by reading it against the rules.

// A1, A3: who votes with a ballot has promised it. A proposer can have a quorum of
// promises before it hears that its own is durable.
func TestTheFirstVoteOfALeaderPromisesItsBallot(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	r.Campaign()
	r.at(r.now)
	r.step(2, PollReply{Epoch: 1, Granted: true})
	b := r.ballot // durable, and Prepare sent, but the host has not called Saved yet
	r.step(2, Promise{Ballot: b, From: 1})
	out := r.step(3, Promise{Ballot: b, From: 1})
	if r.role != Leader || r.promised != b {
		t.Fatalf("%v, promised %s; want leader of %s", r.role, FormatBallot(r.promised), FormatBallot(b))
	}
	if out.HardState == nil || out.HardState.Promised != b {
		t.Errorf("the promise is not saved with the vote: %+v", out.HardState)
	}
	r.save()
	r.stepDown("test")
	r.at(r.now + r.cfg.Election)
	lower := ballot(1, 0, 2)
	out = r.step(3, Prepare{Ballot: lower, From: 1}, Accept{Ballot: lower, Start: 1, Entries: entriesFrom(1, lower, "x")})
	if m := messages[Nack](out.SendNow); len(m) != 2 || m[0].Reason != RefusedPromised || m[1].Reason != RefusedPromised {
		t.Errorf("answers %v, want two refusals", out)
	}
}

// P1, P2: no attempt ever gets a ballot that is not higher than the last, whatever
// others say is promised.
func TestABallotIsNeverReusedAfterTheLastRound(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	first := r.candidate(2)
	r.step(2, Nack{Ballot: first, Promised: ballot(1, maxRound, 2), Reason: RefusedPromised})
	r.step(3, Nack{Ballot: first, Promised: ballot(1, maxRound, 2), Reason: RefusedPromised})
	for range 20 {
		r.Campaign()
		r.at(r.now + r.cfg.Election)
		r.step(2, PollReply{Epoch: 1, Granted: true})
		r.save()
		if r.proposed < first || r.ballot != 0 && r.ballot <= first {
			t.Fatalf("ballot %s, proposed %s after %s", FormatBallot(r.ballot), FormatBallot(r.proposed), FormatBallot(first))
		}
	}
}

// A replica that gets a snapshot and is elected meanwhile leads from its own slots:
// the rest of the snapshot is of no use to it any more.
func TestALeaderTakesNoSnapshot(t *testing.T) {
	for _, when := range []string{"before", "during", "after"} {
		r := newSolo(t, 1, voters(3), State{}, func(c *Config) { c.MaxChunkBytes = 4 })
		meta := SnapshotMeta{Index: 40, Term: ballot(1, 1, 1), Size: 8, Configuration: *r.config()}
		r.step(2, PollReply{Epoch: 1, Chosen: 50})
		r.step(2, Learned{Chosen: 50, Snapshot: meta})
		chunk := func(at int64) {
			data := []byte("abcd")
			for _, c := range r.step(2, InstallSnapshot{Snapshot: meta, Offset: at, Data: data, Checksum: ChunkChecksum(data)}).Chunks {
				r.ChunkWritten(c.Snapshot.Index, c.Offset+4)
			}
		}
		chunk(0)
		if when == "before" {
			chunk(4)
		}
		r.election.votes, r.role = map[ID]bool{}, PreCandidate
		r.step(3, PollReply{Epoch: 1, Granted: true})
		r.election.votes[1] = true
		r.step(3, PollReply{Epoch: 1, Granted: true})
		r.save()
		if when == "during" {
			chunk(4)
		}
		r.save()
		r.step(3, Promise{Ballot: r.ballot, From: 1})
		chunk(4)
		r.SnapshotInstalled(meta)
		r.save()
		if r.Role() == Leader {
			if r.chosen >= 40 || r.installing() {
				t.Fatalf("%s: a leader with a snapshot at %d", when, r.chosen)
			}
			if _, err := r.Propose([][]byte{[]byte("x")}); err != nil {
				t.Errorf("%s: %v", when, err)
			}
			r.at(r.now)
		} else if r.chosen != 40 {
			t.Errorf("%s: %v, chosen %d, installing %v", when, r.role, r.chosen, r.installing())
		}
	}
}

// A candidate with a long promise is given up when nothing comes, not while pieces
// come (section 4.1); and those who promise it do not begin a duel meanwhile.
func TestALongPromiseTakesAsLongAsItTakes(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{}, func(c *Config) { c.MaxAcceptBytes = 10 })
	b := r.candidate(2)
	r.save()
	old := ballot(1, 0, 2)
	for i := Index(1); i <= 30; i++ {
		r.at(r.now + r.cfg.Election/2)
		m := Promise{Ballot: b, From: i, Next: i + 1, Runs: []Run{{Ballot: old, Entries: entriesFrom(i, old, "x")}}}
		if i == 30 {
			m.Next = 0
		}
		r.step(2, m)
		r.save()
	}
	if r.role != Leader || r.ballot != b {
		t.Errorf("%v of %s after 30 pieces, want leader of %s: left %q", r.role, FormatBallot(r.ballot), FormatBallot(b), r.left)
	}

	a := newSolo(t, 2, voters(3), State{})
	a.step(1, Prepare{Ballot: b, From: 1})
	at := a.election.at
	a.at(a.now + a.cfg.Election/2)
	a.step(1, Prepare{Ballot: b, From: 2})
	if a.election.at <= at {
		t.Errorf("polls at %d, asked for the next piece at %d", a.election.at, a.now)
	}
}

// What peers report in promises is bounded in every piece, and counts once however
// many report it.
func TestReportedVotesAreBounded(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{}, func(c *Config) { c.Window, c.MaxUnchosenBytes, c.CatchUpBytes = 8, 1000, 1000 })
	b := r.candidate(2)
	r.save()
	old := ballot(1, 0, 2)
	next := Index(1)
	for r.role == Candidate && next < 1000 {
		r.step(2, Promise{Ballot: b, From: next, Next: next + 1, Runs: []Run{{Ballot: old, Entries: entriesFrom(next, old, "x")}}})
		next++
	}
	if next > 40 {
		t.Errorf("%d votes taken, want no more than a few windows of 8", next)
	}

	r = newSolo(t, 1, voters(5), State{})
	b = r.candidate(2, 3)
	for id := ID(2); id <= 3; id++ {
		low := ballot(1, 0, int(id))
		r.step(id, Promise{Ballot: b, From: 1, Next: 2, Runs: []Run{{Ballot: low, Entries: entriesFrom(1, low, strings.Repeat("x", 100))}}})
	}
	if want := 100 + slotOverhead; r.phase1.bytes != want {
		t.Errorf("%d bytes reported, want %d", r.phase1.bytes, want)
	}
	r.step(4, Promise{Ballot: b, From: 1, Next: 2})
	if h := r.phase1.heard[4]; h.next != 1 {
		t.Errorf("a piece without votes moved the promise on to %d", h.next)
	}
}

// An acceptor that has no snapshot yet votes on, however much chosen log it keeps:
// only what is not chosen counts against the window.
func TestALongChosenLogDoesNotSilenceAnAcceptor(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{}, func(c *Config) { c.MaxUnchosenBytes, c.CatchUpBytes = 1000, 1000 })
	b := ballot(1, 1, 1)
	data := strings.Repeat("x", 400)
	for i := Index(1); i <= 30; i++ {
		out := r.step(2, Accept{Ballot: b, Start: 1, Chosen: i - 1, Entries: entriesFrom(i, b, data)})
		r.Applied(i - 1)
		if m := messages[Accepted](out.Send); len(m) != 1 || m[0].Last != i {
			t.Fatalf("slot %d: answers %v with %d bytes of log, want a vote", i, out.Send, r.log.bytes)
		}
	}
	if out := r.step(2, Accept{Ballot: b, Start: 1, Chosen: 20, Entries: entriesFrom(31, b, data, data, data, data, data, data)}); r.log.end > 36 || len(messages[Accepted](out.Send)) > 1 {
		t.Errorf("slots up to %d, want a bound on what is not chosen", r.log.end)
	}
}

// A peer that has nothing for us is not asked again at once, and another one is
// asked in its place.
func TestAnEmptyAnswerLeadsToAnotherPeer(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b := ballot(1, 1, 1)
	r.step(2, Accept{Ballot: b, Start: 1, Chosen: 5, Entries: entriesFrom(4, b, "d")})
	r.at(r.now + r.cfg.Heartbeat)
	out := r.step(2, Learned{Chosen: 0})
	if m := messages[Learn](out.SendNow); len(m) > 0 {
		t.Errorf("asks again at once: %v", out.SendNow)
	}
	out = r.at(r.now + r.cfg.Heartbeat)
	only[Learn](t, out.SendNow)
	if out.SendNow[0].To != 3 {
		t.Errorf("asks %v, want 3", out.SendNow)
	}
}

// A witness that has trimmed has no snapshot to send: a learner asks somebody else,
// another witness takes its word.
func TestNoSnapshotIsFetchedFromAWitness(t *testing.T) {
	members := []Member{{ID: 1, Roles: consensus.RoleLearner}, {ID: 2, Roles: consensus.RoleProposer},
		{ID: 3, Voter: true, Roles: consensus.RoleAcceptor}, {ID: 4, Voter: true, Roles: consensus.RoleAcceptor}}
	trimmed := Learned{Chosen: 50, Snapshot: SnapshotMeta{Index: 40, Term: ballot(1, 1, 1), Configuration: Bootstrap(members...).Configuration}}
	r := newSolo(t, 1, members, State{})
	r.step(3, PollReply{Epoch: 1, Chosen: 50})
	if out := r.step(3, trimmed); len(messages[Fetch](out.SendNow)) > 0 {
		t.Errorf("fetches from a witness: %v", out.SendNow)
	}
	if out := r.at(r.now + r.cfg.Heartbeat); len(messages[Learn](out.SendNow)) != 1 || out.SendNow[0].To == 3 {
		t.Errorf("asks %v, want another one than 3", out.SendNow)
	}
	w := newSolo(t, 4, members, State{})
	w.step(2, Heartbeat{Ballot: ballot(1, 1, 1), Start: 1, Chosen: 30, Safe: 40})
	w.step(3, PollReply{Epoch: 1, Chosen: 50})
	w.at(w.now + w.cfg.Heartbeat)
	if out := w.step(w.pull.to, trimmed); w.chosen != 40 || out.Base == nil || out.Base.Index != 40 {
		t.Errorf("a witness at %d, base %v; want 40", w.chosen, out.Base)
	}
}

// A witness lets its votes go only for a snapshot that outlives any minority: the
// one peer that has it may be lost, and then the votes are what a quorum needs to
// find the values again (sim seed 100319).
func TestAWitnessKeepsItsVotesForASnapshotOfOne(t *testing.T) {
	w := newSolo(t, 2, []Member{{ID: 1, Voter: true}, {ID: 2, Voter: true, Roles: consensus.RoleAcceptor}, {ID: 3, Voter: true}}, State{})
	b := ballot(1, 1, 0)
	w.step(1, Accept{Ballot: b, Start: 39, Entries: entriesFrom(39, b, "x", "y", "z")})
	w.step(1, Heartbeat{Ballot: b, Start: 39, Chosen: 41, Safe: 20})
	w.at(w.now + w.cfg.Heartbeat)
	meta := SnapshotMeta{Index: 40, Term: b, Configuration: *w.config()}
	if out := w.step(w.pull.to, Learned{Chosen: 41, Snapshot: meta}); w.chosen != 0 || out.Base != nil {
		t.Fatalf("chosen %d, base %v with a snapshot that one peer has", w.chosen, out.Base)
	}
	w.step(1, Heartbeat{Ballot: b, Start: 39, Chosen: 41, Safe: 40})
	w.at(w.now + w.cfg.Heartbeat)
	if out := w.step(w.pull.to, Learned{Chosen: 41, Snapshot: meta}); w.chosen != 41 || out.Base == nil {
		t.Fatalf("chosen %d, base %v with a snapshot that outlives a minority", w.chosen, out.Base)
	}
}

// A new epoch may not be able to begin without a new acceptor that has no state machine
// (sim seed 200024), and nobody leads who could tell it what snapshots hold. What it has
// taken in the place of nothing does not keep a proposer from beginning below it.
func TestAWitnessThatKnowsNoEpochTakesAnyBase(t *testing.T) {
	w := newSolo(t, 4, nil, State{}, func(c *Config) { c.Witness = true })
	group := Bootstrap(Member{ID: 1, Voter: true}, Member{ID: 4, Voter: true, Roles: consensus.RoleAcceptor}).Configuration
	w.step(1, PollReply{Epoch: 1, Chosen: 50})
	meta := SnapshotMeta{Index: 40, Term: ballot(1, 1, 0), Configuration: group}
	if out := w.step(1, Learned{Chosen: 50, Snapshot: meta}); w.chosen != 40 || out.Base == nil {
		t.Fatalf("chosen %d, base %v", w.chosen, out.Base)
	}
	w.at(w.now + 2*w.cfg.Election)
	if out := w.step(1, Poll{Epoch: 1, Chosen: 20}); !only[PollReply](t, out.SendNow).Granted {
		t.Errorf("refuses a proposer that has learned less: %v", out.SendNow)
	}
	out := w.step(1, Prepare{Ballot: ballot(1, 2, 0), From: 21})
	if m := only[Promise](t, out.Send); m.Trimmed != 0 || len(m.Runs) > 0 {
		t.Errorf("promise %+v, want one without votes", m)
	}
}

// Without a leader's word a witness counts who offers the snapshot (sim seed 300071).
func TestAWitnessCountsWhoOffersASnapshot(t *testing.T) {
	w := newSolo(t, 2, []Member{{ID: 1, Voter: true}, {ID: 2, Voter: true, Roles: consensus.RoleAcceptor}, {ID: 3, Voter: true}}, State{})
	meta := SnapshotMeta{Index: 40, Term: ballot(1, 1, 0), Configuration: *w.config()}
	for _, id := range []ID{1, 1, 3} {
		if w.chosen != 0 {
			t.Fatalf("takes the snapshot of one")
		}
		w.pull.to = None
		w.pullFrom(id)
		w.step(id, Learned{Chosen: 41, Snapshot: meta})
	}
	if w.chosen != 40 {
		t.Errorf("chosen %d after two have offered it", w.chosen)
	}
}

// Section 4.3: what is trimmed must be had from somebody as long as a quorum is up.
func TestSafeOutlivesAnyMinority(t *testing.T) {
	witness := func(id ID) Member { return Member{ID: id, Voter: true, Roles: consensus.RoleAcceptor} }
	learner := func(id ID) Member { return Member{ID: id} }
	voter := func(id ID) Member { return Member{ID: id, Voter: true} }
	for name, c := range map[string]struct {
		members []Member
		have    map[ID]Index
		want    Index
	}{
		"three that do all":             {voters(3), map[ID]Index{1: 10, 2: 20, 3: 30}, 20},
		"five, two may fail":            {voters(5), map[ID]Index{1: 10, 2: 20, 3: 30, 4: 40, 5: 50}, 30},
		"learners beside do not count":  {[]Member{voter(1), voter(2), voter(3), learner(4)}, map[ID]Index{1: 10, 2: 5, 3: 6, 4: 90}, 6},
		"but in the place of acceptors": {[]Member{voter(1), witness(2), witness(3), learner(4), learner(5)}, map[ID]Index{1: 10, 4: 5, 5: 4}, 5},
		"one witness of five":           {[]Member{voter(1), voter(2), witness(3), voter(4), voter(5)}, map[ID]Index{1: 10, 2: 20, 4: 40, 5: 50}, 20},
		"only witnesses vote": {[]Member{{ID: 1, Roles: consensus.RoleProposer}, witness(2), witness(3), witness(4), learner(5), learner(6)},
			map[ID]Index{1: 10, 5: 20, 6: 30}, 20},
	} {
		r := newSolo(t, 1, c.members, State{})
		r.isElected(2, 3)
		r.snapshot.Index = c.have[1]
		for _, p := range r.lead.peers {
			p.snapshot = c.have[p.id]
		}
		if got := r.safe(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		for _, p := range r.lead.peers {
			p.heard = r.now - r.cfg.CatchUpTime
		}
		if got := r.safe(); got != c.have[1] {
			t.Errorf("%s: %d when nobody was heard for long", name, got)
		}
	}
}

// A leader that prepares again still leads: Campaign does nothing to it.
func TestCampaignLeavesARenewingLeaderAlone(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	r.isElected(2)
	r.renew()
	r.Campaign()
	r.at(r.now + millisecond)
	if r.Role() != Leader || r.role != Candidate {
		t.Errorf("%v (%v), want a leader that prepares again", r.Role(), r.role)
	}
}

// What a leader sends from its own beginning on, or after a pause from the chosen prefix
// on, says nothing of what the peer holds before that.
func TestStatusSaysNoMoreOfAPeerThanItHolds(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{Runs: []Run{{Chosen: true, Entries: entriesFrom(1, ballot(1, 1, 1), "a", "b", "c")}},
		HardState: HardState{Promised: ballot(1, 1, 1)}})
	b := r.isElected(2)
	match := func() Index { return r.Status().Peers[1].Match }
	if match() != 0 {
		t.Errorf("a peer that has never answered holds the log up to %d", match())
	}
	r.step(3, HeartbeatReply{Ballot: b, Sent: r.now, Chosen: 2})
	if match() != 2 {
		t.Errorf("a peer with 2 slots holds %d", match())
	}
	r.step(3, Accepted{Ballot: b, First: r.lead.start, Last: r.lead.marker})
	if match() != 2 {
		t.Errorf("a peer that lacks slot 3 holds %d", match())
	}
	r.step(3, HeartbeatReply{Ballot: b, Sent: r.now, Chosen: 3})
	if match() != r.lead.marker {
		t.Errorf("a peer that has learned slot 3 and voted for the rest holds %d, want %d", match(), r.lead.marker)
	}

	first, _ := r.Propose([][]byte{[]byte("d")})
	r.at(r.now)
	r.save()
	r.step(2, Accepted{Ballot: b, First: first, Last: first})
	r.PeerLost(3)
	r.step(3, HeartbeatReply{Ballot: b, Sent: r.now, Chosen: first - 1})
	if match() != first-1 {
		t.Errorf("a peer whose Accept was lost with its connection holds %d, want %d", match(), first-1)
	}
}

// An acceptor whose state machine does not keep up stops voting in the end: what is
// chosen and not applied is bounded too.
func TestAStateMachineThatLagsBoundsWhatIsVotedFor(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{}, func(c *Config) { c.MaxUnchosenBytes, c.CatchUpBytes = 1000, 1000 })
	b := ballot(1, 1, 1)
	data := strings.Repeat("x", 100)
	accept := func(i Index) int {
		return len(messages[Accepted](r.step(2, Accept{Ballot: b, Start: 1, Chosen: i - 1, Entries: entriesFrom(i, b, data)}).Send))
	}
	i := Index(1)
	for i < 100 && accept(i) > 0 {
		i++
	}
	if r.log.bytes > 3000 {
		t.Fatalf("%d bytes of log, none applied, with a bound of 2000", r.log.bytes)
	}
	r.Applied(i)
	if accept(i) == 0 {
		t.Errorf("does not vote for slot %d: %d bytes are chosen and not applied", i, r.unapplied)
	}
}

// receive has r fetch a snapshot of 40 bytes from replica 1 and get chunks up to upTo.
func (r *solo) receive(upTo int64) (meta SnapshotMeta) {
	meta = SnapshotMeta{Index: 40, Term: ballot(1, 1, 0), Size: 40, Configuration: *r.config()}
	r.step(1, PollReply{Epoch: 1, Chosen: 50})
	r.step(1, Learned{Chosen: 50, Snapshot: meta})
	for at := int64(0); at < upTo; at += 4 {
		r.step(1, InstallSnapshot{Snapshot: meta, Offset: at, Data: []byte("abcd"), Checksum: ChunkChecksum([]byte("abcd"))})
	}
	return meta
}

// Section 4.3: a transfer whose sender was silent for a while goes on where it was, and
// not from the start again.
func TestASnapshotThatWasInterruptedGoesOn(t *testing.T) {
	r := newSolo(t, 3, voters(3), State{}, func(c *Config) { c.MaxChunkBytes = 4 })
	meta := r.receive(12)
	r.ChunkWritten(40, 12)
	for range fetchTries + 1 {
		r.at(r.pull.at)
	}
	if r.incoming != nil || r.pull.to != 2 {
		t.Fatalf("asks %d, want another one than the silent sender: 2", r.pull.to)
	}
	r.step(2, Learned{Chosen: 20})
	r.at(r.pull.at)
	out := r.step(1, Learned{Chosen: 50, Snapshot: meta})
	if m := messages[Fetch](out.SendNow); len(m) == 0 || m[0] != (Fetch{Index: 40, Offset: 12}) {
		t.Errorf("asks for %v, want what follows on 12 bytes", out.SendNow)
	}

	r.SnapshotFailed(40)
	r.at(r.pull.at)
	r.step(r.pull.to, Learned{Chosen: 20})
	r.at(r.pull.at)
	out = r.step(r.pull.to, Learned{Chosen: 50, Snapshot: meta})
	if m := messages[Fetch](out.SendNow); len(m) == 0 || m[0].Offset != 0 {
		t.Errorf("asks for %v, want all of what could not be written", out.SendNow)
	}
}

// Whoever has all that it asked for, and is yet to write it, gives nobody up.
func TestASlowDiskDoesNotInterruptASnapshot(t *testing.T) {
	r := newSolo(t, 3, voters(3), State{}, func(c *Config) { c.MaxChunkBytes = 4 })
	r.receive(12)
	for range 10 * fetchTries {
		r.at(r.now + r.patience())
	}
	r.ChunkWritten(40, 4)
	if m := only[Fetch](t, r.Output().SendNow); m.Offset != 12 {
		t.Errorf("asks for offset %d, want 12", m.Offset)
	}
}

// M1: an acceptor that learns between two pieces of its promise, or has taken a base in
// the place of what it never voted for, reports as chosen what does not follow on what
// the candidate knows. It still is the value there (sim seed 57).
func TestWhatIsReportedAsChosenBehindAGapStands(t *testing.T) {
	r := newSolo(t, 1, voters(5), State{})
	b, old, late := r.candidate(2, 3), ballot(1, 0, 2), ballot(1, 0, 3)
	r.save()
	r.step(2, Promise{Ballot: b, From: 1, Next: 3, Runs: []Run{{Ballot: old, Entries: entriesFrom(2, old, "b")}}})
	r.step(2, Promise{Ballot: b, From: 3, Chosen: 4, Runs: []Run{{Chosen: true, Entries: entriesFrom(3, old, "c", "d")}}})
	out := r.step(3, Promise{Ballot: b, From: 1, Runs: []Run{{Ballot: old, Entries: entriesFrom(1, old, "a")}, {Ballot: late, Entries: entriesFrom(4, late, "x")}}})
	if r.role != Leader || r.chosen != 0 || r.lead.marker != 5 {
		t.Fatalf("%v, chosen %d: %s; want the leader behind slot 4", r.role, r.chosen, showRuns(out.Runs))
	}
	for i, want := range []string{"a", "b", "c", "d"} {
		if e := r.log.entry(Index(i + 1)); string(e.Data) != want || e.Term != old {
			t.Errorf("slot %d: proposes %+v, want %s", i+1, *e, want)
		}
	}
}
