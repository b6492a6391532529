package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
)

// TestDemoRaftAsJSON: each line is one object of the three that docs/cli.md tells of, and
// what the acts are about is among the events. Nothing is left behind.
func TestDemoRaftAsJSON(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three processes")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	temp := t.TempDir()
	cmd := self(t, ctx, "demo", "raft", "--output", "json")
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, lastLines(string(out), 40))
	}
	acts, events, beats, result := 0, raftEvents{}, 0, storyResult{}
	for text := range strings.Lines(string(out)) {
		var line struct {
			Act     int
			Event   *raftEvent
			Verdict *playedAct
			Result  *storyResult
		}
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&line); err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		switch {
		case line.Event != nil:
			events = append(events, *line.Event)
		case line.Verdict != nil && line.Verdict.OK && line.Verdict.Seen != "" && len(line.Verdict.Rules) > 0:
			acts++
			beats += len(line.Verdict.Heartbeats)
		case line.Result != nil:
			result = *line.Result
		default:
			t.Errorf("line %q tells of nothing", text)
		}
	}
	if !result.Pass || result.Acts != acts || acts != 8 || beats == 0 {
		t.Errorf("%d acts before %+v, want 8, all passed, with heartbeats counted", acts, result)
	}
	split := events.received("Vote").refused(true)
	if len(split.ofTerm(split.last().Term).names()) != 2 || len(events.own("truncated")) == 0 || len(events.own("leader")) < 4 {
		t.Errorf("refused votes %v, truncated %v: want a split vote and a log put right", split, events.own("truncated"))
	}
	for _, e := range events {
		if e.isHeartbeat() || e.Name == "" || e.Term == 0 && e.Direction == "out" {
			t.Errorf("event %+v: want a name, a term, and no heartbeat", e)
		}
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestEveryRuleOfTheRaftDemoHasASentence(t *testing.T) {
	used := map[string]bool{}
	for _, a := range (&trio{}).acts() {
		for _, rule := range a.rules {
			used[rule] = true
			if raftRules[rule] == "" {
				t.Errorf("%s shows rule %s, of which nothing is said", a.title, rule)
			}
		}
	}
	for rule := range raftRules {
		if !used[rule] {
			t.Errorf("no act shows rule %s", rule)
		}
	}
}

// raftTime is when the events of these tests begin.
var raftTime = time.Unix(1000, 0)

func event1(ms int, name, direction, kind, peer string, term, first, last, entryTerm uint64) raftEvent {
	return raftEvent{name, api.FlightEvent{Time: raftTime.Add(time.Duration(ms) * time.Millisecond), Direction: direction, Kind: kind,
		PeerName: peer, Term: term, First: first, Last: last, EntryTerm: entryTerm}}
}

func refusing(e raftEvent) raftEvent {
	e.Refused = true
	return e
}

func TestARefusedVoteHasItsReason(t *testing.T) {
	voter := raftEvents{
		event1(0, "n2", "in", "AppendEntries", "n1", 3, 1, 5, 3),
		event1(0, "n2", "self", "appended", "n1", 3, 1, 5, 3),
	}
	asks := func(kind string, term, last, entryTerm uint64) raftEvent {
		return event1(1000, "n2", "in", kind, "n3", term, 0, last, entryTerm)
	}
	says := func(kind string, ms int, term uint64) raftEvent {
		return refusing(event1(ms, "n2", "out", kind, "n3", term, 0, 0, 0))
	}
	for _, c := range []struct {
		events raftEvents
		want   string
	}{
		{raftEvents{asks("RequestVote", 3, 9, 3), says("Vote", 1000, 4)}, "I am in term 4"},
		{raftEvents{asks("PreVote", 3, 9, 3), says("PreVoteReply", 1000, 3)}, "I am in term 3"},
		{raftEvents{event1(900, "n2", "self", "candidate", "", 4, 0, 0, 0), asks("RequestVote", 4, 9, 3), says("Vote", 1000, 4)}, "I have voted for myself"},
		{raftEvents{event1(900, "n2", "out", "Vote", "n1", 4, 0, 0, 0), asks("RequestVote", 4, 9, 3), says("Vote", 1000, 4)}, "I have voted for n1"},
		{raftEvents{asks("PreVote", 4, 4, 3), says("PreVoteReply", 1000, 3)}, "my log ends at 5 of term 3"},
		{raftEvents{asks("PreVote", 4, 9, 2), says("PreVoteReply", 1000, 3)}, "my log ends at 5 of term 3"},
		{raftEvents{asks("PreVote", 4, 5, 3), says("PreVoteReply", 90, 3)}, "I heard n1 90 ms ago"},
		{raftEvents{asks("PreVote", 4, 5, 3), says("PreVoteReply", 1000, 3)}, "not now"},
	} {
		view := newRaftView()
		for _, e := range append(voter[:2:2], c.events...) {
			view.learn(e)
		}
		if got := view.why(c.events.last()); got != c.want {
			t.Errorf("%v: %q, want %q", c.events, got, c.want)
		}
	}
}

func TestRaftEventsAreLinesOfEightyColumns(t *testing.T) {
	var out bytes.Buffer
	l := &raftLines{out: &out, began: raftTime, seen: newRaftView()}
	for _, e := range []raftEvent{
		event1(1, "n1", "self", "leader", "n1", 2, 0, 0, 0),
		event1(1, "n1", "out", "Heartbeat", "n2", 2, 0, 3, 0),
		event1(2, "n1", "self", "leader", "n1", 2, 0, 0, 0), // only the configuration is another one
		event1(3, "n1", "out", "AppendEntries", "n2", 2, 4, 5, 2),
		event1(4, "n2", "in", "AppendEntries", "n1", 2, 4, 5, 2),
		event1(4, "n1", "out", "AppendEntries", "n3", 2, 4, 5, 2),
		refusing(event1(5, "n2", "out", "AppendReply", "n1", 2, 0, 123456789012, 12345678901234)),
		event1(6, "n2", "self", "truncated", "n1", 2, 4, 4, 0),
	} {
		l.add(e)
	}
	for range 3 {
		l.flush()
		l.add(event1(100, "n3", "out", "PreVote", "n1", 3, 0, 3, 1))
	}
	l.add(event1(200, "n3", "out", "PreVote", "n1", 3, 0, 3, 1)) // for the fourth time
	l.flush()
	want := `  0.001  n1  leader         term 2
  0.003  n1  AppendEntries  term 2   to n2 n3: entries 4..5 of term 2
  0.005  n2  AppendReply    term 2   to n1: no, equal up to 123456789012 of term
  0.006  n2  truncated      term 2   entry 4 dropped
  0.100  n3  PreVote        term 3   to n1: my log ends at 3 of term 1
  0.100  n3  PreVote        term 3   to n1: my log ends at 3 of term 1
`
	if out.String() != want {
		t.Errorf("lines\n%s\nwant\n%s", out.String(), want)
	}
	if beats := l.heartbeats(); beats["n1"] != 1 || l.heartbeats() != nil {
		t.Errorf("heartbeats %v, want one of n1, counted once", beats)
	}
}

// What the acts are about is found if it is not so.
func TestTheJudgementFindsWhatFigure3Forbids(t *testing.T) {
	leads := func(name string, term uint64) raftEvent {
		return event1(0, name, "self", "leader", name, term, 0, 0, 0)
	}
	votes := func(name, to string, term uint64) raftEvent { return event1(0, name, "out", "Vote", to, term, 0, 0, 0) }
	has := func(name string, term uint64) raftEvent {
		return event1(0, name, "self", "appended", "n1", term, 1, 3, term)
	}
	commits := func(name string) raftEvent { return event1(0, name, "self", "committed", "n1", 3, 1, 2, 0) }
	answers := event1(0, "n1", "in", "AppendReply", "n2", 2, 0, 3, 0)
	judge := func(s raftEvents) error {
		if _, _, err := elections(s); err != nil {
			return err
		}
		_, err := committedTerms(s)
		return err
	}
	before := func(s raftEvents) error { return s.answeredBeforeCommitted(2) }
	for _, c := range []struct {
		what   string
		judge  func(raftEvents) error
		events raftEvents
		want   string
	}{
		{"all well", judge, raftEvents{leads("n1", 1), leads("n1", 1), leads("n2", 2), votes("n3", "n1", 1), votes("n3", "n2", 2), has("n1", 2), has("n2", 2), commits("n1"), commits("n2")}, ""},
		{"two leaders", judge, raftEvents{leads("n1", 1), leads("n2", 1)}, "term 1 is led by n1 and n2"},
		{"two votes", judge, raftEvents{votes("n3", "n1", 1), votes("n3", "n2", 1)}, "n3 in term 1 went to n1 and n2"},
		{"a vote of a candidate", judge, raftEvents{event1(0, "n3", "self", "candidate", "", 1, 0, 0, 0), votes("n3", "n2", 1)}, "went to n3 and n2"},
		{"a leader truncates", judge, raftEvents{event1(0, "n1", "self", "truncated", "n1", 2, 3, 4, 0)}, "n1 leads term 2 and drops entries"},
		{"two terms", judge, raftEvents{has("n1", 2), commits("n1"), has("n2", 3), commits("n2")}, "entry 1 is of term 2, at n2 of term 3"},
		{"a majority first", before, raftEvents{answers, commits("n1")}, ""},
		{"too early", before, raftEvents{commits("n1"), answers}, "n1 committed 2 before a follower had it"},
		{"never", before, raftEvents{answers}, "entry 2 was not committed"},
	} {
		err := c.judge(c.events)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

// What is restored from a snapshot is what was applied.
func TestTheDemosListSurvivesASnapshot(t *testing.T) {
	list := &commandList{}
	list.Apply(3, 0, []byte("x=1"))
	picture, err := list.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	list.Apply(4, 0, []byte("x=2"))
	var file bytes.Buffer
	if _, err := picture.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	if err := list.Restore(&file); err != nil || len(list.commands) != 1 || list.commands[0] != (listCommand{3, "x=1"}) {
		t.Errorf("restored %v, %v; want x=1 at 3", list.commands, err)
	}
}
