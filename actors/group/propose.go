package group

import (
	"errors"
	"slices"
	"time"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
)

// maxPendingBytes is what may wait for the disk before proposals are refused,
// well below the store's own limit, which would end the node.
const maxPendingBytes = 64 << 20

// propose hands the waiting commands to the core, stamped with log time.
func (a *Actor) propose() {
	if len(a.in.proposals) == 0 {
		return
	}
	if a.engine.Role() != consensus.Leader {
		a.refuse(consensus.ErrNotLeader) // whatever our own disk says
		return
	}
	if a.cfg.Store.Full() {
		a.refuse(ErrDiskFull)
		return
	}
	if a.cfg.Store.Pending() > maxPendingBytes {
		a.refuse(ErrOverloaded) // the disk does not keep up
		return
	}
	commands := a.stampAll()
	if len(commands) == 0 {
		return
	}
	first, term, err := a.engine.Propose(commands)
	switch {
	case err == nil:
		a.pending.add(a.in.proposals, first, term)
	case errors.Is(err, consensus.ErrSealing):
		a.handle.putBack(a.in.proposals)
	case errors.Is(err, consensus.ErrOverloaded):
		a.refuse(ErrOverloaded)
	default:
		a.refuse(err)
	}
}

// noteStamp keeps the greatest stamp of the log: a leader that has yet to apply
// what it recovered must not take the group for a new one.
func (a *Actor) noteStamp(entries []consensus.Entry) {
	for _, e := range slices.Backward(entries) {
		if e.Kind == consensus.EntryCommand {
			a.stamp = max(a.stamp, replica.Time(e.Data))
			return // those before are hardly ever greater
		}
	}
}

// stampAll puts log time into the waiting commands and refuses those of the future.
func (a *Actor) stampAll() [][]byte {
	if term := a.engine.Term(); term != a.clockTerm {
		a.clockTerm, a.clock = term, a.handle.logClock(a.now)
	}
	wall := a.cfg.WallClock().UnixMilli()
	machine := a.handle.Replica()
	now := a.clock.Stamp(time.Duration(a.now), wall, max(a.stamp, machine.LogTime()))
	commands := make([][]byte, 0, len(a.in.proposals))
	a.in.proposals = slices.DeleteFunc(a.in.proposals, func(c *call) bool {
		if machine.Future(c.command, max(now, wall)) {
			c.finish(outcome{err: replica.ErrRequestFuture})
			return true
		}
		replica.SetTime(c.command, now)
		commands = append(commands, c.command)
		return false
	})
	return commands
}

func (a *Actor) refuse(err error) {
	for _, c := range a.in.proposals {
		c.finish(outcome{err: err})
	}
}
