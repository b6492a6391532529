package paxos

import (
	"errors"
	"reflect"
	"testing"
)

// Tests of the acceptor's rules. Each name begins with its rule.

func newTestAcceptor(t *testing.T, state AcceptorState) *Acceptor {
	t.Helper()
	a, err := NewAcceptor(AcceptorConfig{ID: 1, MaxValueBytes: 8}, state)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func ballot(round uint64, node ID) Ballot { return Ballot{round, node} }

// only returns the one message that out sends, to to.
func only[M Message](t *testing.T, out Output, to ID) M {
	t.Helper()
	if len(out.Send) != 1 || out.Send[0].To != to {
		t.Fatalf("sends %v, want one message to %d", out.Send, to)
	}
	m, ok := out.Send[0].Message.(M)
	if !ok {
		t.Fatalf("sends %T, want %T", out.Send[0].Message, m)
	}
	return m
}

func mustSave(t *testing.T, out Output, want AcceptorState) {
	t.Helper()
	if out.Save == nil || !reflect.DeepEqual(*out.Save, want) {
		t.Errorf("saves %v, want %v", out.Save, want)
	}
}

func TestA1AnAcceptorDoesNotStartFromAVoteBeyondItsPromise(t *testing.T) {
	for _, s := range []AcceptorState{
		{Accepted: Vote{ballot(1, 7), Value("x")}},
		{Promised: ballot(3, 7), Accepted: Vote{ballot(3, 8), Value("x")}},
		{Promised: ballot(3, 7), Accepted: Vote{Ballot: ballot(2, 7)}},
		{Promised: ballot(3, 7), Accepted: Vote{Value: Value("x")}},
	} {
		var broken *StateError
		if _, err := NewAcceptor(AcceptorConfig{ID: 1}, s); !errors.As(err, &broken) {
			t.Errorf("%v: %v, want a *StateError", s, err)
		}
	}
}

func TestA2AHigherBallotIsPromised(t *testing.T) {
	vote := Vote{ballot(2, 7), Value("x")}
	a := newTestAcceptor(t, AcceptorState{ballot(2, 7), vote})
	out := a.Step(8, Prepare{ballot(2, 8)})
	mustSave(t, out, AcceptorState{ballot(2, 8), vote})
	if m := only[Promise](t, out, 8); m.Ballot != ballot(2, 8) || m.Accepted != vote.Ballot || !m.Value.equal(vote.Value) {
		t.Errorf("promises %+v", m)
	}
}

func TestA2ARepeatedPrepareGetsTheSameAnswerWithoutAWrite(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{})
	first := a.Step(7, Prepare{ballot(1, 7)})
	second := a.Step(7, Prepare{ballot(1, 7)})
	if second.Save != nil || !reflect.DeepEqual(first.Send, second.Send) {
		t.Errorf("saves %v and sends %v, want no save and %v", second.Save, second.Send, first.Send)
	}
}

func TestA2ALowerBallotIsRefused(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{Promised: ballot(2, 7)})
	out := a.Step(6, Prepare{ballot(2, 6)})
	if m := only[Nack](t, out, 6); m != (Nack{ballot(2, 6), ballot(2, 7), Outbid}) || out.Save != nil {
		t.Errorf("answers %+v, saves %v", m, out.Save)
	}
}

func TestA2ABallotOfAnotherProposerIsNotTaken(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{})
	for _, m := range []Message{Prepare{ballot(1, 7)}, Accept{ballot(1, 7), Value("x")}} {
		out := a.Step(8, m)
		if out.Save != nil || len(out.Send) > 0 || !reflect.DeepEqual(out.Alarms, []Alarm{{ForeignBallot, 8, ballot(1, 7)}}) {
			t.Errorf("%T: %+v, want nothing but an alarm", m, out)
		}
	}
}

func TestA3AVoteNeedsNoPromiseOfTheSameBallot(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{Promised: ballot(1, 8)})
	out := a.Step(7, Accept{ballot(2, 7), Value("x")})
	mustSave(t, out, AcceptorState{ballot(2, 7), Vote{ballot(2, 7), Value("x")}})
	if m := only[Accepted](t, out, 7); m.Ballot != ballot(2, 7) || string(m.Value) != "x" {
		t.Errorf("answers %+v", m)
	}
}

func TestA3AVoteIsAPromise(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{})
	a.Step(7, Accept{ballot(2, 7), Value("x")})
	for _, m := range []Message{Prepare{ballot(1, 8)}, Accept{ballot(1, 8), Value("y")}} {
		if n := only[Nack](t, a.Step(8, m), 8); n.Promised != ballot(2, 7) {
			t.Errorf("%T: %+v, want it to beat 2.7", m, n)
		}
	}
}

func TestA3AVoteBelowThePromiseIsRefused(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{Promised: ballot(2, 7)})
	out := a.Step(6, Accept{ballot(2, 6), Value("x")})
	if m := only[Nack](t, out, 6); m.Reason != Outbid || m.Promised != ballot(2, 7) || out.Save != nil {
		t.Errorf("answers %+v, saves %v", m, out.Save)
	}
}

func TestA3ARepeatedAcceptGetsTheSameAnswerWithoutAWrite(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{})
	first := a.Step(7, Accept{ballot(1, 7), Value("x")})
	second := a.Step(7, Accept{ballot(1, 7), Value("x")})
	if second.Save != nil || !reflect.DeepEqual(first.Send, second.Send) {
		t.Errorf("saves %v and sends %v, want no save and %v", second.Save, second.Send, first.Send)
	}
}

