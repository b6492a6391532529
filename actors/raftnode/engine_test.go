package raftnode

import (
	"testing"

	"github.com/synod-go/synod/raft"
)

// What a follower writes down may be the bytes it was sent only if its entries
// are those bytes, all of them and nothing else.
func TestReceivedFormIsThatOfTheEntries(t *testing.T) {
	data := raft.AppendEntriesData(nil, []raft.Entry{
		{Index: 5, Term: 2, Data: []byte("five")}, {Index: 6, Term: 2, Data: []byte("six")}, {Index: 7, Term: 3, Data: []byte("seven")}})
	entries, err := raft.DecodeEntries(data)
	if err != nil {
		t.Fatal(err)
	}
	same := raft.AppendEntriesData(nil, entries)
	for _, c := range []struct {
		what    string
		data    []byte
		entries []raft.Entry
		want    bool
	}{
		{"all", data, entries, true},
		{"without the first", data, entries[1:], false},
		{"without the last", data, entries[:2], false},
		{"equal bytes elsewhere", same, entries, false},
		{"nothing received", nil, entries, false},
		{"an entry without data", data, []raft.Entry{{Index: 5, Term: 2}}, false},
	} {
		if got := isFormOf(c.data, c.entries); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}
