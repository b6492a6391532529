package multipaxos

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/synod-go/synod/consensus"
)

// Record is what a host writes to its log for a save. Integers are little-endian;
// entries are in the flat form of consensus.AppendEntriesData.
//
//	type  index      data
//	16    0 (state)  promised u64, proposed u64              hard state
//	17    high       ballot u64, entries                     votes
//	18    high       entries                                 chosen entries, learned from a peer
//	19    0 (state)  slot u64                                the chosen prefix
//	20    high       slot u64, LEAD ballot u64, configuration   everything up to slot is forgotten for this snapshot
//	21    0 (state)  configuration                           how the group began: before slot 1
//
// high is the highest slot that any record of the group has reached so far, not
// the record's own: a record that replaces what was said of a slot must not be
// released before what it replaced, or that would be back.
type Record struct {
	Type  uint8
	Index uint64
	Data  []byte
}

// Types of records. They differ from Raft's, so that a group's log names its
// engine.
const (
	RecordHardState uint8 = 16 + iota
	RecordVotes
	RecordLearned
	RecordChosen
	RecordBase
	RecordBootstrap
)

// Writer turns saves into records.
type Writer struct {
	// High is the highest slot so far: Recovery.High after a start.
	High Index
	// MaxRecordBytes bounds the data of a record; a larger entry still goes alone.
	MaxRecordBytes int
	// Encode returns the data of the record of a run, without changing it: a host
	// that has it already gives that. Nil means EncodeRun.
	Encode func(Run) []byte
}

// Records returns what out's save is on disk, in the order to write it.
func (w *Writer) Records(out *Output) (records []Record) {
	if h := out.HardState; h != nil {
		data := binary.LittleEndian.AppendUint64(make([]byte, 0, 16), uint64(h.Promised))
		records = append(records, Record{Type: RecordHardState, Data: binary.LittleEndian.AppendUint64(data, uint64(h.Proposed))})
	}
	if b := out.Base; b != nil {
		w.High = max(w.High, b.Index)
		records = append(records, Record{Type: RecordBase, Index: uint64(w.High), Data: encodeBase(*b)})
	}
	for _, r := range out.Runs {
		records = w.appendRun(records, r)
	}
	if out.Chosen > 0 {
		records = append(records, Record{Type: RecordChosen, Data: binary.LittleEndian.AppendUint64(nil, uint64(out.Chosen))})
	}
	return records
}

// appendRun cuts a run into records that are not too large.
func (w *Writer) appendRun(records []Record, r Run) []Record {
	for rest := r.Entries; len(rest) > 0; {
		k := len(rest)
		for k > 1 && consensus.EntriesDataSize(rest[:k])+8 > w.MaxRecordBytes {
			k = (k + 1) / 2
		}
		w.High = max(w.High, rest[k-1].Index)
		piece := Run{Ballot: r.Ballot, Chosen: r.Chosen, Entries: rest[:k]}
		record := Record{Type: RecordVotes, Index: uint64(w.High)}
		if r.Chosen {
			record.Type = RecordLearned
		}
		if w.Encode != nil {
			record.Data = w.Encode(piece)
		} else {
			record.Data = EncodeRun(piece)
		}
		records = append(records, record)
		rest = rest[k:]
	}
	return records
}

// EncodeRun is the data of a RecordVotes or RecordLearned.
func EncodeRun(r Run) []byte {
	data := make([]byte, 0, 8+consensus.EntriesDataSize(r.Entries))
	if !r.Chosen {
		data = binary.LittleEndian.AppendUint64(data, uint64(r.Ballot))
	}
	return consensus.AppendEntriesData(data, r.Entries)
}

func encodeBase(meta SnapshotMeta) []byte {
	data := binary.LittleEndian.AppendUint64(make([]byte, 0, 256), uint64(meta.Index))
	data = binary.LittleEndian.AppendUint64(data, uint64(meta.Term))
	return append(data, consensus.EncodeConfiguration(meta.Configuration)...)
}

// BootstrapRecord is what a founder writes before anything else.
func BootstrapRecord(members []Member) Record {
	return Record{Type: RecordBootstrap, Data: consensus.EncodeConfiguration(Bootstrap(members...).Configuration)}
}

// Recovery rebuilds a State from records.
type Recovery struct {
	// High is the highest slot of any record.
	High Index
	// Records counts them.
	Records int

	hard      HardState
	bootstrap Configuration
	base      SnapshotMeta
	runs      []Run
	chosen    Index
	sealed    bool // a configuration was found
}

