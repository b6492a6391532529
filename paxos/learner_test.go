package paxos

import (
	"errors"
	"reflect"
	"slices"
	"testing"
)

// Tests of the learner's rules. Each name begins with its rule.

func newTestLearner(t *testing.T, change ...func(*LearnerConfig)) *Learner {
	t.Helper()
	cfg := LearnerConfig{
		ID: 21, Quorums: mustMajority(1, 2, 3), Learners: []ID{21, 22, 23, 24}, Distinguished: []ID{22, 21, 23},
		Proposers: []ID{7, 8}, Timeout: 100, MaxTimeout: 400, MaxValueBytes: 8,
	}
	for _, f := range change {
		f(&cfg)
	}
	l, err := NewLearner(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func scheme(s Scheme) func(*LearnerConfig) { return func(c *LearnerConfig) { c.Scheme = s } }
func learnerID(id ID) func(*LearnerConfig) { return func(c *LearnerConfig) { c.ID = id } }

func TestL1AQuorumOfVotesInOneBallotIsAChoice(t *testing.T) {
	l := newTestLearner(t)
	x := Value("x")
	for _, v := range []struct {
		from   ID
		ballot Ballot
	}{{1, ballot(1, 7)}, {1, ballot(1, 7)}, {4, ballot(1, 7)}, {2, ballot(2, 7)}, {3, ballot(1, 8)}} {
		if out := l.Step(v.from, Accepted{v.ballot, x}); out.Chosen != nil {
			t.Fatalf("the vote of %d in %v completes a quorum", v.from, v.ballot)
		}
	}
	out := l.Step(3, Accepted{ballot(2, 7), x})
	if out.Chosen == nil || !out.Chosen.same(Vote{ballot(2, 7), x}) {
		t.Errorf("chosen %v, want x in 2.7 by 2 and 3", out.Chosen)
	}
}

func TestL1AnOlderVoteDoesNotReplaceANewerOne(t *testing.T) {
	l := newTestLearner(t)
	l.Step(1, Accepted{ballot(2, 7), Value("x")})
	l.Step(1, Accepted{ballot(1, 8), Value("y")})
	if out := l.Step(2, Accepted{ballot(1, 8), Value("y")}); out.Chosen != nil {
		t.Fatalf("chosen %v: 1 has moved on when 2 voted, as far as is known", out.Chosen)
	}
	if out := l.Step(2, Accepted{ballot(2, 7), Value("x")}); out.Chosen == nil {
		t.Error("1 and 2 have voted in 2.7, and nothing is chosen")
	}
}

func TestL1TwoValuesUnderOneBallotAreReportedAndDoNotCount(t *testing.T) {
	l := newTestLearner(t)
	l.Step(1, Accepted{ballot(1, 7), Value("x")})
	out := l.Step(2, Accepted{ballot(1, 7), Value("y")})
	if out.Chosen != nil || !reflect.DeepEqual(out.Alarms, []Alarm{{TwoValues, 2, ballot(1, 7)}}) {
		t.Errorf("%+v, want an alarm", out)
	}
}

func TestL2AcceptorsTellWhomTheSchemeNames(t *testing.T) {
	for s, want := range map[Scheme][]ID{AllLearners: {7, 21, 22, 23}, OneLearner: {7, 22}, SomeLearners: {7, 22, 23}} {
		a, err := NewAcceptor(AcceptorConfig{ID: 1, Scheme: s, Learners: []ID{21, 22, 23}, Distinguished: []ID{22, 23}}, AcceptorState{})
		if err != nil {
			t.Fatal(err)
		}
		if to := receivers[Accepted](a.Step(7, Accept{ballot(1, 7), Value("x")})); !slices.Equal(to, want) {
			t.Errorf("%v: tells %v, want the proposer and then %v", s, to, want[1:])
		}
	}
}

func TestL2AProposerThatIsALearnerIsToldOnce(t *testing.T) {
	a, err := NewAcceptor(AcceptorConfig{ID: 1, Learners: []ID{6, 7}}, AcceptorState{})
	if err != nil {
		t.Fatal(err)
	}
	if to := receivers[Accepted](a.Step(7, Accept{ballot(1, 7), Value("x")})); !slices.Equal(to, []ID{7, 6}) {
		t.Errorf("tells %v, want 7 and 6", to)
	}
}

func TestL2DistinguishedLearnersTellTheOthers(t *testing.T) {
	for _, c := range []struct {
		scheme Scheme
		id     ID
		want   []ID
	}{
		{AllLearners, 21, nil}, {OneLearner, 22, []ID{21, 23, 24}}, {SomeLearners, 21, []ID{22, 23, 24}},
		{SomeLearners, 24, nil}, {OneLearner, 24, nil},
	} {
		l := newTestLearner(t, scheme(c.scheme), learnerID(c.id))
		l.Step(1, Accepted{ballot(1, 7), Value("x")})
		out := l.Step(3, Accepted{ballot(1, 7), Value("x")})
		if to := receivers[Chosen](out); !slices.Equal(to, c.want) || out.Chosen == nil {
			t.Errorf("%v: %d tells %v, want %v", c.scheme, c.id, to, c.want)
		}
	}
}

// Who heard of too few votes asks, and may be the only one who ever does: the others have heard of none.
func TestL2WhatADistinguishedLearnerIsToldByAnAcceptorItTells(t *testing.T) {
	for s, want := range map[Scheme][]ID{AllLearners: nil, OneLearner: {22, 23, 24}, SomeLearners: {22, 23, 24}} {
		l := newTestLearner(t, scheme(s))
		l.Step(1, Accepted{ballot(1, 7), Value("x")})
		if to := receivers[Chosen](l.Step(2, Chosen{ballot(1, 7), Value("x")})); !slices.Equal(to, want) {
			t.Errorf("%v: tells %v, want %v", s, to, want)
		}
		l = newTestLearner(t, scheme(s))
		if to := receivers[Chosen](l.Step(22, Chosen{ballot(1, 7), Value("x")})); len(to) > 0 {
			t.Errorf("%v: tells %v what a distinguished learner has told all", s, to)
		}
		l = newTestLearner(t, scheme(s), learnerID(24))
		if to := receivers[Chosen](l.Step(2, Chosen{ballot(1, 7), Value("x")})); len(to) > 0 {
			t.Errorf("%v: one that is not distinguished tells %v", s, to)
		}
	}
}

func TestL2ChosenAgainChangesNothing(t *testing.T) {
	l := newTestLearner(t, scheme(SomeLearners))
	if out := l.Step(22, Chosen{ballot(1, 7), Value("x")}); out.Chosen == nil || len(out.Send) > 0 {
		t.Fatalf("%+v, want it learned and not passed on", out)
	}
	for _, m := range []Message{Chosen{ballot(1, 7), Value("x")}, Chosen{ballot(2, 8), Value("x")}, Accepted{ballot(1, 7), Value("x")}} {
		if out := l.Step(1, m); !reflect.DeepEqual(out, Output{}) {
			t.Errorf("%s: %+v, want nothing", showMessage(m), out)
		}
	}
	out := l.Step(23, Chosen{ballot(3, 8), Value("y")})
	if v, _ := l.Chosen(); len(out.Alarms) != 1 || out.Alarms[0].Kind != TwoChosen || string(v) != "x" {
		t.Errorf("%+v, chosen %q; want an alarm and x", out, v)
	}
}

func TestL3ChosenWithoutAValueNeedsAVoteInExactlyThatBallot(t *testing.T) {
	l := newTestLearner(t)
	l.Step(1, Accepted{ballot(1, 7), Value("x")})
	for _, b := range []Ballot{ballot(2, 7), ballot(1, 8)} {
		out := l.Step(9, Chosen{Ballot: b})
		if only[Ask](t, out, 9); out.Chosen != nil {
			t.Errorf("takes the value of 1.7 for the one chosen in %v", b)
		}
	}
	if out := l.Step(9, Chosen{Ballot: ballot(1, 7)}); out.Chosen == nil || string(out.Chosen.Value) != "x" {
		t.Errorf("%+v, want x learned", out)
	}
}

func TestL3AnAcceptorTakesItsOwnVoteOfExactlyThatBallot(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{ballot(2, 7), Vote{ballot(1, 7), Value("x")}})
	if out := a.Step(9, Chosen{Ballot: ballot(2, 7)}); out.Chosen != nil {
		t.Errorf("takes its vote of 1.7 for the value chosen in 2.7")
	}
	if out := a.Step(9, Chosen{Ballot: ballot(1, 7)}); out.Chosen == nil {
		t.Error("does not take its own vote")
	}
}

func TestL3AProposerTakesTheValueOfItsOwnBallotOrAsks(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	d.promises()
	only[Ask](t, d.step(22, Chosen{Ballot: ballot(2, 9)}), 22)
	mustResult(t, d.step(22, Chosen{Ballot: d.ballot}), Result{ChosenValue, Value("x")})
	only[Chosen](t, d.step(23, Ask{}), 23)
}

// The order is the same for all learners: first the distinguished ones in the
// order of the configuration, then all acceptors, then one proposer.
func TestL4ALearnerThatWaitsAsksTheNextWhoMayKnow(t *testing.T) {
	l := newTestLearner(t, scheme(SomeLearners))
	l.Step(1, Accepted{ballot(1, 7), Value("x")})
	var asked [][]ID
	var waits []Time
	for now := l.Deadline(); len(asked) < 9; now = l.Deadline() {
		out := l.Tick(now)
		asked = append(asked, slices.Concat(receivers[Ask](out), receivers[Finish](out)))
		waits = append(waits, l.Deadline()-now)
	}
	want := [][]ID{{22}, {23}, {1, 2, 3}, {7}, {22}, {23}, {1, 2, 3}, {8}, {22}}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("asks %v, want %v", asked, want)
	}
	if want := []Time{100, 100, 100, 100, 200, 200, 200, 200, 400}; !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
}

