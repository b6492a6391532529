package sim

import (
	"slices"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/storage"
)

// scheduled are the classes whose faults come one by one, each with a number by
// which it can be left out. The others change how messages, disks, clocks and
// clients behave all the time.
const scheduled = Partition | Crash | Pause | ClockJump | SyncError | DiskFull | Wipe | BitFlip | PeerHint | Membership | Transfer | Snapshot

// nextFault schedules the n-th fault of a class. When it comes depends on the
// seed and on n alone, whatever else happens.
func (w *World) nextFault(class Fault, n uint64) {
	i := bit(class)
	d := w.dice.at(streamFault, maxKeys-32+i, n)
	w.agenda.add(w.now+d.around(w.weather.every[i])+milli, event{kind: evFault, slot: i, a: n})
}

// fault lets the n-th fault of a class happen, unless the plan leaves it out.
func (w *World) fault(class Fault, number uint64) {
	if w.healed {
		return
	}
	w.nextFault(class, number+1)
	if !w.comes(class, number) {
		return
	}
	d := w.dice.at(streamFault, bit(class), number)
	n := w.nodes[d.below(len(w.nodes))]
	if d = d.split(); class&(Crash|Pause|Transfer) != 0 && d.perMille(450) {
		n = w.leader(n)
	}
	w.strike(class, n, d.split())
}

// leader is a node that believes it leads, or else n.
func (w *World) leader(n *node) *node {
	for _, x := range w.nodes {
		if x.up && x.core.Status().Role == consensus.Leader {
			return x
		}
	}
	return n
}

func (w *World) strike(class Fault, n *node, d draw) {
	switch class {
	case Partition:
		w.partition(d)
	case Crash:
		w.crashSome(n, d)
	case Pause:
		if n.up {
			n.pausedUntil = max(n.pausedUntil, w.now+d.around(w.weather.pause))
		}
	case ClockJump:
		by := d.around(int64(w.weather.election))
		n.clock.jump(w.now, by)
		if w.tree != nil {
			w.tree.jumped(by)
		}
	case SyncError:
		w.failDisk(n, d)
	case DiskFull:
		w.fillDisk(n)
	case Wipe:
		if w.mayLose(n) {
			w.sometimes.count(sawWipe)
			w.lose(n)
		}
	case BitFlip:
		if w.mayLose(n) && n.up && w.shutDown(n) {
			w.flipBit(n, d)
		}
	case PeerHint:
		w.hint(n, w.nodes[d.below(len(w.nodes))].id)
	case Membership:
		w.changeSome(d)
	case Transfer:
		w.transferSome(n, d)
	case Snapshot:
		if n.up {
			w.put(n, input{kind: inTakeSnapshot})
		}
	}
}

// crashSome crashes one machine, or sometimes all at once.
func (w *World) crashSome(n *node, d draw) {
	if d.perMille(50) {
		for _, x := range w.nodes {
			if d = d.split(); x.up {
				w.crash(x, d)
			}
		}
		return
	}
	if n.up {
		w.crash(n, d.split())
	}
}

// failDisk makes one of the next operations of a disk fail.
func (w *World) failDisk(n *node, d draw) {
	if !n.up || n.full {
		return
	}
	kind := [...]storage.Fault{storage.Fail, storage.Fail, storage.Short}[d.below(3)]
	n.disk.Fault = storage.FailAt(d.split().between(1, 4), kind)
}

// fillDisk takes the space of a disk away, or gives it back.
func (w *World) fillDisk(n *node) {
	if n.full {
		n.full = false
		n.disk.SetCapacity(1 << 62)
		return
	}
	n.full = true
	n.disk.SetCapacity(max(n.disk.Used()+w.weather.segment/2, w.weather.capacity))
}

func (w *World) transferSome(n *node, d draw) {
	if !n.up {
		return
	}
	if d.perMille(300) {
		w.put(n, input{kind: inCampaign})
		return
	}
	to := consensus.None
	if d = d.split(); d.perMille(500) {
		to = w.nodes[d.split().below(len(w.nodes))].id
	}
	w.put(n, input{kind: inTransfer, from: to})
}

// mayLose reports whether the group survives without n for good: every
// configuration that may be in force has a quorum among the others, with no
// other replica missing. It is the fault atlas of the disks.
func (w *World) mayLose(n *node) bool {
	if n.lost || n.damaged || n.id > 9*idStep {
		return false
	}
	for _, c := range w.oracle.liveConfigurations() {
		if !w.survives(c, func(id consensus.ID) bool { return id != n.id && w.safe(id) }) {
			return false
		}
	}
	return true
}

// survives reports whether ids that satisfy in keep a group going, whichever of
// the non-voters of c the leader promotes by itself.
func (w *World) survives(c *consensus.Configuration, in func(consensus.ID) bool) bool {
	var waiting []consensus.Member
	for _, m := range c.Members {
		if m.Promote {
			waiting = append(waiting, m)
		}
	}
	for set := range 1 << len(waiting) {
		promoted := consensus.Configuration{Members: slices.Clone(c.Members)}
		for i, m := range waiting {
			if set>>i&1 == 1 {
				promoted.Members = slices.DeleteFunc(promoted.Members, func(o consensus.Member) bool { return o.ID == m.ID || o.ID == m.Replaces })
				promoted.Members = append(promoted.Members, consensus.Member{ID: m.ID, Voter: true, Roles: m.Roles})
			}
		}
		if !w.engine.survives(&promoted, in) {
			return false
		}
	}
	return true
}

// safe reports whether a replica's disk is whole.
func (w *World) safe(id consensus.ID) bool {
	n := w.nodes[slotOf(id)]
	return n.id == id && !n.lost && !n.damaged
}
