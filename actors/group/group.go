package group

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// wake tells the actor that its inbox or its clock wants a turn. There is at
// most one under way from the inbox and one from the timer.
type wake struct{}

// tick is the timer's wake.
type tick struct{}

// Control lets a wake and a tick into a full mailbox.
func (wake) Control() {}
func (tick) Control() {}

// Actor is one replica of a group with a mailbox, a disk and peers. Messages
// and calls become steps of the core, the core's output becomes effects; no
// decision of the protocol is taken here. The fields belong to the actor's
// goroutine.
type Actor struct {
	cfg    Config
	handle *Handle
	log    *slog.Logger

	system *actor.ActorSystem
	engine Engine
	in     inbox
	timer  Timer
	now    consensus.Time // of this turn
	due    consensus.Time // what the timer runs towards, 0 if it does not

	applier      *actor.PID
	applierReads *atomic.Int64
	snapshotter  *actor.PID

	saved   uint64     // the newest durable save
	issued  uint64     // the newest save handed to the log
	held    []heldSend // no more than maxHeld
	pending pendingCalls
	reads   map[uint64][]*call // by the core's ref
	nextRef uint64

	logBytes     int // appended since the last snapshot
	snapshotting bool
	lastSnapshot consensus.Index
	pinCheck     consensus.Time   // when to ask next whether this group pins the log
	clock        replica.LogClock // of the leader in clockTerm
	clockTerm    consensus.Term
	stamp        int64 // the greatest in the log, which may be ahead of the state machine
	digests      digests
	refused      uint64 // messages that could not be read
}

// heldSend waits for the saves before it, with nothing to save itself.
type heldSend struct {
	after uint64
	send  []Envelope
}

// Spawn starts the actor of one group under name. Its supervisor restarts it
// after a panic; it then rebuilds itself from the log like a restarted process.
func Spawn(system *actor.ActorSystem, c Config, name string, strategy actor.SupervisorStrategy) (*Handle, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Handle{cfg: c, system: system, gone: make(chan struct{}),
		mailbox: actors.NewMailbox(actors.MailboxConfig{MaxMessages: 4096})}
	h.view.Store(&View{})
	props := c.props(func() actor.Actor { return &Actor{cfg: c, handle: h, log: c.Logger} },
		func() actor.Mailbox { return h.mailbox }, actor.WithGuardian(strategy), actor.WithSupervisor(childStrategy{h}))
	h.pid = actor.NewPID(system.Address(), name)
	if _, err := system.Root.SpawnNamed(props, name); err != nil {
		return nil, fmt.Errorf("group: spawn %s: %w", name, err)
	}
	return h, nil
}

// childStrategy answers the failure of an applier or snapshotter by failing the
// group's actor: what a child had in memory cannot be had again without its log.
type childStrategy struct{ handle *Handle }

// HandleFailure leaves the child suspended; it goes with its parent.
func (s childStrategy) HandleFailure(_ *actor.ActorSystem, _ actor.Supervisor, child *actor.PID,
	_ *actor.RestartStatistics, reason, _ any) {
	s.handle.tell(func(*Actor) { panic(fmt.Errorf("group: %s failed: %v", child.Id, reason)) })
}

// Receive has one case for each thing that can happen to the actor.
func (a *Actor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		a.start(ctx)
	case *actors.Batch:
		a.turn(m.Messages)
	case *actor.Restarting:
		a.stopTimer()
	case *actor.Stopping:
		a.stopTimer()
		a.handle.close(ErrStopped)
	}
}

// start rebuilds the replica from the log: after a start of the process and
// after a panic alike.
func (a *Actor) start(ctx actor.Context) {
	if a.handle.renew() {
		a.awaitLog()
	}
	began := a.cfg.WallClock()
	a.system = ctx.ActorSystem()
	a.reads = make(map[uint64][]*call)
	user := a.cfg.Machine()
	machine, err := replica.New(a.cfg.Replica, user)
	if err != nil {
		panic(&actors.FailStop{Err: err})
	}
	snapshot, entries, err := a.recover(machine)
	if err != nil {
		panic(&actors.FailStop{Err: err})
	}
	for _, e := range entries {
		a.logBytes += len(e.Data)
	}
	a.noteStamp(entries)
	if snapshot.Index > 0 || len(entries) > 0 {
		a.log.Info("replica recovered", "group", a.cfg.Name, "snapshot", uint64(snapshot.Index),
			"snapshot_bytes", snapshot.Size, "entries", len(entries), "entry_bytes", a.logBytes,
			"took", a.cfg.WallClock().Sub(began))
	}
	a.lastSnapshot = snapshot.Index
	a.handle.applied.Store(uint64(snapshot.Index))
	a.handle.instance.Store(&instance{replica: machine, machine: user})
	a.spawnChildren(ctx, machine, snapshot)
	a.timer = a.cfg.Timer(func() { a.system.Root.Send(a.handle.pid, tick{}) })
	a.publish()
	a.turn(nil)
}

