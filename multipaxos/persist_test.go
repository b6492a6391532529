package multipaxos

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func addAll(t *testing.T, r *Recovery, records []Record) {
	t.Helper()
	for _, record := range records {
		if err := r.Add(record); err != nil {
			t.Fatalf("record of type %d: %v", record.Type, err)
		}
	}
}

// What a Writer writes a Recovery reads, also when runs are cut into records.
func TestRecordsComeBackAsTheState(t *testing.T) {
	b := ballot(1, 2, 1)
	out := Output{
		HardState: &HardState{Promised: b, Proposed: ballot(1, 1, 0)},
		Runs: []Run{
			{Ballot: b, Entries: entriesFrom(3, b, "a", strings.Repeat("b", 300), "c")},
			{Chosen: true, Entries: entriesFrom(1, b, "d", "e")},
		},
		Chosen: 2,
	}
	for _, size := range []int{0, 60, 1000} {
		w := Writer{MaxRecordBytes: size}
		var r Recovery
		addAll(t, &r, []Record{BootstrapRecord(voters(3))})
		if !bytes.Equal(r.bootstrapBytes(), BootstrapRecord(voters(3)).Data) || r.Fresh() {
			t.Fatal("the beginning is not what was written")
		}
		addAll(t, &r, w.Records(&out))
		s, err := r.State(SnapshotMeta{}, 0)
		if err != nil || s.HardState != *out.HardState || s.Chosen != 2 || r.High != 5 || w.High != 5 {
			t.Fatalf("records of %d bytes: %+v, high %d and %d, error %v", size, s, r.High, w.High, err)
		}
		var votes, chosen []Entry
		for _, run := range s.Runs {
			if run.Chosen {
				chosen = append(chosen, run.Entries...)
			} else if votes = append(votes, run.Entries...); run.Ballot != b {
				t.Errorf("votes with %s, want %s", FormatBallot(run.Ballot), FormatBallot(b))
			}
		}
		if !reflect.DeepEqual(votes, out.Runs[0].Entries) || !reflect.DeepEqual(chosen, out.Runs[1].Entries) {
			t.Errorf("records of %d bytes: votes %v, chosen %v", size, votes, chosen)
		}
	}
}

func (r *Recovery) bootstrapBytes() []byte {
	s, _ := r.State(SnapshotMeta{}, 0)
	var members []Member
	members = append(members, s.Snapshot.Configuration.Members...)
	return BootstrapRecord(members).Data
}

// A record is not released before what it replaced: its index is the highest so far.
func TestRecordsCarryTheHighestSlotSoFar(t *testing.T) {
	b := ballot(1, 2, 1)
	w := Writer{High: 7, MaxRecordBytes: 1000}
	records := w.Records(&Output{HardState: &HardState{Promised: b}, Chosen: 1, Runs: []Run{
		{Ballot: b, Entries: entriesFrom(9, b, "x")}, {Ballot: b, Entries: entriesFrom(2, b, "y")}}})
	want := []Record{{Type: RecordHardState}, {Type: RecordVotes, Index: 9}, {Type: RecordVotes, Index: 9}, {Type: RecordChosen}}
	for i := range want {
		if i >= len(records) || records[i].Type != want[i].Type || records[i].Index != want[i].Index {
			t.Fatalf("records %v, want the types and indexes of %v", records, want)
		}
	}
}

// The host's own form of a run is taken as it is.
func TestEntriesAreEncodedByTheHostIfItCan(t *testing.T) {
	b := ballot(1, 2, 1)
	out := Output{Runs: []Run{{Ballot: b, Entries: entriesFrom(1, b, "x")}, {Chosen: true, Entries: entriesFrom(2, b, "y")}}}
	calls := 0
	own := Writer{MaxRecordBytes: 100}
	host := Writer{MaxRecordBytes: 100, Encode: func(r Run) []byte {
		calls++
		return own.Records(&Output{Runs: []Run{r}})[0].Data
	}}
	if got, want := host.Records(&out), (&Writer{MaxRecordBytes: 100}).Records(&out); !reflect.DeepEqual(got, want) || calls != 2 {
		t.Errorf("%v, want %v; %d calls", got, want, calls)
	}
}

