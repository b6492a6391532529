package flight_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/internal/sim/flight"
	"github.com/synod-go/synod/paxos"
)

// flightOf passes decrees among five processes whose roles are apart, on a network that
// loses, doubles and delays, with a power cut in the middle, and returns what the
// flight recorders hold.
func flightOf(t *testing.T, scheme synod.LearnerScheme) []decree.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	local := synod.NewLocalDecrees()
	acceptors := []string{"a1", "a2", "a3"}
	roles := map[string][]synod.Role{"p1": {synod.RoleProposer}, "p2": {synod.RoleProposer, synod.RoleLearner}, "l1": {synod.RoleLearner}}
	for _, name := range acceptors {
		roles[name] = []synod.Role{synod.RoleAcceptor}
	}
	processes := make(map[string]*synod.Decrees)
	var recordings [][]decree.Event
	open := func(name string) {
		p, err := synod.OpenDecrees(ctx, synod.DecreesConfig{Name: name, Acceptors: acceptors, Roles: roles[name], Local: local,
			Scheme: scheme, Distinguished: []string{"l1"}, Recorded: 1 << 16, Intercept: badNetwork(),
			Retransmit: 10 * time.Millisecond, Backoff: time.Millisecond, LearnTimeout: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		processes[name] = p
	}
	for _, name := range []string{"a1", "a2", "a3", "p1", "p2", "l1"} {
		open(name)
	}
	round := func(n int) {
		var callers sync.WaitGroup
		for i := range n {
			name := fmt.Sprint(i)
			for _, p := range []string{"p1", "p2"} {
				callers.Go(func() { _, _ = processes[p].Decide(ctx, name, []byte(p)) })
			}
			callers.Go(func() { _, _ = processes["l1"].Learn(ctx, name) })
		}
		callers.Wait()
	}
	round(8)
	for _, name := range []string{"a1", "p1"} {
		local.Kill(name)
		recordings = append(recordings, processes[name].Recording())
		open(name)
	}
	round(12)
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range processes {
			if !yield(name) {
				return
			}
		}
	}) {
		processes[name].Close()
		recordings = append(recordings, processes[name].Recording())
	}
	if ctx.Err() != nil {
		t.Fatal("not all was decided within a minute")
	}
	return flight.Merge(recordings...)
}

// badNetwork loses one message in ten, doubles one and delays two.
func badNetwork() func(synod.DecreeEvent, func()) {
	return func(_ synod.DecreeEvent, send func()) {
		switch rand.IntN(10) {
		case 0:
		case 1:
			send()
			send()
		case 2, 3:
			time.AfterFunc(time.Duration(rand.IntN(30))*time.Millisecond, send)
		default:
			send()
		}
	}
}

func TestARecordedFlightIsTheSameInFreshCores(t *testing.T) {
	for _, scheme := range []synod.LearnerScheme{synod.AllLearners, synod.OneLearner, synod.SomeLearners} {
		t.Run(scheme.String(), func(t *testing.T) {
			t.Parallel()
			events := flightOf(t, scheme)
			var file bytes.Buffer
			if err := decree.WriteRecording(&file, events); err != nil {
				t.Fatal(err)
			}
			events, err := decree.ReadRecording(&file)
			if err != nil {
				t.Fatal(err)
			}
			report := flight.Replay(events)
			t.Logf("%d events, %d cores, %d inputs, %d outputs compared", report.Events, report.Cores, report.Inputs, report.Compared)
			for _, f := range report.Findings {
				t.Error(f)
			}
			if report.Decrees != 12 || report.Skipped > 0 || report.Compared < 100 || report.Inputs < report.Compared/4 {
				t.Errorf("%+v: want 12 decrees, nothing skipped and some hundred outputs", report)
			}
			for i := range events {
				alter(t, events, i)
			}
		})
	}
}

// alter changes the value of one vote, and wants the replay to name it.
func alter(t *testing.T, events []decree.Event, i int) {
	e := events[i]
	if e.Kind != "accepted" || e.Received || e.Ballot.IsZero() || i%7 != 0 {
		return
	}
	altered := slices.Clone(events)
	altered[i].Value = []byte("altered")
	report := flight.Replay(altered)
	var core, rule bool
	for _, f := range report.Findings {
		core = core || f.Event == i+1 && f.Rule == "A3"
		rule = rule || f.Rule == "P3"
	}
	if !core || !rule {
		t.Errorf("vote %d altered: %v, want event %d named by rule A3, and P3 broken", i+1, report.Findings, i+1)
	}
}

