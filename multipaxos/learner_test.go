package multipaxos

import "testing"

// The learner's rules L1 to L6, one node driven by hand.

// L1, B15: votes of different ballots make no quorum.
func TestVotesOfDifferentBallotsAreNotAdded(t *testing.T) {
	r := newSolo(t, 1, voters(5), State{})
	b := r.isElected(2, 3)
	at, _ := r.Propose([][]byte{[]byte("x")})
	r.at(r.now)
	r.save()
	r.step(2, Accepted{b, at, at})
	r.renew()
	r.save()
	r.save()
	next := r.ballot
	for id := ID(2); id <= 4; id++ {
		r.step(id, Promise{Ballot: next, From: r.chosen + 1})
	}
	r.step(3, Accepted{b, at, at})
	r.save()
	r.step(4, Accepted{next, at, at})
	if r.chosen >= at {
		t.Errorf("slot %d is chosen by two votes for %s and two for %s", at, FormatBallot(b), FormatBallot(next))
	}
}

// L2: what is said to be chosen may be said again, late and in any order.
func TestNewsOfOldLeadersChangeNothing(t *testing.T) {
	b1, b2 := ballot(1, 1, 1), ballot(1, 2, 2)
	r := newSolo(t, 1, voters(3), State{})
	r.step(2, Accept{Ballot: b1, Start: 1, Entries: entriesFrom(1, b1, "a", "b")})
	r.step(3, Accept{Ballot: b2, Start: 1, Entries: entriesFrom(1, b2, "c", "d")})
	r.step(2, Heartbeat{Ballot: b1, Start: 1, Chosen: 2})
	if r.chosen != 0 {
		t.Fatalf("chosen %d by the word of an old leader about votes for a new one", r.chosen)
	}
	r.step(3, Heartbeat{Ballot: b2, Start: 1, Chosen: 1})
	r.step(3, Heartbeat{Ballot: b2, Start: 1, Chosen: 1})
	if out := r.step(3, Heartbeat{Ballot: b2, Start: 1}); r.chosen != 1 || len(out.Apply) > 0 {
		t.Errorf("chosen %d, want 1", r.chosen)
	}
}

// L3, M3: told that a slot is chosen, a replica takes its own vote for it only if that
// has exactly the ballot it was told of; else it asks.
func TestAVoteIsChosenOnlyWithExactlyTheBallotToldOf(t *testing.T) {
	b1, b2 := ballot(1, 1, 1), ballot(1, 2, 2)
	for name, start := range map[string]Index{"proposed with it": 1, "chosen before it": 2} {
		r := newSolo(t, 1, voters(3), State{})
		r.step(2, Accept{Ballot: b1, Start: 1, Entries: entriesFrom(1, b1, "a")})
		out := r.step(3, Heartbeat{Ballot: b2, Start: start, Chosen: 1})
		if r.chosen != 0 || len(out.Apply) > 0 {
			t.Errorf("%s: slot 1 is taken as chosen with a vote for %s", name, FormatBallot(b1))
		}
		if m := only[Learn](t, out.SendNow); m.From != 1 {
			t.Errorf("%s: asks from %d, want 1", name, m.From)
		}
		out = r.step(3, Learned{Entries: entriesFrom(1, b2, "b"), Chosen: 1})
		if len(out.Apply) != 1 || string(out.Apply[0].Data) != "b" || len(out.Runs) != 1 || !out.Runs[0].Chosen {
			t.Errorf("%s: applies %v, saves %s", name, out.Apply, showRuns(out.Runs))
		}
	}
}

// M5: nothing is handed out before everything in front of it is chosen.
func TestApplyIsInOrder(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	b := r.isElected(2)
	first, _ := r.Propose([][]byte{[]byte("a"), []byte("b"), []byte("c")})
	r.at(r.now)
	r.save()
	if out := r.step(2, Accepted{b, first + 1, first + 2}); len(out.Apply) > 0 || r.chosen >= first {
		t.Fatalf("applies %s", showEntries(out.Apply))
	}
	if out := r.step(2, Accepted{b, first, first}); len(out.Apply) != 3 {
		t.Errorf("applies %s, want three", showEntries(out.Apply))
	}
}

