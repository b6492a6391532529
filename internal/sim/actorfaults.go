package sim

import (
	"errors"
	"slices"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/storage"
)

// actorFaults are the classes whose faults come one by one to actors.
const actorFaults = Partition | Crash | Pause | SyncError | DiskFull | PeerHint | Membership | Transfer | Snapshot | Panic

func (w *ActorWorld) nextFault(class Fault, n uint64) {
	i := bit(class)
	d := w.dice.at(streamFault, maxKeys-32+i, n)
	w.agenda.add(w.now+d.around(w.weather.every[i])+milli, actorEvent{event: event{kind: evFault, slot: i, a: n}})
}

// fault lets the n-th fault of a class happen, unless the plan leaves it out.
func (w *ActorWorld) fault(class Fault, number uint64) {
	if w.healed {
		return
	}
	w.nextFault(class, number+1)
	if !w.comes(class, number) {
		return
	}
	d := w.dice.at(streamFault, bit(class), number)
	h := w.hosts[d.below(len(w.hosts))]
	if d = d.split(); class&(Crash|Pause|Transfer|Panic) != 0 && d.perMille(450) {
		h = w.leader(h)
	}
	w.strike(class, h, d.split())
}

func (w *ActorWorld) strike(class Fault, h *host, d draw) {
	switch {
	case class == Partition:
		w.partition(d)
	case class == Membership:
		if leader := w.leader(h); leader.up {
			_ = leader.handle.Do(func(e group.Engine) { w.change(leader, e, d) })
		}
	case class == DiskFull:
		w.fillDisk(h)
	case !h.up:
	case class == Crash:
		w.crashSome(h, d)
	case class == Pause:
		h.pausedUntil = max(h.pausedUntil, w.now+d.around(w.weather.pause))
	case class == SyncError:
		if !h.full {
			kind := [...]storage.Fault{storage.Fail, storage.Fail, storage.Short}[d.below(3)]
			h.disk.Fault = storage.FailAt(d.split().between(1, 4), kind)
		}
	case class == PeerHint:
		h.handle.PeerLost(w.hosts[d.below(len(w.hosts))].id)
	case class == Transfer:
		w.transfer(h, d)
	case class == Snapshot:
		h.calls = append(h.calls, pendingCall{Call: h.handle.StartSnapshot()})
	case class == Panic:
		w.panics(h, d)
	}
}

// panics lets an actor panic: in a task between two effects, in one of its next
// calls of the world, in the middle of its effects that is, or in its state machine.
func (w *ActorWorld) panics(h *host, d draw) {
	switch n := d.below(10); {
	case n < 3:
		_ = h.handle.Do(func(group.Engine) { panic(planted) })
	case n < 9:
		h.fuse = 1 + d.split().below(40)
	default:
		h.applyFuse = 1 + d.split().below(20)
	}
}

func (w *ActorWorld) fillDisk(h *host) {
	if h.full {
		h.full = false
		h.disk.SetCapacity(1 << 62)
		return
	}
	h.full = true
	h.disk.SetCapacity(max(h.disk.Used()+w.weather.segment/2, w.weather.capacity))
}

func (w *ActorWorld) transfer(h *host, d draw) {
	to := consensus.None
	if d.perMille(500) {
		to = w.hosts[d.split().below(len(w.hosts))].id
	}
	campaign := d.split().perMille(300)
	_ = h.handle.Do(func(e group.Engine) {
		if campaign {
			w.engine.campaign(e)
		} else if err := e.TransferLeadership(to); err == nil {
			w.trace("transfer  replica %d to %d", h.id, to)
		}
	})
}

// crashSome crashes one machine, or sometimes all at once.
func (w *ActorWorld) crashSome(h *host, d draw) {
	if !d.perMille(50) {
		w.crash(h, d.split())
		return
	}
	for _, x := range w.hosts {
		if d = d.split(); x.up {
			w.crash(x, d)
		}
	}
}

// crash ends a process: by a kill, with the power of its machine, or in good
// order. With Tear the power goes in the middle of the next write.
func (w *ActorWorld) crash(h *host, d draw) {
	w.stats.Crashes++
	how := [...]string{"killed", "killed", "stopped", "power cut", "power cut", "power cut"}[d.below(6)]
	w.trace("crash     replica %d, %s", h.id, how)
	switch d = d.split(); {
	case how == "stopped":
		w.shutDown(h)
	case how == "power cut" && w.has(Tear) && d.perMille(700):
		h.doom = d.split()
		return
	}
	w.die(h, how)
}

// tear is the power going in the middle of a flush.
func (w *ActorWorld) tear(h *host) {
	w.trace("tear      replica %d", h.id)
	h.disk.Fault = storage.FailAt(int64(h.doom.below(3))+1, storage.CrashNow)
	h.dying = true
	if err := h.store.Flush(); err != nil {
		w.sometimes.count(sawTornWrite)
	}
	w.die(h, "power cut")
}

