package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/internal/sim/flight"
	"github.com/synod-go/synod/paxos"
)

// cutAndLate: a link that is cut one way, and an Accept that is overtaken by a
// higher promise (A3, A7).
func (c *council) cutAndLate(ctx context.Context) (string, error) {
	mark := c.hub.mark()
	if err := c.fault(ctx, "a1", false, fault{Do: "lose", To: "p1"}); err != nil {
		return "", err
	}
	d, err := c.decide(ctx, "p1", "wind", "east", 10*time.Second)
	if err != nil {
		return "", err
	}
	_, err = c.first(ctx, mark, "a1 hearing p1", func(s eventList) eventList { return s.of("wind").received("prepare").by("a1") })
	wind := c.hub.since(mark).of("wind")
	err = errors.Join(err, expect(d.Fate == fateChosen, "p1 was told %+v", d),
		expect(len(wind.received("promise").by("p1").from("a1")) == 0, "a promise came through the cut"),
		c.fault(ctx, "a1", false))
	if err != nil {
		return "", err
	}
	late, nack, err := c.overtaken(ctx)
	return fmt.Sprintf(`The link from a1 to p1 was cut, the other way it was open: p1's "east" was chosen by the others. Then p1's Accept in %s was `+
		"on its way while all acceptors promised %s to p2. It came too late: %d refused it and named %s as the ballot to beat.",
		c.name(late), c.name(nack.Other), c.refusals(mark), c.name(nack.Other)), err
}

func (c *council) refusals(mark int) int {
	return len(c.hub.since(mark).of("tide").sent("nack").to("p1").names())
}

// overtaken delays an Accept until all acceptors have promised a higher ballot.
func (c *council) overtaken(ctx context.Context) (late paxos.Ballot, nack synod.DecreeEvent, err error) {
	const what = "tide"
	mark := c.hub.mark()
	hold := fault{Do: "hold", Kind: "accept", Decree: what}
	if err := errors.Join(c.fault(ctx, "p1", false, hold), c.fault(ctx, "p2", false, hold)); err != nil {
		return late, nack, err
	}
	first := c.deciding(ctx, "p1", what, "low", 15*time.Second)
	s, err := c.hub.await(ctx, mark, "p1's Accept", func(s eventList) bool { return len(s.of(what).sent("accept").by("p1")) > 0 })
	if err != nil {
		return late, nack, err
	}
	late = s.of(what).sent("accept").by("p1").last().Ballot
	second := c.deciding(ctx, "p2", what, "high", 15*time.Second)
	s, err = c.hub.await(ctx, mark, "all promises for p2", func(s eventList) bool {
		b := s.of(what).sent("accept").by("p2").last().Ballot
		return late.Less(b) && len(s.of(what).sent("promise").to("p2").filter(func(e synod.DecreeEvent) bool { return e.Ballot == b }).names()) == len(c.acceptors)
	})
	if err != nil {
		return late, nack, err
	}
	beat := s.of(what).sent("accept").by("p2").last().Ballot
	if err := c.fault(ctx, "p1", true, fault{Do: "lose", Kind: "prepare", Decree: what}); err != nil {
		return late, nack, err
	}
	s, err = c.hub.await(ctx, mark, "a refusal by all acceptors", func(s eventList) bool {
		return len(s.of(what).sent("nack").to("p1").filter(func(e synod.DecreeEvent) bool { return e.Ballot == late }).names()) == len(c.acceptors)
	})
	if err != nil {
		return late, nack, err
	}
	for _, e := range s.of(what).sent("nack").to("p1") {
		if e.Ballot == late {
			nack = e
			err = errors.Join(err, expect(e.Other == beat, "%s names %v, and %v is promised", e.Name, e.Other, beat))
		}
	}
	err = errors.Join(err, c.fault(ctx, "p2", false), c.fault(ctx, "p1", false))
	one, two := <-first, <-second
	return late, nack, errors.Join(err, one.err, two.err, expect(one.Value == two.Value, "p1 was told %q, p2 %q", one.Value, two.Value),
		expect(len(s.of(what).sent("accepted").filter(func(e synod.DecreeEvent) bool { return e.Ballot == late })) == 0, "%v got a vote", late))
}

