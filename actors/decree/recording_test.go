package decree

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/paxos"
)

func TestARecordingIsReadAsItWasWritten(t *testing.T) {
	vote := paxos.Vote{Ballot: paxos.Ballot{Round: 7, Node: 1<<63 + 1}, Value: paxos.Value("<green>")}
	events := []Event{
		{Time: time.Unix(1, 2).UTC(), Node: 1<<64 - 1, Name: "a", Role: Acceptor, Kind: "begins", Decree: "x", Start: &Start{
			Promised: paxos.Ballot{Round: 9, Node: 3}, Vote: vote, Round: 5, Acceptors: []paxos.ID{1, 2},
			Learners: []paxos.ID{4}, Distinguished: []paxos.ID{4}, Proposers: []paxos.ID{6}, Scheme: paxos.OneLearner,
			Wait: 100, WaitMost: 200, MaxValueBytes: 9}},
		{Time: time.Unix(3, 0).UTC(), Node: 1, Role: Acceptor, Kind: "promise", Decree: "x", Ballot: paxos.Ballot{Round: 10, Node: 3},
			Other: vote.Ballot, Value: vote.Value, From: 1, FromName: "a", To: 3, ToName: "p", At: 17, Taken: true, Received: true, Note: "n"},
		{Node: 2, Role: Proposer, Kind: "wanted", Value: []byte{0xff, 0}},
	}
	var file bytes.Buffer
	if err := WriteRecording(&file, events); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadRecording(&file); err != nil || !reflect.DeepEqual(got, events) {
		t.Fatalf("read %+v, %v\nwant %+v", got, err, events)
	}
}

func TestWhatIsNoRecordingIsNamedByItsLine(t *testing.T) {
	for _, bad := range []string{`{"role":`, `{"ballot":"7"}`, `{"from":"zz"}`} {
		if _, err := ReadRecording(strings.NewReader("{}\n" + bad + "\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: %v, want an error of line 2", bad, err)
		}
	}
}
