package models

import (
	"fmt"
	"math/bits"
	"testing"

	"github.com/synod-go/synod/internal/explore"
)

// The lease: three acceptors, up to four ballots, clocks that go at different
// speeds. Ballot 1 leads at the start. Ballots 1 and 3 are replica 0's, 2 and 4
// replica 1's, which is also whom 0 hands its leadership to.
//
// Time has no bound: a state holds what is left of each promise on the
// acceptor's clock and what is left of each answer on the leader's. A tick of
// true time moves each clock by 0, 1 or 2, so that over any span a clock is at
// most one ahead or behind.
//
// A leader that is elected may have its first write acknowledged at once. So a
// lease must not hold while a later ballot has its quorum of Promises.
const leaseBallots = 4

// Ballots count from 1: [b-1]; a bit mask has 1<<b for ballot b.
type leaseState struct {
	ahead    [3]uint8               // 1 if the clock is ahead of true time
	promised [3]uint8               // ballots
	heard    [3]uint8               // the ballot of the last leader that was heard; 0 after a restart
	until    [3]uint8               // how long the acceptor promises no other ballot
	fresh    [3]uint8               // how long ago it has restarted, from lease down; see waitsAfterStart
	left     [leaseBallots][3]uint8 // how long the leader may count on the acceptor's answer
	promises [leaseBallots]uint8    // acceptors that have answered Prepare
	prepared uint8                  // ballots with a Prepare on its way
	over     uint8                  // the same with Prepare{Over: 1}
	answered [leaseBallots]uint8    // for countsFromReceipt: acceptors that have ever answered a Heartbeat
	gaveUp   uint8                  // ballots whose lease has been given up for good
	ended    uint8                  // ballots whose leader has restarted
	campaign bool                   // Campaign has been sent by ballot 1
	seal     bool                   // ballot 1 has proposed a SEAL
	nextOne  bool                   // the next epoch has acknowledged a write
	looked   bool                   // for looksTooEarly: the lease held when the leader looked
}

const (
	looksTooEarly     mutant = "M6: the lease is looked at before the read has come"
	forgetsPromise    mutant = "M6: a restarted acceptor forgets its promise"
	ignoresDrift      mutant = "the lease is not shorter than the promise"
	countsFromReceipt mutant = "the lease is counted from the answer's receipt"
	keepsAtCampaign   mutant = "the lease is kept after Campaign"
	keepsAtSeal       mutant = "rule 7: the lease is kept after a SEAL"
	passesAnyPromise  mutant = "Over passes any promise, not only that of the ballot it names"
	hearsLightly      mutant = "a Heartbeat of a higher ballot than the promised one does not raise the promise"
	answersLower      mutant = "a Heartbeat of a lower ballot than the promised one is answered"
)

type leaseModel struct {
	mutant  mutant
	ballots int
	lease   uint8 // how long an acceptor promises
	drift   uint8 // by how much two clocks may differ over a span: 2 or 0
	// plain has Prepares without Over, a SEAL, and restarts of every replica, not
	// only of the one that never leads.
	plain bool
	// handOver has a Campaign and Prepares with Over.
	handOver bool
	// waitsAfterStart is another way not to forget whom the acceptor has heard: a
	// Heartbeat does not raise the promise, but for a lease after its start the
	// acceptor passes over its promise for nobody.
	waitsAfterStart bool
}

func leaderOf(b int) int { return (b - 1) % 2 }

func (leaseModel) Initial(yield func(leaseState)) {
	yield(leaseState{promised: [3]uint8{1, 1, 0}, promises: [leaseBallots]uint8{0b011}})
}

func (m leaseModel) Next(s leaseState, yield func(explore.Label, leaseState)) {
	m.tick(s, yield)
	m.giveUp(s, yield)
	for p := range 3 {
		if m.plain || p == 2 {
			m.restart(s, p, yield)
		}
	}
	for b := 1; b <= m.ballots; b++ {
		m.prepare(s, b, yield)
		for p := range 3 {
			m.promise(s, b, p, yield)
			m.heartbeat(s, b, p, yield)
			m.accept(s, b, p, yield)
		}
	}
	if m.mutant == looksTooEarly && !s.looked && holdsLease(s, 1) {
		s.looked = true
		yield(explore.Step("leader %d looks at its clock, and pauses", 1), s)
	}
}

// tick moves the clocks.
func (m leaseModel) tick(s leaseState, yield func(explore.Label, leaseState)) {
	for choice := range uint8(8) {
		next := s
		var by [3]uint8
		for p := range 3 {
			next.ahead[p] = choice >> p & 1
			by[p] = 1 + next.ahead[p] - s.ahead[p]
			next.until[p] -= min(next.until[p], by[p])
			next.fresh[p] -= min(next.fresh[p], by[p])
		}
		for b := range m.ballots {
			for p := range 3 {
				next.left[b][p] -= min(next.left[b][p], by[leaderOf(b+1)])
			}
		}
		yield(explore.Step("a tick: the clocks go on by %d, %d and %d", int(by[0]), int(by[1]), int(by[2])), next)
		if m.drift == 0 {
			return
		}
	}
}