// L6, section 4.3: a learner pulls in bulk, a question at a time, asks another peer
// when there is no answer, and goes on at once as long as there is more.
func TestALearnerPullsInBulkFromAnyPeer(t *testing.T) {
	b := ballot(1, 1, 1)
	r := newSolo(t, 1, voters(3), State{})
	r.step(2, Heartbeat{Ballot: b, Start: 9, Chosen: 8})
	if out := r.step(2, Heartbeat{Ballot: b, Start: 9, Chosen: 8}); len(messages[Learn](out.SendNow)) > 0 {
		t.Fatal("two questions at a time")
	}
	out := r.at(r.pull.at)
	if m := only[Learn](t, out.SendNow); m.From != 1 || only3(out.SendNow) == nil {
		t.Fatalf("asks %v, want replica 3 from slot 1", out.SendNow)
	}
	if r.step(2, Learned{Entries: entriesFrom(1, b, "late"), Chosen: 8}); r.chosen > 0 {
		t.Error("an answer to a question that was given up")
	}
	out = r.step(3, Learned{Entries: entriesFrom(1, b, "a", "b", "c"), Chosen: 8})
	if m := only[Learn](t, out.SendNow); m.From != 4 || r.chosen != 3 {
		t.Errorf("chosen %d, asks from %d; want 3 and 4", r.chosen, m.From)
	}
}

// M8, M9: trimmed is only what is applied and in a snapshot; who asks for it gets the
// snapshot's description, and who asks for what is not there yet an empty answer.
func TestATrimmedSlotLeadsToASnapshot(t *testing.T) {
	b := ballot(1, 1, 1)
	r := newSolo(t, 1, voters(3), State{}, func(c *Config) { c.TrailingEntries = 1 })
	r.step(2, Accept{Ballot: b, Start: 1, Entries: entriesFrom(1, b, "a", "b", "c", "d")})
	r.step(2, Heartbeat{Ballot: b, Start: 1, Chosen: 4})
	if _, ok := r.MetaAt(3); ok {
		t.Fatal("a snapshot of what is not applied")
	}
	r.SnapshotTaken(SnapshotMeta{Index: 3})
	if r.log.prev != 0 {
		t.Fatalf("trimmed to %d at chosen, not applied", r.log.prev)
	}
	r.Applied(3)
	meta, _ := r.MetaAt(3)
	meta.Size = 11
	r.SnapshotTaken(meta)
	if r.log.prev != 2 {
		t.Fatalf("trimmed to %d, want 2", r.log.prev)
	}
	for from, want := range map[Index]string{
		1: "Learned [], chosen 4, snapshot 3 of 11 bytes, LEAD -, epoch 1 {1v 2v 3v}",
		3: `Learned [3/1.1.1 "c", 4/1.1.1 "d"], chosen 4`, 5: "Learned [], chosen 4", 99: "Learned [], chosen 4",
	} {
		if got := showMessage(only[Learned](t, r.step(3, Learn{From: from}).SendNow)); got != want {
			t.Errorf("from %d: %s, want %s", from, got, want)
		}
	}
}

// L6: what is voted for and not known to be chosen is taught to nobody.
func TestOnlyWhatIsChosenIsTaught(t *testing.T) {
	b := ballot(1, 1, 1)
	r := newSolo(t, 1, voters(3), State{})
	r.step(2, Accept{Ballot: b, Start: 1, Entries: entriesFrom(1, b, "a", "b", "c")})
	r.step(2, Heartbeat{Ballot: b, Start: 1, Chosen: 1})
	for from, want := range map[Index]string{1: `Learned [1/1.1.1 "a"], chosen 1`, 2: "Learned [], chosen 1"} {
		if got := showMessage(only[Learned](t, r.step(3, Learn{From: from}).SendNow)); got != want {
			t.Errorf("from %d: %s, want %s", from, got, want)
		}
	}
}