// awaitLog waits until nothing of the instance before is under way to the disk:
// it may have been a vote that its answer follows, and must not be forgotten.
// This is the one place where Receive waits, after a panic, for one flush. A log
// that does not come to rest, for want of space say, ends the node: a new process
// finds in it what there is, and can make room.
func (a *Actor) awaitLog() {
	var err error
	if a.cfg.Dispatcher != nil {
		err = a.cfg.Store.Mark() // a simulated store writes only when it is told to
	} else {
		flushed := make(chan error, 1)
		a.cfg.Store.Append(nil, func(err error) { flushed <- err })
		limit := time.NewTimer(a.cfg.LogWait)
		defer limit.Stop()
		select {
		case err = <-flushed:
		case <-limit.C:
			err = fmt.Errorf("group: the log has not come to rest %v after a failure of %s", a.cfg.LogWait, a.cfg.Name)
		}
	}
	if err != nil {
		panic(&actors.FailStop{Err: err})
	}
	a.handle.forgetSaves() // they were numbered by the instance before
}

// recover reads the group's log, restores the newest whole snapshot and makes
// the engine from both. It returns the snapshot and the entries of the log.
func (a *Actor) recover(machine *replica.Replica) (snapshot consensus.SnapshotMeta, entries []consensus.Entry, err error) {
	r, records := a.cfg.Protocol.Recover(a.cfg), 0
	if err := a.cfg.Store.Replay(a.cfg.Group, func(record storage.Record) error {
		records++
		return r.Add(record)
	}); err != nil {
		return snapshot, nil, fmt.Errorf("group: replay %s: %w", a.cfg.Name, err)
	}
	a.handle.setFresh(r.Fresh())
	if snapshot, err = a.restoreNewest(machine); err != nil {
		return snapshot, nil, err
	}
	if snapshot.Index == 0 && records == 0 && len(a.cfg.Bootstrap) > 0 {
		record := r.Bootstrap(a.cfg.Bootstrap)
		if err := r.Add(record); err != nil {
			return snapshot, nil, err
		}
		// It is durable before whatever the core saves next, a vote say.
		a.cfg.Store.Append([]storage.Record{record}, func(err error) { a.failIf(err) })
	}
	a.engine, entries, err = r.Engine(snapshot, consensus.Index(a.cfg.Store.Released(a.cfg.Group)))
	return snapshot, entries, err
}

// restoreNewest loads the newest snapshot that is whole. Without any it returns
// the zero meta.
func (a *Actor) restoreNewest(machine *replica.Replica) (consensus.SnapshotMeta, error) {
	var errs error
	for before := uint64(math.MaxUint64); ; {
		meta, found, err := a.cfg.Store.NewestSnapshot(a.cfg.Group, before)
		switch {
		case err != nil:
			return consensus.SnapshotMeta{}, fmt.Errorf("group: snapshots of %s: %w", a.cfg.Name, err)
		case !found && errs != nil:
			return consensus.SnapshotMeta{}, fmt.Errorf("group: no snapshot of %s can be restored: %w", a.cfg.Name, errs)
		case !found:
			return consensus.SnapshotMeta{}, nil
		}
		snapshot, err := restore(a.cfg, meta, machine)
		if err == nil {
			return snapshot, nil
		}
		errs, before = errors.Join(errs, err), meta.Index
	}
}

// failIf ends the node when its log has failed.
func (a *Actor) failIf(err error) bool {
	if err != nil {
		a.cfg.FailStop(fmt.Errorf("group: save of %s: %w", a.cfg.Name, err))
	}
	return err != nil
}

// restore loads one snapshot into the machine.
func restore(c Config, meta storage.SnapshotMeta, machine *replica.Replica) (consensus.SnapshotMeta, error) {
	reader, err := c.Store.OpenSnapshot(meta.Group, meta.Index)
	if err != nil {
		return consensus.SnapshotMeta{}, err
	}
	defer reader.Close()
	configuration, err := consensus.DecodeConfiguration(meta.Header)
	if err != nil {
		return consensus.SnapshotMeta{}, err
	}
	progress := func(done int64) { c.Progress("restore", done, meta.Size) }
	if err := machine.Restore(&countedReader{from: reader, progress: progress}); err != nil {
		return consensus.SnapshotMeta{}, fmt.Errorf("group: restore snapshot %d: %w", meta.Index, err)
	}
	return consensus.SnapshotMeta{Index: consensus.Index(meta.Index), Term: consensus.Term(meta.Term),
		Configuration: configuration, Size: meta.Size, Checksum: meta.Checksum}, nil
}

