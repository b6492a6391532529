package paxosnode

import (
	"testing"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/multipaxos"
	"github.com/synod-go/synod/storage"
)

// What is remembered of an encoding may be used again only for the very same
// entries: the last one's index and ballot do not tell what stands before it.
func TestARowIsTheVerySameEntries(t *testing.T) {
	entries := []consensus.Entry{{Term: 1, Index: 5, Data: []byte("five")}, {Term: 1, Index: 6, Data: []byte("six")}}
	copied := append([]consensus.Entry(nil), entries...)
	anew := append([]consensus.Entry(nil), entries...)
	anew[0].Term, anew[0].Data = 2, []byte("FIVE")
	equal := append([]consensus.Entry(nil), entries...)
	equal[0].Data = []byte("five")
	void := append([]consensus.Entry(nil), entries...)
	void[0].Kind = consensus.EntryNoOp
	r := row{Run: multipaxos.Run{Ballot: 9, Entries: entries}}
	for _, c := range []struct {
		what    string
		entries []consensus.Entry
		want    bool
	}{
		{"the slice itself", entries, true},
		{"a copy", copied, true},
		{"a part", entries[:1], false},
		{"a slot that was proposed anew", anew, false},
		{"equal bytes elsewhere", equal, false},
		{"another kind", void, false},
	} {
		if got := r.is(multipaxos.Run{Ballot: 9, Entries: c.entries}); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	for what, other := range map[string]multipaxos.Run{
		"another ballot": {Ballot: 8, Entries: entries}, "what is chosen": {Chosen: true, Entries: entries}, "nothing": {Ballot: 9}} {
		if r.is(other) {
			t.Errorf("it is taken for %s", what)
		}
	}
	if (&row{}).is(multipaxos.Run{}) || (&row{}).is(multipaxos.Run{Entries: entries}) {
		t.Error("no row is taken for some")
	}
}

// An acceptor writes down the bytes it was sent, behind the ballot of its votes.
func TestAnAcceptorSavesWhatItWasSent(t *testing.T) {
	founders := []consensus.Member{{ID: 1, Voter: true}, {ID: 2, Voter: true}, {ID: 3, Voter: true}}
	r := &recovery{group: 7, core: multipaxos.Config{ID: 2}, maxRecordBytes: 1 << 20, events: 8}
	if err := r.Add(r.Bootstrap(founders)); err != nil {
		t.Fatal(err)
	}
	made, _, err := r.Engine(consensus.SnapshotMeta{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	e := made.(*engine)
	first := multipaxos.Ballot(1<<40 | 1<<8) // of the member with ID 1
	sent := []consensus.Entry{{Term: first, Index: 1, Kind: consensus.EntryLead}, {Term: first, Index: 2, Data: []byte("x")}}
	e.Tick(1)
	if err := e.Receive(encode(1, 2, 7, multipaxos.Accept{Ballot: first, Start: 1, Entries: sent}, newFlatForm)); err != nil {
		t.Fatal(err)
	}
	out := e.Output()
	again := multipaxos.Recovery{}
	for _, record := range out.Records {
		if record.Group != storage.Group(7) {
			t.Errorf("record of group %d, want 7", record.Group)
		}
		if err := again.Add(multipaxos.Record{Type: record.Type, Index: record.Index, Data: record.Data}); err != nil {
			t.Fatal(err)
		}
	}
	state, err := again.State(multipaxos.Bootstrap(founders...), 0)
	if err != nil || state.HardState.Promised != first || len(state.Runs) != 1 || state.Runs[0].Ballot != first || len(state.Runs[0].Entries) != 2 {
		t.Fatalf("saved %+v, %v; want a promise and two votes of ballot %s", state, err, multipaxos.FormatBallot(first))
	}
	if len(out.Entries) != 2 || len(out.Send) != 1 || len(out.SendNow) != 0 {
		t.Fatalf("%d entries, %d messages after the save and %d at once; want 2, 1 and 0", len(out.Entries), len(out.Send), len(out.SendNow))
	}
}
