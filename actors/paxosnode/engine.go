package paxosnode

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/multipaxos"
	"github.com/synod-go/synod/storage"
)

// engine is a multipaxos.Node with the wire form of its messages, the records of
// its state and a recorder.
type engine struct {
	*multipaxos.Node
	id      consensus.ID
	group   storage.Group
	witness bool
	writer  multipaxos.Writer
	flight  flight

	encoded  row
	received row // of this turn's newest Accept or Learned, as it came
	sendNow  []group.Envelope
}

// Core is the core of an engine that New's protocol has made: for simulated
// worlds, which look into it. It panics for any other.
func Core(e group.Engine) *multipaxos.Node { return e.(*engine).Node }

// Tick sets the clock of the core and of the recorder.
func (e *engine) Tick(now consensus.Time) {
	e.flight.now = now
	e.Node.Tick(now)
}

// Receive decodes a PaxosMessage and has the core take it.
func (e *engine) Receive(message proto.Message) error {
	w, ok := message.(*messages.PaxosMessage)
	if !ok {
		return fmt.Errorf("paxosnode: a %T is no message of a Paxos group", message)
	}
	if consensus.ID(w.To) != e.id || storage.Group(w.Group) != e.group {
		return group.ErrMisdirected
	}
	m, err := decode(w)
	if err != nil {
		return fmt.Errorf("from %016x: %w", w.From, err)
	}
	switch m := m.(type) {
	case multipaxos.Accept:
		e.received = row{multipaxos.Run{Ballot: m.Ballot, Entries: m.Entries}, w.GetAccept().GetEntries()}
	case multipaxos.Learned:
		e.received = row{chosen(m.Entries), w.GetLearned().GetEntries()}
	}
	e.flight.note(In, consensus.ID(w.From), m)
	e.Step(consensus.ID(w.From), m)
	return nil
}

// Propose adds the ballot with which the commands are proposed.
func (e *engine) Propose(commands [][]byte) (consensus.Index, consensus.Term, error) {
	first, err := e.Node.Propose(commands)
	return first, e.Term(), err
}

// Sending are the snapshots that peers get from this replica.
func (e *engine) Sending() map[consensus.ID]consensus.Index { return e.Reading() }

// Output gives the core's output the forms of wire and disk.
func (e *engine) Output() group.Output {
	out := e.Node.Output()
	clear(e.sendNow)
	e.sendNow = e.appendEnvelopes(e.sendNow[:0], out.SendNow)
	o := group.Output{
		Lease: out.Lease, LeaseIndex: out.LeaseIndex, SendNow: e.sendNow, Save: out.Save,
		Chunks: out.Chunks, Apply: out.Apply, Reads: out.Reads, Changed: out.Changed,
		Loss: out.Loss, PeerLosses: out.PeerLosses, Notes: out.Notes, SendSnapshots: out.SendSnapshots,
	}
	if out.Save != 0 {
		o.Records, o.Entries = e.save(&out)
	}
	if e.witness && out.Base != nil {
		o.Base = out.Base.Index
	}
	if len(out.Send) > 0 {
		o.Send = e.appendEnvelopes(make([]group.Envelope, 0, len(out.Send)), out.Send)
	}
	for _, a := range out.Alarms {
		o.Alarms = append(o.Alarms, fmt.Sprintf("%s (from %016x, slot %d, ballot %s)", a.What, uint64(a.From), a.Index, multipaxos.FormatBallot(a.Ballot)))
	}
	for _, r := range out.SendSnapshots {
		e.flight.add(Event{Direction: Out, Peer: r.To, Kind: KindInstallSnapshot, Ballot: r.Term, Last: r.Index})
	}
	if out.Changed {
		e.flight.add(Event{Direction: Self, Peer: e.Leader(), Kind: kindOfRole(e.Role()), Ballot: e.Term()})
	}
	e.received = row{}
	return o
}

func (e *engine) appendEnvelopes(to []group.Envelope, from []multipaxos.Envelope) []group.Envelope {
	for _, envelope := range from {
		e.flight.note(Out, envelope.To, envelope.Message)
		to = append(to, group.Envelope{To: envelope.To, Message: encode(e.id, envelope.To, uint32(e.group), envelope.Message, e.flat)})
	}
	return to
}

// save returns the records of a save, and the entries in them.
func (e *engine) save(out *multipaxos.Output) ([]storage.Record, []consensus.Entry) {
	written := e.writer.Records(out)
	records := make([]storage.Record, len(written))
	for i, r := range written {
		records[i] = storage.Record{Group: e.group, Type: r.Type, Index: r.Index, Data: r.Data}
	}
	return records, entriesOf(out.Runs)
}

// entriesOf returns the entries of all runs.
func entriesOf(runs []multipaxos.Run) (entries []consensus.Entry) {
	if len(runs) == 1 {
		return runs[0].Entries
	}
	for _, r := range runs {
		entries = append(entries, r.Entries...)
	}
	return entries
}

// row is a run with its flat form.
type row struct {
	multipaxos.Run
	data []byte
}

// flat returns the flat form of a run. A leader sends the same one to each
// acceptor and to its own log; an acceptor writes down what it was sent.
func (e *engine) flat(r multipaxos.Run) []byte {
	switch {
	case len(r.Entries) == 0:
		return nil
	case e.received.is(r):
		return e.received.data
	case !e.encoded.is(r):
		e.encoded = row{r, newFlatForm(r)}
	}
	return e.encoded.data
}

// is reports whether the row is of r. Index and term of the last entry do not
// tell, as they would in Raft: what stands before it may have been proposed anew.
func (o *row) is(r multipaxos.Run) bool {
	return o.Ballot == r.Ballot && o.Chosen == r.Chosen && len(o.Entries) == len(r.Entries) && len(r.Entries) > 0 &&
		(&o.Entries[0] == &r.Entries[0] || slices.EqualFunc(o.Entries, r.Entries, identical))
}

// identical reports whether two entries are copies of one: their data is the same
// memory.
func identical(a, b consensus.Entry) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Kind == b.Kind && len(a.Data) == len(b.Data) &&
		(len(a.Data) == 0 || &a.Data[0] == &b.Data[0])
}
