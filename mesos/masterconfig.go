package mesos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// MasterConfig is how a [Master] is set up. Name and Rand are needed; what else is zero has
// its default. Durations and bounds below zero are refused.
type MasterConfig struct {
	// Name and Address are for people and schedulers that look for the leading master.
	Name, Address string
	// Rand makes ContainerIDs, which must differ for ever and on all masters: its seed has
	// at least 128 bits that nobody else has.
	Rand *rand.Rand
	// Allocator is how resources are shared out. Its Rand is the one above if it has none.
	Allocator AllocatorConfig

	// RegisterTimeout is how long an agent may be away after an election or after its link
	// broke, until it is marked unreachable (M-7, P-3). Default 10 min.
	RegisterTimeout time.Duration
	// PingInterval and MaxMissedPings say when an agent that does not answer is marked
	// unreachable (P-1). Default 15 s and 5.
	PingInterval   time.Duration
	MaxMissedPings int
	// RemovalInterval is the least time between two agents that are marked unreachable.
	// Default 0.
	RemovalInterval time.Duration
	// RemovalLimitPercent is how much of all admitted agents may be away RegisterTimeout after
	// the election; if it is more, the master ends instead of marking any. Default 100.
	RemovalLimitPercent int
	// FrameworkGrace is how long after an election no framework is removed for lack of a
	// scheduler: there was no master to connect to. Default 1 min.
	FrameworkGrace time.Duration
	// AllocationInterval is how often offers are made when nothing happens, AllocationDelay
	// how long after something happened. Default 1 s and 10 ms.
	AllocationInterval, AllocationDelay time.Duration
	// OfferTimeout is how long a framework may leave an offer unanswered while another one wants
	// offers: then it is rescinded, and for as long again nothing of the agent is offered to it.
	// Default 5 s.
	OfferTimeout time.Duration
	// Heartbeat is how often a scheduler hears from the master. Default 15 s.
	Heartbeat time.Duration
	// LaunchTimeout is how long an agent may say nothing of a task that it was sent until it is
	// told to register again, so that both know what the other has. Default 1 min.
	LaunchTimeout time.Duration
	// PruneInterval is how often the registry forgets what is older than PruneAge (P-6).
	// Default 15 min.
	PruneInterval time.Duration

	// MaxFrameworks is how many there may be that are not removed. Default 1000.
	MaxFrameworks int
	// MaxTasks is how many a framework may have. Default 100,000.
	MaxTasks int
	// MaxAgentTasks is how many may be on one agent. A registration with more than twice as
	// many is not answered. Default 20,000.
	MaxAgentTasks int
	// MaxOffers is how many may be outstanding. Default 100,000.
	MaxOffers int
	// MaxCallItems is how many offers, tasks or roles a call may name. Default 100,000.
	MaxCallItems int
	// MaxPendingEvents is how many events a scheduler may be behind with before its stream is
	// closed: it is never waited for. More than MaxTasks. Default 200,000.
	MaxPendingEvents int
	// MaxPendingCommits is how many operations of the registry may be under way before
	// schedulers and agents that need one have to come again. Default 10,000.
	MaxPendingCommits int
}

// The default MaxPendingEvents lets an answer to an implicit reconciliation through.
func (c MasterConfig) withDefaults() MasterConfig {
	durations := []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.RegisterTimeout, 10 * time.Minute}, {&c.PingInterval, 15 * time.Second}, {&c.FrameworkGrace, time.Minute},
		{&c.AllocationInterval, time.Second}, {&c.AllocationDelay, 10 * time.Millisecond}, {&c.OfferTimeout, 5 * time.Second},
		{&c.Heartbeat, 15 * time.Second}, {&c.LaunchTimeout, time.Minute}, {&c.PruneInterval, 15 * time.Minute},
	}
	for _, d := range durations {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	numbers := []struct {
		field *int
		value int
	}{
		{&c.MaxMissedPings, 5}, {&c.RemovalLimitPercent, 100}, {&c.MaxFrameworks, 1000}, {&c.MaxTasks, 100_000}, {&c.MaxAgentTasks, 20_000},
		{&c.MaxOffers, 100_000}, {&c.MaxCallItems, 100_000}, {&c.MaxPendingEvents, 200_000}, {&c.MaxPendingCommits, 10_000},
	}
	for _, n := range numbers {
		if *n.field == 0 {
			*n.field = n.value
		}
	}
	if c.Allocator.Rand == nil {
		c.Allocator.Rand = c.Rand
	}
	return c
}

func (c *MasterConfig) check() error {
	if c.Rand == nil {
		return errors.New("mesos: MasterConfig.Rand is missing")
	}
	if err := CheckName(c.Name); err != nil {
		return fmt.Errorf("mesos: MasterConfig.Name: %w", err)
	}
	for _, d := range []time.Duration{c.RegisterTimeout, c.PingInterval, c.RemovalInterval, c.FrameworkGrace,
		c.AllocationInterval, c.AllocationDelay, c.OfferTimeout, c.Heartbeat, c.LaunchTimeout, c.PruneInterval} {
		if d < 0 {
			return fmt.Errorf("mesos: a duration of MasterConfig is %v", d)
		}
	}
	for _, n := range []int{c.MaxMissedPings, c.RemovalLimitPercent, c.MaxFrameworks, c.MaxTasks, c.MaxAgentTasks, c.MaxOffers,
		c.MaxCallItems, c.MaxPendingCommits} {
		if n < 1 {
			return fmt.Errorf("mesos: a bound of MasterConfig is %d", n)
		}
	}
	if c.MaxPendingEvents <= c.MaxTasks {
		return fmt.Errorf("mesos: MasterConfig.MaxPendingEvents is %d, must be more than MaxTasks, %d", c.MaxPendingEvents, c.MaxTasks)
	}
	return nil
}
