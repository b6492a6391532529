package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/paxos"
)

// ruleTexts are the rules of package paxos, a plain sentence each.
var ruleTexts = map[string]string{
	"A1":  "What an acceptor has promised and voted for, it knows after a crash.",
	"A2":  "An acceptor promises only what is not less than its promise.",
	"A3":  "An acceptor votes in no ballot below its promise.",
	"A6":  "A vote counts for one disk: who lost it is another, and never votes.",
	"A7":  "A refusal names the ballot to beat; who knows what is chosen tells it.",
	"P1":  "No two attempts share a ballot.",
	"P2":  "A proposer that was killed goes on beyond every round it may have used.",
	"P3":  "A ballot has one value.",
	"P4":  "Any quorum is enough, whoever is missing.",
	"P5":  "A proposer takes the value of the highest vote it hears of, its own if none.",
	"P7":  "Who is outbid waits a random time, so one of two gets through.",
	"P9":  "Who comes too late is told the chosen value; its own surely is not.",
	"P10": "A caller is told chosen, surely not, or unknown; unknown is not failed.",
	"L1":  "A value is chosen when a quorum has voted for it in one ballot.",
	"L2":  "Three ways to tell learners; all of them count the same votes.",
	"L4":  "A learner that hears nothing asks: other learners, acceptors, a proposer.",
}

func (d *paxosDemo) acts() []act {
	c := d.council
	return []act{
		{"A value is chosen", []string{"P5", "L1"}, c.cleanDecision},
		{"Roles apart: a late proposer is told", []string{"P9", "A7"}, c.lateProposer},
		{"Acceptors are killed (kill -9)", []string{"P4", "P10", "A1"}, c.acceptorsKilled},
		{"Two proposers duel", []string{"A2", "P7", "P1"}, c.duel},
		{"A proposer is killed halfway", []string{"P5", "P2"}, c.proposerKilled},
		{"Links are cut; an old Accept comes late", []string{"P4", "A3", "A7"}, c.cutAndLate},
		{"Learner schemes; the distinguished one dies", []string{"L2", "L4"}, c.schemes},
		{"An acceptor loses its disk", []string{"A6", "P4"}, c.lostDisk},
		{"All of it again, in fresh cores", []string{"P3", "A3", "L1"}, c.replayAll},
	}
}

// warmUp begins the names of decrees that are no part of the story.
const warmUp = "warm-up"

// quorum is how many acceptors are one.
func (c *council) quorum() int { return len(c.acceptors)/2 + 1 }

// expect is an error unless what was seen is as it must be.
func expect(good bool, format string, args ...any) error {
	if good {
		return nil
	}
	return fmt.Errorf("not as it must be: "+format, args...)
}

// ending is what a call that runs beside the story comes to.
type ending struct {
	decided
	err error
}

func (c *council) deciding(ctx context.Context, name, what, value string, timeout time.Duration) <-chan ending {
	done := make(chan ending, 1)
	go func() {
		d, err := c.decide(ctx, name, what, value, timeout)
		done <- ending{d, err}
	}()
	return done
}

// name is a ballot as the lines show it.
func (c *council) name(b paxos.Ballot) string {
	for _, e := range c.hub.since(0) {
		if e.Node == b.Node {
			return fmt.Sprintf("%d.%s", b.Round, e.Name)
		}
	}
	return b.String()
}

// chosenBy waits until a quorum has voted for a value in one ballot, and returns it.
func (c *council) chosenBy(ctx context.Context, mark int, what, value string) (b paxos.Ballot, err error) {
	_, err = c.hub.await(ctx, mark, fmt.Sprintf("a quorum of votes for %q in one ballot", value), func(s eventList) bool {
		voters := map[paxos.Ballot]map[string]bool{}
		for _, e := range s.of(what).sent("accepted") {
			if voters[e.Ballot] == nil {
				voters[e.Ballot] = map[string]bool{}
			}
			if string(e.Value) == value {
				voters[e.Ballot][e.Name] = true
			}
			if len(voters[e.Ballot]) >= c.quorum() {
				b = e.Ballot
				return true
			}
		}
		return false
	})
	return b, err
}

