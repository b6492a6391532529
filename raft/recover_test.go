package raft

import (
	"errors"
	"math"
	"testing"
)

// New takes only what it can have saved.
func TestNewRefusesWhatCannotHaveBeenSaved(t *testing.T) {
	boot := Bootstrap(Member{ID: 1, Voter: true})
	at3 := SnapshotMeta{Index: 3, Term: 2, Configuration: boot.Configuration}
	for name, s := range map[string]State{
		"gap":                {Snapshot: at3, Entries: entries(5, 2)},
		"gap in the entries": {Entries: append(entries(1, 1), entries(3, 1)...)},
		"terms go back":      {Entries: entries(1, 2, 1)},
		"term below":         {Snapshot: at3, Entries: entries(4, 1)},
		"no configuration":   {Snapshot: SnapshotMeta{Index: 3, Term: 2}},
		"no voter":           {Snapshot: Bootstrap(Member{ID: 1})},
		"bad configuration":  {Entries: []Entry{{Term: 1, Index: 1, Kind: EntryConfiguration, Data: []byte("x")}}},
		"term out of range":  {HardState: HardState{Term: math.MaxUint64}},
	} {
		var state *StateError
		if _, err := New(testConfig(1), s); !errors.As(err, &state) {
			t.Errorf("%s: error %v, want a *StateError", name, err)
		}
	}
	for name, c := range map[string]Config{
		"no ID": {}, "short election": {ID: 1, Heartbeat: 100, Election: 200},
		"long lease": {ID: 1, Lease: 1e10}, "negative": {ID: 1, MaxReads: -1}, "drift": {ID: 1, Lease: 10, MaxDrift: 10},
	} {
		var config *ConfigError
		if _, err := New(c, State{}); !errors.As(err, &config) {
			t.Errorf("%s: error %v, want a *ConfigError", name, err)
		}
	}
}

// A log that is older than the snapshot is dropped, on disk too; one that goes
// on after it keeps what comes before.
func TestNewJoinsTheLogToTheSnapshot(t *testing.T) {
	boot := Bootstrap(Member{ID: 1, Voter: true}, Member{ID: 2, Voter: true})
	at := SnapshotMeta{Index: 3, Term: 2, Configuration: boot.Configuration}
	for _, test := range []struct {
		name        string
		log         []Entry
		first, last Index
		base        bool
	}{
		{"none", nil, 4, 3, false},
		{"directly after", entries(4, 2, 3), 4, 5, false},
		{"from the start", entries(1, 1, 1, 2, 3), 1, 4, false},
		{"with a trail", entries(2, 1, 2, 3), 3, 4, false},
		{"ends before", entries(1, 1, 1), 4, 3, true},
		{"differs", entries(1, 1, 1, 1, 1), 4, 3, true},
	} {
		r := newSolo(t, 1, 2, State{HardState: HardState{Term: 3}, Snapshot: at, Entries: test.log})
		r.Node, _ = New(testConfig(1), State{HardState: HardState{Term: 3}, Snapshot: at, Entries: test.log})
		out := r.at(0)
		s := r.Status()
		if s.FirstIndex != test.first || s.LastIndex != test.last || s.Commit != 3 || (out.Base != nil) != test.base {
			t.Errorf("%s: log %d..%d, commit %d, base %v; want %d..%d, 3, %v", test.name,
				s.FirstIndex, s.LastIndex, s.Commit, out.Base, test.first, test.last, test.base)
		}
	}
}
