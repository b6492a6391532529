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

// Event is one thing that a role has sent, received or found out.
type Event struct {
	Time time.Time `json:"time"`
	Role Role      `json:"role"`
	// Kind is a message's name (prepare, promise, accept, accepted, nack, chosen,
	// ask, finish, propose, found, pinned, refusal), or: learned, founded, recovered, alarm.
	Kind string `json:"kind"`
	// Received: the message came in. Otherwise it has left, or is no message.
	Received bool         `json:"received,omitempty"`
	Decree   string       `json:"decree,omitempty"`
	Ballot   paxos.Ballot `json:"ballot"`
	// Other is the ballot of the last vote in promise, the ballot to beat in nack.
	Other paxos.Ballot `json:"other"`
	From  paxos.ID     `json:"from,omitempty"`
	To    paxos.ID     `json:"to,omitempty"`
	// FromName and ToName are what people call these nodes, "" if it is not known.
	FromName string `json:"from_name,omitempty"`
	ToName   string `json:"to_name,omitempty"`
	Value    []byte `json:"value,omitempty"` // not to be changed
	// Note says in words what an alarm, a refusal or a set of acceptors is about.
	Note string `json:"note,omitempty"`
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

// NewRecorder keeps size events and calls tell with each, on the goroutine of
// whoever has it. name gives the names of nodes. Both must not block, and may be nil.
func NewRecorder(size int, name func(paxos.ID) string, tell func(Event)) *Recorder {
	return &Recorder{size: max(1, size), name: name, tell: tell}
}

// Record takes an event and stamps it. A nil Recorder takes nothing.
func (r *Recorder) Record(e Event) {
	if r == nil {
		return
	}
	e.Time = time.Now()
	if r.name != nil {
		e.FromName, e.ToName = r.name(e.From), r.name(e.To)
	}
	r.mu.Lock()
	if len(r.ring) < r.size {
		r.ring = append(r.ring, e)
	} else {
		r.ring[r.next] = e
		r.next = (r.next + 1) % r.size
	}
	r.mu.Unlock()
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
