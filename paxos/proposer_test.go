package paxos

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
)

// Tests of the proposer's rules. Each name begins with its rule.

// desk is a proposer with ID 7 of acceptors 1 to 3, and its clock.
type desk struct {
	*Proposer
	t   *testing.T
	now Time
}

func newDesk(t *testing.T, change ...func(*ProposerConfig)) *desk {
	t.Helper()
	cfg := ProposerConfig{ID: 7, Quorums: mustMajority(1, 2, 3), MaxValueBytes: 8}
	for _, f := range change {
		f(&cfg)
	}
	p, err := NewProposer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &desk{p, t, 0}
}

func (d *desk) propose(v string) Output {
	d.t.Helper()
	out, err := d.Propose(d.now, Value(v))
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *desk) step(from ID, m Message) Output { return d.Step(d.now, from, m) }

// wait lets time pass until the deadline.
func (d *desk) wait() Output {
	d.now = d.Deadline()
	return d.Tick(d.now)
}

// promises lets acceptors 1 and 2 promise the present ballot without votes.
func (d *desk) promises() Output {
	d.step(1, Promise{Ballot: d.ballot})
	return d.step(2, Promise{Ballot: d.ballot})
}

// receivers returns whom out sends a message of type M.
func receivers[M Message](out Output) (to []ID) {
	for _, e := range out.Send {
		if _, ok := e.Message.(M); ok {
			to = append(to, e.To)
		}
	}
	return to
}

// sent returns the first message of type M in out.
func sent[M Message](t *testing.T, out Output) (m M) {
	t.Helper()
	for _, e := range out.Send {
		if m, ok := e.Message.(M); ok {
			return m
		}
	}
	t.Fatalf("sends %v, want a %T", out.Send, m)
	return m
}

func mustResult(t *testing.T, out Output, want Result) {
	t.Helper()
	if out.Result == nil || !reflect.DeepEqual(*out.Result, want) {
		t.Errorf("result %v, want %v %q", out.Result, want.Fate, want.Value)
	}
}

func TestP1NoTwoAttemptsHaveOneBallot(t *testing.T) {
	used := map[Ballot]bool{}
	saved := uint64(0)
	for life := range 5 {
		d := newDesk(t, func(c *ProposerConfig) { c.Round, c.ReserveRounds = saved, 4 })
		out := d.propose("x")
		for attempt := range 10 {
			b := sent[Prepare](t, out).Ballot
			if used[b] {
				t.Fatalf("life %d, attempt %d: ballot %v again", life, attempt, b)
			}
			used[b] = true
			saved = max(saved, out.SaveRound)
			if b.Round > saved {
				t.Fatalf("Prepare %v leaves while round %d is saved", b, saved)
			}
			d.step(1, Nack{Ballot: b, Promised: ballot(b.Round, 9)})
			d.step(2, Nack{Ballot: b, Promised: ballot(b.Round, 9)})
			out = d.wait()
		}
	}
}

func TestP2TheRoundIsReservedWithTheFirstPrepareAndThenInBlocks(t *testing.T) {
	d := newDesk(t, func(c *ProposerConfig) { c.Round, c.ReserveRounds = 100, 8 })
	out := d.propose("x")
	if b := sent[Prepare](t, out).Ballot; out.SaveRound != 108 || b != ballot(101, 7) {
		t.Errorf("prepares %v and saves %d, want 101 and 108", b, out.SaveRound)
	}
	d.step(1, Nack{Ballot: d.ballot, Promised: ballot(104, 9)})
	d.step(2, Nack{Ballot: d.ballot, Promised: ballot(103, 9)})
	if out = d.wait(); out.SaveRound != 0 || d.ballot.Round != 105 {
		t.Errorf("round %d, saves %d; want 105, which is reserved", d.ballot.Round, out.SaveRound)
	}
}

func TestP8OthersForwardToTheDistinguishedProposer(t *testing.T) {
	d := newDesk(t)
	d.Distinguish(0, 8)
	out := d.propose("x")
	if m := only[Propose](t, out, 8); string(m.Value) != "x" || out.SaveRound != 0 {
		t.Errorf("forwards %q, saves %d", m.Value, out.SaveRound)
	}
	only[Propose](t, d.wait(), 8)
	mustResult(t, d.step(8, Chosen{ballot(3, 8), Value("x")}), Result{ChosenValue, Value("x")})
}

