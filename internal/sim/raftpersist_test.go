package sim

import (
	"testing"

	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/storage"
)

// TestReleasedRecordsStayDeadWithWhatTheyReplaced: entries 5 to 8 of term 1 are
// replaced by entry 5 of term 2, then everything up to 5 is released. The
// records of 6 to 8 must not come back without the one that replaced them.
func TestReleasedRecordsStayDeadWithWhatTheyReplaced(t *testing.T) {
	disk := storage.NewMemory(1)
	open := func() *storage.Store {
		s, err := storage.Open(dataDir, storage.Options{FS: disk, Node: "n1", Manual: true, SegmentBytes: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	var high raft.Index
	save := func(index raft.Index, term raft.Term) {
		out := raft.Output{Entries: []raft.Entry{{Index: index, Term: term}}}
		s.Append(records(&out, &high), func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		})
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	for i := raft.Index(1); i <= 8; i++ {
		save(i, 1)
	}
	save(5, 2)
	s.Release(groupNumber, 5)
	if err := s.Close(); err != nil { // the release mark is written with the last batch
		t.Fatal(err)
	}
	s = open()
	var r recovered
	if err := s.Replay(groupNumber, r.add); err != nil {
		t.Fatal(err)
	}
	for _, e := range r.entries {
		if e.Index > 5 {
			t.Errorf("entry %d of term %d is back", e.Index, e.Term)
		}
	}
}
