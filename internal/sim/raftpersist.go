package sim

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/storage"
)

// The records of a replica, as the real actor writes them: the newest hard
// state, batches of entries, and the base that a received snapshot gives the
// log.
const (
	recordHardState = 1
	recordEntries   = 2
	recordBase      = 3
	groupNumber     = storage.Group(1)
)

// records are what one save appends. high is the highest index that any record
// so far reaches: a record that replaces others must outlive the records it
// replaces, or a released one would let them come back.
func records(out *raft.Output, high *raft.Index) (batch []storage.Record) {
	if out.HardState != nil {
		data := binary.LittleEndian.AppendUint64(nil, uint64(out.HardState.Term))
		data = binary.LittleEndian.AppendUint64(data, uint64(out.HardState.Vote))
		batch = append(batch, storage.Record{Group: groupNumber, Type: recordHardState, Data: data})
	}
	if b := out.Base; b != nil {
		*high = max(*high, b.Index)
		data := binary.LittleEndian.AppendUint64(nil, uint64(b.Index))
		data = binary.LittleEndian.AppendUint64(data, uint64(b.Term))
		batch = append(batch, storage.Record{Group: groupNumber, Type: recordBase, Index: uint64(*high), Data: data})
	}
	if n := len(out.Entries); n > 0 {
		*high = max(*high, out.Entries[n-1].Index)
		data := raft.AppendEntriesData(make([]byte, 0, raft.EntriesDataSize(out.Entries)), out.Entries)
		batch = append(batch, storage.Record{Group: groupNumber, Type: recordEntries, Index: uint64(*high), Data: data})
	}
	return batch
}

// recovered is what a log held when it was opened.
type recovered struct {
	hard    raft.HardState
	base    raft.SnapshotMeta // Index and Term only
	entries []raft.Entry
	high    raft.Index
	// released: entries up to here need not be in the log, since a snapshot was.
	released raft.Index
}

// add takes the records in the order in which they were written.
func (r *recovered) add(rec storage.Record) error {
	r.high = max(r.high, raft.Index(rec.Index))
	switch {
	case rec.Type == recordHardState && len(rec.Data) == 16:
		r.hard.Term = raft.Term(binary.LittleEndian.Uint64(rec.Data))
		r.hard.Vote = raft.ID(binary.LittleEndian.Uint64(rec.Data[8:]))
	case rec.Type == recordBase && len(rec.Data) == 16:
		r.base.Index = raft.Index(binary.LittleEndian.Uint64(rec.Data))
		r.base.Term = raft.Term(binary.LittleEndian.Uint64(rec.Data[8:]))
		r.entries = nil
	case rec.Type == recordEntries:
		entries, err := raft.DecodeEntries(append([]byte(nil), rec.Data...))
		if err != nil {
			return err
		}
		return r.append(entries)
	default:
		return fmt.Errorf("sim: record of type %d with %d bytes", rec.Type, len(rec.Data))
	}
	return nil
}

// append adds entries, which replace everything from their first index on.
func (r *recovered) append(entries []raft.Entry) error {
	if len(entries) == 0 {
		return errors.New("sim: empty record")
	}
	first := entries[0].Index
	if n := len(r.entries); n > 0 {
		switch own := r.entries[0].Index; {
		case first > own+raft.Index(n):
			return fmt.Errorf("sim: log goes from %d to %d", own+raft.Index(n)-1, first)
		case first <= own:
			r.entries = nil
		default:
			r.entries = r.entries[:first-own]
		}
	}
	r.entries = append(r.entries, entries...)
	return nil
}

// state joins the log and the newest snapshot. Entries that do not reach the
// snapshot are left to the core, which drops them.
func (r *recovered) state(snapshot raft.SnapshotMeta) (raft.State, error) {
	if snapshot.Index < r.base.Index {
		return raft.State{}, fmt.Errorf("sim: the log starts after %d, the newest whole snapshot is %d", r.base.Index, snapshot.Index)
	}
	if len(r.entries) > 0 && r.entries[0].Index > snapshot.Index+1 {
		return raft.State{}, fmt.Errorf("sim: entries %d to %d are missing", snapshot.Index+1, r.entries[0].Index-1)
	}
	if len(r.entries) == 0 && snapshot.Index < r.released {
		return raft.State{}, fmt.Errorf("sim: the log was released up to %d, the newest whole snapshot is %d", r.released, snapshot.Index)
	}
	return raft.State{HardState: r.hard, Snapshot: snapshot, Entries: r.entries}, nil
}
