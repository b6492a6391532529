package raftnode

import (
	"cmp"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/storage"
)

// New returns the protocol of a Raft group, for group.Config. The core's ID and
// MaxChunkBytes are those of group.Config, and CatchUpBytes is four times its
// SnapshotBytes by default.
func New(c Config) group.Protocol { return protocol{c} }

// Config of a Raft group.
type Config struct {
	// Core configures the core.
	Core raft.Config
	// FlightEvents is how many events the flight recorder keeps. Default
	// group.DefaultFlightEvents.
	FlightEvents int
	// Event is told of each event as it is recorded, in the actor's turn; it must not
	// block. Optional.
	Event func(Event)
}

type protocol struct{ config Config }

// Check has raft.New report what is wrong.
func (p protocol) Check(c group.Config) error {
	if p.config.FlightEvents < 0 {
		return fmt.Errorf("raftnode: Config.FlightEvents is %d", p.config.FlightEvents)
	}
	if c.Roles.Chosen() != 0 {
		return fmt.Errorf("raftnode: Config.Roles is %s, but the replicas of a Raft group are all alike", c.Roles)
	}
	_, err := raft.New(p.raft(c), raft.State{})
	return err
}

// raft is the core's configuration in a group.
func (p protocol) raft(c group.Config) raft.Config {
	r := p.config.Core
	r.ID, r.MaxChunkBytes = c.ID, c.MaxChunkBytes
	if r.CatchUpBytes == 0 {
		r.CatchUpBytes = 4 * c.SnapshotBytes
	}
	return r
}

func (p protocol) Recover(c group.Config) group.Recovery {
	return &recovery{group: c.Group, raft: p.raft(c), maxRecordBytes: c.Store.MaxRecordBytes(),
		flight: group.NewRecorder(cmp.Or(p.config.FlightEvents, group.DefaultFlightEvents), p.config.Event)}
}

// Term is a number.
func (p protocol) Term(t consensus.Term) (word, text string) { return "term", fmt.Sprint(t) }

func (p protocol) EncodeChunk(c group.Config, r consensus.SnapshotRequest, chunk consensus.Chunk) proto.Message {
	return encode(c.ID, r.To, uint32(c.Group), raft.InstallSnapshot{Term: r.Term, Snapshot: chunk.Snapshot,
		Offset: chunk.Offset, Data: chunk.Data, Checksum: raft.ChunkChecksum(chunk.Data)}, nil)
}

// Bootstrap is the first configuration as a record.
func (r *recovery) Bootstrap(members []consensus.Member) storage.Record {
	return bootstrapRecord(r.group, members)
}

// Engine makes the core.
func (r *recovery) Engine(snapshot consensus.SnapshotMeta, released consensus.Index) (group.Engine, []consensus.Entry, error) {
	r.released = released
	state, err := r.state(snapshot)
	if err != nil {
		return nil, nil, err
	}
	entries := state.Entries
	node, err := raft.New(r.raft, state)
	if err != nil {
		return nil, nil, err
	}
	status := node.Status()
	return &engine{Node: node, id: r.raft.ID, group: r.group, maxRecordBytes: r.maxRecordBytes, high: r.high,
		flight: flight{Recorder: r.flight, last: status.LastIndex, commit: status.Commit}}, entries, nil
}

// engine is a raft.Node with the wire form of its messages, the records of its
// state and a recorder.
type engine struct {
	*raft.Node
	id             raft.ID
	group          storage.Group
	maxRecordBytes int
	flight         flight

	high     raft.Index // see the table of records
	encoded  encodedEntries
	received []byte // the entries of this turn's newest AppendEntries, as they came
	sendNow  []group.Envelope
}

// Core is the core of an engine that New's protocol has made: for simulated
// worlds, which look into it. It panics for any other.
func Core(e group.Engine) *raft.Node { return e.(*engine).Node }

// Tick sets the clock of the core and of the recorder.
func (e *engine) Tick(now raft.Time) {
	e.flight.now = now
	e.Node.Tick(now)
}

// Receive decodes a RaftMessage and has the core take it.
func (e *engine) Receive(message proto.Message) error {
	w, ok := message.(*messages.RaftMessage)
	if !ok {
		return fmt.Errorf("raftnode: a %T is no message of a Raft group", message)
	}
	if raft.ID(w.To) != e.id || storage.Group(w.Group) != e.group {
		return group.ErrMisdirected
	}
	m, err := decode(w)
	if err != nil {
		return fmt.Errorf("from %016x: %w", w.From, err)
	}
	if data := w.GetAppendEntries().GetEntries(); len(data) > 0 {
		e.received = data
	}
	e.flight.note(group.In, raft.ID(w.From), m)
	e.Step(raft.ID(w.From), m)
	return nil
}

