package raftnode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/storage"
)

// The records a Raft group writes to the node's log. Integers are
// little-endian.
//
//	type  index      data
//	1     0 (state)  term u64, vote u64                      hard state
//	2     high       entries as raft.AppendEntriesData       appended; replaces all from its first index on
//	3     high       index u64, term u64, configuration      the log starts over after this snapshot
//	4     0 (state)  configuration                           how the group began: before index 1
//
// high is the highest index that any record of the group has reached so far,
// not the record's own: a record that replaces a longer suffix must not be
// released before what it replaced, or the suffix would be back.
const (
	RecordHardState uint8 = 1
	RecordEntries   uint8 = 2
	RecordBase      uint8 = 3
	RecordBootstrap uint8 = 4
)

func hardStateRecord(group storage.Group, h raft.HardState) storage.Record {
	data := make([]byte, 16)
	binary.LittleEndian.PutUint64(data, uint64(h.Term))
	binary.LittleEndian.PutUint64(data[8:], uint64(h.Vote))
	return storage.Record{Group: group, Type: RecordHardState, Data: data}
}

func entriesRecord(group storage.Group, high raft.Index, data []byte) storage.Record {
	return storage.Record{Group: group, Type: RecordEntries, Index: uint64(high), Data: data}
}

func baseRecord(group storage.Group, high raft.Index, meta raft.SnapshotMeta) storage.Record {
	data := make([]byte, 16, 256)
	binary.LittleEndian.PutUint64(data, uint64(meta.Index))
	binary.LittleEndian.PutUint64(data[8:], uint64(meta.Term))
	data = append(data, raft.EncodeConfiguration(meta.Configuration)...)
	return storage.Record{Group: group, Type: RecordBase, Index: uint64(high), Data: data}
}

func bootstrapRecord(group storage.Group, members []raft.Member) storage.Record {
	configuration := raft.Bootstrap(members...).Configuration
	return storage.Record{Group: group, Type: RecordBootstrap, Data: raft.EncodeConfiguration(configuration)}
}

// DecodeHardState reads a RecordHardState.
func DecodeHardState(data []byte) (raft.HardState, error) {
	if len(data) != 16 {
		return raft.HardState{}, fmt.Errorf("raftnode: hard state of %d bytes, want 16", len(data))
	}
	return raft.HardState{
		Term: raft.Term(binary.LittleEndian.Uint64(data)),
		Vote: raft.ID(binary.LittleEndian.Uint64(data[8:])),
	}, nil
}

// DecodeBase reads a RecordBase; the meta's Size and Checksum are not in it.
func DecodeBase(data []byte) (raft.SnapshotMeta, error) {
	if len(data) < 16 {
		return raft.SnapshotMeta{}, fmt.Errorf("raftnode: base record of %d bytes", len(data))
	}
	configuration, err := raft.DecodeConfiguration(data[16:])
	return raft.SnapshotMeta{
		Index:         raft.Index(binary.LittleEndian.Uint64(data)),
		Term:          raft.Term(binary.LittleEndian.Uint64(data[8:])),
		Configuration: configuration,
	}, err
}

// recovery rebuilds a replica's state from the records of its group.
type recovery struct {
	group          storage.Group
	raft           raft.Config
	maxRecordBytes int
	flight         group.Recorder[Event]

	hard      raft.HardState
	bootstrap raft.Configuration
	base      raft.SnapshotMeta
	entries   []raft.Entry
	high      raft.Index // see the table of records
	released  raft.Index // entries up to here need not be in the log: a snapshot was
}

// Add takes one record in the order in which they were written.
func (r *recovery) Add(record storage.Record) (err error) {
	r.high = max(r.high, raft.Index(record.Index))
	switch record.Type {
	case RecordBootstrap:
		r.bootstrap, err = raft.DecodeConfiguration(record.Data)
	case RecordHardState:
		r.hard, err = DecodeHardState(record.Data)
	case RecordBase:
		r.base, err = DecodeBase(record.Data)
		r.entries = nil
	case RecordEntries:
		var entries []raft.Entry
		// The entries keep their data, which the store lends only for this call.
		entries, err = raft.DecodeEntries(slices.Clone(record.Data))
		if err == nil {
			err = r.append(entries)
		}
	default:
		err = fmt.Errorf("raftnode: %w: unknown record type %d", group.ErrOtherEngine, record.Type)
	}
	return err
}

// append adds entries, which replace all from their first index on: a later
// leader overwrote what an earlier one had left.
func (r *recovery) append(entries []raft.Entry) error {
	if len(entries) == 0 {
		return errors.New("raftnode: empty entries record")
	}
	first := entries[0].Index
	switch {
	case len(r.entries) == 0:
		// The log starts here: what came before was released.
	case first > r.entries[len(r.entries)-1].Index+1:
		return fmt.Errorf("raftnode: log goes from index %d to %d", r.entries[len(r.entries)-1].Index, first)
	case first <= r.entries[0].Index:
		r.entries = nil
	default:
		r.entries = r.entries[:first-r.entries[0].Index]
	}
	r.entries = append(r.entries, entries...)
	return nil
}

// state joins the log with the newest snapshot, or with the group's beginning
// if there is none. The snapshot may be newer than the log (a crash between the
// snapshot's commit and the base record) or end inside it.
func (r *recovery) state(snapshot raft.SnapshotMeta) (raft.State, error) {
	if snapshot.Index == 0 {
		snapshot.Configuration = r.bootstrap
	}
	if snapshot.Index < r.base.Index {
		return raft.State{}, fmt.Errorf("raftnode: the log starts after snapshot %d, but the newest whole snapshot ends at %d",
			r.base.Index, snapshot.Index)
	}
	if len(r.entries) > 0 && r.entries[0].Index > snapshot.Index+1 {
		return raft.State{}, fmt.Errorf("raftnode: entries %d to %d are missing between snapshot and log",
			snapshot.Index+1, r.entries[0].Index-1)
	}
	if len(r.entries) == 0 && snapshot.Index < r.released {
		return raft.State{}, fmt.Errorf("raftnode: a snapshot took the place of the log up to %d, but the newest whole snapshot ends at %d",
			r.released, snapshot.Index)
	}
	// Entries that do not go on from the snapshot are handed over too: the core
	// drops them and has that written down (Output.Base), or the next start
	// would find them in front of what follows.
	return raft.State{HardState: r.hard, Snapshot: snapshot, Entries: r.entries}, nil
}

// Fresh reports whether the log holds no configuration: the replica has never
// had a place in the group.
func (r *recovery) Fresh() bool {
	return len(r.bootstrap.Members) == 0 && r.base.Index == 0 && !slices.ContainsFunc(r.entries, func(e raft.Entry) bool {
		return e.Kind == raft.EntryConfiguration
	})
}