func TestL4NobodyIsAskedToFinishARoundThatHasNotBegun(t *testing.T) {
	l := newTestLearner(t)
	for range 6 {
		if out := l.Tick(l.Deadline()); len(receivers[Finish](out)) > 0 {
			t.Fatalf("asks %v although no vote was seen", receivers[Finish](out))
		}
	}
}

func TestL4WhoKnowsAnswers(t *testing.T) {
	l := newTestLearner(t)
	if out := l.Step(24, Ask{}); len(out.Send) > 0 {
		t.Errorf("answers %v and knows nothing", out.Send)
	}
	l.Step(22, Chosen{ballot(1, 7), Value("x")})
	if m := only[Chosen](t, l.Step(24, Ask{}), 24); string(m.Value) != "x" {
		t.Errorf("answers %+v", m)
	}
	if l.Deadline() != never || len(l.Tick(1<<50).Send) > 0 {
		t.Error("still asks")
	}
}

func TestL4AcceptorsTellTheirVotesWhenAsked(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{ballot(2, 7), Vote{ballot(1, 7), Value("x")}})
	if m := only[Accepted](t, a.Step(24, Ask{}), 24); m.Ballot != ballot(1, 7) || string(m.Value) != "x" {
		t.Errorf("answers %+v, want its vote in 1.7", m)
	}
	if m := only[Accepted](t, newTestAcceptor(t, AcceptorState{}).Step(24, Ask{}), 24); !m.Ballot.IsZero() {
		t.Errorf("answers %+v and has not voted", m)
	}
}