func TestP8WhenTheDistinguishedProposerIsSilentOthersPropose(t *testing.T) {
	d := newDesk(t, func(c *ProposerConfig) { c.HoldBack = 1000 * millisecond })
	d.Distinguish(0, 8)
	out := d.propose("x")
	for len(receivers[Prepare](out)) == 0 {
		if d.now > 1000*millisecond {
			t.Fatalf("still forwards at %d", d.now)
		}
		out = d.wait()
	}
	if d.now != 1000*millisecond {
		t.Errorf("proposes at %d, want at HoldBack", d.now)
	}
}

func TestP8WhoBecomesDistinguishedProposesWhatItHadForwarded(t *testing.T) {
	d := newDesk(t)
	d.Distinguish(0, 8)
	d.propose("x")
	if out := d.Distinguish(0, 9); len(receivers[Propose](out)) != 1 || out.Send[0].To != 9 {
		t.Errorf("sends %v, want Propose to 9", out.Send)
	}
	if out := d.Distinguish(0, 7); len(receivers[Prepare](out)) != 3 {
		t.Errorf("sends %v, want Prepare", out.Send)
	}
}

func TestP8TheDistinguishedProposerAnswersWhoForwarded(t *testing.T) {
	d := newDesk(t)
	if out := d.step(8, Propose{Value("y")}); len(receivers[Prepare](out)) != 3 {
		t.Fatalf("sends %v, want Prepare", out.Send)
	}
	d.step(9, Propose{Value("z")})
	if v := sent[Accept](t, d.promises()).Value; string(v) != "y" {
		t.Errorf("asks for %q, want y, which came first", v)
	}
	d.step(1, Accepted{d.ballot, Value("y")})
	out := d.step(2, Accepted{d.ballot, Value("y")})
	if to := receivers[Chosen](out); !slices.Equal(to, []ID{1, 2, 3, 8, 9}) || out.Result != nil {
		t.Errorf("tells %v, result %v; want the acceptors, 8 and 9 told", to, out.Result)
	}
	if c := only[Chosen](t, d.step(6, Propose{Value("u")}), 6); string(c.Value) != "y" {
		t.Errorf("tells 6 of %q, want y", c.Value)
	}
}

func TestP8AQuorumThatCannotBeIsGivenUp(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	d.promises()
	d.step(1, Accepted{d.ballot, Value("x")})
	d.step(2, Nack{Ballot: d.ballot, Promised: ballot(1, 9)})
	if d.phase != accepting {
		t.Fatalf("gave up while 1 and 3 may be a quorum")
	}
	d.step(1, Nack{Ballot: d.ballot, Promised: ballot(1, 9)}) // it has voted
	if d.phase != accepting {
		t.Fatalf("gave up because of an acceptor that has voted")
	}
	if d.step(3, Nack{Ballot: d.ballot, Promised: ballot(1, 9)}); d.phase != backingOff {
		t.Errorf("phase %d, want it to back off: only 1 is left", d.phase)
	}
}

func TestP9WhoLosesTheDecreeIsToldTheOtherValue(t *testing.T) {
	d := newDesk(t, func(c *ProposerConfig) { c.Round = 5 })
	d.propose("x")
	d.step(1, Promise{d.ballot, ballot(1, 9), Value("y")})
	d.step(2, Promise{Ballot: d.ballot})
	d.step(1, Accepted{d.ballot, Value("y")})
	mustResult(t, d.step(2, Accepted{d.ballot, Value("y")}), Result{SurelyNot, Value("y")})
	mustResult(t, d.propose("z"), Result{SurelyNot, Value("y")})
	mustResult(t, d.propose("y"), Result{ChosenValue, Value("y")})
}

func TestP10AValueThatWasSentIsUnknownUntilSomethingIsChosen(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	d.promises()
	mustResult(t, d.GiveUp(0), Result{Fate: Unknown})
	d.propose("x") // the caller may ask again
	mustResult(t, d.step(1, Chosen{ballot(9, 9), Value("y")}), Result{SurelyNot, Value("y")})
}

func TestP10AValueThatNeverLeftIsSurelyNotChosen(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	d.step(1, Promise{Ballot: d.ballot})
	d.step(9, Propose{Value("y")})
	mustResult(t, d.GiveUp(0), Result{Fate: SurelyNot})
	if v := sent[Accept](t, d.step(2, Promise{Ballot: d.ballot})).Value; string(v) != "y" {
		t.Errorf("asks for %q after the caller was told that x is surely not chosen", v)
	}
}