// Torn, lengthened and unknown records are errors, at every length.
func TestDamagedRecordsAreErrors(t *testing.T) {
	b := ballot(1, 2, 1)
	meta := SnapshotMeta{Index: 4, Term: b, Configuration: Configuration{Epoch: 1, Members: voters(2)}}
	w := Writer{MaxRecordBytes: 1000}
	records := w.Records(&Output{HardState: &HardState{Promised: b}, Base: &meta, Chosen: 9, Runs: []Run{
		{Ballot: b, Entries: entriesFrom(5, b, "x", "y")}, {Chosen: true, Entries: entriesFrom(7, b, "z")}}})
	records = append(records, BootstrapRecord(voters(3)))
	whole := map[int]bool{8: true, 8 + 22: true, 0: true} // prefixes of votes and learned entries that are whole
	for _, record := range records {
		for n := range len(record.Data) {
			cut := record
			cut.Data = record.Data[:n:n]
			if (record.Type == RecordVotes || record.Type == RecordLearned) && whole[n] {
				continue
			}
			if err := new(Recovery).Add(cut); err == nil {
				t.Errorf("type %d cut to %d of %d bytes is taken", record.Type, n, len(record.Data))
			}
		}
		long := record
		long.Data = append(bytes.Clone(record.Data), 1)
		if err := new(Recovery).Add(long); !errors.Is(err, ErrMalformed) {
			t.Errorf("type %d with a byte too many: error %v, want ErrMalformed", record.Type, err)
		}
	}
	for _, kind := range []uint8{0, 1, 15, 22, 255} {
		if err := new(Recovery).Add(Record{Type: kind}); err == nil {
			t.Errorf("type %d is taken", kind)
		}
	}
}

// A snapshot may be newer than the records, never older than what took their place.
func TestASnapshotMustReachWhatItReplaced(t *testing.T) {
	b := ballot(1, 2, 1)
	base := SnapshotMeta{Index: 4, Term: b, Configuration: Configuration{Epoch: 1, Members: voters(2)}}
	var r Recovery
	w := Writer{MaxRecordBytes: 1000}
	addAll(t, &r, w.Records(&Output{Base: &base, Chosen: 4}))
	if !reflect.DeepEqual(r.Base(), base) || r.Fresh() {
		t.Fatalf("base %+v, want %+v", r.Base(), base)
	}
	at := func(i Index) SnapshotMeta {
		m := base
		m.Index = i
		return m
	}
	for _, c := range []struct {
		snapshot, released Index
		ok                 bool
	}{{0, 0, false}, {3, 0, false}, {4, 0, true}, {4, 5, false}, {9, 5, true}} {
		s, err := r.State(at(c.snapshot), c.released)
		if (err == nil) != c.ok || c.ok && s.Chosen != max(4, c.snapshot) {
			t.Errorf("snapshot %d, released %d: %+v, error %v", c.snapshot, c.released, s, err)
		}
	}
	if !new(Recovery).Fresh() {
		t.Error("no record at all is not fresh")
	}
}

// A snapshot that was installed just before a crash, and of which the records know
// nothing yet, takes the place of all of them; votes of epochs that it ends are void.
func TestRecoveryWithASnapshotNewerThanTheRecords(t *testing.T) {
	b := ballot(1, 2, 1)
	s := State{
		HardState: HardState{Promised: b},
		Snapshot:  SnapshotMeta{Index: 8, Term: b, Configuration: Configuration{Epoch: 2, Version: 7, Members: voters(3)}},
		Runs:      []Run{{Chosen: true, Entries: entriesFrom(1, b, "a", "b")}, {Ballot: b, Entries: entriesFrom(5, b, "c", "d", "e", "f", "g", "h")}},
		Chosen:    8,
	}
	r := newSolo(t, 1, nil, s)
	if r.chosen != 8 || r.epoch() != 2 || r.applied != 8 {
		t.Fatalf("chosen %d, epoch %d, applied %d", r.chosen, r.epoch(), r.applied)
	}
	out := r.step(3, Prepare{Ballot: ballot(2, 1, 2), From: 9})
	if p := only[Promise](t, out.Send); len(p.Runs) > 0 {
		t.Errorf("votes of the old epoch are promised: %+v", p)
	}
	if r.log.end != 8 {
		t.Errorf("slots up to %d are kept, want none behind the snapshot", r.log.end)
	}
}

// A replica whose only snapshot is damaged says so, and does not start: between the
// snapshot's commit and the base record a crash leaves nothing else to tell.
func TestALogWithoutTheSnapshotBeforeItIsRefused(t *testing.T) {
	w := Writer{MaxRecordBytes: 1 << 20}
	var r Recovery
	b := ballot(1, 1, 0)
	records := append([]Record{BootstrapRecord(voters(3))},
		w.Records(&Output{Runs: []Run{{Chosen: true, Entries: entriesFrom(171, b, "x", "y")}}, Chosen: 172})...)
	for _, record := range records {
		if err := r.Add(record); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.State(SnapshotMeta{}, 0); err == nil || !strings.Contains(err.Error(), "slot 1 is missing") {
		t.Errorf("error %v, want one that names slot 1", err)
	}
	whole := SnapshotMeta{Index: 170, Term: b, Configuration: Bootstrap(voters(3)...).Configuration}
	if s, err := r.State(whole, 0); err != nil || s.Chosen != 172 {
		t.Errorf("with the snapshot: chosen %d, %v", s.Chosen, err)
	}
}
