package cluster

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/messages"
)

func TestEntriesAndSnapshotsLeaveTheControlLaneFree(t *testing.T) {
	for _, c := range []struct {
		m    proto.Message
		want Lane
	}{
		{&messages.RaftMessage{Body: &messages.RaftMessage_AppendEntries{AppendEntries: &messages.AppendEntries{Entries: []byte{1}}}}, Bulk},
		{&messages.RaftMessage{Body: &messages.RaftMessage_AppendEntries{AppendEntries: &messages.AppendEntries{}}}, Control},
		{&messages.RaftMessage{Body: &messages.RaftMessage_InstallSnapshot{}}, Bulk},
		{&messages.RaftMessage{Body: &messages.RaftMessage_Heartbeat{}}, Control},
		{&messages.PaxosMessage{Body: &messages.PaxosMessage_Accept{Accept: &messages.PaxosAccept{Entries: []byte{1}}}}, Bulk},
		{&messages.PaxosMessage{Body: &messages.PaxosMessage_Promise{Promise: &messages.PaxosPromise{Runs: []*messages.PaxosRun{{}}}}}, Bulk},
		{&messages.PaxosMessage{Body: &messages.PaxosMessage_Promise{Promise: &messages.PaxosPromise{}}}, Control},
		{&messages.PaxosMessage{Body: &messages.PaxosMessage_Learned{}}, Bulk},
		{&messages.PaxosMessage{Body: &messages.PaxosMessage_InstallSnapshot{}}, Bulk},
		{&messages.PaxosMessage{Body: &messages.PaxosMessage_Heartbeat{}}, Control},
		{&messages.PaxosMessage{Body: &messages.PaxosMessage_Accepted{}}, Control},
		{&messages.GroupMessage{}, Control},
	} {
		if got := DefaultLane(c.m); got != c.want {
			t.Errorf("%v goes into lane %d, want %d", c.m, got, c.want)
		}
	}
}
