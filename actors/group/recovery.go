package group

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// start rebuilds the replica from the log: after a start of the process and
// after a panic alike.
func (a *Actor) start(ctx actor.Context) {
	if a.handle.renew() {
		a.awaitLog()
	}
	began := a.cfg.WallClock()
	a.system = ctx.ActorSystem()
	a.reads = make(map[uint64][]*call)
	made, err := a.machine()
	if err != nil {
		panic(&actors.FailStop{Err: err})
	}
	snapshot, entries, err := a.recover(made)
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
	a.lastSnapshot, a.snapshotSize = snapshot.Index, snapshot.Size
	a.handle.applied.Store(uint64(snapshot.Index))
	a.handle.instance.Store(made)
	a.spawnChildren(ctx, made, snapshot)
	a.timer = a.cfg.Timer(func() { a.system.Root.Send(a.handle.pid, tick{}) })
	a.publish()
	a.turn(nil)
}

// machine makes the state machine anew. A witness has none.
func (a *Actor) machine() (*instance, error) {
	if a.cfg.Witness() {
		return &instance{}, nil
	}
	user := a.cfg.Machine()
	machine, err := replica.New(a.cfg.Replica, user)
	return &instance{replica: machine, machine: user}, err
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
func (a *Actor) recover(made *instance) (snapshot consensus.SnapshotMeta, entries []consensus.Entry, err error) {
	r, records := a.cfg.Protocol.Recover(a.cfg), 0
	if err := a.cfg.Store.Replay(a.cfg.Group, func(record storage.Record) error {
		records++
		return r.Add(record)
	}); err != nil {
		return snapshot, nil, fmt.Errorf("group: replay %s: %w", a.cfg.Name, err)
	}
	a.handle.setFresh(r.Fresh())
	if !a.cfg.Witness() {
		if snapshot, err = restoreNewest(a.cfg, made.replica); err != nil {
			return snapshot, nil, err
		}
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
	if err == nil && a.cfg.Witness() {
		snapshot.Index = a.engine.Status().Snapshot // what its records say of one
	}
	return snapshot, entries, err
}

// restoreNewest loads the newest snapshot that is whole. Without any it returns
// the zero meta.
func restoreNewest(c Config, machine *replica.Replica) (consensus.SnapshotMeta, error) {
	var errs error
	for before := uint64(math.MaxUint64); ; {
		meta, found, err := c.Store.NewestSnapshot(c.Group, before)
		switch {
		case err != nil:
			return consensus.SnapshotMeta{}, fmt.Errorf("group: snapshots of %s: %w", c.Name, err)
		case !found && errs != nil:
			return consensus.SnapshotMeta{}, fmt.Errorf("group: no snapshot of %s can be restored: %w", c.Name, errs)
		case !found:
			return consensus.SnapshotMeta{}, nil
		}
		snapshot, err := restore(c, meta, machine)
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
