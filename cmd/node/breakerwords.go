package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/api"
)

// learnVoters asks who votes. Without an answer it is who did when there was one, or else the
// nodes that dev has started.
func (b *breaker) learnVoters(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	status, err := b.client.Status(ctx, false)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil && status.Leader != "" {
		b.voters = b.voters[:0]
		for _, m := range status.Members {
			if m.Voter {
				b.voters = append(b.voters, m.Name)
			}
		}
	}
	if len(b.voters) == 0 {
		b.voters = namesOf(b.fleet.nodes)
		b.voters = b.voters[:len(b.voters)-1+len(b.voters)%2]
	}
}

// slowAsCut is the delay from which on heartbeats and votes come too late to count.
const slowAsCut = 300 * time.Millisecond

// together are the most voters of which one runs and reaches all the others, with one more
// fault in force, or nil. b.mu is held.
func (b *breaker) together(more *madeFault) int {
	before := b.faults
	defer func() { b.faults = before }()
	if more != nil {
		b.faults = append(slices.Clone(b.faults), more)
	}
	most := 0
	for _, x := range b.voters {
		n := 0
		for _, y := range b.voters {
			r := b.between(x, y)
			if b.runs(x) && b.runs(y) && !r.Cut && r.DelayMillis < slowAsCut.Milliseconds() {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// runs reports whether a child does, and is not killed or paused. b.mu is held.
func (b *breaker) runs(name string) bool {
	c := b.fleet.find(name)
	return c != nil && c.pid() != 0 && !b.has(api.FaultPause, name) && !b.has(api.FaultKill, name) && !b.has(api.FaultRestart, name)
}

// checkQuorum refuses what would take the quorum, unless the request says yes.
func (b *breaker) checkQuorum(f api.FaultRequest, targets []*child) error {
	if f.Yes || f.Kind == api.FaultHeal || f.Kind == api.FaultResume {
		return nil
	}
	delay, _ := f.Times()
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.Kind == api.FaultRestart { // who is down loses nothing by it
		targets = slices.DeleteFunc(slices.Clone(targets), func(c *child) bool { return c.pid() == 0 })
	}
	quorum := len(b.voters)/2 + 1
	left := b.together(&madeFault{Fault: api.Fault{Kind: f.Kind, Nodes: namesOf(targets)}, delay: delay})
	if left >= quorum || b.together(nil) < quorum {
		return nil
	}
	return &api.Error{Code: api.CodeQuorum, Message: fmt.Sprintf("%s %s would take the quorum", f.Kind, named(targets)),
		Why: fmt.Sprintf("of %d voters %d would be left that run and reach each other in time, and %d are needed. %s", len(b.voters), left, quorum, withoutQuorum),
		Do:  []string{"to see just that:  node fault " + faultLine(f) + " --yes"}}
}

const withoutQuorum = "Nobody would lead: writes and linearizable reads wait and fail with E-NOLEADER, stale reads go on, tasks run on, and nothing that was acknowledged is lost"

// text says what a fault is.
func (b *breaker) text(m *madeFault) string {
	who, others := strings.Join(m.Nodes, ", "), ""
	for _, c := range b.children() {
		if !m.about(c.name) {
			others += ", " + c.name
		}
	}
	others = strings.TrimPrefix(others, ", ")
	is := " is "
	if len(m.Nodes) > 1 {
		is = " are "
	}
	switch m.Kind {
	case api.FaultKill:
		return who + is + "killed"
	case api.FaultPause:
		return who + is + "paused"
	case api.FaultCut:
		return who + is + "cut off from " + others
	}
	return fmt.Sprintf("between %s and %s everything arrives %v later", who, others, m.delay)
}

// willBeSeen says what a fault that is being made will show. b.mu is held.
func (b *breaker) willBeSeen(m *madeFault) string {
	quorum := len(b.voters)/2 + 1
	switch {
	case b.together(m) < quorum:
		return "no quorum: nobody leads, and writes wait until it is healed"
	case slices.ContainsFunc(m.Nodes, func(name string) bool { return slices.Contains(b.voters, name) }):
		return "a majority is left: if the leader is concerned, another one is elected within a second"
	case m.Kind == api.FaultKill:
		return "its tasks run on; started again, it takes them up"
	}
	return "its tasks run on; unless it is back in time it is unreachable, and its tasks are started elsewhere"
}

// healedText says what became of a fault.
func healedText(f api.Fault) string {
	who, is := strings.Join(f.Nodes, ", "), " is "
	if len(f.Nodes) > 1 {
		is = " are "
	}
	switch f.Kind {
	case api.FaultKill:
		return who + is + "started again"
	case api.FaultPause:
		return who + verbOf(len(f.Nodes), " goes", " go") + " on"
	case api.FaultCut:
		return who + is + "connected again"
	}
	return who + is + "as fast as before"
}

func verb(list []*child, one, many string) string { return verbOf(len(list), one, many) }

func verbOf(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
