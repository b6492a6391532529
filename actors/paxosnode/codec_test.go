package paxosnode

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/multipaxos"
)

// b is a ballot of epoch 1 and round 2, by the third proposer.
const b = multipaxos.Ballot(1<<40 | 2<<8 | 2)

// everyMessage has one of each kind with no field left at zero.
func everyMessage() []multipaxos.Message {
	meta := consensus.SnapshotMeta{Index: 7, Term: b, Size: 4, Checksum: 5, Configuration: consensus.Configuration{Version: 2, Epoch: 3,
		Members: []consensus.Member{{ID: 1, Voter: true, Promote: true, Replaces: 9, Priority: -2, Name: "n1", Address: "a:1",
			Roles: consensus.RoleAcceptor}}}}
	entries := []consensus.Entry{{Term: b, Index: 3, Kind: consensus.EntryLead}, {Term: b - 1, Index: 4, Data: []byte("x")}}
	return []multipaxos.Message{
		multipaxos.Poll{Epoch: 1, Chosen: 2, Priority: -3},
		multipaxos.PollReply{Epoch: 1, Granted: true, Chosen: 2},
		multipaxos.Prepare{Ballot: b, From: 2, Over: b - 256},
		multipaxos.Promise{Ballot: b, From: 2, Next: 9, Chosen: 3, Trimmed: 1, Runs: []multipaxos.Run{
			{Chosen: true, Entries: entries}, {Ballot: b - 256, Entries: []consensus.Entry{{Term: b - 256, Index: 8, Data: []byte("y")}}}}},
		multipaxos.Accept{Ballot: b, Start: 1, Chosen: 2, Entries: entries},
		multipaxos.Accepted{Ballot: b, First: 3, Last: 4},
		multipaxos.Nack{Ballot: b, Promised: b + 256, Reason: multipaxos.RefusedLease, Chosen: 3},
		multipaxos.Heartbeat{Ballot: b, Start: 1, Chosen: 2, Round: 3, Sent: -4, Match: 5, Safe: 6},
		multipaxos.HeartbeatReply{Ballot: b, Round: 2, Sent: 3, Chosen: 4, Snapshot: 5, Stalled: true, Lost: true},
		multipaxos.Learn{From: 1},
		multipaxos.Learned{Entries: entries, Chosen: 2, Snapshot: meta},
		multipaxos.Fetch{Index: 1, Offset: 2},
		multipaxos.InstallSnapshot{Snapshot: meta, Offset: 2, Data: []byte("chunk"), Checksum: 3},
		multipaxos.ReadIndex{Ref: 2},
		multipaxos.ReadIndexReply{Ref: 2, Index: 3, Refused: true},
		multipaxos.Campaign{Ballot: b},
	}
}

func TestEveryMessageSurvivesTheWire(t *testing.T) {
	for _, m := range everyMessage() {
		data, err := proto.Marshal(encode(1, 2, 3, m, newFlatForm))
		if err != nil {
			t.Fatal(err)
		}
		w := new(messages.PaxosMessage)
		if err := proto.Unmarshal(data, w); err != nil {
			t.Fatal(err)
		}
		got, err := decode(w)
		if err != nil {
			t.Fatalf("%T: %v", m, err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("%T changed on the wire (-sent +received):\n%s", m, diff)
		}
		if w.From != 1 || w.To != 2 || w.Group != 3 {
			t.Errorf("%T: from %d to %d group %d, want 1, 2, 3", m, w.From, w.To, w.Group)
		}
	}
}

func TestMalformedMessagesAreRefused(t *testing.T) {
	gap := consensus.AppendEntriesData(nil, []consensus.Entry{{Term: b, Index: 3}, {Term: b, Index: 5}})
	whole := consensus.AppendEntriesData(nil, []consensus.Entry{{Term: b, Index: 3}})
	good := encodeSnapshot(consensus.SnapshotMeta{Index: 1, Configuration: consensus.Configuration{Epoch: 1, Members: []consensus.Member{{ID: 1, Voter: true}}}})
	nowhere := proto.CloneOf(good)
	nowhere.Index = 0
	cut := proto.CloneOf(good)
	cut.Configuration = cut.Configuration[:5]
	for name, m := range map[string]*messages.PaxosMessage{
		"entries with a gap":          {Body: &messages.PaxosMessage_Accept{Accept: &messages.PaxosAccept{Entries: append(make([]byte, 8), gap...)}}},
		"votes with another ballot":   {Ballot: 1, Body: &messages.PaxosMessage_Accept{Accept: &messages.PaxosAccept{Entries: append(make([]byte, 8), whole...)}}},
		"votes that end too early":    {Body: &messages.PaxosMessage_Accept{Accept: &messages.PaxosAccept{Entries: make([]byte, 7)}}},
		"entries that are cut":        {Body: &messages.PaxosMessage_Learned{Learned: &messages.PaxosLearned{Entries: whole[:9]}}},
		"an empty run":                {Body: &messages.PaxosMessage_Promise{Promise: &messages.PaxosPromise{Runs: []*messages.PaxosRun{{Ballot: 1}}}}},
		"votes without a ballot":      {Body: &messages.PaxosMessage_Promise{Promise: &messages.PaxosPromise{Runs: []*messages.PaxosRun{{Entries: whole}}}}},
		"chosen with a ballot":        {Body: &messages.PaxosMessage_Promise{Promise: &messages.PaxosPromise{Runs: []*messages.PaxosRun{{Entries: whole, Ballot: 1, Chosen: true}}}}},
		"a run that is not there":     {Body: &messages.PaxosMessage_Promise{Promise: &messages.PaxosPromise{Runs: []*messages.PaxosRun{nil}}}},
		"a reason out of range":       {Body: &messages.PaxosMessage_Nack{Nack: &messages.PaxosNack{Reason: 1 << 20}}},
		"a chunk without a snapshot":  {Body: &messages.PaxosMessage_InstallSnapshot{InstallSnapshot: &messages.PaxosInstallSnapshot{}}},
		"a snapshot of nothing":       {Body: &messages.PaxosMessage_Learned{Learned: &messages.PaxosLearned{Snapshot: nowhere}}},
		"a configuration that is cut": {Body: &messages.PaxosMessage_Learned{Learned: &messages.PaxosLearned{Snapshot: cut}}},
	} {
		if got, err := decode(m); !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("%s: %#v with %v, want ErrMalformed", name, got, err)
		}
	}
	if got, err := decode(new(messages.PaxosMessage)); err == nil {
		t.Errorf("no body: %#v", got)
	}
}

func FuzzDecodeNeverPanics(f *testing.F) {
	for _, m := range everyMessage() {
		data, err := proto.Marshal(encode(1, 2, 3, m, newFlatForm))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := new(messages.PaxosMessage)
		if proto.Unmarshal(data, w) != nil {
			return
		}
		if m, err := decode(w); err == nil {
			if again, err := decode(encode(1, 2, 3, m, newFlatForm)); err != nil || !cmp.Equal(m, again) {
				t.Fatalf("%#v came back as %#v, %v", m, again, err)
			}
		}
	})
}