// council is a true recording of one decree, made by hand.
func council() []decree.Event {
	set := []paxos.ID{1, 2, 3}
	b := paxos.Ballot{Round: 1, Node: 9}
	events := []decree.Event{
		{Node: 9, Role: decree.Proposer, Kind: "begins", Start: &decree.Start{Acceptors: set}},
		{Node: 9, Role: decree.Proposer, Kind: "wanted", Taken: true, Value: []byte("v")},
	}
	for _, a := range set {
		events = append(events, decree.Event{Node: 9, Role: decree.Proposer, Kind: "prepare", Ballot: b, From: 9, To: a})
	}
	pass := func(e decree.Event) { // is sent by an acceptor and received by the proposer
		got := e
		got.Node, got.Role, got.Received, got.Taken = 9, decree.Proposer, true, true
		events = append(events, e, got)
	}
	for _, a := range set[:2] {
		events = append(events, decree.Event{Node: a, Role: decree.Acceptor, Kind: "begins", Start: &decree.Start{}},
			decree.Event{Node: a, Role: decree.Acceptor, Kind: "prepare", Ballot: b, From: 9, To: a, Received: true, Taken: true})
		pass(decree.Event{Node: a, Role: decree.Acceptor, Kind: "promise", Ballot: b, From: a, To: 9})
	}
	for _, a := range set {
		events = append(events, decree.Event{Node: 9, Role: decree.Proposer, Kind: "accept", Ballot: b, From: 9, To: a, Value: []byte("v")})
	}
	for _, a := range set[:2] {
		events = append(events, decree.Event{Node: a, Role: decree.Acceptor, Kind: "accept", Ballot: b, From: 9, To: a, Value: []byte("v"),
			Received: true, Taken: true})
		pass(decree.Event{Node: a, Role: decree.Acceptor, Kind: "accepted", Ballot: b, From: a, To: 9, Value: []byte("v")})
	}
	for i := range events {
		events[i].Decree = "x"
	}
	return append(events, decree.Event{Node: 9, Role: decree.Proposer, Kind: "learned", Decree: "x", Ballot: b, Value: []byte("v")},
		decree.Event{Node: 9, Role: decree.Proposer, Kind: "ended", Decree: "x", Value: []byte("v"), Note: paxos.ChosenValue.String()})
}

// TestEachRuleIsJudged breaks the true recording in one way each: the judge must name
// the rule even where no core is run.
func TestEachRuleIsJudged(t *testing.T) {
	if findings := flight.Replay(council()).Findings; len(findings) > 0 {
		t.Fatalf("the true recording: %v", findings)
	}
	low, high := paxos.Ballot{Round: 1, Node: 8}, paxos.Ballot{Round: 2, Node: 8}
	acceptor := func(kind string, b paxos.Ballot) decree.Event {
		return decree.Event{Node: 1, Role: decree.Acceptor, Kind: kind, Decree: "x", Ballot: b, From: 1, To: 8}
	}
	vote := func(from paxos.ID, b paxos.Ballot, value string) decree.Event {
		e := acceptor("accepted", b)
		e.Node, e.From, e.Value = from, from, []byte(value)
		return e
	}
	for rule, more := range map[string][]decree.Event{
		"A1": {{Node: 1, Role: decree.Acceptor, Kind: "recovered"},
			{Node: 1, Role: decree.Acceptor, Kind: "begins", Decree: "x", Start: &decree.Start{}}},
		"A2": {acceptor("promise", low)},
		"A3": {acceptor("promise", high), vote(1, paxos.Ballot{Round: 1, Node: 10}, "v")},
		"A6": {vote(7, high, "v")},
		"A8": {acceptor("promise", high)}, // it tells no vote
		"P1": {{Node: 9, Role: decree.Proposer, Kind: "prepare", Decree: "x", Ballot: paxos.Ballot{Round: 1, Node: 9}, From: 9, To: 1}},
		"P3": {vote(3, paxos.Ballot{Round: 1, Node: 9}, "w")},
		"P4": {{Node: 8, Role: decree.Proposer, Kind: "prepare", Decree: "x", Ballot: high, From: 8, To: 1},
			{Node: 8, Role: decree.Proposer, Kind: "accept", Decree: "x", Ballot: high, From: 8, To: 1, Value: []byte("w")}},
		"L1": {vote(1, high, "w"), vote(2, high, "w")},
	} {
		events := append(council(), more...)
		report := flight.Replay(events)
		if !slices.ContainsFunc(report.Findings, func(f flight.Finding) bool { return f.Rule == rule }) {
			t.Errorf("rule %s broken: found %v", rule, report.Findings)
		}
	}
}

func TestAProposerThatTakesAnotherValueThanTheHighestVoteIsFound(t *testing.T) { // P5
	events := council()
	for i := range events {
		if e := &events[i]; e.Kind == "promise" {
			e.Other, e.Value = paxos.Ballot{Round: 1, Node: 3}, []byte("found")
		}
	}
	report := flight.Replay(events)
	if !slices.ContainsFunc(report.Findings, func(f flight.Finding) bool { return f.Rule == "P5" }) {
		t.Errorf("found %v", report.Findings)
	}
}

func TestWhatTheRecorderHasForgottenIsJudgedAndNotRun(t *testing.T) {
	events := slices.DeleteFunc(council(), func(e decree.Event) bool { return e.Kind == "begins" && e.Role == decree.Acceptor })
	report := flight.Replay(events)
	if len(report.Findings) > 0 || report.Skipped == 0 || report.Cores != 1 {
		t.Errorf("%+v: want the proposer run, the rest skipped, and nothing found", report)
	}
}

func TestWhatAnAbandonedCoreWouldHaveSentIsNotMissed(t *testing.T) {
	before := council()[:2]
	gone := decree.Event{Node: 9, Role: decree.Proposer, Kind: "abandoned", Decree: "x", Note: "somebody uses a round near 7"}
	if report := flight.Replay(append(append(slices.Clone(before), gone), council()...)); len(report.Findings) > 0 {
		t.Errorf("abandoned: %v", report.Findings)
	}
	if report := flight.Replay(append(before, council()...)); len(report.Findings) == 0 {
		t.Error("a core that was not abandoned keeps silent, and that is not found")
	}
}
