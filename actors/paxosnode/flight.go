package paxosnode

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/multipaxos"
)

// Direction tells where a message went. Self is a change of this replica.
type Direction = group.Direction

// The directions.
const (
	In   = group.In
	Out  = group.Out
	Self = group.Self
)

// Kind says what happened: the message, or what the replica has become.
type Kind uint8

// The kinds, named as the messages of package multipaxos and as its roles.
const (
	KindPoll Kind = iota
	KindPollReply
	KindPrepare
	KindPromise
	KindAccept
	KindAccepted
	KindNack
	KindHeartbeat
	KindHeartbeatReply
	KindLearn
	KindLearned
	KindFetch
	KindInstallSnapshot
	KindReadIndex
	KindReadIndexReply
	KindCampaign
	KindFollower
	KindPreCandidate
	KindCandidate
	KindLeader
)

var kindNames = [...]string{"Poll", "PollReply", "Prepare", "Promise", "Accept", "Accepted", "Nack", "Heartbeat",
	"HeartbeatReply", "Learn", "Learned", "Fetch", "InstallSnapshot", "ReadIndex", "ReadIndexReply", "Campaign",
	"follower", "pre-candidate", "candidate", "leader"}

// String returns the name of the message or role.
func (k Kind) String() string { return kindNames[k] }

func kindOfRole(r consensus.Role) Kind { return KindFollower + Kind(r) }

// Event is what the flight recorder keeps of one message, or of one change of
// role, leader or ballot.
type Event struct {
	Time      consensus.Time // of the turn, on the replica's own clock
	Direction Direction
	Kind      Kind
	Peer      consensus.ID // who sent it or gets it; the leader if Direction is Self
	Ballot    multipaxos.Ballot
	// First and Last are the slots that the message is about: the entries in an
	// Accept or Learned, the reported votes in a Promise. First is 0 if there are
	// none; Last alone may then be a chosen prefix.
	First, Last consensus.Index
}

// MarshalJSON writes the event with names and numbers as people read them.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Time      int64  `json:"time_ns"`
		Direction string `json:"direction"`
		Kind      string `json:"kind"`
		Peer      string `json:"peer"`
		Ballot    string `json:"ballot"`
		First     uint64 `json:"first,omitempty"`
		Last      uint64 `json:"last,omitempty"`
	}{int64(e.Time), e.Direction.String(), e.Kind.String(), fmt.Sprintf("%016x", uint64(e.Peer)),
		multipaxos.FormatBallot(e.Ballot), uint64(e.First), uint64(e.Last)})
}

// Flight returns the newest events of a Paxos group's replica, oldest first. It
// panics if the group has another engine.
func Flight(ctx context.Context, h *group.Handle) ([]Event, error) {
	return group.Inspect(ctx, h, func(e group.Engine) ([]Event, error) { return e.(*engine).flight.Events(), nil })
}

// WriteFlight writes events as lines of JSON.
func WriteFlight(w io.Writer, events []Event) error {
	encoder := json.NewEncoder(w)
	for _, e := range events {
		if err := encoder.Encode(e); err != nil {
			return fmt.Errorf("paxosnode: write flight: %w", err)
		}
	}
	return nil
}

// flight is the recorder with the clock of the turn.
type flight struct {
	group.Recorder[Event]
	now consensus.Time
}

func newFlight(events int, tell func(Event)) flight {
	return flight{Recorder: group.NewRecorder(events, tell)}
}

func (f *flight) add(e Event) {
	e.Time = f.now
	f.Add(e)
}

// note keeps what m is about.
func (f *flight) note(d Direction, peer consensus.ID, m multipaxos.Message) {
	f.add(about(d, peer, m))
}

// Describe returns what the recorder would keep of a message to a peer, but for the
// time. It returns an error for one that no replica of ours sends.
func Describe(to consensus.ID, message proto.Message) (Event, error) {
	w, ok := message.(*messages.PaxosMessage)
	if !ok {
		return Event{}, fmt.Errorf("paxosnode: a %T is no message of a Paxos group", message)
	}
	m, err := decode(w)
	if err != nil {
		return Event{}, err
	}
	return about(Out, to, m), nil
}

// about is what m is about.
func about(d Direction, peer consensus.ID, m multipaxos.Message) Event {
	e := Event{Direction: d, Peer: peer}
	switch m := m.(type) {
	case multipaxos.Poll:
		e.Kind, e.Last = KindPoll, m.Chosen
	case multipaxos.PollReply:
		e.Kind, e.Last = KindPollReply, m.Chosen
	case multipaxos.Prepare:
		e.Kind, e.Ballot, e.First = KindPrepare, m.Ballot, m.From
	case multipaxos.Promise:
		e.Kind, e.Ballot = KindPromise, m.Ballot
		if n := len(m.Runs); n > 0 {
			e.First, _ = span(m.Runs[0].Entries)
			_, e.Last = span(m.Runs[n-1].Entries)
		}
	case multipaxos.Accept:
		e.Kind, e.Ballot = KindAccept, m.Ballot
		e.First, e.Last = span(m.Entries)
	case multipaxos.Accepted:
		e.Kind, e.Ballot, e.First, e.Last = KindAccepted, m.Ballot, m.First, m.Last
	case multipaxos.Nack:
		e.Kind, e.Ballot, e.Last = KindNack, m.Promised, m.Chosen
	case multipaxos.Heartbeat:
		e.Kind, e.Ballot, e.Last = KindHeartbeat, m.Ballot, m.Chosen
	case multipaxos.HeartbeatReply:
		e.Kind, e.Ballot, e.Last = KindHeartbeatReply, m.Ballot, m.Chosen
	case multipaxos.Campaign:
		e.Kind, e.Ballot = KindCampaign, m.Ballot
	default:
		e.noteLearning(m)
	}
	return e
}

// noteLearning keeps what m is about that has no ballot.
func (e *Event) noteLearning(m multipaxos.Message) {
	switch m := m.(type) {
	case multipaxos.Learn:
		e.Kind, e.First = KindLearn, m.From
	case multipaxos.Learned:
		e.Kind, e.Ballot = KindLearned, m.Snapshot.Term
		e.First, e.Last = span(m.Entries)
	case multipaxos.Fetch:
		e.Kind, e.Last = KindFetch, m.Index
	case multipaxos.InstallSnapshot:
		e.Kind, e.Ballot, e.Last = KindInstallSnapshot, m.Snapshot.Term, m.Snapshot.Index
	case multipaxos.ReadIndex:
		e.Kind = KindReadIndex
	case multipaxos.ReadIndexReply:
		e.Kind, e.Last = KindReadIndexReply, m.Index
	}
}

// span is the first and the last slot of entries.
func span(entries []consensus.Entry) (first, last consensus.Index) {
	if len(entries) == 0 {
		return 0, 0
	}
	return entries[0].Index, entries[len(entries)-1].Index
}