// countedReader tells how much has been read from a reader.
type countedReader struct {
	from     io.Reader
	done     int64
	progress func(done int64)
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.done += int64(n)
	r.progress(r.done)
	return n, err
}

// turn is one batch: everything that arrived, then one output.
func (a *Actor) turn(batch []actors.Item) {
	a.handle.take(&a.in)
	if a.in.saved > a.saved {
		a.saved = a.in.saved
		a.engine.Saved(a.saved)
	}
	a.now = a.cfg.Clock()
	a.engine.Tick(a.now)
	for i := range batch {
		switch m := batch[i].Message.(type) {
		case wake:
		case tick:
			a.due = 0 // the timer runs no more, perhaps a little too early
		case *messages.GroupMessage:
			a.receive(m)
		case proto.Message:
			if err := a.engine.Receive(m); err != nil {
				a.refuseMessage(err)
			}
		}
	}
	a.engine.Applied(a.handle.Applied())
	for _, id := range a.in.lost {
		a.engine.PeerLost(id)
	}
	a.startReads()
	a.propose()
	for _, task := range a.in.tasks {
		task(a)
	}
	a.carryOut(a.engine.Output())
	a.compactIfDue()
	a.reportDigests()
	a.arm()
	clear(a.in.tasks)
	clear(a.in.proposals)
	clear(a.in.reads)
	a.handle.rest(a.engine.Gather())
}

// receive takes a message of the group's own. The link has checked that it comes
// from whom it says.
func (a *Actor) receive(m *messages.GroupMessage) {
	if consensus.ID(m.To) != a.cfg.ID || storage.Group(m.Group) != a.cfg.Group {
		a.refuseMessage(ErrMisdirected)
		return
	}
	switch body := m.Body.(type) {
	case *messages.GroupMessage_DigestReport:
		a.onDigestReport(consensus.ID(m.From), body.DigestReport)
	case *messages.GroupMessage_Quarantine:
		a.onQuarantine(consensus.ID(m.From), body.Quarantine)
	}
}

// refuseMessage counts a message that could not be read.
func (a *Actor) refuseMessage(err error) {
	a.refused++
	if !errors.Is(err, ErrMisdirected) {
		a.log.Warn("message refused", "group", a.cfg.Name, "error", err)
	}
}

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

// startReads gives all waiting reads one number: one round confirms them all.
func (a *Actor) startReads() {
	if len(a.in.reads) == 0 {
		return
	}
	a.nextRef++
	if err := a.engine.ReadIndex(a.nextRef); err != nil {
		for _, c := range a.in.reads {
			c.finish(outcome{err: err})
		}
		return
	}
	a.reads[a.nextRef] = append([]*call(nil), a.in.reads...)
}

// spawnChildren starts the applier and the snapshotter. They end with this
// actor and are made anew with it.
func (a *Actor) spawnChildren(ctx actor.Context, machine *replica.Replica, snapshot consensus.SnapshotMeta) {
	// Bounded by the core (MaxApplyBytes, one chunk a peer) and, for reads, by
	// MaxReads: see Actor.readAt.
	mailbox := actors.MailboxConfig{MaxMessages: 1 << 20}
	spawn := func(child actor.Actor) *actor.PID {
		return ctx.Spawn(a.cfg.props(func() actor.Actor { return child }, mailbox.Producer()))
	}
	s := &snapshotter{cfg: a.cfg, handle: a.handle}
	a.snapshotter = spawn(s)
	p := &applier{cfg: a.cfg, handle: a.handle, machine: machine, index: snapshot.Index, logTime: machine.LogTime()}
	a.applier, a.applierReads = spawn(p), &p.reads
	s.applier.Store(a.applier)
}

// arm sets the timer to the core's deadline, unless it runs towards it already.
func (a *Actor) arm() {
	due := a.engine.Deadline()
	if due == a.due {
		return
	}
	a.due = due
	a.timer.Reset(max(0, time.Duration(due-a.now)))
}

func (a *Actor) stopTimer() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// publish tells the rest of the process what changed.
func (a *Actor) publish() {
	status := a.engine.Status()
	view := View{Role: status.Role, Term: status.Term, Leader: status.Leader, Configuration: status.Configuration,
		Applied: a.handle.Applied(), Left: status.Left, Fresh: a.handle.isFresh()}
	a.handle.view.Store(&view)
	a.cfg.Changed(view)
}