// first waits for the first event that is good.
func (c *council) first(ctx context.Context, mark int, what string, good func(eventList) eventList) (synod.DecreeEvent, error) {
	s, err := c.hub.await(ctx, mark, what, func(s eventList) bool { return len(good(s)) > 0 })
	if err != nil {
		return synod.DecreeEvent{}, err
	}
	return good(s)[0], nil
}

// learnedBy waits until processes know what is chosen.
func (c *council) learnedBy(ctx context.Context, mark int, what, value string, names ...string) (eventList, error) {
	s, err := c.hub.await(ctx, mark, strings.Join(names, ", ")+" learning "+what, func(s eventList) bool {
		return len(s.of(what).sent("learned").by(names...).names()) == len(names)
	})
	for _, e := range s.of(what).sent("learned") {
		err = errors.Join(err, expect(string(e.Value) == value, "%s learned %q, and %q is chosen", e.Name, e.Value, value))
	}
	return s.of(what), err
}

// cleanDecision: nobody disturbs (P5, L1).
func (c *council) cleanDecision(ctx context.Context) (string, error) {
	if err := errors.Join(c.start(ctx, c.names()...), c.warm(ctx)); err != nil {
		return "", err
	}
	mark := c.hub.mark()
	d, err := c.decide(ctx, "p1", "colour", "green", 10*time.Second)
	if err != nil {
		return "", err
	}
	if _, err := c.learnedBy(ctx, mark, "colour", "green", demoLearners...); err != nil {
		return "", err
	}
	ballot, err := c.chosenBy(ctx, mark, "colour", "green")
	s := c.hub.since(mark).of("colour")
	return fmt.Sprintf("p1 asked %d acceptors for a promise in ballot %s. None of a quorum had voted, so p1 was free to ask for votes for "+
			`"green". %d of %d voted: it is chosen, and l1, l2 and l3 know.`, len(c.acceptors), c.name(ballot),
			len(s.sent("accepted").names()), len(c.acceptors)),
		errors.Join(err, expect(d.Fate == fateChosen && d.Value == "green", "p1 was told %+v", d),
			expect(len(s.sent("promise").names()) >= c.quorum(), "promises of %v", s.sent("promise").names()))
}

// warm passes decrees until every process knows every other and who the acceptors are:
// gossip takes a moment, and the story is not about it.
func (c *council) warm(ctx context.Context) error {
	for i := 0; ctx.Err() == nil; i++ {
		mark, name := c.hub.mark(), fmt.Sprintf("%s %s %d", warmUp, c.scheme, i)
		if c.passed(ctx, name) && c.acquainted(c.hub.since(mark).of(name)) {
			return nil
		}
	}
	return errors.New("the processes did not find each other")
}

// passed has both proposers pass a decree, and all learners learn it.
func (c *council) passed(ctx context.Context, name string) bool {
	for _, p := range demoProposers {
		if _, err := c.decide(ctx, p, name, "up", 5*time.Second); err != nil {
			return false
		}
	}
	for _, l := range demoLearners {
		if _, err := c.learn(ctx, l, name, 5*time.Second); err != nil {
			return false
		}
	}
	return true
}

// acquainted reports whether acceptors and learners took up a decree knowing whom to
// tell, and every acceptor heard both proposers.
func (c *council) acquainted(s eventList) bool {
	knew := s.sent("begins").filter(func(e synod.DecreeEvent) bool {
		return e.Role != synod.RoleProposer && len(e.Start.Learners) == len(demoLearners) && len(e.Start.Distinguished) == len(c.told)
	})
	for _, p := range demoProposers {
		if len(s.received("prepare").from(p).names()) < len(c.acceptors) {
			return false
		}
	}
	return len(knew.names()) == len(c.acceptors)+len(demoLearners)
}