// schemes counts what each learner scheme costs, and kills the distinguished learner (L2, L4).
func (c *council) schemes(ctx context.Context) (string, error) {
	all, err := c.cost(ctx, "all")
	if err != nil {
		return "", err
	}
	one, err := c.cost(ctx, "one", "l1")
	if err != nil {
		return "", err
	}
	asked, took, err := c.learnWithout(ctx, "bread", "rye", "l2", "l3")
	if err != nil {
		return "", err
	}
	some, err := c.cost(ctx, "some", "l1", "l2")
	if err != nil {
		return "", err
	}
	silent, err := c.learnInTime(ctx)
	n, l := len(c.acceptors), len(demoLearners)
	return fmt.Sprintf("Messages until all %d learners know: %d when each acceptor tells all, %d through l1, %d through l1 and l2. l1 was killed. With it "+
			"alone distinguished, l2 and l3 heard nothing, asked (%d questions) and knew after %.1f s; with two, l2 told l3 at once.",
			l, all, one, some, asked, took.Seconds()),
		errors.Join(err, expect(all == n*l, "scheme 1 took %d messages, want %d", all, n*l), expect(one == n+l-1, "scheme 2 took %d, want %d", one, n+l-1),
			expect(some == 2*n+2*(l-1), "scheme 3 took %d, want %d", some, 2*n+2*(l-1)), expect(asked > 0, "nobody asked"),
			expect(silent == 0, "l3 asked although l2 was there"), c.start(ctx, "l1"))
}

// cost passes a decree under a scheme and counts the messages to learners, each way once.
func (c *council) cost(ctx context.Context, scheme string, told ...string) (int, error) {
	if scheme != c.scheme {
		c.scheme, c.told = scheme, told
		names := append(append([]string(nil), c.acceptors...), demoLearners...)
		c.kill(names...)
		if err := errors.Join(c.start(ctx, names...), c.warm(ctx)); err != nil {
			return 0, err
		}
	}
	for i := 1; ; i++ {
		n, err := c.count(ctx, fmt.Sprintf("bill of %s %d", scheme, i))
		if err == nil || ctx.Err() != nil {
			return n, err
		}
	}
}

// votesTime is how long all acceptors have to vote: the choice needs only a quorum of
// them, and when it is made nobody asks the rest again.
const votesTime = time.Second

// count passes a decree and counts the messages to learners. An error says that not
// all acceptors have voted.
func (c *council) count(ctx context.Context, what string) (int, error) {
	mark := c.hub.mark()
	if _, err := c.decide(ctx, "p1", what, "paid", 10*time.Second); err != nil {
		return 0, err
	}
	within, done := context.WithTimeout(ctx, 3*votesTime)
	defer done()
	if _, err := c.learnedBy(within, mark, what, "paid", demoLearners...); err != nil {
		return 0, err
	}
	count := func(s eventList) int {
		s = s.of(what)
		return s.sent("accepted").to(demoLearners...).pairs() + s.sent("chosen").by(demoLearners...).to(demoLearners...).pairs()
	}
	ctx, cancel := context.WithTimeout(ctx, votesTime)
	defer cancel()
	s, err := c.hub.await(ctx, mark, "all votes", func(s eventList) bool {
		return len(s.of(what).sent("accepted").names()) == len(c.acceptors) && count(s) >= c.bill()
	})
	return count(s), err
}

// bill is how many messages a scheme takes until all learners know.
func (c *council) bill() int {
	a, l, d := len(c.acceptors), len(demoLearners), len(c.told)
	if d == 0 {
		return a * l
	}
	return a*d + d*(l-1)
}

