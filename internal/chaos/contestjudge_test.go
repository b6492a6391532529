package chaos

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
)

// contestScript builds the history of a contest line by line.
type contestScript struct {
	ContestHistory
	at time.Duration
}

func newContestScript() *contestScript {
	return &contestScript{ContestHistory: ContestHistory{
		Queue: contestQueue, Target: contestTarget, Begin: contestMarker + "1", End: contestMarker + "2",
		Watchers: []string{"w1", "w2"}, Leaders: []string{"o"},
	}}
}

// say adds a line, a millisecond after the last one.
func (s *contestScript) say(said Said) *Record {
	s.at += time.Millisecond
	if said.At == 0 {
		said.At = s.at
	}
	s.Records = append(s.Records, Record{Said: said, Heard: s.at})
	return &s.Records[len(s.Records)-1]
}

func (s *contestScript) change(index uint64, kind, path, value string) {
	for _, who := range s.Watchers {
		s.say(Said{Who: who, Kind: SaidChange, Change: &api.Change{Kind: kind, Path: "/" + path, Value: []byte(value), Index: index}})
	}
}

func (s *contestScript) act(who string, token uint64, admitted bool) *Record {
	r := s.say(Said{Who: who, Kind: SaidActs, Token: token})
	r.Admitted = admitted
	return r
}

func (s *contestScript) commit(who string, token, index uint64, n int) {
	value := fmt.Sprintf("%d %s %d", token, who, n)
	s.change(index, "changed", contestTarget, value)
	s.say(Said{Who: who, Kind: SaidCommits, Token: token, Index: index, Value: value, Outcome: Done})
}

func contestKey(number int) string { return fmt.Sprintf("%s/%010d", contestQueue, number) }

// soundContest is a contest without a fault: a holds, acts, commits and gives the
// lock back, and b after it.
func soundContest() *contestScript {
	s := newContestScript()
	s.change(5, "created", s.Begin, "m")
	s.change(10, "created", contestKey(0), "a")
	s.say(Said{Who: "o", Kind: SaidLeader, Token: 10})
	s.say(Said{Who: "a", Kind: SaidHolds, Token: 10, Key: contestKey(0)})
	s.change(11, "created", contestKey(1), "b")
	s.act("a", 10, true)
	s.commit("a", 10, 15, 0)
	s.say(Said{Who: "a", Kind: SaidReleases, Token: 10})
	s.change(16, "deleted", contestKey(0), "")
	s.say(Said{Who: "o", Kind: SaidLeader, Token: 11})
	s.say(Said{Who: "b", Kind: SaidHolds, Token: 11, Key: contestKey(1)})
	s.act("b", 11, true)
	s.commit("b", 11, 17, 0)
	s.say(Said{Who: "b", Kind: SaidReleases, Token: 11})
	s.change(18, "deleted", contestKey(1), "")
	return s
}

func (s *contestScript) judge() ([]string, Leniency) {
	s.change(1000, "created", s.End, "m")
	return JudgeContest(s.ContestHistory)
}

func TestASoundContestIsBlameless(t *testing.T) {
	if violations, leniency := soundContest().judge(); len(violations) > 0 || leniency != (Leniency{}) {
		t.Fatalf("%+v, %q", leniency, violations)
	}
}

