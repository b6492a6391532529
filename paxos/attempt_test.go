package paxos

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// Tests of the proposer's rules within an attempt and between two (P3 to P7).

func TestP3ABallotHasOneValueWhateverComesAfterAccept(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	first := d.promises()
	if v := sent[Accept](t, first).Value; string(v) != "x" {
		t.Fatalf("asks for %q, want the own value: nobody has voted", v)
	}
	outputs := []Output{
		d.step(3, Promise{d.ballot, ballot(1, 3), Value("y")}),
		d.step(8, Propose{Value("z")}),
		d.wait(),
	}
	for _, out := range outputs {
		for _, e := range out.Send {
			if m, ok := e.Message.(Accept); !ok || m.Ballot != d.ballot || string(m.Value) != "x" {
				t.Errorf("sends %s after Accept %v of x", showMessage(e.Message), d.ballot)
			}
		}
	}
}

func TestP4OneAcceptorTwiceOrAStrangerIsNoQuorum(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	for _, from := range []ID{1, 1, 4, 7, None} {
		if out := d.step(from, Promise{Ballot: d.ballot}); len(out.Send) > 0 {
			t.Fatalf("a promise of %d completes a quorum: %v", from, out.Send)
		}
	}
	d.step(2, Promise{Ballot: d.ballot})
	for _, from := range []ID{1, 1, 4, 7, None} {
		if out := d.step(from, Accepted{d.ballot, Value("x")}); out.Chosen != nil {
			t.Fatalf("a vote of %d completes a quorum", from)
		}
	}
	if out := d.step(2, Accepted{d.ballot, Value("x")}); out.Chosen == nil {
		t.Error("votes of 1 and 2 are a quorum, and nothing is chosen")
	}
}

func TestP5TheValueIsThatOfTheHighestVote(t *testing.T) {
	for _, order := range [][]ID{{1, 2}, {2, 1}} {
		d := newDesk(t, func(c *ProposerConfig) { c.Round = 10 })
		d.propose("x")
		votes := map[ID]Vote{1: {ballot(3, 9), Value("y")}, 2: {ballot(3, 8), Value("z")}}
		var out Output
		for _, id := range order {
			out = d.step(id, Promise{d.ballot, votes[id].Ballot, votes[id].Value})
		}
		if m := sent[Accept](t, out); string(m.Value) != "y" || m.Ballot != d.ballot {
			t.Errorf("order %v: asks for %q in %v, want y, voted for in 3.9", order, m.Value, m.Ballot)
		}
		if to := receivers[Accept](out); !slices.Equal(to, []ID{1, 2, 3}) {
			t.Errorf("asks %v, want all acceptors", to)
		}
	}
}

func TestP5APromiseOfAnotherBallotDoesNotCount(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	old := d.ballot
	d.step(1, Nack{Ballot: old, Promised: ballot(1, 9)})
	d.step(2, Nack{Ballot: old, Promised: ballot(1, 9)})
	d.wait()
	for _, b := range []Ballot{old, ballot(d.ballot.Round, 8), ballot(d.ballot.Round+1, 7)} {
		d.step(1, Promise{Ballot: b})
		if out := d.step(2, Promise{Ballot: b}); len(out.Send) > 0 {
			t.Errorf("promises of %v count for %v", b, d.ballot)
		}
	}
}

func TestP5AVoteThatThePromiseExcludesIsReportedAndDoesNotCount(t *testing.T) {
	for _, accepted := range []Ballot{ballot(1, 7), ballot(1, 8), ballot(2, 1)} {
		d := newDesk(t)
		d.propose("x")
		d.step(1, Promise{Ballot: d.ballot})
		out := d.step(2, Promise{d.ballot, accepted, Value("y")})
		if len(out.Send) > 0 || len(out.Alarms) != 1 || out.Alarms[0].Kind != ImpossibleVote {
			t.Errorf("vote in %v told by a promise of %v: %+v", accepted, d.ballot, out)
		}
	}
}

func TestP5TwoValuesUnderOneBallotAreReportedAndDoNotCount(t *testing.T) {
	d := newDesk(t, func(c *ProposerConfig) { c.Round = 10 })
	d.propose("x")
	d.step(1, Promise{d.ballot, ballot(3, 9), Value("y")})
	out := d.step(2, Promise{d.ballot, ballot(3, 9), Value("z")})
	if len(out.Send) > 0 || !reflect.DeepEqual(out.Alarms, []Alarm{{TwoValues, 2, ballot(3, 9)}}) {
		t.Errorf("%+v, want an alarm", out)
	}
}

