package sim

import (
	"time"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// digestEvery is the distance of the digest's checkpoints.
const digestEvery = 8

func replicaTimeout(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// startApply lets the state machine's thread take the next batch.
func (w *World) startApply(n *node) {
	if n.applying || len(n.queue) == 0 {
		return
	}
	n.applying = true
	d := w.dice.roll(streamApply, n.slot)
	delay := d.between(micro, 20*micro)
	if w.has(SlowApply) {
		delay = d.around(w.weather.apply)
		if d = d.split(); d.perMille(5) {
			delay += d.split().between(0, second)
		}
	}
	w.agenda.add(w.now+delay, event{kind: evApply, slot: n.slot, life: n.life})
}

// apply applies everything that waits, answers who waited for it, and tells the
// core.
func (w *World) apply(n *node) {
	n.applying = false
	if len(n.queue) == 0 {
		return
	}
	queue := n.queue
	n.queue = nil
	entries := make([]replica.Entry, len(queue))
	results := make([]replica.Result, len(queue))
	for i, e := range queue {
		w.oracle.applies(n, e)
		entries[i].Index = uint64(e.Index)
		if e.Kind == consensus.EntryCommand {
			entries[i].Data = e.Data
		}
	}
	if err := n.replica.Apply(entries, results); err != nil {
		violated("R5", "replica %d stopped: %v", n.id, err)
	}
	w.digests(n, queue[0].Index)
	w.answer(n, queue, results)
	w.answerReads(n)
	n.served()
	w.put(n, input{kind: inApplied, a: uint64(queue[len(queue)-1].Index)})
}

// served tells what stands above the state machine that it has gone on.
func (n *node) served() {
	if n.tree != nil {
		n.tree.applied()
	}
}

// answer tells clients whose commands were applied.
func (w *World) answer(n *node, queue []consensus.Entry, results []replica.Result) {
	last := queue[len(queue)-1].Index
	rest := n.waiters[:0]
	for _, x := range n.waiters {
		switch {
		case x.index > last:
			rest = append(rest, x)
		case x.index < queue[0].Index: // a snapshot went over it: nobody knows
		case queue[x.index-queue[0].Index].Term != x.term:
			w.sometimes.count(sawNotCommitted)
			w.model.notCommitted(x.op, x.attempt)
			w.clients.reply(x.op, x.attempt, reply{kind: replyNotCommitted})
		default:
			result := results[x.index-queue[0].Index]
			w.model.replies(x.op, result)
			w.clients.reply(x.op, x.attempt, reply{kind: replyDone, result: result})
		}
	}
	n.waiters = rest
}

// witnesses carries out what a replica without a state machine is asked for: it
// applies nothing, and has no use for a snapshot.
func (w *World) witnesses(n *node, out *output) {
	for _, e := range out.apply {
		w.oracle.applies(n, e)
	}
	if k := len(out.apply); k > 0 {
		w.put(n, input{kind: inApplied, a: uint64(out.apply[k-1].Index)})
	}
	if len(out.chunks) > 0 {
		violated("D10", "witness %d is given a snapshot", n.id)
	}
	for _, r := range out.reads {
		w.endReadIndex(n, r)
	}
	for _, r := range out.sendSnapshots {
		w.put(n, input{kind: inUnsent, from: r.To})
	}
	if out.base > 0 {
		n.bases = append(n.bases, base{out.save, out.base})
	}
}

// releaseLog lets go of what a witness needs no more.
func (w *World) releaseLog(n *node) {
	for len(n.bases) > 0 && n.bases[0].save <= n.settled {
		w.sometimes.count(sawWitnessTrimmed)
		n.store.Release(groupNumber, uint64(n.bases[0].index)-1) // the base record itself stays
		n.bases = n.bases[1:]
	}
}

// picture is a snapshot on its way to the disk.
type picture struct {
	meta consensus.SnapshotMeta
	data *replica.Snapshot
}

// maybeSnapshot follows the compaction policy: a snapshot every so many
// entries, also while transfers are slower than that.
func (w *World) maybeSnapshot(n *node) {
	if n.witness {
		return
	}
	var newest consensus.Index
	if len(n.snapshots) > 0 {
		newest = n.snapshots[len(n.snapshots)-1]
	}
	if consensus.Index(n.replica.Applied()) >= newest+w.weather.snapshotEvery {
		w.takeSnapshot(n)
	}
}

func (w *World) takeSnapshot(n *node) {
	if n.taking != nil || n.receiver != nil || n.witness {
		return
	}
	index := consensus.Index(n.replica.Applied())
	if len(n.snapshots) > 0 && index <= n.snapshots[len(n.snapshots)-1] {
		return
	}
	meta, ok := n.core.MetaAt(index)
	if !ok || index == 0 {
		return
	}
	data, err := n.replica.Snapshot()
	if err != nil {
		violated("R5", "replica %d makes no snapshot: %v", n.id, err)
	}
	n.taking = &picture{meta, data}
	w.agenda.add(w.now+w.diskDelay(n.slot), event{kind: evTake, slot: n.slot, life: n.life})
}

// writeSnapshot makes the picture durable.
func (w *World) writeSnapshot(n *node) {
	p := n.taking
	n.taking = nil
	if p == nil {
		return
	}
	writer, err := n.store.CreateSnapshot(storageMeta(p.meta))
	if err != nil {
		w.snapshotFailed(n, err)
		return
	}
	if _, err := p.data.WriteTo(writer); err != nil {
		writer.Abort()
		w.snapshotFailed(n, err)
		return
	}
	meta, err := writer.Commit()
	if err != nil {
		w.snapshotFailed(n, err)
		return
	}
	got, err := coreMeta(meta)
	if err != nil {
		violated("D10", "replica %d wrote a snapshot without a configuration: %v", n.id, err)
	}
	w.stats.Snapshots++
	w.put(n, input{kind: inTaken, meta: got})
}

// snapshotFailed is only excused by a disk that fails on purpose.
func (w *World) snapshotFailed(n *node, err error) {
	w.trace("snapshot  replica %d failed: %v", n.id, err)
	if !n.full && n.disk.Fault == nil {
		violated("D10", "replica %d cannot write a snapshot: %v", n.id, err)
	}
}

func (w *World) snapshotTaken(n *node, meta consensus.SnapshotMeta) {
	w.trace("snapshot  replica %d at %d", n.id, meta.Index)
	n.core.SnapshotTaken(meta)
	n.keepSnapshot(meta.Index)
}

// keepSnapshot releases the log up to the older of the two snapshots that are
// kept, so that a damaged newest one does not end the replica. Only a full log
// lets go of everything that the first snapshot covers, or it would stay full.
func (n *node) keepSnapshot(index consensus.Index) {
	n.snapshots = append(n.snapshots, index)
	if len(n.snapshots) == 1 && n.store.Full() {
		n.store.Release(groupNumber, uint64(index))
	}
	if len(n.snapshots) >= 2 {
		n.snapshots = n.snapshots[len(n.snapshots)-2:]
		n.store.Release(groupNumber, uint64(n.snapshots[0]))
	}
}

// sendChunk reads a piece of a snapshot and sends it: of the one asked for, or
// of the newest if that is gone. A snapshot under way stays open, so that it
// goes on when newer ones have taken its place on the disk.
func (w *World) sendChunk(n *node, ask consensus.SnapshotRequest) {
	if len(n.snapshots) == 0 {
		w.put(n, input{kind: inUnsent, from: ask.To})
		return
	}
	m, err := w.readChunk(n, ask)
	if err != nil {
		if !n.damaged && n.disk.Fault == nil {
			violated("D14", "replica %d cannot read its snapshot %d at %d: %v", n.id, ask.Index, ask.Offset, err)
		}
		n.closeReader(slotOf(ask.To))
		w.put(n, input{kind: inUnsent, from: ask.To})
		return
	}
	w.sometimes.count(sawSnapshotSent)
	w.send(n, envelope{ask.To, m})
}

func (w *World) readChunk(n *node, ask consensus.SnapshotRequest) (message, error) {
	reader, err := n.openSnapshot(ask)
	if err != nil {
		return nil, err
	}
	meta, err := coreMeta(reader.Meta())
	if err != nil {
		return nil, err
	}
	offset := min(ask.Offset, meta.Size)
	if meta.Index != ask.Index {
		offset = 0
	}
	data := make([]byte, min(int64(w.weather.chunk), meta.Size-offset))
	if _, err := reader.ReadAt(data, offset); err != nil && len(data) > 0 {
		return nil, err
	}
	return w.engine.chunk(ask, meta, offset, data), nil
}

func (n *node) openSnapshot(ask consensus.SnapshotRequest) (*storage.SnapshotReader, error) {
	slot := slotOf(ask.To)
	if r := n.reading[slot]; r != nil && consensus.Index(r.Meta().Index) == ask.Index {
		return r, nil
	}
	n.closeReader(slot)
	index := n.snapshots[len(n.snapshots)-1]
	if n.snapshots[0] == ask.Index {
		index = ask.Index
	}
	reader, err := n.store.OpenSnapshot(groupNumber, uint64(index))
	if err == nil {
		n.reading[slot] = reader
	}
	return reader, err
}

func (n *node) closeReader(slot int) {
	if r := n.reading[slot]; r != nil {
		r.Close()
		n.reading[slot] = nil
	}
}

// receiveChunk writes a piece of a snapshot that is being received.
func (w *World) receiveChunk(n *node, c *consensus.Chunk) {
	if err := n.writeChunk(c); err != nil {
		w.trace("snapshot  replica %d cannot receive: %v", n.id, err)
		n.dropReceiver()
		w.put(n, input{kind: inFailed, a: uint64(c.Snapshot.Index)})
		return
	}
	if c.Last {
		w.agenda.add(w.now+w.diskDelay(n.slot), event{kind: evInstall, slot: n.slot, life: n.life})
	}
	w.put(n, input{kind: inWritten, a: uint64(c.Snapshot.Index), b: uint64(c.Offset) + uint64(len(c.Data))})
}

func (n *node) writeChunk(c *consensus.Chunk) (err error) {
	if c.Offset == 0 {
		n.dropReceiver()
		if n.receiver, err = n.store.ReceiveSnapshot(storageMeta(c.Snapshot)); err != nil {
			n.receiver = nil
			return err
		}
		n.receiving = c.Snapshot
	}
	if n.receiver == nil {
		return storage.ErrNotFound
	}
	_, err = n.receiver.WriteAt(c.Data, c.Offset)
	return err
}

func (n *node) dropReceiver() {
	if n.receiver != nil {
		n.receiver.Abort()
		n.receiver = nil
	}
}

// install makes a received snapshot durable and restores the state machine.
func (w *World) install(n *node) {
	if n.receiver == nil {
		return
	}
	meta := n.receiving
	receiver := n.receiver
	n.receiver = nil
	if _, err := receiver.Commit(); err != nil {
		w.trace("install   replica %d: %v", n.id, err)
		if !n.full && n.disk.Fault == nil {
			violated("D10", "replica %d cannot install snapshot %d: %v", n.id, meta.Index, err)
		}
		w.put(n, input{kind: inFailed, a: uint64(meta.Index)})
		return
	}
	n.queue = nil
	w.oracle.installs(n, meta)
	if _, err := n.load(uint64(meta.Index)); err != nil {
		violated("D10", "replica %d cannot restore snapshot %d, which it received: %v", n.id, meta.Index, err)
	}
	w.digests(n, meta.Index+1)
	w.stats.Installs++
	w.answerReads(n)
	n.served()
	w.put(n, input{kind: inInstalled, meta: meta})
}

func (w *World) snapshotInstalled(n *node, meta consensus.SnapshotMeta) {
	w.trace("install   replica %d at %d", n.id, meta.Index)
	n.taking = nil
	n.core.SnapshotInstalled(meta)
	n.keepSnapshot(meta.Index)
}
