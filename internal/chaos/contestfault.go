package chaos

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// harness is who says that the judging process itself stood still.
const harness = "harness"

// meter notes when this process had no time: what it measures then is too long.
func (c *Contest) meter(ctx context.Context) {
	tick := time.NewTicker(meterTick)
	defer tick.Stop()
	last := Now()
	for ctx.Err() == nil {
		<-tick.C
		now := Now()
		if now-last > meterTick+stoodLeast {
			c.guarded.hear(Said{Who: harness, Kind: SaidStood, From: last, At: now})
		}
		last = now
	}
}

// inject waits until somebody holds and others wait, harms nodes or contenders, and
// returns when all of them are back and somebody holds again.
func (c *Contest) inject(ctx context.Context, f Fault) error {
	if err := c.view.await(recoverLimit, c.contested); err != nil {
		return err
	}
	over, who, err := len(c.view.over), "", error(nil)
	began := Now()
	switch f.Kind {
	case KillHolder, NapHolder, PauseHolder, CutHolder, KillWaiter, PauseWaiter, KillHolderAndLeader, PauseHolderAndLeader:
		who, err = c.harm(ctx, f)
	default:
		err = c.Run.inject(ctx, f)
	}
	switch f.Kind {
	case KillHolder, NapHolder, PauseHolder, CutHolder, KillWaiter, PauseWaiter:
	default:
		c.nodes = append(c.nodes, Harm{Kind: f.Kind, From: began, To: Now()})
	}
	if err != nil {
		return err
	}
	if err := c.view.await(recoverLimit, c.contested); err != nil {
		return err
	}
	for _, r := range c.view.over[over:] {
		switch {
		case r.Who == who && f.Kind != NapHolder:
		case f.Kind.stopsWrites() || c.stood(r.At-2*sessionTimeout, r.At) >= disturbance:
			c.counts.Expired++
		default:
			c.fail("cycle %d (%v): session %x of %s ended, to which nothing was done: %s", c.report.Cycles, f, r.Session, r.Who, r.Text)
		}
	}
	return nil
}

// contested fails unless somebody holds and at least one other waits behind.
func (c *Contest) contested(v *contestView) error {
	if _, held := v.holder(); !held {
		return fmt.Errorf("chaos: nobody holds")
	}
	if len(c.waiting(v)) == 0 {
		return fmt.Errorf("chaos: nobody waits")
	}
	return nil
}

// waiting are the contenders that stand in the queue behind the holder.
func (c *Contest) waiting(v *contestView) (list []*Speaker) {
	holder, _ := v.holder()
	for _, s := range c.contenders {
		key, known := v.keys[s.Name]
		if _, gone := v.gone[trimRoot(key.change().Path)]; known && !gone && v.waits[s.Name] && key.change().Index > holder.Token {
			list = append(list, s)
		}
	}
	return list
}

// named returns a contender by name.
func (c *Contest) named(name string) *Speaker {
	return c.contenders[slices.IndexFunc(c.contenders, func(s *Speaker) bool { return s.Name == name })]
}

// harm strikes one contender, waits until the next one has been let in, or until its
// key is gone if it waited, and lets it live again.
func (c *Contest) harm(ctx context.Context, f Fault) (who string, err error) {
	leader, err := c.cluster.WaitLeader(ctx, recoverLimit)
	if err != nil {
		return "", err
	}
	c.workload.Leads(leader)
	held, err := c.keepHolder()
	if err != nil {
		return "", err
	}
	victim := c.named(held.Who)
	if f.Kind == KillWaiter || f.Kind == PauseWaiter {
		list := c.waiting(c.view)
		victim = list[f.Pick%len(list)]
	}
	key := c.view.keys[victim.Name]
	c.term = c.cluster.term(ctx)
	h := Harm{Kind: f.Kind, Who: victim.Name, From: Now()}
	if err := c.strike(f.Kind, victim, leader); err != nil {
		return "", err
	}
	switch f.Kind {
	case NapHolder:
	case KillWaiter, PauseWaiter:
		err = c.awaitGone(f, key, h.From)
	default:
		err = c.awaitSuccessor(f, held, h.From)
	}
	if err != nil {
		return "", err
	}
	if err := hold(ctx, h.From+f.Hold-Now()); err != nil {
		return "", err
	}
	err = c.heal(f.Kind, victim, leader)
	if f.Kind != KillHolder && f.Kind != KillHolderAndLeader { // a new process does not hear it yet
		c.named(held.Who).process.Signal(signalGo)
	}
	h.To = Now()
	c.harms = append(c.harms, h)
	if err != nil || f.Kind == NapHolder {
		return victim.Name, err
	}
	return victim.Name, c.view.await(recoverLimit, func(v *contestView) error {
		if v.opened[victim.Name] < h.From {
			return fmt.Errorf("chaos: %s does not come back with a session, see %s", victim.Name, victim.process.Log)
		}
		return nil
	})
}

