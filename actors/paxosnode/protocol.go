package paxosnode

import (
	"cmp"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/multipaxos"
	"github.com/synod-go/synod/storage"
)

// New returns the protocol of a Paxos group, for group.Config. The core's ID, its
// Witness and MaxChunkBytes are those of group.Config, and CatchUpBytes is four times
// its SnapshotBytes by default.
func New(c Config) group.Protocol { return protocol{c} }

// Config of a Paxos group.
type Config struct {
	// Core configures the core.
	Core multipaxos.Config
	// FlightEvents is how many events the flight recorder keeps. Default
	// group.DefaultFlightEvents.
	FlightEvents int
	// Event is told of each event as it is recorded, in the actor's turn; it must not
	// block. Optional.
	Event func(Event)
}

type protocol struct{ config Config }

// Check has multipaxos.New report what is wrong.
func (p protocol) Check(c group.Config) error {
	if p.config.FlightEvents < 0 {
		return fmt.Errorf("paxosnode: Config.FlightEvents is %d", p.config.FlightEvents)
	}
	_, err := multipaxos.New(p.core(c), multipaxos.State{})
	return err
}

// core is the core's configuration in a group.
func (p protocol) core(c group.Config) multipaxos.Config {
	core := p.config.Core
	core.ID, core.MaxChunkBytes, core.Witness = c.ID, c.MaxChunkBytes, c.Witness()
	if core.CatchUpBytes == 0 {
		core.CatchUpBytes = 4 * c.SnapshotBytes
	}
	return core
}

func (p protocol) Recover(c group.Config) group.Recovery {
	return &recovery{group: c.Group, config: c, core: p.core(c), maxRecordBytes: c.Store.MaxRecordBytes(),
		events: cmp.Or(p.config.FlightEvents, group.DefaultFlightEvents), tell: p.config.Event}
}

// Term is a ballot.
func (p protocol) Term(t consensus.Term) (word, text string) {
	return "ballot", multipaxos.FormatBallot(t)
}

func (p protocol) EncodeChunk(c group.Config, r consensus.SnapshotRequest, chunk consensus.Chunk) proto.Message {
	return encode(c.ID, r.To, uint32(c.Group), multipaxos.InstallSnapshot{Snapshot: chunk.Snapshot,
		Offset: chunk.Offset, Data: chunk.Data, Checksum: multipaxos.ChunkChecksum(chunk.Data)}, newFlatForm)
}

// recovery rebuilds an engine from its records, which the core reads.
type recovery struct {
	group          storage.Group
	config         group.Config
	core           multipaxos.Config
	maxRecordBytes int
	events         int
	tell           func(Event)
	records        multipaxos.Recovery
}

// Add takes one record in the order in which they were written.
func (r *recovery) Add(record storage.Record) error {
	if record.Type < multipaxos.RecordHardState || record.Type > multipaxos.RecordBootstrap {
		return fmt.Errorf("paxosnode: %w: unknown record type %d", group.ErrOtherEngine, record.Type)
	}
	return r.records.Add(multipaxos.Record{Type: record.Type, Index: record.Index, Data: record.Data})
}

// Bootstrap is the first configuration as a record.
func (r *recovery) Bootstrap(members []consensus.Member) storage.Record {
	record := multipaxos.BootstrapRecord(members)
	return storage.Record{Group: r.group, Type: record.Type, Index: record.Index, Data: record.Data}
}

// Fresh reports whether the records hold no configuration.
func (r *recovery) Fresh() bool { return r.records.Fresh() }

// Engine makes the core. Whoever was a witness has a base in its records and no
// snapshot, so that the roles are looked at first.
func (r *recovery) Engine(snapshot consensus.SnapshotMeta, released consensus.Index) (group.Engine, []consensus.Entry, error) {
	base := r.records.Base()
	if err := r.config.CheckRoles(base.Configuration); err != nil {
		return nil, nil, err
	}
	if r.core.Witness {
		snapshot = base
	}
	state, err := r.records.State(snapshot, released)
	if err != nil {
		return nil, nil, err
	}
	entries := entriesOf(state.Runs)
	node, err := multipaxos.New(r.core, state)
	if err != nil {
		return nil, nil, err
	}
	e := &engine{Node: node, id: r.core.ID, group: r.group, witness: r.core.Witness, flight: newFlight(r.events, r.tell),
		writer: multipaxos.Writer{High: r.records.High, MaxRecordBytes: r.maxRecordBytes}}
	e.writer.Encode = e.flat
	return e, entries, nil
}