func TestL4AProposerFinishesTheRoundOfAnother(t *testing.T) {
	d := newDesk(t, func(c *ProposerConfig) { c.Round = 5 })
	if out := d.step(24, Finish{}); len(receivers[Prepare](out)) != 3 {
		t.Fatalf("sends %v, want Prepare", out.Send)
	}
	d.step(1, Promise{d.ballot, ballot(1, 9), Value("y")})
	d.step(2, Promise{Ballot: d.ballot})
	d.step(1, Accepted{d.ballot, Value("y")})
	out := d.step(2, Accepted{d.ballot, Value("y")})
	if to := receivers[Chosen](out); !slices.Contains(to, 24) || out.Result != nil {
		t.Errorf("tells %v, result %v; want 24 told", to, out.Result)
	}
}

func TestL4AProposerThatFinishesForOthersDoesNotDuel(t *testing.T) {
	d := newDesk(t)
	d.step(24, Finish{})
	d.step(1, Nack{Ballot: d.ballot, Promised: ballot(2, 9)})
	d.step(2, Nack{Ballot: d.ballot, Promised: ballot(2, 9)})
	if d.Deadline() != never {
		t.Errorf("tries again at %d; whoever has outbid it will finish", d.Deadline())
	}
	if to := receivers[Chosen](d.step(9, Chosen{ballot(2, 9), Value("x")})); !slices.Equal(to, []ID{24}) {
		t.Errorf("tells %v, want 24 told nevertheless", to)
	}
}