// Each is one thing that must never happen in a contest, or that must not be told.
func TestWhatIsWrongInAContestIsSeen(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*contestScript)
		want  string
	}{
		"a stale holder acts": {func(s *contestScript) { s.say(Said{Who: "a", Kind: SaidLate, Token: 10}).Admitted = true },
			"a acted with token 10 after an action with token 11"},
		"a rightful holder is refused": {func(s *contestScript) { s.act("b", 11, false) }, "b was refused with token 11"},
		"one token of two":             {func(s *contestScript) { s.act("a", 11, true) }, "token 11 is held by b and by a"},
		"two believe to hold": {func(s *contestScript) { s.act("a", 10, false) },
			"a believed (acts) to hold token 10"},
		"a belief outlives the pause": {func(s *contestScript) {
			s.Harms = append(s.Harms, Harm{Kind: PauseHolder, Who: "a", From: s.at, To: s.at + time.Millisecond})
			s.at += wakeGrace + 10*time.Millisecond
			s.act("a", 10, false)
		}, "a believed (acts) to hold token 10"},
		"an earlier time without a processor excuses nothing": {func(s *contestScript) {
			s.say(Said{Who: "a", Kind: SaidStood, From: s.at - time.Second})
			s.at += 2 * stoodExcuse
			s.act("a", 10, false)
		}, "a believed (acts) to hold token 10"},
		"a cut excuses no belief": {func(s *contestScript) {
			s.Harms = append(s.Harms, Harm{Kind: CutHolder, Who: "a", From: s.at, To: s.at + time.Second})
			s.act("a", 10, false)
		}, "a believed (acts) to hold token 10"},
		"a transaction of a stale holder": {func(s *contestScript) { s.commit("a", 10, 19, 1) }, `"10 a 1" was written at index 19, when 0 held`},
		"a transaction of a waiter": {func(s *contestScript) {
			s.change(20, "created", contestKey(2), "a")
			s.say(Said{Who: "o", Kind: SaidLeader, Token: 20})
			s.change(21, "created", contestKey(3), "b")
			s.commit("b", 21, 22, 0)
		}, `"21 b 0" was written at index 22, when 20 held`},
		"a transaction twice": {func(s *contestScript) {
			s.change(20, "created", contestKey(2), "a")
			s.say(Said{Who: "o", Kind: SaidLeader, Token: 20})
			s.commit("a", 20, 21, 0)
			s.change(22, "changed", contestTarget, "20 a 0")
		}, `"20 a 0" was written at index 21 and at 22`},
		"an acknowledged transaction is missing": {func(s *contestScript) {
			s.say(Said{Who: "b", Kind: SaidCommits, Token: 11, Index: 30, Value: "11 b 9", Outcome: Done, At: s.at - 10*time.Millisecond})
		}, `"11 b 9" was acknowledged at index 30 and stands at 0`},
		"a refused transaction took effect": {func(s *contestScript) {
			s.say(Said{Who: "b", Kind: SaidCommits, Token: 11, Value: "11 b 0", Outcome: Refused})
		}, `"11 b 0" was refused and stands at 17`},
		"a token that is no index": {func(s *contestScript) { s.say(Said{Who: "a", Kind: SaidHolds, Token: 12, Key: contestKey(1)}) },
			"a holds token 12, at which nothing was created"},
		"a token of another's key": {func(s *contestScript) { s.say(Said{Who: "c", Kind: SaidHolds, Token: 11, Key: contestKey(1)}) },
			"c holds contest/queue/0000000001 with token 11"},
		"let in before its turn": {func(s *contestScript) {
			s.change(20, "created", contestKey(2), "a")
			s.say(Said{Who: "o", Kind: SaidLeader, Token: 20})
			s.change(21, "created", contestKey(3), "b")
			s.say(Said{Who: "b", Kind: SaidHolds, Token: 21, Key: contestKey(3)})
			s.change(22, "deleted", contestKey(3), "")
		}, "b held token 21, which was never the first"},
		"let in between two changes of one index": {func(s *contestScript) {
			s.change(20, "created", contestKey(2), "a")
			s.say(Said{Who: "o", Kind: SaidLeader, Token: 20})
			s.change(21, "created", contestKey(3), "b")
			s.change(22, "deleted", contestKey(2), "")
			s.say(Said{Who: "b", Kind: SaidHolds, Token: 21, Key: contestKey(3)})
			s.change(22, "deleted", contestKey(3), "")
		}, "b held token 21, which was never the first"},
		"a watcher misses a change": {func(s *contestScript) {
			s.say(Said{Who: "w1", Kind: SaidChange, Change: &api.Change{Kind: "changed", Path: "/x", Index: 40}})
		}, "w1 and w2 were told different changes: change 7 is 40 changed /x"},
		"a watcher is told twice": {func(s *contestScript) {
			s.say(Said{Who: "w2", Kind: SaidChange, Change: &api.Change{Kind: "deleted", Path: "/" + contestKey(1), Index: 18}})
		}, "w2 was told 18 deleted"},
		"a watcher is told too late": {func(s *contestScript) {
			for _, who := range s.Watchers {
				s.say(Said{Who: who, Kind: SaidChange, Change: &api.Change{Kind: "changed", Path: "/x", Index: 3}})
			}
		}, "w1 was told 3 changed /x"},
		"a watcher stops watching": {func(s *contestScript) {
			s.Records = slices.DeleteFunc(s.Records, func(r Record) bool { return r.Who == "w2" && r.Kind == SaidChange && r.Change.Index == 5 })
		}, "w2 was not told of both markers"},
		"no leader is observed": {func(s *contestScript) {
			s.Records = slices.DeleteFunc(s.Records, func(r Record) bool { return r.Kind == SaidLeader })
		}, "o was not told that 10 leads"},
		"a leader is not observed, long after a node was harmed": {func(s *contestScript) {
			s.Nodes = append(s.Nodes, Harm{Kind: PauseLeader, From: -time.Minute, To: -watchSilence})
			s.Records = slices.DeleteFunc(s.Records, func(r Record) bool { return r.Kind == SaidLeader && r.Token == 10 })
		}, "o was not told that 10 leads"},
		"a leader is observed twice": {func(s *contestScript) { s.say(Said{Who: "o", Kind: SaidLeader, Token: 10}) },
			"o was told that 10 leads, which does not come behind 2 in [10 11]"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			s := soundContest()
			c.spoil(s)
			violations, _ := s.judge()
			if !slices.ContainsFunc(violations, func(v string) bool { return strings.Contains(v, c.want) }) {
				t.Fatalf("want %q, got %q", c.want, violations)
			}
		})
	}
}

// Who stood still believes what was true before; nobody can help that. The guarded
// store refuses it.
func TestABeliefAfterAPauseIsExcused(t *testing.T) {
	for _, stood := range []string{"stopped", "without a processor"} {
		s := soundContest()
		from := s.at
		s.at += time.Second
		if stood == "stopped" {
			s.Harms = append(s.Harms, Harm{Kind: PauseHolder, Who: "a", From: from, To: s.at})
		} else {
			s.say(Said{Who: "a", Kind: SaidStood, From: from})
		}
		s.act("a", 10, false)
		if violations, leniency := s.judge(); len(violations) > 0 || leniency != (Leniency{Excused: 1}) {
			t.Errorf("%s: %+v, %q", stood, leniency, violations)
		}
	}
}