func TestP10AForwardedValueIsUnknown(t *testing.T) {
	d := newDesk(t)
	d.Distinguish(0, 8)
	d.propose("x")
	mustResult(t, d.GiveUp(0), Result{Fate: Unknown})
	if d.Deadline() != never {
		t.Error("still forwards")
	}
}

func TestP10WhatWasSentInAnEarlierBallotIsUnknown(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	d.promises()
	d.step(1, Nack{Ballot: d.ballot, Promised: ballot(1, 9)})
	d.step(2, Nack{Ballot: d.ballot, Promised: ballot(1, 9)})
	d.wait()
	mustResult(t, d.GiveUp(d.now), Result{Fate: Unknown})
}

func TestAChosenReplyEndsTheAttempt(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	mustResult(t, d.step(1, Chosen{ballot(3, 9), Value("y")}), Result{SurelyNot, Value("y")})
	if d.Deadline() != never {
		t.Errorf("a deadline %d is left", d.Deadline())
	}
	out := d.step(2, Chosen{ballot(4, 9), Value("z")})
	if v, _ := d.Chosen(); len(out.Alarms) != 1 || out.Alarms[0].Kind != TwoChosen || string(v) != "y" {
		t.Errorf("%+v, chosen %q; want an alarm and y", out, v)
	}
}

func TestPlainMistakesOfTheCallerAreErrors(t *testing.T) {
	d := newDesk(t)
	for value, want := range map[string]error{"": ErrNoValue, "123456789": ErrTooLarge} {
		if _, err := d.Propose(0, Value(value)); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", value, err, want)
		}
	}
	d.propose("x")
	if _, err := d.Propose(0, Value("y")); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want ErrBusy", err)
	}
	if _, err := d.Finish(0); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want ErrBusy", err)
	}
}

func TestTheLastRoundEndsTheProposal(t *testing.T) {
	d := newDesk(t, func(c *ProposerConfig) { c.Round = MaxRound - 1 })
	out := d.propose("x")
	if out.SaveRound != MaxRound {
		t.Errorf("saves %d", out.SaveRound)
	}
	d.step(1, Nack{Ballot: d.ballot, Promised: ballot(MaxRound, 9)})
	d.step(2, Nack{Ballot: d.ballot, Promised: ballot(1<<63, 9)})
	mustResult(t, d.wait(), Result{Fate: SurelyNot})
}

func TestConfigurationsThatCannotBeAreRefused(t *testing.T) {
	q := mustMajority(1, 2, 3)
	for field, cfg := range map[string]ProposerConfig{
		"ID": {Quorums: q}, "Quorums": {ID: 1}, "Round": {ID: 1, Quorums: q, Round: MaxRound + 1},
		"ReserveRounds": {ID: 1, Quorums: q, ReserveRounds: 1 << 40}, "Retransmit": {ID: 1, Quorums: q, Retransmit: -1},
		"Backoff": {ID: 1, Quorums: q, Backoff: 2, MaxBackoff: 1}, "HoldBack": {ID: 1, Quorums: q, HoldBack: never},
		"MaxValueBytes": {ID: 1, Quorums: q, MaxValueBytes: -1},
	} {
		var broken *ConfigError
		if _, err := NewProposer(cfg); !errors.As(err, &broken) || broken.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, ids := range [][]ID{nil, {1, 1, 2}, {0, 1, 2}, make([]ID, 65)} {
		if _, err := Majority(ids...); err == nil {
			t.Errorf("a majority of %v is taken", ids)
		}
	}
	for _, sizes := range [][2]int{{2, 2}, {0, 4}, {4, 0}, {1, 3}, {5, 1}} {
		if _, err := Flexible([]ID{1, 2, 3, 4}, sizes[0], sizes[1]); err == nil {
			t.Errorf("quorums of %v of 4 are taken", sizes)
		}
	}
}

func TestBallotsAreOrderedByRoundThenNode(t *testing.T) {
	order := []Ballot{{}, ballot(1, 1), ballot(1, 2), ballot(2, 1), ballot(3, 0xaf)}
	for i, a := range order {
		for j, b := range order {
			if a.Less(b) != (i < j) || a.Compare(b) != -b.Compare(a) {
				t.Errorf("%v and %v are in the wrong order", a, b)
			}
		}
	}
	if s := fmt.Sprint(order[4], order[0]); s != "3.00af none" {
		t.Errorf("printed as %s", s)
	}
}
