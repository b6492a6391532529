package raftnode

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"

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

// A disk that stands still must not make the answers to a repeating peer pile up.
func TestAnswersHeldForAStalledDiskAreBounded(t *testing.T) {
	a := &Actor{issued: 5, saved: 4, handle: &Handle{}, cfg: Config{Peer: func(raft.ID) *actor.PID { return nil }}}
	answer := []raft.Envelope{{To: 2, Message: raft.AppendReply{Term: 1}}}
	for range 3 * maxHeld {
		a.sendAfter(5, answer)
	}
	if len(a.held) != maxHeld {
		t.Errorf("%d turns wait, want %d", len(a.held), maxHeld)
	}
	a.saved = 5
	a.sendAfter(5, answer) // is sent at once
	if len(a.held) != 0 {
		t.Errorf("%d turns wait after the save, want none", len(a.held))
	}
}