// Propose adds the term in which the entries stand.
func (e *engine) Propose(commands [][]byte) (raft.Index, raft.Term, error) {
	first, err := e.Node.Propose(commands)
	return first, e.Term(), err
}

// Sending are the snapshots that this leader sends, by follower.
func (e *engine) Sending() map[raft.ID]raft.Index {
	indexes := make(map[raft.ID]raft.Index)
	for _, p := range e.Status().Peers {
		if p.State == raft.Snapshot {
			indexes[p.ID] = p.Snapshot
		}
	}
	return indexes
}

// Output gives the core's output the forms of wire and disk.
func (e *engine) Output() group.Output {
	out := e.Node.Output()
	e.noteChanges(&out)
	clear(e.sendNow)
	e.sendNow = e.appendEnvelopes(e.sendNow[:0], out.SendNow)
	o := group.Output{
		Lease: out.Lease, LeaseIndex: out.LeaseIndex, SendNow: e.sendNow,
		Save: out.Save, Entries: out.Entries,
		Chunks: out.Chunks, Apply: out.Apply, Reads: out.Reads, Changed: out.Changed,
		Loss: out.Loss, PeerLosses: out.PeerLosses, Notes: out.Notes, SendSnapshots: out.SendSnapshots,
	}
	if out.Save != 0 {
		o.Records = e.records(&out)
	}
	if len(out.Send) > 0 {
		o.Send = e.appendEnvelopes(make([]group.Envelope, 0, len(out.Send)), out.Send)
	}
	for _, r := range out.SendSnapshots {
		e.flight.add(Event{Direction: group.Out, Kind: KindInstallSnapshot, Peer: r.To, Term: r.Term, Last: r.Index})
	}
	e.received = nil
	return o
}

func (e *engine) appendEnvelopes(to []group.Envelope, from []raft.Envelope) []group.Envelope {
	for _, envelope := range from {
		e.flight.note(group.Out, envelope.To, envelope.Message)
		var data []byte
		if m, ok := envelope.Message.(raft.AppendEntries); ok && len(m.Entries) > 0 {
			data = e.encode(m.Entries)
		}
		to = append(to, group.Envelope{To: envelope.To, Message: encode(e.id, envelope.To, uint32(e.group), envelope.Message, data)})
	}
	return to
}

// records are what a save writes down, in its order.
func (e *engine) records(out *raft.Output) []storage.Record {
	var records []storage.Record
	if out.HardState != nil {
		records = append(records, hardStateRecord(e.group, *out.HardState))
	}
	if out.Base != nil {
		e.high = max(e.high, out.Base.Index)
		records = append(records, baseRecord(e.group, e.high, *out.Base))
	}
	for rest := out.Entries; len(rest) > 0; {
		run := e.run(rest)
		rest = rest[len(run):]
		e.high = max(e.high, run[len(run)-1].Index)
		records = append(records, entriesRecord(e.group, e.high, e.encode(run)))
	}
	return records
}

// run is as many of entries as fit into one record.
func (e *engine) run(entries []raft.Entry) []raft.Entry {
	n := len(entries)
	for n > 1 && raft.EntriesDataSize(entries[:n]) > e.maxRecordBytes {
		n = (n + 1) / 2
	}
	return slices.Clip(entries[:n])
}

// encodedEntries remembers the flat form of the entries encoded last: the
// leader sends the same ones to each follower and to its own log.
type encodedEntries struct {
	first, last raft.Index
	term        raft.Term // of the last entry: with its index it names the run
	data        []byte
}

// encode returns the flat form of entries.
func (e *engine) encode(entries []raft.Entry) []byte {
	if isFormOf(e.received, entries) {
		return e.received // a follower writes down what it was sent
	}
	first, last := entries[0].Index, entries[len(entries)-1]
	c := &e.encoded
	if c.data == nil || c.first != first || c.last != last.Index || c.term != last.Term {
		*c = encodedEntries{first, last.Index, last.Term,
			raft.AppendEntriesData(make([]byte, 0, raft.EntriesDataSize(entries)), entries)}
	}
	return c.data
}

// isFormOf reports whether entries, all of them, were decoded from data: they
// follow each other, take as many bytes, and the first and the last lie in it.
func isFormOf(data []byte, entries []raft.Entry) bool {
	first, last := entries[0].Data, entries[len(entries)-1].Data
	if len(first) == 0 || len(last) == 0 || raft.EntriesDataSize(entries) != len(data) {
		return false
	}
	head := raft.EntriesDataSize(entries[:1]) - len(first)
	return &first[0] == &data[head] && &last[len(last)-1] == &data[len(data)-1]
}
