package sim

import (
	"errors"
	"syscall"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/storage"
)

// save appends what an Output wants saved. A flush makes it durable later.
func (w *World) save(n *node, out *output) {
	n.issued = out.save
	w.oracle.saves(n, out)
	number := out.save
	n.store.Append(out.records, func(err error) { w.saved(n, number, err) })
	w.startFlush(n)
}

// startFlush lets the disk begin with what waits, unless it is busy: what
// arrives meanwhile is the next batch.
func (w *World) startFlush(n *node) {
	if !n.flushing && n.durable < n.issued {
		n.flushing = true
		w.agenda.add(w.now+w.diskDelay(n.slot), event{kind: evFlush, slot: n.slot, life: n.life})
	}
}

// saved is called by the store when a save is durable or has failed.
func (w *World) saved(n *node, number uint64, err error) {
	if err != nil {
		n.diskErr = err
		return
	}
	n.durable = number
	w.oracle.saved(n, number)
}

// flush writes and syncs what was appended. A failed one ends the process: no
// second try on the same files.
func (w *World) flush(n *node) {
	n.flushing = false
	before := n.durable
	err := n.store.Flush()
	if errors.Is(err, storage.ErrFull) {
		w.sometimes.count(sawNoSpace)
		n.flushing = true // everything stays queued until there is room
		w.agenda.add(w.now+50*milli, event{kind: evFlush, slot: n.slot, life: n.life})
		return
	}
	if w.diskOutcome(n, err) && n.durable > before {
		w.put(n, input{kind: inSaved, a: n.durable})
	}
	if n.up {
		w.startFlush(n)
	}
}

// diskOutcome ends the process after an error, and reports whether there was
// none.
func (w *World) diskOutcome(n *node, err error) bool {
	if n.diskErr == nil && err != nil {
		n.diskErr = err
	}
	if n.diskErr != nil {
		w.diskFailed(n)
		return false
	}
	return true
}

// keepEvery is how often an idle store is given its turn: it looks at the free
// space and writes its mark.
const keepEvery = second

func (w *World) keep(n *node) {
	w.agenda.add(w.now+keepEvery, event{kind: evKeep, slot: n.slot, life: n.life})
	if n.store.Full() {
		w.put(n, input{kind: inTakeSnapshot}) // so that the log can let go of segments
	}
	if n.flushing || n.durable < n.issued {
		return
	}
	if err := n.store.Mark(); !errors.Is(err, storage.ErrFull) {
		w.diskOutcome(n, err)
	}
}

// diskFailed ends a process whose log could not be written.
func (w *World) diskFailed(n *node) {
	w.trace("disk      replica %d: %v", n.id, n.diskErr)
	if errors.Is(n.diskErr, syscall.ENOSPC) || errors.Is(n.diskErr, storage.ErrFull) {
		w.sometimes.count(sawNoSpace)
	} else {
		w.sometimes.count(sawSyncError)
	}
	w.stop(n)
	n.disk.Kill()
	w.restartLater(n)
}

// stop ends the process. The disk keeps what it has.
func (w *World) stop(n *node) {
	n.up = false
	n.life++
	w.oracle.stopped(n)
	if n.tree != nil {
		n.tree.stopped()
		n.tree = nil
	}
	n.core, n.store, n.replica, n.receiver, n.taking = nil, nil, nil, nil, nil
	n.inbox, n.held, n.queue, n.waiters, n.reads, n.ready = n.inbox[:0], nil, nil, nil, nil, nil
	n.awake, n.pausedUntil, n.diskErr = false, 0, nil
}

// crash ends the process, and in half of the cases the whole machine loses
// power. With Tear the power goes in the middle of writing what is pending.
func (w *World) crash(n *node, d draw) {
	w.stats.Crashes++
	power := d.perMille(500)
	if n.up && power && w.has(Tear) && n.durable < n.issued && d.split().perMille(900) {
		operation := int64(d.split().split().below(3)) + 1
		n.disk.Fault = storage.FailAt(operation, storage.CrashNow)
		n.diskErr = errors.New("power cut")
		store := n.store
		w.oracle.torn(n)
		_ = store.Flush()
		w.sometimes.count(sawTornWrite)
	}
	w.trace("crash     replica %d, power cut: %v", n.id, power)
	w.stop(n)
	if power {
		n.disk.Crash()
	} else {
		n.disk.Kill()
	}
	w.restartLater(n)
}

func (w *World) restartLater(n *node) {
	d := w.dice.roll(streamFault, n.slot)
	delay := min(d.around(w.weather.restart), 5*second) + milli
	if w.healed {
		delay = 50 * milli
	}
	w.agenda.add(w.now+delay, event{kind: evStart, slot: n.slot, life: n.life})
}

// restart starts a process that is down, if the disk lets it.
func (w *World) restart(e event) {
	n := w.nodes[e.slot]
	if n.up || n.lost || n.life != e.life {
		return
	}
	w.start(n)
}

// lose gives the replica up. The machine comes back with an empty disk as a
// new replica, which the administrator has to add.
func (w *World) lose(n *node) {
	w.trace("lost      replica %d for good", n.id)
	w.oracle.lost(n.id)
	if n.up {
		w.stop(n)
	}
	n.life++
	n.id += idStep
	n.bootstrap = consensus.SnapshotMeta{}
	n.newDisk(w)
	w.restartLater(n)
}

// shutDown ends a process in good order: the store writes its mark, by which
// damage of the last batch can be told from a torn tail. It reports whether the
// disk let it.
func (w *World) shutDown(n *node) bool {
	err := n.store.Close()
	w.stop(n)
	n.disk.Kill()
	w.restartLater(n)
	return err == nil
}

// flipBit changes one bit of a process that is down: of any of its files, at a
// place that is not empty, if there is one.
func (w *World) flipBit(n *node, d draw) {
	var names []string
	for _, dir := range []string{dataDir, dataDir + "/wal", dataDir + "/wal", dataDir + "/snapshots"} {
		list, _ := n.disk.List(dir) // without the directory there is nothing to damage
		for _, name := range list {
			names = append(names, dir+"/"+name)
		}
	}
	if len(names) == 0 {
		return
	}
	name := names[d.below(len(names))]
	f, err := n.disk.Open(name, storage.Write)
	if err != nil {
		return
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size == 0 {
		return
	}
	place, offset := []byte{0}, int64(0)
	for try := 0; try < 100 && place[0] == 0; try++ {
		d = d.split()
		offset = int64(d.below(int(size)))
		if _, err := f.ReadAt(place, offset); err != nil {
			return
		}
	}
	place[0] ^= 1 << (d.split() % 8)
	if _, err := f.WriteAt(place, offset); err == nil && f.Sync() == nil {
		n.damaged = true
		w.sometimes.count(sawBitFlip)
		w.trace("bitflip   replica %d, %s at %d", n.id, name, offset)
	}
}