func elected(s leaseState, b int) bool { return bits.OnesCount8(s.promises[b-1]) >= 2 }

func leads(s leaseState, b int) bool { return elected(s, b) && s.ended>>b&1 == 0 }

// holdsLease says whether the leader may read at this moment, by its clock.
func holdsLease(s leaseState, b int) bool {
	answers := 0
	for _, left := range s.left[b-1] {
		if left > 0 {
			answers++
		}
	}
	return answers >= 2 && leads(s, b) && s.gaveUp>>b&1 == 0
}

// giveUp is Campaign and SEAL, before which the leader gives up its lease.
func (m leaseModel) giveUp(s leaseState, yield func(explore.Label, leaseState)) {
	if next := s; leads(s, 1) && !s.campaign && m.handOver {
		next.campaign = true
		if m.mutant != keepsAtCampaign {
			next.gaveUp |= 1 << 1
		}
		yield(explore.Step("leader %d sends Campaign", 1), next)
	}
	if next := s; leads(s, 1) && !s.seal && m.plain {
		next.seal = true
		if m.mutant != keepsAtSeal {
			next.gaveUp |= 1 << 1
		}
		yield(explore.Step("leader %d proposes a SEAL", 1), next)
	}
	voters := 0
	for p := range 3 {
		if s.promised[p] == 1 {
			voters++
		}
	}
	if s.seal && !s.nextOne && voters >= 2 {
		s.nextOne = true
		yield(explore.Step("the SEAL is chosen, and epoch %d acknowledges a write", 2), s)
	}
}

// restart forgets everything that is not durable, and lets the acceptor begin as
// if it had just heard its leader.
func (m leaseModel) restart(s leaseState, p int, yield func(explore.Label, leaseState)) {
	s.until[p], s.heard[p] = m.lease, 0
	if m.mutant == forgetsPromise {
		s.until[p] = 0
	}
	if m.waitsAfterStart {
		s.fresh[p] = m.lease
	}
	for b := 1; b <= m.ballots; b++ {
		if leaderOf(b) == p && (elected(s, b) || (s.prepared|s.over)>>b&1 == 1) {
			s.ended |= 1 << b
			s.left[b-1] = [3]uint8{}
		}
	}
	s.looked = s.looked && p != 0
	yield(explore.Step("replica %d restarts", p), s)
}

// prepare sends a Prepare, or one that says Over if it follows a Campaign. The
// leader that sent the Campaign may be the one to say so.
func (m leaseModel) prepare(s leaseState, b int, yield func(explore.Label, leaseState)) {
	if b == 1 || s.ended>>b&1 == 1 || leaderOf(b) == 0 && s.gaveUp>>1&1 == 0 {
		return
	}
	if next := s; s.prepared>>b&1 == 0 && m.plain {
		next.prepared |= 1 << b
		yield(explore.Step("replica %d sends Prepare(%d)", leaderOf(b), b), next)
	}
	if s.campaign && s.over>>b&1 == 0 {
		s.over |= 1 << b
		yield(explore.Step("replica %d sends Prepare(%d) with Over: 1", leaderOf(b), b), s)
	}
}

func (m leaseModel) promise(s leaseState, b, p int, yield func(explore.Label, leaseState)) {
	free := s.prepared>>b&1 == 1 && s.until[p] == 0
	over := s.over>>b&1 == 1 && (s.until[p] == 0 || s.heard[p] == 1 && s.fresh[p] == 0 || m.mutant == passesAnyPromise)
	if int(s.promised[p]) >= b || !free && !over {
		return
	}
	s.promised[p] = uint8(b)
	s.promises[b-1] |= 1 << p
	yield(explore.Step("acceptor %d promises %d", p, b), s)
}

// heartbeat has an acceptor hear the leader, and the leader the answer. That an
// answer takes its time only shortens the lease; the Heartbeat of ballot 1 may
// also come one tick late.
func (m leaseModel) heartbeat(s leaseState, b, p int, yield func(explore.Label, leaseState)) {
	if m.mutant == countsFromReceipt && s.answered[b-1]>>p&1 == 1 && leads(s, b) {
		next := s
		next.left[b-1][p] = m.lease - m.drift
		yield(explore.Step("leader %d receives an answer of %d", b, p), next)
	}
	if !leads(s, b) || int(s.heard[p]) > b || int(s.promised[p]) > b && m.mutant != answersLower {
		return
	}
	s.until[p], s.heard[p] = m.lease, uint8(b)
	if m.mutant != hearsLightly && !m.waitsAfterStart {
		s.promised[p] = max(s.promised[p], uint8(b))
	}
	if m.mutant == countsFromReceipt {
		s.answered[b-1] |= 1 << p
	}
	for late := range uint8(2) {
		next := s
		shorter := late + m.drift
		if m.mutant == ignoresDrift {
			shorter = late
		}
		next.left[b-1][p] = max(s.left[b-1][p], m.lease-min(shorter, m.lease))
		yield(explore.Step("acceptor %d answers the Heartbeat of %d, sent %d ago", p, b, int(late)), next)
		if b > 1 || m.drift == 0 {
			return
		}
	}
}