// lateProposer: roles share no process, and who knows the choice tells it (P9, A7).
func (c *council) lateProposer(ctx context.Context) (string, error) {
	mark := c.hub.mark()
	d, err := c.decide(ctx, "p2", "colour", "red", 10*time.Second)
	if err != nil {
		return "", err
	}
	roles := map[string]map[synod.Role]bool{}
	for _, e := range c.hub.since(0) {
		if roles[e.Name] == nil {
			roles[e.Name] = map[synod.Role]bool{}
		}
		roles[e.Name][e.Role] = true
		if len(roles[e.Name]) > 1 {
			return "", expect(false, "%s plays %v", e.Name, roles[e.Name])
		}
	}
	red := c.hub.since(mark).of("colour").filter(func(e synod.DecreeEvent) bool { return string(e.Value) == "red" && e.Kind != "wanted" })
	return fmt.Sprintf(`%d processes, one role each. p2 came later with "red". The acceptors told it that "green" is chosen; it asked for no `+
			"vote, and its caller was told: surely not.", len(roles)),
		errors.Join(expect(d.Fate == fateSurelyNot && d.Value == "green", "p2 was told %+v", d),
			expect(len(red) == 0, "somebody was asked to vote for red: %v", red))
}

// acceptorsKilled: a quorum goes on without the others (P4); with less, a value that
// was voted for is unknown (P10), and chosen when one comes back (A1).
func (c *council) acceptorsKilled(ctx context.Context) (string, error) {
	few, next := c.acceptors[:c.quorum()-1], c.acceptors[c.quorum()-1]
	left := c.acceptors[c.quorum():]
	c.kill(few...)
	if d, err := c.decide(ctx, "p1", "shape", "round", 10*time.Second); err != nil || d.Fate != fateChosen {
		return "", fmt.Errorf("without %v p1 was told %+v: %w", few, d, err)
	}
	mark := c.hub.mark()
	if err := c.fault(ctx, "p1", false, fault{Do: "hold", Kind: "accept", Decree: "size"}); err != nil {
		return "", err
	}
	first := c.deciding(ctx, "p1", "size", "big", 1500*time.Millisecond)
	s, err := c.hub.await(ctx, mark, "p1 asking for votes", func(s eventList) bool { return len(s.of("size").sent("accept")) > 0 })
	if err != nil {
		return "", err
	}
	ballot := s.of("size").sent("accept").last().Ballot
	c.kill(next)
	if err := c.fault(ctx, "p1", true); err != nil {
		return "", err
	}
	told := <-first
	unknown, _ := errors.AsType[*api.Error](told.err)
	if unknown == nil || unknown.Code != api.CodeUnknown {
		return "", expect(false, "without a quorum p1 was told %+v, %v", told.decided, told.err)
	}
	back := c.hub.mark()
	if err := c.start(ctx, next); err != nil {
		return "", err
	}
	d, err := c.decide(ctx, "p2", "size", "small", 10*time.Second)
	if err != nil {
		return "", err
	}
	remembered, err := c.first(ctx, back, next+" taking up its promise", func(s eventList) eventList { return s.of("size").sent("begins").by(next) })
	if err != nil {
		return "", err
	}
	err = errors.Join(expect(d.Value == "big" && d.Fate == fateSurelyNot, "p2 was told %+v", d),
		expect(remembered.Start.Promised == ballot, "%s came back with %v", next, remembered.Start.Promised),
		c.start(ctx, few...))
	return fmt.Sprintf("With %s killed %d of %d acceptors are left, and %q was chosen. When %s was killed too, after it had promised %s, "+
		`only %s voted for "big": p1's caller was told unknown. %s came back with that promise on its disk, and p2, which proposed "small", was told `+
		`that "big" is chosen: unknown had not meant failed.`, strings.Join(few, ", "), c.quorum(), len(c.acceptors), "round", next,
		c.name(ballot), strings.Join(left, ", "), next), err
}

