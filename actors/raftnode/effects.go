package raftnode

import (
	"slices"

	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/storage"
)

// carryOut does what an Output asks for, in the order of its fields.
func (a *Actor) carryOut(out raft.Output) {
	a.handle.leaseIndex.Store(uint64(out.LeaseIndex))
	a.handle.lease.Store(int64(out.Lease))
	a.sendAll(out.SendNow)
	a.releaseHeld()
	a.save(&out)
	for _, chunk := range out.Chunks {
		a.system.Root.Send(a.snapshotter, chunk)
	}
	if len(out.Apply) > 0 {
		a.toApplier(applyBatch{entries: out.Apply, calls: a.pending.take(out.Apply)})
	}
	for _, read := range out.Reads {
		a.finishReads(read)
	}
	if out.Loss != nil {
		a.lose(*out.Loss)
	}
	a.reportLosses(out.PeerLosses)
	for _, request := range out.SendSnapshots {
		a.system.Root.Send(a.snapshotter, request)
	}
	if out.Changed {
		a.publish()
	}
}

// save appends to the log and lets go of out.Send when that is durable. The
// log's writer sends by itself: a follower's acknowledgement does not wait for
// another turn of this actor.
func (a *Actor) save(out *raft.Output) {
	if out.Save == 0 {
		a.sendAfter(a.issued, out.Send)
		return
	}
	a.issued = out.Save
	var records []storage.Record
	if out.HardState != nil {
		records = append(records, hardStateRecord(a.cfg.Group, *out.HardState))
	}
	if out.Base != nil {
		a.high = max(a.high, out.Base.Index)
		records = append(records, baseRecord(a.cfg.Group, a.high, *out.Base))
	}
	a.noteStamp(out.Entries)
	for _, entries := range a.split(out.Entries) {
		data := a.encode(entries)
		a.logBytes += len(data)
		a.high = max(a.high, entries[len(entries)-1].Index)
		records = append(records, entriesRecord(a.cfg.Group, a.high, data))
	}
	send, save, wake := out.Send, out.Save, a.core.Role() != raft.Follower
	a.cfg.Store.Append(records, func(err error) {
		if a.failIf(err) {
			return
		}
		a.sendAll(send)
		a.handle.savedUpTo(save, wake)
	})
}

// split cuts entries into runs that fit into one record each.
func (a *Actor) split(entries []raft.Entry) (runs [][]raft.Entry) {
	most := a.cfg.Store.MaxRecordBytes()
	for len(entries) > 0 {
		n := len(entries)
		for n > 1 && raft.EntriesDataSize(entries[:n]) > most {
			n = (n + 1) / 2
		}
		runs = append(runs, entries[:n])
		entries = entries[n:]
	}
	return runs
}

// maxHeld is how many turns may have left answers to wait for a disk that stands
// still. Further ones are dropped: whoever gets none asks again.
const maxHeld = 1024

// sendAfter sends once save and all before it are durable. Nothing new is to
// be saved, so this is rare: a repeated answer behind a save under way.
func (a *Actor) sendAfter(save uint64, send []raft.Envelope) {
	if len(send) > 0 && (a.saved >= save || len(a.held) < maxHeld) {
		a.held = append(a.held, heldSend{after: save, send: send})
		if a.saved < save {
			a.handle.wantSaved(save)
		}
	}
	a.releaseHeld()
}

// releaseHeld sends what waited for saves that are durable now.
func (a *Actor) releaseHeld() {
	n := 0
	for n < len(a.held) && a.held[n].after <= a.saved {
		a.sendAll(a.held[n].send)
		n++
	}
	a.held = slices.Delete(a.held, 0, n)
}

// sendAll may be called on the log's goroutine too: it touches nothing but
// immutable configuration.
func (a *Actor) sendAll(envelopes []raft.Envelope) {
	for _, e := range envelopes {
		var data []byte
		if m, ok := e.Message.(raft.AppendEntries); ok && len(m.Entries) > 0 {
			data = a.encode(m.Entries)
		}
		a.sendWire(e.To, encode(a.cfg.Raft.ID, e.To, uint32(a.cfg.Group), e.Message, data))
	}
}

func (a *Actor) sendWire(to raft.ID, w *messages.RaftMessage) {
	if pid := a.cfg.Peer(to); pid != nil {
		a.system.Root.Send(pid, w)
	}
}

// encodedEntries remembers the flat form of the entries encoded last: the
// leader sends the same ones to each follower and to its own log.
type encodedEntries struct {
	first, last raft.Index
	term        raft.Term // of the last entry: with its index it names the run
	data        []byte
}

// encode returns the flat form of entries. AppendEntries stand in SendNow only,
// so this runs on the actor's goroutine.
func (a *Actor) encode(entries []raft.Entry) []byte {
	if isFormOf(a.received, entries) {
		return a.received // a follower writes down what it was sent
	}
	first, last := entries[0].Index, entries[len(entries)-1]
	e := &a.encoded
	if e.data == nil || e.first != first || e.last != last.Index || e.term != last.Term {
		*e = encodedEntries{first, last.Index, last.Term,
			raft.AppendEntriesData(make([]byte, 0, raft.EntriesDataSize(entries)), entries)}
	}
	return e.data
}

// isFormOf reports whether entries, all of them, were decoded from data: they
// follow each other, take as many bytes, and the first and the last lie in it.
func isFormOf(data []byte, entries []raft.Entry) bool {
	first, last := entries[0].Data, entries[len(entries)-1].Data
	if len(first) == 0 || len(last) == 0 || raft.EntriesDataSize(entries) != len(data) {
		return false
	}
	head := raft.EntriesDataSize(entries[:1]) - len(first)
	return &first[0] == &data[head] && &last[len(last)-1] == &data[len(data)-1]
}

// finishReads ends a round of reads: at the index it found, or with its error.
func (a *Actor) finishReads(read raft.Read) {
	waiting := a.reads[read.Ref]
	delete(a.reads, read.Ref)
	switch {
	case read.Err != nil:
		for _, c := range waiting {
			c.finish(outcome{err: read.Err})
		}
	case a.handle.Applied() >= read.Index:
		for _, c := range waiting {
			c.finish(outcome{index: read.Index})
		}
	default:
		a.readAt(read.Index, waiting)
	}
}

// readAt has calls ended when index is applied. Those whose callers gave up stay
// in the applier's mailbox while it is at work, so they are counted until it has
// taken them.
func (a *Actor) readAt(index raft.Index, calls []*call) {
	n := int64(len(calls))
	if a.applierReads.Add(n) <= int64(a.cfg.MaxReads) {
		a.toApplier(readAt{index: index, calls: calls})
		return
	}
	a.applierReads.Add(-n)
	for _, c := range calls {
		c.finish(outcome{err: ErrOverloaded})
	}
}

func (a *Actor) toApplier(message any) { a.system.Root.Send(a.applier, message) }