// Section 4.6, M15: behind a LEAD marker entries of older leaders are void, before it
// they are not; the marker in force is part of a snapshot.
func TestGhostsAreVoidBehindAMarker(t *testing.T) {
	b1, b2 := ballot(1, 1, 1), ballot(1, 2, 2)
	r := newSolo(t, 1, voters(3), State{})
	r.step(3, Accept{Ballot: b2, Start: 1, Entries: []Entry{
		{Term: b1, Index: 1, Data: []byte("old")}, {Term: b2, Index: 2, Kind: EntryLead},
		{Term: b1, Index: 3, Data: []byte("ghost")}, sealOf(4, b1, 2, voters(1)...),
		{Term: b1, Index: 5, Kind: EntryLead}, {Term: b2, Index: 6, Data: []byte("new")}}})
	out := r.step(3, Heartbeat{Ballot: b2, Start: 1, Chosen: 6})
	want := `1/1.1.1 "old", 2/1.2.2 LEAD, 3/- no-op, 4/- no-op, 5/- no-op, 6/1.2.2 "new"`
	if got := showEntries(out.Apply); got != want || r.epoch() != 1 {
		t.Errorf("epoch %d, applies %s\nwant %s", r.epoch(), got, want)
	}
	r.Applied(6)
	for i, want := range map[Index]Ballot{1: 0, 2: b2, 5: b2, 6: b2} {
		if meta, ok := r.MetaAt(i); !ok || meta.Term != want {
			t.Errorf("a snapshot at %d has marker %s, want %s", i, FormatBallot(meta.Term), FormatBallot(want))
		}
	}
}

// Configurations and markers stay right when a snapshot drops the older ones.
func TestASnapshotKeepsWhatIsInForceBehindIt(t *testing.T) {
	b := ballot(1, 1, 1)
	r := newSolo(t, 1, voters(3), State{})
	r.step(2, PollReply{Epoch: 1, Chosen: 9})
	b2 := ballot(2, 1, 2)
	r.step(2, Learned{Chosen: 6, Entries: []Entry{
		{Term: b, Index: 1, Kind: EntryLead}, {Term: b, Index: 2}, sealOf(3, b, 2, voters(3)...),
		{Term: b2, Index: 4, Kind: EntryLead}, {Term: b2, Index: 5}, sealOf(6, b2, 3, voters(2)...)}})
	r.Applied(6)
	for _, at := range []Index{2, 3, 5, 6} {
		meta, _ := r.MetaAt(at)
		want := map[Index]uint32{2: 1, 3: 2, 5: 2, 6: 3}[at]
		if meta.Configuration.Epoch != want {
			t.Errorf("a snapshot at %d is of epoch %d, want %d", at, meta.Configuration.Epoch, want)
		}
		r.SnapshotTaken(meta)
		if r.epoch() != 3 || r.configs[0].Epoch != want || r.leads[0].ballot != meta.Term {
			t.Errorf("behind a snapshot at %d: epochs %v, markers %v", at, r.configs, r.leads)
		}
	}
}

// Applied frees what was handed out; more than four times MaxApplyBytes waits for it.
func TestApplyWaitsForApplied(t *testing.T) {
	b := ballot(1, 1, 1)
	r := newSolo(t, 1, voters(3), State{}, func(c *Config) { c.MaxApplyBytes = 100 })
	r.step(2, Accept{Ballot: b, Start: 1, Entries: entriesFrom(1, b, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")})
	out := r.step(2, Heartbeat{Ballot: b, Start: 1, Chosen: 10})
	count := len(out.Apply)
	for r.Deadline() <= r.now {
		count += len(r.at(r.now).Apply)
	}
	if count != 7 || r.handedBytes != 7*65 || r.unapplied != 650 {
		t.Errorf("%d handed out, %d bytes, %d unapplied; want 7, 455, 650", count, r.handedBytes, r.unapplied)
	}
	r.Applied(7)
	for more := 1; more > 0; count += more {
		more = len(r.at(r.now).Apply)
	}
	r.Applied(99)
	if count != 10 || r.handedBytes != 0 || r.unapplied != 0 || r.applied != 10 {
		t.Errorf("%d handed out, %d bytes, %d unapplied, applied %d", count, r.handedBytes, r.unapplied, r.applied)
	}
}
