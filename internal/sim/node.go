package sim

import (
	"fmt"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// node is one machine with the process that runs on it. What stands above the
// line survives a crash of the process.
type node struct {
	slot      int
	id        consensus.ID // of the replica; changes when the disk is lost
	bootstrap consensus.SnapshotMeta
	clock     clock
	witness   bool  // it runs no state machine
	wall      int64 // how far the machine's wall clock is off, in milliseconds
	disk      *storage.Memory
	damaged   bool // a bit on the disk was changed: it need not start again
	lost      bool // the replica is gone for good
	full      bool // the disk has no space
	// ────────
	up          bool
	life        uint32 // counts processes
	pausedUntil int64
	core        core
	store       *storage.Store
	replica     *replica.Replica
	machine     stateMachine
	tree        *treeHost // with Plan.Tree: what serves its sessions
	inbox       []input
	spare       []input
	awake       bool  // a wake event is on its way
	timerAt     int64 // of the earliest timer event on its way
	tick        consensus.Time

	bases    []base // what a witness may release
	issued   uint64 // newest save
	durable  uint64 // newest durable save, as the writer knows
	settled  uint64 // newest durable save, as the process was told
	held     []held
	flushing bool
	diskErr  error

	lease      consensus.Time
	leaseIndex consensus.Index
	queue      []consensus.Entry // to be applied
	applying   bool
	waiters    []waiter
	reads      []pendingRead // asked of the core
	ready      []pendingRead // index known, state machine behind
	readRef    uint64

	taking    *picture
	receiver  *storage.SnapshotReceiver
	receiving consensus.SnapshotMeta
	snapshots []consensus.Index // on the disk, oldest first, at most two
	// reading are the snapshots on their way to other machines, kept open.
	reading [maxSlots]*storage.SnapshotReader
	readAt  int64 // when the newest chunk that was asked for is read
}

// held is a message that waits for the disk.
type held struct {
	save     uint64
	envelope envelope
}

// base is up to where a witness may release its log when a save is durable.
type base struct {
	save  uint64
	index consensus.Index
}

type waiter struct {
	index   consensus.Index
	term    consensus.Term
	op      *operation
	attempt int
}

type pendingRead struct {
	ref     uint64
	index   consensus.Index
	op      *operation
	attempt int
}

// input is something in a process's mailbox.
type input struct {
	kind inputKind
	from consensus.ID
	msg  message
	a, b uint64
	op   *operation
	meta consensus.SnapshotMeta
}

type inputKind uint8

const (
	inMessage inputKind = iota
	inSaved
	inApplied
	inPropose
	inRead
	inPeerLost
	inTakeSnapshot
	inTaken
	inInstalled
	inFailed
	inWritten
	inUnsent
	inChange
	inTransfer
	inCampaign
)

const dataDir = "data"

func newNode(w *World, slot int) *node {
	d := w.dice.at(streamClock, slot, 0)
	n := &node{slot: slot, witness: w.engine.witness(w, slot), id: consensus.ID(slot + 1), clock: w.newClock(d)}
	n.wall = d.split().between(-3000, 3000) + 1_700_000_000_000
	n.newDisk(w)
	return n
}

func (n *node) newDisk(w *World) {
	n.disk = storage.NewMemory(uint64(w.dice.at(streamTear, n.slot, uint64(n.id))))
	n.disk.Direct = w.dice.at(streamTear, n.slot, uint64(n.id)).perMille(500) // else every write needs its sync
	n.snapshots = nil
	n.damaged, n.full = false, false
}

func (n *node) options(w *World) storage.Options {
	return storage.Options{
		FS: n.disk, Node: fmt.Sprint("n", n.id), Manual: true, SegmentBytes: w.weather.segment,
		Random: func() uint64 { return uint64(w.dice.roll(streamSalt, n.slot)) },
	}
}

// put adds to a process's mailbox and sees to it that it is drained.
func (w *World) put(n *node, in input) {
	n.inbox = append(n.inbox, in)
	w.wake(n)
}

func (w *World) wake(n *node) {
	if n.awake {
		return
	}
	n.awake = true
	d := w.dice.roll(streamWake, n.slot)
	delay := d.between(micro, 20*micro)
	if d.split().perMille(5) {
		delay = d.between(0, 5*milli) // the scheduler had other things to do
	}
	w.agenda.add(w.now+delay, event{kind: evWake, slot: n.slot, life: n.life})
}

// turn drains the mailbox as the actor does: the clock is read after the
// inputs arrived, every input is given to the core, and Output is called once.
func (w *World) turn(n *node) {
	n.tick = n.clock.at(w.now)
	n.core.Tick(n.tick)
	inputs := n.inbox
	n.inbox, n.spare = n.spare[:0], inputs
	for i := 0; i < len(inputs); i++ {
		if inputs[i].kind == inPropose {
			last := i
			for last+1 < len(inputs) && inputs[last+1].kind == inPropose {
				last++
			}
			w.propose(n, inputs[i:last+1])
			i = last
			continue
		}
		w.input(n, &inputs[i])
	}
	out := n.core.output()
	w.oracle.output(n, &out)
	w.carryOut(n, &out)
	clear(inputs)
	if n.up {
		w.oracle.status(n)
		w.setTimer(n)
	}
}

func (w *World) input(n *node, in *input) {
	switch in.kind {
	case inMessage:
		w.oracle.receives(n, in.from, in.msg)
		n.core.step(in.from, in.msg)
	case inSaved:
		n.settled = max(n.settled, in.a)
		w.release(n)
		w.releaseLog(n)
		n.core.Saved(in.a)
	case inApplied:
		n.core.Applied(consensus.Index(in.a))
		w.maybeSnapshot(n)
	case inRead:
		w.readIndex(n, in.op, int(in.a))
	case inPeerLost:
		n.core.PeerLost(in.from)
	case inTakeSnapshot:
		w.takeSnapshot(n)
	case inTaken:
		w.snapshotTaken(n, in.meta)
	case inInstalled:
		w.snapshotInstalled(n, in.meta)
	case inFailed:
		n.core.SnapshotFailed(consensus.Index(in.a))
	case inWritten:
		n.core.ChunkWritten(consensus.Index(in.a), int64(in.b))
	case inUnsent:
		n.core.SnapshotUnsent(in.from)
	case inChange:
		w.change(n, in)
	case inTransfer:
		if err := n.core.TransferLeadership(in.from); err == nil {
			w.trace("transfer  replica %d to %d", n.id, in.from)
		}
	case inCampaign:
		n.core.Campaign()
	}
}

// carryOut does what an Output asks, in the order of its fields.
func (w *World) carryOut(n *node, out *output) {
	n.lease, n.leaseIndex = out.lease, out.leaseIndex
	for _, e := range out.sendNow {
		w.send(n, e)
	}
	if out.save != 0 {
		w.save(n, out)
	}
	for _, e := range out.send {
		n.held = append(n.held, held{n.issued, e})
	}
	w.release(n)
	if n.witness {
		w.witnesses(n, out)
		return
	}
	for i := range out.chunks {
		w.receiveChunk(n, &out.chunks[i])
	}
	if len(out.apply) > 0 {
		n.queue = append(n.queue, out.apply...)
		w.startApply(n)
	}
	for _, r := range out.reads {
		w.endReadIndex(n, r)
	}
	for _, r := range out.sendSnapshots {
		n.readAt = max(n.readAt, w.now+w.diskDelay(n.slot)/4) // one reader: chunks keep their order
		w.agenda.add(n.readAt, event{kind: evReadChunk, slot: n.slot, life: n.life, ask: r})
	}
}

// release sends what waited for saves that are durable now.
func (w *World) release(n *node) {
	i := 0
	for ; i < len(n.held) && n.held[i].save <= n.settled; i++ {
		w.send(n, n.held[i].envelope)
	}
	n.held = append(n.held[:0], n.held[i:]...)
}

// setTimer keeps a timer event no later than the core's deadline. A timer that
// comes too early looks again.
func (w *World) setTimer(n *node) {
	at := max(n.clock.when(n.core.Deadline()), w.now)
	if at < n.timerAt {
		n.timerAt = at
		w.agenda.add(at, event{kind: evTimer, slot: n.slot, life: n.life, a: uint64(at)})
	}
}

func (w *World) timer(n *node) {
	if n.timerAt <= w.now {
		n.timerAt = never
	}
	if n.clock.at(w.now) >= n.core.Deadline() {
		w.wake(n)
		return
	}
	w.setTimer(n)
}
