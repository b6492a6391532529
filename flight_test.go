package synod_test

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod"
)

var ballots = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)

// A ballot as one number tells nobody anything.
func TestAPaxosGroupShowsBallotsAndNoTerms(t *testing.T) {
	var log logged
	ctx := within(t, time.Minute)
	c, err := synod.NewLocalCluster(ctx, 3, slog.New(slog.NewJSONHandler(&log, nil)), (&journals{}).group(synod.Paxos))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	leader, _, err := c.Leader(ctx, "journal")
	if err != nil {
		t.Fatal(err)
	}
	s, err := leader.Group("journal").Status(ctx)
	if err != nil || s.Engine != synod.Paxos || !ballots.MatchString(s.Ballot) || s.Epoch == 0 || s.Term == 0 {
		t.Errorf("status %+v, %v; want engine, ballot, epoch and the ballot as a number", s, err)
	}
	for _, event := range []string{"became leader", "configuration changed"} {
		records := log.records(t, event)
		if len(records) == 0 {
			t.Errorf("nothing is logged of %q", event)
		}
		for _, r := range records {
			if ballot, _ := r["ballot"].(string); !ballots.MatchString(ballot) || r["term"] != nil {
				t.Errorf("logged %v, want a ballot and no term", r)
			}
			if event == "configuration changed" && r["epoch"] == nil {
				t.Errorf("logged %v, want the epoch", r)
			}
		}
	}
	if events := leader.Events(); !slices.ContainsFunc(events, func(e synod.Event) bool {
		return e.Kind == "became leader" && ballots.MatchString(e.Ballot) && e.Term != 0
	}) {
		t.Errorf("events %+v, want one of a leader with its ballot", events)
	}
}

func TestARaftGroupHasTermsAndNoBallots(t *testing.T) {
	ctx := within(t, time.Minute)
	c, err := synod.NewLocalCluster(ctx, 1, nil, (&journals{}).group(synod.Raft))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	g := c.Node(0).Group("journal")
	if s, err := g.Status(ctx); err != nil || s.Engine != synod.Raft || s.Term == 0 || s.Ballot != "" || s.Epoch != 0 {
		t.Errorf("status %+v, %v; want a term and neither ballot nor epoch", s, err)
	}
	events, err := g.Flight(ctx)
	if err != nil || len(events) == 0 || slices.ContainsFunc(events, func(e synod.FlightEvent) bool { return e.Term == 0 || e.Ballot != "" }) {
		t.Errorf("flight %+v, %v; want terms and no ballots", events, err)
	}
}

func TestTheFlightRecorderNamesPeersBallotsAndSlots(t *testing.T) {
	ctx, began := within(t, time.Minute), time.Now()
	c, err := synod.NewLocalCluster(ctx, 3, nil, (&journals{}).group(synod.Paxos))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	leader, at, err := c.Leader(ctx, "journal")
	if err != nil {
		t.Fatal(err)
	}
	g := leader.Group("journal")
	result, err := g.Propose(ctx, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	events, err := g.Flight(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"Accept", "Accepted"} {
		i := slices.IndexFunc(events, func(e synod.FlightEvent) bool {
			return e.Kind == kind && e.First <= result.Index && e.Last >= result.Index
		})
		if i < 0 {
			t.Fatalf("no %s of slot %d in %+v", kind, result.Index, events)
		}
		e := events[i]
		want := map[string]string{"Accept": "out", "Accepted": "in"}[kind]
		peer := slices.ContainsFunc([]int{0, 1, 2}, func(j int) bool {
			return j != at && c.Node(j).ID() == e.Peer && c.Node(j).Name() == e.PeerName
		})
		if e.Direction != want || !peer || !ballots.MatchString(e.Ballot) {
			t.Errorf("%+v, want direction %s, the id and the name of another node, and a ballot", e, want)
		}
	}
	for i, e := range events {
		if e.Time.Before(began.Add(-time.Second)) || e.Time.After(time.Now().Add(time.Second)) {
			t.Errorf("event %d is of %v, the test began %v", i, e.Time, began)
		}
	}
}

// What is intercepted is named, and leaves when it is sent: here never again, once the
// leader is cut off.
func TestAnInterceptedMessageLeavesOnlyWhenItIsSent(t *testing.T) {
	for engine, kind := range map[synod.Engine]string{synod.Raft: "AppendEntries", synod.Paxos: "Accept"} {
		t.Run(string(engine), func(t *testing.T) {
			ctx := within(t, time.Minute)
			var cut atomic.Bool
			caught, recorded := make(chan synod.FlightEvent, 1), make(chan synod.FlightEvent, 1)
			config := (&journals{}).group(engine)
			config.Event = func(e synod.FlightEvent) {
				if e.Direction == "out" && e.Kind == kind && e.First > 0 {
					keep(recorded, e)
				}
			}
			config.Intercept = func(m synod.FlightEvent, send func()) {
				if !cut.Load() {
					send()
				} else if m.Kind == kind && m.First > 0 {
					keep(caught, m)
				}
			}
			c, err := synod.NewLocalCluster(ctx, 3, nil, config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Stop)
			leader, _, err := c.Leader(ctx, "journal")
			if err != nil {
				t.Fatal(err)
			}
			result, err := leader.Group("journal").Propose(ctx, []byte("x"))
			if err != nil {
				t.Fatal(err)
			}
			if e := <-recorded; e.PeerName == "" || e.Term == 0 == (engine == synod.Raft) {
				t.Errorf("recorded %+v, want the name of a peer, and a term if it is Raft's", e)
			}
			cut.Store(true)
			lost, give := context.WithCancel(ctx)
			told := make(chan error, 1)
			go func() {
				_, err := leader.Group("journal").Propose(lost, []byte("y"))
				told <- err
			}()
			if m := <-caught; m.PeerName == "" || m.First <= result.Index {
				t.Errorf("intercepted %+v, want the name of a peer and an index after %d", m, result.Index)
			}
			give()
			if err := <-told; !errors.Is(err, synod.ErrUnknownOutcome) {
				t.Errorf("what nobody was sent: %v, want ErrUnknownOutcome", err)
			}
		})
	}
}

// keep keeps the first event.
func keep(first chan synod.FlightEvent, e synod.FlightEvent) {
	select {
	case first <- e:
	default:
	}
}
