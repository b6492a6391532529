package sim

import (
	"errors"

	"github.com/synod-go/synod/consensus"
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
	state, high, err := w.recover(n)
	if err != nil {
		w.startFailed(n, err)
		return
	}
	w.oracle.started(n, state)
	core, err := w.engine.newCore(w, n, state, high)
	if err != nil {
		violated("start", "replica %d: %v", n.id, err)
	}
	n.core, n.up = core, true
	s := core.Status()
	w.trace("start     replica %d, term %d, snapshot %d, log to %d", n.id, s.Term, s.Snapshot, s.LastIndex)
	w.wake(n)
	if w.tree != nil && !n.witness {
		n.tree = w.tree.newHost(n)
		n.tree.settle()
	}
	if n.damaged { // the bit was of no account, or another copy was: the operator trusts the disk no more
		w.sometimes.count(sawDamageSurvived)
		w.agenda.add(w.now+second, event{kind: evRetire, slot: n.slot, a: uint64(n.id)})
	}
	w.agenda.add(w.now+keepEvery, event{kind: evKeep, slot: n.slot, life: n.life})
}

// process makes a machine's process new.
func (n *node) process(w *World) {
	fresh := node{
		slot: n.slot, id: n.id, bootstrap: n.bootstrap, witness: n.witness, clock: n.clock, wall: n.wall, disk: n.disk, damaged: n.damaged,
		full: n.full, life: n.life, inbox: n.inbox[:0], spare: n.spare[:0], timerAt: never,
	}
	*n = fresh
	n.machine = w.newMachine(n)
	r, err := replica.New(w.weather.replicaConfig(), n.machine)
	if err != nil {
		panic(err)
	}
	n.replica = r
}

func (w *World) newMachine(n *node) stateMachine {
	if w.tree != nil {
		return w.tree.newMachine(n.id)
	}
	return &machine{id: n.id, model: &w.model, padding: w.weather.padding}
}

func (w *weather) replicaConfig() replica.Config {
	return replica.Config{Limits: replica.Limits{
		Sessions: 6, SessionWindow: 8, SessionBytes: 256, DigestEvery: digestEvery,
		SessionTimeout: replicaTimeout(w.sessionTimeout), RequestRetention: replicaTimeout(4 * w.sessionTimeout),
		Requests: w.requests, RequestSkew: replicaTimeout(20_000),
	}}
}

// recover reads what the disk holds and restores the state machine.
func (w *World) recover(n *node) (state any, high consensus.Index, err error) {
	r := w.engine.recover()
	if err := n.store.Replay(groupNumber, r.add); err != nil {
		return nil, 0, err
	}
	snapshot, err := w.restore(n)
	if err != nil {
		return nil, 0, err
	}
	if n.witness && r.base().Index > 0 {
		snapshot = r.base()
	}
	state, err = r.state(snapshot, consensus.Index(n.store.Released(groupNumber)))
	return state, r.high(), err
}

// restore takes the newest snapshot that is whole, or the bootstrap.
func (w *World) restore(n *node) (consensus.SnapshotMeta, error) {
	metas, err := n.store.Snapshots(groupNumber)
	if err != nil {
		return consensus.SnapshotMeta{}, err
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
		if len(metas) > 1 && got.Index > consensus.Index(metas[len(metas)-1].Index) {
			n.snapshots = []consensus.Index{consensus.Index(metas[len(metas)-1].Index), got.Index}
		}
		return got, nil
	}
	return n.bootstrap, nil
}

// load restores the state machine from a snapshot on the disk.
func (n *node) load(index uint64) (consensus.SnapshotMeta, error) {
	reader, err := n.store.OpenSnapshot(groupNumber, index)
	if err != nil {
		return consensus.SnapshotMeta{}, err
	}
	defer reader.Close()
	if err := n.replica.Restore(reader); err != nil {
		return consensus.SnapshotMeta{}, err
	}
	return coreMeta(reader.Meta())
}

func coreMeta(m storage.SnapshotMeta) (consensus.SnapshotMeta, error) {
	configuration, err := consensus.DecodeConfiguration(m.Header)
	return consensus.SnapshotMeta{
		Index: consensus.Index(m.Index), Term: consensus.Term(m.Term), Configuration: configuration, Size: m.Size, Checksum: m.Checksum,
	}, err
}

func storageMeta(m consensus.SnapshotMeta) storage.SnapshotMeta {
	return storage.SnapshotMeta{
		Group: groupNumber, Index: uint64(m.Index), Term: uint64(m.Term), Header: consensus.EncodeConfiguration(m.Configuration),
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
