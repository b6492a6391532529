package multipaxos

import "testing"

// TestAfterARestartNoPrepareIsPassedOverThePromise: a Heartbeat does not raise the
// promised ballot, and whom an acceptor has heard is on no disk. If a late
// Heartbeat of a leader that has given its lease up came in after a restart, the
// Prepare that it made way for would depose a later leader within its lease
// (found by the model of the lease, multipaxos/models).
func TestAfterARestartNoPrepareIsPassedOverThePromise(t *testing.T) {
	meta := Bootstrap(Member{ID: 1, Voter: true}, Member{ID: 2, Voter: true}, Member{ID: 3, Voter: true})
	n, err := New(Config{ID: 3}, State{Snapshot: meta})
	if err != nil {
		t.Fatal(err)
	}
	start := Time(1e9)
	old := ballot(1, 1, 0)
	late := Prepare{Ballot: ballot(1, 2, 1), From: 1, Over: old}
	at := func(now Time, from ID, m Message) Output {
		n.Tick(now)
		n.Step(from, m)
		return n.Output()
	}
	at(start, 1, Heartbeat{Ballot: old, Start: 1, Sent: 1})
	out := at(start+1, 2, late)
	if len(out.SendNow) != 1 || out.SendNow[0].Message.(Nack).Reason != RefusedLease {
		t.Fatalf("right after the start: %+v, want a Nack for the lease", out)
	}
	lease := n.cfg.Lease
	at(start+lease, 1, Heartbeat{Ballot: old, Start: 1, Sent: 2})
	if out = at(start+lease+1, 2, late); out.Save == 0 || len(out.Send) != 1 {
		t.Fatalf("a lease after the start: %+v, want a Promise", out)
	}
}