// duel: each of two proposers outbids the other before it gets votes, until nobody
// arranges it any more; then random waits end it (P7).
func (c *council) duel(ctx context.Context) (string, error) {
	const what = "duel"
	mark := c.hub.mark()
	hold := fault{Do: "hold", Kind: "accept", Decree: what}
	if err := errors.Join(c.fault(ctx, "p1", false, hold), c.fault(ctx, "p2", false, hold)); err != nil {
		return "", err
	}
	ends := map[string]<-chan ending{}
	highest := paxos.Ballot{}
	for i, p := range []string{"p1", "p2", "p1", "p2", "p1"} {
		if ends[p] == nil {
			ends[p] = c.deciding(ctx, p, what, map[string]string{"p1": "heads", "p2": "tails"}[p], 15*time.Second)
		} else if err := c.fault(ctx, p, true, hold); err != nil { // what is held leaves, too late
			return "", err
		}
		s, err := c.hub.await(ctx, mark, fmt.Sprintf("%s outbidding in turn %d", p, i+1), func(s eventList) bool {
			return highest.Less(s.of(what).sent("accept").by(p).last().Ballot)
		})
		if err != nil {
			return "", err
		}
		highest = s.of(what).sent("accept").by(p).last().Ballot
	}
	if err := errors.Join(c.fault(ctx, "p1", false), c.fault(ctx, "p2", false)); err != nil {
		return "", err
	}
	one, two := <-ends["p1"], <-ends["p2"]
	if err := errors.Join(one.err, two.err); err != nil {
		return "", err
	}
	_, err := c.chosenBy(ctx, mark, what, one.Value)
	for _, p := range demoProposers {
		_, refused := c.first(ctx, mark, p+" being refused", func(s eventList) eventList { return s.of(what).received("nack").by(p) })
		err = errors.Join(err, refused)
	}
	s := c.hub.since(mark).of(what)
	prepared := map[paxos.Ballot]string{}
	for _, e := range s.sent("prepare") {
		if other := prepared[e.Ballot]; other != "" && other != e.Name {
			err = errors.Join(err, expect(false, "ballot %v is of %s and %s", e.Ballot, other, e.Name))
		}
		prepared[e.Ballot] = e.Name
	}
	return fmt.Sprintf("p1 and p2 outbid each other in %d ballots: each time the other had the newer promises and %d requests were refused. Then "+
			"both waited at random, one got through, and both callers were told %q.", len(prepared), len(s.sent("nack")), one.Value),
		errors.Join(err, expect(one.Value == two.Value, "p1 was told %q, p2 %q", one.Value, two.Value))
}

// proposerKilled: one vote is left of it, which the next one has to take up (P5); it
// comes back beyond its old rounds (P2).
func (c *council) proposerKilled(ctx context.Context) (string, error) {
	const what = "animal"
	mark := c.hub.mark()
	var others, missing []fault
	for _, a := range c.acceptors[1:] {
		others = append(others, fault{Do: "lose", Kind: "accept", To: a, Decree: what})
	}
	for _, a := range c.acceptors[c.quorum():] {
		missing = append(missing, fault{Do: "lose", Kind: "prepare", To: a, Decree: what})
	}
	if err := errors.Join(c.fault(ctx, "p1", false, others...), c.fault(ctx, "p2", false, missing...),
		c.fault(ctx, "a1", false, fault{Do: "lose", Kind: "accepted", Decree: what})); err != nil {
		return "", err
	}
	first := c.deciding(ctx, "p1", what, "cat", 10*time.Second)
	s, err := c.hub.await(ctx, mark, "a1's vote", func(s eventList) bool { return len(s.of(what).sent("accepted").by("a1")) > 0 })
	if err != nil {
		return "", err
	}
	old := s.of(what).sent("accepted").by("a1").last().Ballot
	c.kill("p1")
	<-first
	d, err := c.decide(ctx, "p2", what, "dog", 10*time.Second)
	if err != nil {
		return "", err
	}
	told, err := c.first(ctx, mark, "a1's promise to p2", func(s eventList) eventList { return s.of(what).received("promise").by("p2").from("a1") })
	if err := errors.Join(err, c.fault(ctx, "p2", false), c.fault(ctx, "a1", false), c.start(ctx, "p1")); err != nil {
		return "", err
	}
	again := c.hub.mark()
	if _, err := c.decide(ctx, "p1", what+"2", "bird", 10*time.Second); err != nil {
		return "", err
	}
	prepare, err := c.first(ctx, again, "p1's next ballot", func(s eventList) eventList { return s.of(what + "2").sent("prepare").by("p1") })
	next := prepare.Ballot
	return fmt.Sprintf(`p1 was killed when a1 alone had voted for "cat" in %s. p2 wanted "dog", heard of that vote in phase 1 and asked for "cat" `+
			"instead, since it might be chosen. p1, started again, goes on with round %d.", c.name(old), next.Round),
		errors.Join(err, expect(d.Value == "cat" && d.Fate == fateSurelyNot, "p2 was told %+v", d),
			expect(told.Other == old && string(told.Value) == "cat", "a1 told p2 %v", told),
			expect(old.Less(next), "p1 uses %v after %v", next, old))
}