// learnWithout kills the first distinguished learner and has the others learn a decree.
// It returns how often they asked.
func (c *council) learnWithout(ctx context.Context, what, value string, names ...string) (asked int, took time.Duration, err error) {
	c.kill("l1")
	mark, start := c.hub.mark(), time.Now()
	ends := make(chan error, len(names))
	for _, l := range names {
		go func() {
			d, err := c.learn(ctx, l, what, actTime)
			ends <- errors.Join(err, expect(d.Value == value, "%s was told %q", l, d.Value))
		}()
	}
	if _, err := c.decide(ctx, "p1", what, value, 10*time.Second); err != nil {
		return 0, 0, err
	}
	for range names {
		err = errors.Join(err, <-ends)
	}
	took = time.Since(start)
	s, lost := c.learnedBy(ctx, mark, what, value, names...)
	return len(s.sent("ask").by(names...)), took, errors.Join(err, lost)
}

// learnInTime has l3 learn a decree that l2 learns too, and returns how often l3 asked. If that took longer than a learner
// waits, it rightly asks, and another decree is passed.
func (c *council) learnInTime(ctx context.Context) (asked int, err error) {
	what, took := "cheese", time.Duration(0)
	for i := 2; ; i++ {
		if asked, took, err = c.learnWithout(ctx, what, "brie", "l3"); err != nil || asked == 0 || took < learnAfter {
			return asked, err
		}
		what = fmt.Sprintf("cheese %d", i)
	}
}

// lostDisk: a1 comes back with its name and without its disk: it is another (A6).
func (c *council) lostDisk(ctx context.Context) (string, error) {
	old := c.hub.since(0).sent("accepted").by("a1").last().Node
	c.kill("a1")
	if err := os.RemoveAll(c.dir("a1")); err != nil {
		return "", err
	}
	mark := c.hub.mark()
	if err := c.start(ctx, "a1"); err != nil {
		return "", err
	}
	now := c.hub.since(mark).sent("recovered").by("a1").last().Node
	// A proposer without a disk too has to ask everybody who the acceptors are.
	c.kill("p2")
	if err := errors.Join(os.RemoveAll(c.dir("p2")), c.start(ctx, "p2")); err != nil {
		return "", err
	}
	d, err := c.decide(ctx, "p2", "moon", "full", 10*time.Second)
	if err != nil {
		return "", err
	}
	for _, l := range demoLearners { // links to processes that are new may have lost votes: who waits asks
		if _, err := c.learn(ctx, l, "moon", 10*time.Second); err != nil {
			return "", err
		}
	}
	if _, err := c.learnedBy(ctx, mark, "moon", "full", demoLearners...); err != nil {
		return "", err
	}
	s := c.hub.since(mark)
	var said []string
	for _, e := range s.by("a1") {
		if e.Received && (e.Kind == "prepare" || e.Kind == "accept") || !e.Received && (e.Kind == "promise" || e.Kind == "accepted" && !e.Ballot.IsZero()) {
			said = append(said, e.String())
		}
	}
	_, chosen := c.chosenBy(ctx, mark, "moon", "full")
	return fmt.Sprintf(`a1 was killed and its directory removed. What came back under that name is %.4x, and the acceptors are, for ever, those with `+
			"%.4x among them: it promised nothing and voted for nothing, neither did anybody ask it to. The others are a quorum and chose %q.",
			uint64(now)>>48, uint64(old)>>48, d.Value),
		errors.Join(chosen, expect(now != old, "it has its old identity"), expect(len(said) == 0, "it takes part: %s", strings.Join(said, "; ")))
}

// quiet is how long nothing may arrive before all has.
const quiet = 150 * time.Millisecond

// replayAll runs the whole recording again.
func (c *council) replayAll(ctx context.Context) (string, error) {
	for before := -1; before < c.hub.mark() && ctx.Err() == nil; {
		before = c.hub.mark()
		select { // until everything that was told has arrived
		case <-ctx.Done():
		case <-time.After(quiet):
		}
	}
	report := flight.Replay(c.hub.since(0))
	var found []error
	for _, f := range report.Findings {
		found = append(found, errors.New(f.String()))
	}
	return fmt.Sprintf("The %s events of this story, with %d kills, went into %s fresh cores, one input after the other: %s outputs are the recorded ones, "+
			"and no rule is broken.", counted(uint64(report.Events)), c.killed, counted(uint64(report.Cores)), counted(uint64(report.Compared))),
		errors.Join(append(found, expect(report.Compared > 0 && report.Skipped == 0, "%+v", report))...)
}
