package decree

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
)

// Event is one thing that a role has sent, received, been told or found out. As JSON
// it is a line of a recording: see MarshalJSON.
type Event struct {
	Time time.Time
	// Node is whose role it is, Name what people call it, "" if that is not known.
	Node paxos.ID
	Name string
	Role Role
	// Kind is a message's name (prepare, promise, accept, accepted, nack, chosen,
	// ask, finish, propose, found, pinned, refusal), or what else there is:
	//
	//	recovered      the role's actor has started; Note tells what its log holds
	//	founded        it knows the acceptors, in Note
	//	begins         a core takes up a decree; Start has what from
	//	wanted         a caller proposes Value, or asks what is chosen if there is none
	//	gave up        no caller waits any more
	//	tick           time has passed
	//	distinguished  To is the distinguished proposer
	//	learned        Value is chosen, in Ballot
	//	ended          the caller is told what Note says
	//	abandoned      the decree's core is thrown away, for what Note says
	//	alarm          From has sent what no honest node sends
	Kind string
	// Received: the message came in. Otherwise it has left, or is no message.
	Received bool
	// Taken: it was a core's input, at the time At of the host's clock. What is
	// received and not taken was not looked at.
	Taken  bool
	At     paxos.Time
	Decree string
	Ballot paxos.Ballot
	// Other is the ballot of the last vote in promise, the ballot to beat in nack.
	Other    paxos.Ballot
	From, To paxos.ID
	// FromName and ToName are what people call these nodes, "" if it is not known.
	FromName, ToName string
	Value            []byte // not to be changed
	// Note says in words what an alarm, a refusal or a set of acceptors is about.
	Note string
	// Start is set in begins alone.
	Start *Start
}

// Start is what a core begins from: with it and what is Taken afterwards the core can
// be run again.
type Start struct {
	// Promised and Vote are an acceptor's state. Vote of a learner is what it has
	// learned before.
	Promised paxos.Ballot
	Vote     paxos.Vote
	// Round is the last one that a proposer must not use.
	Round uint64
	// Acceptors are those that a proposer or a learner counts.
	Acceptors []paxos.ID
	// Learners, Distinguished and Scheme are an acceptor's and a learner's.
	Learners, Distinguished []paxos.ID
	Scheme                  paxos.Scheme
	// Proposers are asked by a learner to finish.
	Proposers []paxos.ID
	// Wait is a proposer's Retransmit and a learner's Timeout, WaitMost a proposer's
	// HoldBack and a learner's MaxTimeout; 0 is the core's default.
	Wait, WaitMost paxos.Time
	MaxValueBytes  int
}

// String is the event in one line.
func (e Event) String() string {
	s := fmt.Sprintf("%s %s", e.Role, e.Kind)
	node := func(id paxos.ID, name string) string { return cmp.Or(name, fmt.Sprintf("%x", uint64(id))) }
	for _, part := range []struct {
		name string
		show bool
		text any
	}{
		{"decree", e.Decree != "", e.Decree}, {"ballot", !e.Ballot.IsZero(), e.Ballot}, {"other", !e.Other.IsZero(), e.Other},
		{"from", e.From != paxos.None, node(e.From, e.FromName)}, {"to", e.To != paxos.None, node(e.To, e.ToName)},
		{"value", len(e.Value) > 0, fmt.Sprintf("%q", e.Value)}, {"note", e.Note != "", e.Note},
	} {
		if part.show {
			s += fmt.Sprintf(" %s=%v", part.name, part.text)
		}
	}
	return s
}

// Recorder is a flight recorder: it keeps the last events of a node's roles and
// tells each as it happens. Safe for concurrent use.
type Recorder struct {
	size int
	name func(paxos.ID) string
	tell func(Event)

	mu   sync.Mutex
	ring []Event
	next int // where the oldest is, once ring is full
}

// NewRecorder keeps size events and calls tell with each, one after the other in
// their order, on the goroutine of whoever has it. name gives the names of nodes.
// Both may be nil; they must neither block nor use the Recorder.
func NewRecorder(size int, name func(paxos.ID) string, tell func(Event)) *Recorder {
	return &Recorder{size: max(1, size), name: name, tell: tell}
}

// Record takes an event and stamps it. A nil Recorder takes nothing.
func (r *Recorder) Record(e Event) {
	if r == nil {
		return
	}
	if r.name != nil {
		e.Name, e.FromName, e.ToName = r.name(e.Node), r.name(e.From), r.name(e.To)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Time = time.Now()
	if len(r.ring) < r.size {
		r.ring = append(r.ring, e)
	} else {
		r.ring[r.next] = e
		r.next = (r.next + 1) % r.size
	}
	if r.tell != nil {
		r.tell(e)
	}
}

// Events returns what is kept, oldest first.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(append([]Event(nil), r.ring[r.next:]...), r.ring[:r.next]...)
}

// Message makes the event of a message that role has received or sent.
func Message(role Role, w *messages.DecreeMessage, received bool) Event {
	e := Event{Role: role, Received: received, Decree: w.GetDecree(), From: paxos.ID(w.GetFrom()), To: paxos.ID(w.GetTo())}
	e.Node = e.From
	if received {
		e.Node = e.To
	}
	switch body := w.GetBody().(type) {
	case *messages.DecreeMessage_Prepare:
		e.Kind, e.Ballot = "prepare", decodeBallot(body.Prepare.GetBallot())
	case *messages.DecreeMessage_Promise:
		e.Kind, e.Ballot, e.Value = "promise", decodeBallot(body.Promise.GetBallot()), body.Promise.GetValue()
		e.Other = decodeBallot(body.Promise.GetAccepted())
	case *messages.DecreeMessage_Accept:
		e.Kind, e.Ballot, e.Value = "accept", decodeBallot(body.Accept.GetBallot()), body.Accept.GetValue()
	case *messages.DecreeMessage_Accepted:
		e.Kind, e.Ballot, e.Value = "accepted", decodeBallot(body.Accepted.GetBallot()), body.Accepted.GetValue()
	case *messages.DecreeMessage_Nack:
		e.Kind, e.Ballot, e.Other = "nack", decodeBallot(body.Nack.GetBallot()), decodeBallot(body.Nack.GetPromised())
		e.Note = paxos.Reason(body.Nack.GetReason()).String()
	case *messages.DecreeMessage_Chosen:
		e.Kind, e.Ballot, e.Value = "chosen", decodeBallot(body.Chosen.GetBallot()), body.Chosen.GetValue()
	case *messages.DecreeMessage_Ask:
		e.Kind = "ask"
	case *messages.DecreeMessage_Finish:
		e.Kind = "finish"
	case *messages.DecreeMessage_Propose:
		e.Kind, e.Value = "propose", body.Propose.GetValue()
	case *messages.DecreeMessage_Found:
		e.Kind, e.Note = "found", noteSet(body.Found.GetMembers())
	case *messages.DecreeMessage_Pinned:
		e.Kind, e.Note = "pinned", noteSet(body.Pinned.GetMembers())
	case *messages.DecreeMessage_Refusal:
		e.Kind, e.Note = "refusal", founding.Reason(body.Refusal.GetReason()).String()
	}
	return e
}

func noteSet(members []*messages.DecreeMember) string {
	s, err := DecodeSet(members)
	if err != nil {
		return err.Error()
	}
	return s.String()
}