// accept has an acceptor vote for an elected leader to which it has promised
// nothing. What it has promised to another for a time does not stop that.
func (m leaseModel) accept(s leaseState, b, p int, yield func(explore.Label, leaseState)) {
	if elected(s, b) && int(s.promised[p]) < b && int(s.heard[p]) <= b {
		s.promised[p], s.heard[p], s.until[p] = uint8(b), uint8(b), m.lease
		yield(explore.Step("acceptor %d votes at %d", p, b), s)
	}
}

func (m leaseModel) Key(s leaseState, key []byte) []byte {
	key = append(key, s.prepared, s.over, s.gaveUp, s.ended)
	flags := s.ahead[0] | s.ahead[1]<<1 | s.ahead[2]<<2
	for i, flag := range []bool{s.campaign, s.seal, s.nextOne, s.looked} {
		if flag {
			flags |= 1 << (i + 3)
		}
	}
	key = append(key, flags)
	for p := range 3 {
		key = append(key, s.promised[p]<<4|s.until[p], s.heard[p]<<4|s.fresh[p])
	}
	for b := range m.ballots {
		key = append(key, s.promises[b]|s.answered[b]<<4, s.left[b][0]|s.left[b][1]<<4, s.left[b][2])
	}
	return key
}

// Check holds invariant 11 of section 8, and that no read by lease is stale.
func (m leaseModel) Check(s leaseState) error {
	for b := 1; b <= m.ballots; b++ {
		if !holdsLease(s, b) && (b > 1 || !s.looked) {
			continue
		}
		if b == 1 && s.nextOne {
			return fmt.Errorf("ballot %d reads, and the next epoch has acknowledged a write", b)
		}
		for later := b + 1; later <= m.ballots; later++ {
			if elected(s, later) {
				return fmt.Errorf("ballot %d reads, and %d may have acknowledged a write", b, later)
			}
		}
	}
	return nil
}

var (
	// driftingLease is two leaders on clocks that drift.
	driftingLease = leaseModel{ballots: 2, lease: 4, drift: 2, plain: true}
	// transferredLease is a Campaign on clocks that do not drift.
	transferredLease = leaseModel{ballots: 3, lease: 2, handOver: true}
)

func TestALeaseHoldsOnClocksThatDrift(t *testing.T) {
	holds(t, driftingLease, explore.Config[leaseState]{Sometimes: map[string]func(leaseState) bool{
		"ballot 1 has its lease":              func(s leaseState) bool { return holdsLease(s, 1) },
		"ballot 2 has its lease after that":   func(s leaseState) bool { return holdsLease(s, 2) },
		"the next epoch acknowledges a write": func(s leaseState) bool { return s.nextOne },
	}})
}

// A transfer that fails, and the Prepares that it leaves behind, with each of the
// two ways for an acceptor not to forget whom it has heard.
func TestALeaseIsHandedOverAndComesBack(t *testing.T) {
	for _, waits := range []bool{false, true} {
		m := transferredLease
		m.waitsAfterStart = waits
		if *large {
			m.ballots = 4
		}
		holds(t, m, explore.Config[leaseState]{Sometimes: map[string]func(leaseState) bool{
			"the target is elected while promises of 1 run": func(s leaseState) bool {
				return elected(s, 2) && s.until[0] > 0 && s.until[2] > 0
			},
			"the transfer fails, and the lease comes back at 3": func(s leaseState) bool {
				return holdsLease(s, 3) && s.over>>2&1 == 1
			},
		}})
	}
}

func TestALeaseWithoutOneOfItsRulesIsStale(t *testing.T) {
	for _, c := range []struct {
		model  leaseModel
		broken mutant
		want   string
	}{
		{driftingLease, looksTooEarly, "ballot 1 reads, and"},
		{driftingLease, forgetsPromise, "2 may have acknowledged a write"},
		{driftingLease, ignoresDrift, "2 may have acknowledged a write"},
		{driftingLease, countsFromReceipt, "2 may have acknowledged a write"},
		{driftingLease, answersLower, "may have acknowledged a write"},
		{transferredLease, keepsAtCampaign, "2 may have acknowledged a write"},
		{driftingLease, keepsAtSeal, "the next epoch has acknowledged a write"},
		{transferredLease, hearsLightly, "may have acknowledged a write"},
		{transferredLease, passesAnyPromise, "may have acknowledged a write"},
	} {
		t.Run(string(c.broken), func(t *testing.T) {
			c.model.mutant = c.broken
			fails(t, c.model, explore.Config[leaseState]{}, c.want)
		})
	}
}

// Everything at once: Campaign, SEAL, restarts, and a Prepare without Over.
func TestALeaseHoldsWhateverHappensTogether(t *testing.T) {
	if !*large {
		t.Skip("8.8 million states: needs -large")
	}
	holds(t, leaseModel{ballots: 3, lease: 2, plain: true, handOver: true}, explore.Config[leaseState]{Sometimes: map[string]func(leaseState) bool{
		"ballot 3 has its lease": func(s leaseState) bool { return holdsLease(s, 3) },
	}})
}
