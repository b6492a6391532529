package sim

import (
	"errors"
	"math/rand/v2"

	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

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
	core, err := raft.New(w.weather.raftConfig(w.plan.Seed, n.id, n.life), state)
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
	n.machine = &machine{id: n.id, model: &w.oracle.model, padding: w.weather.padding}
	r, err := replica.New(w.weather.replicaConfig(), n.machine)
	if err != nil {
		panic(err)
	}
	n.replica = r
}

func (w *weather) replicaConfig() replica.Config {
	return replica.Config{Limits: replica.Limits{
		Sessions: 6, SessionWindow: 8, SessionBytes: 256, DigestEvery: digestEvery,
		SessionTimeout: replicaTimeout(w.sessionTimeout), RequestRetention: replicaTimeout(4 * w.sessionTimeout),
		Requests: 64, RequestSkew: replicaTimeout(20_000),
	}}
}

func (w *weather) raftConfig(seed uint64, id raft.ID, life uint32) raft.Config {
	return raft.Config{
		ID: id, Heartbeat: w.heartbeat, Election: w.election, Lease: w.lease, MaxDrift: w.drift,
		MaxAppendBytes: w.appendMax, MaxInflightBytes: 4 * w.appendMax, MaxUncommittedBytes: 64 << 10,
		MaxApplyBytes: 2 * w.appendMax, MaxReads: 64, MaxChunkBytes: w.chunk, TrailingEntries: w.trailing,
		PromoteWithin: 16, Rand: rand.New(rand.NewPCG(seed, uint64(id)<<32|uint64(life))),
	}
}

// recover reads what the disk holds and restores the state machine.
func (w *World) recover(n *node) (raft.State, error) {
	var r recovered
	if err := n.store.Replay(groupNumber, r.add); err != nil {
		return raft.State{}, err
	}
	n.high, r.released = r.high, raft.Index(n.store.Released(groupNumber))
	snapshot, err := w.restore(n)
	if err != nil {
		return raft.State{}, err
	}
	return r.state(snapshot)
}

// restore takes the newest snapshot that is whole, or the bootstrap.
func (w *World) restore(n *node) (raft.SnapshotMeta, error) {
	metas, err := n.store.Snapshots(groupNumber)
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
	reader, err := n.store.OpenSnapshot(groupNumber, index)
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
		Group: groupNumber, Index: uint64(m.Index), Term: uint64(m.Term), Header: raft.EncodeConfiguration(m.Configuration),
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
