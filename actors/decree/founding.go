package decree

import (
	"errors"
	"fmt"

	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
	"github.com/synod-go/synod/storage"
)

// EncodeState and DecodeState are the data of a RecordSet.
func EncodeState(s founding.State) []byte {
	founded := byte(0)
	if s.Founded {
		founded = 1
	}
	return append([]byte{founded}, s.Set.Encode()...)
}

// DecodeState reads a RecordSet.
func DecodeState(data []byte) (founding.State, error) {
	if len(data) == 0 || data[0] > 1 {
		return founding.State{}, errors.New("decree: a set of acceptors without its mark")
	}
	set, err := founding.DecodeSet(data[1:])
	return founding.State{Set: set, Founded: data[0] == 1}, err
}

// Founding is how a proposer's or a learner's actor gets to know the founded set
// of acceptors, for good: it is in the log before the actor works with it.
type Founding struct {
	founder *founding.Founder
	quorums paxos.Quorums
	digest  uint64
}

// NewFounding starts from what Replay has found, which may be zero.
func NewFounding(wanted []string, saved founding.State) (*Founding, error) {
	founder, err := founding.NewFounder(wanted, saved.Set)
	if err != nil {
		return nil, err
	}
	f := &Founding{founder: founder}
	return f, f.adopt()
}

func (f *Founding) adopt() (err error) {
	set, ok := f.founder.Founded()
	if !ok {
		return nil
	}
	f.digest = set.Digest()
	f.quorums, err = paxos.Majority(set.IDs()...)
	return err
}

// Done reports whether the set is known.
func (f *Founding) Done() bool { return f.digest != 0 }

// Digest stands for the set in messages.
func (f *Founding) Digest() uint64 { return f.digest }

// Quorums of the set.
func (f *Founding) Quorums() paxos.Quorums { return f.quorums }

// Waiting says for people what is missing, "" if nothing is.
func (f *Founding) Waiting() string { return f.founder.Waiting() }

// Hint tells who may be behind a name.
func (f *Founding) Hint(name string, id paxos.ID) { f.founder.Hint(name, id) }

// Requests returns what to send (see founding.Founder.Requests) until the set is founded: again and again, since
// messages are lost.
func (f *Founding) Requests(again bool) []Outgoing {
	var out []Outgoing
	for _, r := range f.founder.Requests(again) {
		out = append(out, Outgoing{r.To, EncodeFound(r.Set)})
	}
	return out
}

// Step takes Pinned and Refusal. It returns a record to be saved before anything
// is done with the set, if this message completed its founding.
func (f *Founding) Step(w *messages.DecreeMessage) (record *storage.Record, err error) {
	from := paxos.ID(w.GetFrom())
	switch body := w.GetBody().(type) {
	case *messages.DecreeMessage_Refusal:
		f.founder.Refused(from, founding.Reason(min(body.Refusal.GetReason(), 255)))
		return nil, nil
	case *messages.DecreeMessage_Pinned:
		set, err := DecodeSet(body.Pinned.GetMembers())
		if err != nil || f.Done() {
			return nil, err
		}
		f.founder.Pinned(from, body.Pinned.GetName(), founding.State{Set: set, Founded: body.Pinned.GetFounded()})
		if err := f.adopt(); err != nil || !f.Done() {
			return nil, err
		}
		founded, _ := f.founder.Founded()
		return &storage.Record{Type: RecordSet, Data: EncodeState(founding.State{Set: founded, Founded: true})}, nil
	}
	return nil, fmt.Errorf("decree: %T is not about the acceptors", w.GetBody())
}

// Set returns the founded set, or zero.
func (f *Founding) Set() founding.Set {
	set, _ := f.founder.Founded()
	return set
}

// Outgoing is a message to be sent: Fill makes it complete.
type Outgoing struct {
	To      paxos.ID
	Message *messages.DecreeMessage
}

// Fill completes the envelope.
func (o Outgoing) Fill(from paxos.ID, decree string, digest uint64) Outgoing {
	o.Message.From, o.Message.To, o.Message.Decree, o.Message.Acceptors = uint64(from), uint64(o.To), decree, digest
	return o
}