// Add takes one record, in the order in which they were written. It keeps nothing
// of the record's data. It returns an error for a record that this package did not
// write.
func (r *Recovery) Add(record Record) (err error) {
	r.Records++
	r.High = max(r.High, Index(record.Index))
	data := record.Data
	switch record.Type {
	case RecordHardState:
		r.hard, err = DecodeHardState(data)
	case RecordVotes:
		var run Run
		if run, err = DecodeVotes(data); err == nil {
			r.addRun(run)
		}
	case RecordLearned:
		var entries []Entry
		if entries, err = consensus.DecodeEntries(slices.Clone(data)); err == nil {
			r.addRun(Run{Chosen: true, Entries: entries})
		}
	case RecordChosen:
		if len(data) != 8 {
			return fmt.Errorf("%w: chosen prefix of %d bytes", ErrMalformed, len(data))
		}
		r.chosen = max(r.chosen, Index(binary.LittleEndian.Uint64(data)))
	case RecordBase:
		r.base, err = DecodeBase(data)
		r.chosen = max(r.chosen, r.base.Index)
	case RecordBootstrap:
		r.bootstrap, err = consensus.DecodeConfiguration(data)
	default:
		err = fmt.Errorf("multipaxos: unknown record type %d", record.Type)
	}
	return err
}

func (r *Recovery) addRun(run Run) {
	r.runs = append(r.runs, run)
	r.sealed = r.sealed || slices.ContainsFunc(run.Entries, func(e Entry) bool { return e.Kind == EntrySeal })
}

// State joins the records with the newest snapshot, or with the group's beginning
// if meta is zero. The snapshot may be newer than the records (a crash between the
// snapshot's commit and the base record). released is up to where records may be
// missing because a snapshot was in their place.
func (r *Recovery) State(meta SnapshotMeta, released Index) (State, error) {
	if meta.Index == 0 {
		meta.Configuration = r.bootstrap
	}
	if least := max(r.base.Index, released); meta.Index < least {
		return State{}, fmt.Errorf("multipaxos: a snapshot took the place of the log up to %d, but the newest whole snapshot ends at %d",
			least, meta.Index)
	}
	if next := meta.Index + 1; r.chosen >= next && !r.has(next) {
		return State{}, fmt.Errorf("multipaxos: the log does not go on from the newest whole snapshot, which ends at %d: slot %d is missing, chosen are %d",
			meta.Index, next, r.chosen)
	}
	return State{HardState: r.hard, Snapshot: meta, Runs: r.runs, Chosen: max(r.chosen, meta.Index)}, nil
}

// has reports whether any record says something of slot i.
func (r *Recovery) has(i Index) bool {
	return slices.ContainsFunc(r.runs, func(run Run) bool {
		return len(run.Entries) > 0 && run.Entries[0].Index <= i && i <= run.Entries[len(run.Entries)-1].Index
	})
}

// Base is the newest snapshot that the records speak of: all that a replica without
// a state machine has of it. So such a replica must not release the record that says
// it, whose index is not below the base's own.
func (r *Recovery) Base() SnapshotMeta { return r.base }

// Fresh reports whether the records hold no configuration: the replica has never
// had a place in the group.
func (r *Recovery) Fresh() bool {
	return len(r.bootstrap.Members) == 0 && r.base.Index == 0 && !r.sealed
}

// DecodeHardState reads a RecordHardState.
func DecodeHardState(data []byte) (HardState, error) {
	if len(data) != 16 {
		return HardState{}, fmt.Errorf("%w: hard state of %d bytes, want 16", ErrMalformed, len(data))
	}
	return HardState{Promised: Ballot(binary.LittleEndian.Uint64(data)), Proposed: Ballot(binary.LittleEndian.Uint64(data[8:]))}, nil
}

// DecodeVotes reads a RecordVotes. The entries do not alias data.
func DecodeVotes(data []byte) (Run, error) {
	if len(data) < 8 {
		return Run{}, fmt.Errorf("%w: votes of %d bytes", ErrMalformed, len(data))
	}
	entries, err := consensus.DecodeEntries(slices.Clone(data[8:]))
	return Run{Ballot: Ballot(binary.LittleEndian.Uint64(data)), Entries: entries}, err
}

// DecodeBase reads a RecordBase; the meta's Size and Checksum are not in it.
func DecodeBase(data []byte) (SnapshotMeta, error) {
	if len(data) < 16 {
		return SnapshotMeta{}, fmt.Errorf("%w: base record of %d bytes", ErrMalformed, len(data))
	}
	configuration, err := consensus.DecodeConfiguration(data[16:])
	return SnapshotMeta{Index: Index(binary.LittleEndian.Uint64(data)), Term: Ballot(binary.LittleEndian.Uint64(data[8:])),
		Configuration: configuration}, err
}
