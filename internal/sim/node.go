package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// node is one machine with the process that runs on it. What stands above the
// line survives a crash of the process.
type node struct {
	slot      int
	id        raft.ID // of the replica; changes when the disk is lost
	bootstrap raft.SnapshotMeta
	clock     clock
	wall      int64 // how far the machine's wall clock is off, in milliseconds
	disk      *storage.Memory
	damaged   bool // a bit on the disk was changed: it need not start again
	lost      bool // the replica is gone for good
	full      bool // the disk has no space
	// ────────
	up          bool
	life        uint32 // counts processes
	pausedUntil int64
	core        *raft.Node
	store       *storage.Store
	replica     *replica.Replica
	machine     *machine
	inbox       []input
	spare       []input
	awake       bool  // a wake event is on its way
	timerAt     int64 // of the earliest timer event on its way
	tick        raft.Time

	issued   uint64 // newest save
	durable  uint64 // newest durable save, as the writer knows
	settled  uint64 // newest durable save, as the process was told
	held     []held
	high     raft.Index // see records
	flushing bool
	diskErr  error

	lease      raft.Time
	leaseIndex raft.Index
	queue      []raft.Entry // to be applied
	applying   bool
	waiters    []waiter
	reads      []pendingRead // asked of the core
	ready      []pendingRead // index known, state machine behind
	readRef    uint64

	taking    *picture
	receiver  *storage.SnapshotReceiver
	receiving raft.SnapshotMeta
	snapshots []raft.Index // on the disk, oldest first, at most two
}

// held is a message that waits for the disk.
type held struct {
	save     uint64
	envelope raft.Envelope
}

type waiter struct {
	index   raft.Index
	term    raft.Term
	op      *operation
	attempt int
}

type pendingRead struct {
	ref     uint64
	index   raft.Index
	op      *operation
	attempt int
}