func TestP6WhatComesTooLateChangesNothing(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	d.promises()
	before := *d.Proposer
	for _, m := range []Message{
		Promise{Ballot: d.ballot}, Promise{d.ballot, ballot(1, 3), Value("y")}, Promise{Ballot: ballot(0, 7)},
		Nack{Ballot: ballot(9, 7), Promised: ballot(9, 9)}, Accepted{ballot(1, 9), Value("x")},
	} {
		if out := d.step(3, m); !reflect.DeepEqual(out, Output{}) || !reflect.DeepEqual(*d.Proposer, before) {
			t.Errorf("%s has an effect after Accept: %+v", showMessage(m), out)
		}
	}
}

func TestP7SilentAcceptorsAreAskedAgainInTheSameBallot(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	d.step(2, Promise{Ballot: d.ballot})
	b := d.ballot
	if out := d.wait(); !slices.Equal(receivers[Prepare](out), []ID{1, 3}) || sent[Prepare](t, out).Ballot != b || out.SaveRound != 0 {
		t.Errorf("sends %v, saves %d; want Prepare %v to 1 and 3", out.Send, out.SaveRound, b)
	}
	d.step(3, Promise{Ballot: d.ballot})
	d.step(1, Accepted{b, Value("x")})
	if out := d.wait(); !slices.Equal(receivers[Accept](out), []ID{2, 3}) || sent[Accept](t, out).Ballot != b {
		t.Errorf("sends %v, want Accept %v to 2 and 3", out.Send, b)
	}
}

func TestP7ANackFromANonQuorumDoesNotAbort(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	d.step(1, Nack{Ballot: d.ballot, Promised: ballot(5, 9)})
	d.step(1, Nack{Ballot: d.ballot, Promised: ballot(5, 9)})
	d.step(4, Nack{Ballot: d.ballot, Promised: ballot(5, 9)})
	d.step(2, Promise{Ballot: d.ballot})
	if out := d.step(3, Promise{Ballot: d.ballot}); len(receivers[Accept](out)) != 3 {
		t.Errorf("sends %v, want Accept: 2 and 3 have promised", out.Send)
	}
	d.step(1, Nack{Ballot: d.ballot, Promised: ballot(5, 9)})
	d.step(2, Accepted{d.ballot, Value("x")})
	mustResult(t, d.step(3, Accepted{d.ballot, Value("x")}), Result{ChosenValue, Value("x")})
}

// One acceptor refuses and one is dead: the third is no quorum in this ballot, and
// with the first it may be one in the next.
func TestP7ANackAndSilenceLeadToAnotherBallot(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	d.step(1, Nack{Ballot: d.ballot, Promised: ballot(5, 9)})
	d.step(2, Promise{Ballot: d.ballot})
	d.wait()
	if out := d.wait(); d.ballot != ballot(6, 7) || len(receivers[Prepare](out)) != 3 {
		t.Errorf("ballot %v, sends %v; want Prepare 6.7", d.ballot, out.Send)
	}
}

func TestP7TheBackoffIsJitteredFromZeroAndDoublesUpToACap(t *testing.T) {
	var low, high [12]Time
	for seed := range uint64(400) {
		d := newDesk(t, func(c *ProposerConfig) {
			c.Backoff, c.MaxBackoff, c.Rand = 10, 1000, rand.New(rand.NewPCG(seed, 1))
		})
		d.propose("x")
		for n := range high {
			d.step(1, Nack{Ballot: d.ballot, Promised: ballot(d.ballot.Round, 9)})
			d.step(2, Nack{Ballot: d.ballot, Promised: ballot(d.ballot.Round, 9)})
			delay := d.Deadline() - d.now
			if seed == 0 {
				low[n] = delay
			}
			low[n], high[n] = min(low[n], delay), max(high[n], delay)
			d.wait()
		}
	}
	for n := range high {
		span := min(Time(20)<<n, 1000)
		if low[n] > span/10 || high[n] >= span || high[n] < span*8/10 {
			t.Errorf("after %d attempts the delays are within [%d, %d], want all of [0, %d)", n+1, low[n], high[n], span)
		}
	}
}

func TestP7TheNextRoundBeatsAllThatWasSeen(t *testing.T) {
	d := newDesk(t)
	d.propose("x")
	d.step(1, Nack{Ballot: d.ballot, Promised: ballot(9, 9)})
	d.step(2, Nack{Ballot: d.ballot, Promised: ballot(4, 9)})
	if d.wait(); d.ballot != ballot(10, 7) {
		t.Errorf("ballot %v, want 10.7", d.ballot)
	}
}