func (w *ActorWorld) die(h *host, how string) {
	w.stop(h)
	if how == "power cut" {
		h.disk.Crash()
	} else {
		h.disk.Kill()
	}
	w.restartLater(h)
}

// shutDown lets the actors stop, and the log after them.
func (w *ActorWorld) shutDown(h *host) {
	h.system.Root.Stop(h.handle.PID())
	h.runner.Run(10_000)
	w.collect(h)
	if err := h.store.Close(); err == nil {
		w.sometimes.count(sawStopped)
	} else if !w.excused(h, err) {
		violated("W4", "replica %d cannot close its log: %v", h.id, err)
	}
}

// stop ends the process: its actors never get another turn. Its peers notice that
// their connections are gone, mostly.
func (w *ActorWorld) stop(h *host) {
	h.up = false
	h.life++
	h.disk.Fault = nil
	h.calls = nil
	for _, x := range w.hosts {
		if d := w.dice.roll(streamFault, maxSlots+h.slot); x.up && d.perMille(700) {
			x.handle.PeerLost(h.id)
		}
	}
}

func (w *ActorWorld) restartLater(h *host) {
	delay := min(w.dice.roll(streamFault, h.slot).around(w.weather.restart), 5*second) + milli
	if w.healed {
		delay = 50 * milli
	}
	w.agenda.add(w.now+delay, w.of(h, evStart, nil))
}

// flush is the disk having finished one: what waited for it happens now, outside
// the actors.
func (w *ActorWorld) flush(h *host) {
	h.flushing = false
	if h.doom != 0 && !w.healed {
		w.tear(h)
		return
	}
	err := h.store.Flush()
	if errors.Is(err, storage.ErrFull) {
		w.sometimes.count(sawNoSpace)
		h.flushing = true // everything stays queued until there is room
		w.agenda.add(w.now+50*milli, w.of(h, evFlush, nil))
	} else if err != nil {
		w.failStop(h, err)
	}
}

// keep gives an idle store its turn.
func (w *ActorWorld) keep(h *host) {
	w.agenda.add(w.now+keepEvery, w.of(h, evKeep, nil))
	// A timer does not follow a clock whose rate changes while it runs.
	if late := w.weather.on&(SlowApply|ClockRate) != 0; (!late || w.healed && w.now > w.healedAt+2*second) && h.pausedUntil < w.now-second {
		_ = h.handle.Do(func(e group.Engine) { w.punctual(h, e) })
	}
	if h.flushing || h.store.Pending() > 0 {
		return
	}
	if err := h.store.Mark(); err != nil && !errors.Is(err, storage.ErrFull) {
		w.failStop(h, err)
	}
}

// partition cuts ways by a random shape for a random time.
func (w *ActorWorld) partition(d draw) {
	shape := d.below(shapeSwizzle)
	d = d.split()
	until := w.now + d.around(w.weather.pause) + 10*milli
	ways := cutShape(shape, len(w.hosts), d.split(), func(slot int) int { return w.leader(w.hosts[slot]).slot })
	w.trace("partition shape %d: %d ways for %d ms", shape, len(ways), (until-w.now)/milli)
	for _, c := range ways {
		w.net.cut[c.from][c.to]++
		w.agenda.add(until, actorEvent{event: event{kind: evHeal, slot: c.from, a: uint64(c.to)}})
		if x := w.hosts[c.to]; w.dice.roll(streamFault, c.from).perMille(500) && x.up {
			x.handle.PeerLost(w.hosts[c.from].id)
		}
	}
}

// change asks a leader for a random change of its members, as an operator would.
func (w *ActorWorld) change(h *host, e group.Engine, d draw) {
	s := e.Status()
	if s.Role != consensus.Leader || w.healed {
		return
	}
	members := slices.Clone(s.Configuration.Members)
	for i := range members {
		members[i].Outgoing, members[i].Leaving = false, false
	}
	at := d.split().below(len(members))
	switch choice := d.below(10); {
	case choice < 4:
		members = w.join(members, consensus.Member{Promote: choice < 2, Voter: choice == 2})
	case choice < 6 && len(members) > 1:
		members = slices.Delete(members, at, at+1)
	case choice < 8 && len(members) > 1:
		members = w.join(slices.Delete(members, at, at+1), consensus.Member{Voter: true})
	case choice == 8:
		members[at].Priority = int32(d.split().split().below(4))
	default:
		members[at].Voter = !members[at].Voter || countVoters(members) == 1
	}
	index, err := e.ChangeMembership(members, s.Configuration.Version)
	w.trace("change    replica %d at %d: %v, %v", h.id, index, members, err)
	if err == nil {
		w.stats.Changes++
	}
}

// join adds the first machine that is not a member.
func (w *ActorWorld) join(members []consensus.Member, as consensus.Member) []consensus.Member {
	for _, h := range w.hosts {
		if !slices.ContainsFunc(members, func(m consensus.Member) bool { return m.ID == h.id }) {
			as.ID = h.id
			return append(members, as)
		}
	}
	return members
}