// input is something in a process's mailbox.
type input struct {
	kind inputKind
	from raft.ID
	msg  raft.Message
	a, b uint64
	op   *operation
	meta raft.SnapshotMeta
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
	n := &node{slot: slot, id: raft.ID(slot + 1), clock: clock{local: d.between(1, 1000*second), ppm: million}}
	n.wall = d.split().between(-3000, 3000) + 1_700_000_000_000
	switch {
	case w.has(ClockRate):
		n.clock.ppm = d.split().split().between(500_000, 2_000_000)
	case w.has(Lease): // any two clocks keep to MaxDrift, a tenth of the lease
		n.clock.ppm = d.split().split().between(960_000, 1_040_000)
	}
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

// start runs the path that every process takes: open, replay, restore, New.
func (w *World) start(n *node) {
	n.life++
	n.process(w)
	store, err := storage.Open(dataDir, n.options(w))
	if err != nil {
		w.startFailed(n, err)
		return
	}
	n.store = store
	state, err := w.recover(n)
	if err != nil {
		w.startFailed(n, err)
		return
	}
	w.oracle.started(n, state)
	core, err := raft.New(w.raftConfig(n), state)
	if err != nil {
		violated("start", "replica %d: %v", n.id, err)
	}
	n.core, n.up = core, true
	w.trace("start     replica %d, term %d, snapshot %d, %d entries", n.id, state.HardState.Term, state.Snapshot.Index, len(state.Entries))
	w.wake(n)
	if n.damaged { // the bit was of no account, or another copy was: the operator trusts the disk no more
		w.sometimes.count(sawDamageSurvived)
		w.agenda.add(w.now+second, event{kind: evRetire, slot: n.slot, a: uint64(n.id)})
	}
	w.agenda.add(w.now+keepEvery, event{kind: evKeep, slot: n.slot, life: n.life})
}

// process makes a machine's process new.
func (n *node) process(w *World) {
	fresh := node{
		slot: n.slot, id: n.id, bootstrap: n.bootstrap, clock: n.clock, wall: n.wall, disk: n.disk, damaged: n.damaged,
		full: n.full, life: n.life, inbox: n.inbox[:0], spare: n.spare[:0], timerAt: never,
	}
	*n = fresh
	n.machine = newMachine(w, n)
	r, err := replica.New(w.replicaConfig(), n.machine)
	if err != nil {
		panic(err)
	}
	n.replica = r
}

func (w *World) replicaConfig() replica.Config {
	return replica.Config{Limits: replica.Limits{
		Sessions: 6, SessionWindow: 8, SessionBytes: 256, DigestEvery: digestEvery,
		SessionTimeout: replicaTimeout(w.weather.sessionTimeout), RequestRetention: replicaTimeout(4 * w.weather.sessionTimeout),
		Requests: 64, RequestSkew: replicaTimeout(20_000),
	}}
}

func (w *World) raftConfig(n *node) raft.Config {
	return raft.Config{
		ID: n.id, Heartbeat: w.weather.heartbeat, Election: w.weather.election, Lease: w.weather.lease, MaxDrift: w.weather.drift,
		MaxAppendBytes: w.weather.appendMax, MaxInflightBytes: 4 * w.weather.appendMax, MaxUncommittedBytes: 64 << 10,
		MaxApplyBytes: 2 * w.weather.appendMax, MaxReads: 64, MaxChunkBytes: w.weather.chunk, TrailingEntries: w.weather.trailing,
		PromoteWithin: 16, Rand: rand.New(rand.NewPCG(w.plan.Seed, uint64(n.id)<<32|uint64(n.life))),
	}
}

// recover reads what the disk holds and restores the state machine.
func (w *World) recover(n *node) (raft.State, error) {
	var r recovered
	if err := n.store.Replay(group, r.add); err != nil {
		return raft.State{}, err
	}
	n.high = r.high
	snapshot, err := w.restore(n)
	if err != nil {
		return raft.State{}, err
	}
	return r.state(snapshot)
}

// restore takes the newest snapshot that is whole, or the bootstrap.
func (w *World) restore(n *node) (raft.SnapshotMeta, error) {
	metas, err := n.store.Snapshots(group)
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	for _, meta := range metas {
		got, err := n.load(meta.Index)
		if err != nil {
			if !n.damaged {
				violated("D10", "replica %d cannot read its snapshot %d: %v", n.id, meta.Index, err)
			}
			continue
		}
		n.snapshots = append(n.snapshots, got.Index)
		if len(metas) > 1 && got.Index > raft.Index(metas[len(metas)-1].Index) {
			n.snapshots = []raft.Index{raft.Index(metas[len(metas)-1].Index), got.Index}
		}
		return got, nil
	}
	return n.bootstrap, nil
}

// load restores the state machine from a snapshot on the disk.
func (n *node) load(index uint64) (raft.SnapshotMeta, error) {
	reader, err := n.store.OpenSnapshot(group, index)
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	defer reader.Close()
	if err := n.replica.Restore(reader); err != nil {
		return raft.SnapshotMeta{}, err
	}
	return raftMeta(reader.Meta())
}

func raftMeta(m storage.SnapshotMeta) (raft.SnapshotMeta, error) {
	configuration, err := raft.DecodeConfiguration(m.Header)
	return raft.SnapshotMeta{
		Index: raft.Index(m.Index), Term: raft.Term(m.Term), Configuration: configuration, Size: m.Size, Checksum: m.Checksum,
	}, err
}

func storageMeta(m raft.SnapshotMeta) storage.SnapshotMeta {
	return storage.SnapshotMeta{
		Group: group, Index: uint64(m.Index), Term: uint64(m.Term), Header: raft.EncodeConfiguration(m.Configuration),
		Size: m.Size, Checksum: m.Checksum,
	}
}

// startFailed decides what a failed start means: a damaged disk is a lost
// replica, a full one is tried again, anything else is a bug.
func (w *World) startFailed(n *node, err error) {
	w.trace("start     replica %d failed: %v", n.id, err)
	var damage *storage.DamageError
	switch {
	case n.damaged:
		w.sometimes.count(sawDamageRefused)
		w.lose(n)
	case errors.As(err, &damage):
		violated("W3", "replica %d finds damage nobody did: %v", n.id, err)
	case n.full:
		w.stop(n)
		w.agenda.add(w.now+200*milli, event{kind: evStart, slot: n.slot, life: n.life})
	default:
		violated("start", "replica %d cannot start: %v", n.id, err)
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
	out := n.core.Output()
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
		n.core.Step(in.from, in.msg)
	case inSaved:
		n.settled = max(n.settled, in.a)
		w.release(n)
		n.core.Saved(in.a)
	case inApplied:
		n.core.Applied(raft.Index(in.a))
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
		n.core.SnapshotFailed(raft.Index(in.a))
	case inWritten:
		n.core.ChunkWritten(raft.Index(in.a), int64(in.b))
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
func (w *World) carryOut(n *node, out *raft.Output) {
	n.lease, n.leaseIndex = out.Lease, out.LeaseIndex
	for _, e := range out.SendNow {
		w.send(n, e)
	}
	if out.Save != 0 {
		w.save(n, out)
	}
	for _, e := range out.Send {
		n.held = append(n.held, held{n.issued, e})
	}
	w.release(n)
	for i := range out.Chunks {
		w.receiveChunk(n, &out.Chunks[i])
	}
	if len(out.Apply) > 0 {
		n.queue = append(n.queue, out.Apply...)
		w.startApply(n)
	}
	for _, r := range out.Reads {
		w.endReadIndex(n, r)
	}
	for _, r := range out.SendSnapshots {
		w.agenda.add(w.now+w.diskDelay(n)/4, event{kind: evReadChunk, slot: n.slot, life: n.life, ask: r})
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
