package raftnode

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
)

// follower is the engine of replica 1 of three that starts empty.
func follower(t testing.TB, tell func(Event)) *engine {
	t.Helper()
	r := &recovery{group: 1, raft: raft.Config{ID: 1}, maxRecordBytes: 1 << 20, flight: group.NewRecorder(64, tell),
		bootstrap: raft.Configuration{Members: []raft.Member{{ID: 1, Voter: true}, {ID: 2, Voter: true}, {ID: 3, Voter: true}}}}
	e, _, err := r.Engine(raft.SnapshotMeta{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return e.(*engine)
}

// turn gives the engine messages in one turn.
func turn(t *testing.T, e *engine, now raft.Time, from raft.ID, ms ...raft.Message) {
	t.Helper()
	e.Tick(now)
	for _, m := range ms {
		if err := e.Receive(encode(from, 1, 1, m, nil)); err != nil {
			t.Fatal(err)
		}
	}
	e.Output()
}

func (e Event) line() string {
	return fmt.Sprintf("%d %s %s %d term %d: %d..%d of %d, %v", e.Time, e.Direction, e.Kind, e.Peer, e.Term, e.First, e.Last, e.EntryTerm, e.Refused)
}

// A leader of term 1 leaves entries 2 and 3 behind, which the next one replaces.
func TestTheRecorderTellsWhatBecomesOfTheLog(t *testing.T) {
	var lines []string
	e := follower(t, func(e Event) { lines = append(lines, e.line()) })
	turn(t, e, 1, 2, raft.AppendEntries{Term: 1, Entries: []raft.Entry{{Term: 1, Index: 1}, {Term: 1, Index: 2}, {Term: 1, Index: 3}}})
	turn(t, e, 2, 3,
		raft.AppendEntries{Term: 3, PrevIndex: 4, PrevTerm: 2},
		raft.AppendEntries{Term: 3, PrevIndex: 1, PrevTerm: 1, Commit: 2, Entries: []raft.Entry{{Term: 2, Index: 2}, {Term: 3, Index: 3}}})
	want := []string{
		"1 in AppendEntries 2 term 1: 1..3 of 1, false",
		"1 self follower 2 term 1: 0..0 of 0, false",
		"1 self appended 2 term 1: 1..3 of 1, false",
		"1 out AppendReply 2 term 1: 0..3 of 0, false",
		"2 in AppendEntries 3 term 3: 0..4 of 2, false",
		"2 in AppendEntries 3 term 3: 2..3 of 3, false",
		"2 self follower 3 term 3: 0..0 of 0, false",
		"2 self truncated 3 term 3: 2..3 of 0, false",
		"2 self appended 3 term 3: 2..2 of 2, false",
		"2 self appended 3 term 3: 3..3 of 3, false",
		"2 self committed 3 term 3: 1..2 of 0, false",
		"2 out AppendReply 3 term 3: 0..3 of 1, true",
		"2 out AppendReply 3 term 3: 0..3 of 0, false",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if kept := e.flight.Events(); len(kept) != len(want) || kept[len(kept)-1].line() != want[len(want)-1] {
		t.Errorf("kept %d events, want those %d", len(kept), len(want))
	}
}

func TestEveryMessageIsRecordedByItsName(t *testing.T) {
	for _, m := range everyMessage() {
		e := about(group.Out, 9, m)
		if want := strings.TrimPrefix(fmt.Sprintf("%T", m), "raft."); e.Kind.String() != want || e.Peer != 9 || e.Term != 1 {
			t.Errorf("%+v is called %s, want %s in term 1", e, e.Kind, want)
		}
		if described, err := Describe(9, encode(1, 9, 3, m, nil)); err != nil || described != e {
			t.Errorf("%T is described as %+v, %v; want %+v", m, described, err, e)
		}
	}
	if _, err := Describe(9, &messages.RaftMessage{Term: 1}); err == nil {
		t.Error("a message without a body is described")
	}
}

// The recorder costs every message, so it must cost next to nothing.
func TestRecordingAllocatesNothing(t *testing.T) {
	e := follower(t, nil)
	ms := everyMessage()
	out := raft.Output{Changed: true, Entries: []raft.Entry{{Term: 1, Index: 1}, {Term: 2, Index: 2}}}
	if n := testing.AllocsPerRun(100, func() {
		for _, m := range ms {
			e.flight.note(group.In, 1, m)
		}
		e.noteChanges(&out)
	}); n != 0 {
		t.Errorf("%v allocations for %d messages and a save, want none", n, len(ms))
	}
}

func BenchmarkRecording(b *testing.B) {
	e := follower(b, nil)
	var m raft.Message = raft.AppendEntries{Term: 1, PrevIndex: 2, PrevTerm: 1, Commit: 2, Entries: []raft.Entry{{Term: 1, Index: 3}}}
	for b.Loop() {
		e.flight.note(group.In, 1, m)
	}
}
