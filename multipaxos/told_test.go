package multipaxos

import "testing"

// TestAnAcknowledgementOfAChosenSlotSurvivesARestart: what is chosen is acknowledged
// without a vote. If the acceptor forgot that it is chosen, the leader's heartbeat
// would prove a loss that is none.
func TestAnAcknowledgementOfAChosenSlotSurvivesARestart(t *testing.T) {
	meta := Bootstrap(Member{ID: 1, Voter: true}, Member{ID: 2, Voter: true}, Member{ID: 3, Voter: true})
	n, err := New(Config{ID: 2}, State{Snapshot: meta})
	if err != nil {
		t.Fatal(err)
	}
	w, saved := Writer{MaxRecordBytes: 1 << 20}, &Recovery{}
	turn := func(from ID, m Message) {
		n.Tick(n.now + 1)
		n.Step(from, m)
		out := n.Output()
		for _, r := range w.Records(&out) {
			if err := saved.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		if out.Save > 0 {
			n.Saved(out.Save)
		}
	}
	old, later := ballot(1, 1, 0), ballot(1, 2, 2)
	entry := Entry{Term: old, Index: 1, Kind: EntryLead}
	turn(1, Accept{Ballot: old, Start: 1, Entries: []Entry{entry}})
	turn(3, Heartbeat{Ballot: later, Start: 1})
	turn(3, Accept{Ballot: later, Start: 1}) // promises
	turn(1, PollReply{Epoch: 1, Chosen: 1})
	turn(1, Learned{Entries: []Entry{entry}, Chosen: 1}) // needs no save of its own
	if n.chosen != 1 {
		t.Fatalf("chosen up to %d, want 1", n.chosen)
	}
	turn(3, Accept{Ballot: later, Start: 1, Entries: []Entry{entry}})

	state, err := saved.State(SnapshotMeta{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	state.Snapshot = meta
	if n, err = New(Config{ID: 2}, state); err != nil {
		t.Fatal(err)
	}
	n.Tick(1)
	n.Step(3, Heartbeat{Ballot: later, Start: 1, Match: 1})
	if out := n.Output(); out.Loss != nil {
		t.Errorf("loss %+v found by a replica that has lost nothing", *out.Loss)
	}
}