func TestA3ASecondValueUnderOneBallotIsRefusedAndReported(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{})
	a.Step(7, Accept{ballot(1, 7), Value("x")})
	out := a.Step(7, Accept{ballot(1, 7), Value("y")})
	if m := only[Nack](t, out, 7); m.Reason != Refused || out.Save != nil || string(a.State().Accepted.Value) != "x" {
		t.Errorf("answers %+v, votes for %q", m, a.State().Accepted.Value)
	}
	if !reflect.DeepEqual(out.Alarms, []Alarm{{TwoValues, 7, ballot(1, 7)}}) {
		t.Errorf("alarms %v, want two values", out.Alarms)
	}
}

// What an answer speaks of stands in Save of the same Output, or was saved before.
func TestA4EveryAnswerIsInTheSaveThatItWaitsFor(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{})
	var saved AcceptorState
	for _, m := range []Message{
		Prepare{ballot(1, 7)}, Accept{ballot(1, 7), Value("x")}, Prepare{ballot(2, 7)}, Prepare{ballot(2, 7)},
		Accept{ballot(3, 7), Value("x")}, Accept{ballot(3, 7), Value("x")}, Ask{}, Prepare{ballot(1, 7)},
	} {
		out := a.Step(7, m)
		if out.Save != nil {
			saved = *out.Save
		}
		for _, e := range out.Send {
			if !(&world{}).stands(e.Message, saved) {
				t.Errorf("%s answers %s while %+v is saved", showMessage(m), showMessage(e.Message), saved)
			}
		}
	}
	if b := newTestAcceptor(t, saved); !reflect.DeepEqual(a.State(), b.State()) {
		t.Errorf("restarts from %+v, was %+v", b.State(), a.State())
	}
}

func TestA5AfterAFailedSaveItNeverVotesAgain(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{Promised: ballot(1, 7)})
	a.Step(7, Accept{ballot(1, 7), Value("x")})
	a.SaveFailed()
	for _, m := range []Message{Prepare{ballot(9, 7)}, Accept{ballot(9, 7), Value("x")}} {
		out := a.Step(7, m)
		if n := only[Nack](t, out, 7); n != (Nack{Ballot: ballot(9, 7), Reason: NotVoting}) || out.Save != nil {
			t.Errorf("%T: %+v, saves %v; want not voting", m, n, out.Save)
		}
	}
	if out := a.Step(9, Ask{}); len(out.Send) > 0 || a.Voting() {
		t.Errorf("tells %v of a vote that may not be durable; voting %v", out.Send, a.Voting())
	}
}

// The rest of the identity is in the host's envelope.
func TestA6AnswersNameTheBallotThatTheyAnswer(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{Promised: ballot(5, 5)})
	if m := only[Nack](t, a.Step(7, Prepare{ballot(4, 7)}), 7); m.Ballot != ballot(4, 7) {
		t.Errorf("refuses %v, want 4.7", m.Ballot)
	}
	if m := only[Promise](t, a.Step(7, Prepare{ballot(6, 7)}), 7); m.Ballot != ballot(6, 7) {
		t.Errorf("promises %v, want 6.7", m.Ballot)
	}
	if m := only[Accepted](t, a.Step(7, Accept{ballot(6, 7), Value("x")}), 7); m.Ballot != ballot(6, 7) {
		t.Errorf("accepts %v, want 6.7", m.Ballot)
	}
}

func TestA7WhoKnowsTheChosenValueTellsIt(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{Promised: ballot(1, 7)})
	if out := a.Step(7, Chosen{ballot(1, 7), Value("x")}); out.Chosen == nil || len(out.Send) > 0 {
		t.Errorf("%+v, want it learned", out)
	}
	for _, m := range []Message{Prepare{ballot(9, 8)}, Accept{ballot(9, 8), Value("y")}, Ask{}} {
		out := a.Step(8, m)
		if c := only[Chosen](t, out, 8); string(c.Value) != "x" || c.Ballot != ballot(1, 7) || out.Save != nil {
			t.Errorf("%T: answers %+v, saves %v", m, c, out.Save)
		}
	}
}

func TestA7AValueThatIsTooLargeIsRefusedWithAReason(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{})
	for _, v := range []Value{nil, {}, Value("123456789")} {
		out := a.Step(7, Accept{ballot(1, 7), v})
		if m := only[Nack](t, out, 7); m.Reason != Refused || out.Save != nil {
			t.Errorf("%q: %+v, saves %v; want it refused", v, m, out.Save)
		}
	}
}

func TestA8ThePromiseReportsTheBallotOfTheVote(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{})
	a.Step(7, Accept{ballot(1, 7), Value("x")})
	a.Step(8, Prepare{ballot(2, 8)})
	if m := only[Promise](t, a.Step(9, Prepare{ballot(3, 9)}), 9); m.Accepted != ballot(1, 7) {
		t.Errorf("reports a vote in %v, want 1.7: neither 2.8 nor 3.9, which it has promised", m.Accepted)
	}
}

func TestAnAcceptorDoesNotBelieveThatWhatItsVoteExcludesIsChosen(t *testing.T) {
	a := newTestAcceptor(t, AcceptorState{ballot(3, 7), Vote{ballot(3, 7), Value("x")}})
	for _, m := range []Chosen{{ballot(3, 7), Value("y")}, {ballot(2, 8), Value("y")}} {
		out := a.Step(8, m)
		if len(out.Alarms) != 1 || out.Alarms[0].Kind != TwoChosen || out.Chosen != nil {
			t.Errorf("%+v: %+v, want an alarm", m, out)
		}
	}
	if out := a.Step(8, Chosen{ballot(4, 8), Value("y")}); out.Chosen == nil {
		t.Errorf("%+v; want it believed: the vote was in a lower ballot", out)
	}
}
