package raftnode

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
)

// everyMessage has one of each kind with no field left at zero.
func everyMessage() []raft.Message {
	meta := raft.SnapshotMeta{Index: 7, Term: 3, Size: 4, Checksum: 5, Configuration: raft.Configuration{Version: 2,
		Members: []raft.Member{{ID: 1, Voter: true, Outgoing: true, Promote: true, Replaces: 9, Priority: -2, Name: "n1", Address: "a:1", Leaving: true}}}}
	return []raft.Message{
		raft.PreVote{Term: 1, LastIndex: 2, LastTerm: 3, Priority: -4},
		raft.PreVoteReply{Term: 1, Granted: true},
		raft.RequestVote{Term: 1, LastIndex: 2, LastTerm: 3, Transfer: true},
		raft.Vote{Term: 1, Granted: true},
		raft.AppendEntries{Term: 1, PrevIndex: 2, PrevTerm: 1, Commit: 2, Entries: []raft.Entry{
			{Term: 1, Index: 3, Kind: raft.EntryNoOp}, {Term: 1, Index: 4, Data: []byte("x")}}},
		raft.AppendReply{Term: 1, Rejected: true, PrevIndex: 2, Match: 3, ConflictTerm: 4, ConflictIndex: 5},
		raft.Heartbeat{Term: 1, Commit: 2, Round: 3, Sent: -4},
		raft.HeartbeatReply{Term: 1, Round: 2, Sent: 3, Stalled: true},
		raft.InstallSnapshot{Term: 1, Snapshot: meta, Offset: 2, Data: []byte("chunk"), Checksum: 3},
		raft.SnapshotReply{Term: 1, Index: 2, Offset: 3, Installed: true},
		raft.ReadIndex{Term: 1, Ref: 2},
		raft.ReadIndexReply{Term: 1, Ref: 2, Index: 3, Refused: true},
		raft.TimeoutNow{Term: 1, LastIndex: 2},
	}
}

func TestEveryMessageSurvivesTheWire(t *testing.T) {
	for _, m := range everyMessage() {
		data, err := proto.Marshal(encode(1, 2, 3, m, nil))
		if err != nil {
			t.Fatal(err)
		}
		w := new(messages.RaftMessage)
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

func FuzzDecodeNeverPanics(f *testing.F) {
	for _, m := range everyMessage() {
		data, err := proto.Marshal(encode(1, 2, 3, m, nil))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := new(messages.RaftMessage)
		if proto.Unmarshal(data, w) != nil {
			return
		}
		if m, err := decode(w); err == nil {
			if again, err := decode(encode(1, 2, 3, m, nil)); err != nil || !cmp.Equal(m, again) {
				t.Fatalf("%#v came back as %#v, %v", m, again, err)
			}
		}
	})
}
