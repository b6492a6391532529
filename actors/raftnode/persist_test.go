package raftnode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/storage"
)

// run makes entries first..last of one term.
func run(term raft.Term, first, last raft.Index) []raft.Entry {
	var entries []raft.Entry
	for i := first; i <= last; i++ {
		entries = append(entries, raft.Entry{Term: term, Index: i, Data: fmt.Appendf(nil, "%d.%d", term, i)})
	}
	return entries
}

func entries(e []raft.Entry) storage.Record {
	return entriesRecord(1, e[len(e)-1].Index, raft.AppendEntriesData(nil, e))
}

// terms prints a log as index:term.
func terms(entries []raft.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%d:%d ", e.Index, e.Term)
	}
	return strings.TrimSpace(b.String())
}

func TestRecoveryRebuildsTheLog(t *testing.T) {
	base := raft.SnapshotMeta{Index: 5, Term: 3}
	for name, c := range map[string]struct {
		records  []storage.Record
		snapshot raft.SnapshotMeta
		released raft.Index
		want     string
		err      string
	}{
		"entries follow": {records: []storage.Record{entries(run(1, 1, 2)), entries(run(1, 3, 3))}, want: "1:1 2:1 3:1"},
		"a later leader overwrites": {records: []storage.Record{entries(run(1, 1, 4)), entries(run(2, 3, 3))},
			want: "1:1 2:1 3:2"},
		"the beginning was released": {records: []storage.Record{entries(run(1, 4, 6))},
			snapshot: raft.SnapshotMeta{Index: 5, Term: 1}, want: "4:1 5:1 6:1"},
		"a base starts over": {records: []storage.Record{entries(run(1, 1, 9)), baseRecord(1, base.Index, base), entries(run(3, 6, 7))},
			snapshot: base, want: "6:3 7:3"},
		"a snapshot newer than the log": {records: []storage.Record{entries(run(1, 1, 3))},
			snapshot: raft.SnapshotMeta{Index: 9, Term: 2}, want: "1:1 2:1 3:1"},
		"a snapshot of another branch": {records: []storage.Record{entries(run(1, 1, 9))},
			snapshot: raft.SnapshotMeta{Index: 5, Term: 2}, want: "1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1 9:1"},
		"a gap in the log": {records: []storage.Record{entries(run(1, 1, 2)), entries(run(1, 4, 4))}, err: "from index 2 to 4"},
		"a gap behind the snapshot": {records: []storage.Record{entries(run(1, 8, 9))},
			snapshot: raft.SnapshotMeta{Index: 5, Term: 1}, err: "6 to 7 are missing"},
		"the base's snapshot is gone": {records: []storage.Record{baseRecord(1, base.Index, base)},
			snapshot: raft.SnapshotMeta{Index: 2, Term: 1}, err: "starts after snapshot 5"},
		"all entries are covered by the snapshot":   {snapshot: raft.SnapshotMeta{Index: 5, Term: 1}, released: 5},
		"the snapshot that covered the log is gone": {released: 5, err: "the place of the log up to 5"},
		"only an older snapshot is whole": {snapshot: raft.SnapshotMeta{Index: 3, Term: 1}, released: 5,
			err: "newest whole snapshot ends at 3"},
		"an unknown record": {records: []storage.Record{{Type: 99}}, err: "unknown record type 99"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := recoverAll(c.records, c.snapshot, c.released)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil || terms(got.Entries) != c.want {
				t.Fatalf("log %q, error %v, want %q", terms(got.Entries), err, c.want)
			}
		})
	}
}

// The store lends a record's bytes only for the call and reads the next batch into
// the same buffer.
func TestRecoveryKeepsItsOwnCopyOfEntries(t *testing.T) {
	var r recovery
	record := entries(run(1, 1, 3))
	if err := r.Add(record); err != nil {
		t.Fatal(err)
	}
	clear(record.Data)
	for _, e := range r.entries {
		if want := fmt.Sprintf("1.%d", e.Index); string(e.Data) != want {
			t.Fatalf("entry %d holds %q after the buffer was used again, want %q", e.Index, e.Data, want)
		}
	}
}

func recoverAll(records []storage.Record, snapshot raft.SnapshotMeta, released raft.Index) (raft.State, error) {
	r := recovery{released: released}
	for _, record := range records {
		if err := r.Add(record); err != nil {
			return raft.State{}, err
		}
	}
	return r.state(snapshot)
}

func TestRecoveryKeepsHardStateAndBootstrapConfiguration(t *testing.T) {
	hard := raft.HardState{Term: 4, Vote: 7}
	state, err := recoverAll([]storage.Record{bootstrapRecord(1, []raft.Member{{ID: 7, Voter: true, Name: "n1"}}),
		hardStateRecord(1, raft.HardState{Term: 3}), hardStateRecord(1, hard)}, raft.SnapshotMeta{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if state.HardState != hard {
		t.Errorf("hard state %+v, want %+v", state.HardState, hard)
	}
	if m, ok := state.Snapshot.Configuration.Find(7); !ok || !m.Voter || m.Name != "n1" {
		t.Errorf("configuration %+v, want one voter n1", state.Snapshot.Configuration)
	}
}

// A crash between the commit of a received snapshot and its base record leaves
// the old log in place. What the replica acknowledges after that must still be
// there after another start (D10, W1).
func TestWhatIsAcknowledgedBehindAReceivedSnapshotSurvivesTwoStarts(t *testing.T) {
	snapshot := raft.SnapshotMeta{Index: 10, Term: 4, Configuration: raft.Configuration{Version: 1,
		Members: []raft.Member{{ID: 1, Voter: true}, {ID: 2, Voter: true}, {ID: 3, Voter: true}}}}
	for name, old := range map[string][]raft.Entry{"shorter": run(1, 1, 8), "another branch": run(1, 1, 12)} {
		t.Run(name, func(t *testing.T) {
			records := []storage.Record{hardStateRecord(1, raft.HardState{Term: 5}), entries(old)}
			state, err := recoverAll(records, snapshot, 0)
			if err != nil {
				t.Fatal(err)
			}
			node, err := raft.New(raft.Config{ID: 2}, state)
			if err != nil {
				t.Fatal(err)
			}
			node.Tick(1)
			node.Step(1, raft.AppendEntries{Term: 5, PrevIndex: 10, PrevTerm: 4, Entries: run(5, 11, 13)})
			out := node.Output()
			if out.Base != nil {
				records = append(records, baseRecord(1, 12, *out.Base))
			}
			records = append(records, entriesRecord(1, 13, raft.AppendEntriesData(nil, out.Entries)))
			again, err := recoverAll(records, snapshot, 0)
			if err != nil {
				t.Fatalf("second start: %v", err)
			}
			if got := terms(again.Entries); got != "11:5 12:5 13:5" {
				t.Fatalf("second start: log %q, want 11 to 13 of term 5", got)
			}
		})
	}
}
