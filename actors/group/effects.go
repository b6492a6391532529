package group

import (
	"log/slog"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/consensus"
)

// carryOut does what an Output asks for, in the order of its fields.
func (a *Actor) carryOut(out Output) {
	a.handle.leaseIndex.Store(uint64(out.LeaseIndex))
	a.handle.lease.Store(int64(out.Lease))
	a.sendAll(out.SendNow)
	a.releaseHeld()
	a.save(&out)
	a.letGo(&out)
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
	for _, alarm := range out.Alarms {
		a.log.Error(alarm, "group", a.cfg.Name)
		a.cfg.Event("alarm", slog.String("reason", alarm))
	}
	if a.cfg.Note != nil {
		for _, n := range out.Notes {
			a.cfg.Note(n)
		}
	}
	for _, request := range out.SendSnapshots {
		a.sendSnapshot(request)
	}
	if out.Changed {
		a.publish()
	}
}

// save appends to the log and lets go of out.Send when that is durable. The
// log's writer sends by itself: a follower's acknowledgement does not wait for
// another turn of this actor.
func (a *Actor) save(out *Output) {
	if out.Save == 0 {
		a.sendAfter(a.issued, out.Send)
		return
	}
	a.issued = out.Save
	a.noteStamp(out.Entries)
	for _, r := range out.Records {
		if r.Index > 0 { // a snapshot will let go of it
			a.logBytes += len(r.Data)
		}
	}
	send, save, wake := out.Send, out.Save, a.engine.Role() != consensus.Follower
	a.cfg.Store.Append(out.Records, func(err error) {
		if a.failIf(err) {
			return
		}
		a.sendAll(send)
		a.handle.savedUpTo(save, wake)
	})
}

// maxHeld is how many turns may have left answers to wait for a disk that stands
// still. Further ones are dropped: whoever gets none asks again.
const maxHeld = 1024

// sendAfter sends once save and all before it are durable. Nothing new is to
// be saved, so this is rare: a repeated answer behind a save under way.
func (a *Actor) sendAfter(save uint64, send []Envelope) {
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
func (a *Actor) sendAll(envelopes []Envelope) {
	for _, e := range envelopes {
		a.sendTo(e.To, e.Message)
	}
}

func (a *Actor) sendTo(to consensus.ID, m proto.Message) { a.cfg.send(a.system, to, m) }

// send has a message leave for a peer. It reports false if nobody knows where that is.
func (c *Config) send(system *actor.ActorSystem, to consensus.ID, m proto.Message) bool {
	pid := c.Peer(to)
	switch {
	case pid == nil:
		return false
	case c.Intercept != nil:
		c.Intercept(to, m, func() { system.Root.Send(pid, m) })
	default:
		system.Root.Send(pid, m)
	}
	return true
}

// finishReads ends a round of reads: at the index it found, or with its error.
func (a *Actor) finishReads(read consensus.Read) {
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
func (a *Actor) readAt(index consensus.Index, calls []*call) {
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

// sendSnapshot has a chunk of a snapshot read and sent. A witness has none.
func (a *Actor) sendSnapshot(r consensus.SnapshotRequest) {
	if a.cfg.Witness() {
		a.engine.SnapshotUnsent(r.To)
		return
	}
	a.system.Root.Send(a.snapshotter, r)
}

func (a *Actor) toApplier(message any) { a.system.Root.Send(a.applier, message) }