func TestL5AReadOfAnUndecidedDecreeRunsARound(t *testing.T) {
	d := newDesk(t)
	out, err := d.Finish(0)
	if err != nil || len(receivers[Prepare](out)) != 3 {
		t.Fatalf("sends %v, error %v; want Prepare", out.Send, err)
	}
	mustResult(t, d.promises(), Result{Fate: Undecided})
}

func TestL5AReadThatMeetsAVoteCompletesItBeforeItAnswers(t *testing.T) {
	d := newDesk(t, func(c *ProposerConfig) { c.Round = 5 })
	if _, err := d.Finish(0); err != nil {
		t.Fatal(err)
	}
	d.step(1, Promise{Ballot: d.ballot})
	out := d.step(2, Promise{d.ballot, ballot(1, 9), Value("y")})
	if m := sent[Accept](t, out); string(m.Value) != "y" || out.Result != nil {
		t.Fatalf("asks for %q, result %v; want y and none yet", m.Value, out.Result)
	}
	d.step(3, Accepted{d.ballot, Value("y")})
	mustResult(t, d.step(2, Accepted{d.ballot, Value("y")}), Result{ChosenValue, Value("y")})
}

// Promises that are older than the call know nothing of what was chosen between.
func TestL5AReadIsAnsweredByPromisesMadeAfterIt(t *testing.T) {
	d := newDesk(t)
	d.step(24, Finish{})
	d.step(1, Promise{Ballot: d.ballot})
	if _, err := d.Finish(0); err != nil {
		t.Fatal(err)
	}
	out := d.step(2, Promise{Ballot: d.ballot})
	if len(receivers[Prepare](out)) != 3 || out.Result != nil || d.ballot != ballot(2, 7) {
		t.Fatalf("sends %v, result %v; want Prepare 2.7", out.Send, out.Result)
	}
	mustResult(t, d.promises(), Result{Fate: Undecided})
}

func TestL6ALearnerGoesOnFromWhatItHadSaved(t *testing.T) {
	l := newTestLearner(t, func(c *LearnerConfig) { c.Chosen = Vote{ballot(1, 7), Value("x")} })
	if v, ok := l.Chosen(); !ok || string(v) != "x" || l.Deadline() != never {
		t.Errorf("chosen %q %v, deadline %d; want x and nothing to ask", v, ok, l.Deadline())
	}
	if m := only[Chosen](t, l.Step(24, Ask{}), 24); string(m.Value) != "x" {
		t.Errorf("answers %+v", m)
	}
}

func TestLearnerConfigurationsThatCannotBeAreRefused(t *testing.T) {
	for field, change := range map[string]func(*LearnerConfig){
		"ID":            func(c *LearnerConfig) { c.ID = None },
		"Quorums":       func(c *LearnerConfig) { c.Quorums = Quorums{} },
		"Timeout":       func(c *LearnerConfig) { c.MaxTimeout = 1 },
		"MaxValueBytes": func(c *LearnerConfig) { c.MaxValueBytes = -1 },
		"Chosen":        func(c *LearnerConfig) { c.Chosen = Vote{Ballot: ballot(1, 7)} },
		"Scheme":        func(c *LearnerConfig) { c.Scheme = 9 },
		"Learners":      func(c *LearnerConfig) { c.Learners = []ID{None} },
		"Distinguished": func(c *LearnerConfig) { c.Scheme, c.Distinguished = OneLearner, nil },
	} {
		cfg := LearnerConfig{ID: 21, Quorums: mustMajority(1), Learners: []ID{21}, Distinguished: []ID{21}}
		change(&cfg)
		var broken *ConfigError
		if _, err := NewLearner(cfg, 0); !errors.As(err, &broken) || broken.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