// keepHolder finds who holds and has it hold on until it has lost it: one that gives the
// lock back by itself meanwhile would show nothing.
func (c *Contest) keepHolder() (held Record, err error) {
	for range 10 {
		if err := c.view.await(recoverLimit, c.contested); err != nil {
			return held, err
		}
		held, _ = c.view.holder()
		asked := Now()
		c.named(held.Who).process.Signal(signalStay)
		if err := c.view.await(recoverLimit, func(v *contestView) error {
			if v.stays[held.Who] < asked {
				return fmt.Errorf("chaos: %s does not obey", held.Who)
			}
			return nil
		}); err != nil {
			return held, err
		}
		if now := c.view.holds[held.Who]; now.Token == held.Token {
			return held, c.contested(c.view)
		}
	}
	return held, fmt.Errorf("chaos: nobody holds for long")
}

// strike does what the fault says, to the contender and, of some, to the leader of
// the cluster too.
func (c *Contest) strike(kind FaultKind, victim *Speaker, leader int) error {
	c.logf("%s: %s, leader %s", kind, victim.Name, c.cluster.Nodes[leader].Name)
	switch kind {
	case KillHolder, KillWaiter, KillHolderAndLeader:
		victim.process.Kill()
	case NapHolder, PauseHolder, PauseWaiter, PauseHolderAndLeader:
		victim.process.Signal(syscall.SIGSTOP)
	case CutHolder:
		if victim.guest < 0 {
			return fmt.Errorf("chaos: %s needs contenders in networks of their own", kind)
		}
		return c.cluster.Network.Apply(c.cutOff(victim))
	}
	if kind == KillHolderAndLeader || kind == PauseHolderAndLeader {
		c.cluster.Kill(leader)
	}
	return nil
}

// cutOff are the rules that part a contender from all nodes.
func (c *Contest) cutOff(victim *Speaker) (rules []Rule) {
	for n := range c.cluster.Nodes {
		rules = append(rules, Rule{victim.guest, n, 100}, Rule{n, victim.guest, 100})
	}
	return rules
}

// heal takes back what strike has done.
func (c *Contest) heal(kind FaultKind, victim *Speaker, leader int) error {
	if kind == KillHolderAndLeader || kind == PauseHolderAndLeader {
		if err := c.cluster.Start(leader); err != nil {
			return err
		}
	}
	switch kind {
	case KillHolder, KillWaiter, KillHolderAndLeader:
		c.view.update()
		c.view.leave(victim.Name)
		return c.launch(victim)
	case CutHolder:
		return c.cluster.Network.Apply(nil)
	}
	victim.process.Signal(syscall.SIGCONT)
	return nil
}

// awaitSuccessor waits until somebody else has been let in and judges how long that
// took. A holder that had given the lock back before it was struck proves nothing.
func (c *Contest) awaitSuccessor(f Fault, held Record, struck time.Duration) error {
	limit := afterSilence
	switch f.Kind {
	case KillHolder:
		limit = afterDeath
	case KillHolderAndLeader, PauseHolderAndLeader:
		limit = afterBoth
	}
	var next Record
	err := c.view.await(limit+recoverLimit, func(v *contestView) (err error) {
		ok := false
		if next, ok = v.after(held.Token); !ok {
			err = fmt.Errorf("chaos: nobody was let in after %s", held.Who)
		}
		return err
	})
	if err != nil {
		return err
	}
	if at, released := c.view.released[held.Token]; !released || at > struck {
		c.measured(f.Kind, struck, next.At, limit)
	}
	return nil
}

// awaitGone waits until an observer was told that a waiter's key is gone.
func (c *Contest) awaitGone(f Fault, key Record, struck time.Duration) error {
	limit := afterSilence
	if f.Kind == KillWaiter {
		limit = afterDeath
	}
	var gone Record
	err := c.view.await(limit+recoverLimit, func(v *contestView) error {
		ok := false
		if gone, ok = v.gone[trimRoot(key.change().Path)]; !ok {
			return fmt.Errorf("chaos: %s is still there", key.change().Path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.measured(f.Kind, struck, gone.At, limit)
	return nil
}

// disturbance is from how long on this process must have stood still for a time to say
// nothing about the cluster: its nodes had no processor either.
const disturbance = 500 * time.Millisecond

// stood is for how long this process stood still between two times.
func (c *Contest) stood(from, to time.Duration) (sum time.Duration) {
	for _, s := range c.view.stood {
		sum += max(0, min(s.At, to)-max(s.From, from))
	}
	return sum
}

// wall is the time of day of one of Now.
func wall(at time.Duration) time.Time { return time.Now().Add(at - Now()) }

// measured judges a time, less what this process itself stood still meanwhile. A new leader gives each session its whole
// time: one that has come to lead without the contest's doing, as where a disk stood still, makes it as long as if it had.
func (c *Contest) measured(kind FaultKind, from, to, limit time.Duration) {
	wait, slack := to-from, c.stood(from, to)
	if limit < afterBoth && c.cluster.term(context.Background()) != c.term {
		limit = afterBoth
		c.logf("the leader changed: %s was followed after %v", kind, wait.Round(time.Millisecond))
	}
	switch {
	case wait < 0: // it was over before the harm
		return
	case slack >= disturbance || wait > limit && c.crowd.crowded(wall(from), wall(to)):
		c.counts.Disturbed++
		return
	}
	c.next[kind] = append(c.next[kind], wait)
	if wait > limit+slack {
		c.fail("cycle %d (%s): the next was let in after %v, want %v (this process stood still for %v meanwhile)", c.report.Cycles, kind,
			wait.Round(time.Millisecond), limit, slack.Round(time.Millisecond))
	}
}
